#include "loader/block_pool.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <new>
#include <stdexcept>
#include <utility>

namespace muster {

BlockPool::BlockPool(std::shared_ptr<Allocator> allocator, std::size_t size_bytes, std::size_t max_kept)
    : allocator_(std::move(allocator)), size_bytes_(size_bytes), max_kept_(max_kept) {}

BlockPool::~BlockPool() { drain(); }

std::shared_ptr<void> BlockPool::take() {
  void* block = take_block();
  return {block, [pool = shared_from_this()](void* memory) { pool->give_back(memory); }};
}

void BlockPool::drain() noexcept {
  std::vector<void*> blocks;
  {
    const std::lock_guard lock(mutex_);
    max_kept_ = 0;
    blocks.swap(free_);
    num_blocks_ -= blocks.size();
  }
  for (void* block : blocks) allocator_->deallocate(block, size_bytes_);
}

void* BlockPool::take_block() {
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      void* block = free_.back();
      free_.pop_back();
      return block;
    }
    free_.reserve(num_blocks_ + 1);  // so that give_back() cannot fail
    ++num_blocks_;
  }
  try {
    void* block = allocator_->allocate(size_bytes_);
    if (block == nullptr) throw std::bad_alloc();
    if (reinterpret_cast<std::uintptr_t>(block) % Allocator::alignment != 0) {
      allocator_->deallocate(block, size_bytes_);
      throw std::runtime_error(fmt::format("the allocator gave memory at {}, which is not aligned to {} bytes", block,
                                           Allocator::alignment));
    }
    return block;
  } catch (...) {
    const std::lock_guard lock(mutex_);
    --num_blocks_;
    throw;
  }
}

void BlockPool::give_back(void* block) noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (num_blocks_ <= max_kept_) {
      free_.push_back(block);
      return;
    }
    --num_blocks_;
  }
  allocator_->deallocate(block, size_bytes_);
}

}  // namespace muster
