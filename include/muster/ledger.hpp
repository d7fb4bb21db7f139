// Ledgers: proof of what was delivered. Every rank keeps one for an epoch; merged, they say that each sample came
// exactly once, or which did not.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "muster/order.hpp"

namespace [[gnu::visibility("default")]] muster {

/// A digest of a multiset of sample ids: equal multisets have equal digests, others differ except with probability
/// 2^-128 for data that was not made to collide. Adding is commutative.
struct MultisetHash {
  std::uint64_t low = 0;
  std::uint64_t high = 0;

  void add(std::uint64_t id, std::uint64_t times = 1) noexcept;
  void merge(const MultisetHash& other) noexcept;
  friend bool operator==(const MultisetHash&, const MultisetHash&) = default;
};

/// Rows first, first + stride, … of an epoch: `count` of them.
struct RowRun {
  std::uint64_t first = 0;
  std::uint64_t stride = 1;
  std::uint64_t count = 0;

  friend bool operator==(const RowRun&, const RowRun&) = default;
};

/// A row that does not show its own sample, and why.
struct LedgerException {
  std::uint64_t row = 0;
  std::uint64_t sample_id = 0;                      // what should have been shown
  std::optional<std::uint64_t> substitute_id = {};  // what was; nothing for a masked row

  friend bool operator==(const LedgerException&, const LedgerException&) = default;
};

/// What one rank, or several merged, delivered of one epoch. A plain value of a few hundred bytes (and what failed):
/// O(1) in the number of samples.
struct Ledger {
  std::uint64_t epoch = 0;
  std::uint64_t num_rows = 0;                    // of the epoch, over all ranks
  std::vector<RowRun> runs = {};                 // the rows that were delivered, in order of delivery; no fillers
  MultisetHash shown = {};                       // of the ids that were shown: loaded and substituted rows
  std::uint64_t num_shown = 0;                   // how many
  std::uint64_t num_fillers = 0;                 // rows without a sample
  std::uint64_t num_wrapped = 0;                 // delivered rows that repeat the epoch's start (LastBatch::wrap)
  std::vector<LedgerException> exceptions = {};  // every masked and substituted row

  /// Records a row that shows `sample_id`. Rows that continue the last run (same stride) cost no memory.
  void add_shown(std::uint64_t row, std::uint64_t stride, std::uint64_t sample_id);
  /// Records a row that shows another sample, or none.
  void add_exception(std::uint64_t stride, const LedgerException& exception);

  /// Adds what another rank, or another part of the epoch, delivered. Throws ConfigError: another epoch, or another
  /// number of rows.
  void merge(const Ledger& other);

  /// One line of JSON; the inverse throws ConfigError.
  std::string to_json() const;
  static Ledger from_json(std::string_view text);

  friend bool operator==(const Ledger&, const Ledger&) = default;
};

/// What a ledger proves.
struct LedgerVerdict {
  bool exactly_once = false;       // every sample of the order was shown exactly once; needs ids_match
  bool ids_match = false;          // the digest agrees with what rows and exceptions say was shown
  std::uint64_t num_missing = 0;   // samples of the order that were never shown
  std::uint64_t num_repeated = 0;  // showings beyond the first, and all of samples that the order does not name
  std::vector<std::uint64_t> missing = {};   // their ids, ascending; the first `max_listed`
  std::vector<std::uint64_t> repeated = {};  // their ids, ascending, once for each such showing; the first `max_listed`
  static constexpr std::size_t max_listed = 10'000;

  /// A sentence, and the first few ids.
  std::string to_string() const;
};

/// Compares a ledger with the order that the epoch had. Takes O(rows of the epoch) time, and memory for the exceptions
/// and the lists only; if not order.ids_are_unique(), 16 bytes for every row as well. Throws ConfigError: the order has
/// another number of rows, or the ledger holds rows beyond them, or far too many.
LedgerVerdict check(const Ledger& ledger, const Order& order);

}  // namespace muster
