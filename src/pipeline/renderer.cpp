// Runs plans, pass by pass. Between passes the picture lives in `current_`; the last pass writes into the slot.
#include <fmt/format.h>

#include "muster/pipeline.hpp"
#include "pipeline/compose.hpp"
#include "pipeline/pipeline.hpp"
#include "pipeline/write.hpp"
#include "resample/resample.hpp"

namespace muster {

struct Renderer::Impl {
  Impl(Pipeline pipeline_, DecodeLimits limits_, Integrity integrity)
      : pipeline(std::move(pipeline_)), limits(limits_), decoder(pipeline.decode_options(), limits_, integrity) {}

  /// `fetch(rect)` gives a view of that part of the sample's image, in the pipeline's colour, valid until the next
  /// call.
  template <class Fetch>
  void run(const Plan& plan, const Fetch& fetch, const Slot& slot);

  /// Shows what a pass makes of the image: calls `finished(y, row)` for the rows of its last view's source, in order.
  template <class Fetch, class Finished>
  void show(const GeometryPass& pass, const Fetch& fetch, const Finished& finished);

  /// The input of a pass's resample job: mirrored and padded already.
  template <class Fetch>
  ImageView resample_input(const View& part, const Fetch& fetch);

  /// Makes what a pass shows the current picture.
  template <class Fetch>
  void keep(const GeometryPass& pass, const Fetch& fetch);

  void apply(std::size_t stage, const Plan& plan);
  void check_pixels(Size size, std::string_view what) const;

  Pipeline pipeline;
  DecodeLimits limits;
  Decoder decoder;
  Resampler resampler;
  Counts counts;

  // Scratch, reused from sample to sample.
  std::vector<Pass> passes;
  Image decoded;  // what the decoder gave, or a user's pixels in the pipeline's colour
  Image canvas;   // mirrored or padded before a resample
  Image resampled;
  Image current;  // the picture between two passes
  Image next;
};

void Renderer::Impl::check_pixels(Size size, std::string_view what) const {
  if (size.width <= limits.max_pixels / size.height) return;  // their product may not fit into 64 bits
  throw StageError("render", fmt::format("{} of {} pixels is over the limit of {} (DecodeLimits::max_pixels)", what,
                                         to_string(size), limits.max_pixels));
}

template <class Fetch>
ImageView Renderer::Impl::resample_input(const View& part, const Fetch& fetch) {
  const ImageView shown = part.source.empty() ? ImageView{nullptr, {}, pipeline.num_channels(), 0} : fetch(part.source);
  if (!part.padded() && !part.mirrored()) return shown;
  check_pixels(part.canvas, "a padded image");
  draw(part, shown, pipeline.impl_->tables, canvas);
  return canvas.view();
}

template <class Fetch, class Finished>
void Renderer::Impl::show(const GeometryPass& pass, const Fetch& fetch, const Finished& finished) {
  if (pass.view().source.empty()) return;
  if (!pass.resample) {
    const ImageView shown = fetch(pass.read.source);
    for (std::int64_t y = 0; y < shown.size.height; ++y) finished(y, shown.row(y));
    return;
  }
  const ResampleJob job{.in = pass.read.canvas,
                        .out = pass.resample->size,
                        .window = pass.write.source,
                        .interpolation = pass.resample->interpolation};
  const Rect needed = required_input(job);
  check_pixels({needed.height, job.window.width}, "an intermediate");
  View part = pass.read;
  part.crop(needed);
  resampler.run_rows(job, resample_input(part, fetch), finished);
}

template <class Fetch>
void Renderer::Impl::keep(const GeometryPass& pass, const Fetch& fetch) {
  ++counts.num_materialised;
  const View& view = pass.view();
  check_pixels(view.canvas, "an intermediate");
  const int channels = pipeline.num_channels();
  next.reshape(view.canvas, channels);
  const SlotWriter writer(view, channels, pipeline.impl_->tables,
                          {reinterpret_cast<std::byte*>(next.data()), DType::uint8, Layout::nhwc});
  show(pass, fetch, writer);
  writer.fill_borders();
  next.swap(current);
}

void Renderer::Impl::apply(std::size_t index, const Plan& plan) {
  const std::string& name = pipeline.impl_->stage_names[index];
  const PlannedStage& planned = plan.stages[index];
  Rng rng(plan.key.seed, plan.key.epoch, plan.key.sample_id, stage_stream(static_cast<std::uint32_t>(index)));
  in_stage(name, [&] { pipeline.stages()[index].apply(current, planned.params.get(), rng); });
  if (current.size() == planned.out && current.channels() == pipeline.num_channels()) return;
  throw ShapeError("collate",
                   fmt::format("expected {}x{}, received {}x{}", pipeline.num_channels(), to_string(planned.out),
                               current.channels(), to_string(current.size())),
                   {.sample_id = {}, .path = {}, .stage = "after " + name});
}

template <class Fetch>
void Renderer::Impl::run(const Plan& plan, const Fetch& fetch, const Slot& slot) {
  if (plan.output != pipeline.output_size() || plan.stages.size() != pipeline.impl_->num_planned) {
    throw ShapeError("render",
                     fmt::format("expected a plan for {}, received one for {}; it belongs to another pipeline",
                                 to_string(pipeline.output_size()), to_string(plan.output)));
  }
  compose(pipeline.stages(), plan, passes);
  const auto fetch_current = [this](const Rect& rect) { return current.view().crop(rect); };
  for (std::size_t i = 0; i < passes.size(); ++i) {
    if (const auto* geometry = std::get_if<GeometryPass>(&passes[i])) {
      const bool last = i + 1 == passes.size();
      if (i > 0 && !last && geometry->is_identity()) continue;
      const auto run_pass = [&](const auto& from) {
        if (!last) return keep(*geometry, from);
        const SlotWriter writer(geometry->view(), pipeline.num_channels(), pipeline.impl_->tables, slot);
        show(*geometry, from, writer);
        writer.fill_borders();
      };
      if (i == 0) {
        run_pass(fetch);
      } else {
        run_pass(fetch_current);
      }
    } else if (const auto* border = std::get_if<BorderPass>(&passes[i])) {
      check_pixels(output_size(border->border, current.size()), "a padded image");
      draw_border(border->border, current.view(), next);
      next.swap(current);
    } else {
      apply(std::get<PixelPass>(passes[i]).stage, plan);
    }
  }
  if (passes.size() == 1) ++counts.num_composed;
}

Renderer::Renderer(Pipeline pipeline, DecodeLimits limits, Integrity integrity)
    : impl_(std::make_unique<Impl>(std::move(pipeline), limits, integrity)) {}
Renderer::Renderer(Renderer&&) noexcept = default;
Renderer& Renderer::operator=(Renderer&&) noexcept = default;
Renderer::~Renderer() = default;

ImageInfo Renderer::probe(Bytes bytes) const { return impl_->decoder.probe(bytes); }

std::string Renderer::run(const Plan& plan, Bytes bytes, const ImageInfo& info, const Slot& slot) {
  if (plan.source != info.size) {
    throw ShapeError("render",
                     fmt::format("expected an image of {}, received {}", to_string(plan.source), to_string(info.size)));
  }
  std::string warnings;
  impl_->run(
      plan,
      [&](const Rect& window) {
        warnings = impl_->decoder.decode(bytes, info, window, impl_->decoded);
        return impl_->decoded.view();
      },
      slot);
  return warnings;
}

void Renderer::run(const Plan& plan, const ImageView& image, const Slot& slot) {
  if (plan.source != image.size) {
    throw ShapeError(
        "render", fmt::format("expected an image of {}, received {}", to_string(plan.source), to_string(image.size)));
  }
  const Color color = impl_->pipeline.decode_options().color;
  impl_->run(
      plan,
      [&](const Rect& window) {
        const ImageView part = image.crop(window);
        if (image.channels == num_channels(color)) return part;
        convert_color(part, color, impl_->decoded);
        return impl_->decoded.view();
      },
      slot);
}

Renderer::Counts Renderer::counts() const noexcept { return impl_->counts; }

}  // namespace muster
