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

/// A batch on its way. Workers write its rows, each its own; the rest is guarded by the queue.
struct PendingBatch {
  Batch batch;
  std::vector<RowResult> results;  // by row
  std::exception_ptr error;        // it could not be prepared; it has no rows then
  std::int64_t num_rows = 0;       // to be loaded
  std::int64_t num_claimed = 0;    // rows [0, num_claimed) have a worker
  std::int64_t num_done = 0;
};

/// The batches in flight. A token claims the next row that nobody has, so rows are worked on in their order
/// whatever order oneTBB runs the tokens in. Once stopped it holds nothing of the loader, so a token that is left over
/// keeps nothing alive.
class RowQueue : public TokenTask {
 public:
  RowQueue(std::shared_ptr<LoaderCore> core, std::uint64_t epoch);

  /// Claims one row and loads it.
  void run_one() noexcept override;

  // For the consumer's thread:
  std::size_t num_batches() const;
  void push(std::unique_ptr<PendingBatch> batch);
  /// The last batch fails with `error`: rows of it that no worker has yet are given up.
  void fail_last(std::exception_ptr error);
  /// Waits until the first batch is done, and removes it. There must be one.
  std::unique_ptr<PendingBatch> pop();
  /// No row is claimed any more; waits for those in progress, then lets go of everything.
  void stop() noexcept;

 private:
  PendingBatch* claim_batch();

  const std::uint64_t epoch_;
  mutable std::mutex mutex_;
  std::condition_variable progress_;
  std::shared_ptr<LoaderCore> core_;
  std::stop_source stop_source_;
  std::deque<std::unique_ptr<PendingBatch>> batches_;
  std::size_t num_claimed_ = 0;  // the first batches have no row left to claim
  std::int64_t num_in_progress_ = 0;
  bool stopped_ = false;
};

/// For one thread at a time, the consumer's. Stops when destroyed, waiting only for rows in progress.
class EpochRun {
 public:
  EpochRun(std::shared_ptr<LoaderCore> core, std::uint64_t epoch);
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
  /// Waits for the next batch, which fill() has issued; false if there is none. Throws what kept the batch from
  /// being prepared, or what its first bad row threw, and has stopped then.
  bool take(Batch& batch);

 private:
  void issue();
  void prepare(PendingBatch& pending, std::uint64_t index);
  std::exception_ptr not_prepared(std::uint64_t index) const;
  void deliver(PendingBatch& pending, Batch& batch);
  [[noreturn]] void raise(const std::exception_ptr& error, std::uint64_t row);

  std::shared_ptr<LoaderCore> core_;
  std::uint64_t epoch_;
  std::uint64_t num_batches_;
  std::uint64_t next_batch_ = 0;
  std::shared_ptr<RowQueue> queue_;
  std::unique_ptr<PendingBatch> spare_;  // its vectors are used again
};

}  // namespace muster
