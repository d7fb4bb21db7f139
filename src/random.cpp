#include "muster/random.hpp"

namespace muster {
namespace {

__extension__ using uint128 = unsigned __int128;

constexpr std::uint32_t low_word(std::uint64_t value) noexcept { return static_cast<std::uint32_t>(value); }
constexpr std::uint32_t high_word(std::uint64_t value) noexcept { return static_cast<std::uint32_t>(value >> 32); }

}  // namespace

std::array<std::uint32_t, 4> philox4x32_10(std::array<std::uint32_t, 4> counter,
                                           std::array<std::uint32_t, 2> key) noexcept {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xd2511f53u} * counter[0];
    const std::uint64_t product1 = std::uint64_t{0xcd9e8d57u} * counter[2];
    counter = {high_word(product1) ^ counter[1] ^ key[0], low_word(product1), high_word(product0) ^ counter[3] ^ key[1],
               low_word(product0)};
    key[0] += 0x9e3779b9u;
    key[1] += 0xbb67ae85u;
  }
  return counter;
}

// Why streams do not meet. One block, a bijection of the epoch for each seed, gives every (seed, epoch) 128 bits:
// 64 of them are the key of its streams, 64 mask the item in their counters {block, stream, item ^ mask}.
//   - Within an epoch the key and the mask are fixed, so different (item, stream, block) are different counters
//     under one key, and Philox maps these to different blocks.
//   - Two epochs of one seed never have key and mask in common. Two (seed, epoch) pairs could share blocks only if
//     their keys are equal (one chance in 2^64) and their masks differ in no bit that their items leave unused.
// A stream holds 2^32 blocks, 2^34 numbers, before it repeats.
Rng::Rng(std::uint64_t seed, std::uint64_t epoch, std::uint64_t item, Stream stream) noexcept {
  const std::array<std::uint32_t, 4> derived =
      philox4x32_10({low_word(epoch), high_word(epoch), 0x6d757374u, 0x65720000u}, {low_word(seed), high_word(seed)});
  key_ = {derived[0], derived[1]};
  counter_ = {0, static_cast<std::uint32_t>(stream), low_word(item) ^ derived[2], high_word(item) ^ derived[3]};
}

Rng::result_type Rng::operator()() noexcept {
  if (used_ == block_.size()) {
    block_ = philox4x32_10(counter_, key_);
    ++counter_[0];
    used_ = 0;
  }
  return block_[used_++];
}

double Rng::uniform() noexcept {
  const std::uint64_t high = (*this)();
  const std::uint64_t low = (*this)();
  return static_cast<double>((high << 32 | low) >> 11) * 0x1.0p-53;
}

double Rng::uniform(double low, double high) noexcept { return low + (high - low) * uniform(); }

// Lemire, "Fast random integer generation in an interval", ACM TOMACS 29 (2019): the high half of bits · range,
// redrawn while the low half lies among the 2^64 mod range values that would come out once too often.
std::int64_t Rng::uniform_int(std::int64_t low, std::int64_t high) noexcept {
  const auto bits64 = [this] {
    const std::uint64_t high_bits = (*this)();
    return high_bits << 32 | (*this)();
  };
  const std::uint64_t range = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low) + 1;
  if (range == 0) return static_cast<std::int64_t>(bits64());  // all of int64
  uint128 product = static_cast<uint128>(bits64()) * range;
  if (static_cast<std::uint64_t>(product) < range) {
    const std::uint64_t surplus = -range % range;
    while (static_cast<std::uint64_t>(product) < surplus) product = static_cast<uint128>(bits64()) * range;
  }
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(low) + static_cast<std::uint64_t>(product >> 64));
}

bool Rng::bernoulli(double p) noexcept { return uniform() < p; }

}  // namespace muster
