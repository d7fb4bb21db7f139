#include "muster/order.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "chi_square.hpp"
#include "muster/random.hpp"

namespace muster {
namespace {

using Ids = std::vector<std::uint64_t>;

Ids epoch_of(const Order& order, std::uint64_t epoch) {
  Ids ids;
  for (std::uint64_t row = 0; row < order.num_rows(); ++row) ids.push_back(order.sample_id(epoch, row));
  return ids;
}

/// True if every id below the number of rows comes once.
bool is_permutation(const Ids& ids) {
  std::vector<bool> seen(ids.size());
  for (const std::uint64_t id : ids) {
    if (id >= ids.size() || seen[id]) return false;
    seen[id] = true;
  }
  return true;
}

// Ways to make shuffle number `key` of n samples. Those of ShuffledOrder are held to what Fisher and Yates' gives.
using Shuffle = Ids (*)(std::uint64_t n, std::uint64_t key);

Ids shuffle_by_epoch(std::uint64_t n, std::uint64_t key) { return epoch_of(ShuffledOrder(n, 7), key); }
Ids shuffle_by_seed(std::uint64_t n, std::uint64_t key) { return epoch_of(ShuffledOrder(n, key), 3); }
Ids shuffle_of_block(std::uint64_t n, std::uint64_t key) {
  const BlockShuffledOrder order(n * (key + 1), n, 7);
  Ids ids;
  for (std::uint64_t row = 0; row < n; ++row) ids.push_back(order.sample_id(3, key * n + row) - key * n);
  return ids;
}
Ids fisher_yates(std::uint64_t n, std::uint64_t key) {
  Rng rng(99, key, 0, Stream::shuffle);
  Ids ids(n);
  for (std::uint64_t i = 0; i < n; ++i) {
    const auto j = static_cast<std::uint64_t>(rng.uniform_int(0, static_cast<std::int64_t>(i)));
    ids[i] = ids[j];
    ids[j] = i;
  }
  return ids;
}

struct NamedShuffle {
  const char* name;
  Shuffle shuffle;
};
constexpr NamedShuffle shuffles[] = {{"by epoch", shuffle_by_epoch},
                                     {"by seed", shuffle_by_seed},
                                     {"of block", shuffle_of_block},
                                     {"Fisher-Yates", fisher_yates}};

/// A fair statistic lies further out less than once in a million, and keys are fixed.
constexpr double max_deviations = 5;

/// Counts that should be equal: the cube root of chi-square is nearly normal (Wilson and Hilferty, 1931).
void check_fair(const std::vector<std::uint64_t>& counts, double degrees_of_freedom) {
  const double variance = 2 / (9 * degrees_of_freedom);
  const double root = std::cbrt(test::chi_square(counts) / degrees_of_freedom);
  CHECK(std::abs(root - (1 - variance)) / std::sqrt(variance) < max_deviations);
}

/// A sum of many draws.
void check_near(double sum, double mean, double variance) {
  CHECK(std::abs(sum - mean) / std::sqrt(variance) < max_deviations);
}

/// Lexicographic rank among the permutations of as many elements.
std::size_t rank_of(const Ids& ids) {
  std::size_t rank = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto num_below = std::count_if(ids.begin() + static_cast<std::ptrdiff_t>(i), ids.end(),
                                         [&](std::uint64_t id) { return id < ids[i]; });
    rank = rank * (ids.size() - i) + static_cast<std::size_t>(num_below);
  }
  return rank;
}

bool is_odd(const Ids& ids) {
  std::vector<bool> seen(ids.size());
  std::size_t num_exchanges = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    for (std::size_t j = i; !seen[j]; j = ids[j]) {
      seen[j] = true;
      num_exchanges += ids[j] != i;
    }
  }
  return num_exchanges % 2 == 1;
}

/// Counts of off-diagonal cells of a table of n × n.
std::vector<std::uint64_t> off_diagonal(const std::vector<std::uint64_t>& table, std::uint64_t n) {
  std::vector<std::uint64_t> counts;
  for (std::uint64_t i = 0; i < n * n; ++i) {
    if (i / n != i % n) counts.push_back(table[i]);
  }
  return counts;
}

constexpr LastBatch all_policies[] = {LastBatch::partial, LastBatch::drop, LastBatch::pad, LastBatch::wrap,
                                      LastBatch::strict};

std::string refusal(std::uint64_t num_rows, std::int64_t batch_size, LastBatch policy, Shard shard = {}) {
  try {
    EpochLayout(num_rows, batch_size, policy, shard);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return {};
}

}  // namespace

TEST_CASE("order: in sequence, row k is sample k") {
  const SequentialOrder order(5);
  CHECK(order.num_rows() == 5);
  CHECK(epoch_of(order, 9) == std::vector<std::uint64_t>{0, 1, 2, 3, 4});
}

TEST_CASE("order: every row of a shuffled epoch appears once, for every size") {
  std::vector<std::uint64_t> sizes(2000);
  for (std::uint64_t i = 0; i < sizes.size(); ++i) sizes[i] = i + 1;
  for (const std::uint64_t n : {2047, 2048, 2049, 4096, 4097, 16385, 65536, 65537, 300'000}) sizes.push_back(n);
  for (const std::uint64_t n : sizes) {
    CAPTURE(n);
    REQUIRE(is_permutation(epoch_of(ShuffledOrder(n, 0), 0)));
    REQUIRE(is_permutation(epoch_of(ShuffledOrder(n, 42), 1)));
    REQUIRE(is_permutation(epoch_of(ShuffledOrder(n, ~std::uint64_t{0}), 89)));
  }
}

TEST_CASE("order: a million rows of a huge data set hold no id twice, and lie all over it") {
  constexpr std::uint64_t two_to_63 = std::uint64_t{1} << 63;
  for (const std::uint64_t n : {std::uint64_t{1'000'000'000}, std::uint64_t{10'000'000'000}, two_to_63 - 1, two_to_63,
                                two_to_63 + 1, ~std::uint64_t{0}}) {
    CAPTURE(n);
    const ShuffledOrder order(n, 1);
    const std::uint64_t num_drawn = n <= 10'000'000'000 ? 1'000'000 : 100'000;
    Ids ids;
    for (std::uint64_t row = 0; row < num_drawn / 2; ++row) {
      ids.push_back(order.sample_id(5, row));
      ids.push_back(order.sample_id(5, n - 1 - row));
    }
    std::sort(ids.begin(), ids.end());
    CHECK(std::adjacent_find(ids.begin(), ids.end()) == ids.end());
    CHECK(ids.back() < n);
    constexpr std::uint64_t num_parts = 256;
    std::vector<std::uint64_t> parts(num_parts);
    std::vector<std::uint64_t> last_bits(num_parts);
    for (const std::uint64_t id : ids) {
      ++parts[std::min(id / (n / num_parts), num_parts - 1)];
      ++last_bits[id % num_parts];
    }
    check_fair(parts, num_parts - 1);
    check_fair(last_bits, num_parts - 1);
  }
}

TEST_CASE("order: a shuffle is a function of seed and epoch") {
  const auto ids = [](std::uint64_t seed, std::uint64_t epoch) { return epoch_of(ShuffledOrder(1000, seed), epoch); };
  CHECK(ids(3, 4) == ids(3, 4));
  CHECK(ids(3, 4) != ids(3, 5));
  CHECK(ids(3, 4) != ids(4, 4));
  CHECK(ids(3, 4) != ids(4, 3));
}

TEST_CASE("order: the shuffle of a seed is fixed for good") {
  CHECK(epoch_of(ShuffledOrder(10, 42), 0) == Ids{0, 3, 8, 9, 5, 7, 1, 4, 2, 6});
  const ShuffledOrder huge(10'000'000'000, 42);
  CHECK(huge.sample_id(7, 0) == 8'721'577'743);
  CHECK(huge.sample_id(7, 9'999'999'999) == 8'175'625'258);
}

TEST_CASE("order: a row outside the epoch is refused") {
  CHECK_THROWS_WITH_AS(ShuffledOrder(10, 42).sample_id(0, 10), "[order] expected a row below 10, received 10",
                       ConfigError);
  CHECK_THROWS_AS(ShuffledOrder(0, 42).sample_id(0, 0), ConfigError);
}

TEST_CASE("order: few samples come in all permutations as evenly as Fisher and Yates shuffle them") {
  for (const auto& [name, shuffle] : shuffles) {
    CAPTURE(name);
    std::uint64_t num_permutations = 1;
    for (std::uint64_t n = 2; n <= 8; ++n) {
      CAPTURE(n);
      num_permutations *= n;
      std::vector<std::uint64_t> counts(num_permutations);
      const std::uint64_t num_shuffles = std::max<std::uint64_t>(50'000, 8 * num_permutations);
      for (std::uint64_t key = 0; key < num_shuffles; ++key) ++counts[rank_of(shuffle(n, key))];
      check_fair(counts, static_cast<double>(num_permutations - 1));
    }
  }
}

TEST_CASE("order: odd permutations come as often as even ones, powers of two included") {
  for (const auto& [name, shuffle] : shuffles) {
    CAPTURE(name);
    for (const std::uint64_t n : {4, 12, 16, 31, 64, 97, 256}) {
      CAPTURE(n);
      const std::uint64_t num_shuffles = n < 32 ? 20'000 : 2000;
      std::uint64_t num_odd = 0;
      for (std::uint64_t key = 0; key < num_shuffles; ++key) num_odd += is_odd(shuffle(n, key));
      const auto m = static_cast<double>(num_shuffles);
      check_near(static_cast<double>(num_odd), m / 2, m / 4);
    }
  }
}

TEST_CASE("order: every sample comes at every position, and after every other, equally often") {
  for (const auto& [name, shuffle] : shuffles) {
    CAPTURE(name);
    for (const std::uint64_t n : {5, 9, 16, 17, 33, 97, 257}) {
      CAPTURE(n);
      const std::uint64_t num_shuffles = n < 32 ? 20'000 : 2000;
      std::vector<std::uint64_t> at_position(n * n);
      std::vector<std::uint64_t> after(n * n);
      std::vector<std::uint64_t> two_after(n * n);
      std::vector<std::uint64_t> in_next(n * n);  // what stands in the same row of the shuffle with the next key
      std::uint64_t num_fixed = 0;
      Ids last;
      for (std::uint64_t key = 0; key < num_shuffles; ++key) {
        Ids ids = shuffle(n, key);
        for (std::uint64_t row = 0; row < n; ++row) {
          ++at_position[row * n + ids[row]];
          num_fixed += ids[row] == row;
          if (row >= 1) ++after[ids[row - 1] * n + ids[row]];
          if (row >= 2) ++two_after[ids[row - 2] * n + ids[row]];
          if (key > 0) ++in_next[last[row] * n + ids[row]];
        }
        last = std::move(ids);
      }
      const auto m = static_cast<double>(n);
      // Rows and columns of these tables have fixed sums, which takes (n - 1)^2 from n^2 degrees of freedom.
      check_fair(at_position, (m - 1) * (m - 1));
      check_fair(in_next, (m - 1) * (m - 1));
      check_fair(off_diagonal(after, n), m * (m - 1) - 1);
      check_fair(off_diagonal(two_after, n), m * (m - 1) - 1);
      // Of any fair shuffle, one sample stands at its own place on average, with a variance of one.
      check_near(static_cast<double>(num_fixed), static_cast<double>(num_shuffles), static_cast<double>(num_shuffles));
    }
  }
}

TEST_CASE("order: long shuffles rise and fall like Fisher and Yates'") {
  for (const auto& [name, shuffle] : shuffles) {
    CAPTURE(name);
    for (const std::uint64_t n : {1000, 65'536, 300'000}) {
      CAPTURE(n);
      // Ascending runs, without the element that ends one, so that the next is independent: a run has length r with
      // probability 1/r! - 1/(r+1)! (Knuth, "Seminumerical algorithms", 3.3.2, exercise 14).
      std::vector<std::uint64_t> num_runs(7);
      for (std::uint64_t key = 0; key < 1 + 300'000 / n; ++key) {
        const Ids ids = shuffle(n, key);
        for (std::size_t first = 0; first < ids.size();) {
          std::size_t end = first + 1;
          while (end < ids.size() && ids[end] > ids[end - 1]) ++end;
          if (end < ids.size()) ++num_runs[std::min(end - first, num_runs.size()) - 1];
          first = end + 1;
        }
      }
      double num_all = 0;
      for (const std::uint64_t count : num_runs) num_all += static_cast<double>(count);
      double factorial = 1;  // of r
      for (std::size_t r = 1; r <= num_runs.size(); ++r) {
        factorial *= static_cast<double>(r);
        const double rest = r < num_runs.size() ? 1 / (factorial * static_cast<double>(r + 1)) : 0;
        const double p = 1 / factorial - rest;
        check_near(static_cast<double>(num_runs[r - 1]), num_all * p, num_all * p * (1 - p));
      }
    }
  }
}

TEST_CASE("order: in long shuffles neither neighbours nor shuffles with neighbouring keys know of each other") {
  constexpr std::uint64_t num_parts = 32;
  for (const auto& [name, shuffle] : shuffles) {
    CAPTURE(name);
    for (const std::uint64_t n : {num_parts * 1024, num_parts * 3000}) {
      CAPTURE(n);
      const std::uint64_t part_size = n / num_parts;
      const Ids ids = shuffle(n, 11);
      const Ids next = shuffle(n, 12);
      std::vector<std::uint64_t> steps(num_parts);
      std::vector<std::uint64_t> last_bits_of_steps(num_parts);
      std::vector<std::uint64_t> moves(num_parts);
      std::vector<std::uint64_t> parts(num_parts * num_parts);
      std::vector<std::uint64_t> last_bits(num_parts * num_parts);
      for (std::uint64_t row = 0; row < n; ++row) {
        const std::uint64_t step = (ids[row] + n - ids[row == 0 ? n - 1 : row - 1]) % n;
        ++steps[step / part_size];
        ++last_bits_of_steps[step % num_parts];
        ++moves[(ids[row] + n - row) % n / part_size];
        ++parts[ids[row] / part_size * num_parts + next[row] / part_size];
        ++last_bits[ids[row] % num_parts * num_parts + next[row] % num_parts];
      }
      check_fair(steps, num_parts - 1);
      check_fair(last_bits_of_steps, num_parts - 1);
      check_fair(moves, num_parts - 1);
      check_fair(parts, (num_parts - 1) * (num_parts - 1));
      check_fair(last_bits, (num_parts - 1) * (num_parts - 1));
    }
  }
}

TEST_CASE("order: a block shuffle permutes within blocks that stay in sequence") {
  for (const std::uint64_t n : {1, 2, 7, 8, 9, 100, 101, 1000}) {
    for (const std::uint64_t block_size : {1, 2, 3, 8, 64, 100, 5000}) {
      CAPTURE(n);
      CAPTURE(block_size);
      const BlockShuffledOrder order(n, block_size, 5);
      CHECK(order.num_rows() == n);
      const Ids ids = epoch_of(order, 2);
      CHECK(is_permutation(ids));
      std::uint64_t num_outside = 0;
      for (std::uint64_t row = 0; row < n; ++row) num_outside += ids[row] / block_size != row / block_size;
      CHECK(num_outside == 0);
    }
  }
}

TEST_CASE("order: blocks, epochs and seeds have block shuffles of their own; one block is a plain shuffle") {
  constexpr std::uint64_t size = 50;
  const auto block = [](std::uint64_t seed, std::uint64_t epoch, std::uint64_t index) {
    const BlockShuffledOrder order(10 * size, size, seed);
    Ids ids;
    for (std::uint64_t k = 0; k < size; ++k) ids.push_back(order.sample_id(epoch, index * size + k) - index * size);
    return ids;
  };
  CHECK(block(1, 2, 3) == block(1, 2, 3));
  CHECK(block(1, 2, 3) != block(1, 2, 4));
  CHECK(block(1, 2, 3) != block(1, 3, 3));
  CHECK(block(1, 2, 3) != block(2, 2, 3));
  CHECK(epoch_of(BlockShuffledOrder(77, 100, 9), 4) == epoch_of(ShuffledOrder(77, 9), 4));
}

TEST_CASE("order: a block shuffle of a huge data set is as quick as a small one, and refuses what cannot be") {
  const std::uint64_t n = ~std::uint64_t{0};
  const BlockShuffledOrder order(n, 1000, 5);
  CHECK(order.sample_id(0, n - 1) / 1000 == (n - 1) / 1000);
  CHECK_THROWS_WITH_AS(order.sample_id(0, n),
                       "[order] expected a row below 18446744073709551615, received 18446744073709551615", ConfigError);
  CHECK_THROWS_WITH_AS(BlockShuffledOrder(10, 0, 5), "[order] expected blocks of at least 1 sample, received 0",
                       ConfigError);
  CHECK_THROWS_AS(BlockShuffledOrder(0, 10, 5).sample_id(0, 0), ConfigError);
}

TEST_CASE("order: leaving samples out keeps the ids of the rest") {
  const auto rest = std::make_shared<SequentialOrder>(6);
  CHECK(epoch_of(ExcludingOrder(rest, {}), 0) == Ids{0, 1, 2, 3, 4, 5});
  CHECK(epoch_of(ExcludingOrder(rest, {0}), 0) == Ids{1, 2, 3, 4, 5, 6});
  CHECK(epoch_of(ExcludingOrder(rest, {6}), 0) == Ids{0, 1, 2, 3, 4, 5});
  CHECK(epoch_of(ExcludingOrder(rest, {7, 2, 3, 7, 2}), 0) == Ids{0, 1, 4, 5, 6, 8});
  CHECK(epoch_of(ExcludingOrder(rest, {0, 1, 2}), 0) == Ids{3, 4, 5, 6, 7, 8});

  Rng rng(3, 0, 0, Stream::shuffle);
  for (int trial = 0; trial < 200; ++trial) {
    const std::uint64_t n = 1 + rng() % 300;
    std::set<std::uint64_t> excluded;
    for (std::uint64_t i = rng() % n; i > 0; --i) excluded.insert(rng() % n);
    Ids left;
    for (std::uint64_t id = 0; id < n; ++id) {
      if (!excluded.contains(id)) left.push_back(id);
    }
    const auto shuffled = std::make_shared<ShuffledOrder>(left.size(), 8);
    const ExcludingOrder order(shuffled, Ids(excluded.rbegin(), excluded.rend()));
    Ids expected;
    for (const std::uint64_t position : epoch_of(*shuffled, 1)) expected.push_back(left[position]);
    CHECK(epoch_of(order, 1) == expected);
  }
}

TEST_CASE("order: ids to leave out must be those of samples") {
  const auto rest = std::make_shared<SequentialOrder>(6);
  CHECK_THROWS_WITH_AS(ExcludingOrder(rest, {2, 8, 2}),
                       "[order] expected ids to exclude below the number of samples (6 left in and 2 left out), "
                       "received 8; does the list belong to another data set?",
                       ConfigError);
  CHECK_NOTHROW(ExcludingOrder(rest, {2, 7}));
  CHECK_THROWS_AS(ExcludingOrder(rest, {~std::uint64_t{0}}), ConfigError);
  CHECK_NOTHROW(ExcludingOrder(std::make_shared<SequentialOrder>(~std::uint64_t{0}), {~std::uint64_t{0}}));
  CHECK_THROWS_WITH_AS(ExcludingOrder(nullptr, {1}),
                       "[order] expected an order of the samples that are left in, received none", ConfigError);
}

TEST_CASE("order: ours promise unique ids, one of the user's promises nothing by itself") {
  struct Constant : Order {
    std::uint64_t num_rows() const override { return 4; }
    std::uint64_t sample_id(std::uint64_t, std::uint64_t) const override { return 3; }
  };
  CHECK(SequentialOrder(4).ids_are_unique());
  CHECK(ShuffledOrder(4, 1).ids_are_unique());
  CHECK(BlockShuffledOrder(4, 2, 1).ids_are_unique());
  CHECK(ExcludingOrder(std::make_shared<ShuffledOrder>(4, 1), {2}).ids_are_unique());
  CHECK_FALSE(Constant().ids_are_unique());
  CHECK_FALSE(ExcludingOrder(std::make_shared<Constant>(), {2}).ids_are_unique());
}

TEST_CASE("order: names of last-batch policies lead back to them") {
  for (const LastBatch policy : all_policies) CHECK(last_batch_from_name(name(policy)) == policy);
  CHECK_THROWS_WITH_AS(last_batch_from_name("keep"),
                       "[last batch] there is no 'keep'; known: partial, drop, pad, wrap, strict", ConfigError);
}

TEST_CASE("order: over all ranks every row is delivered as its policy says") {
  for (std::uint64_t n = 1; n <= 41; ++n) {
    for (std::int64_t batch_size = 1; batch_size <= 15; batch_size += 2) {
      for (std::uint64_t num_ranks = 1; num_ranks <= 5; ++num_ranks) {
        for (const LastBatch policy : all_policies) {
          CAPTURE(n);
          CAPTURE(batch_size);
          CAPTURE(num_ranks);
          CAPTURE(name(policy));
          const std::uint64_t global_size = static_cast<std::uint64_t>(batch_size) * num_ranks;
          const std::uint64_t remainder = n % global_size;
          const bool is_refused =
              (policy == LastBatch::strict && remainder != 0) || (policy == LastBatch::drop && n < global_size);
          REQUIRE(refusal(n, batch_size, policy, {0, num_ranks}).empty() == !is_refused);
          if (is_refused) continue;

          const bool delivers_remainder = remainder != 0 && policy != LastBatch::drop;
          const std::uint64_t num_batches = n / global_size + (delivers_remainder ? 1 : 0);
          std::vector<std::uint64_t> num_delivered(n);
          std::uint64_t num_fillers = 0;
          std::uint64_t num_wrapped = 0;
          bool is_well_formed = true;
          for (std::uint64_t rank = 0; rank < num_ranks; ++rank) {
            const EpochLayout layout(n, batch_size, policy, {rank, num_ranks});
            REQUIRE(layout.num_batches() == num_batches);
            CHECK(layout.num_dropped() == (policy == LastBatch::drop ? remainder : 0));
            for (std::uint64_t batch = 0; batch < num_batches; ++batch) {
              const std::int64_t num_rows = layout.num_rows(batch);
              const bool may_be_short = policy == LastBatch::partial && batch + 1 == num_batches;
              is_well_formed &= num_rows >= 1 && num_rows <= batch_size && (may_be_short || num_rows == batch_size);
              for (std::int64_t k = 0; k < num_rows; ++k) {
                const std::optional<std::uint64_t> row = layout.row(batch, k);
                const bool wrapped = layout.wrapped(batch, k);
                num_fillers += row ? 0 : 1;
                num_wrapped += wrapped ? 1 : 0;
                if (!row) continue;
                const std::uint64_t position =
                    (batch * static_cast<std::uint64_t>(batch_size) + static_cast<std::uint64_t>(k)) * num_ranks + rank;
                is_well_formed &= *row == position % n && wrapped == (position >= n);
                if (!wrapped) ++num_delivered[*row];
              }
            }
          }
          CHECK(is_well_formed);
          for (std::uint64_t row = 0; row < n; ++row) {
            CHECK(num_delivered[row] == (policy == LastBatch::drop && row >= n - remainder ? 0 : 1));
          }
          const std::uint64_t num_missing = delivers_remainder ? global_size - remainder : 0;
          CHECK(num_wrapped == (policy == LastBatch::wrap ? num_missing : 0));
          if (policy == LastBatch::partial) {  // one filler for each rank that would have none
            CHECK(num_fillers == (delivers_remainder && remainder < num_ranks ? num_ranks - remainder : 0));
          } else {
            CHECK(num_fillers == (policy == LastBatch::pad ? num_missing : 0));
          }
        }
      }
    }
  }
}

TEST_CASE("order: the last partial batch has n = size % batch_size rows") {
  const EpochLayout layout(400, 64, LastBatch::partial);
  CHECK(layout.num_batches() == 7);
  CHECK(layout.num_rows(5) == 64);
  CHECK(layout.num_rows(6) == 16);
  CHECK(layout.row(6, 15) == 399);
}

TEST_CASE("order: wrapping goes round several times when the epoch is smaller than a batch") {
  const EpochLayout layout(3, 8, LastBatch::wrap);
  REQUIRE(layout.num_batches() == 1);
  std::vector<std::uint64_t> rows;
  for (std::int64_t k = 0; k < 8; ++k) {
    rows.push_back(layout.row(0, k).value());
    CHECK(layout.wrapped(0, k) == (k >= 3));
  }
  CHECK(rows == std::vector<std::uint64_t>{0, 1, 2, 0, 1, 2, 0, 1});
}

TEST_CASE("order: a batch size above the number of rows is fine where the last batch may be filled or short") {
  for (const LastBatch policy : {LastBatch::partial, LastBatch::pad, LastBatch::wrap}) {
    const EpochLayout layout(10, 64, policy);
    CHECK(layout.num_batches() == 1);
    CHECK(layout.num_rows(0) == (policy == LastBatch::partial ? 10 : 64));
  }
}

TEST_CASE("order: layouts that cannot be are refused with what to do") {
  CHECK(refusal(10, 0, LastBatch::partial) ==
        "[order] expected a batch size of at least 1, received 0; set LoaderOptions::batch_size");
  CHECK_FALSE(refusal(10, -3, LastBatch::partial).empty());
  CHECK(refusal(0, 4, LastBatch::partial) ==
        "[order] expected at least one row in an epoch, received none; is the source or the order empty?");
  CHECK(refusal(10, 4, LastBatch::partial, {2, 2}) ==
        "[order] expected a shard index below the number of shards, received shard 2 of 2; count from 0");
  CHECK_FALSE(refusal(10, 4, LastBatch::partial, {0, 0}).empty());
  CHECK(refusal(400, 64, LastBatch::strict) ==
        "[order] LastBatch::strict expected the 400 rows of an epoch to divide into batches of 64 rows, received 6 "
        "full batches and 16 rows more; set LoaderOptions::batch_size to a divisor, or LoaderOptions::last_batch to "
        "partial, drop, pad or wrap");
  CHECK(refusal(10, 64, LastBatch::strict) ==
        "[order] LastBatch::strict expected the 10 rows of an epoch to divide into batches of 64 rows, received 0 "
        "full batches and 10 rows more; set LoaderOptions::batch_size to at most 10, or LoaderOptions::last_batch to "
        "partial, drop, pad or wrap");
  CHECK(refusal(10, 8, LastBatch::drop, {1, 2}) ==
        "[order] LastBatch::drop expected at least one full batch of 16 rows (8 for each of 2 shards), received 10 "
        "rows in an epoch, which leaves no batch; set LoaderOptions::batch_size to at most 5, or "
        "LoaderOptions::last_batch to partial, pad or wrap");
  CHECK(refusal(3, 1, LastBatch::drop, {0, 4}).find("use fewer shards") != std::string::npos);
}

TEST_CASE("order: sizes near the end of 64 bits are refused, not wrapped around") {
  const std::int64_t large = std::numeric_limits<std::int64_t>::max();
  CHECK_FALSE(refusal(10, large, LastBatch::pad, {0, 3}).empty());
  CHECK_FALSE(refusal(~std::uint64_t{0}, 1, LastBatch::pad).empty());
  const EpochLayout layout(10, large, LastBatch::pad);
  CHECK(layout.num_batches() == 1);
  CHECK_FALSE(layout.row(0, large - 1));
}

}  // namespace muster
