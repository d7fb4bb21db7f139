#include "pipeline/pipeline.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "pipeline/proof.hpp"

namespace muster {
namespace {

bool is_value(const Stage& stage) { return stage.kind() == StageKind::value; }

/// Value stages come last: one, or ToFloat and Normalize, which includes it. Returns how many stages precede them.
std::size_t check_order(const std::vector<Stage>& stages) {
  const auto first = std::find_if(stages.begin(), stages.end(), is_value);
  const auto num_before = static_cast<std::size_t>(first - stages.begin());
  for (auto stage = first; stage != stages.end(); ++stage) {
    if (is_value(*stage)) continue;
    throw ConfigError("pipeline", fmt::format("{} comes after {}, which makes floats; put {} last",
                                              stage_name(stages, static_cast<std::size_t>(stage - stages.begin())),
                                              first->name(), first->name()));
  }
  const std::size_t num_values = stages.size() - num_before;
  const bool float_then_normalize =
      num_values == 2 && first->get_if<ToFloat>() != nullptr && stages.back().get_if<Normalize>() != nullptr;
  if (num_values > 1 && !float_then_normalize) {
    throw ConfigError("pipeline", fmt::format("{} and {} both make floats of pixels; keep one of them (Normalize "
                                              "includes ToFloat)",
                                              first->name(), stages.back().name()));
  }
  return num_before;
}

/// How one axis of an output maps to the source while steps are followed: source = scale · x + offset.
struct AxisMap {
  double scale = 1;
  double offset = 0;

  void shift(double by) { offset += scale * by; }  // the new x = 0 lies at the old x = by
  void mirror(std::int64_t length) {
    shift(static_cast<double>(length));
    scale = -scale;
  }
  void stretch(std::int64_t in, std::int64_t out) { scale *= static_cast<double>(in) / static_cast<double>(out); }

  /// The part [first, second) of a source of `length` that an output of `out` shows, rounded outwards: to whole
  /// pixels, but not because of rounding errors.
  std::pair<std::int64_t, std::int64_t> shown(std::int64_t out, std::int64_t length) const {
    constexpr double slack = 1e-6;
    const double end = scale * static_cast<double>(out) + offset;
    const auto [low, high] = std::minmax(offset, end);
    const auto bounded = [length](double position) {
      return static_cast<std::int64_t>(std::clamp(position, 0.0, static_cast<double>(length)));
    };
    const std::int64_t begin = bounded(std::floor(low + slack));
    return {begin, std::max(begin, bounded(std::ceil(high - slack)))};
  }
};

struct MapFollower {
  AxisMap y;
  AxisMap x;

  void follow(const Step& step, Size in) {
    if (const auto* crop = std::get_if<Crop>(&step)) {
      y.shift(static_cast<double>(crop->window.y));
      x.shift(static_cast<double>(crop->window.x));
    } else if (const auto* flip = std::get_if<Flip>(&step)) {
      if (flip->vertical) y.mirror(in.height);
      if (flip->horizontal) x.mirror(in.width);
    } else if (const auto* border = std::get_if<Border>(&step)) {
      y.shift(-static_cast<double>(border->padding.top));
      x.shift(-static_cast<double>(border->padding.left));
    } else {
      const Size out = std::get<Resample>(step).size;
      y.stretch(in.height, out.height);
      x.stretch(in.width, out.width);
    }
  }
};

/// Throws StageError unless an image of size `in` can become one of size `out`.
void check_size(Size out, Size in) {
  if (std::min(out.height, out.width) >= 1 && std::max(out.height, out.width) <= largest_side) return;
  throw StageError("plan", fmt::format("cannot make {} of {}: sides are from 1 to {} pixels", to_string(out),
                                       to_string(in), largest_side));
}

/// Throws StageError unless a step can be done to an image of size `in`.
void check_step(const Step& step, Size in) {
  if (const auto* crop = std::get_if<Crop>(&step); crop != nullptr && !contains(in, crop->window)) {
    const Rect& window = crop->window;
    throw StageError("plan", fmt::format("the window of {}x{} pixels at y {}, x {} does not lie inside the image of {}",
                                         window.height, window.width, window.y, window.x, to_string(in)));
  }
  if (const auto* border = std::get_if<Border>(&step)) {
    const Padding& margins = border->padding;
    const auto [least, most] = std::minmax({margins.left, margins.top, margins.right, margins.bottom});
    if (least < 0 || most > largest_side) {
      throw StageError("plan",
                       fmt::format("the margins left {}, top {}, right {}, bottom {} of a border are not from 0 "
                                   "to {} pixels",
                                   margins.left, margins.top, margins.right, margins.bottom, largest_side));
    }
  }
  check_size(output_size(step, in), in);
}

/// The one size that a stage says comes out for `in`.
Size declared_size(const Stage& stage, Size in) {
  const ExtentResult result = stage.output_extent(Extent::exactly(in));
  if (const auto* refusal = std::get_if<Refusal>(&result)) {
    throw StageError("plan", fmt::format("of an image of {} it says: it {}", to_string(in), refusal->reason));
  }
  const Extent& out = std::get<Extent>(result);
  if (!out.is_exact()) {
    throw ShapeError("plan", fmt::format("expected one size for an image of {}, received {} from output_extent",
                                         to_string(in), to_string(out)));
  }
  check_size(out.min, in);
  return out.min;
}

}  // namespace

Pipeline::Pipeline(std::initializer_list<Stage> stages, DecodeOptions decode)
    : Pipeline(std::vector<Stage>(stages), decode) {}

Pipeline::Pipeline(std::vector<Stage> stages, DecodeOptions decode) {
  const int channels = muster::num_channels(decode.color);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    validate(stages[i], channels);
    names.push_back(stage_name(stages, i));
  }
  const std::size_t num_planned = check_order(stages);
  ShapeProof proof = prove(stages, channels);
  ValueTables tables(stages, channels);
  const bool makes_floats = num_planned < stages.size();
  impl_ = std::make_shared<const Impl>(
      Impl{std::move(stages), std::move(names), decode, std::move(proof), tables, makes_floats, num_planned});
}

const ShapeProof& Pipeline::proof() const noexcept { return impl_->proof; }
const std::vector<Stage>& Pipeline::stages() const noexcept { return impl_->stages; }
const DecodeOptions& Pipeline::decode_options() const noexcept { return impl_->decode; }
Size Pipeline::output_size() const noexcept { return impl_->proof.output; }
int Pipeline::num_channels() const noexcept { return impl_->proof.channels; }
bool Pipeline::makes_floats() const noexcept { return impl_->makes_floats; }

Plan Pipeline::plan(Size source, const SampleKey& key) const {
  Plan plan;
  this->plan(source, key, plan);
  return plan;
}

void Pipeline::plan(Size source, const SampleKey& key, Plan& into) const {
  if (source.height < 1 || source.width < 1 || source.height > max_side || source.width > max_side) {
    throw StageError("plan", fmt::format("an image has sides from 1 to {}, this one {}", max_side, to_string(source)));
  }
  into.key = key;
  into.source = source;
  into.opaque = false;
  into.made_by = impl_;
  into.stages.resize(impl_->num_planned);
  MapFollower map;
  Size size = source;
  for (std::size_t i = 0; i < impl_->num_planned; ++i) {
    const Stage& stage = impl_->stages[i];
    PlannedStage& planned = into.stages[i];
    planned = {.in = size, .out = size, .geometry = {}, .params = nullptr};
    Rng rng(key.seed, key.epoch, key.sample_id, stage_stream(static_cast<std::uint32_t>(i)));
    in_stage(impl_->stage_names[i], [&] {
      planned.out = declared_size(stage, size);
      if (stage.kind() == StageKind::window) {
        planned.geometry = stage.draw_geometry(size, rng);
        for (const Step& step : planned.geometry) {
          check_step(step, size);
          map.follow(step, size);
          size = muster::output_size(step, size);
        }
        if (size != planned.out) {
          throw ShapeError("plan", fmt::format("expected {} of {}, as output_extent says, received {} from draw",
                                               to_string(planned.out), to_string(planned.in), to_string(size)));
        }
      } else {
        if (stage.kind() == StageKind::opaque) into.opaque = true;
        if (stage.kind() == StageKind::pixel) planned.params = stage.draw_params(size, rng);
        size = planned.out;
      }
    });
  }
  into.output = size;
  if (into.output != output_size()) {
    throw ShapeError("plan", fmt::format("expected {}, received {} for an image of {}: the output_extent of a stage "
                                         "contradicts what it said of all sizes",
                                         to_string(output_size()), to_string(into.output), to_string(source)));
  }
  const auto [top, bottom] = map.y.shown(size.height, source.height);
  const auto [left, right] = map.x.shown(size.width, source.width);
  into.window = {top, left, bottom - top, right - left};
  into.flip_horizontal = map.x.scale < 0;
  into.flip_vertical = map.y.scale < 0;
  into.output_to_source = {map.y.scale, map.y.offset, map.x.scale, map.x.offset};
}

}  // namespace muster
