#include "muster/random.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <set>
#include <vector>

#include "chi_square.hpp"

namespace muster {
namespace {

using Block = std::array<std::uint32_t, 4>;

void check_uniform(const std::vector<std::uint64_t>& counts) {
  const auto degrees_of_freedom = static_cast<double>(counts.size() - 1);
  CHECK(test::chi_square(counts) < test::chi_square_bound(degrees_of_freedom));
  CHECK(test::chi_square(counts) > test::chi_square_lower_bound(degrees_of_freedom));
}

}  // namespace

static_assert(std::uniform_random_bit_generator<Rng>);

TEST_CASE("random: Philox4x32-10 gives the known answers of Random123") {
  CHECK(philox4x32_10({0, 0, 0, 0}, {0, 0}) == Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const std::uint32_t ones = 0xffffffff;
  CHECK(philox4x32_10({ones, ones, ones, ones}, {ones, ones}) == Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("random: a stream is a function of its keys") {
  Rng first(42, 3, 17, stage_stream(2));
  Rng second(42, 3, 17, stage_stream(2));
  for (int i = 0; i < 100; ++i) CHECK(first() == second());
  Rng copy = first;
  for (int i = 0; i < 100; ++i) CHECK(copy() == first());
}

TEST_CASE("random: the numbers of a stream are fixed for good") {
  // These make every augmentation of every seed: a change of them is a breaking change.
  Rng rng(42, 3, 17, Stream::first_stage);
  std::vector<std::uint32_t> numbers;
  for (int i = 0; i < 5; ++i) numbers.push_back(rng());
  CHECK(numbers == std::vector<std::uint32_t>{0x41d35829, 0xa59fce02, 0xa2d68155, 0x7b0a74f4, 0x0ba6b5d4});
}

TEST_CASE("random: streams that differ in one key, or in one bit of it, share no block") {
  // 64 bits identify a block: two equal ones among these would be a matter of 10^-10.
  std::set<std::uint64_t> blocks;
  std::uint64_t num_blocks = 0;
  const auto add = [&](std::uint64_t seed, std::uint64_t epoch, std::uint64_t item, std::uint32_t stream) {
    Rng rng(seed, epoch, item, static_cast<Stream>(stream));
    for (int i = 0; i < 8; ++i, ++num_blocks) {
      const std::uint64_t high = rng();
      blocks.insert(high << 32 | rng());
      rng();
      rng();
    }
  };
  add(0, 0, 0, 0);
  for (int bit = 0; bit < 64; ++bit) {
    const std::uint64_t one = std::uint64_t{1} << bit;
    add(one, 0, 0, 0);
    add(0, one, 0, 0);
    add(0, 0, one, 0);
    add(one, one, one, 0);
    if (bit < 32) add(0, 0, 0, static_cast<std::uint32_t>(one));
  }
  for (std::uint64_t item = 3; item < 3000; ++item) add(7, item % 10, item, 16 + static_cast<std::uint32_t>(item % 5));
  CHECK(blocks.size() == num_blocks);
}

TEST_CASE("random: stage streams count up from the first and meet no other purpose") {
  CHECK(stage_stream(0) == Stream::first_stage);
  CHECK(static_cast<std::uint32_t>(stage_stream(5)) == static_cast<std::uint32_t>(Stream::first_stage) + 5);
  CHECK(static_cast<std::uint32_t>(Stream::synth) < static_cast<std::uint32_t>(Stream::first_stage));
}

TEST_CASE("random: every bit of the generator is fair, within a stream and across items") {
  std::vector<std::uint64_t> within(64), across(64);
  Rng one(1, 2, 3, Stream::synth);
  for (std::uint64_t i = 0; i < 100'000; ++i) {
    const std::uint32_t a = one();
    const std::uint32_t b = Rng(1, 2, i, Stream::synth)();
    for (std::size_t bit = 0; bit < 32; ++bit) {
      ++within[2 * bit + (a >> bit & 1u)];
      ++across[2 * bit + (b >> bit & 1u)];
    }
  }
  for (std::size_t bit = 0; bit < 32; ++bit) {
    const double bound = test::chi_square_bound(1);
    CHECK(test::chi_square({within[2 * bit], within[2 * bit + 1]}) < bound);
    CHECK(test::chi_square({across[2 * bit], across[2 * bit + 1]}) < bound);
  }
}

TEST_CASE("random: uniform() lies in [0, 1), fills it evenly, and uses 53 bits") {
  Rng rng(5, 0, 0, Stream::synth);
  std::vector<std::uint64_t> counts(1000);
  std::vector<std::uint64_t> pairs(400);
  bool uses_last_bit = false;
  double previous = 0;
  for (int i = 0; i < 400'000; ++i) {
    const double value = rng.uniform();
    REQUIRE(value >= 0.0);
    REQUIRE(value < 1.0);
    ++counts[static_cast<std::size_t>(value * 1000)];
    if (i % 2 == 1) ++pairs[static_cast<std::size_t>(previous * 20) * 20 + static_cast<std::size_t>(value * 20)];
    uses_last_bit = uses_last_bit || std::fmod(value * 0x1.0p53, 2) == 1;
    previous = value;
  }
  check_uniform(counts);
  check_uniform(pairs);
  CHECK(uses_last_bit);
}

TEST_CASE("random: uniform(low, high) stretches uniform(), and gives low itself for an empty range") {
  Rng a(6, 0, 0, Stream::synth), b(6, 0, 0, Stream::synth);
  for (int i = 0; i < 1000; ++i) CHECK(a.uniform(-3.0, 5.0) == -3.0 + 8.0 * b.uniform());
  CHECK(a.uniform(0.1, 0.1) == 0.1);
}

TEST_CASE("random: uniform_int reaches both ends and every number between equally often") {
  for (const std::int64_t n : {1, 2, 3, 7, 10, 64, 1000}) {
    Rng rng(8, 0, static_cast<std::uint64_t>(n), Stream::synth);
    std::vector<std::uint64_t> counts(static_cast<std::size_t>(n));
    for (std::int64_t i = 0; i < 1000 * n; ++i) {
      const std::int64_t value = rng.uniform_int(-5, n - 6);
      REQUIRE(value >= -5);
      REQUIRE(value <= n - 6);
      ++counts[static_cast<std::size_t>(value + 5)];
    }
    if (n > 1) {
      check_uniform(counts);
    } else {
      CHECK(counts[0] == 1000);
    }
  }
}

TEST_CASE("random: uniform_int has no bias where a remainder would have a large one") {
  // Of 3 · 2^62 values a plain product of 64 bits gives every third twice as often: thirds 1:1:2 in some order.
  constexpr std::int64_t low = std::numeric_limits<std::int64_t>::min();
  const std::int64_t high = static_cast<std::int64_t>((std::uint64_t{3} << 62) - 1 - (std::uint64_t{1} << 63));
  Rng rng(9, 0, 0, Stream::synth);
  std::vector<std::uint64_t> residues(3), thirds(3);
  for (int i = 0; i < 90'000; ++i) {
    const auto offset = static_cast<std::uint64_t>(rng.uniform_int(low, high)) - (std::uint64_t{1} << 63);
    REQUIRE(offset < std::uint64_t{3} << 62);
    ++residues[offset % 3];
    ++thirds[offset >> 62];
  }
  check_uniform(residues);
  check_uniform(thirds);
}

TEST_CASE("random: uniform_int takes the whole range of 64 bits, and one number") {
  constexpr std::int64_t min = std::numeric_limits<std::int64_t>::min();
  constexpr std::int64_t max = std::numeric_limits<std::int64_t>::max();
  Rng rng(10, 0, 0, Stream::synth);
  std::vector<std::uint64_t> counts(16);
  for (int i = 0; i < 16'000; ++i) ++counts[static_cast<std::uint64_t>(rng.uniform_int(min, max)) >> 60];
  check_uniform(counts);
  CHECK(rng.uniform_int(max, max) == max);
  CHECK(rng.uniform_int(min, min) == min);
  for (int i = 0; i < 100; ++i) CHECK(rng.uniform_int(min, max - 1) < max);
}

TEST_CASE("random: bernoulli is uniform() < p") {
  Rng a(11, 0, 0, Stream::synth), b(11, 0, 0, Stream::synth);
  std::vector<std::uint64_t> counts(2);
  for (int i = 0; i < 100'000; ++i) {
    const bool hit = a.bernoulli(0.5);
    REQUIRE(hit == (b.uniform() < 0.5));
    ++counts[hit ? 1 : 0];
  }
  check_uniform(counts);
  for (int i = 0; i < 1000; ++i) {
    CHECK_FALSE(a.bernoulli(0.0));
    CHECK(a.bernoulli(1.0));
  }
}

}  // namespace muster
