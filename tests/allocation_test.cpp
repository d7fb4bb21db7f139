// In the steady state nothing is allocated per sample. libjpeg's own pools come from malloc and are not counted.
#include <doctest/doctest.h>

#include "allocation_hook.hpp"
#include "jpeg.hpp"
#include "muster/loader.hpp"
#include "support.hpp"

using namespace muster;
using namespace muster::test;

TEST_CASE("allocation: a renderer that has seen the sizes allocates nothing per sample") {
  const Data plain = write_jpeg(noise_image({90, 120}, 3, 1), {.horizontal = 2, .vertical = 2});
  const Data restarts = write_jpeg(noise_image({96, 128}, 3, 2), {.restart_interval = 4, .orientation = 6});
  for (const std::string& preset : Pipeline::preset_names()) {
    CAPTURE(preset);
    const Pipeline pipeline = Pipeline::preset(preset);
    Renderer renderer(pipeline);
    const Size size = pipeline.output_size();
    std::vector<float> slot(static_cast<std::size_t>(3 * size.height * size.width));
    Plan plan;
    const auto run = [&](const Data& bytes, std::uint64_t id) {
      const ImageInfo info = renderer.probe(bytes);
      pipeline.plan(info.size, {.seed = 1, .epoch = 0, .sample_id = id}, plan);
      renderer.run(plan, bytes, info, {reinterpret_cast<std::byte*>(slot.data()), DType::float32, Layout::nchw});
    };
    const auto run_all = [&] {
      for (std::uint64_t id = 0; id < 40; ++id) run(id % 2 == 0 ? plain : restarts, id);
    };
    run_all();
    const std::uint64_t before = num_allocations();
    run_all();
    CHECK(num_allocations() - before == 0);
  }
}

TEST_CASE("allocation: what a loader allocates per batch does not depend on how many samples a batch has") {
  const Pipeline pipeline{Resize{.size = Size{32, 32}}, RandomHorizontalFlip{}};
  const Data bytes = write_jpeg(noise_image({60, 70}, 3, 1), {});
  const auto allocations = [&](std::int64_t batch_size) {
    constexpr std::int64_t num_batches = 20;
    std::vector<Sample> samples(static_cast<std::size_t>(num_batches * batch_size));
    for (Sample& sample : samples) sample.bytes = bytes;
    Loader loader(MemorySource(std::move(samples)), pipeline, {.batch_size = batch_size, .num_threads = 1});
    std::uint64_t before = 0;
    std::uint64_t after = 0;
    for (const Batch& batch : loader.epoch(0)) {
      if (batch.index == 8) before = num_allocations();
      if (batch.index == 16) after = num_allocations();
    }
    return after - before;
  };
  CHECK(allocations(32) == allocations(4));
}
