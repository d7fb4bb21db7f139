// The kernels in SIMD: this file is compiled once per instruction set, and the best is chosen when it first runs.
//
// Both passes bring the four bytes that a quad of taps reads for one sum together in one 32-bit lane, and then multiply
// them with the four weights of the quad. Sums are exact in 32 bits although the multipliers take only 16 or 8: a
// weight is split into halves or bytes, each part has a sum of its own, and shifting and adding these gives the sum of
// the whole weights modulo 2^32, which is that sum.

// Vectors without a fixed size do not fit into the arrays and structs below; those CPUs take NEON.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#define HWY_WANT_AVX3_DL
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "resample/kernels_simd.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include <hwy/highway.h>

#include <cstdint>
#include <cstring>

#include "resample/kernels.hpp"

HWY_BEFORE_NAMESPACE();

// AVX3_DL is chosen only where AVX512_VNNI exists, but Highway 1.0.3 does not tell the compiler. Of its instructions
// only those on 512 bits may be used: for shorter vectors g++ would prefer AVX_VNNI, which such a CPU may lack.
#undef MUSTER_DOT_PRODUCT
#if HWY_TARGET == HWY_AVX3_DL && HWY_COMPILER_GCC_ACTUAL
#pragma GCC target("avx512vnni")
#define MUSTER_DOT_PRODUCT 1
#else
#define MUSTER_DOT_PRODUCT 0
#endif

namespace muster::resample {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128

const Kernels& kernels() { return scalar_kernels(); }

#else

namespace hn = hwy::HWY_NAMESPACE;

using Block = hn::CappedTag<std::uint8_t, 16>;
using Full = hn::ScalableTag<std::uint8_t>;
template <class D>
using Words = hn::RepartitionToWide<hn::RepartitionToWide<D> >;  // of D's bytes, uint32
template <class D>
using Ints = hn::Rebind<std::int32_t, Words<D> >;
template <class D>
using Shorts = hn::Repartition<std::int16_t, D>;

#if MUSTER_DOT_PRODUCT

/// Word k of a quad: byte k of its four weights, each from −128 to 127.
void pack(const std::int32_t* weights, std::int64_t num_quads, std::int32_t* packed) {
  for (std::int64_t q = 0; q < num_quads; ++q) {
    std::int8_t bytes[4][quad] = {};
    for (std::int64_t t = 0; t < quad; ++t) {
      std::int32_t rest = weights[q * quad + t];
      for (int k = 0; k < 3; ++k) {
        bytes[k][t] = static_cast<std::int8_t>(rest & 0xff);
        rest = (rest - bytes[k][t]) / 256;
      }
    }
    std::memcpy(packed + q * quad, bytes, sizeof(bytes));
  }
}

template <std::size_t N>
HWY_INLINE auto dot(hn::Vec128<std::int32_t, N> sums, hn::Vec128<std::uint8_t, 4 * N> bytes,
                    hn::Vec128<std::int32_t, N> weights) {
  return hn::Vec128<std::int32_t, N>{_mm512_castsi512_si128(_mm512_dpbusd_epi32(
      _mm512_castsi128_si512(sums.raw), _mm512_castsi128_si512(bytes.raw), _mm512_castsi128_si512(weights.raw)))};
}
HWY_INLINE auto dot(hn::Vec512<std::int32_t> sums, hn::Vec512<std::uint8_t> bytes, hn::Vec512<std::int32_t> weights) {
  return hn::Vec512<std::int32_t>{_mm512_dpbusd_epi32(sums.raw, bytes.raw, weights.raw)};
}

/// Four weights in every lane.
template <class D>
struct Weights {
  HWY_INLINE explicit Weights(const std::int32_t* packed)
      : low(hn::Set(Ints<D>(), packed[0])),
        middle(hn::Set(Ints<D>(), packed[1])),
        high(hn::Set(Ints<D>(), packed[2])) {}
  hn::Vec<Ints<D> > low, middle, high;
};

/// In every lane a sum of pixels · weights; rounded() has it in whole numbers, before clipping.
template <class D>
class Sums {
 public:
  HWY_INLINE Sums() : low_(hn::Set(Ints<D>(), one_half)), middle_(hn::Zero(Ints<D>())), high_(hn::Zero(Ints<D>())) {}
  HWY_INLINE void add(hn::Vec<D> bytes, const Weights<D>& weights) {
    low_ = dot(low_, bytes, weights.low);
    middle_ = dot(middle_, bytes, weights.middle);
    high_ = dot(high_, bytes, weights.high);
  }
  HWY_INLINE hn::Vec<Ints<D> > rounded() const {
    return hn::ShiftRight<precision_bits>(hn::Add(low_, hn::Add(hn::ShiftLeft<8>(middle_), hn::ShiftLeft<16>(high_))));
  }

 private:
  hn::Vec<Ints<D> > low_, middle_, high_;
};

#else

/// Words of a quad: the low halves (−32768 … 32767) of weights 0 and 2, of 1 and 3, then the high halves likewise.
void pack(const std::int32_t* weights, std::int64_t num_quads, std::int32_t* packed) {
  for (std::int64_t q = 0; q < num_quads; ++q) {
    std::int16_t halves[2 * quad];
    for (std::int64_t t = 0; t < quad; ++t) {
      const std::int32_t weight = weights[q * quad + t];
      const std::int64_t at = t % 2 * 2 + t / 2;
      halves[at] = static_cast<std::int16_t>(weight & 0xffff);
      halves[at + quad] = static_cast<std::int16_t>((weight - halves[at]) / 65536);
    }
    std::memcpy(packed + q * quad, halves, sizeof(halves));
  }
}

/// Four weights in every lane.
template <class D>
struct Weights {
  HWY_INLINE explicit Weights(const std::int32_t* packed)
      : even_low(broadcast(packed[0])),
        odd_low(broadcast(packed[1])),
        even_high(broadcast(packed[2])),
        odd_high(broadcast(packed[3])) {}
  static HWY_INLINE hn::Vec<Shorts<D> > broadcast(std::int32_t word) {
    return hn::BitCast(Shorts<D>(), hn::Set(Ints<D>(), word));
  }
  hn::Vec<Shorts<D> > even_low, odd_low, even_high, odd_high;
};

/// In every lane a sum of pixels · weights; rounded() has it in whole numbers, before clipping.
template <class D>
class Sums {
 public:
  HWY_INLINE Sums() : low_(hn::Zero(Ints<D>())), low_rest_(low_), high_(low_), high_rest_(low_) {}
  HWY_INLINE void add(hn::Vec<D> bytes, const Weights<D>& weights) {
    const hn::RepartitionToWide<D> d16;
    const auto pairs = hn::BitCast(d16, bytes);
    const auto even = hn::BitCast(Shorts<D>(), hn::And(pairs, hn::Set(d16, 0xff)));
    const auto odd = hn::BitCast(Shorts<D>(), hn::ShiftRight<8>(pairs));
    const Ints<D> d32;
    low_ = hn::ReorderWidenMulAccumulate(d32, even, weights.even_low, low_, low_rest_);
    low_ = hn::ReorderWidenMulAccumulate(d32, odd, weights.odd_low, low_, low_rest_);
    high_ = hn::ReorderWidenMulAccumulate(d32, even, weights.even_high, high_, high_rest_);
    high_ = hn::ReorderWidenMulAccumulate(d32, odd, weights.odd_high, high_, high_rest_);
  }
  HWY_INLINE hn::Vec<Ints<D> > rounded() const {
    const auto low = hn::Add(hn::RearrangeToOddPlusEven(low_, low_rest_), hn::Set(Ints<D>(), one_half));
    const auto high = hn::RearrangeToOddPlusEven(high_, high_rest_);
    return hn::ShiftRight<precision_bits>(hn::Add(low, hn::ShiftLeft<16>(high)));
  }

 private:
  // On x86 a lane holds the sum of a pair, and the rests stay zero. On Arm pairs are summed up at the end, so that what
  // belongs into a sum once may not be here from the start.
  hn::Vec<Ints<D> > low_, low_rest_, high_, high_rest_;
};

#endif  // MUSTER_DOT_PRODUCT

#if HWY_ARCH_X86
HWY_INLINE auto saturate(hn::Vec128<std::int16_t> a, hn::Vec128<std::int16_t> b) {
  return hn::Vec128<std::uint8_t>{_mm_packus_epi16(a.raw, b.raw)};
}
#if HWY_CAP_GE256
HWY_INLINE auto saturate(hn::Vec256<std::int16_t> a, hn::Vec256<std::int16_t> b) {
  return hn::Vec256<std::uint8_t>{_mm256_packus_epi16(a.raw, b.raw)};
}
#endif
#if HWY_CAP_GE512
HWY_INLINE auto saturate(hn::Vec512<std::int16_t> a, hn::Vec512<std::int16_t> b) {
  return hn::Vec512<std::uint8_t>{_mm512_packus_epi16(a.raw, b.raw)};
}
#endif
#else
template <class V>
HWY_INLINE auto saturate(V a, V b) {
  const hn::Half<Block> half;
  return hn::Combine(Block(), hn::DemoteTo(half, b), hn::DemoteTo(half, a));
}
#endif

/// Four vectors of sums → bytes. In each block of 16: four from a, four from b, four from c, four from d.
template <class D, class V>
HWY_INLINE hn::Vec<D> to_bytes(D, V a, V b, V c, V d) {
  const Shorts<D> d16;
  return saturate(hn::ReorderDemote2To(d16, a, b), hn::ReorderDemote2To(d16, c, d));
}

/// 16 bytes from each of as many rows as a vector has blocks.
template <class D>
HWY_INLINE hn::Vec<D> load_blocks(D d, const std::uint8_t* const* rows, std::int64_t offset) {
  if constexpr (hn::MaxLanes(D()) == 16) {
    return hn::LoadU(d, rows[0] + offset);
  } else {
    const hn::Half<D> half;
    constexpr std::size_t num_rows = hn::MaxLanes(half) / 16;
    return hn::Combine(d, load_blocks(half, rows + num_rows, offset), load_blocks(half, rows, offset));
  }
}

template <class D>
HWY_INLINE void store_blocks(D, hn::Vec<D> bytes, std::uint8_t* out, std::int64_t out_stride) {
  if constexpr (hn::MaxLanes(D()) == 16) {
    hn::StoreU(bytes, D(), out);
  } else {
    const hn::Half<D> half;
    constexpr std::int64_t num_rows = hn::MaxLanes(half) / 16;
    store_blocks(half, hn::LowerHalf(half, bytes), out, out_stride);
    store_blocks(half, hn::UpperHalf(half, bytes), out + num_rows * out_stride, out_stride);
  }
}

/// The sums of one pixel. A block holds it for one row: lanes are red, green, blue and one that is not used.
/// With few taps it pays to tell the compiler how many: kNumQuads, or 0 for any number.
template <std::int64_t kNumQuads>
HWY_INLINE hn::Vec<Ints<Full> > rgb_pixel(const std::uint8_t* const* rows, std::int64_t first,
                                          const std::int32_t* packed, std::int64_t any_num_quads) {
  HWY_ALIGN constexpr std::uint8_t by_channel[16] = {0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, 128, 128, 128, 128};
  const Full d;
  const auto gather = hn::LoadDup128(d, by_channel);
  const std::int64_t num_quads = kNumQuads == 0 ? any_num_quads : kNumQuads;
  Sums<Full> sums;
  for (std::int64_t q = 0; q < num_quads; ++q) {
    const auto bytes = load_blocks(d, rows, (first + q * quad) * 3);
    sums.add(hn::TableLookupBytesOr0(bytes, gather), Weights<Full>(packed + q * quad));
  }
  return sums.rounded();
}

template <std::int64_t kNumQuads>
void horizontal_rgb(const std::uint8_t* const* rows, const std::int32_t* first, const std::int32_t* packed,
                    std::int64_t num_quads, std::int64_t num_pixels, std::uint8_t* out, std::int64_t out_stride) {
  HWY_ALIGN constexpr std::uint8_t without_fourth[16] = {0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 128, 128, 128, 128};
  const Full d;
  const auto compact = hn::LoadDup128(d, without_fourth);
  constexpr std::int64_t num_blocks = hn::MaxLanes(d) / 16;
  const std::int64_t step = (kNumQuads == 0 ? num_quads : kNumQuads) * quad;
  for (std::int64_t r = 0; r < strip_rows; r += num_blocks) {
    const std::int32_t* weights = packed;
    for (std::int64_t x = 0; x < num_pixels; x += strip_pixels, weights += strip_pixels * step) {
      const auto pixel0 = rgb_pixel<kNumQuads>(rows + r, first[x], weights, num_quads);
      const auto pixel1 = rgb_pixel<kNumQuads>(rows + r, first[x + 1], weights + step, num_quads);
      const auto pixel2 = rgb_pixel<kNumQuads>(rows + r, first[x + 2], weights + 2 * step, num_quads);
      const auto pixel3 = rgb_pixel<kNumQuads>(rows + r, first[x + 3], weights + 3 * step, num_quads);
      const auto pixels = hn::TableLookupBytesOr0(to_bytes(d, pixel0, pixel1, pixel2, pixel3), compact);
      store_blocks(d, pixels, out + r * out_stride + x * 3, out_stride);
    }
  }
}

/// Four bytes, in every lane.
HWY_INLINE hn::Vec<Words<Block> > load_word(const std::uint8_t* from) {
  std::uint32_t word;
  std::memcpy(&word, from, sizeof(word));
  return hn::Set(Words<Block>(), word);
}

/// The sums of one pixel, for the four rows of the strip.
HWY_INLINE hn::Vec<Ints<Block> > grey_pixel(const std::uint8_t* const* rows, std::int64_t first,
                                            const std::int32_t* packed, std::int64_t num_quads) {
  Sums<Block> sums;
  for (std::int64_t q = 0; q < num_quads; ++q) {
    const std::int64_t offset = first + q * quad;
    const auto rows01 = hn::OddEven(load_word(rows[1] + offset), load_word(rows[0] + offset));
    const auto rows23 = hn::OddEven(load_word(rows[3] + offset), load_word(rows[2] + offset));
    const auto words = hn::ConcatUpperLower(Words<Block>(), rows23, rows01);
    sums.add(hn::BitCast(Block(), words), Weights<Block>(packed + q * quad));
  }
  return sums.rounded();
}

void horizontal_grey(const std::uint8_t* const* rows, const std::int32_t* first, const std::int32_t* packed,
                     std::int64_t num_quads, std::int64_t num_pixels, std::uint8_t* out, std::int64_t out_stride) {
  HWY_ALIGN constexpr std::uint8_t by_row[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
  const Block d;
  const auto transpose = hn::Load(d, by_row);
  const std::int64_t step = num_quads * quad;
  for (std::int64_t x = 0; x < num_pixels; x += strip_pixels, packed += strip_pixels * step) {
    const auto pixel0 = grey_pixel(rows, first[x], packed, num_quads);
    const auto pixel1 = grey_pixel(rows, first[x + 1], packed + step, num_quads);
    const auto pixel2 = grey_pixel(rows, first[x + 2], packed + 2 * step, num_quads);
    const auto pixel3 = grey_pixel(rows, first[x + 3], packed + 3 * step, num_quads);
    HWY_ALIGN std::uint8_t pixels[strip_rows * strip_pixels];
    hn::Store(hn::TableLookupBytes(to_bytes(d, pixel0, pixel1, pixel2, pixel3), transpose), d, pixels);
    for (std::int64_t r = 0; r < strip_rows; ++r) {
      std::memcpy(out + r * out_stride + x, pixels + r * strip_pixels, strip_pixels);
    }
  }
}

void horizontal(const std::uint8_t* const* rows, const std::int32_t* first, const std::int32_t* packed,
                std::int64_t num_quads, std::int64_t num_pixels, int channels, std::uint8_t* out,
                std::int64_t out_stride) {
  const auto pass = channels == 1    ? horizontal_grey
                    : num_quads == 1 ? horizontal_rgb<1>
                    : num_quads == 2 ? horizontal_rgb<2>
                                     : horizontal_rgb<0>;
  pass(rows, first, packed, num_quads, num_pixels, out, out_stride);
}

/// As many bytes from column x on as D has. A lane holds the bytes of four rows in one column.
template <class D>
HWY_INLINE void vertical_columns(D d, const std::uint8_t* const* rows, const std::int32_t* packed,
                                 std::int64_t num_quads, std::int64_t x, std::uint8_t* out) {
  const hn::RepartitionToWide<D> d16;
  Sums<D> sums0, sums1, sums2, sums3;
  for (std::int64_t q = 0; q < num_quads; ++q, rows += quad, packed += quad) {
    const Weights<D> weights(packed);
    const auto row0 = hn::LoadU(d, rows[0] + x);
    const auto row1 = hn::LoadU(d, rows[1] + x);
    const auto row2 = hn::LoadU(d, rows[2] + x);
    const auto row3 = hn::LoadU(d, rows[3] + x);
    const auto low01 = hn::BitCast(d16, hn::InterleaveLower(d, row0, row1));
    const auto high01 = hn::BitCast(d16, hn::InterleaveUpper(d, row0, row1));
    const auto low23 = hn::BitCast(d16, hn::InterleaveLower(d, row2, row3));
    const auto high23 = hn::BitCast(d16, hn::InterleaveUpper(d, row2, row3));
    sums0.add(hn::BitCast(d, hn::InterleaveLower(d16, low01, low23)), weights);
    sums1.add(hn::BitCast(d, hn::InterleaveUpper(d16, low01, low23)), weights);
    sums2.add(hn::BitCast(d, hn::InterleaveLower(d16, high01, high23)), weights);
    sums3.add(hn::BitCast(d, hn::InterleaveUpper(d16, high01, high23)), weights);
  }
  hn::StoreU(to_bytes(d, sums0.rounded(), sums1.rounded(), sums2.rounded(), sums3.rounded()), d, out + x);
}

/// Whole vectors; the last one overlaps the one before.
template <class D>
HWY_INLINE void vertical_row(D d, const std::uint8_t* const* rows, const std::int32_t* packed, std::int64_t num_quads,
                             std::int64_t num_bytes, std::uint8_t* out) {
  constexpr std::int64_t step = hn::MaxLanes(D());
  for (std::int64_t x = 0; x + step < num_bytes; x += step) vertical_columns(d, rows, packed, num_quads, x, out);
  vertical_columns(d, rows, packed, num_quads, num_bytes - step, out);
}

/// Less than a block: one column at a time.
void vertical_narrow(const std::uint8_t* const* rows, const std::int32_t* packed, std::int64_t num_quads,
                     std::int64_t num_bytes, std::uint8_t* out) {
  const Block d;
  for (std::int64_t x = 0; x < num_bytes; ++x) {
    Sums<Block> sums;
    for (std::int64_t q = 0; q < num_quads; ++q) {
      std::uint32_t word = 0;
      for (std::int64_t t = 0; t < quad; ++t) word |= std::uint32_t{rows[q * quad + t][x]} << (8 * t);
      sums.add(hn::BitCast(d, hn::Set(Words<Block>(), word)), Weights<Block>(packed + q * quad));
    }
    const auto sum = sums.rounded();
    out[x] = hn::GetLane(to_bytes(d, sum, sum, sum, sum));
  }
}

void vertical(const std::uint8_t* const* rows, const std::int32_t* packed, std::int64_t num_quads,
              std::int64_t num_bytes, std::uint8_t* out) {
  if (num_bytes >= static_cast<std::int64_t>(hn::MaxLanes(Full()))) {
    vertical_row(Full(), rows, packed, num_quads, num_bytes, out);
  } else if (num_bytes >= static_cast<std::int64_t>(hn::MaxLanes(Block()))) {
    vertical_row(Block(), rows, packed, num_quads, num_bytes, out);
  } else {
    vertical_narrow(rows, packed, num_quads, num_bytes, out);
  }
}

const Kernels& kernels() {
  static const Kernels kernels{hwy::TargetName(HWY_TARGET), pack, horizontal, vertical};
  return kernels;
}

#endif  // HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace muster::resample
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace muster::resample {

HWY_EXPORT(kernels);

const Kernels& simd_kernels() { return HWY_DYNAMIC_DISPATCH(kernels)(); }

}  // namespace muster::resample
#endif
