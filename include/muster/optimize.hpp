// Optimized JPEGs: the same pixels in files of which a crop can be decoded alone.
//
// A JPEG with restart markers every few MCUs (the blocks that its coding interleaves) lets the decoder cut a window out
// of the compressed stream. optimize_jpeg() gives a JPEG this form; the result is an ordinary JPEG.
#pragma once

#include <cstdint>
#include <vector>

#include "muster/decode.hpp"

namespace [[gnu::visibility("default")]] muster {

struct OptimizeOptions {
  /// The lossy choice, off at 0. An image whose longer side is more than this many pixels is decoded, resized until
  /// that side has as many (Lanczos, antialiased), and encoded again.
  std::int64_t longest_side = 0;
  int quality = 90;  // of what is encoded again: 1 … 100, libjpeg's scale

  DecodeLimits limits{};
};

struct OptimizedJpeg {
  enum class Change : std::uint8_t {
    none,       // the file had this form already: `bytes` are those given
    rewritten,  // coefficients, tables and sampling are the same
    resized,    // the lossy choice
  };

  std::vector<std::uint8_t> bytes;
  Change change = Change::none;
  Size size;                 // as stored, before orientation
  int restart_interval = 0;  // in MCUs
};

/// A baseline JPEG of one scan with optimised Huffman tables and restart markers. Quantisation tables, sampling,
/// components, all APPn and COM segments (EXIF with its orientation, ICC, Adobe, XMP) and what follows the end of the
/// image stay as they are; pixels are not turned. The result is read back, and all coefficients are compared, before it
/// is returned.
/// Throws DecodeError, and the file is best kept as it is: not a JPEG; unsupported or beyond the limits; damaged (any
/// error or warning while decoding all of it); progressive and incomplete, which decoders show smoothed; or not
/// expressible in this form. Throws ConfigError for options out of range. Thread-safe.
OptimizedJpeg optimize_jpeg(Bytes bytes, const OptimizeOptions& options = {});

/// MCUs between two restart markers for rows of `mcus_per_row`: the divisor in 2 … 16 nearest to 4 (of 3 and 5 the
/// larger), or the whole row if there is none. Throws ConfigError below 1.
int choose_restart_interval(std::int64_t mcus_per_row);

}  // namespace muster
