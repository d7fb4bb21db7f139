// Loads three images of different sizes out of memory: they come out as one batch.
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include <muster/muster.hpp>

int main() {
  std::vector<muster::Sample> samples;
  for (const muster::Size size : {muster::Size{30, 40}, muster::Size{17, 5}, muster::Size{64, 64}}) {
    auto image = std::make_shared<muster::Image>(size, 3);
    std::memset(image->data(), 200, image->size_bytes());
    muster::Sample sample;
    sample.image = std::move(image);
    sample.label = static_cast<std::int64_t>(samples.size());
    samples.push_back(std::move(sample));
  }

  const muster::Pipeline pipeline{muster::Resize{.size = muster::Size{.height = 8, .width = 6}}};
  muster::Loader loader{muster::MemorySource{std::move(samples)}, pipeline, {.batch_size = 3, .num_threads = 2}};
  for (const muster::Batch& batch : loader.epoch(0)) {
    std::printf("%s\n", batch.images.shape().to_string().c_str());
    if (batch.images.shape() != muster::Shape{3, 3, 8, 6}) return 1;
    if (batch.labels.as<std::int64_t>()[2] != 2) return 1;
    for (const std::uint8_t value : batch.images.as<std::uint8_t>()) {
      if (value != 200) return 1;
    }
    return 0;
  }
  return 1;
}
