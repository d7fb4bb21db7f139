// Failures accounted for: error budgets, samples left out, exactly-once, and ledgers of real runs.
#include <doctest/doctest.h>

#include <cmath>

#include "loader_support.hpp"

namespace muster::test {
namespace {

NoiseSource source_with_bad(std::uint64_t num_samples, std::set<std::uint64_t> bad) {
  NoiseSource source(num_samples);
  source.bad = std::move(bad);
  return source;
}

std::string refusal(const LoaderOptions& options) {
  return message_of<ConfigError>([&] { Loader(NoiseSource(20), random_pipeline(), options); });
}

Ledger merged_ledger(std::uint64_t num_samples, std::uint64_t num_ranks, LoaderOptions options,
                     std::uint64_t epoch = 1) {
  std::optional<Ledger> merged;
  for (std::uint64_t rank = 0; rank < num_ranks; ++rank) {
    options.shard = {rank, num_ranks};
    Loader loader(NoiseSource(num_samples), random_pipeline(), options);
    rows_of(loader, epoch);
    if (merged) {
      merged->merge(Ledger::from_json(loader.ledger(epoch).to_json()));
    } else {
      merged = loader.ledger(epoch);
    }
  }
  return *merged;
}

}  // namespace

TEST_CASE("budget: an epoch goes on as long as no more rows fail than it allows") {
  LoaderOptions options{.batch_size = 4, .on_error = OnError::mask, .error_budget = {.count = 3}};
  Loader within(source_with_bad(40, {1, 9, 30}), random_pipeline(), options);
  CHECK(rows_of(within, 0).size() == 40);

  for (const int num_threads : {1, 3}) {
    options.num_threads = num_threads;
    Loader beyond(source_with_bad(40, {1, 9, 17, 30, 31}), random_pipeline(), options);
    std::vector<RowCopy> rows;
    const std::string message = message_of<BudgetError>([&] {
      for (const Batch& batch : beyond.epoch(0)) append_rows(batch, rows);
    });
    CHECK(rows.size() == 28);  // the batch of row 30 is not delivered
    CHECK(mentions(message, {"epoch 0", "at most 3", "received 5", "dir/17.ppm"}));
    CHECK(beyond.report().incidents.size() == 5);
  }
}

TEST_CASE("budget: counts anew for every epoch, and goes on counting where a run is resumed") {
  const LoaderOptions options{.batch_size = 4, .on_error = OnError::substitute, .error_budget = {.count = 2}};
  Loader loader(source_with_bad(20, {3, 12}), random_pipeline(), options);
  for (std::uint64_t epoch = 0; epoch < 3; ++epoch) CHECK(rows_of(loader, epoch).size() == 20);

  Loader first(source_with_bad(20, {3, 7}), random_pipeline(), options);
  EpochRange range = first.epoch(0);
  REQUIRE(range.next());
  REQUIRE(range.next());
  Loader second(source_with_bad(20, {3, 7, 12}), random_pipeline(), options);  // one more went bad meanwhile
  CHECK_THROWS_AS(rows_of(second.resume(first.state())), BudgetError);
}

TEST_CASE("budget: a share is of the rank's own rows, and rounds down") {
  LoaderOptions options{
      .batch_size = 5, .on_error = OnError::mask, .shard = {0, 2}, .error_budget = {.count = {}, .share = 0.1}};
  // Rank 0 has rows 0, 2, … 38 of 39: 20 of them, so two may fail.
  Loader within(source_with_bad(39, {0, 1, 3, 5, 38}), random_pipeline(), options);
  CHECK(rows_of(within, 0).size() == 20);
  Loader beyond(source_with_bad(39, {0, 2, 38}), random_pipeline(), options);
  CHECK_THROWS_AS(rows_of(beyond, 0), BudgetError);
}

TEST_CASE("budget: the incidents of the batch that exceeded it can be had, however many there were") {
  std::set<std::uint64_t> bad;
  for (std::uint64_t id = 0; id < 12'000; ++id) bad.insert(id);
  LoaderOptions options{.batch_size = 1000, .on_error = OnError::mask, .error_budget = {.count = 11'000, .share = {}}};
  Loader loader(source_with_bad(12'000, bad), random_pipeline(), options);
  CHECK(loader.undelivered().empty());
  CHECK_THROWS_AS(rows_of(loader, 0), BudgetError);
  REQUIRE(loader.report().incidents.size() < 11'000);
  const std::vector<Incident> incidents = loader.undelivered();
  REQUIRE(incidents.size() == 1000);
  CHECK(incidents.front().row == 11'000);

  options = {.batch_size = 5};
  Loader raising(source_with_bad(20, {7}), random_pipeline(), options);
  CHECK_THROWS_AS(rows_of(raising, 0), SourceError);
  REQUIRE(raising.undelivered().size() == 1);
  CHECK(raising.undelivered().front().row == 7);
}

TEST_CASE("budget: a share of rows is as many as its decimal says") {
  LoaderOptions options{.batch_size = 10, .on_error = OnError::mask, .error_budget = {.count = {}, .share = 0.29}};
  REQUIRE(0.29 * 100 < 29);
  std::set<std::uint64_t> bad;
  for (std::uint64_t id = 0; id < 29; ++id) bad.insert(id);
  Loader within(source_with_bad(100, bad), random_pipeline(), options);
  CHECK(rows_of(within, 0).size() == 100);
  bad.insert(29);
  Loader beyond(source_with_bad(100, bad), random_pipeline(), options);
  CHECK_THROWS_AS(rows_of(beyond, 0), BudgetError);
}

TEST_CASE("budget: values without meaning are refused") {
  CHECK(mentions(refusal({.on_error = OnError::mask, .error_budget = {.count = {}, .share = 1.5}}), {"1.5"}));
  CHECK(mentions(refusal({.on_error = OnError::mask, .error_budget = {.count = {}, .share = std::nan("")}}), {"nan"}));
  CHECK(mentions(refusal({.error_budget = {.count = 3}}), {"on_error", "raise"}));
}

TEST_CASE("exclude: the samples never come, and the others look as they always did") {
  for (const bool shuffle : {false, true}) {
    LoaderOptions options{.batch_size = 6, .shuffle = shuffle, .seed = 5};
    Loader all(NoiseSource(30), random_pipeline(), options);
    std::map<std::uint64_t, RowCopy> expected;
    for (const RowCopy& row : rows_of(all, 2)) expected.emplace(row.id, row);

    options.exclude = {29, 4, 4, 11};
    Loader some(NoiseSource(30), random_pipeline(), options);
    CHECK(some.num_rows() == 27);
    const std::vector<RowCopy> rows = rows_of(some, 2);
    std::set<std::uint64_t> ids;
    for (const RowCopy& row : rows) {
      CHECK(ids.insert(row.id).second);
      CHECK(row.pixels == expected.at(row.id).pixels);
      CHECK(row.label == expected.at(row.id).label);
    }
    CHECK(ids.size() == 27);
    for (const std::uint64_t id : options.exclude) CHECK_FALSE(ids.contains(id));
  }
}

TEST_CASE("exclude: ids outside the listing, and leaving out everything, are refused") {
  CHECK(mentions(refusal({.exclude = {3, 20}}), {"below 20", "20"}));
  std::vector<std::uint64_t> all(20);
  for (std::uint64_t id = 0; id < all.size(); ++id) all[id] = id;
  CHECK(mentions(refusal({.exclude = all}), {"at least one sample"}));
  CHECK(mentions(refusal({.order = std::make_shared<SequentialOrder>(20), .exclude = {1}}), {"exclude"}));
}

TEST_CASE("exactly-once: refuses whatever could break the promise") {
  CHECK(mentions(refusal({.on_error = OnError::substitute, .exactly_once = true}), {"exactly_once", "substitute"}));
  CHECK(mentions(refusal({.last_batch = LastBatch::drop, .exactly_once = true}), {"exactly_once", "drop"}));
  CHECK(mentions(refusal({.last_batch = LastBatch::wrap, .exactly_once = true}), {"exactly_once", "wrap"}));
  CHECK(mentions(refusal({.order = std::make_shared<SequentialOrder>(20), .exactly_once = true}),
                 {"exactly_once", "order"}));
  CHECK(refusal({.batch_size = 5, .last_batch = LastBatch::strict, .exactly_once = true}).empty());
}

TEST_CASE("ledger: 1, 3 and 4 ranks under partial and pad merge to exactly once") {
  for (const LastBatch last_batch : {LastBatch::partial, LastBatch::pad}) {
    for (const std::uint64_t num_ranks : {1u, 3u, 4u}) {
      const LoaderOptions options{
          .batch_size = 10, .shuffle = true, .seed = 9, .last_batch = last_batch, .exactly_once = true};
      const Ledger ledger = merged_ledger(997, num_ranks, options);
      const LedgerVerdict verdict = check(ledger, ShuffledOrder(997, 9));
      CHECK(verdict.exactly_once);
      CHECK(verdict.ids_match);
      CHECK(ledger.num_shown == 997);
    }
  }
}

TEST_CASE("ledger: drop and wrap differ from exactly once by just what they promise") {
  const ShuffledOrder order(997, 9);
  for (const std::uint64_t num_ranks : {1u, 3u, 4u}) {
    LoaderOptions options{.batch_size = 10, .shuffle = true, .seed = 9, .last_batch = LastBatch::drop};
    const std::uint64_t global = 10 * num_ranks;
    const std::uint64_t remainder = 997 % global;

    std::vector<std::uint64_t> missing;
    for (std::uint64_t row = 997 - remainder; row < 997; ++row) missing.push_back(order.sample_id(1, row));
    std::ranges::sort(missing);
    const LedgerVerdict dropped = check(merged_ledger(997, num_ranks, options), order);
    CHECK_FALSE(dropped.exactly_once);
    CHECK(dropped.ids_match);
    CHECK(dropped.missing == missing);
    CHECK(dropped.num_repeated == 0);

    std::vector<std::uint64_t> repeated;
    for (std::uint64_t row = 0; row < global - remainder; ++row) repeated.push_back(order.sample_id(1, row));
    std::ranges::sort(repeated);
    options.last_batch = LastBatch::wrap;
    const LedgerVerdict wrapped = check(merged_ledger(997, num_ranks, options), order);
    CHECK(wrapped.ids_match);
    CHECK(wrapped.repeated == repeated);
    CHECK(wrapped.num_missing == 0);
  }
}

TEST_CASE("ledger: every rank of 1001 samples on 4 sees the same number of batches") {
  for (const LastBatch last_batch : {LastBatch::partial, LastBatch::pad, LastBatch::drop, LastBatch::wrap}) {
    std::set<std::size_t> counts;
    for (std::uint64_t rank = 0; rank < 4; ++rank) {
      Loader loader(NoiseSource(1001), random_pipeline(),
                    {.batch_size = 10, .last_batch = last_batch, .shard = {rank, 4}});
      std::size_t num_batches = 0;
      for (const Batch& batch : loader.epoch(0)) num_batches += batch.num_rows() > 0 ? 1 : 0;
      counts.insert(num_batches);
    }
    CHECK(counts.size() == 1);
  }
}

TEST_CASE("ledger: names what masked and substituted rows should have shown") {
  const auto ledger_of = [](OnError on_error) {
    Loader loader(source_with_bad(30, {4, 21}), random_pipeline(), {.batch_size = 8, .on_error = on_error});
    rows_of(loader, 0);
    return loader.ledger(0);
  };
  const LedgerVerdict masked = check(ledger_of(OnError::mask), SequentialOrder(30));
  CHECK(masked.ids_match);
  CHECK(masked.missing == std::vector<std::uint64_t>{4, 21});
  const Ledger substituted = ledger_of(OnError::substitute);
  const LedgerVerdict verdict = check(substituted, SequentialOrder(30));
  CHECK(verdict.ids_match);
  CHECK(verdict.missing == std::vector<std::uint64_t>{4, 21});
  REQUIRE(substituted.exceptions.size() == 2);
  CHECK(verdict.num_repeated == 2);
}

TEST_CASE("ledger: a run that was cut and resumed merges with its first part to exactly once") {
  const LoaderOptions options{.batch_size = 6, .shuffle = true, .seed = 2};
  Loader first(NoiseSource(50), random_pipeline(), options);
  EpochRange range = first.epoch(0);
  for (int i = 0; i < 3; ++i) REQUIRE(range.next());
  Ledger ledger = first.ledger(0);
  for (std::uint64_t rank = 0; rank < 2; ++rank) {
    LoaderOptions sharded = options;
    sharded.batch_size = 3;
    sharded.shard = {rank, 2};
    Loader second(NoiseSource(50), random_pipeline(), sharded);
    rows_of(second.resume(first.state()));
    ledger.merge(second.ledger(0));
  }
  CHECK(check(ledger, ShuffledOrder(50, 2)).exactly_once);
}

TEST_CASE("ledger: of an epoch that was not delivered is empty") {
  Loader loader(NoiseSource(10), random_pipeline());
  CHECK(loader.ledger(3).epoch == 3);
  CHECK(loader.ledger(3).num_rows == 10);
  CHECK(check(loader.ledger(3), SequentialOrder(10)).num_missing == 10);
}

}  // namespace muster::test
