// Pad and PadTo.
#include <algorithm>

#include "muster/transform.hpp"
#include "names.hpp"

namespace muster {
namespace {

constexpr std::pair<Anchor, std::string_view> anchor_names[] = {
    {Anchor::center, "center"},
    {Anchor::top_left, "top_left"},
};

std::int64_t padded_side(std::int64_t side, std::int64_t least, std::int64_t multiple) {
  side = std::max(side, least);
  return multiple > 1 ? (side + multiple - 1) / multiple * multiple : side;
}

Size padded(const PadTo& pad, Size in) {
  return {padded_side(in.height, pad.size.height, pad.multiple.height),
          padded_side(in.width, pad.size.width, pad.multiple.width)};
}

}  // namespace

std::string_view name(Anchor anchor) noexcept { return name_in(anchor_names, anchor); }
Anchor anchor_from_name(std::string_view text) { return value_in(anchor_names, "anchor", text); }

ExtentResult Pad::output_extent(const Extent& in) const {
  const Border border{padding, padding_mode, fill};
  return Extent{output_size(border, in.min), output_size(border, in.max)};
}

Geometry Pad::draw(Size, Rng&) const { return {Border{padding, padding_mode, fill}}; }

ExtentResult PadTo::output_extent(const Extent& in) const {
  return Extent{padded(*this, in.min), padded(*this, in.max)};
}

Geometry PadTo::draw(Size in, Rng&) const {
  const Size out = padded(*this, in);
  if (out == in) return {};
  const std::int64_t rest_y = out.height - in.height;
  const std::int64_t rest_x = out.width - in.width;
  const std::int64_t top = anchor == Anchor::center ? rest_y / 2 : 0;
  const std::int64_t left = anchor == Anchor::center ? rest_x / 2 : 0;
  return {Border{{left, top, rest_x - left, rest_y - top}, padding_mode, fill}};
}

}  // namespace muster
