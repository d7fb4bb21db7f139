// The oracle for composed pipelines: the whole image, each stage in turn, each step on all its pixels. Written for
// obviousness, sharing with the library only the resampling of a whole image.
#pragma once

#include <algorithm>

#include "muster/pipeline.hpp"
#include "resample/resample.hpp"

namespace muster::test {

inline std::uint8_t naive_fill(Fill fill, int channels, int channel) {
  const auto [red, green, blue] = fill.rgb;
  if (channels == 3) return fill.rgb[static_cast<std::size_t>(channel)];
  return static_cast<std::uint8_t>((19595 * red + 38470 * green + 7471 * blue + 32768) / 65536);
}

/// Walks from the picture's first pixel to position i, turning back at the ends.
inline std::int64_t naive_border_position(PadMode mode, std::int64_t i, std::int64_t n) {
  if (mode == PadMode::edge || n == 1) return i < 0 ? 0 : (i >= n ? n - 1 : i);
  while (i < 0 || i >= n) {
    if (i < 0) i = mode == PadMode::reflect ? -i : -i - 1;
    if (i >= n) i = mode == PadMode::reflect ? 2 * (n - 1) - i : 2 * n - 1 - i;
  }
  return i;
}

inline Image naive_step(const Step& step, const Image& in) {
  Image out(output_size(step, in.size()), in.channels());
  if (const auto* resample = std::get_if<Resample>(&step)) {
    const ResampleJob job{in.size(), resample->size, Rect::whole(resample->size), resample->interpolation};
    Resampler().run(job, in.view().crop(required_input(job)), out);
    return out;
  }
  for (std::int64_t y = 0; y < out.height(); ++y) {
    for (std::int64_t x = 0; x < out.width(); ++x) {
      for (int c = 0; c < out.channels(); ++c) {
        std::int64_t from_y = y;
        std::int64_t from_x = x;
        bool inside = true;
        std::uint8_t filler = 0;
        if (const auto* crop = std::get_if<Crop>(&step)) {
          from_y += crop->window.y;
          from_x += crop->window.x;
        } else if (const auto* flip = std::get_if<Flip>(&step)) {
          if (flip->vertical) from_y = in.height() - 1 - y;
          if (flip->horizontal) from_x = in.width() - 1 - x;
        } else {
          const Border& border = std::get<Border>(step);
          from_y -= border.padding.top;
          from_x -= border.padding.left;
          if (border.mode == PadMode::constant) {
            inside = from_y >= 0 && from_y < in.height() && from_x >= 0 && from_x < in.width();
            filler = naive_fill(border.fill, in.channels(), c);
          } else {
            from_y = naive_border_position(border.mode, from_y, in.height());
            from_x = naive_border_position(border.mode, from_x, in.width());
          }
        }
        out.row(y)[x * out.channels() + c] = inside ? in.row(from_y)[from_x * in.channels() + c] : filler;
      }
    }
  }
  return out;
}

/// Every stage of the plan in turn; value stages are left out.
inline Image run_naive(const Pipeline& pipeline, const Plan& plan, Image image) {
  for (std::size_t i = 0; i < plan.stages.size(); ++i) {
    const Stage& stage = pipeline.stages()[i];
    if (stage.kind() == StageKind::window) {
      for (const Step& step : plan.stages[i].geometry) image = naive_step(step, image);
    } else {
      Rng rng(plan.key.seed, plan.key.epoch, plan.key.sample_id, stage_stream(static_cast<std::uint32_t>(i)));
      stage.apply(image, plan.stages[i].params.get(), rng);
    }
  }
  return image;
}

/// The pixels of the library's way, as an image.
inline Image run_composed(Renderer& renderer, const Pipeline& pipeline, const Plan& plan, const ImageView& image) {
  Image out(pipeline.output_size(), pipeline.num_channels());
  renderer.run(plan, image, {reinterpret_cast<std::byte*>(out.data()), DType::uint8, Layout::nhwc});
  return out;
}

}  // namespace muster::test
