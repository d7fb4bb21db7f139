// Statistics: where a loader's time goes, while it runs, and what that says.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "muster/error.hpp"

namespace [[gnu::visibility("default")]] muster {

/// What a thread does with a sample.
enum class WorkStep : std::uint8_t {
  read,    // the source gives the bytes; by io threads where there are some
  probe,   // its header
  plan,    // every draw
  decode,  // the window's pixels
  pixel,   // pixel stages and the user's own
  render,  // resample, and write into the slot: one pass
};
inline constexpr std::size_t num_work_steps = 6;

std::string_view name(WorkStep step) noexcept;

/// A snapshot of what a loader did since it was made: a plain value. Times are of all threads together, in seconds.
struct LoaderStats {
  std::array<double, num_work_steps> step_seconds{};
  double consumer_wait_seconds = 0;       // for batches that were not ready
  double consumer_work_seconds = 0;       // between a batch and asking for the next
  int num_io_threads = 0;                 // that read, or asynchronous reads at once; 0: the workers read
  double worker_wait_seconds = 0;         // of the workers while an epoch was consumed: nothing to do, or no core
  std::uint64_t num_samples = 0;          // that were tried; substitutes and what was prefetched in vain included
  std::uint64_t num_errors = 0;           // of these, failed
  std::uint64_t num_batches = 0;          // delivered
  std::uint64_t num_waits = 0;            // batches of these that were not ready when they were asked for
  double mean_queue_depth = 0;            // batches that were ready when one was asked for
  std::uint64_t num_bytes_read = 0;       // encoded
  std::uint64_t num_bytes_in_flight = 0;  // now; counted with io threads only
  std::uint64_t max_bytes_in_flight = 0;  // so far

  double seconds(WorkStep step) const noexcept { return step_seconds[static_cast<std::size_t>(step)]; }

  /// A table, and what bounds the run.
  std::string to_string() const;
};

/// What a run is bound by, and what to do about it. The wait for the first batch is start-up: fewer than ten tell
/// nothing, and after ten it is less than a tenth for a consumer that is no faster than the loader.
struct Verdict {
  std::string bound;  // "consumer", "read", "decode", …: a step's name, or "start" when too little was seen
  std::string text;   // one line
};

Verdict judge(const LoaderStats& stats);

/// One piece of work of one thread.
struct Span {
  using Time = std::chrono::steady_clock::time_point;
  std::string_view name;  // a step's, or "wait for batch", "consume batch": static text, without '"' and '\\'
  Time begin;
  Time end;
  std::uint64_t epoch = 0;
  std::uint64_t id = 0;  // of the sample; the batch's number for what the consumer does
};

/// Receives every span as it ends, from any thread. Derive to send them to a tracer of your own.
class SpanSink {
 public:
  SpanSink() = default;
  SpanSink(const SpanSink&) = delete;
  SpanSink& operator=(const SpanSink&) = delete;
  virtual ~SpanSink() = default;
  virtual void add(const Span& span) noexcept = 0;
};

/// Writes spans in the Trace Event Format that Perfetto and chrome://tracing open. Thread-safe. Threads are named by
/// what they did: "consumer", "worker 1", "io 1" (it only read), "thread 1" (spans of your own).
class ChromeTrace : public SpanSink {
 public:
  /// Throws SourceError: the file cannot be written.
  explicit ChromeTrace(const std::filesystem::path& path);
  /// Ends the file, unless finish() has.
  ~ChromeTrace() override;

  void add(const Span& span) noexcept override;
  /// Ends the file. Throws SourceError if not everything could be written (a full disk).
  void finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster
