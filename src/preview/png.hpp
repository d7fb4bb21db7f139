// PNG in memory.
#pragma once

#include <cstdint>
#include <vector>

#include "muster/image.hpp"

namespace muster {

inline constexpr std::int64_t max_png_side = 1'000'000;  // of libpng: it neither writes nor reads more unless told to

/// 1 or 3 channels. Throws ShapeError for what PNG cannot hold.
std::vector<std::uint8_t> encode_png(const ImageView& image);

}  // namespace muster
