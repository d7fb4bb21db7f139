// Counts what the test program allocates with operator new, on any thread, and lets allocations fail on demand. What
// C libraries take from malloc() is neither counted nor failed.
#pragma once

#include <cstdint>

namespace muster::test {

/// Since the program began.
std::uint64_t num_allocations() noexcept;

/// While it lives, allocation number `first` (from 1) throws std::bad_alloc. One may live at a time.
class AllocationFailure {
 public:
  enum class Length { once, lasting };       // lasting: all that follow fail as well
  enum class Threads { all, all_but_this };  // whose allocations count, and fail

  AllocationFailure(std::uint64_t first, Length length, Threads threads) noexcept;
  AllocationFailure(const AllocationFailure&) = delete;
  AllocationFailure& operator=(const AllocationFailure&) = delete;
  ~AllocationFailure();

  /// False as long as fewer were made.
  bool has_struck() const noexcept;
};

}  // namespace muster::test
