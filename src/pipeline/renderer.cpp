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

  /// Reads and resamples. Returns the part of the image that the pass's last view shows.
  template <class Fetch>
  ImageView show(const GeometryPass& pass, const Fetch& fetch);

  /// Makes what `view` shows of its source the current picture.
  void keep(const View& view, const ImageView& shown);

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
  if (size.height * size.width <= limits.max_pixels) return;
  throw StageError("render", fmt::format("{} of {} pixels is over the limit of {} (DecodeLimits::max_pixels)", what,
                                         to_string(size), limits.max_pixels));
}

template <class Fetch>
ImageView Renderer::Impl::show(const GeometryPass& pass, const Fetch& fetch) {
  const int channels = pipeline.num_channels();
  const auto fetch_view = [&](const View& view) {
    return view.source.empty() ? ImageView{nullptr, view.source.size(), channels, 0} : fetch(view.source);
  };
  if (!pass.resample) return fetch_view(pass.read);

  const ResampleJob job{.in = pass.read.canvas,
                        .out = pass.resample->size,
                        .window = pass.write.source,
                        .interpolation = pass.resample->interpolation};
  if (job.window.empty()) return {nullptr, job.window.size(), channels, 0};
  const Rect needed = required_input(job);
  check_pixels({needed.height, job.window.width}, "an intermediate");
  check_pixels(job.window.size(), "a resampled image");
  View part = pass.read;
  part.crop(needed);
  ImageView in = fetch_view(part);
  if (part.padded() || part.mirrored()) {
    check_pixels(part.canvas, "a padded image");
    draw(part, in, canvas);
    in = canvas.view();
  }
  resampler.run(job, in, resampled);
  return resampled.view();
}

void Renderer::Impl::keep(const View& view, const ImageView& shown) {
  ++counts.num_materialised;
  check_pixels(view.canvas, "an intermediate");
  if (!view.padded() && !view.mirrored()) {
    for (Image* owner : {&decoded, &resampled}) {
      if (owner->data() != shown.data || owner->size() != shown.size) continue;
      owner->swap(current);
      return;
    }
  }
  draw(view, shown, next);
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
      const ImageView shown = i == 0 ? show(*geometry, fetch) : show(*geometry, fetch_current);
      const View& view = geometry->resample ? geometry->write : geometry->read;
      if (last) {
        write(view, shown, pipeline.impl_->tables, slot);
      } else {
        keep(view, shown);
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
