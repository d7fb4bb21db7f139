#include "loader/epoch_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace muster {

void RowLine::push(const Claim& claim) noexcept {
  claim.row().next.reset();
  if (first_) {
    last_.row().next = claim;
  } else {
    first_ = claim;
  }
  last_ = claim;
}

std::optional<Claim> RowLine::pop() noexcept {
  const std::optional<Claim> claim = first_;
  if (claim) first_ = claim->row().next;
  return claim;
}

RowQueue::RowQueue(std::shared_ptr<LoaderCore> core, std::uint64_t epoch) : epoch_(epoch), core_(std::move(core)) {}

void RowQueue::run_one() noexcept {
  std::unique_lock lock(mutex_);
  if (stopped_) return;
  LoaderCore& core = *core_;  // stop() waits for us before it lets go
  const auto claim = core.io ? ready_.pop() : claim_new();
  if (!claim) return;
  ++num_in_progress_;
  lock.unlock();
  if (core.io) {
    show(core, *claim);
  } else {
    load(core, *claim);
  }
}

void RowQueue::read_one() noexcept {
  std::unique_lock lock(mutex_);
  if (stopped_) return;
  LoaderCore& core = *core_;
  if (const auto claim = claim_to_read(core, lock)) read(core, *claim);
}

/// The next row that nobody has.
std::optional<Claim> RowQueue::claim_new() {
  while (num_claimed_ < batches_.size() && batches_[num_claimed_]->num_claimed == batches_[num_claimed_]->num_rows) {
    ++num_claimed_;
  }
  if (num_claimed_ == batches_.size()) return std::nullopt;
  PendingBatch& batch = *batches_[num_claimed_];
  return Claim{&batch, batch.num_claimed++};
}

/// The next row that wants a sample, now in progress; nothing if it wanted none. Unlocks.
std::optional<Claim> RowQueue::claim_to_read(LoaderCore& core, std::unique_lock<std::mutex>& lock) {
  const bool is_new = returned_.empty();
  const auto claim = is_new ? claim_new() : returned_.pop();
  if (!claim) return std::nullopt;
  ++num_in_progress_;
  lock.unlock();
  if (!is_new) return claim;
  const RowSlot slot(claim->batch->batch, claim->k, core.spec.layout);
  RowProgress& progress = claim->row().progress;
  if (core.rows.begin(epoch_, core.layout.row(claim->batch->batch.index, claim->k), slot, progress)) return claim;
  finish(*claim, std::move(progress.result));
  return std::nullopt;
}

/// Reads and renders a row in one go.
void RowQueue::load(LoaderCore& core, const Claim& claim) noexcept {
  const RowSlot slot(claim.batch->batch, claim.k, core.spec.layout);
  const auto row = core.layout.row(claim.batch->batch.index, claim.k);
  finish(claim, core.rows.load(epoch_, row, slot, stop_source_.get_token()));
}

/// Renders what was read for a row, or gives the row back for another sample.
void RowQueue::show(LoaderCore& core, const Claim& claim) noexcept {
  PendingRow& row = claim.row();
  const RowSlot slot(claim.batch->batch, claim.k, core.spec.layout);
  const ReadBuffer& read = *row.buffer;
  const bool wants_sample = core.rows.go_on(read.sample, read.error, slot, stop_source_.get_token(), row.progress);
  core.io->recycle(std::move(row.buffer));
  if (!wants_sample) return finish(claim, std::move(row.progress.result));
  {
    const std::lock_guard lock(mutex_);
    returned_.push(claim);
  }
  try {
    core.io->submit(shared_from_this(), 1);
  } catch (...) {
    give_up_one(core);
  }
  end_progress();
}

/// Reads the sample that a row wants, now or in the background, and lays it ready. Ends the row's progress.
void RowQueue::read(LoaderCore& core, const Claim& claim) noexcept {
  const std::uint64_t id = claim.row().progress.id;
  const std::stop_token stop = stop_source_.get_token();
  try {
    const Recorder::Clock::time_point begin = Recorder::Clock::now();
    if (core.io->is_async()) {
      core.io->begin_read(id, stop,
                          [self = shared_from_this(), &core, claim, id, begin](std::unique_ptr<ReadBuffer> buffer) {
                            core.recorder.add(WorkStep::read, begin, Recorder::Clock::now(), self->epoch_, id);
                            self->lay_ready(core, claim, std::move(buffer));
                          });
      return;
    }
    auto buffer = core.io->read(id, stop);
    core.recorder.add(WorkStep::read, begin, Recorder::Clock::now(), epoch_, id);
    lay_ready(core, claim, std::move(buffer));
  } catch (...) {
    const RowSlot slot(claim.batch->batch, claim.k, core.spec.layout);
    finish(claim, core.rows.give_up(std::current_exception(), slot, claim.row().progress));
  }
}

void RowQueue::lay_ready(LoaderCore& core, const Claim& claim, std::unique_ptr<ReadBuffer> buffer) noexcept {
  {
    const std::lock_guard lock(mutex_);
    claim.row().buffer = std::move(buffer);
    ready_.push(claim);
  }
  try {
    core.runner->submit(shared_from_this(), 1);
  } catch (...) {
    run_one();  // no memory to ask for a worker: this thread is one
  }
  end_progress();
}

/// In a handler, when no thread could be asked to read a row: one row that waits for its sample fails with what went
/// wrong. It is not read here, where waiting for room among the bytes in flight might wait for this very thread.
void RowQueue::give_up_one(LoaderCore& core) noexcept {
  std::unique_lock lock(mutex_);
  const auto claim = claim_to_read(core, lock);
  if (!claim) return;
  const RowSlot slot(claim->batch->batch, claim->k, core.spec.layout);
  finish(*claim, core.rows.give_up(std::current_exception(), slot, claim->row().progress));
}

/// The row is loaded; ends its progress.
void RowQueue::finish(const Claim& claim, RowResult result) noexcept {
  PendingBatch& batch = *claim.batch;
  batch.results[static_cast<std::size_t>(claim.k)] = std::move(result);
  const std::lock_guard lock(mutex_);
  --num_in_progress_;
  if (++batch.num_done == batch.num_rows || stopped_) progress_.notify_all();
}

/// A row leaves this thread's hands, for another's.
void RowQueue::end_progress() noexcept {
  const std::lock_guard lock(mutex_);
  --num_in_progress_;
  if (stopped_) progress_.notify_all();
}

std::size_t RowQueue::num_batches() const {
  const std::lock_guard lock(mutex_);
  return batches_.size();
}

std::size_t RowQueue::num_ready() const {
  const std::lock_guard lock(mutex_);
  const auto is_done = [](const auto& batch) { return batch->num_done == batch->num_rows; };
  return static_cast<std::size_t>(std::ranges::find_if_not(batches_, is_done) - batches_.begin());
}

void RowQueue::push(std::unique_ptr<PendingBatch> batch) {
  const std::lock_guard lock(mutex_);
  batches_.push_back(std::move(batch));
}

void RowQueue::submit_last() {
  std::int64_t num_rows = 0;
  LoaderCore* core = nullptr;
  {
    const std::lock_guard lock(mutex_);
    num_rows = batches_.back()->num_rows;
    core = core_.get();
  }
  if (core->io) {
    core->io->submit(shared_from_this(), num_rows);
  } else {
    core->runner->submit(shared_from_this(), num_rows);
  }
}

void RowQueue::fail_last(std::exception_ptr error) {
  const std::lock_guard lock(mutex_);
  PendingBatch& last = *batches_.back();
  last.error = std::move(error);
  last.num_rows = last.num_claimed;
}

std::unique_ptr<PendingBatch> RowQueue::pop(const std::stop_token& stop) {
  const std::stop_callback wake(stop, [&] {
    const std::lock_guard lock(mutex_);
    progress_.notify_all();
  });
  std::unique_lock lock(mutex_);
  const auto is_done = [&] { return batches_.front()->num_done == batches_.front()->num_rows; };
  progress_.wait(lock, [&] { return is_done() || stop.stop_requested(); });
  if (!is_done()) return nullptr;
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
  {
    std::unique_lock lock(mutex_);
    progress_.wait(lock, [&] { return num_in_progress_ == 0; });
  }
  // Tokens that are left over look at nothing of this any more: memory and core go without the lock.
  batches_.clear();
  num_claimed_ = 0;
  returned_ = {};
  ready_ = {};
  core_.reset();
}

EpochRun::EpochRun(std::shared_ptr<LoaderCore> core, const Position& position)
    : core_(std::move(core)),
      epoch_(position.epoch),
      num_batches_(core_->layout.num_batches()),
      next_batch_(position.next_batch),
      next_index_(position.next_batch),
      num_failed_(position.num_failed),
      queue_(std::make_shared<RowQueue>(core_, epoch_)) {}

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
  if (pending->error)
    next_batch_ = num_batches_;  // nothing comes after it
  else
    ++next_batch_;
  queue_->push(std::move(pending));
  try {
    queue_->submit_last();
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
  pending.rows.clear();
  if (core_->io) pending.rows.resize(static_cast<std::size_t>(num_rows));
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

bool EpochRun::take(Batch& batch, const std::stop_token& stop) {
  if (queue_->num_batches() == 0) return false;
  const Recorder::Clock::time_point asked = Recorder::Clock::now();
  if (delivered_at_) core_->recorder.add_consumption(*delivered_at_, asked, epoch_, next_index_ - 1);
  const std::size_t num_ready = queue_->num_ready();
  std::unique_ptr<PendingBatch> pending = queue_->pop(stop);
  if (!pending) {
    queue_->stop();
    return false;
  }
  delivered_at_ = Recorder::Clock::now();
  core_->recorder.add_wait(asked, *delivered_at_, epoch_, next_index_, num_ready);
  ++next_index_;
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
  loaded.num_fillers = loaded.num_wrapped = loaded.num_bytes_read = 0;
  wrapped_.resize(pending.results.size());
  for (std::size_t k = 0; k < pending.results.size(); ++k) {
    RowResult& result = pending.results[k];
    if (result.error) raise(result.error, loaded.rows[k]);
    wrapped_[k] = core_->layout.wrapped(loaded.index, static_cast<std::int64_t>(k)) ? 1 : 0;
    loaded.num_wrapped += wrapped_[k];
    loaded.num_fillers += result.state == RowState::filler ? 1 : 0;
    loaded.num_bytes_read += static_cast<std::int64_t>(result.num_bytes_read);
    num_failed_ += result.state == RowState::masked || result.state == RowState::substituted ? 1 : 0;
    for (Incident& incident : result.incidents) loaded.incidents.push_back(std::move(incident));
  }
  if (num_failed_ > core_->max_failed_rows) exceed_budget(loaded);
  core_->log.record({loaded, pending.results, wrapped_, position_after(loaded.index)});
  batch = std::move(loaded);
}

/// Where the loop goes on once batch `index` has been consumed.
Position EpochRun::position_after(std::uint64_t index) const noexcept {
  if (index + 1 == num_batches_) return {.epoch = epoch_ + 1, .next_batch = 0, .num_failed = 0};
  return {.epoch = epoch_, .next_batch = index + 1, .num_failed = num_failed_};
}

void EpochRun::exceed_budget(const Batch& batch) {
  core_->log.record_stop(batch.incidents);
  throw BudgetError(
      "loader", fmt::format("epoch {}: expected at most {} failed rows, received {} by batch {}; mend or "
                            "exclude the samples, or raise LoaderOptions::error_budget. {}",
                            epoch_, core_->max_failed_rows, num_failed_, batch.index, core_->log.report().to_string()));
}

void EpochRun::raise(const std::exception_ptr& error, std::uint64_t row) {
  try {
    std::rethrow_exception(error);
  } catch (const Error& known) {
    core_->log.record_stop({describe(known, Outcome::raised, epoch_, row)});
    throw;
  }
}

}  // namespace muster
