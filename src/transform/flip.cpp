#include "muster/transform.hpp"

namespace muster {

ExtentResult RandomHorizontalFlip::output_extent(const Extent& in) const { return in; }

Geometry RandomHorizontalFlip::draw(Size, Rng& rng) const {
  if (!rng.bernoulli(p)) return {};
  return {Flip{.horizontal = true}};
}

ExtentResult RandomVerticalFlip::output_extent(const Extent& in) const { return in; }

Geometry RandomVerticalFlip::draw(Size, Rng& rng) const {
  if (!rng.bernoulli(p)) return {};
  return {Flip{.vertical = true}};
}

}  // namespace muster
