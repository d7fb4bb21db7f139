// Counter-based random numbers: a draw is a function of keys, never of a thread, a clock or an address.
//
// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011)
// turns a 128-bit counter and a 64-bit key into 128 random bits. `Rng` walks one stream of it.
#pragma once

#include <array>
#include <cstdint>

namespace [[gnu::visibility("default")]] muster {

/// One Philox4x32-10 block. Pure.
std::array<std::uint32_t, 4> philox4x32_10(std::array<std::uint32_t, 4> counter,
                                           std::array<std::uint32_t, 2> key) noexcept;

/// What the stream is for, so that no two purposes share one. Stages count up from `first_stage`.
enum class Stream : std::uint32_t { shuffle = 0, substitute = 1, synth = 2, first_stage = 16 };

/// The stream of the pipeline's stage `index`.
constexpr Stream stage_stream(std::uint32_t index) noexcept {
  return static_cast<Stream>(static_cast<std::uint32_t>(Stream::first_stage) + index);
}

/// One stream of random numbers, keyed by (seed, epoch, item, stream). Streams with different keys are
/// independent. Cheap to make and to copy; not for sharing between threads. Fulfils UniformRandomBitGenerator.
class Rng {
 public:
  using result_type = std::uint32_t;

  /// `item` is the sample's id (stages), the row (substitution), or whatever the stream counts.
  Rng(std::uint64_t seed, std::uint64_t epoch, std::uint64_t item, Stream stream) noexcept;

  static constexpr result_type min() noexcept { return 0; }
  static constexpr result_type max() noexcept { return 0xffffffffu; }
  /// 32 random bits.
  result_type operator()() noexcept;

  /// Uniform in [0, 1), 53 random bits.
  double uniform() noexcept;
  /// low + (high − low) · uniform(); `low` itself when both are equal.
  double uniform(double low, double high) noexcept;
  /// Uniform integer in [low, high], both included, without bias; needs low ≤ high.
  std::int64_t uniform_int(std::int64_t low, std::int64_t high) noexcept;
  /// True with probability `p`: uniform() < p.
  bool bernoulli(double p) noexcept;

 private:
  std::array<std::uint32_t, 2> key_;
  std::array<std::uint32_t, 4> counter_;
  std::array<std::uint32_t, 4> block_{};
  unsigned used_ = 4;
};

}  // namespace muster
