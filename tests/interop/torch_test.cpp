// libtorch's side of to_torch() and of DLPack.
#include "muster/interop/torch.hpp"

#include <doctest/doctest.h>

#include <ATen/DLConvertor.h>

#include <optional>
#include <thread>

#include "loader_support.hpp"
#include "muster/interop/dlpack.hpp"

namespace muster::test {
namespace {

LoaderOptions counted(const std::shared_ptr<CountingAllocator>& allocator) {
  return {.batch_size = 4, .last_batch = LastBatch::pad, .num_threads = 2, .prefetch = 1, .allocator = allocator};
}

/// {2, 3} of the values 0 … 5.
Tensor counting_tensor(DType dtype) {
  Tensor tensor = Tensor::allocate(dtype, {2, 3});
  for (std::size_t i = 0; i < 6; ++i) {
    const auto value = static_cast<float>(i);
    if (dtype == DType::uint8) tensor.as<std::uint8_t>()[i] = static_cast<std::uint8_t>(i);
    if (dtype == DType::float16) tensor.as<std::uint16_t>()[i] = to_float16(value);
    if (dtype == DType::bfloat16) tensor.as<std::uint16_t>()[i] = to_bfloat16(value);
    if (dtype == DType::float32) tensor.as<float>()[i] = value;
    if (dtype == DType::int64) tensor.as<std::int64_t>()[i] = static_cast<std::int64_t>(i);
  }
  return tensor;
}

constexpr DType all_types[] = {DType::uint8, DType::float16, DType::bfloat16, DType::float32, DType::int64};

/// True if torch sees what counting_tensor() made, where it lies.
bool is_counting(const torch::Tensor& tensor, DType dtype, const void* memory) {
  return tensor.data_ptr() == memory && tensor.scalar_type() == torch_dtype(dtype) && tensor.is_contiguous() &&
         tensor.sizes() == torch::IntArrayRef({2, 3}) &&
         torch::equal(tensor.to(torch::kInt64).view(-1), torch::arange(6, torch::kInt64));
}

}  // namespace

TEST_CASE("torch: every type has the same values in the same memory") {
  for (const DType dtype : all_types) {
    CAPTURE(name(dtype));
    Tensor tensor = counting_tensor(dtype);
    const void* const memory = tensor.data();
    CHECK(is_counting(to_torch(std::move(tensor)), dtype, memory));
    CHECK(tensor.data() == nullptr);
  }
}

TEST_CASE("torch: a number that is no type is refused") {
  CHECK_THROWS_WITH_AS(torch_dtype(static_cast<DType>(99)),
                       "[to_torch] expected one of muster's types, received number 99", ConfigError);
}

TEST_CASE("torch: it takes every type from a DLPack capsule, and gives it back through one") {
  for (const DType dtype : all_types) {
    CAPTURE(name(dtype));
    Tensor tensor = counting_tensor(dtype);
    const void* const memory = tensor.data();
    const torch::Tensor theirs = at::fromDLPack(dlpack::release_as<DLManagedTensor>(to_dlpack(std::move(tensor))));
    CHECK(is_counting(theirs, dtype, memory));
    const Tensor back = from_dlpack(dlpack::adopt<dlpack::ManagedTensor>(at::toDLPack(theirs)));
    CHECK(back.data() == memory);
    CHECK(back.dtype() == dtype);
    CHECK(back.shape() == Shape{2, 3});
  }
  CHECK_THROWS_AS(from_dlpack(dlpack::adopt<dlpack::ManagedTensor>(at::toDLPack(torch::zeros({2, 3}).t()))),
                  ConfigError);
}

TEST_CASE("torch: a batch arrives as images, labels and a mask; the rest stays in it") {
  Loader loader{NoiseSource{6}, random_pipeline(), counted(std::make_shared<CountingAllocator>())};
  for (Batch& batch : loader.epoch(0)) {
    std::vector<RowCopy> expected;
    append_rows(batch, expected);
    const void* const memory[] = {batch.images.data(), batch.labels.data(), batch.valid.data()};
    const TorchBatch theirs = to_torch(std::move(batch));
    CHECK(theirs.images.data_ptr() == memory[0]);
    CHECK(theirs.labels.data_ptr() == memory[1]);
    CHECK(theirs.valid.data_ptr() == memory[2]);
    CHECK(theirs.images.sizes() == torch::IntArrayRef({4, 3, 8, 6}));
    CHECK((theirs.labels.scalar_type() == torch::kInt64));
    CHECK((theirs.valid.scalar_type() == torch::kBool));
    CHECK(theirs.valid.sum().item<std::int64_t>() == (batch.index == 0 ? 4 : 2));
    CHECK(theirs.images.index({theirs.valid}).size(0) == (batch.index == 0 ? 4 : 2));
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const auto row = static_cast<std::int64_t>(i);
      CHECK(theirs.labels[row].item<std::int64_t>() == expected[i].label);
      CHECK(theirs.valid[row].item<bool>() == expected[i].valid);
      const torch::Tensor image = theirs.images[row];
      CHECK(std::memcmp(image.data_ptr(), expected[i].pixels.data(), expected[i].pixels.size()) == 0);
    }
    CHECK(batch.ids.size() == 4);
    CHECK(batch.plans.size() == 4);
    CHECK(batch.images.data() == nullptr);
  }
}

TEST_CASE("torch: the memory returns when torch lets go of the last view, though the loader is gone") {
  auto allocator = std::make_shared<CountingAllocator>();
  std::optional<TorchBatch> theirs;
  {
    Loader loader{NoiseSource{4}, random_pipeline(), counted(allocator)};
    theirs = to_torch(std::move(*loader.epoch(0).next()));
  }
  CHECK(allocator->live_bytes == allocator->block_bytes);
  torch::Tensor view = theirs->images.narrow(0, 1, 2).permute({0, 2, 3, 1});
  const torch::Tensor copy = view.clone();
  theirs.reset();
  CHECK(allocator->live_bytes == allocator->block_bytes);
  CHECK(torch::equal(view, copy));
  std::thread([&] { view.reset(); }).join();
  CHECK(allocator->live_bytes == 0);
  CHECK(allocator->num_wrong == 0);
}

TEST_CASE("torch: batches that torch holds keep their bytes while the loader goes on; the pool gets them back") {
  auto allocator = std::make_shared<CountingAllocator>();
  Loader loader{NoiseSource{40}, random_pipeline(), counted(allocator)};
  std::vector<TorchBatch> held;
  std::vector<torch::Tensor> copies;
  for (Batch& batch : loader.epoch(0)) {
    held.push_back(to_torch(std::move(batch)));
    copies.push_back(held.back().images.clone());
  }
  rows_of(loader, 1);
  for (std::size_t i = 0; i < held.size(); ++i) CHECK(torch::equal(held[i].images, copies[i]));
  held.clear();
  const std::int64_t num_allocations = allocator->num_allocations;
  for (std::uint64_t epoch = 2; epoch < 5; ++epoch) {
    for (Batch& batch : loader.epoch(epoch)) to_torch(std::move(batch));
  }
  CHECK(allocator->num_allocations == num_allocations);
}

TEST_CASE("torch: nhwc becomes channels_last without a copy") {
  LoaderOptions options = counted(std::make_shared<CountingAllocator>());
  options.layout = Layout::nhwc;
  options.dtype = DType::float32;
  Loader loader{NoiseSource{4}, random_pipeline(), options};
  const torch::Tensor images = to_torch(std::move(*loader.epoch(0).next())).images;
  const torch::Tensor permuted = images.permute({0, 3, 1, 2});
  CHECK(permuted.sizes() == torch::IntArrayRef({4, 3, 8, 6}));
  CHECK(permuted.is_contiguous(torch::MemoryFormat::ChannelsLast));
  CHECK(permuted.data_ptr() == images.data_ptr());
}

TEST_CASE("torch: gradients reach images that came from a loader") {
  LoaderOptions options = counted(std::make_shared<CountingAllocator>());
  options.dtype = DType::float32;
  Loader loader{NoiseSource{4}, random_pipeline(), options};
  torch::Tensor images = to_torch(std::move(*loader.epoch(0).next())).images;
  images.requires_grad_();
  torch::nn::functional::conv2d(images, torch::ones({1, 3, 8, 6})).sum().backward();
  CHECK(torch::equal(images.grad(), torch::ones({4, 3, 8, 6})));
}

TEST_CASE("torch: an empty tensor is refused, and one without rows is none") {
  CHECK_THROWS_WITH_AS(to_torch(Tensor()),
                       "[to_torch] expected a tensor with a shape, received an empty one: was it moved from?",
                       ConfigError);
  CHECK(to_torch(Tensor::allocate(DType::float32, {0, 3})).sizes() == torch::IntArrayRef({0, 3}));
}

}  // namespace muster::test
