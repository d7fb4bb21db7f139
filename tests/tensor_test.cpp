#include "muster/tensor.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <new>
#include <type_traits>

namespace muster {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

bool is_nan(std::uint16_t bits, std::uint16_t exponent_mask) {
  return (bits & exponent_mask) == exponent_mask && (bits & 0x7fffu & ~unsigned{exponent_mask}) != 0;
}

constexpr std::uint16_t exponent16 = 0x7c00;
constexpr std::uint16_t exponent_bf16 = 0x7f80;

/// What binary16 means, from its definition.
double value_of_float16(unsigned bits) {
  const double sign = (bits & 0x8000u) != 0 ? -1 : 1;
  const int exponent = static_cast<int>(bits >> 10 & 31u);
  const int mantissa = static_cast<int>(bits & 1023u);
  return sign * (exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25));
}

/// Hands out heap memory and keeps a ledger of it.
class CountingAllocator : public Allocator {
 public:
  explicit CountingAllocator(bool* destroyed = nullptr) : destroyed_(destroyed) {}
  ~CountingAllocator() override {
    if (destroyed_ != nullptr) *destroyed_ = true;
  }
  void* allocate(std::size_t size_bytes) override {
    void* const memory = ::operator new (size_bytes, std::align_val_t{alignment});
    sizes[memory] = size_bytes;
    return memory;
  }
  void deallocate(void* memory, std::size_t size_bytes) noexcept override {
    if (sizes.count(memory) != 1 || sizes[memory] != size_bytes) ++num_wrong;
    sizes.erase(memory);
    ::operator delete (memory, std::align_val_t{alignment});
  }
  std::map<void*, std::size_t> sizes;
  int num_wrong = 0;

 private:
  bool* destroyed_;
};

}  // namespace

TEST_CASE("tensor: names of types and layouts lead back to them") {
  for (const DType dtype : {DType::uint8, DType::float16, DType::bfloat16, DType::float32, DType::int64}) {
    CHECK(dtype_from_name(name(dtype)) == dtype);
  }
  for (const Layout layout : {Layout::nchw, Layout::nhwc}) CHECK(layout_from_name(name(layout)) == layout);
  CHECK(name(DType::bfloat16) == "bfloat16");
  CHECK_THROWS_WITH_AS(dtype_from_name("float64"),
                       "[dtype] there is no 'float64'; known: uint8, float16, bfloat16, float32, int64", ConfigError);
  CHECK_THROWS_AS(layout_from_name("NCHW"), ConfigError);
}

TEST_CASE("tensor: element sizes") {
  CHECK(size_bytes(DType::uint8) == 1);
  CHECK(size_bytes(DType::float16) == 2);
  CHECK(size_bytes(DType::bfloat16) == 2);
  CHECK(size_bytes(DType::float32) == 4);
  CHECK(size_bytes(DType::int64) == 8);
}

TEST_CASE("tensor: all 65536 float16 values have their defined value and survive the round trip") {
  unsigned num_wrong = 0;
  for (unsigned i = 0; i < 65536; ++i) {
    const auto bits = static_cast<std::uint16_t>(i);
    const float value = from_float16(bits);
    if (is_nan(bits, exponent16)) {
      num_wrong += !std::isnan(value) || to_float16(value) != (bits | 0x200u);
    } else {
      const bool is_infinite = (bits & 0x7fffu) == 0x7c00u;
      const double expected = is_infinite ? ((bits & 0x8000u) != 0 ? -infinity : infinity) : value_of_float16(bits);
      num_wrong += static_cast<double>(value) != expected || std::signbit(value) != ((bits & 0x8000u) != 0);
      num_wrong += to_float16(value) != bits;
    }
  }
  CHECK(num_wrong == 0);
}

TEST_CASE("tensor: all 65536 bfloat16 values are the upper halves of floats and survive the round trip") {
  unsigned num_wrong = 0;
  for (unsigned i = 0; i < 65536; ++i) {
    const auto bits = static_cast<std::uint16_t>(i);
    const float value = from_bfloat16(bits);
    if (is_nan(bits, exponent_bf16)) {
      num_wrong += !std::isnan(value) || to_bfloat16(value) != (bits | 0x40u);
    } else {
      num_wrong += std::bit_cast<std::uint32_t>(value) != i << 16 || to_bfloat16(value) != bits;
    }
  }
  CHECK(num_wrong == 0);
}

TEST_CASE("tensor: between neighbours float16 rounds to the nearer one, and halfway to the even one") {
  unsigned num_wrong = 0;
  for (std::uint16_t low = 0; low < 0x7bff; ++low) {  // all pairs of finite neighbours, subnormals included
    const auto high = static_cast<std::uint16_t>(low + 1);
    const float halfway = (from_float16(low) + from_float16(high)) / 2;  // exact in float
    const std::uint16_t even = low % 2 == 0 ? low : high;
    num_wrong += to_float16(halfway) != even;
    num_wrong += to_float16(std::nextafter(halfway, 0.0f)) != low;
    num_wrong += to_float16(std::nextafter(halfway, infinity)) != high;
    num_wrong += to_float16(-halfway) != (even | 0x8000u);
  }
  CHECK(num_wrong == 0);
}

TEST_CASE("tensor: between neighbours bfloat16 rounds to the nearer one, and halfway to the even one") {
  unsigned num_wrong = 0;
  for (std::uint16_t low = 0; low < 0x7f80; ++low) {  // the last neighbour is infinity
    const auto high = static_cast<std::uint16_t>(low + 1);
    const std::uint32_t halfway = std::uint32_t{low} << 16 | 0x8000u;
    const std::uint16_t even = low % 2 == 0 ? low : high;
    num_wrong += to_bfloat16(std::bit_cast<float>(halfway)) != even;
    num_wrong += to_bfloat16(std::bit_cast<float>(halfway - 1)) != low;
    num_wrong += to_bfloat16(std::bit_cast<float>(halfway + 1)) != high;
    num_wrong += to_bfloat16(-std::bit_cast<float>(halfway)) != (even | 0x8000u);
  }
  CHECK(num_wrong == 0);
}

TEST_CASE("tensor: float16 overflows to infinity from 65520 on, and underflows to a signed zero") {
  CHECK(to_float16(65504.0f) == 0x7bff);
  CHECK(to_float16(std::nextafter(65520.0f, 0.0f)) == 0x7bff);
  CHECK(to_float16(65520.0f) == 0x7c00);
  CHECK(to_float16(-1e30f) == 0xfc00);
  CHECK(to_float16(infinity) == 0x7c00);
  CHECK(to_float16(0x1.0p-25f) == 0);
  CHECK(to_float16(std::nextafter(0x1.0p-25f, 1.0f)) == 1);
  CHECK(to_float16(-std::numeric_limits<float>::denorm_min()) == 0x8000);
  CHECK(to_float16(std::numeric_limits<float>::quiet_NaN()) == 0x7e00);
  CHECK(is_nan(to_float16(std::bit_cast<float>(0x7f800001u)), exponent16));
  CHECK(is_nan(to_bfloat16(std::bit_cast<float>(0xff800001u)), exponent_bf16));
  CHECK(to_bfloat16(std::numeric_limits<float>::max()) == 0x7f80);
}

TEST_CASE("tensor: shapes know their dimensions, elements and text") {
  const Shape shape{64, 3, 224, 225};
  CHECK(shape.rank() == 4);
  CHECK(shape[3] == 225);
  CHECK(shape.num_elements() == std::int64_t{64} * 3 * 224 * 225);
  CHECK(shape.to_string() == "{64, 3, 224, 225}");
  CHECK(Shape{}.to_string() == "{}");
  CHECK(Shape{}.num_elements() == 1);
  CHECK(Shape{2, 3} == Shape{2, 3});
  CHECK_FALSE(Shape{2, 3} == Shape{2, 3, 0});
}

TEST_CASE("tensor: shapes refuse what they cannot hold") {
  CHECK_THROWS_WITH_AS(Shape({1, 2, 3, 4, 5}), "[tensor] expected at most 4 dimensions, received {1, 2, 3, 4, 5}",
                       ShapeError);
  CHECK_THROWS_WITH_AS(Shape({2, -1}), "[tensor] expected no negative dimension, received {2, -1}", ShapeError);
  const std::int64_t large = std::int64_t{1} << 40;
  CHECK_THROWS_AS(Shape({large, large}), ShapeError);
  CHECK_THROWS_AS(Shape({large, large, 0}), ShapeError);
  CHECK_THROWS_AS(Tensor::allocate(DType::int64, {large, std::int64_t{1} << 22}), ShapeError);
}

TEST_CASE("tensor: default memory is aligned and writable to the last byte") {
  for (std::int64_t n = 1; n < 100; ++n) {
    Tensor tensor = Tensor::allocate(DType::float32, {n, 3});
    CHECK(std::bit_cast<std::uintptr_t>(tensor.data()) % Allocator::alignment == 0);
    REQUIRE(tensor.size_bytes() == static_cast<std::size_t>(n * 12));
    for (std::byte& byte : tensor.bytes()) byte = std::byte{0xab};
  }
  CHECK(default_allocator() == default_allocator());
}

TEST_CASE("tensor: rows divide the memory, and rows outside are refused") {
  Tensor tensor = Tensor::allocate(DType::int64, {3, 2});
  CHECK(tensor.num_rows() == 3);
  CHECK(tensor.row(1).data() == tensor.data() + 16);
  CHECK(tensor.row(2).size() == 16);
  CHECK(std::as_const(tensor).row(2).data() == tensor.data() + 32);
  CHECK_THROWS_WITH_AS(tensor.row(3), "[tensor] expected a row below 3 of {3, 2}, received row 3", ShapeError);
  CHECK_THROWS_AS(tensor.row(-1), ShapeError);
  CHECK_THROWS_AS(Tensor().row(0), ShapeError);
}

TEST_CASE("tensor: elements read only as what they are") {
  Tensor labels = Tensor::allocate(DType::int64, {2});
  labels.as<std::int64_t>()[1] = -5;
  CHECK(std::as_const(labels).as<std::int64_t>()[1] == -5);
  CHECK_THROWS_WITH_AS(labels.as<double>(), "[tensor] expected elements of int64, received a request for float64",
                       ShapeError);
  CHECK_THROWS_AS(labels.as<std::uint64_t>(), ShapeError);
  Tensor half = Tensor::allocate(DType::float16, {2});
  CHECK(half.as<std::uint16_t>().size() == 2);
  CHECK_THROWS_WITH_AS(half.as<std::int16_t>(),
                       "[tensor] expected elements of float16 (read as std::uint16_t), received a request for int16",
                       ShapeError);
  CHECK(Tensor::allocate(DType::bfloat16, {4}).as<std::uint16_t>().size() == 4);
  CHECK(Tensor::allocate(DType::float32, {4}).as<float>().size() == 4);
  CHECK_THROWS_AS(Tensor::allocate(DType::float32, {4}).as<std::int32_t>(), ShapeError);
  CHECK(Tensor::allocate(DType::uint8, {4}).as<std::uint8_t>().size() == 4);
  CHECK_THROWS_AS(Tensor::allocate(DType::uint8, {4}).as<std::int8_t>(), ShapeError);
}

TEST_CASE("tensor: empty tensors and zero-sized dimensions have no bytes") {
  const Tensor none;
  CHECK(none.size_bytes() == 0);
  CHECK(none.num_rows() == 0);
  CHECK(none.as<std::uint8_t>().empty());
  Tensor no_columns = Tensor::allocate(DType::float32, {2, 0, 5});
  CHECK(no_columns.size_bytes() == 0);
  CHECK(no_columns.num_rows() == 2);
  CHECK(no_columns.row(1).empty());
  CHECK(no_columns.as<float>().empty());
  CHECK(Tensor::allocate(DType::float32, {0, 3}).num_rows() == 0);
}

TEST_CASE("tensor: memory goes back to the allocator that gave it, which lives until then") {
  bool destroyed = false;
  auto allocator = std::make_shared<CountingAllocator>(&destroyed);
  CountingAllocator* const ledger = allocator.get();
  {
    Tensor first = Tensor::allocate(DType::float32, {2, 3}, allocator);
    CHECK(ledger->sizes.at(first.data()) == 24);
    const Tensor second = std::move(first);
    CHECK(ledger->sizes.size() == 1);
    const std::shared_ptr<void> kept = second.memory();
    allocator.reset();
    CHECK_FALSE(destroyed);
  }
  CHECK(destroyed);
  auto again = std::make_shared<CountingAllocator>();
  { const Tensor tensor = Tensor::allocate(DType::uint8, {7}, again); }
  CHECK(again->sizes.empty());
  CHECK(again->num_wrong == 0);
}

TEST_CASE("tensor: allocators that break their contract are refused, and get their memory back") {
  struct Misaligned : CountingAllocator {
    void* allocate(std::size_t size_bytes) override {
      return static_cast<char*>(CountingAllocator::allocate(size_bytes + 1)) + 1;
    }
    void deallocate(void* memory, std::size_t size_bytes) noexcept override {
      CountingAllocator::deallocate(static_cast<char*>(memory) - 1, size_bytes + 1);
    }
  };
  struct Null : CountingAllocator {
    void* allocate(std::size_t) override { return nullptr; }
  };
  const auto misaligned = std::make_shared<Misaligned>();
  CHECK_THROWS_AS(Tensor::allocate(DType::uint8, {7}, misaligned), ConfigError);
  CHECK(misaligned->sizes.empty());
  CHECK_THROWS_AS(Tensor::allocate(DType::uint8, {7}, std::make_shared<Null>()), std::bad_alloc);
  CHECK_THROWS_AS(Tensor::allocate(DType::uint8, {7}, nullptr), ConfigError);
}

TEST_CASE("tensor: takes over foreign memory, but no null pointer") {
  const auto memory = std::make_shared<std::array<std::uint8_t, 6>>();
  const Tensor tensor(DType::uint8, {2, 3}, memory);
  CHECK(static_cast<const void*>(tensor.data()) == memory.get());
  CHECK_THROWS_AS(Tensor(DType::uint8, {2, 3}, nullptr), ConfigError);
  CHECK(Tensor(DType::uint8, {0, 3}, nullptr).size_bytes() == 0);
}

TEST_CASE("tensor: copying does not compile") {
  CHECK_FALSE(std::is_copy_constructible_v<Tensor>);
  CHECK_FALSE(std::is_copy_assignable_v<Tensor>);
  CHECK(std::is_nothrow_move_constructible_v<Tensor>);
}

TEST_CASE("tensor: what was moved from is empty") {
  Tensor tensor = Tensor::allocate(DType::float32, {2, 3});
  const Tensor taken = std::move(tensor);
  CHECK(taken.shape() == Shape{2, 3});
  CHECK(tensor.shape() == Shape{});  // NOLINT: that is the claim
  CHECK(tensor.bytes().empty());
  CHECK(tensor.num_rows() == 0);
}

}  // namespace muster
