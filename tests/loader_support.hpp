// What the loader's tests share: sources that fail, block and count on demand, and copies of delivered rows.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "muster/muster.hpp"
#include "support.hpp"

namespace muster::test {

/// The image as a PPM or PGM file.
inline std::vector<std::uint8_t> encoded(const Image& image) {
  const std::string header = std::string(image.channels() == 3 ? "P6" : "P5") + "\n" + std::to_string(image.width()) +
                             " " + std::to_string(image.height()) + "\n255\n";
  std::vector<std::uint8_t> bytes(header.begin(), header.end());
  bytes.insert(bytes.end(), image.data(), image.data() + image.size_bytes());
  return bytes;
}

/// Sample `id` is noise of a size of its own; its label is 10 · id, its name "dir/<id>.ppm".
class NoiseSource : public Source {
 public:
  explicit NoiseSource(std::uint64_t num_samples) : num_samples_(num_samples) {}

  static Image image(std::uint64_t id) {
    const Size size{5 + static_cast<std::int64_t>(id % 7), 6 + static_cast<std::int64_t>(id % 5)};
    return noise_image(size, 3, static_cast<std::uint32_t>(id) + 1);
  }

  std::uint64_t size() const override { return num_samples_; }
  void read(std::uint64_t id, Sample& sample, std::stop_token stop) const override {
    if (before_read) before_read(id, stop);
    if (bad.contains(id)) throw SourceError("read", "made to fail");
    if (garbled.contains(id)) {
      sample.bytes = {'P', '6', ' '};
    } else {
      sample.bytes = encoded(image(id));
    }
    sample.label = static_cast<std::int64_t>(10 * id);
  }
  std::string name(std::uint64_t id) const override { return "dir/" + std::to_string(id) + ".ppm"; }

  std::set<std::uint64_t> bad;      // cannot be read
  std::set<std::uint64_t> garbled;  // cannot be decoded
  std::function<void(std::uint64_t, const std::stop_token&)> before_read;

 private:
  std::uint64_t num_samples_;
};

/// 8 × 6 of random windows, mirrored at random; uint8.
inline Pipeline random_pipeline() { return {RandomResizedCrop{.size = {8, 6}}, RandomHorizontalFlip{}}; }

/// A row as it was delivered.
struct RowCopy {
  std::uint64_t row = 0;
  std::uint64_t id = 0;
  std::int64_t label = 0;
  bool valid = false;
  std::vector<std::byte> pixels;

  friend bool operator==(const RowCopy&, const RowCopy&) = default;
};

inline void append_rows(const Batch& batch, std::vector<RowCopy>& rows) {
  for (std::int64_t k = 0; k < batch.num_rows(); ++k) {
    const auto i = static_cast<std::size_t>(k);
    const auto pixels = batch.images.row(k);
    rows.push_back({batch.rows[i],
                    batch.ids[i],
                    batch.labels.as<std::int64_t>()[i],
                    batch.valid.as<std::uint8_t>()[i] == 1,
                    {pixels.begin(), pixels.end()}});
  }
}

inline std::vector<RowCopy> rows_of(EpochRange range) {
  std::vector<RowCopy> rows;
  for (const Batch& batch : range) append_rows(batch, rows);
  return rows;
}

inline std::vector<RowCopy> rows_of(Loader& loader, std::uint64_t epoch) { return rows_of(loader.epoch(epoch)); }

inline bool is_zero(const std::vector<std::byte>& bytes) {
  for (const std::byte byte : bytes) {
    if (byte != std::byte{0}) return false;
  }
  return true;
}

/// Counts events and lets threads wait for them. wait_for_count() gives up after a time that only a hang takes.
class Counter {
 public:
  void add() {
    const std::lock_guard lock(mutex_);
    ++count_;
    changed_.notify_all();
  }
  std::int64_t count() const {
    const std::lock_guard lock(mutex_);
    return count_;
  }
  bool wait_for_count(std::int64_t count) const {
    std::unique_lock lock(mutex_);
    return changed_.wait_until(lock, std::chrono::system_clock::now() + std::chrono::minutes(2),
                               [&] { return count_ >= count; });
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::int64_t count_ = 0;
};

/// Heap memory that is counted, filled with 0xAB when it is handed out, and can be refused.
class CountingAllocator : public Allocator {
 public:
  void* allocate(std::size_t size_bytes) override {
    const std::lock_guard lock(mutex_);
    ++num_allocations;
    if (num_allocations == fail_at) throw std::runtime_error("no pinned memory left");
    void* memory = default_allocator()->allocate(size_bytes);
    std::memset(memory, 0xAB, size_bytes);
    sizes_[memory] = size_bytes;
    block_bytes = size_bytes;
    live_bytes += size_bytes;
    return memory;
  }
  void deallocate(void* memory, std::size_t size_bytes) noexcept override {
    const std::lock_guard lock(mutex_);
    ++num_deallocations;
    const auto block = sizes_.find(memory);
    if (block == sizes_.end() || block->second != size_bytes) {
      ++num_wrong;
      return;
    }
    sizes_.erase(block);
    live_bytes -= size_bytes;
    std::memset(memory, 0xCD, size_bytes);
    default_allocator()->deallocate(memory, size_bytes);
  }

  std::int64_t fail_at = 0;  // the allocation that throws, counted from 1
  std::int64_t num_allocations = 0;
  std::int64_t num_deallocations = 0;
  std::int64_t num_wrong = 0;  // deallocations of what was never allocated, or of another size
  std::size_t live_bytes = 0;
  std::size_t block_bytes = 0;  // of the latest allocation

 private:
  std::mutex mutex_;
  std::map<void*, std::size_t> sizes_;
};

/// The message of the E that `work` throws; empty if it throws none.
template <class E, class Work>
std::string message_of(Work&& work) {
  try {
    work();
  } catch (const E& error) {
    return error.what();
  }
  return {};
}

inline bool mentions(const std::string& text, std::initializer_list<const char*> parts) {
  for (const char* part : parts) {
    if (text.find(part) == std::string::npos) return false;
  }
  return true;
}

}  // namespace muster::test
