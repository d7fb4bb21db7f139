// Stage: any transform, ours or the user's, as a value that a pipeline can hold.
//
// A stage of your own is any copyable type with `output_extent(const Extent&) const` (returning an Extent, a
// Refusal or an ExtentResult) and one of
//   Geometry draw(Size in, Rng&) const                                 only geometry; composes with the others
//   Params draw(Size in, Rng&) const, void apply(Image&, const Params&) const   pixels, all draws made before
//   Image operator()(Image, Rng&) const                                anything else ("opaque" in the plan)
// and, if it likes, `static constexpr std::string_view name`, and, if it draws Params,
//   std::string describe(const Params&) const          what was drawn, for previews: "brightness 1.12"; "" for nothing
// Its const members are called from many threads at once. The generator is a stream of the stage's own, keyed by
// (seed, epoch, sample id, position).
#pragma once

#include <array>
#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include "muster/geometry.hpp"
#include "muster/random.hpp"

namespace [[gnu::visibility("default")]] muster {

// Copyable is asked last, and of stages alone: of a type that is assigned from a Stage, like std::back_inserter's, the
// answer depends on whether it is one.
template <class S>
concept HasExtent = requires(const S& stage, const Extent& in) {
  { stage.output_extent(in) } -> std::convertible_to<ExtentResult>;
  requires std::copyable<std::remove_cvref_t<S>>;
};

/// Geometry alone.
template <class S>
concept WindowStage = HasExtent<S> && requires(const S& stage, Size in, Rng& rng) {
  { stage.draw(in, rng) } -> std::same_as<Geometry>;
};

/// Draws its parameters first, then works on pixels.
template <class S>
concept PixelStage = HasExtent<S> && !WindowStage<S> && requires(const S& stage, Size in, Rng& rng, Image& image) {
  stage.apply(image, stage.draw(in, rng));
};

/// Works on pixels and draws as it goes.
template <class S>
concept OpaqueStage =
    HasExtent<S> && !WindowStage<S> && !PixelStage<S> && requires(const S& stage, Image image, Rng& rng) {
  { stage(std::move(image), rng) } -> std::same_as<Image>;
};

/// Makes floats of uint8 values, channel by channel.
template <class S>
concept ValueStage = requires(const S& stage, int channel) {
  { stage.table(channel) } -> std::same_as<std::array<float, 256>>;
  requires std::copyable<std::remove_cvref_t<S>>;
};

template <class S>
concept AnyStage = WindowStage<S> || PixelStage<S> || OpaqueStage<S> || ValueStage<S>;

/// Has words for what it drew.
template <class S>
concept DescribingStage = PixelStage<S> && requires(const S& stage, Size in, Rng& rng) {
  { stage.describe(stage.draw(in, rng)) } -> std::convertible_to<std::string>;
};

enum class StageKind : std::uint8_t { window, pixel, opaque, value };

namespace detail {

struct StageModel {
  virtual ~StageModel() = default;
  virtual ExtentResult output_extent(const Extent& in) const = 0;
  virtual Geometry draw_geometry(Size in, Rng& rng) const = 0;
  virtual std::shared_ptr<const void> draw_params(Size in, Rng& rng) const = 0;
  virtual void apply(Image& image, const void* params, Rng& rng) const = 0;
  virtual std::optional<std::string> describe(const void* params) const = 0;
  virtual std::array<float, 256> table(int channel) const = 0;
  virtual const void* get(const std::type_info& type) const noexcept = 0;
};

template <PixelStage S>
using DrawnBy = std::remove_cvref_t<decltype(std::declval<const S&>().draw(Size{}, std::declval<Rng&>()))>;

/// The type's name, readable, without namespaces.
std::string readable_name(const std::type_info& type);

template <class S>
struct StageModelOf final : StageModel {
  explicit StageModelOf(S value) : stage(std::move(value)) {}

  ExtentResult output_extent(const Extent& in) const override {
    if constexpr (HasExtent<S>) return stage.output_extent(in);
    return in;
  }
  Geometry draw_geometry([[maybe_unused]] Size in, [[maybe_unused]] Rng& rng) const override {
    if constexpr (WindowStage<S>) return stage.draw(in, rng);
    return {};
  }
  std::shared_ptr<const void> draw_params([[maybe_unused]] Size in, [[maybe_unused]] Rng& rng) const override {
    if constexpr (PixelStage<S>) return std::make_shared<const DrawnBy<S>>(stage.draw(in, rng));
    return nullptr;
  }
  void apply([[maybe_unused]] Image& image, [[maybe_unused]] const void* params,
             [[maybe_unused]] Rng& rng) const override {
    if constexpr (PixelStage<S>) {
      stage.apply(image, *static_cast<const DrawnBy<S>*>(params));
    } else if constexpr (OpaqueStage<S>) {
      image = stage(std::move(image), rng);
    }
  }
  std::optional<std::string> describe([[maybe_unused]] const void* params) const override {
    if constexpr (DescribingStage<S>) return stage.describe(*static_cast<const DrawnBy<S>*>(params));
    return {};
  }
  std::array<float, 256> table([[maybe_unused]] int channel) const override {
    if constexpr (ValueStage<S>) return stage.table(channel);
    return {};
  }
  const void* get(const std::type_info& type) const noexcept override { return type == typeid(S) ? &stage : nullptr; }

  S stage;
};

}  // namespace detail

/// Immutable; copies share the stage. Thread-safe if the wrapped stage's const members are.
class Stage {
 public:
  template <class S>
  requires(!std::same_as<S, Stage> && AnyStage<S>)
      Stage(S stage)  // NOLINT: a stage converts by itself, so that a pipeline is a plain list
      : model_(std::make_shared<const detail::StageModelOf<S>>(std::move(stage))) {
    if constexpr (requires { std::string(S::name); }) {
      name_ = std::string(S::name);
    } else {
      name_ = detail::readable_name(typeid(S));
    }
    kind_ = WindowStage<S>   ? StageKind::window
            : PixelStage<S>  ? StageKind::pixel
            : OpaqueStage<S> ? StageKind::opaque
                             : StageKind::value;
  }

  const std::string& name() const noexcept { return name_; }
  StageKind kind() const noexcept { return kind_; }
  /// A value stage changes no size.
  ExtentResult output_extent(const Extent& in) const { return model_->output_extent(in); }
  /// The wrapped stage if it is an S, else null.
  template <class S>
  const S* get_if() const noexcept {
    return static_cast<const S*>(model_->get(typeid(S)));
  }

  /// Kind window: what the stage does to an image of this size.
  Geometry draw_geometry(Size in, Rng& rng) const { return model_->draw_geometry(in, rng); }
  /// Kind pixel: the parameters for apply().
  std::shared_ptr<const void> draw_params(Size in, Rng& rng) const { return model_->draw_params(in, rng); }
  /// Kinds pixel and opaque.
  void apply(Image& image, const void* params, Rng& rng) const { model_->apply(image, params, rng); }
  /// Kind pixel: what was drawn, in the stage's words; empty if it has none. Throws what the stage throws.
  std::optional<std::string> describe(const void* params) const { return model_->describe(params); }
  /// Kind value: the floats that the 256 values of one channel become.
  std::array<float, 256> table(int channel) const { return model_->table(channel); }

 private:
  std::shared_ptr<const detail::StageModel> model_;
  std::string name_;
  StageKind kind_;
};

}  // namespace muster
