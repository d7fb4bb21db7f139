#include "allocation_hook.hpp"

#include <atomic>
#include <new>

#include <dlfcn.h>

namespace muster::test {
namespace {

std::atomic<std::uint64_t> num_made = 0;
std::atomic<bool> is_armed = false;
std::atomic<std::int64_t> num_left = 0;  // including the one that fails
std::atomic<bool> is_lasting = false;
thread_local bool is_spared = false;

/// Counts an allocation; throws if it is one that fails.
void count() {
  num_made.fetch_add(1, std::memory_order_relaxed);
  if (!is_armed.load(std::memory_order_acquire) || is_spared) return;
  const std::int64_t left = num_left.fetch_sub(1, std::memory_order_relaxed);
  if (left == 1 || (left < 1 && is_lasting.load(std::memory_order_relaxed))) throw std::bad_alloc();
}

/// The function that ours stands before: the standard library's, or that of g++'s sanitizers, which keep their checks.
template <class Function>
Function* next(const char* symbol) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, symbol));
}

}  // namespace

std::uint64_t num_allocations() noexcept { return num_made.load(std::memory_order_relaxed); }

AllocationFailure::AllocationFailure(std::uint64_t first, Length length, Threads threads) noexcept {
  num_left = static_cast<std::int64_t>(first);
  is_lasting = length == Length::lasting;
  is_spared = threads == Threads::all_but_this;
  is_armed = true;
}

AllocationFailure::~AllocationFailure() {
  is_armed = false;
  is_spared = false;
}

bool AllocationFailure::has_struck() const noexcept { return num_left <= 0; }

}  // namespace muster::test

// The array forms of the standard library come here, too.
void* operator new(std::size_t size_bytes) {
  muster::test::count();
  static auto* const allocate = muster::test::next<void*(std::size_t)>("_Znwm");
  return allocate(size_bytes);
}

void* operator new(std::size_t size_bytes, std::align_val_t alignment) {
  muster::test::count();
  static auto* const allocate = muster::test::next<void*(std::size_t, std::align_val_t)>("_ZnwmSt11align_val_t");
  return allocate(size_bytes, alignment);
}
