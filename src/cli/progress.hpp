// Progress: one steady line on standard error, drawn only when that is a terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

namespace muster::cli {

/// Share done, images per second, time left, errors so far. Thread-safe. The line is erased in the end.
class Progress {
 public:
  Progress(std::string label, std::uint64_t num_images);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();

  void advance(std::uint64_t num_images, std::uint64_t num_errors = 0);

 private:
  using Clock = std::chrono::steady_clock;
  void draw(Clock::time_point now);

  const std::string label_;
  const std::uint64_t num_images_;
  const bool visible_;
  const Clock::time_point start_ = Clock::now();
  std::mutex mutex_;
  Clock::time_point drawn_;  // when the line was last drawn
  std::uint64_t num_done_ = 0;
  std::uint64_t num_errors_ = 0;
};

}  // namespace muster::cli
