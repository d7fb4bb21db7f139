// The same work on many items, by a few threads: where every answer of a file system takes its time, they wait
// together.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace muster {

/// Calls work(i) once for every i < num_items, on at most 8 threads; items begin in order. After a call has thrown no
/// more begin, and of all that were thrown the one of the smallest i is rethrown.
template <class Work>
void in_parallel(std::size_t num_items, const Work& work) {
  constexpr std::size_t max_threads = 8;
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;
  std::exception_ptr error;
  std::size_t error_item = num_items;
  const auto run = [&] {
    for (std::size_t item = next++; item < num_items; item = next++) {
      try {
        work(item);
      } catch (...) {
        next = num_items;
        const std::lock_guard lock(mutex);
        if (item < error_item) {
          error_item = item;
          error = std::current_exception();
        }
      }
    }
  };
  {
    std::vector<std::jthread> threads;
    try {
      while (threads.size() + 1 < std::min(max_threads, num_items)) threads.emplace_back(run);
    } catch (const std::system_error&) {
      // The system has no more threads to give: those that there are do the work.
    }
    run();
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace muster
