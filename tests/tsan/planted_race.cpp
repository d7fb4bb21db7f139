// A data race in a user's stage, planted: ThreadSanitizer must see it through oneTBB, with our suppressions in force.
// CTest expects the report; without it the suppressions hide what they should not.
#include <cstdio>
#include <memory>
#include <utility>
#include <vector>

#include "muster/muster.hpp"

namespace {

struct PlantedRace {
  std::shared_ptr<long> num_calls = std::make_shared<long>(0);

  muster::Extent output_extent(const muster::Extent& in) const { return in; }
  muster::Image operator()(muster::Image image, muster::Rng&) const {
    ++*num_calls;  // by every worker, without any order
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
  for (std::uint64_t epoch = 0; epoch < 20; ++epoch) {
    for (const muster::Batch& batch : loader.epoch(epoch)) {
      if (batch.num_rows() != 4) return 2;
    }
  }
  std::printf("%ld calls counted\n", *race.num_calls);
  return 0;
}
