// DLPack: what is handed out, when its memory returns, and what is refused.
#include "muster/interop/dlpack.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <optional>
#include <thread>

#include "loader_support.hpp"

// What a receiver's own header declares, written down here in C's plain terms.
extern "C" {
struct TheirTensor {
  void* data;
  int device_type;
  int device_id;
  int ndim;
  unsigned char type_code;
  unsigned char type_bits;
  unsigned short type_lanes;
  long long* shape;
  long long* strides;
  unsigned long long byte_offset;
};
struct TheirManagedTensor {
  TheirTensor tensor;
  void* context;
  void (*deleter)(TheirManagedTensor*);
};
struct TheirManagedTensorVersioned {
  unsigned major;
  unsigned minor;
  void* context;
  void (*deleter)(TheirManagedTensorVersioned*);
  unsigned long long flags;
  TheirTensor tensor;
};
}

namespace muster::test {
namespace {

using dlpack::DataType;
using dlpack::DeviceType;
using dlpack::ManagedTensor;
using dlpack::ManagedTensorVersioned;
using dlpack::TypeCode;

LoaderOptions counted(const std::shared_ptr<CountingAllocator>& allocator) {
  return {.batch_size = 4, .num_threads = 2, .prefetch = 1, .allocator = allocator};
}

/// A tensor of another framework: float32 {2, 3}, to be spoiled before it is exported.
struct TheirExport {
  explicit TheirExport(int& num_deleted) {
    managed.version = {1, 1};
    managed.context = &num_deleted;
    managed.deleter = [](ManagedTensorVersioned* self) { ++*static_cast<int*>(self->context); };
    managed.tensor = {.data = values.data(),
                      .device = {},
                      .num_dimensions = 2,
                      .dtype = {TypeCode::floating, 32, 1},
                      .shape = shape.data(),
                      .strides = strides.data(),
                      .byte_offset = 0};
  }
  TheirExport(const TheirExport&) = delete;
  TheirExport& operator=(const TheirExport&) = delete;

  dlpack::Capsule<ManagedTensorVersioned> capsule() { return dlpack::Capsule<ManagedTensorVersioned>(&managed); }

  alignas(8) std::array<float, 12> values = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  std::array<std::int64_t, 5> shape = {2, 3, 1, 1, 1};
  std::array<std::int64_t, 5> strides = {3, 1, 1, 1, 1};
  ManagedTensorVersioned managed{};
};

/// The message that refuses the export; checks that the deleter has run.
template <class E = ConfigError>
std::string refusal(const std::function<void(TheirExport&)>& spoil) {
  int num_deleted = 0;
  TheirExport theirs(num_deleted);
  spoil(theirs);
  const std::string message = message_of<E>([&] { from_dlpack(theirs.capsule()); });
  CHECK(num_deleted == 1);
  return message;
}

}  // namespace

TEST_CASE("dlpack: every type arrives with its code, its shape, compact strides and the tensor's own memory") {
  const std::pair<DType, DataType> expected[] = {{DType::uint8, {TypeCode::unsigned_int, 8, 1}},
                                                 {DType::float16, {TypeCode::floating, 16, 1}},
                                                 {DType::bfloat16, {TypeCode::bfloat, 16, 1}},
                                                 {DType::float32, {TypeCode::floating, 32, 1}},
                                                 {DType::int64, {TypeCode::signed_int, 64, 1}}};
  for (const auto& [dtype, type] : expected) {
    CAPTURE(name(dtype));
    Tensor tensor = Tensor::allocate(dtype, {2, 3, 5, 7});
    const void* const memory = tensor.data();
    const auto capsule = to_dlpack_versioned(std::move(tensor));
    CHECK(tensor.data() == nullptr);
    CHECK(capsule->version.major == 1);
    CHECK(capsule->version.minor == 0);
    CHECK(capsule->flags == 0);
    const dlpack::TensorView& view = capsule->tensor;
    CHECK(view.data == memory);
    CHECK(view.byte_offset == 0);
    CHECK(view.device.type == DeviceType::cpu);
    CHECK(view.device.id == 0);
    CHECK(view.dtype == type);
    REQUIRE(view.num_dimensions == 4);
    CHECK(std::vector(view.shape, view.shape + 4) == std::vector<std::int64_t>{2, 3, 5, 7});
    CHECK(std::vector(view.strides, view.strides + 4) == std::vector<std::int64_t>{105, 35, 7, 1});
  }
}

TEST_CASE("dlpack: a receiver with its own declarations reads both forms and gives them back") {
  auto allocator = std::make_shared<CountingAllocator>();
  Tensor labels = Tensor::allocate(DType::int64, {3}, allocator);
  labels.as<std::int64_t>()[2] = 77;
  auto* const theirs = dlpack::release_as<TheirManagedTensor>(to_dlpack(std::move(labels)));
  CHECK(theirs->tensor.device_type == 1);
  CHECK(theirs->tensor.ndim == 1);
  CHECK(theirs->tensor.type_code == 0);
  CHECK(theirs->tensor.type_bits == 64);
  CHECK(theirs->tensor.type_lanes == 1);
  CHECK(theirs->tensor.shape[0] == 3);
  CHECK(theirs->tensor.strides[0] == 1);
  CHECK(static_cast<const std::int64_t*>(theirs->tensor.data)[2] == 77);
  CHECK(allocator->live_bytes == 24);
  theirs->deleter(theirs);
  CHECK(allocator->live_bytes == 0);

  auto* const versioned = dlpack::release_as<TheirManagedTensorVersioned>(
      to_dlpack_versioned(Tensor::allocate(DType::uint8, {2, 2}, allocator), {DeviceType::cuda_host, 0}));
  CHECK(versioned->major == 1);
  CHECK(versioned->flags == 0);
  CHECK(versioned->tensor.device_type == 3);
  CHECK(versioned->tensor.shape[1] == 2);
  CHECK(versioned->tensor.byte_offset == 0);
  versioned->deleter(versioned);
  CHECK(allocator->live_bytes == 0);
  CHECK(allocator->num_wrong == 0);
}

TEST_CASE("dlpack: a batch's memory returns when the last deleter of its tensors runs, though the loader is gone") {
  auto allocator = std::make_shared<CountingAllocator>();
  std::vector<RowCopy> expected;
  dlpack::Capsule<ManagedTensorVersioned> images;
  ManagedTensor* labels = nullptr;
  {
    Loader loader{NoiseSource{8}, random_pipeline(), counted(allocator)};
    std::optional<Batch> batch = loader.epoch(0).next();
    append_rows(*batch, expected);
    images = to_dlpack_versioned(std::move(batch->images));
    labels = to_dlpack(std::move(batch->labels)).release();
  }
  CHECK(allocator->live_bytes == allocator->block_bytes);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const std::size_t size = expected[i].pixels.size();
    CHECK(std::memcmp(static_cast<const std::byte*>(images->tensor.data) + i * size, expected[i].pixels.data(), size) ==
          0);
    CHECK(static_cast<const std::int64_t*>(labels->tensor.data)[i] == expected[i].label);
  }
  auto moved = std::move(images);
  CHECK(images == nullptr);
  labels->deleter(labels);
  CHECK(allocator->live_bytes == allocator->block_bytes);
  std::thread([&] { moved.reset(); }).join();  // a framework lets go in a thread of its own
  CHECK(allocator->live_bytes == 0);
  CHECK(allocator->num_wrong == 0);
}

TEST_CASE("dlpack: memory that is handed out is not reused; once it is back, the pool gives it out again") {
  auto allocator = std::make_shared<CountingAllocator>();
  Loader loader{NoiseSource{40}, random_pipeline(), counted(allocator)};
  rows_of(loader, 0);
  const std::int64_t num_before = allocator->num_allocations;

  std::vector<RowCopy> expected;
  std::optional<Batch> batch = loader.epoch(1).next();
  append_rows(*batch, expected);
  auto images = to_dlpack(std::move(batch->images));
  batch.reset();
  rows_of(loader, 2);
  CHECK(std::memcmp(images->tensor.data, expected[0].pixels.data(), expected[0].pixels.size()) == 0);

  images.reset();
  const std::int64_t num_after = allocator->num_allocations;
  CHECK(num_after <= num_before + 1);
  for (std::uint64_t epoch = 3; epoch < 6; ++epoch) {
    for (Batch& each : loader.epoch(epoch)) to_dlpack(std::move(each.images));
  }
  CHECK(allocator->num_allocations == num_after);
}

TEST_CASE("dlpack: an empty tensor is refused, and one without elements has no memory") {
  CHECK_THROWS_WITH_AS(to_dlpack(Tensor()),
                       "[to_dlpack] expected a tensor with a shape, received an empty one: was it moved from?",
                       ConfigError);
  CHECK_THROWS_AS(to_dlpack_versioned(Tensor()), ConfigError);
  const auto none = to_dlpack(Tensor::allocate(DType::float32, {0, 3}));
  CHECK(none->tensor.data == nullptr);
  CHECK(none->tensor.shape[0] == 0);
}

TEST_CASE("dlpack: a tensor survives the way out and back in the same memory, in both forms") {
  auto allocator = std::make_shared<CountingAllocator>();
  for (const DType dtype : {DType::uint8, DType::float16, DType::bfloat16, DType::float32, DType::int64}) {
    for (const Shape& shape : {Shape{6}, Shape{2, 3}, Shape{1, 2, 3}, Shape{3, 1, 2, 1}, Shape{0, 4}}) {
      Tensor tensor = Tensor::allocate(dtype, shape, allocator);
      const void* const memory = tensor.data();
      Tensor back = from_dlpack(to_dlpack(std::move(tensor)));
      Tensor again = from_dlpack(to_dlpack_versioned(std::move(back)));
      CHECK(again.data() == memory);
      CHECK(again.shape() == shape);
      CHECK(again.dtype() == dtype);
      CHECK((allocator->live_bytes > 0) == (shape.num_elements() > 0));
    }
    CHECK(allocator->live_bytes == 0);
  }
}

TEST_CASE("dlpack: another framework's tensor is read where it lies, and given back once") {
  int num_deleted = 0;
  TheirExport theirs(num_deleted);
  theirs.managed.tensor.byte_offset = 3 * sizeof(float);
  SUBCASE("with strides") {}
  SUBCASE("without strides") { theirs.managed.tensor.strides = nullptr; }
  SUBCASE("with any stride where there is one element") {
    theirs.shape = {1, 2, 3, 1};
    theirs.strides = {999, 3, 1, -4};
    theirs.managed.tensor.num_dimensions = 4;
  }
  SUBCASE("from memory that is pinned") { theirs.managed.tensor.device = {DeviceType::cuda_host, 0}; }
  std::optional<Tensor> tensor = from_dlpack(theirs.capsule());
  CHECK(tensor->as<float>().data() == theirs.values.data() + 3);
  CHECK(tensor->as<float>().size() == 6);
  CHECK(tensor->as<float>()[5] == 8.0f);
  std::shared_ptr<void> memory = tensor->memory();
  tensor.reset();
  CHECK(num_deleted == 0);
  memory.reset();
  CHECK(num_deleted == 1);
}

TEST_CASE("dlpack: a tensor without a deleter is its framework's own business") {
  int num_deleted = 0;
  TheirExport theirs(num_deleted);
  theirs.managed.deleter = nullptr;
  CHECK(from_dlpack(theirs.capsule()).shape() == Shape{2, 3});
  CHECK(num_deleted == 0);
}

TEST_CASE("dlpack: what cannot be taken over is refused with the reason, after its deleter") {
  CHECK(refusal([](TheirExport& theirs) {
          theirs.managed.version = {2, 0};
        }) == "[from_dlpack] expected a tensor of DLPack 1, received one of 2.0");
  CHECK(refusal([](TheirExport& theirs) { theirs.managed.flags = dlpack::read_only_flag | 2; }) ==
        "[from_dlpack] expected memory that may be written to, received read-only memory");
  CHECK(
      refusal([](TheirExport& theirs) {
        theirs.managed.tensor.device = {DeviceType::cuda, 1};
      }) ==
      "[from_dlpack] expected memory that the host can reach (copy it there first), received memory of device type 2");
  CHECK(
      refusal([](TheirExport& theirs) {
        theirs.managed.tensor.dtype = {TypeCode::floating, 64, 1};
      }) ==
      "[from_dlpack] expected uint8, float16, bfloat16, float32 or int64, received type code 2 of 64 bits and 1 lanes");
  CHECK(mentions(refusal([](TheirExport& theirs) { theirs.managed.tensor.dtype.lanes = 4; }), {"4 lanes"}));
  CHECK(
      refusal([](TheirExport& theirs) {
        theirs.strides = {1, 2};
      }) ==
      "[from_dlpack] expected compact memory in C order (copy it first, as with contiguous()), received a stride of 2 "
      "where {2, 3} needs 1");
  CHECK(mentions(refusal([](TheirExport& theirs) { theirs.strides = {4, 1}; }), {"a stride of 4", "needs 3"}));
  CHECK(mentions(refusal([](TheirExport& theirs) { theirs.managed.tensor.byte_offset = 2; }),
                 {"expected float32 aligned to its size"}));
  CHECK(mentions(refusal([](TheirExport& theirs) { theirs.managed.tensor.data = nullptr; }), {"null pointer"}));
  CHECK(refusal<ShapeError>([](TheirExport& theirs) { theirs.managed.tensor.num_dimensions = 0; }) ==
        "[from_dlpack] expected one to 4 dimensions, received 0");
  CHECK(mentions(refusal<ShapeError>([](TheirExport& theirs) { theirs.managed.tensor.num_dimensions = 5; }),
                 {"received 5"}));
  CHECK(mentions(refusal<ShapeError>([](TheirExport& theirs) { theirs.managed.tensor.shape = nullptr; }),
                 {"received no shape"}));
  CHECK(mentions(refusal<ShapeError>([](TheirExport& theirs) { theirs.shape[0] = -2; }), {"no negative dimension"}));
  CHECK_THROWS_AS(from_dlpack(dlpack::Capsule<ManagedTensor>()), ConfigError);
  CHECK_THROWS_AS(from_dlpack(dlpack::Capsule<ManagedTensorVersioned>()), ConfigError);
}

}  // namespace muster::test
