#include "muster/order.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "chi_square.hpp"

namespace muster {
namespace {

std::vector<std::uint64_t> epoch_of(const Order& order, std::uint64_t epoch) {
  std::vector<std::uint64_t> ids;
  for (std::uint64_t row = 0; row < order.num_rows(); ++row) ids.push_back(order.sample_id(epoch, row));
  return ids;
}

void check_fair(const std::vector<std::uint64_t>& counts, double degrees_of_freedom) {
  CHECK(test::chi_square(counts) < test::chi_square_bound(degrees_of_freedom));
  CHECK(test::chi_square(counts) > test::chi_square_lower_bound(degrees_of_freedom));
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
  std::vector<std::uint64_t> sizes(600);
  std::iota(sizes.begin(), sizes.end(), 1);
  for (const std::uint64_t n : {1023, 1024, 1025, 1999, 2000, 4096, 4097, 16385, 65536, 65537}) sizes.push_back(n);
  for (const std::uint64_t n : sizes) {
    for (const std::uint64_t seed : {0, 42}) {
      const ShuffledOrder order(n, seed);
      for (const std::uint64_t epoch : {0, 1, 89}) {
        std::vector<std::uint64_t> ids = epoch_of(order, epoch);
        std::sort(ids.begin(), ids.end());
        std::uint64_t num_wrong = 0;
        for (std::uint64_t i = 0; i < n; ++i) num_wrong += ids[i] != i;
        REQUIRE(num_wrong == 0);
      }
    }
  }
}

TEST_CASE("order: huge data sets shuffle without a table") {
  for (const std::uint64_t n : {std::uint64_t{10'000'000'000}, ~std::uint64_t{0}}) {
    const ShuffledOrder order(n, 1);
    std::set<std::uint64_t> ids;
    for (std::uint64_t row = 0; row < 5000; ++row) {
      ids.insert(order.sample_id(0, row));
      ids.insert(order.sample_id(0, n - 1 - row));
    }
    CHECK(ids.size() == 10'000);
    CHECK(*ids.rbegin() < n);
    CHECK(*ids.rbegin() > n - n / 100);
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
  CHECK(epoch_of(ShuffledOrder(10, 42), 0) == std::vector<std::uint64_t>{4, 9, 0, 6, 8, 5, 1, 2, 3, 7});
}

TEST_CASE("order: a row outside the epoch is refused") {
  CHECK_THROWS_WITH_AS(ShuffledOrder(10, 42).sample_id(0, 10), "[order] expected a row below 10, received 10",
                       ConfigError);
  CHECK_THROWS_AS(ShuffledOrder(0, 42).sample_id(0, 0), ConfigError);
}

TEST_CASE("order: few samples come in all permutations equally often") {
  for (const std::uint64_t n : {2, 3, 4}) {
    std::map<std::vector<std::uint64_t>, std::uint64_t> occurrences;
    const ShuffledOrder order(n, 7);
    std::uint64_t num_permutations = 1;
    for (std::uint64_t i = 2; i <= n; ++i) num_permutations *= i;
    for (std::uint64_t epoch = 0; epoch < 1000 * num_permutations; ++epoch) ++occurrences[epoch_of(order, epoch)];
    REQUIRE(occurrences.size() == num_permutations);
    std::vector<std::uint64_t> counts;
    for (const auto& [ids, count] : occurrences) counts.push_back(count);
    check_fair(counts, static_cast<double>(num_permutations - 1));
  }
}

TEST_CASE("order: every sample comes at every position equally often, and after every other") {
  for (const std::uint64_t n : {5, 16, 17, 97}) {
    for (const bool vary_seed : {false, true}) {
      std::vector<std::uint64_t> by_position(n * n);
      std::vector<std::uint64_t> by_predecessor(n * n);
      for (std::uint64_t key = 0; key < 2000; ++key) {
        const std::vector<std::uint64_t> ids =
            vary_seed ? epoch_of(ShuffledOrder(n, key), 3) : epoch_of(ShuffledOrder(n, 3), key);
        for (std::uint64_t row = 0; row < n; ++row) {
          ++by_position[row * n + ids[row]];
          if (row > 0) ++by_predecessor[ids[row - 1] * n + ids[row]];
        }
      }
      const auto m = static_cast<double>(n);
      // Rows and columns of the table have fixed sums, which takes (n - 1)^2 from n^2 degrees of freedom.
      check_fair(by_position, (m - 1) * (m - 1));
      std::vector<std::uint64_t> pairs;
      for (std::uint64_t a = 0; a < n; ++a) {
        for (std::uint64_t b = 0; b < n; ++b) {
          if (a != b) pairs.push_back(by_predecessor[a * n + b]);
          if (a == b) CHECK(by_predecessor[a * n + b] == 0);
        }
      }
      check_fair(pairs, m * (m - 1) - 1);
    }
  }
}

TEST_CASE("order: neighbours in one long epoch are not neighbours in the listing") {
  constexpr std::uint64_t n = 100'000;
  const std::vector<std::uint64_t> ids = epoch_of(ShuffledOrder(n, 11), 0);
  std::vector<std::uint64_t> distances(50);
  for (std::uint64_t row = 1; row < n; ++row) ++distances[(ids[row] + n - ids[row - 1]) % n * 50 / n];
  check_fair(distances, 49);
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
