// What a loader has delivered: its report, a ledger for each of the latest epochs, and where the loop stands.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <span>
#include <vector>

#include "loader/row_loader.hpp"
#include "muster/batch.hpp"
#include "muster/ledger.hpp"
#include "muster/report.hpp"

namespace muster {

/// Where an epoch goes on.
struct Position {
  std::uint64_t epoch = 0;
  std::uint64_t next_batch = 0;
  std::uint64_t num_failed = 0;  // rows of the batches before, for the error budget

  friend bool operator==(const Position&, const Position&) = default;
};

/// A batch that is delivered. `rows_are_wrapped` tells of each row whether it repeats the epoch's start.
struct Delivery {
  const Batch& batch;
  std::span<const RowResult> results;
  std::span<const std::uint8_t> rows_are_wrapped;
  Position after;  // once it has been consumed
};

/// Thread-safe.
class DeliveryLog {
 public:
  /// An epoch has `num_rows`, of which this rank has every `row_stride`-th.
  DeliveryLog(std::uint64_t num_rows, std::uint64_t row_stride) : num_rows_(num_rows), row_stride_(row_stride) {}

  /// As a whole, or not at all when it throws std::bad_alloc.
  void record(const Delivery& delivery);
  /// An epoch stops at a batch that is not delivered, because of these.
  void record_stop(std::vector<Incident> incidents);
  /// The loop goes on from here.
  void set_position(const Position& position);

  Report report() const;
  /// What the last epoch to stop stopped at.
  std::vector<Incident> undelivered() const;
  Position position() const;
  Ledger ledger(std::uint64_t epoch) const;

 private:
  void add(std::span<const Incident> incidents);
  void add_to_report(const Delivery& delivery) noexcept;
  Ledger batch_ledger(const Delivery& delivery) const;
  Ledger& ledger_of(std::uint64_t epoch);

  static constexpr std::size_t max_ledgers = 64;

  const std::uint64_t num_rows_;
  const std::uint64_t row_stride_;
  mutable std::mutex mutex_;
  Report report_;
  std::vector<Incident> undelivered_;
  Position position_;
  std::deque<Ledger> ledgers_;  // the oldest first
};

}  // namespace muster
