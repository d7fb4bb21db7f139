// Runs plans, pass by pass. Between passes the picture lives in `current`; the last pass writes into the slot.
#include <algorithm>
#include <cmath>
#include <type_traits>
#include <utility>

#include <fmt/format.h>

#include "muster/pipeline.hpp"
#include "pipeline/compose.hpp"
#include "pipeline/pipeline.hpp"
#include "pipeline/write.hpp"
#include "resample/resample.hpp"

namespace muster {
namespace {

using Clock = std::chrono::steady_clock;

/// Adds the time of its life to a sum.
class Stopwatch {
 public:
  explicit Stopwatch(Clock::duration& sum) noexcept : sum_(sum) {}
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;
  ~Stopwatch() { sum_ += Clock::now() - begin_; }

 private:
  Clock::duration& sum_;
  const Clock::time_point begin_ = Clock::now();
};

/// The image of a sample, encoded: views of its parts, valid until the next call.
class EncodedImage {
 public:
  EncodedImage(Decoder& decoder, Bytes bytes, const ImageInfo& info, Clock::duration& time)
      : decoder_(decoder), bytes_(bytes), info_(info), time_(time) {}

  ImageView operator()(const Rect& part) { return reduced(1, part); }
  /// Of the image reduced by `reduction`.
  ImageView reduced(int reduction, const Rect& part) {
    const Stopwatch stopwatch(time_);
    Decoder::View view = decoder_.decode_view(bytes_, info_, reduction, part);
    warnings_ = std::move(view.warnings);
    return view.pixels;
  }

  const ImageInfo& info() const noexcept { return info_; }
  const std::string& warnings() const noexcept { return warnings_; }

 private:
  Decoder& decoder_;
  Bytes bytes_;
  const ImageInfo& info_;
  Clock::duration& time_;
  std::string warnings_;
};

/// The image of a sample, decoded: views of its parts in the pipeline's colour, valid until the next call.
class DecodedImage {
 public:
  DecodedImage(const ImageView& image, Color color, Image& out) : image_(image), color_(color), out_(out) {}

  ImageView operator()(const Rect& part) {
    const ImageView view = image_.crop(part);
    if (view.channels == num_channels(color_)) return view;
    convert_color(view, color_, out_);
    return out_.view();
  }

 private:
  const ImageView& image_;
  Color color_;
  Image& out_;
};

/// How far DecodeMode::fast reduces the image for a pass: by 8, 4, 2, or 1 for not at all.
int choose_reduction(const GeometryPass& pass, Format format) {
  if (format != Format::jpeg || !pass.resample || pass.read.padded() || pass.read.mirrored()) return 1;
  if (pass.resample->interpolation == Interpolation::nearest) return 1;
  const Size in = pass.read.canvas;
  const Size out = pass.resample->size;
  for (const int reduction : {8, 4, 2}) {
    if (in.height > reduction * out.height && in.width > reduction * out.width) return reduction;
  }
  return 1;
}

/// `part` of an image in units of the reduced image's pixels. A side that does not divide is rounded up at the end of
/// the stored image, which orientation may have made the beginning.
Box reduced_box(const ImageInfo& info, int reduction, const Rect& part) {
  const auto scaled = [reduction](std::int64_t length) { return static_cast<double>(length) / reduction; };
  const Size reduced = reduced_size(info.size, reduction);
  const int turn = info.orientation;
  const bool from_bottom = turn == 3 || turn == 4 || turn == 7 || turn == 8;
  const bool from_right = turn == 2 || turn == 3 || turn == 6 || turn == 7;
  const double top = from_bottom ? static_cast<double>(reduced.height) - scaled(info.size.height) : 0;
  const double left = from_right ? static_cast<double>(reduced.width) - scaled(info.size.width) : 0;
  return {top + scaled(part.y), left + scaled(part.x), scaled(part.height), scaled(part.width)};
}

/// The pixels of an image of this size that a box touches.
Rect touched_pixels(const Box& box, Size size) {
  const auto begin = [](double position) { return static_cast<std::int64_t>(std::floor(position)); };
  const auto end = [](double position, std::int64_t length) {
    return std::min(static_cast<std::int64_t>(std::ceil(position)), length);
  };
  const std::int64_t y = begin(box.y);
  const std::int64_t x = begin(box.x);
  return {y, x, end(box.y + box.height, size.height) - y, end(box.x + box.width, size.width) - x};
}

}  // namespace

struct Renderer::Impl {
  Impl(Pipeline pipeline_, DecodeLimits limits_, Integrity integrity)
      : pipeline(std::move(pipeline_)), limits(limits_), decoder(pipeline.decode_options(), limits_, integrity) {}

  /// `fetch(part)` gives a view of that part of the sample's image, of size `size`.
  template <class Fetch>
  void run(const Plan& plan, Size size, Fetch& fetch, const Slot& slot);

  /// Shows what a pass makes of the image: calls `finished(y, row)` for the rows of its last view's source, in order.
  template <class Fetch, class Finished>
  void show(const GeometryPass& pass, Fetch& fetch, const Finished& finished);

  /// show() by way of a reduced image: faster, a little less exact.
  template <class Finished>
  void show_reduced(const GeometryPass& pass, int reduction, EncodedImage& image, const Finished& finished);

  /// The input of a pass's resample job: mirrored and padded already.
  template <class Fetch>
  ImageView resample_input(const View& part, Fetch& fetch);

  /// Makes what a pass shows the current picture.
  template <class Fetch>
  void keep(const GeometryPass& pass, Fetch& fetch);

  void apply(std::size_t index, const Plan& plan);
  void check_pixels(Size size, std::string_view what) const;
  void check_nearest(const ResampleJob& job) const;

  Pipeline pipeline;
  DecodeLimits limits;
  Decoder decoder;
  Resampler resampler;
  Counts counts;
  Times times;

  // Scratch, reused from sample to sample.
  std::vector<Pass> passes;
  Image decoded;  // a user's pixels in the pipeline's colour
  Image canvas;   // mirrored or padded before a resample
  Image current;  // the picture between two passes
  Image next;
};

void Renderer::Impl::check_pixels(Size size, std::string_view what) const {
  if (size.width <= limits.max_pixels / size.height) return;  // their product may not fit into 64 bits
  throw StageError("render", fmt::format("{} of {} pixels is over the limit of {} (DecodeLimits::max_pixels)", what,
                                         to_string(size), limits.max_pixels));
}

/// Nearest walks from the first output pixel to the window, as Pillow does: not through billions of them.
void Renderer::Impl::check_nearest(const ResampleJob& job) const {
  constexpr std::int64_t max_steps = std::int64_t{1} << 26;
  if (job.interpolation != Interpolation::nearest || std::max(job.window.y, job.window.x) <= max_steps) return;
  throw StageError("render", fmt::format("nearest cannot resize {} to {}: the part that is shown lies more than {} "
                                         "pixels inside; use box",
                                         to_string(job.in), to_string(job.out), max_steps));
}

template <class Fetch>
ImageView Renderer::Impl::resample_input(const View& part, Fetch& fetch) {
  const ImageView shown = part.source.empty() ? ImageView{nullptr, {}, pipeline.num_channels(), 0} : fetch(part.source);
  if (!part.padded() && !part.mirrored()) return shown;
  check_pixels(part.canvas, "a padded image");
  draw(part, shown, pipeline.impl_->tables, canvas);
  return canvas.view();
}

template <class Fetch, class Finished>
void Renderer::Impl::show(const GeometryPass& pass, Fetch& fetch, const Finished& finished) {
  if (pass.view().source.empty()) return;
  if constexpr (std::is_same_v<Fetch, EncodedImage>) {
    if (pipeline.decode_options().mode == DecodeMode::fast) {
      const int reduction = choose_reduction(pass, fetch.info().format);
      if (reduction > 1) return show_reduced(pass, reduction, fetch, finished);
    }
  }
  if (!pass.resample) {
    const ImageView shown = fetch(pass.read.source);
    for (std::int64_t y = 0; y < shown.size.height; ++y) finished(y, shown.row(y));
    return;
  }
  const ResampleJob job{.in = pass.read.canvas,
                        .out = pass.resample->size,
                        .window = pass.write.source,
                        .interpolation = pass.resample->interpolation};
  check_nearest(job);
  const Rect needed = required_input(job);
  check_pixels({needed.height, job.window.width}, "an intermediate");
  View part = pass.read;
  part.crop(needed);
  resampler.run_rows(job, resample_input(part, fetch), finished);
}

template <class Finished>
void Renderer::Impl::show_reduced(const GeometryPass& pass, int reduction, EncodedImage& image,
                                  const Finished& finished) {
  // Reduced pixels that lie wholly outside the window take no part, as in the exact way.
  Box box = reduced_box(image.info(), reduction, pass.read.source);
  const Rect touched = touched_pixels(box, reduced_size(image.info().size, reduction));
  box.y -= static_cast<double>(touched.y);
  box.x -= static_cast<double>(touched.x);
  const ResampleJob job{.in = touched.size(),
                        .out = pass.resample->size,
                        .window = pass.write.source,
                        .interpolation = pass.resample->interpolation,
                        .box = box};
  Rect needed = required_input(job);
  check_pixels({needed.height, job.window.width}, "an intermediate");
  needed.y += touched.y;
  needed.x += touched.x;
  resampler.run_rows(job, image.reduced(reduction, needed), finished);
}

template <class Fetch>
void Renderer::Impl::keep(const GeometryPass& pass, Fetch& fetch) {
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
  const Stopwatch stopwatch(times.pixel);
  Rng rng(plan.key.seed, plan.key.epoch, plan.key.sample_id, stage_stream(static_cast<std::uint32_t>(index)));
  in_stage(name, [&] { pipeline.stages()[index].apply(current, planned.params.get(), rng); });
  if (current.size() == planned.out && current.channels() == pipeline.num_channels()) return;
  throw ShapeError("collate",
                   fmt::format("expected {}x{}, received {}x{}", pipeline.num_channels(), to_string(planned.out),
                               current.channels(), to_string(current.size())),
                   {.sample_id = {}, .path = {}, .stage = "after " + name});
}

template <class Fetch>
void Renderer::Impl::run(const Plan& plan, Size size, Fetch& fetch, const Slot& slot) {
  if (plan.source != size) {
    throw ShapeError("render",
                     fmt::format("expected an image of {}, received {}", to_string(plan.source), to_string(size)));
  }
  if (plan.made_by != pipeline.impl_) {
    throw ShapeError("render", fmt::format("expected a plan of this pipeline for {}, received one of another for {}",
                                           to_string(pipeline.output_size()), to_string(plan.output)));
  }
  compose(pipeline.stages(), plan, passes);
  auto fetch_current = [this](const Rect& part) { return current.view().crop(part); };
  for (std::size_t i = 0; i < passes.size(); ++i) {
    if (const auto* geometry = std::get_if<GeometryPass>(&passes[i])) {
      const bool last = i + 1 == passes.size();
      if (i > 0 && !last && geometry->is_identity(current.size())) continue;
      const auto run_pass = [&](auto& from) {
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
  impl_->times = {};
  EncodedImage image(impl_->decoder, bytes, info, impl_->times.decode);
  impl_->run(plan, info.size, image, slot);
  return image.warnings();
}

void Renderer::run(const Plan& plan, const ImageView& image, const Slot& slot) {
  impl_->times = {};
  DecodedImage decoded(image, impl_->pipeline.decode_options().color, impl_->decoded);
  impl_->run(plan, image.size, decoded, slot);
}

Renderer::Counts Renderer::counts() const noexcept { return impl_->counts; }
Renderer::Times Renderer::times() const noexcept { return impl_->times; }

}  // namespace muster
