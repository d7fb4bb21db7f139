// Writing JPEG, for made data sets.
#pragma once

#include <cstdint>
#include <vector>

#include "muster/image.hpp"

namespace muster::cli {

enum class Subsampling : std::uint8_t { s444, s422, s420, grey };

struct JpegSettings {
  int quality = 90;  // 1 … 100
  Subsampling subsampling = Subsampling::s444;
  bool progressive = false;
};

/// Encodes RGB pixels, whose sides are at most 65500. Throws std::runtime_error with libjpeg's message.
std::vector<std::uint8_t> encode_jpeg(const Image& image, const JpegSettings& settings);

}  // namespace muster::cli
