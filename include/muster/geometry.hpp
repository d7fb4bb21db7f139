// Geometry: which sizes can come out of a stage, and which part of an image becomes which output.
//
// A stage's geometry is a short list of steps (crop, flip, border, resample), drawn from the size alone, before
// any pixel exists. Lists of steps compose, so decoder and resampler are asked only for what will be seen.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "muster/decode.hpp"
#include "muster/image.hpp"

namespace [[gnu::visibility("default")]] muster {

/// All sizes between two, both included: what may reach a stage, or come out of it.
struct Extent {
  Size min = {1, 1};
  Size max = {max_side, max_side};

  static constexpr Extent exactly(Size size) noexcept { return {size, size}; }
  bool is_exact() const noexcept { return min == max; }
  bool contains(Size size) const noexcept;

  friend bool operator==(const Extent&, const Extent&) = default;
};

/// "224x224", or "1x1 ... 65500x65500".
std::string to_string(const Extent& extent);

/// A stage cannot take some size that may reach it.
struct Refusal {
  std::string reason;  // what is wrong and what to do: "needs at least 224x224; set pad_if_needed"
  Size input;          // a size of the incoming extent that it cannot take
};

/// The sizes that come out for the sizes that go in, or a refusal of some of them. For an extent of one exact
/// size the answer is exact: one size, or a refusal.
using ExtentResult = std::variant<Extent, Refusal>;

/// Pillow's filters, named as torchvision.transforms.InterpolationMode.
enum class Interpolation : std::uint8_t { nearest, box, bilinear, hamming, bicubic, lanczos };

std::string_view name(Interpolation interpolation) noexcept;
/// The inverse of name(); throws ConfigError for an unknown name.
Interpolation interpolation_from_name(std::string_view name);

/// What pads with. Two pixels on [1 2 3 4]: constant c c 1 2 3 4 c c, edge 1 1 1 2 3 4 4 4,
/// reflect 3 2 1 2 3 4 3 2, symmetric 2 1 1 2 3 4 4 3.
enum class PadMode : std::uint8_t { constant, edge, reflect, symmetric };

std::string_view name(PadMode mode) noexcept;
/// The inverse of name(); throws ConfigError for an unknown name.
PadMode pad_mode_from_name(std::string_view name);

/// Colour of constant padding, per channel of RGB; a grey pipeline takes its luma.
struct Fill {
  std::array<std::uint8_t, 3> rgb{};

  constexpr Fill() = default;
  constexpr Fill(std::uint8_t grey) : rgb{grey, grey, grey} {}  // NOLINT: a number is a fill, as in torchvision
  constexpr Fill(std::uint8_t red, std::uint8_t green, std::uint8_t blue) : rgb{red, green, blue} {}

  friend bool operator==(const Fill&, const Fill&) = default;
};

/// Margins in pixels, ≥ 0, in torchvision's order: one number for all sides, (left/right, top/bottom), or
/// (left, top, right, bottom).
struct Padding {
  std::int64_t left = 0;
  std::int64_t top = 0;
  std::int64_t right = 0;
  std::int64_t bottom = 0;

  constexpr Padding() = default;
  constexpr Padding(std::int64_t all) : left(all), top(all), right(all), bottom(all) {}  // NOLINT: as torchvision
  constexpr Padding(std::int64_t left_right, std::int64_t top_bottom)
      : left(left_right), top(top_bottom), right(left_right), bottom(top_bottom) {}
  constexpr Padding(std::int64_t left_, std::int64_t top_, std::int64_t right_, std::int64_t bottom_)
      : left(left_), top(top_), right(right_), bottom(bottom_) {}

  friend bool operator==(const Padding&, const Padding&) = default;
};

/// Keeps `window`, which lies inside the image.
struct Crop {
  Rect window;
  friend bool operator==(const Crop&, const Crop&) = default;
};

/// Mirrors: horizontal swaps left and right, vertical top and bottom.
struct Flip {
  bool horizontal = false;
  bool vertical = false;
  friend bool operator==(const Flip&, const Flip&) = default;
};

/// Adds margins.
struct Border {
  Padding padding;
  PadMode mode = PadMode::constant;
  Fill fill;
  friend bool operator==(const Border&, const Border&) = default;
};

/// Resizes to exactly `size`, as Pillow's Image.resize.
struct Resample {
  Size size;
  Interpolation interpolation = Interpolation::bilinear;
  friend bool operator==(const Resample&, const Resample&) = default;
};

using Step = std::variant<Crop, Flip, Border, Resample>;

/// The size that comes out of one step for a size that goes in.
Size output_size(const Step& step, Size in) noexcept;

/// What a stage does to one image: at most `max_steps` steps, in order. No steps: nothing.
class Geometry {
 public:
  static constexpr std::size_t max_steps = 4;

  Geometry() = default;
  Geometry(std::initializer_list<Step> steps) {
    for (const Step& step : steps) push_back(step);
  }

  /// Throws ConfigError beyond max_steps.
  void push_back(const Step& step);
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  const Step* begin() const noexcept { return steps_.data(); }
  const Step* end() const noexcept { return steps_.data() + size_; }

  /// The size that comes out for a size that goes in.
  Size output_size(Size in) const noexcept;

 private:
  std::array<Step, max_steps> steps_{};
  std::size_t size_ = 0;
};

}  // namespace muster
