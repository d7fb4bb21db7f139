// One pass over the batches of one epoch: issues them in order, has their rows loaded, delivers them in order.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <vector>

#include "loader/core.hpp"
#include "loader/runner.hpp"

namespace muster {

struct PendingBatch;
struct PendingRow;

/// A row of a batch in flight.
struct Claim {
  PendingBatch* batch = nullptr;
  std::int64_t k = 0;

  PendingRow& row() const;
};

/// A row on its way through the io stage. It belongs to whoever claimed it, until it is put into a line.
struct PendingRow {
  RowProgress progress;
  std::unique_ptr<ReadBuffer> buffer;  // in the line of rows that are ready: what was read
  std::optional<Claim> next = {};      // in a line
};

/// A batch on its way. Workers write its rows, each its own; the rest is guarded by the queue.
struct PendingBatch {
  Batch batch;
  std::vector<RowResult> results;  // by row
  std::vector<PendingRow> rows;    // by row; empty without io threads
  std::exception_ptr error;        // it could not be prepared; it has no rows then
  std::int64_t num_rows = 0;       // to be loaded
  std::int64_t num_claimed = 0;    // rows [0, num_claimed) have a worker, or an io thread
  std::int64_t num_done = 0;
};

inline PendingRow& Claim::row() const { return batch->rows[static_cast<std::size_t>(k)]; }

/// Claimed rows that wait for a thread: first in, first out. Never allocates.
class RowLine {
 public:
  bool empty() const noexcept { return !first_; }
  void push(const Claim& claim) noexcept;
  /// Nothing when empty.
  std::optional<Claim> pop() noexcept;

 private:
  std::optional<Claim> first_;
  Claim last_;  // unless empty
};

/// The batches in flight. A token claims the next row that nobody has, so rows are worked on in their order
/// whatever order oneTBB runs the tokens in. Once stopped it holds nothing of the loader, so a token that is left over
/// keeps nothing alive.
///
/// Without io threads a worker claims a row and loads it. With them, an io thread claims it, reads its sample and lays
/// it ready for a worker; a worker that needs another sample for it (a substitute) gives it back. Every row that waits
/// has a token to go with it: one in the io stage for each that is to be read, one in the runner for each that is
/// ready.
class RowQueue : public TokenTask, public ReadTask, public std::enable_shared_from_this<RowQueue> {
 public:
  RowQueue(std::shared_ptr<LoaderCore> core, std::uint64_t epoch);

  /// Claims one row, or one that is ready, and loads it.
  void run_one() noexcept override;
  /// Claims one row and reads its sample.
  void read_one() noexcept override;

  // For the consumer's thread:
  std::size_t num_batches() const;
  /// Batches at the front that are done.
  std::size_t num_ready() const;
  void push(std::unique_ptr<PendingBatch> batch);
  /// Has the last batch that was pushed worked on. Throws std::bad_alloc; some of its rows may be worked on then.
  void submit_last();
  /// The last batch fails with `error`: rows of it that no worker has yet are given up.
  void fail_last(std::exception_ptr error);
  /// Waits until the first batch is done, and removes it; null if `stop` is requested first. There must be one.
  std::unique_ptr<PendingBatch> pop(const std::stop_token& stop);
  /// No row is claimed any more; waits for those in progress, then lets go of everything.
  void stop() noexcept;

 private:
  std::optional<Claim> claim_new();
  std::optional<Claim> claim_to_read(LoaderCore& core, std::unique_lock<std::mutex>& lock);
  void load(LoaderCore& core, const Claim& claim) noexcept;
  void show(LoaderCore& core, const Claim& claim) noexcept;
  void read(LoaderCore& core, const Claim& claim) noexcept;
  void lay_ready(LoaderCore& core, const Claim& claim, std::unique_ptr<ReadBuffer> buffer) noexcept;
  void give_up_one(LoaderCore& core) noexcept;
  void finish(const Claim& claim, RowResult result) noexcept;
  void end_progress() noexcept;

  const std::uint64_t epoch_;
  mutable std::mutex mutex_;
  std::condition_variable progress_;
  std::shared_ptr<LoaderCore> core_;
  std::stop_source stop_source_;
  std::deque<std::unique_ptr<PendingBatch>> batches_;
  RowLine returned_;             // rows that want another sample
  RowLine ready_;                // rows whose sample was read
  std::size_t num_claimed_ = 0;  // the first batches have no row left to claim
  std::int64_t num_in_progress_ = 0;
  bool stopped_ = false;
};

/// For one thread at a time, the consumer's. Stops when destroyed, waiting only for rows in progress.
class EpochRun {
 public:
  /// From batch position.next_batch on.
  EpochRun(std::shared_ptr<LoaderCore> core, const Position& position);
  EpochRun(const EpochRun&) = delete;
  EpochRun& operator=(const EpochRun&) = delete;
  ~EpochRun();

  std::uint64_t epoch() const noexcept { return epoch_; }
  std::uint64_t num_batches() const noexcept { return num_batches_; }
  /// Batches issued and not yet delivered.
  std::size_t num_in_flight() const { return queue_->num_batches(); }
  /// True if no batch is left to issue.
  bool issued_all() const noexcept { return next_batch_ == num_batches_; }

  /// Issues batches until `num_in_flight` are. What fails is raised when its batch is due.
  void fill(std::size_t num_in_flight);
  /// Destroys `batch`, keeping its vectors for the next one to be issued.
  void recycle(Batch& batch) noexcept;
  /// Waits for the next batch, which fill() has issued; false if there is none. Has stopped, with false, if `stop` is
  /// requested first. Throws what kept the batch from being prepared, or what its first bad row threw, and has stopped
  /// then.
  bool take(Batch& batch, const std::stop_token& stop);

 private:
  void issue();
  void prepare(PendingBatch& pending, std::uint64_t index);
  std::exception_ptr not_prepared(std::uint64_t index) const;
  void deliver(PendingBatch& pending, Batch& batch);
  Position position_after(std::uint64_t index) const noexcept;
  [[noreturn]] void exceed_budget(const Batch& batch);
  [[noreturn]] void raise(const std::exception_ptr& error, std::uint64_t row);

  std::shared_ptr<LoaderCore> core_;
  std::uint64_t epoch_;
  std::uint64_t num_batches_;
  std::uint64_t next_batch_;  // to be issued
  std::uint64_t next_index_;  // to be delivered
  std::uint64_t num_failed_;  // rows masked or substituted in the batches delivered
  std::shared_ptr<RowQueue> queue_;
  std::vector<std::uint8_t> wrapped_;                        // of the batch being delivered, by row
  std::optional<Recorder::Clock::time_point> delivered_at_;  // when the consumer got its batch
  std::unique_ptr<PendingBatch> spare_;                      // its vectors are used again
};

}  // namespace muster
