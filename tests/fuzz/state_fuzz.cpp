// States: refused with a reason, or a place in the epoch that the loop goes on from.
#include "fuzz.hpp"
#include "muster/loader.hpp"

using namespace muster;
using namespace muster::fuzz;

namespace {

Loader make_loader() {
  std::vector<Sample> samples(10);
  for (Sample& sample : samples) sample.image = std::make_shared<Image>(Size{3, 4}, 3);
  return Loader(MemorySource(std::move(samples)), Pipeline{Resize{Size{2, 2}}},
                {.batch_size = 3, .shuffle = true, .num_threads = 1, .prefetch = 1});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Loader loader = make_loader();
  accepts([&] {
    EpochRange range = loader.resume(text_of(data, size));
    const std::optional<Batch> batch = range.next();
    claim(batch.has_value(), "where a loop goes on there is a batch");
    claim(batch->epoch == range.epoch() && batch->index < range.num_batches(), "the batch is one of the epoch");
  });
  return 0;
}
