#include "muster/geometry.hpp"

#include "names.hpp"

namespace muster {
namespace {

constexpr std::pair<Interpolation, std::string_view> interpolation_names[] = {
    {Interpolation::nearest, "nearest"}, {Interpolation::box, "box"},         {Interpolation::bilinear, "bilinear"},
    {Interpolation::hamming, "hamming"}, {Interpolation::bicubic, "bicubic"}, {Interpolation::lanczos, "lanczos"},
};

constexpr std::pair<PadMode, std::string_view> pad_mode_names[] = {
    {PadMode::constant, "constant"},
    {PadMode::edge, "edge"},
    {PadMode::reflect, "reflect"},
    {PadMode::symmetric, "symmetric"},
};

}  // namespace

bool Extent::contains(Size size) const noexcept {
  return min.height <= size.height && size.height <= max.height && min.width <= size.width && size.width <= max.width;
}

std::string to_string(const Extent& extent) {
  return extent.is_exact() ? to_string(extent.min) : to_string(extent.min) + " ... " + to_string(extent.max);
}

std::string_view name(Interpolation interpolation) noexcept { return name_in(interpolation_names, interpolation); }
Interpolation interpolation_from_name(std::string_view text) {
  return value_in(interpolation_names, "interpolation", text);
}

std::string_view name(PadMode mode) noexcept { return name_in(pad_mode_names, mode); }
PadMode pad_mode_from_name(std::string_view text) { return value_in(pad_mode_names, "padding_mode", text); }

Size output_size(const Step& step, Size in) noexcept {
  if (const auto* crop = std::get_if<Crop>(&step)) return crop->window.size();
  if (const auto* resample = std::get_if<Resample>(&step)) return resample->size;
  if (const auto* border = std::get_if<Border>(&step)) {
    const Padding& padding = border->padding;
    return {in.height + padding.top + padding.bottom, in.width + padding.left + padding.right};
  }
  return in;
}

void Geometry::push_back(const Step& step) {
  if (size_ == max_steps) throw ConfigError("geometry", "a stage has at most four steps; split it into two stages");
  steps_[size_++] = step;
}

Size Geometry::output_size(Size in) const noexcept {
  for (const Step& step : *this) in = muster::output_size(step, in);
  return in;
}

}  // namespace muster
