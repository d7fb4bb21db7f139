// The inner loops of resampling: plain pointers and sizes, no allocation, no exceptions.
//
// A weight is an int32 with 22 fractional bits; a sum of pixel · weight starts at one half and becomes a byte by
// shifting and clipping. It fits into an int32: weights sum to 1, and their absolute values to less than 2.
// Taps come in quads, filled up with weights of 0; how a quad is stored is the business of each set of kernels.
#pragma once

#include <cstdint>

namespace muster::resample {

inline constexpr int precision_bits = 22;
inline constexpr std::int32_t one_half = 1 << (precision_bits - 1);
inline constexpr std::int64_t quad = 4;          // taps that are read together
inline constexpr std::int64_t strip_rows = 4;    // rows that a horizontal call makes
inline constexpr std::int64_t strip_pixels = 4;  // a horizontal call makes a multiple of this in each row
inline constexpr std::int64_t row_slack = 4;     // bytes a horizontal call may touch beyond what it is asked for

struct Kernels {
  /// "scalar", or the name of the instruction set.
  const char* name;

  /// weights: num_quads · 4, packed: num_quads · 4 words in the form that the two passes read.
  void (*pack)(const std::int32_t* weights, std::int64_t num_quads, std::int32_t* packed);

  /// Makes num_pixels (a multiple of strip_pixels) pixels of strip_rows rows. Pixel x of a row is the weighted sum of
  /// the 4 · num_quads pixels from first[x] on, with the quads from packed + 4 · num_quads · x on.
  /// rows: strip_rows inputs of 1 or 3 interleaved channels, each readable up to
  /// (max first + 4 · num_quads) · channels + row_slack bytes; values under weights of 0 do not matter.
  /// Row r goes to out + r · out_stride, writable up to num_pixels · channels + row_slack bytes.
  void (*horizontal)(const std::uint8_t* const* rows, const std::int32_t* first, const std::int32_t* packed,
                     std::int64_t num_quads, std::int64_t num_pixels, int channels, std::uint8_t* out,
                     std::int64_t out_stride);

  /// Makes one row of num_bytes bytes: byte x is the weighted sum of byte x of 4 · num_quads rows.
  /// Reads and writes nothing else; rows may repeat (under a weight of 0).
  void (*vertical)(const std::uint8_t* const* rows, const std::int32_t* packed, std::int64_t num_quads,
                   std::int64_t num_bytes, std::uint8_t* out);
};

/// The twin that defines the answer.
const Kernels& scalar_kernels();

/// The fastest for this CPU (or for the targets that Highway is told to support); the same bytes.
const Kernels& simd_kernels();

}  // namespace muster::resample
