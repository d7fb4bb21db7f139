#include "muster/ledger.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <span>
#include <utility>

#include "json.hpp"
#include "muster/random.hpp"

namespace muster {
namespace {

constexpr std::uint64_t json_version = 1;

[[noreturn]] void fail(const std::string& message) { throw ConfigError("ledger", message); }

/// Appends a run, or lengthens the last one by it.
void append(std::vector<RowRun>& runs, const RowRun& next) {
  if (!runs.empty()) {
    RowRun& last = runs.back();
    const std::uint64_t last_row = last.first + last.stride * (last.count - 1);
    if (next.stride == last.stride && next.first >= next.stride && next.first - next.stride == last_row) {
      last.count += next.count;
      return;
    }
  }
  runs.push_back(next);
}

/// Throws ConfigError: a row lies outside the epoch.
void require_rows_within(const Ledger& ledger) {
  const std::uint64_t n = ledger.num_rows;
  for (const RowRun& run : ledger.runs) {
    const bool is_within = run.stride > 0 && run.count > 0 && run.first < n &&
                           run.count - 1 <= (n - 1 - run.first) / run.stride;  // no sum that could overflow
    if (!is_within) {
      fail(fmt::format("expected runs of rows below {}, received {} rows from row {} on with stride {}", n, run.count,
                       run.first, run.stride));
    }
  }
  for (const LedgerException& exception : ledger.exceptions) {
    if (exception.row >= n)
      fail(fmt::format("expected exceptions of rows below {}, received row {}", n, exception.row));
  }
}

/// Counting takes time for every row that was delivered. Throws ConfigError where that would be without end: no run
/// delivers every row many times.
void require_countable(const Ledger& ledger) {
  constexpr std::uint64_t most_times = 16;
  constexpr std::uint64_t always_countable = 1 << 24;  // of an epoch of few rows, wrapping may show each of them often
  std::uint64_t num_left =
      std::max(always_countable, std::min(ledger.num_rows, ~std::uint64_t{0} / most_times) * most_times);
  for (const RowRun& run : ledger.runs) {
    if (run.count > num_left) {
      fail(fmt::format("expected each of {} rows to be delivered once, received runs of more than {} times as many",
                       ledger.num_rows, most_times));
    }
    num_left -= run.count;
  }
}

/// The smallest of many ids, in little memory.
class SmallestIds {
 public:
  void add(std::uint64_t id, std::uint64_t times) {
    ids_.insert(ids_.end(), std::min<std::uint64_t>(times, capacity), id);
    if (ids_.size() > 4 * capacity) trim();
  }

  std::vector<std::uint64_t> sorted() && {
    if (ids_.size() > capacity) trim();
    std::sort(ids_.begin(), ids_.end());
    return std::move(ids_);
  }

 private:
  static constexpr std::size_t capacity = LedgerVerdict::max_listed;

  void trim() {
    std::nth_element(ids_.begin(), ids_.begin() + capacity, ids_.end());
    ids_.resize(capacity);
  }

  std::vector<std::uint64_t> ids_;
};

/// How often each sample was shown. Where an order may name an id twice, remembers every row.
class Showings {
 public:
  Showings(std::span<const LedgerException> exceptions, const Order& order) : ids_are_unique_(order.ids_are_unique()) {
    for (const LedgerException& exception : exceptions) {
      if (exception.substitute_id) substitutes_.push_back({.id = *exception.substitute_id, .times = 1});
    }
    sum_up(substitutes_);
    if (!ids_are_unique_) rows_.reserve(order.num_rows());
  }

  /// A row of the order that shows its own sample `times` times.
  void add_row(std::uint64_t id, std::uint64_t times) {
    if (ids_are_unique_) {
      judge(id, times + take_substitutes(id), 1);
    } else {
      rows_.push_back({.id = id, .times = times});
    }
  }

  void finish(LedgerVerdict& verdict) && {
    sum_up(rows_);
    for (const Count& row : rows_) judge(row.id, row.times + take_substitutes(row.id), 1);
    for (const Count& substitute : substitutes_) judge(substitute.id, substitute.times, 0);  // no row names these
    verdict.num_missing = num_missing_;
    verdict.num_repeated = num_repeated_;
    verdict.missing = std::move(missing_).sorted();
    verdict.repeated = std::move(repeated_).sorted();
  }

 private:
  struct Count {
    std::uint64_t id = 0;
    std::uint64_t times = 0;
  };

  /// Sorts by id and makes one of those that have the same.
  static void sum_up(std::vector<Count>& counts) {
    std::ranges::sort(counts, {}, &Count::id);
    auto sum = counts.begin();
    for (auto next = counts.begin(); next != counts.end(); ++next) {
      if (next == sum) continue;
      if (next->id == sum->id) {
        sum->times += next->times;
      } else {
        *++sum = *next;
      }
    }
    if (sum != counts.end()) counts.erase(sum + 1, counts.end());
  }

  std::uint64_t take_substitutes(std::uint64_t id) {
    const auto found = std::ranges::lower_bound(substitutes_, id, {}, &Count::id);
    if (found == substitutes_.end() || found->id != id) return 0;
    return std::exchange(found->times, 0);
  }

  void judge(std::uint64_t id, std::uint64_t shown, std::uint64_t expected) {
    if (shown < expected) {
      ++num_missing_;
      missing_.add(id, 1);
    } else if (shown > expected) {
      num_repeated_ += shown - expected;
      repeated_.add(id, shown - expected);
    }
  }

  bool ids_are_unique_;
  std::vector<Count> substitutes_;  // each id once, ascending; taken ones have times = 0
  std::vector<Count> rows_;
  std::uint64_t num_missing_ = 0;
  std::uint64_t num_repeated_ = 0;
  SmallestIds missing_;
  SmallestIds repeated_;
};

/// How often each of the rows from `begin` on was delivered; `coverage` has an element for each of them.
void count_deliveries(std::span<const RowRun> runs, std::uint64_t begin, std::span<std::uint64_t> coverage) {
  std::ranges::fill(coverage, 0);
  for (const RowRun& run : runs) {
    const std::uint64_t num_before = begin > run.first ? (begin - run.first - 1) / run.stride + 1 : 0;
    std::uint64_t row = run.first + run.stride * num_before;
    for (std::uint64_t i = num_before; i < run.count && row - begin < coverage.size(); ++i, row += run.stride) {
      ++coverage[row - begin];
    }
  }
}

std::string list(const std::vector<std::uint64_t>& ids, std::uint64_t num_all) {
  constexpr std::size_t max_shown = 5;
  const std::size_t num_shown = std::min(ids.size(), max_shown);
  std::string text =
      fmt::format("{}", fmt::join(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(num_shown), ", "));
  if (num_all > num_shown) text += fmt::format(" and {} more", num_all - num_shown);
  return text;
}

MultisetHash hash_from_hex(const std::string& text) {
  MultisetHash hash;
  constexpr std::size_t num_digits = 16;
  const auto parse = [](std::string_view digits, std::uint64_t& word) {
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), word, 16);
    return error == std::errc{} && end == digits.data() + digits.size();
  };
  const std::string_view digits = text;
  if (digits.size() != 2 * num_digits || !parse(digits.substr(0, num_digits), hash.high) ||
      !parse(digits.substr(num_digits), hash.low)) {
    fail("\"shown\": expected 32 hexadecimal digits");
  }
  return hash;
}

}  // namespace

void MultisetHash::add(std::uint64_t id, std::uint64_t times) noexcept {
  const auto word = [](std::uint64_t value, int i) { return static_cast<std::uint32_t>(value >> 32 * i); };
  const std::array<std::uint32_t, 4> block =
      philox4x32_10({word(id, 0), word(id, 1), 0x6c656467u, 0x65720000u}, {0x6d757374u, 0x65720000u});
  low += (std::uint64_t{block[1]} << 32 | block[0]) * times;
  high += (std::uint64_t{block[3]} << 32 | block[2]) * times;
}

void MultisetHash::merge(const MultisetHash& other) noexcept {
  low += other.low;
  high += other.high;
}

void Ledger::add_shown(std::uint64_t row, std::uint64_t stride, std::uint64_t sample_id) {
  append(runs, {.first = row, .stride = stride, .count = 1});
  shown.add(sample_id);
  ++num_shown;
}

void Ledger::add_exception(std::uint64_t stride, const LedgerException& exception) {
  append(runs, {.first = exception.row, .stride = stride, .count = 1});
  exceptions.push_back(exception);
  if (!exception.substitute_id) return;
  shown.add(*exception.substitute_id);
  ++num_shown;
}

void Ledger::merge(const Ledger& other) {
  if (other.epoch != epoch || other.num_rows != num_rows) {
    fail(
        fmt::format("expected a ledger of epoch {} with {} rows, received one of epoch {} with {} rows; merge those "
                    "of one epoch and one order",
                    epoch, num_rows, other.epoch, other.num_rows));
  }
  if (&other == this) return merge(Ledger(other));
  for (const RowRun& run : other.runs) append(runs, run);
  shown.merge(other.shown);
  num_shown += other.num_shown;
  num_fillers += other.num_fillers;
  num_wrapped += other.num_wrapped;
  exceptions.insert(exceptions.end(), other.exceptions.begin(), other.exceptions.end());
}

std::string Ledger::to_json() const {
  Json::List told_runs, told_exceptions;
  for (const RowRun& run : runs) {
    told_runs.push_back(Json::Object{{"first", run.first}, {"stride", run.stride}, {"count", run.count}});
  }
  for (const LedgerException& exception : exceptions) {
    told_exceptions.push_back(
        Json::Object{{"row", exception.row}, {"id", exception.sample_id}, {"substitute", exception.substitute_id}});
  }
  const Json::Object object = {{"version", json_version},
                               {"epoch", epoch},
                               {"num_rows", num_rows},
                               {"runs", std::move(told_runs)},
                               {"shown", fmt::format("{:016x}{:016x}", shown.high, shown.low)},
                               {"num_shown", num_shown},
                               {"num_fillers", num_fillers},
                               {"num_wrapped", num_wrapped},
                               {"exceptions", std::move(told_exceptions)}};
  return Json(object).dump();
}

Ledger Ledger::from_json(std::string_view text) {
  const Json json = Json::parse(text, "ledger");
  const JsonObject object(json, "ledger");
  const std::uint64_t version = object.number("version");
  if (version != json_version) {
    fail(fmt::format("expected version {}, received {}; was it written by another muster?", json_version, version));
  }
  Ledger ledger{.epoch = object.number("epoch"),
                .num_rows = object.number("num_rows"),
                .shown = hash_from_hex(object.text("shown")),
                .num_shown = object.number("num_shown"),
                .num_fillers = object.number("num_fillers"),
                .num_wrapped = object.number("num_wrapped")};
  for (const Json& element : object.list("runs")) {
    const JsonObject run(element, "ledger");
    ledger.runs.push_back({.first = run.number("first"), .stride = run.number("stride"), .count = run.number("count")});
  }
  for (const Json& element : object.list("exceptions")) {
    const JsonObject exception(element, "ledger");
    ledger.exceptions.push_back({.row = exception.number("row"),
                                 .sample_id = exception.number("id"),
                                 .substitute_id = exception.optional_number("substitute")});
  }
  require_rows_within(ledger);
  return ledger;
}

std::string LedgerVerdict::to_string() const {
  if (exactly_once) return "every sample was shown exactly once";
  std::vector<std::string> faults;
  if (num_missing > 0) {
    faults.push_back(fmt::format("{} samples were never shown: {}", num_missing, list(missing, num_missing)));
  }
  if (num_repeated > 0) {
    faults.push_back(fmt::format("{} showings too many: {}", num_repeated, list(repeated, num_repeated)));
  }
  if (!ids_match) faults.emplace_back("the digest of what was shown does not agree with the rows");
  return fmt::format("{}", fmt::join(faults, "; "));
}

LedgerVerdict check(const Ledger& ledger, const Order& order) {
  if (order.num_rows() != ledger.num_rows) {
    fail(fmt::format("expected the order of an epoch of {} rows, received one of {} rows", ledger.num_rows,
                     order.num_rows()));
  }
  require_rows_within(ledger);
  require_countable(ledger);
  std::vector<LedgerException> exceptions = ledger.exceptions;
  std::ranges::sort(exceptions, {}, &LedgerException::row);

  LedgerVerdict verdict{.ids_match = true};
  Showings showings(exceptions, order);
  MultisetHash digest;
  std::uint64_t num_shown = 0;
  for (const LedgerException& exception : exceptions) {
    if (!exception.substitute_id) continue;
    digest.add(*exception.substitute_id);
    ++num_shown;
  }
  constexpr std::uint64_t chunk_size = 1 << 16;
  std::vector<std::uint64_t> coverage;
  auto exception = exceptions.begin();
  for (std::uint64_t begin = 0; begin < ledger.num_rows; begin += coverage.size()) {
    coverage.resize(std::min(chunk_size, ledger.num_rows - begin));
    count_deliveries(ledger.runs, begin, coverage);
    for (std::uint64_t i = 0; i < coverage.size(); ++i) {
      const std::uint64_t row = begin + i;
      const std::uint64_t id = order.sample_id(ledger.epoch, row);
      std::uint64_t num_own = coverage[i];
      for (; exception != exceptions.end() && exception->row == row; ++exception) {
        verdict.ids_match &= exception->sample_id == id && num_own > 0;
        if (num_own > 0) --num_own;
      }
      digest.add(id, num_own);
      num_shown += num_own;
      showings.add_row(id, num_own);
    }
  }
  std::move(showings).finish(verdict);
  verdict.ids_match &= digest == ledger.shown && num_shown == ledger.num_shown;
  verdict.exactly_once = verdict.ids_match && verdict.num_missing == 0 && verdict.num_repeated == 0;
  return verdict;
}

}  // namespace muster
