// Counts where time goes while a loader runs. Everything is atomic: threads add, a snapshot may be taken at any time.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>

#include "muster/stats.hpp"

namespace muster {

class Recorder {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Recorder(std::shared_ptr<SpanSink> sink) : sink_(std::move(sink)) {}

  void add(WorkStep step, Clock::time_point begin, Clock::time_point end, std::uint64_t epoch,
           std::uint64_t sample_id) noexcept;
  void add_sample(bool failed, std::uint64_t num_bytes) noexcept;
  /// The consumer asked for batch `index` of an epoch while `num_ready` were ready.
  void add_wait(Clock::time_point begin, Clock::time_point end, std::uint64_t epoch, std::uint64_t index,
                std::uint64_t num_ready) noexcept;
  void add_consumption(Clock::time_point begin, Clock::time_point end, std::uint64_t epoch,
                       std::uint64_t index) noexcept;

  /// Without what the io stage knows. `num_workers` do everything, but with io threads not the reading.
  LoaderStats snapshot(int num_workers, int num_io_threads) const;

 private:
  using Nanoseconds = std::atomic<std::int64_t>;
  static void add_to(Nanoseconds& sum, Clock::time_point begin, Clock::time_point end) noexcept {
    sum.fetch_add(std::chrono::duration_cast<std::chrono::nanoseconds>(end - begin).count(), std::memory_order_relaxed);
  }

  const std::shared_ptr<SpanSink> sink_;
  std::array<Nanoseconds, num_work_steps> steps_{};
  Nanoseconds consumer_wait_{0};
  Nanoseconds consumer_work_{0};
  std::atomic<std::uint64_t> num_samples_{0};
  std::atomic<std::uint64_t> num_errors_{0};
  std::atomic<std::uint64_t> num_bytes_read_{0};
  std::atomic<std::uint64_t> num_batches_{0};
  std::atomic<std::uint64_t> num_waits_{0};
  std::atomic<std::uint64_t> num_ready_{0};  // summed over the batches
};

/// Times a step from its construction to its end.
class StepTimer {
 public:
  StepTimer(Recorder& recorder, WorkStep step, std::uint64_t epoch, std::uint64_t sample_id) noexcept
      : recorder_(recorder), step_(step), epoch_(epoch), sample_id_(sample_id) {}
  StepTimer(const StepTimer&) = delete;
  StepTimer& operator=(const StepTimer&) = delete;
  ~StepTimer() { recorder_.add(step_, begin_, Recorder::Clock::now(), epoch_, sample_id_); }

 private:
  Recorder& recorder_;
  const WorkStep step_;
  const std::uint64_t epoch_;
  const std::uint64_t sample_id_;
  const Recorder::Clock::time_point begin_ = Recorder::Clock::now();
};

}  // namespace muster
