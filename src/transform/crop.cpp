// RandomResizedCrop, CenterCrop, RandomCrop: as torchvision 0.14 on PIL images.
#include <algorithm>
#include <cmath>

#include "muster/transform.hpp"
#include "transform/portable_math.hpp"

namespace muster {
namespace {

/// Python's round(): half to even, in the default rounding mode.
std::int64_t round_half_even(double value) { return static_cast<std::int64_t>(std::nearbyint(value)); }

/// torchvision's get_params: ten tries, then the largest centred window whose aspect is allowed.
Rect draw_window(Size in, Range scale, Range ratio, Rng& rng) {
  const double area = static_cast<double>(in.height) * static_cast<double>(in.width);
  const double log_low = portable_log(ratio.low);
  const double log_high = portable_log(ratio.high);
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double target_area = area * rng.uniform(scale.low, scale.high);
    const double aspect = portable_exp(rng.uniform(log_low, log_high));
    const std::int64_t width = round_half_even(std::sqrt(target_area * aspect));
    const std::int64_t height = round_half_even(std::sqrt(target_area / aspect));
    if (width < 1 || width > in.width || height < 1 || height > in.height) continue;
    const std::int64_t y = rng.uniform_int(0, in.height - height);
    const std::int64_t x = rng.uniform_int(0, in.width - width);
    return {y, x, height, width};
  }
  Size window = in;
  const double aspect = static_cast<double>(in.width) / static_cast<double>(in.height);
  if (aspect < ratio.low) {
    window.height = round_half_even(static_cast<double>(in.width) / ratio.low);
  } else if (aspect > ratio.high) {
    window.width = round_half_even(static_cast<double>(in.height) * ratio.high);
  }
  window.height = std::clamp<std::int64_t>(window.height, 1, in.height);
  window.width = std::clamp<std::int64_t>(window.width, 1, in.width);
  return {(in.height - window.height) / 2, (in.width - window.width) / 2, window.height, window.width};
}

}  // namespace

ExtentResult RandomResizedCrop::output_extent(const Extent&) const { return Extent::exactly(size); }

Geometry RandomResizedCrop::draw(Size in, Rng& rng) const {
  return {Crop{draw_window(in, scale, ratio, rng)}, Resample{size, interpolation}};
}

ExtentResult CenterCrop::output_extent(const Extent&) const { return Extent::exactly(size); }

Geometry CenterCrop::draw(Size in, Rng&) const {
  Geometry geometry;
  const std::int64_t deficit_y = std::max<std::int64_t>(size.height - in.height, 0);
  const std::int64_t deficit_x = std::max<std::int64_t>(size.width - in.width, 0);
  if (deficit_y > 0 || deficit_x > 0) {
    const Border border{
        {deficit_x / 2, deficit_y / 2, (deficit_x + 1) / 2, (deficit_y + 1) / 2}, PadMode::constant, {}};
    geometry.push_back(border);
    in = output_size(border, in);
  }
  const auto anchor = [](std::int64_t whole, std::int64_t part) {
    return round_half_even(static_cast<double>(whole - part) / 2.0);
  };
  geometry.push_back(Crop{{anchor(in.height, size.height), anchor(in.width, size.width), size.height, size.width}});
  return geometry;
}

ExtentResult RandomCrop::output_extent(const Extent& in) const {
  const Size smallest = output_size(Border{padding, padding_mode, fill}, in.min);
  if (!pad_if_needed && (smallest.height < size.height || smallest.width < size.width)) {
    return Refusal{"cuts " + to_string(size) + " out of an image of " + to_string(smallest) +
                       "; set pad_if_needed, or put Resize, PadTo or CenterCrop before it",
                   in.min};
  }
  return Extent::exactly(size);
}

Geometry RandomCrop::draw(Size in, Rng& rng) const {
  Geometry geometry;
  const auto pad = [&](const Padding& margins) {
    if (margins == Padding{}) return;
    const Border border{margins, padding_mode, fill};
    geometry.push_back(border);
    in = output_size(border, in);
  };
  pad(padding);
  if (pad_if_needed) {
    // The whole deficit on both sides: torchvision's behaviour.
    pad({std::max<std::int64_t>(size.width - in.width, 0), std::max<std::int64_t>(size.height - in.height, 0)});
  }
  const std::int64_t y = rng.uniform_int(0, in.height - size.height);
  const std::int64_t x = rng.uniform_int(0, in.width - size.width);
  geometry.push_back(Crop{{y, x, size.height, size.width}});
  return geometry;
}

}  // namespace muster
