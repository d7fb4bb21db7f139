#include "muster/tensor.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <bit>
#include <limits>
#include <new>

#include "names.hpp"

namespace muster {
namespace {

constexpr std::pair<DType, std::string_view> dtype_names[] = {{DType::uint8, "uint8"},
                                                              {DType::float16, "float16"},
                                                              {DType::bfloat16, "bfloat16"},
                                                              {DType::float32, "float32"},
                                                              {DType::int64, "int64"}};
constexpr std::pair<Layout, std::string_view> layout_names[] = {{Layout::nchw, "nchw"}, {Layout::nhwc, "nhwc"}};

class HeapAllocator final : public Allocator {
 public:
  void* allocate(std::size_t size_bytes) override { return ::operator new (size_bytes, std::align_val_t{alignment}); }
  void deallocate(void* memory, std::size_t) noexcept override {
    ::operator delete (memory, std::align_val_t{alignment});
  }
};

/// Throws ShapeError for a tensor that no address space holds. A rank of 0 is the empty tensor.
std::size_t checked_size_bytes(DType dtype, const Shape& shape) {
  constexpr std::size_t max_bytes = std::numeric_limits<std::ptrdiff_t>::max();
  const auto num_elements = static_cast<std::size_t>(shape.rank() == 0 ? 0 : shape.num_elements());
  if (num_elements > max_bytes / size_bytes(dtype)) {
    throw ShapeError("tensor", fmt::format("expected a tensor that can be addressed, received {} of {}",
                                           shape.to_string(), name(dtype)));
  }
  return num_elements * size_bytes(dtype);
}

}  // namespace

std::size_t size_bytes(DType dtype) noexcept {
  switch (dtype) {
    case DType::uint8:
      return 1;
    case DType::float16:
    case DType::bfloat16:
      return 2;
    case DType::float32:
      return 4;
    case DType::int64:
      return 8;
  }
  return 0;
}

std::string_view name(DType dtype) noexcept { return name_in(dtype_names, dtype); }
DType dtype_from_name(std::string_view name) { return value_in(dtype_names, "dtype", name); }

std::string_view name(Layout layout) noexcept { return name_in(layout_names, layout); }
Layout layout_from_name(std::string_view name) { return value_in(layout_names, "layout", name); }

std::uint16_t to_float16(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 16 & 0x8000u;
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  std::uint32_t half = 0;
  if (magnitude > 0x7f800000u) {  // NaN: made quiet, so that a cut payload cannot turn it into infinity
    half = 0x7e00u | (magnitude >> 13 & 0x3ffu);
  } else if (magnitude >= 0x477ff000u) {  // 65520 and above: halfway to 2^16, or beyond
    half = 0x7c00u;
  } else if (magnitude >= 0x38800000u) {  // normal: 2^-14 and above
    const std::uint32_t rebiased = magnitude - (112u << 23);
    half = (rebiased + 0xfffu + (rebiased >> 13 & 1u)) >> 13;
  } else if (const std::uint32_t exponent = magnitude >> 23; exponent >= 102) {  // a multiple of 2^-24
    const std::uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
    const std::uint32_t shift = 126 - exponent;
    const std::uint32_t below_half = (1u << (shift - 1)) - 1;
    half = (mantissa + below_half + (mantissa >> shift & 1u)) >> shift;
  }
  return static_cast<std::uint16_t>(sign | half);
}

std::uint16_t to_bfloat16(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);  // quiet NaN
  return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

float from_float16(std::uint16_t bits) noexcept {
  const std::uint32_t sign = (bits & 0x8000u) << 16;
  const std::uint32_t exponent = bits >> 10 & 0x1fu;
  const std::uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | mantissa << 13);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
  const float magnitude = static_cast<float>(mantissa) * 0x1.0p-24f;
  return sign != 0 ? -magnitude : magnitude;
}

float from_bfloat16(std::uint16_t bits) noexcept { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

Shape::Shape(std::initializer_list<std::int64_t> dimensions) {
  const auto refuse = [&](std::string_view expected) {
    throw ShapeError("tensor", fmt::format("expected {}, received {{{}}}", expected, fmt::join(dimensions, ", ")));
  };
  if (dimensions.size() > max_rank) refuse(fmt::format("at most {} dimensions", max_rank));
  // Zeros are left out of the product, so that no partial product of num_elements() overflows either.
  std::int64_t product = 1;
  for (const std::int64_t dimension : dimensions) {
    if (dimension < 0) refuse("no negative dimension");
    if (dimension > 0 && product > std::numeric_limits<std::int64_t>::max() / dimension) {
      refuse("a number of elements that fits into 63 bits");
    }
    if (dimension > 0) product *= dimension;
    dimensions_[rank_++] = dimension;
  }
}

std::int64_t Shape::num_elements() const noexcept {
  std::int64_t product = 1;
  for (const std::int64_t dimension : *this) product *= dimension;
  return product;
}

std::string Shape::to_string() const { return fmt::format("{{{}}}", fmt::join(begin(), end(), ", ")); }

std::shared_ptr<Allocator> default_allocator() {
  static const std::shared_ptr<Allocator> allocator = std::make_shared<HeapAllocator>();
  return allocator;
}

Tensor::Tensor(DType dtype, Shape shape, std::shared_ptr<void> memory)
    : dtype_(dtype), shape_(shape), memory_(std::move(memory)) {
  const std::size_t num_bytes = checked_size_bytes(dtype, shape);
  if (memory_ == nullptr && num_bytes > 0) {
    throw ConfigError("tensor", fmt::format("expected {} bytes of memory for {} of {}, received a null pointer",
                                            num_bytes, shape.to_string(), muster::name(dtype)));
  }
}

Tensor Tensor::allocate(DType dtype, Shape shape, const std::shared_ptr<Allocator>& allocator) {
  if (allocator == nullptr) throw ConfigError("tensor", "expected an allocator, received a null pointer");
  const std::size_t num_bytes = checked_size_bytes(dtype, shape);
  if (num_bytes == 0) return Tensor(dtype, shape, nullptr);

  void* const address = allocator->allocate(num_bytes);
  if (address == nullptr) throw std::bad_alloc();
  std::shared_ptr<void> memory(address,
                               [allocator, num_bytes](void* block) { allocator->deallocate(block, num_bytes); });
  if (reinterpret_cast<std::uintptr_t>(address) % Allocator::alignment != 0) {
    throw ConfigError("tensor", fmt::format("expected the allocator's memory to be aligned to {} bytes, received {}",
                                            Allocator::alignment, address));
  }
  return Tensor(dtype, shape, std::move(memory));
}

std::size_t Tensor::size_bytes() const noexcept {
  return shape_.rank() == 0 ? 0 : static_cast<std::size_t>(shape_.num_elements()) * muster::size_bytes(dtype_);
}

std::span<std::byte> Tensor::row(std::int64_t i) {
  const std::span<const std::byte> found = std::as_const(*this).row(i);
  return {data() + (found.data() - data()), found.size()};
}

std::span<const std::byte> Tensor::row(std::int64_t i) const {
  const std::int64_t n = num_rows();
  if (i < 0 || i >= n) {
    throw ShapeError("tensor", fmt::format("expected a row below {} of {}, received row {}", n, shape_.to_string(), i));
  }
  const std::size_t row_bytes = size_bytes() / static_cast<std::size_t>(n);
  return bytes().subspan(static_cast<std::size_t>(i) * row_bytes, row_bytes);
}

void Tensor::expect_element(std::size_t size_bytes, bool floating, bool is_signed) const {
  const bool is_float = dtype_ == DType::float32;
  const bool has_sign = is_float || dtype_ == DType::int64;
  if (size_bytes == muster::size_bytes(dtype_) && floating == is_float && is_signed == has_sign) return;
  const std::string_view kind = floating ? "float" : is_signed ? "int" : "uint";
  const std::string_view read_as =
      dtype_ == DType::float16 || dtype_ == DType::bfloat16 ? " (read as std::uint16_t)" : "";
  throw ShapeError("tensor", fmt::format("expected elements of {}{}, received a request for {}{}", muster::name(dtype_),
                                         read_as, kind, size_bytes * 8));
}

}  // namespace muster
