// A data race in a user's stage, planted: ThreadSanitizer must see it through oneTBB, with our suppressions in force.
// CTest expects the report; without it the suppressions hide what they should not.
#include <atomic>
#include <cstdio>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "muster/muster.hpp"

namespace {

// A small data set may be one worker's alone, and then there is no race to see. So the first to come waits inside until
// a second worker is there too, with relaxed atomics, which order nothing: their writes then lie in two threads without
// any order, however the machine is loaded.
struct PlantedRace {
  struct Shared {
    long num_calls = 0;
    std::atomic<int> num_inside = 0;
    std::atomic<bool> met = true;  // nobody to wait for while the loader is made
  };
  std::shared_ptr<Shared> shared = std::make_shared<Shared>();

  muster::Extent output_extent(const muster::Extent& in) const { return in; }
  muster::Image operator()(muster::Image image, muster::Rng&) const {
    constexpr long kMaxYields = 10'000'000;  // should no second worker ever come: the test fails, it does not hang
    if (shared->num_inside.fetch_add(1, std::memory_order_relaxed) > 0)
      shared->met.store(true, std::memory_order_relaxed);
    ++shared->num_calls;  // by every worker, without any order
    for (long yields = 0; yields < kMaxYields && !shared->met.load(std::memory_order_relaxed); ++yields) {
      std::this_thread::yield();
    }
    shared->num_inside.fetch_sub(1, std::memory_order_relaxed);
    return image;
  }
};

}  // namespace

int main() {
  std::vector<muster::Sample> samples(64);
  for (muster::Sample& sample : samples) sample.image = std::make_shared<muster::Image>(muster::Size{8, 8}, 3);
  const PlantedRace race;
  muster::Loader loader{muster::MemorySource{std::move(samples)},
                        muster::Pipeline{muster::Resize{.size = muster::Size{8, 8}}, race},
                        {.batch_size = 4, .num_threads = 4}};
  race.shared->met = false;
  for (const muster::Batch& batch : loader.epoch(0)) {
    if (batch.num_rows() != 4) return 2;
  }
  std::printf("%ld calls counted, two workers at once: %s\n", race.shared->num_calls, race.shared->met ? "yes" : "no");
  return 0;
}
