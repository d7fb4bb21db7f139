// Transforms: the stages, each a plain aggregate with torchvision's names, defaults and rounding.
//
// A stage says which sizes come out for which go in (`output_extent`), and draws what it will do to one image
// from its size alone (`draw`). All are values: const members are pure and thread-safe. Parameters are checked
// when a Pipeline is built from them (ConfigError). Formulas: docs/semantics.md.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>

#include "muster/geometry.hpp"
#include "muster/random.hpp"

namespace [[gnu::visibility("default")]] muster {

/// A closed interval to draw from.
struct Range {
  double low = 0;
  double high = 0;
  friend bool operator==(const Range&, const Range&) = default;
};

/// A random part of the image, of random area and aspect ratio, resized: any size in, `size` out.
/// Up to ten tries: area = H·W·U(scale), aspect = exp(U(ln ratio.low, ln ratio.high)); else the largest centred
/// part whose aspect lies in `ratio`.
struct RandomResizedCrop {
  static constexpr std::string_view name = "RandomResizedCrop";
  Size size;
  Range scale = {0.08, 1.0};             // share of the image's area
  Range ratio = {3.0 / 4.0, 4.0 / 3.0};  // width / height
  Interpolation interpolation = Interpolation::bilinear;

  ExtentResult output_extent(const Extent& in) const;
  Geometry draw(Size in, Rng& rng) const;
};

/// What Resize aims at: the shorter side (the longer follows the aspect ratio), or exactly a height and width.
struct ResizeTarget {
  constexpr ResizeTarget(std::int64_t shorter_side) : shorter(shorter_side) {}  // NOLINT: as torchvision
  constexpr ResizeTarget(Size size) : exact(size) {}                            // NOLINT: as torchvision

  std::int64_t shorter = 0;  // used when `exact` is empty
  std::optional<Size> exact;
  friend bool operator==(const ResizeTarget&, const ResizeTarget&) = default;
};

/// Resizes. With a number: the shorter side becomes that, the longer int(size · long / short); this leaves the
/// size open, so a later stage must fix it. `max_size` bounds the longer side (0: no bound).
struct Resize {
  static constexpr std::string_view name = "Resize";
  ResizeTarget size;
  Interpolation interpolation = Interpolation::bilinear;
  std::int64_t max_size = 0;

  ExtentResult output_extent(const Extent& in) const;
  Geometry draw(Size in, Rng& rng) const;
};

/// The middle of the image; where the image is smaller, it is padded with 0 first. Any size in, `size` out.
struct CenterCrop {
  static constexpr std::string_view name = "CenterCrop";
  Size size;

  ExtentResult output_extent(const Extent& in) const;
  Geometry draw(Size in, Rng& rng) const;
};

/// A random part of fixed size, after optional padding. An image that is smaller is refused, unless
/// `pad_if_needed`, which pads the deficit on both sides, as torchvision does.
struct RandomCrop {
  static constexpr std::string_view name = "RandomCrop";
  Size size;
  Padding padding = {};
  bool pad_if_needed = false;
  Fill fill = {};
  PadMode padding_mode = PadMode::constant;

  ExtentResult output_extent(const Extent& in) const;
  Geometry draw(Size in, Rng& rng) const;
};

/// Margins around the image.
struct Pad {
  static constexpr std::string_view name = "Pad";
  Padding padding;
  Fill fill = {};
  PadMode padding_mode = PadMode::constant;

  ExtentResult output_extent(const Extent& in) const;
  Geometry draw(Size in, Rng& rng) const;
};

/// Where padding leaves the image: in the middle (the odd pixel goes right and below) or in the top left corner.
enum class Anchor : std::uint8_t { center, top_left };

std::string_view name(Anchor anchor) noexcept;
Anchor anchor_from_name(std::string_view name);

/// Pads to at least `size` and then to the next multiple of `multiple` (each side for itself; 0 or 1: any).
/// Larger images stay larger: a later stage, or an earlier one, must bound them.
struct PadTo {
  static constexpr std::string_view name = "PadTo";
  Size size = {0, 0};
  Size multiple = {1, 1};
  Fill fill = {};
  PadMode padding_mode = PadMode::constant;
  Anchor anchor = Anchor::center;

  ExtentResult output_extent(const Extent& in) const;
  Geometry draw(Size in, Rng& rng) const;
};

/// The whole image, its aspect kept, resized to fit and padded to `size`, as YOLO trainers do.
/// With `stride` > 0 it is padded only to the next multiple of `stride`, which leaves the size open.
struct LetterBox {
  static constexpr std::string_view name = "LetterBox";
  Size size;
  bool scale_up = true;
  Fill fill = {114};
  Interpolation interpolation = Interpolation::bilinear;
  std::int64_t stride = 0;

  ExtentResult output_extent(const Extent& in) const;
  Geometry draw(Size in, Rng& rng) const;
};

/// Mirrors left and right with probability p.
struct RandomHorizontalFlip {
  static constexpr std::string_view name = "RandomHorizontalFlip";
  double p = 0.5;

  ExtentResult output_extent(const Extent& in) const;
  Geometry draw(Size in, Rng& rng) const;
};

/// Mirrors top and bottom with probability p.
struct RandomVerticalFlip {
  static constexpr std::string_view name = "RandomVerticalFlip";
  double p = 0.5;

  ExtentResult output_extent(const Extent& in) const;
  Geometry draw(Size in, Rng& rng) const;
};

/// One number for each channel: three for RGB, one for grey (or for all).
class PerChannel {
 public:
  constexpr PerChannel(double all) : values_{all}, size_(1) {}                 // NOLINT: as torchvision
  constexpr PerChannel(std::array<double, 3> rgb) : values_(rgb), size_(3) {}  // NOLINT: as torchvision
  /// One value or three; throws ConfigError otherwise.
  PerChannel(std::initializer_list<double> values) : PerChannel(std::span(values.begin(), values.size())) {}
  explicit PerChannel(std::span<const double> values);

  std::size_t size() const noexcept { return size_; }
  double operator[](std::size_t channel) const noexcept { return values_[size_ == 1 ? 0 : channel]; }
  const double* begin() const noexcept { return values_.data(); }
  const double* end() const noexcept { return values_.data() + size_; }

  friend bool operator==(const PerChannel&, const PerChannel&) = default;

 private:
  std::array<double, 3> values_{};
  std::size_t size_ = 0;
};

inline constexpr std::array<double, 3> imagenet_mean = {0.485, 0.456, 0.406};
inline constexpr std::array<double, 3> imagenet_stddev = {0.229, 0.224, 0.225};

/// uint8 → float: v / 255. Stages that make floats come last.
struct ToFloat {
  static constexpr std::string_view name = "ToFloat";

  /// The floats that the 256 values of one channel become.
  std::array<float, 256> table(int channel) const;
};

/// uint8 → float: (v / 255 − mean) / stddev, each operation in float32, as torch computes it. Includes ToFloat.
struct Normalize {
  static constexpr std::string_view name = "Normalize";
  PerChannel mean;
  PerChannel stddev;  // "std" in JSON

  /// The floats that the 256 values of one channel become.
  std::array<float, 256> table(int channel) const;
};

}  // namespace muster
