#include "loader/read_ahead.hpp"

#include <utility>

namespace muster {

void ReadAhead::begin_after(std::uint64_t epoch, std::size_t num_in_flight) noexcept {
  const std::lock_guard lock(mutex_);
  const bool looping = finished_ && *finished_ + 1 == epoch;
  if (!looping || num_in_flight == 0) return;
  try {
    if (!run_) run_ = std::make_unique<EpochRun>(core_, Position{.epoch = epoch + 1});
    if (run_->epoch() == epoch + 1) run_->fill(num_in_flight);
  } catch (...) {
    run_.reset();  // no memory to go ahead: the epoch begins when it is asked for
  }
}

void ReadAhead::finished(std::uint64_t epoch) noexcept {
  const std::lock_guard lock(mutex_);
  finished_ = epoch;
}

std::unique_ptr<EpochRun> ReadAhead::take(std::uint64_t epoch) {
  std::unique_ptr<EpochRun> run;
  {
    const std::lock_guard lock(mutex_);
    run.swap(run_);
  }
  if (run && run->epoch() != epoch) run.reset();  // waits for rows in progress, without the lock
  return run;
}

}  // namespace muster
