#include <algorithm>
#include <cstdint>

#include "resample/kernels.hpp"

namespace muster::resample {
namespace {

std::uint8_t clip8(std::int32_t sum) { return static_cast<std::uint8_t>(std::clamp(sum >> precision_bits, 0, 255)); }

void pack(const std::int32_t* weights, std::int64_t num_quads, std::int32_t* packed) {
  std::copy_n(weights, num_quads * quad, packed);
}

void horizontal(const std::uint8_t* const* rows, const std::int32_t* first, const std::int32_t* weights,
                std::int64_t num_quads, std::int64_t num_pixels, int channels, std::uint8_t* out,
                std::int64_t out_stride) {
  const std::int64_t num_taps = num_quads * quad;
  for (std::int64_t r = 0; r < strip_rows; ++r) {
    for (std::int64_t x = 0; x < num_pixels; ++x) {
      const std::uint8_t* in = rows[r] + std::int64_t{first[x]} * channels;
      for (int c = 0; c < channels; ++c) {
        std::int32_t sum = one_half;
        for (std::int64_t t = 0; t < num_taps; ++t) sum += in[t * channels + c] * weights[x * num_taps + t];
        out[r * out_stride + x * channels + c] = clip8(sum);
      }
    }
  }
}

void vertical(const std::uint8_t* const* rows, const std::int32_t* weights, std::int64_t num_quads,
              std::int64_t num_bytes, std::uint8_t* out) {
  for (std::int64_t x = 0; x < num_bytes; ++x) {
    std::int32_t sum = one_half;
    for (std::int64_t t = 0; t < num_quads * quad; ++t) sum += rows[t][x] * weights[t];
    out[x] = clip8(sum);
  }
}

}  // namespace

const Kernels& scalar_kernels() {
  static constexpr Kernels kernels{"scalar", pack, horizontal, vertical};
  return kernels;
}

}  // namespace muster::resample
