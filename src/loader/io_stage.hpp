// Reading as a stage of its own: threads that only read, ahead of the workers, within a budget of bytes.
//
// Only rows whose batch has memory are read, so that whatever holds bytes can be decoded without the consumer's help:
// waiting for budget always ends.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include "muster/source.hpp"

namespace muster {

/// Encoded bytes in flight: counted, and kept below a limit. Thread-safe.
class ByteGate {
 public:
  explicit ByteGate(std::uint64_t limit) : limit_(limit) {}

  /// Waits until `num_bytes` fit; more than the limit pass when nothing else is held. Throws SourceError once `stop`
  /// was requested.
  void acquire(std::uint64_t num_bytes, const std::stop_token& stop);
  /// Counts bytes that are there already.
  void add(std::uint64_t num_bytes);
  void release(std::uint64_t num_bytes);

  /// For a read that does not know its length yet: waits for room for as much as the longest of its kind had lately,
  /// and returns that. It holds back others that do not know, and never one that does: what a read waits for in its
  /// source may be in the hands of one that waits here. Throws as acquire().
  std::uint64_t admit(const std::stop_token& stop);
  /// The length is known, or the read is over: what admit() returned.
  void dismiss(std::uint64_t num_expected);
  /// Such a read had `num_bytes`.
  void learn(std::uint64_t num_bytes);

  std::uint64_t limit() const noexcept { return limit_; }
  std::uint64_t num_held() const;
  std::uint64_t max_held() const;

 private:
  const std::uint64_t limit_;
  mutable std::mutex mutex_;
  std::condition_variable_any released_;
  std::uint64_t num_held_ = 0;
  std::uint64_t max_held_ = 0;
  std::uint64_t num_admitted_ = 0;  // expected of reads that do not know their length
  std::uint64_t num_expected_ = 0;  // of one
};

/// A sample on its way from storage to a worker. Its bytes count at the gate from before they are read until drop().
class ReadBuffer : private ByteBudget {
 public:
  explicit ReadBuffer(ByteGate& gate) : gate_(gate) {}
  ~ReadBuffer() override { drop(); }

  /// Reads sample `id`; what goes wrong is in `error`.
  void read(const Source& source, std::uint64_t id, const std::stop_token& stop) noexcept;
  /// Begins to, once there is room; `done` is called when it has ended, from any thread.
  void read_async(const Source& source, std::uint64_t id, const std::stop_token& stop,
                  std::function<void(std::exception_ptr)> done);
  /// The read has ended, with `failure` if that is not null.
  void settle(std::exception_ptr failure) noexcept;
  /// The content is not wanted any more.
  void drop() noexcept;

  Sample sample;
  std::exception_ptr error;

 private:
  void reserve(std::uint64_t num_bytes) override;
  void prepare(const std::stop_token& stop);
  void count(std::uint64_t num_bytes);

  ByteGate& gate_;
  std::uint64_t num_counted_ = 0;   // at the gate
  std::uint64_t num_expected_ = 0;  // there, while the length is not known
  std::stop_token stop_;
  bool is_async_ = false;
  bool is_announced_ = false;  // before the bytes were there, by a read that could wait
};

/// A read that waits for a thread.
class ReadTask {
 public:
  ReadTask() = default;
  ReadTask(const ReadTask&) = delete;
  ReadTask& operator=(const ReadTask&) = delete;
  virtual ~ReadTask() = default;

  /// Reads one sample, or nothing when there is none left to read. Called by io threads, several at once.
  virtual void read_one() noexcept = 0;
};

/// Takes over what was read, or failed to be: on any thread. Must not throw.
using ReadDone = std::function<void(std::unique_ptr<ReadBuffer>)>;

/// Thread-safe. With a source that reads asynchronously it has one thread, which begins as many reads as the source
/// wants under way.
class IoStage {
 public:
  IoStage(std::shared_ptr<const Source> source, int num_threads, std::uint64_t max_bytes_in_flight);
  IoStage(const IoStage&) = delete;
  IoStage& operator=(const IoStage&) = delete;
  /// What was submitted and not begun is forgotten; waits for reads in progress.
  ~IoStage();

  /// Io threads will call task->read_one() `num_reads` times. Throws std::bad_alloc, with nothing submitted.
  void submit(const std::shared_ptr<ReadTask>& task, std::int64_t num_reads);
  bool is_async() const noexcept { return num_async_reads_ > 0; }
  /// That may be under way at once.
  int num_reads() const noexcept { return is_async() ? num_async_reads_ : static_cast<int>(threads_.size()); }
  /// For read_one(): reads sample `id`. What goes wrong with it is in the buffer; throws std::bad_alloc.
  std::unique_ptr<ReadBuffer> read(std::uint64_t id, const std::stop_token& stop);
  /// The same in the background, where is_async(): `done` is called exactly once, unless this throws std::bad_alloc.
  void begin_read(std::uint64_t id, const std::stop_token& stop, ReadDone done);
  /// Takes a buffer back.
  void recycle(std::unique_ptr<ReadBuffer> buffer) noexcept;

  const ByteGate& gate() const noexcept { return gate_; }

 private:
  struct Tokens {
    std::shared_ptr<ReadTask> task;
    std::int64_t num_left = 0;
  };

  std::unique_ptr<ReadBuffer> take_buffer();
  void work(const std::stop_token& stop);

  std::shared_ptr<const Source> source_;
  const int num_async_reads_;
  ByteGate gate_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<Tokens> queue_;
  int num_reads_under_way_ = 0;  // asynchronous ones
  std::vector<std::unique_ptr<ReadBuffer>> free_;
  std::uint64_t free_bytes_ = 0;  // capacity of the free buffers
  std::vector<std::jthread> threads_;
};

}  // namespace muster
