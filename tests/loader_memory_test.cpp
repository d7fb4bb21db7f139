// The loader's memory: who allocates it, how much of it there is, and what is written into it.
#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <optional>

#include "loader/block_pool.hpp"
#include "loader_support.hpp"

namespace muster::test {
namespace {

/// Element i of raw memory of a type, as the float it stands for.
float element(std::span<const std::byte> bytes, DType dtype, std::size_t i) {
  const auto read = [&]<class T>(T value) {
    std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
    return value;
  };
  switch (dtype) {
    case DType::uint8:
      return static_cast<float>(read(std::uint8_t{}));
    case DType::float16:
      return from_float16(read(std::uint16_t{}));
    case DType::bfloat16:
      return from_bfloat16(read(std::uint16_t{}));
    case DType::float32:
      return read(float{});
    case DType::int64:
      break;
  }
  throw std::logic_error("no type of images");
}

float rounded(float value, DType dtype) {
  if (dtype == DType::float16) return from_float16(to_float16(value));
  if (dtype == DType::bfloat16) return from_bfloat16(to_bfloat16(value));
  return value;
}

LoaderOptions counted(const std::shared_ptr<CountingAllocator>& allocator, int prefetch = 2) {
  return {.batch_size = 4, .num_threads = 2, .prefetch = prefetch, .allocator = allocator};
}

}  // namespace

TEST_CASE("loader: every dtype in every layout holds what converting pixel by pixel gives") {
  const Size size{5, 7};
  std::vector<Sample> samples(3);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    samples[i].image = std::make_shared<const Image>(noise_image(size, 3, static_cast<std::uint32_t>(i) + 50));
  }
  const std::array<float, 3> mean = {0.485f, 0.456f, 0.406f};
  const std::array<float, 3> stddev = {0.229f, 0.224f, 0.225f};
  for (const bool normalised : {false, true}) {
    const CenterCrop crop{.size = size};
    const Pipeline pipeline = normalised ? Pipeline{crop, Normalize{imagenet_mean, imagenet_stddev}} : Pipeline{crop};
    for (const DType dtype : {DType::uint8, DType::float16, DType::bfloat16, DType::float32}) {
      for (const Layout layout : {Layout::nchw, Layout::nhwc}) {
        CAPTURE(normalised);
        CAPTURE(name(dtype));
        CAPTURE(name(layout));
        Loader loader{
            MemorySource(samples), pipeline, {.batch_size = 2, .dtype = dtype, .layout = layout, .num_threads = 2}};
        std::size_t id = 0;
        for (const Batch& batch : loader.epoch(0)) {
          const std::int64_t n = batch.num_rows();
          CHECK(batch.images.dtype() == dtype);
          CHECK(batch.images.shape() == (layout == Layout::nchw ? Shape{n, 3, 5, 7} : Shape{n, 5, 7, 3}));
          for (std::int64_t k = 0; k < n; ++k, ++id) {
            std::size_t num_wrong = 0;
            for (std::size_t y = 0; y < 5; ++y) {
              for (std::size_t x = 0; x < 7; ++x) {
                for (std::size_t c = 0; c < 3; ++c) {
                  const float pixel = samples[id].image->data()[(y * 7 + x) * 3 + c];
                  const bool value_stage = normalised && dtype != DType::uint8;
                  const float expected = value_stage ? (pixel / 255.0f - mean[c]) / stddev[c] : pixel;
                  const std::size_t i = layout == Layout::nchw ? (c * 5 + y) * 7 + x : (y * 7 + x) * 3 + c;
                  if (element(batch.images.row(k), dtype, i) != rounded(expected, dtype)) ++num_wrong;
                }
              }
            }
            CHECK(num_wrong == 0);
          }
        }
        CHECK(id == 3);
      }
    }
  }
}

TEST_CASE("loader: decoded and encoded samples give the same rows") {
  std::vector<Sample> decoded(6);
  std::vector<Sample> files(6);
  for (std::uint64_t id = 0; id < 6; ++id) {
    const Image image = NoiseSource::image(id);
    files[id].bytes = encoded(image);
    decoded[id].image = std::make_shared<const Image>(image);
    files[id].label = decoded[id].label = static_cast<std::int64_t>(id);
  }
  Loader from_files{MemorySource(files), random_pipeline(), {.batch_size = 4}};
  Loader from_images{MemorySource(decoded), random_pipeline(), {.batch_size = 4}};
  CHECK(rows_of(from_files, 1) == rows_of(from_images, 1));
  CHECK(from_images.report().num_bytes_read == 0);
}

TEST_CASE("loader: a grey image fills a colour pipeline, a colour image a grey one") {
  std::vector<Sample> samples(2);
  samples[0].image = std::make_shared<const Image>(noise_image({4, 4}, 1, 1));
  samples[1].image = std::make_shared<const Image>(noise_image({4, 4}, 3, 2));
  Loader colour{MemorySource(samples), Pipeline{CenterCrop{.size = {4, 4}}}, {.batch_size = 2}};
  const std::vector<RowCopy> rows = rows_of(colour, 0);
  for (std::size_t i = 0; i < 48; ++i) CHECK(rows[0].pixels[i] == std::byte{samples[0].image->data()[i % 16]});
  Loader grey{MemorySource(samples), Pipeline({CenterCrop{.size = {4, 4}}}, {.color = Color::grey}), {.batch_size = 2}};
  CHECK(grey.spec().shape() == Shape{2, 1, 4, 4});
  CHECK(rows_of(grey, 0)[0].pixels[5] == std::byte{samples[0].image->data()[5]});
}

TEST_CASE("loader: batches live in the user's allocator, aligned, and everything is given back") {
  auto allocator = std::make_shared<CountingAllocator>();
  {
    Loader loader{NoiseSource{30}, random_pipeline(), counted(allocator)};
    for (std::uint64_t epoch = 0; epoch < 3; ++epoch) {
      for (const Batch& batch : loader.epoch(epoch)) {
        for (const Tensor* tensor : {&batch.images, &batch.labels, &batch.valid}) {
          CHECK(reinterpret_cast<std::uintptr_t>(tensor->data()) % Allocator::alignment == 0);
        }
      }
    }
    CHECK(allocator->num_allocations > 0);
  }
  CHECK(allocator->live_bytes == 0);
  CHECK(allocator->num_wrong == 0);
  CHECK(allocator->num_allocations == allocator->num_deallocations);
}

TEST_CASE("loader: memory stays at prefetch + 1 batches however many are delivered") {
  for (const int prefetch : {1, 2, 4}) {
    CAPTURE(prefetch);
    auto allocator = std::make_shared<CountingAllocator>();
    Loader loader{NoiseSource{50}, random_pipeline(), counted(allocator, prefetch)};
    for (std::uint64_t epoch = 0; epoch < 4; ++epoch) rows_of(loader, epoch);
    CHECK(allocator->num_allocations == prefetch + 1);
  }
}

TEST_CASE("loader: memory is written anew: no row shows what an earlier batch left") {
  auto allocator = std::make_shared<CountingAllocator>();
  Loader fresh{NoiseSource{10}, random_pipeline(), {.batch_size = 4}};
  Loader loader{NoiseSource{10}, random_pipeline(), counted(allocator, 1)};
  for (std::uint64_t epoch = 0; epoch < 3; ++epoch) CHECK(rows_of(loader, epoch) == rows_of(fresh, epoch));
}

TEST_CASE("loader: ten batches can be held at once; they keep their bytes, and their memory goes when they do") {
  auto allocator = std::make_shared<CountingAllocator>();
  Loader reference{NoiseSource{40}, random_pipeline(), {.batch_size = 4}};
  const std::vector<RowCopy> expected = rows_of(reference, 0);
  std::vector<Batch> held;
  {
    Loader loader{NoiseSource{40}, random_pipeline(), counted(allocator)};
    for (Batch& batch : loader.epoch(0)) held.push_back(std::move(batch));
    rows_of(loader, 1);
  }
  REQUIRE(held.size() == 10);
  std::vector<RowCopy> rows;
  for (const Batch& batch : held) append_rows(batch, rows);
  CHECK(rows == expected);
  CHECK(allocator->live_bytes > 0);
  CHECK(allocator->live_bytes == 10 * allocator->block_bytes);  // the pool keeps nothing once the loader is gone
  held.resize(1);
  CHECK(allocator->live_bytes == allocator->block_bytes);
  held.clear();
  CHECK(allocator->live_bytes == 0);
  CHECK(allocator->num_wrong == 0);
}

TEST_CASE("loader: a tensor moved out of a batch keeps the memory of its batch alive") {
  auto allocator = std::make_shared<CountingAllocator>();
  std::optional<Tensor> labels;
  {
    Loader loader{NoiseSource{4}, random_pipeline(), counted(allocator)};
    labels = std::move(loader.epoch(0).next()->labels);
  }
  CHECK(labels->as<std::int64_t>()[3] == 30);
  CHECK(allocator->live_bytes > 0);
  labels.reset();
  CHECK(allocator->live_bytes == 0);
}

TEST_CASE("block pool: keeps no more free blocks than it was told, and reuses them") {
  auto allocator = std::make_shared<CountingAllocator>();
  {
    const auto pool = std::make_shared<BlockPool>(allocator, 256, 2);
    std::vector<std::shared_ptr<void>> blocks;
    for (int i = 0; i < 5; ++i) blocks.push_back(pool->take());
    CHECK(allocator->num_allocations == 5);
    blocks.clear();
    CHECK(allocator->live_bytes == 2 * 256);
    blocks.push_back(pool->take());
    CHECK(allocator->num_allocations == 5);
    pool->drain();
    CHECK(allocator->live_bytes == 256);
  }
  CHECK(allocator->live_bytes == 0);
}

}  // namespace muster::test
