#include "loader/epoch_run.hpp"

#include <fmt/format.h>

#include <utility>

namespace muster {

RowQueue::RowQueue(std::shared_ptr<LoaderCore> core, std::uint64_t epoch) : epoch_(epoch), core_(std::move(core)) {}

void RowQueue::run_one() noexcept {
  std::unique_lock lock(mutex_);
  PendingBatch* pending = claim_batch();
  if (pending == nullptr) return;
  const std::int64_t k = pending->num_claimed++;
  ++num_in_progress_;
  LoaderCore& core = *core_;  // stop() waits for us before it lets go
  lock.unlock();

  Batch& batch = pending->batch;
  const RowSlot slot(batch, k, core.spec.layout);
  pending->results[static_cast<std::size_t>(k)] =
      core.rows.load(epoch_, core.layout.row(batch.index, k), slot, stop_source_.get_token());

  lock.lock();
  --num_in_progress_;
  ++pending->num_done;
  if (stopped_ || pending->num_done == pending->num_rows) progress_.notify_all();
}

/// The first batch with a row that no worker has; null when there is none.
PendingBatch* RowQueue::claim_batch() {
  if (stopped_) return nullptr;
  while (num_claimed_ < batches_.size() && batches_[num_claimed_]->num_claimed == batches_[num_claimed_]->num_rows) {
    ++num_claimed_;
  }
  return num_claimed_ < batches_.size() ? batches_[num_claimed_].get() : nullptr;
}

std::size_t RowQueue::num_batches() const {
  const std::lock_guard lock(mutex_);
  return batches_.size();
}

void RowQueue::push(std::unique_ptr<PendingBatch> batch) {
  const std::lock_guard lock(mutex_);
  batches_.push_back(std::move(batch));
}

void RowQueue::fail_last(std::exception_ptr error) {
  const std::lock_guard lock(mutex_);
  PendingBatch& last = *batches_.back();
  last.error = std::move(error);
  last.num_rows = last.num_claimed;
}

std::unique_ptr<PendingBatch> RowQueue::pop() {
  std::unique_lock lock(mutex_);
  progress_.wait(lock, [&] { return batches_.front()->num_done == batches_.front()->num_rows; });
  auto batch = std::move(batches_.front());
  batches_.pop_front();
  if (num_claimed_ > 0) --num_claimed_;
  return batch;
}

void RowQueue::stop() noexcept {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  stop_source_.request_stop();  // may call back into a source: no lock is held
  std::deque<std::unique_ptr<PendingBatch>> batches;
  std::shared_ptr<LoaderCore> core;
  std::unique_lock lock(mutex_);
  progress_.wait(lock, [&] { return num_in_progress_ == 0; });
  batches.swap(batches_);
  core.swap(core_);
  num_claimed_ = 0;
  lock.unlock();  // so that memory and core go without it
}

EpochRun::EpochRun(std::shared_ptr<LoaderCore> core, std::uint64_t epoch)
    : core_(std::move(core)),
      epoch_(epoch),
      num_batches_(core_->layout.num_batches()),
      queue_(std::make_shared<RowQueue>(core_, epoch)) {}

EpochRun::~EpochRun() { queue_->stop(); }

void EpochRun::fill(std::size_t num_in_flight) {
  for (std::size_t n = queue_->num_batches(); n < num_in_flight && !issued_all(); ++n) issue();
}

void EpochRun::issue() {
  auto pending = spare_ ? std::move(spare_) : std::make_unique<PendingBatch>();
  const std::uint64_t index = next_batch_;
  try {
    prepare(*pending, index);
  } catch (...) {
    pending->error = not_prepared(index);
    pending->num_rows = pending->num_claimed = pending->num_done = 0;  // a recycled batch still has its last counts
    pending->results.clear();
  }
  const std::int64_t num_rows = pending->num_rows;
  if (pending->error)
    next_batch_ = num_batches_;  // nothing comes after it
  else
    ++next_batch_;
  queue_->push(std::move(pending));
  try {
    core_->runner.submit(queue_, num_rows);
  } catch (...) {
    queue_->fail_last(not_prepared(index));
    next_batch_ = num_batches_;
  }
}

void EpochRun::prepare(PendingBatch& pending, std::uint64_t index) {
  const std::int64_t num_rows = core_->layout.num_rows(index);
  core_->memory.lay_out(core_->pool->take(), num_rows, pending.batch);
  pending.batch.epoch = epoch_;
  pending.batch.index = index;
  pending.results.clear();
  pending.results.resize(static_cast<std::size_t>(num_rows));
  pending.error = nullptr;
  pending.num_rows = num_rows;
  pending.num_claimed = 0;
  pending.num_done = 0;
}

/// In a handler: the exception as an Error that names the batch and its rows.
std::exception_ptr EpochRun::not_prepared(std::uint64_t index) const {
  const std::exception_ptr cause = std::current_exception();
  std::string reason = "unknown exception";
  try {
    throw;
  } catch (const std::exception& error) {
    reason = error.what();
  } catch (...) {
  }
  std::string rows = "fillers";
  const std::int64_t num_rows = core_->layout.num_rows(index);
  if (const auto first = core_->layout.row(index, 0)) {
    const auto last = core_->layout.row(index, num_rows - 1);
    rows = fmt::format("rows {}...{}", *first, last ? *last : core_->num_rows - 1);
  }
  return std::make_exception_ptr(StageError("allocate",
                                            fmt::format("batch {} of epoch {}, {}: no memory for {} bytes: {}", index,
                                                        epoch_, rows, core_->memory.size_bytes, reason),
                                            {.sample_id = {}, .path = {}, .stage = "allocate"}, cause));
}

void EpochRun::recycle(Batch& batch) noexcept {
  if (spare_ && !batch.plans.empty()) {
    spare_->batch.ids = std::move(batch.ids);
    spare_->batch.rows = std::move(batch.rows);
    spare_->batch.plans = std::move(batch.plans);
  }
  batch = Batch{};
}

bool EpochRun::take(Batch& batch) {
  if (queue_->num_batches() == 0) return false;
  std::unique_ptr<PendingBatch> pending = queue_->pop();
  try {
    deliver(*pending, batch);
  } catch (...) {
    queue_->stop();
    throw;
  }
  spare_ = std::move(pending);
  return true;
}

void EpochRun::deliver(PendingBatch& pending, Batch& batch) {
  if (pending.error) std::rethrow_exception(pending.error);
  Batch& loaded = pending.batch;
  std::uint64_t num_wrapped_loaded = 0;
  loaded.num_fillers = loaded.num_wrapped = loaded.num_bytes_read = 0;
  for (std::size_t k = 0; k < pending.results.size(); ++k) {
    RowResult& result = pending.results[k];
    if (result.error) raise(result.error, loaded.rows[k]);
    const bool wrapped = core_->layout.wrapped(loaded.index, static_cast<std::int64_t>(k));
    loaded.num_wrapped += wrapped ? 1 : 0;
    num_wrapped_loaded += wrapped && result.state == RowState::loaded ? 1 : 0;
    loaded.num_fillers += result.state == RowState::filler ? 1 : 0;
    loaded.num_bytes_read += static_cast<std::int64_t>(result.num_bytes_read);
    for (Incident& incident : result.incidents) loaded.incidents.push_back(std::move(incident));
  }
  core_->ledger.record_batch(loaded, pending.results, num_wrapped_loaded);
  batch = std::move(loaded);
}

void EpochRun::raise(const std::exception_ptr& error, std::uint64_t row) {
  try {
    std::rethrow_exception(error);
  } catch (const Error& known) {
    core_->ledger.record(describe(known, Outcome::raised, epoch_, row));
    throw;
  }
}

}  // namespace muster
