#include "loader/io_stage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <system_error>
#include <utility>

#include "muster/error.hpp"

namespace muster {
namespace {

/// A buffer may keep so much memory more than twice its sample, so that small samples do not reallocate.
constexpr std::size_t max_spare_capacity = 64 << 10;

}  // namespace

void ByteGate::acquire(std::uint64_t num_bytes, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  const auto fits = [&] { return num_held_ == 0 || (num_bytes <= limit_ && num_held_ <= limit_ - num_bytes); };
  if (!released_.wait(lock, stop, fits)) throw SourceError("read", "stopped");
  num_held_ += num_bytes;
  max_held_ = std::max(max_held_, num_held_);
}

void ByteGate::add(std::uint64_t num_bytes) {
  const std::lock_guard lock(mutex_);
  num_held_ += num_bytes;
  max_held_ = std::max(max_held_, num_held_);
}

void ByteGate::release(std::uint64_t num_bytes) {
  if (num_bytes == 0) return;
  {
    const std::lock_guard lock(mutex_);
    num_held_ -= num_bytes;
  }
  released_.notify_all();
}

std::uint64_t ByteGate::num_held() const {
  const std::lock_guard lock(mutex_);
  return num_held_;
}

std::uint64_t ByteGate::max_held() const {
  const std::lock_guard lock(mutex_);
  return max_held_;
}

std::uint64_t ByteGate::admit(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  const auto fits = [&] {
    const std::uint64_t num_known = num_held_ + num_admitted_;
    return num_known == 0 || (num_expected_ <= limit_ && num_known <= limit_ - num_expected_) || num_expected_ == 0;
  };
  if (!released_.wait(lock, stop, fits)) throw SourceError("read", "stopped");
  num_admitted_ += num_expected_;
  return num_expected_;
}

void ByteGate::dismiss(std::uint64_t num_expected) {
  if (num_expected == 0) return;
  {
    const std::lock_guard lock(mutex_);
    num_admitted_ -= num_expected;
  }
  released_.notify_all();
}

void ByteGate::learn(std::uint64_t num_bytes) {
  constexpr std::uint64_t memory = 16;  // reads after which a long one is mostly forgotten
  const std::lock_guard lock(mutex_);
  num_expected_ = std::max(num_expected_ - num_expected_ / memory, num_bytes);
}

void ReadBuffer::read(const Source& source, std::uint64_t id, const std::stop_token& stop) noexcept {
  is_async_ = false;
  try {
    prepare(stop);
    source.read(id, sample, stop);
    settle(nullptr);
  } catch (...) {
    settle(std::current_exception());
  }
}

void ReadBuffer::read_async(const Source& source, std::uint64_t id, const std::stop_token& stop,
                            std::function<void(std::exception_ptr)> done) {
  is_async_ = true;
  prepare(stop);
  source.read_async(id, sample, stop, std::move(done));
}

void ReadBuffer::drop() noexcept {
  sample.clear();
  error = nullptr;
  gate_.dismiss(std::exchange(num_expected_, 0));
  gate_.release(std::exchange(num_counted_, 0));
}

void ReadBuffer::reserve(std::uint64_t num_bytes) {
  gate_.dismiss(std::exchange(num_expected_, 0));
  if (is_async_) {
    gate_.learn(num_bytes);
    return count(num_bytes);
  }
  gate_.release(std::exchange(num_counted_, 0));  // never waits with bytes in hand
  gate_.acquire(num_bytes, stop_);
  num_counted_ = num_bytes;
  is_announced_ = true;
}

void ReadBuffer::prepare(const std::stop_token& stop) {
  drop();
  stop_ = stop;
  is_announced_ = false;
  num_expected_ = gate_.admit(stop);
  sample.budget = this;
}

/// Counts what was really read: it may be less than was announced, or was not announced at all.
void ReadBuffer::settle(std::exception_ptr failure) noexcept {
  error = std::move(failure);
  sample.budget = nullptr;
  const std::uint64_t num_bytes = sample.bytes.size();
  if (!is_announced_) gate_.learn(num_bytes);
  count(num_bytes);
  gate_.dismiss(std::exchange(num_expected_, 0));
  // Memory that a longer sample left behind counts nowhere.
  if (sample.bytes.capacity() > 2 * num_bytes + max_spare_capacity) sample.bytes.shrink_to_fit();
}

void ReadBuffer::count(std::uint64_t num_bytes) {
  if (num_bytes > num_counted_) {
    gate_.add(num_bytes - num_counted_);
  } else {
    gate_.release(num_counted_ - num_bytes);
  }
  num_counted_ = num_bytes;
}

IoStage::IoStage(std::shared_ptr<const Source> source, int num_threads, std::uint64_t max_bytes_in_flight)
    : source_(std::move(source)), num_async_reads_(source_->num_async_reads()), gate_(max_bytes_in_flight) {
  const int num_workers = num_async_reads_ > 0 ? 1 : num_threads;
  try {
    for (int i = 0; i < num_workers; ++i) {
      threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
    }
  } catch (const std::system_error& error) {
    throw ConfigError("loader",
                      fmt::format("the system gives {} of {} io threads: {}; raise its limit{}", threads_.size(),
                                  num_workers, error.code().message(),
                                  num_async_reads_ > 0 ? "" : ", or set LoaderOptions::num_io_threads to fewer"));
  }
}

IoStage::~IoStage() {
  for (std::jthread& thread : threads_) thread.request_stop();
  threads_.clear();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return num_reads_under_way_ == 0; });
}

void IoStage::submit(const std::shared_ptr<ReadTask>& task, std::int64_t num_reads) {
  if (num_reads == 0) return;
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back({task, num_reads});
  }
  changed_.notify_all();
}

std::unique_ptr<ReadBuffer> IoStage::read(std::uint64_t id, const std::stop_token& stop) {
  auto buffer = take_buffer();
  buffer->read(*source_, id, stop);
  return buffer;
}

void IoStage::recycle(std::unique_ptr<ReadBuffer> buffer) noexcept {
  buffer->drop();
  const std::uint64_t capacity = buffer->sample.bytes.capacity();
  const std::lock_guard lock(mutex_);
  if (free_bytes_ + capacity > gate_.limit()) return;
  try {
    free_.push_back(std::move(buffer));
    free_bytes_ += capacity;
  } catch (const std::bad_alloc&) {
    // It is not kept, then.
  }
}

std::unique_ptr<ReadBuffer> IoStage::take_buffer() {
  const std::lock_guard lock(mutex_);
  if (free_.empty()) return std::make_unique<ReadBuffer>(gate_);
  auto buffer = std::move(free_.back());
  free_.pop_back();
  free_bytes_ -= buffer->sample.bytes.capacity();
  return buffer;
}

void IoStage::work(const std::stop_token& stop) {
  while (true) {
    std::shared_ptr<ReadTask> task;
    {
      std::unique_lock lock(mutex_);
      const bool may_read = changed_.wait(lock, stop, [&] {
        return !queue_.empty() && (num_async_reads_ == 0 || num_reads_under_way_ < num_async_reads_);
      });
      if (!may_read || stop.stop_requested()) return;
      Tokens& tokens = queue_.front();
      task = tokens.task;
      if (--tokens.num_left == 0) queue_.pop_front();
    }
    task->read_one();
  }
}

void IoStage::begin_read(std::uint64_t id, const std::stop_token& stop, ReadDone done) {
  struct Read {
    std::unique_ptr<ReadBuffer> buffer;
    ReadDone done;
  };
  auto read = std::make_shared<Read>(Read{take_buffer(), std::move(done)});
  std::function<void(std::exception_ptr)> settle = [this, read](std::exception_ptr failure) {
    read->buffer->settle(std::move(failure));
    read->done(std::move(read->buffer));
    const std::lock_guard lock(mutex_);
    --num_reads_under_way_;
    changed_.notify_all();  // under the lock: the destructor may wait for just this
  };
  {
    const std::lock_guard lock(mutex_);
    ++num_reads_under_way_;
  }
  try {
    read->buffer->read_async(*source_, id, stop, std::move(settle));
  } catch (...) {
    const std::lock_guard lock(mutex_);
    --num_reads_under_way_;
    changed_.notify_all();
    throw;
  }
}

}  // namespace muster
