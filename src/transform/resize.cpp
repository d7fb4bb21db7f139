// Resize and LetterBox.
#include <algorithm>
#include <cmath>

#include "muster/transform.hpp"

namespace muster {
namespace {

/// torchvision's rule for the shorter side; a side that would become 0 becomes 1 (a stated deviation).
Size resized(Size in, std::int64_t shorter, std::int64_t max_size) {
  const bool upright = in.width <= in.height;
  const std::int64_t in_short = upright ? in.width : in.height;
  const std::int64_t in_long = upright ? in.height : in.width;
  std::int64_t out_short = shorter;
  std::int64_t out_long = shorter * in_long / in_short;
  if (max_size > 0 && out_long > max_size) {
    out_short = std::max<std::int64_t>(max_size * out_short / out_long, 1);
    out_long = max_size;
  }
  return upright ? Size{out_long, out_short} : Size{out_short, out_long};
}

/// The resized image and the margins around it, as YOLO trainers compute them.
struct Letter {
  Size inner;
  Padding margins;
};

Letter letter(const LetterBox& box, Size in) {
  const auto scale = [](std::int64_t out, std::int64_t side) {
    return static_cast<double>(out) / static_cast<double>(side);
  };
  double ratio = std::min(scale(box.size.height, in.height), scale(box.size.width, in.width));
  if (!box.scale_up) ratio = std::min(ratio, 1.0);
  const auto side = [ratio](std::int64_t length) {
    return std::max<std::int64_t>(static_cast<std::int64_t>(std::nearbyint(static_cast<double>(length) * ratio)), 1);
  };
  const Size inner = {side(in.height), side(in.width)};
  std::int64_t rest_y = box.size.height - inner.height;
  std::int64_t rest_x = box.size.width - inner.width;
  if (box.stride > 0) {
    rest_y %= box.stride;
    rest_x %= box.stride;
  }
  // round(d ∓ 0.1) of the half rest d: the odd pixel goes below and right.
  return {inner, {rest_x / 2, rest_y / 2, rest_x - rest_x / 2, rest_y - rest_y / 2}};
}

}  // namespace

ExtentResult Resize::output_extent(const Extent& in) const {
  if (size.exact) return Extent::exactly(*size.exact);
  // A side of the result grows with its own length and shrinks with the other's: the extremes are at two corners.
  const Size flattest = resized({in.min.height, in.max.width}, size.shorter, max_size);
  const Size tallest = resized({in.max.height, in.min.width}, size.shorter, max_size);
  return Extent{{flattest.height, tallest.width}, {tallest.height, flattest.width}};
}

Geometry Resize::draw(Size in, Rng&) const {
  return {Resample{size.exact ? *size.exact : resized(in, size.shorter, max_size), interpolation}};
}

ExtentResult LetterBox::output_extent(const Extent& in) const {
  if (stride == 0) return Extent::exactly(size);
  if (in.is_exact()) {
    const auto [inner, margins] = letter(*this, in.min);
    return Extent::exactly(output_size(Border{margins, PadMode::constant, fill}, inner));
  }
  const auto smallest = [this](std::int64_t side) { return (side - 1) % stride + 1; };
  return Extent{{smallest(size.height), smallest(size.width)}, size};
}

Geometry LetterBox::draw(Size in, Rng&) const {
  const auto [inner, margins] = letter(*this, in);
  Geometry geometry{Resample{inner, interpolation}};
  if (margins != Padding{}) geometry.push_back(Border{margins, PadMode::constant, fill});
  return geometry;
}

}  // namespace muster
