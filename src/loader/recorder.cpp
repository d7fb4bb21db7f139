#include "loader/recorder.hpp"

#include <algorithm>
#include <numeric>

namespace muster {

void Recorder::add(WorkStep step, Clock::time_point begin, Clock::time_point end, std::uint64_t epoch,
                   std::uint64_t sample_id) noexcept {
  add_to(steps_[static_cast<std::size_t>(step)], begin, end);
  if (sink_) sink_->add({.name = name(step), .begin = begin, .end = end, .epoch = epoch, .id = sample_id});
}

void Recorder::add_sample(bool failed, std::uint64_t num_bytes) noexcept {
  num_samples_.fetch_add(1, std::memory_order_relaxed);
  num_errors_.fetch_add(failed ? 1 : 0, std::memory_order_relaxed);
  num_bytes_read_.fetch_add(num_bytes, std::memory_order_relaxed);
}

void Recorder::add_wait(Clock::time_point begin, Clock::time_point end, std::uint64_t epoch, std::uint64_t index,
                        std::uint64_t num_ready) noexcept {
  add_to(consumer_wait_, begin, end);
  num_batches_.fetch_add(1, std::memory_order_relaxed);
  num_waits_.fetch_add(num_ready == 0 ? 1 : 0, std::memory_order_relaxed);
  num_ready_.fetch_add(num_ready, std::memory_order_relaxed);
  if (sink_) sink_->add({.name = "wait for batch", .begin = begin, .end = end, .epoch = epoch, .id = index});
}

void Recorder::add_consumption(Clock::time_point begin, Clock::time_point end, std::uint64_t epoch,
                               std::uint64_t index) noexcept {
  add_to(consumer_work_, begin, end);
  if (sink_) sink_->add({.name = "consume batch", .begin = begin, .end = end, .epoch = epoch, .id = index});
}

LoaderStats Recorder::snapshot(int num_workers, int num_io_threads) const {
  const auto seconds = [](const Nanoseconds& sum) { return 1e-9 * static_cast<double>(sum.load()); };
  LoaderStats stats;
  stats.num_io_threads = num_io_threads;
  for (std::size_t i = 0; i < num_work_steps; ++i) stats.step_seconds[i] = seconds(steps_[i]);
  stats.consumer_wait_seconds = seconds(consumer_wait_);
  stats.consumer_work_seconds = seconds(consumer_work_);
  const double busy = std::accumulate(stats.step_seconds.begin(), stats.step_seconds.end(), 0.0) -
                      (num_io_threads > 0 ? stats.seconds(WorkStep::read) : 0);
  const double consumed = stats.consumer_wait_seconds + stats.consumer_work_seconds;
  stats.worker_wait_seconds = std::max(0.0, num_workers * consumed - busy);
  stats.num_samples = num_samples_;
  stats.num_errors = num_errors_;
  stats.num_batches = num_batches_;
  stats.num_waits = num_waits_;
  stats.mean_queue_depth =
      stats.num_batches == 0 ? 0 : static_cast<double>(num_ready_) / static_cast<double>(stats.num_batches);
  stats.num_bytes_read = num_bytes_read_;
  return stats;
}

}  // namespace muster
