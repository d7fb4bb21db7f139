#include "muster/ledger.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "muster/random.hpp"

namespace muster {
namespace {

using Ids = std::vector<std::uint64_t>;

constexpr std::uint64_t epoch = 3;

Ledger empty_ledger(const Order& order) { return {.epoch = epoch, .num_rows = order.num_rows()}; }

/// What a rank without failures delivers of batches [first_batch, end_batch).
Ledger deliver(const Order& order, std::int64_t batch_size, LastBatch policy, Shard shard,
               std::uint64_t first_batch = 0, std::uint64_t end_batch = ~std::uint64_t{0}) {
  const EpochLayout layout(order.num_rows(), batch_size, policy, shard);
  Ledger ledger = empty_ledger(order);
  for (std::uint64_t batch = first_batch; batch < std::min(end_batch, layout.num_batches()); ++batch) {
    for (std::int64_t k = 0; k < layout.num_rows(batch); ++k) {
      if (const auto row = layout.row(batch, k)) {
        ledger.add_shown(*row, shard.count, order.sample_id(epoch, *row));
      } else {
        ++ledger.num_fillers;
      }
      if (layout.wrapped(batch, k)) ++ledger.num_wrapped;
    }
  }
  return ledger;
}

/// The same of all ranks, merged. `batch_size` is that of a rank.
Ledger deliver_all(const Order& order, std::int64_t batch_size, LastBatch policy, std::uint64_t num_ranks,
                   std::uint64_t first_batch = 0, std::uint64_t end_batch = ~std::uint64_t{0}) {
  Ledger ledger = empty_ledger(order);
  for (std::uint64_t rank = 0; rank < num_ranks; ++rank) {
    ledger.merge(deliver(order, batch_size, policy, {rank, num_ranks}, first_batch, end_batch));
  }
  return ledger;
}

/// The ids of rows [first, end) of the epoch, ascending.
Ids ids_of_rows(const Order& order, std::uint64_t first, std::uint64_t end) {
  Ids ids;
  for (std::uint64_t row = first; row < end; ++row) ids.push_back(order.sample_id(epoch, row));
  std::sort(ids.begin(), ids.end());
  return ids;
}

/// Names whatever ids its rows are given.
class ListedOrder : public Order {
 public:
  explicit ListedOrder(Ids ids) : ids_(std::move(ids)) {}
  std::uint64_t num_rows() const override { return ids_.size(); }
  std::uint64_t sample_id(std::uint64_t, std::uint64_t row) const override { return ids_.at(row); }

 private:
  Ids ids_;
};

std::string refusal(const std::string& json) {
  try {
    Ledger::from_json(json);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return {};
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  const std::size_t position = text.find(what);
  REQUIRE(position != std::string::npos);
  return text.replace(position, what.size(), by);
}

}  // namespace

TEST_CASE("ledger: digests of equal multisets are equal, in whatever order they came") {
  MultisetHash forward;
  MultisetHash backward;
  for (std::uint64_t id = 0; id < 1000; ++id) forward.add(id);
  MultisetHash half;
  for (std::uint64_t id = 1000; id-- > 500;) backward.add(id);
  for (std::uint64_t id = 500; id-- > 0;) half.add(id);
  backward.merge(half);
  CHECK(forward == backward);

  MultisetHash twice = forward;
  twice.add(7);
  CHECK(twice != forward);
  MultisetHash other = forward;
  other.add(8);
  CHECK(other != twice);
  MultisetHash at_once;
  MultisetHash one_by_one;
  at_once.add(7, 3);
  for (int i = 0; i < 3; ++i) one_by_one.add(7);
  CHECK(at_once == one_by_one);
  // Fixed for good: ledgers of different releases merge.
  CHECK(at_once == MultisetHash{.low = 0x4e5f2bcd838d92e7u, .high = 0x09686c79002896aeu});
}

TEST_CASE("ledger: different small multisets have different digests") {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> digests;
  for (std::uint64_t a = 0; a < 60; ++a) {
    for (std::uint64_t b = a; b < 60; ++b) {
      for (std::uint64_t c = b; c < 60; ++c) {
        MultisetHash hash;
        for (const std::uint64_t id : {a, b, c}) hash.add(id);
        digests.emplace_back(hash.high, hash.low);
      }
    }
  }
  std::sort(digests.begin(), digests.end());
  CHECK(std::adjacent_find(digests.begin(), digests.end()) == digests.end());
  // Both words tell alone: at 37,820 sums of 64 bits, two are equal by chance once in 10^10.
  Ids low;
  for (const auto& digest : digests) low.push_back(digest.second);
  std::sort(low.begin(), low.end());
  CHECK(std::adjacent_find(low.begin(), low.end()) == low.end());
}

TEST_CASE("ledger: rows in step cost no memory, others open a run") {
  const ShuffledOrder order(100'000, 1);
  const Ledger whole = deliver(order, 64, LastBatch::partial, {0, 1});
  CHECK(whole.runs == std::vector<RowRun>{{0, 1, 100'000}});
  const Ledger third = deliver(order, 64, LastBatch::partial, {2, 3});
  CHECK(third.runs == std::vector<RowRun>{{2, 3, 33'333}});

  Ledger ledger = empty_ledger(order);
  ledger.add_shown(5, 2, 0);
  ledger.add_exception(2, {.row = 7, .sample_id = 1});
  ledger.add_shown(9, 3, 0);   // another stride
  ledger.add_shown(12, 3, 0);  // continues
  ledger.add_shown(2, 3, 0);   // wraps
  ledger.add_shown(2, 3, 0);   // again
  ledger.add_shown(8, 3, 0);   // leaves 5 out
  CHECK(ledger.runs == std::vector<RowRun>{{5, 2, 2}, {9, 3, 2}, {2, 3, 1}, {2, 3, 1}, {8, 3, 1}});
  CHECK(ledger.num_shown == 6);
}

TEST_CASE("ledger: rows near the end of 64 bits do not continue the first ones") {
  Ledger ledger{.num_rows = ~std::uint64_t{0}};
  const std::uint64_t stride = std::uint64_t{1} << 63;
  ledger.add_shown(stride, stride, 0);
  ledger.add_shown(0, stride, 0);
  CHECK(ledger.runs.size() == 2);
}

TEST_CASE("ledger: parts of an epoch join when they are merged in sequence") {
  const ShuffledOrder order(1000, 1);
  Ledger ledger = deliver(order, 10, LastBatch::pad, {1, 3}, 0, 12);
  ledger.merge(deliver(order, 10, LastBatch::pad, {1, 3}, 12));
  CHECK(ledger == deliver(order, 10, LastBatch::pad, {1, 3}));
}

TEST_CASE("ledger: ledgers of different epochs or orders are not merged") {
  Ledger ledger{.epoch = 1, .num_rows = 10};
  CHECK_THROWS_WITH_AS(ledger.merge({.epoch = 2, .num_rows = 10}),
                       "[ledger] expected a ledger of epoch 1 with 10 rows, received one of epoch 2 with 10 rows; "
                       "merge those of one epoch and one order",
                       ConfigError);
  CHECK_THROWS_AS(ledger.merge({.epoch = 1, .num_rows = 11}), ConfigError);
}

TEST_CASE("ledger: merged with itself, everything is there twice") {
  const ShuffledOrder order(20, 1);
  Ledger ledger = deliver_all(order, 4, LastBatch::partial, 3);
  ledger.add_exception(3, {.row = 0, .sample_id = order.sample_id(epoch, 0)});
  ledger.merge(ledger);
  CHECK(ledger.num_shown == 40);
  CHECK(ledger.exceptions.size() == 2);
  const LedgerVerdict verdict = check(ledger, order);
  CHECK(verdict.ids_match);
  CHECK(verdict.repeated == ids_of_rows(order, 0, 20));
}

TEST_CASE("ledger: ranks merge to exactly once under partial and pad, fillers counted") {
  for (const std::uint64_t n : {997, 1001, 1, 40}) {
    const ShuffledOrder order(n, 42);
    for (const std::uint64_t num_ranks : {1, 3, 4}) {
      for (const LastBatch policy : {LastBatch::partial, LastBatch::pad}) {
        CAPTURE(n);
        CAPTURE(num_ranks);
        const Ledger ledger = deliver_all(order, 10, policy, num_ranks);
        const LedgerVerdict verdict = check(ledger, order);
        CHECK(verdict.exactly_once);
        CHECK(verdict.ids_match);
        CHECK(verdict.to_string() == "every sample was shown exactly once");
        CHECK(ledger.num_shown == n);
        if (policy == LastBatch::pad) CHECK((ledger.num_fillers + n) % (10 * num_ranks) == 0);
        CHECK(ledger.runs.size() <= num_ranks);
      }
    }
  }
}

TEST_CASE("ledger: under drop exactly the ids of the dropped rows are missing") {
  const ShuffledOrder order(997, 42);
  for (const std::uint64_t num_ranks : {1, 3, 4}) {
    CAPTURE(num_ranks);
    const std::uint64_t num_dropped = EpochLayout(997, 10, LastBatch::drop, {0, num_ranks}).num_dropped();
    CHECK(num_dropped == 997 % (10 * num_ranks));
    const LedgerVerdict verdict = check(deliver_all(order, 10, LastBatch::drop, num_ranks), order);
    CHECK_FALSE(verdict.exactly_once);
    CHECK(verdict.ids_match);
    CHECK(verdict.num_missing == num_dropped);
    CHECK(verdict.missing == ids_of_rows(order, 997 - num_dropped, 997));
    CHECK(verdict.num_repeated == 0);
  }
}

TEST_CASE("ledger: under wrap exactly the ids of the epoch's first rows are repeated") {
  const ShuffledOrder order(997, 42);
  for (const std::uint64_t num_ranks : {1, 3, 4}) {
    CAPTURE(num_ranks);
    const std::uint64_t num_wrapped = 10 * num_ranks - 997 % (10 * num_ranks);
    const Ledger ledger = deliver_all(order, 10, LastBatch::wrap, num_ranks);
    CHECK(ledger.num_wrapped == num_wrapped);
    const LedgerVerdict verdict = check(ledger, order);
    CHECK_FALSE(verdict.exactly_once);
    CHECK(verdict.ids_match);
    CHECK(verdict.num_repeated == num_wrapped);
    CHECK(verdict.repeated == ids_of_rows(order, 0, num_wrapped));
    CHECK(verdict.num_missing == 0);
  }
  const ShuffledOrder few(3, 1);  // goes round and round
  const LedgerVerdict verdict = check(deliver_all(few, 8, LastBatch::wrap, 1), few);
  CHECK(verdict.num_repeated == 5);
  CHECK(verdict.ids_match);
}

TEST_CASE("ledger: every rank sees the same number of batches, and all of them everything once") {
  const ShuffledOrder order(1001, 42);
  for (const LastBatch policy : {LastBatch::partial, LastBatch::drop, LastBatch::pad, LastBatch::wrap}) {
    for (std::uint64_t rank = 0; rank < 4; ++rank) {
      CHECK(EpochLayout(1001, 10, policy, {rank, 4}).num_batches() == (policy == LastBatch::drop ? 25 : 26));
    }
  }
  CHECK(check(deliver_all(order, 10, LastBatch::partial, 4), order).exactly_once);
}

TEST_CASE("ledger: an epoch that goes on with another number of ranks merges to exactly once") {
  const ShuffledOrder order(997, 42);
  for (std::uint64_t cut = 0; cut <= 17; ++cut) {  // global batches of 60 rows
    CAPTURE(cut);
    Ledger ledger = deliver_all(order, 20, LastBatch::partial, 3, 0, cut);
    ledger.merge(deliver_all(order, 15, LastBatch::partial, 4, cut));
    CHECK(check(ledger, order).exactly_once);
  }
}

TEST_CASE("ledger: a lost batch is missing, a doubled one repeated, by id") {
  const ShuffledOrder order(997, 42);
  Ledger lost = deliver_all(order, 20, LastBatch::partial, 1, 0, 7);
  lost.merge(deliver_all(order, 20, LastBatch::partial, 1, 8));
  LedgerVerdict verdict = check(lost, order);
  CHECK_FALSE(verdict.exactly_once);
  CHECK(verdict.ids_match);
  CHECK(verdict.missing == ids_of_rows(order, 140, 160));
  CHECK(verdict.num_missing == 20);
  CHECK(verdict.repeated.empty());

  Ledger doubled = deliver_all(order, 20, LastBatch::partial, 1);
  doubled.merge(deliver_all(order, 20, LastBatch::partial, 1, 7, 8));
  verdict = check(doubled, order);
  CHECK_FALSE(verdict.exactly_once);
  CHECK(verdict.ids_match);
  CHECK(verdict.repeated == ids_of_rows(order, 140, 160));
  CHECK(verdict.num_repeated == 20);
  CHECK(verdict.missing.empty());
}

TEST_CASE("ledger: masked samples are missing, substitutes repeated, unless a sample is shown after all") {
  const SequentialOrder order(10);
  Ledger ledger = empty_ledger(order);
  for (std::uint64_t row = 0; row < 10; ++row) {
    if (row == 3) {
      ledger.add_exception(1, {.row = 3, .sample_id = 3});
    } else if (row == 5) {
      ledger.add_exception(1, {.row = 5, .sample_id = 5, .substitute_id = 8});
    } else {
      ledger.add_shown(row, 1, row);
    }
  }
  CHECK(ledger.runs.size() == 1);
  CHECK(ledger.num_shown == 9);
  LedgerVerdict verdict = check(ledger, order);
  CHECK(verdict.ids_match);
  CHECK_FALSE(verdict.exactly_once);
  CHECK(verdict.missing == Ids{3, 5});
  CHECK(verdict.repeated == Ids{8});
  CHECK(verdict.to_string() == "2 samples were never shown: 3, 5; 1 showings too many: 8");

  Ledger again = ledger;  // both rows once more: 3 as a substitute in the row of 5
  again.add_shown(5, 1, 5);
  again.add_exception(1, {.row = 6, .sample_id = 6, .substitute_id = 3});
  verdict = check(again, order);
  CHECK(verdict.ids_match);
  CHECK(verdict.missing.empty());
  CHECK(verdict.repeated == Ids{8});
}

TEST_CASE("ledger: a substitute that is no sample of the order is one showing too many") {
  const ExcludingOrder order(std::make_shared<SequentialOrder>(3), {1});
  Ledger ledger = empty_ledger(order);
  for (std::uint64_t row = 0; row < 3; ++row) ledger.add_shown(row, 1, order.sample_id(epoch, row));
  CHECK(check(ledger, order).exactly_once);
  ledger.add_exception(1, {.row = 0, .sample_id = 0, .substitute_id = 1});
  const LedgerVerdict verdict = check(ledger, order);
  CHECK(verdict.ids_match);
  CHECK(verdict.missing.empty());
  CHECK(verdict.repeated == Ids{1});
  CHECK_FALSE(verdict.exactly_once);
}

TEST_CASE("ledger: what was tampered with does not match") {
  const ShuffledOrder order(997, 42);
  const Ledger honest = deliver_all(order, 10, LastBatch::partial, 3);
  const auto is_caught = [&](auto tamper) {
    Ledger ledger = honest;
    tamper(ledger);
    const LedgerVerdict verdict = check(ledger, order);
    return !verdict.ids_match && !verdict.exactly_once;
  };
  CHECK_FALSE(is_caught([](Ledger&) {}));
  CHECK(is_caught([](Ledger& ledger) { ledger.shown.low ^= 1; }));
  CHECK(is_caught([](Ledger& ledger) { ledger.shown.high += 1; }));
  CHECK(is_caught([](Ledger& ledger) { ledger.num_shown -= 1; }));
  CHECK(is_caught([](Ledger& ledger) { ledger.runs[1].count -= 1; }));
  CHECK(is_caught([](Ledger& ledger) { ledger.runs.push_back({7, 1, 1}); }));
  CHECK(is_caught([](Ledger& ledger) { ledger.exceptions.push_back({.row = 7, .sample_id = 1}); }));
  CHECK(is_caught([](Ledger& ledger) {
    ledger.epoch += 1;
    ledger.shown.low += 1;
  }));
  // An exception that names another sample than the row's; one of a row that was not delivered.
  Ledger without_last = honest;
  without_last.shown = {};
  for (std::uint64_t row = 0; row < 996; ++row) without_last.shown.add(order.sample_id(epoch, row));
  without_last.num_shown = 996;
  without_last.exceptions.push_back({.row = 996, .sample_id = order.sample_id(epoch, 996)});
  CHECK(check(without_last, order).ids_match);
  without_last.exceptions[0].sample_id ^= 1;
  CHECK_FALSE(check(without_last, order).ids_match);
  without_last.exceptions[0].sample_id ^= 1;
  without_last.runs[0].count -= 1;  // rank 0 had row 996
  CHECK_FALSE(check(without_last, order).ids_match);
  const LedgerVerdict verdict = check({.epoch = epoch, .num_rows = 997, .shown = {.low = 1}}, order);
  CHECK(verdict.to_string().find("997 samples were never shown: 0, 1, 2, 3, 4 and 992 more; the digest of what was "
                                 "shown does not agree with the rows") == 0);
}

TEST_CASE("ledger: verdicts agree with counting every id, for random deliveries of all kinds of orders") {
  for (std::uint64_t trial = 0; trial < 400; ++trial) {
    CAPTURE(trial);
    Rng rng(trial, 0, 0, Stream::shuffle);
    const std::uint64_t n = 1 + rng() % 60;
    Ids listed(n);
    for (std::uint64_t& id : listed) id = rng() % (2 * n);
    std::shared_ptr<const Order> order = std::make_shared<ShuffledOrder>(n, trial);
    if (trial % 4 == 1) order = std::make_shared<ListedOrder>(listed);
    if (trial % 4 == 2) order = std::make_shared<ExcludingOrder>(order, Ids{0, n / 2});
    if (trial % 4 == 3) order = std::make_shared<ExcludingOrder>(std::make_shared<ListedOrder>(Ids(n, 0)), Ids{0});

    Ledger ledger = empty_ledger(*order);
    std::vector<std::uint64_t> num_shown(4 * n + 4);
    for (std::uint64_t i = rng() % (3 * n); i > 0; --i) {
      const std::uint64_t row = rng() % n;
      const std::uint64_t id = order->sample_id(epoch, row);
      if (rng() % 4 > 0) {
        ledger.add_shown(row, 1 + rng() % 3, id);
        ++num_shown[id];
      } else {
        LedgerException exception{.row = row, .sample_id = id};
        if (rng() % 2 == 0) ++num_shown[exception.substitute_id.emplace(rng() % num_shown.size())];
        ledger.add_exception(1, exception);
      }
    }
    Ids missing;
    Ids repeated;
    const Ids named = ids_of_rows(*order, 0, n);
    for (std::uint64_t id = 0; id < num_shown.size(); ++id) {
      const std::uint64_t expected = std::binary_search(named.begin(), named.end(), id) ? 1 : 0;
      if (num_shown[id] < expected) missing.push_back(id);
      for (std::uint64_t i = expected; i < num_shown[id]; ++i) repeated.push_back(id);
    }
    const LedgerVerdict verdict = check(ledger, *order);
    CHECK(verdict.ids_match);
    CHECK(verdict.missing == missing);
    CHECK(verdict.num_missing == missing.size());
    CHECK(verdict.repeated == repeated);
    CHECK(verdict.num_repeated == repeated.size());
    CHECK(verdict.exactly_once == (missing.empty() && repeated.empty()));

    CHECK(Ledger::from_json(ledger.to_json()) == ledger);
    CHECK(ledger.to_json().find('\n') == std::string::npos);
  }
}

TEST_CASE("ledger: lists are the smallest ids, and no longer than promised") {
  const ShuffledOrder order(200'000, 4);
  const LedgerVerdict missing = check(empty_ledger(order), order);
  Ids smallest(LedgerVerdict::max_listed);
  std::iota(smallest.begin(), smallest.end(), 0);
  CHECK(missing.num_missing == 200'000);
  CHECK(missing.missing == smallest);
  CHECK(missing.ids_match);

  Ledger twice = deliver_all(order, 100, LastBatch::partial, 7);
  twice.merge(deliver_all(order, 100, LastBatch::partial, 3));
  const LedgerVerdict repeated = check(twice, order);
  CHECK(repeated.num_repeated == 200'000);
  CHECK(repeated.repeated == smallest);
}

TEST_CASE("ledger: one that would take for ever to count is refused") {
  Ledger ledger{.num_rows = 1 << 21};
  ledger.runs.assign(16, {.first = 0, .stride = 1, .count = 1 << 21});
  CHECK_FALSE(check(ledger, SequentialOrder(1 << 21)).ids_match);
  ledger.runs.push_back({.first = 0, .stride = 1, .count = 1});
  CHECK_THROWS_WITH_AS(check(ledger, SequentialOrder(1 << 21)),
                       "[ledger] expected each of 2097152 rows to be delivered once, received runs of more than 16 "
                       "times as many",
                       ConfigError);
}

TEST_CASE("ledger: an order of another length, and rows beyond the epoch, are refused") {
  CHECK_THROWS_WITH_AS(check({.num_rows = 10}, SequentialOrder(11)),
                       "[ledger] expected the order of an epoch of 10 rows, received one of 11 rows", ConfigError);
  const SequentialOrder order(10);
  for (const RowRun run : {RowRun{10, 1, 1}, RowRun{0, 1, 11}, RowRun{0, 0, 2}, RowRun{0, 1, 0}, RowRun{1, 9, 2},
                           RowRun{5, 1, ~std::uint64_t{0}}, RowRun{5, ~std::uint64_t{0}, 2}}) {
    CAPTURE(run.first);
    CHECK_THROWS_AS(check({.num_rows = 10, .runs = {run}}, order), ConfigError);
  }
  CHECK_NOTHROW(check({.num_rows = 10, .runs = {{0, 9, 2}}}, order));
  CHECK_THROWS_WITH_AS(check({.num_rows = 10, .exceptions = {{.row = 10, .sample_id = 1}}}, order),
                       "[ledger] expected exceptions of rows below 10, received row 10", ConfigError);
}

TEST_CASE("ledger: JSON is one line that holds everything, all 64 bits of it") {
  Ledger ledger{.epoch = 2,
                .num_rows = ~std::uint64_t{0},
                .runs = {{1, 4, 3}, {0, 1, ~std::uint64_t{0}}},
                .shown = {.low = 0x0123456789abcdef, .high = 0xfedcba9876543210},
                .num_shown = 5,
                .num_fillers = 6,
                .num_wrapped = 7,
                .exceptions = {{.row = 1, .sample_id = 8}, {.row = 5, .sample_id = 9, .substitute_id = 0}}};
  const std::string json = ledger.to_json();
  CHECK(json == R"({"version":1,"epoch":2,"num_rows":18446744073709551615,"runs":[{"first":1,"stride":4,"count":3},)"
                R"({"first":0,"stride":1,"count":18446744073709551615}],"shown":"fedcba98765432100123456789abcdef",)"
                R"("num_shown":5,"num_fillers":6,"num_wrapped":7,"exceptions":[{"row":1,"id":8,"substitute":null},)"
                R"({"row":5,"id":9,"substitute":0}]})");
  CHECK(Ledger::from_json(json) == ledger);
  CHECK(Ledger::from_json(Ledger{}.to_json()) == Ledger{});
}

TEST_CASE("ledger: JSON that is no ledger is refused by name") {
  const SequentialOrder order(20);
  Ledger ledger = deliver_all(order, 10, LastBatch::partial, 1);
  ledger.add_exception(1, {.row = 1, .sample_id = 1});
  const std::string json = ledger.to_json();
  REQUIRE(refusal(json).empty());
  CHECK(refusal(replaced(json, "\"version\":1", "\"version\":2")) ==
        "[ledger] expected version 1, received 2; was it written by another muster?");
  CHECK(refusal(replaced(json, "\"epoch\":3", "\"epoch\":-3")) ==
        "[ledger] \"epoch\": expected a whole number from 0 to 2^64 - 1, received -3");
  CHECK(refusal(replaced(json, "\"num_rows\":20,", "")) ==
        "[ledger] \"num_rows\": expected a whole number from 0 to 2^64 - 1, received nothing");
  CHECK(refusal(replaced(json, "\"count\":20", "\"count\":21")) ==
        "[ledger] expected runs of rows below 20, received 21 rows from row 0 on with stride 1");
  CHECK(refusal(replaced(json, "\"row\":1", "\"row\":20")) ==
        "[ledger] expected exceptions of rows below 20, received row 20");
  CHECK(refusal(replaced(json, "\"substitute\":null", "\"substitute\":[]")) ==
        "[ledger] \"substitute\": expected a whole number from 0 to 2^64 - 1, received a list");
  CHECK(refusal(replaced(json, "\"shown\":\"", "\"shown\":\"0")) ==
        "[ledger] \"shown\": expected 32 hexadecimal digits");
  CHECK_FALSE(refusal(replaced(json, "\"num_shown\":20", "\"num_shown\":20.5")).empty());
  CHECK_FALSE(refusal(replaced(json, "\"num_shown\":20", "\"num_shown\":18446744073709551616")).empty());
  CHECK_FALSE(refusal(replaced(json, "\"stride\":1", "\"stride\":0")).empty());
  CHECK_FALSE(refusal(replaced(json, "\"runs\":[{", "\"runs\":[7,{")).empty());
  CHECK_FALSE(refusal(R"({"version":1,"shown":"-0000000000000010000000000000000x"})").empty());
  for (const char* text : {"", "null", "[]", "17", "{", "{}", "\"\"", "\xff\xfe", "{\"version\":1}"}) {
    CAPTURE(text);
    CHECK_FALSE(refusal(text).empty());
  }
}

TEST_CASE("ledger: hostile text is refused, or read as a ledger, but never more") {
  const SequentialOrder order(300);
  Ledger ledger = deliver_all(order, 10, LastBatch::partial, 4);
  ledger.add_exception(1, {.row = 1, .sample_id = 1, .substitute_id = 5});
  const std::string json = ledger.to_json();
  std::uint64_t num_refused = 0;
  for (std::size_t length = 0; length < json.size(); ++length) num_refused += !refusal(json.substr(0, length)).empty();
  CHECK(num_refused == json.size());

  Rng rng(5, 0, 0, Stream::shuffle);
  for (int trial = 0; trial < 5000; ++trial) {
    std::string text = json;
    for (std::uint32_t i = 1 + rng() % 4; i > 0; --i) {
      const std::size_t position = rng() % text.size();
      if (rng() % 2 == 0)
        text[position] = static_cast<char>(rng());
      else
        text[position] = "0123456789[]{}\",:-e."[rng() % 20];
    }
    try {
      const Ledger read = Ledger::from_json(text);
      if (read.num_rows < 10'000) check(read, SequentialOrder(read.num_rows));
    } catch (const ConfigError&) {
    }
  }
  const std::string deep(200'000, '[');
  CHECK_FALSE(refusal(deep).empty());
  CHECK_FALSE(refusal(replaced(json, "\"epoch\":3", "\"epoch\":" + deep + std::string(200'000, ']'))).empty());
}

}  // namespace muster
