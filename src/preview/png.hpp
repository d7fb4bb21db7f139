// PNG in memory.
#pragma once

#include <cstdint>
#include <vector>

#include "muster/image.hpp"

namespace muster {

/// 1 or 3 channels. Throws ShapeError for what PNG cannot hold.
std::vector<std::uint8_t> encode_png(const ImageView& image);

}  // namespace muster
