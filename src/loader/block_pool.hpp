// The memory of batches: blocks of one size, used again and again.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "muster/tensor.hpp"

namespace muster {

/// Hands out blocks of `size_bytes`. A block returns when its last shared_ptr goes, from any thread; it keeps pool
/// and allocator alive. Free blocks are kept while no more than `max_kept` blocks exist, else they go back to the
/// allocator. Thread-safe.
class BlockPool : public std::enable_shared_from_this<BlockPool> {
 public:
  BlockPool(std::shared_ptr<Allocator> allocator, std::size_t size_bytes, std::size_t max_kept);
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;
  ~BlockPool();

  std::size_t size_bytes() const noexcept { return size_bytes_; }
  /// Uninitialised memory: it may show what another batch held. Throws what the allocator throws,
  /// std::bad_alloc when it gave null, std::runtime_error when it gave misaligned memory.
  std::shared_ptr<void> take();
  /// Gives free blocks back to the allocator, now and from now on.
  void drain() noexcept;

 private:
  void* take_block();
  void give_back(void* block) noexcept;

  std::shared_ptr<Allocator> allocator_;
  std::size_t size_bytes_;
  std::size_t max_kept_;
  std::mutex mutex_;  // held for bookkeeping only, never while the allocator works
  std::size_t num_blocks_ = 0;
  std::vector<void*> free_;
};

}  // namespace muster
