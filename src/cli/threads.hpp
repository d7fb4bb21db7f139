// Threads for the commands that work through a list; the loader has its own.
#pragma once

#include <algorithm>
#include <thread>
#include <vector>

namespace muster::cli {

inline int num_cores() { return static_cast<int>(std::max(1u, std::thread::hardware_concurrency())); }

/// Calls work() on `num_threads` threads at once (0: one per core; at most 256) and waits for all. What work() throws
/// ends the program: it keeps its errors itself.
template <class Work>
void run_on_threads(int num_threads, const Work& work) {
  std::vector<std::jthread> threads;
  for (int i = 0; i < std::min(num_threads > 0 ? num_threads : num_cores(), 256); ++i) {
    threads.emplace_back([&] { work(); });
  }
}

}  // namespace muster::cli
