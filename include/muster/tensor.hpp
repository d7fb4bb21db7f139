// Tensors: typed, contiguous, C-ordered memory with a shape. What a batch is made of.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "muster/error.hpp"

namespace [[gnu::visibility("default")]] muster {

/// Element types. float16 and bfloat16 are handed out as their 16 bits (`std::uint16_t`).
enum class DType : std::uint8_t { uint8, float16, bfloat16, float32, int64 };

std::size_t size_bytes(DType dtype) noexcept;
std::string_view name(DType dtype) noexcept;
/// The inverse of name(); throws ConfigError for an unknown name.
DType dtype_from_name(std::string_view name);

/// Order of the axes of a batch of images: nchw is {n, channels, height, width}.
enum class Layout : std::uint8_t { nchw, nhwc };

std::string_view name(Layout layout) noexcept;
/// The inverse of name(); throws ConfigError for an unknown name.
Layout layout_from_name(std::string_view name);

/// float → IEEE binary16 / bfloat16, rounded to nearest, ties to even; NaN stays NaN.
std::uint16_t to_float16(float value) noexcept;
std::uint16_t to_bfloat16(float value) noexcept;
/// The exact inverses on the values they can hold.
float from_float16(std::uint16_t bits) noexcept;
float from_bfloat16(std::uint16_t bits) noexcept;

/// Up to four dimensions, outermost first.
class Shape {
 public:
  static constexpr std::size_t max_rank = 4;

  Shape() = default;
  /// Throws ShapeError for more than four dimensions or a negative one.
  Shape(std::initializer_list<std::int64_t> dimensions);

  std::size_t rank() const noexcept { return rank_; }
  std::int64_t operator[](std::size_t axis) const noexcept { return dimensions_[axis]; }
  const std::int64_t* begin() const noexcept { return dimensions_.data(); }
  const std::int64_t* end() const noexcept { return dimensions_.data() + rank_; }
  /// Product of the dimensions; 1 for rank 0.
  std::int64_t num_elements() const noexcept;
  /// "{64, 3, 224, 224}"
  std::string to_string() const;

  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::array<std::int64_t, max_rank> dimensions_{};
  std::size_t rank_ = 0;
};

/// Where tensors get their memory: derive for pinned or foreign memory. Called from any thread, also after
/// the loader is gone (as long as a batch lives). allocate() returns memory aligned to at least
/// `Allocator::alignment` bytes and throws on failure; deallocate() gets back the same pointer and size.
class Allocator {
 public:
  static constexpr std::size_t alignment = 64;

  virtual ~Allocator() = default;
  virtual void* allocate(std::size_t size_bytes) = 0;
  virtual void deallocate(void* memory, std::size_t size_bytes) noexcept = 0;
};

/// Aligned heap memory. One instance for the whole program; thread-safe.
std::shared_ptr<Allocator> default_allocator();

/// Owns its memory alone; move-only. Copying into another place is the caller's explicit act.
class Tensor {
 public:
  Tensor() = default;
  /// Takes over `memory`, which holds at least size_bytes(dtype) · shape.num_elements() bytes.
  Tensor(DType dtype, Shape shape, std::shared_ptr<void> memory);
  /// Uninitialised memory from `allocator`.
  static Tensor allocate(DType dtype, Shape shape, const std::shared_ptr<Allocator>& allocator = default_allocator());

  /// What was moved from is empty, like a default tensor.
  Tensor(Tensor&& other) noexcept { swap(other); }
  Tensor& operator=(Tensor&& other) noexcept {
    Tensor(std::move(other)).swap(*this);
    return *this;
  }
  Tensor(const Tensor&) = delete;
  Tensor& operator=(const Tensor&) = delete;
  ~Tensor() = default;

  DType dtype() const noexcept { return dtype_; }
  const Shape& shape() const noexcept { return shape_; }
  std::size_t size_bytes() const noexcept;
  /// First dimension; 0 for an empty tensor.
  std::int64_t num_rows() const noexcept { return shape_.rank() == 0 ? 0 : shape_[0]; }

  std::byte* data() noexcept { return static_cast<std::byte*>(memory_.get()); }
  const std::byte* data() const noexcept { return static_cast<const std::byte*>(memory_.get()); }
  std::span<std::byte> bytes() noexcept { return {data(), size_bytes()}; }
  std::span<const std::byte> bytes() const noexcept { return {data(), size_bytes()}; }
  /// Row `i` of the first dimension; throws ShapeError when out of range.
  std::span<std::byte> row(std::int64_t i);
  std::span<const std::byte> row(std::int64_t i) const;

  /// All elements as T; throws ShapeError when T is not the tensor's type. float16 and bfloat16 read as
  /// std::uint16_t.
  template <class T>
  std::span<T> as();
  template <class T>
  std::span<const T> as() const;

  /// The memory itself, kept alive by whoever holds it: for handing a tensor to another framework.
  const std::shared_ptr<void>& memory() const noexcept { return memory_; }

 private:
  void swap(Tensor& other) noexcept {
    std::swap(dtype_, other.dtype_);
    std::swap(shape_, other.shape_);
    memory_.swap(other.memory_);
  }
  void expect_element(std::size_t size_bytes, bool floating, bool is_signed) const;

  DType dtype_ = DType::uint8;
  Shape shape_;
  std::shared_ptr<void> memory_;
};

template <class T>
std::span<T> Tensor::as() {
  expect_element(sizeof(T), std::is_floating_point_v<T>, std::is_signed_v<T>);
  return {reinterpret_cast<T*>(data()), static_cast<std::size_t>(shape_.rank() == 0 ? 0 : shape_.num_elements())};
}

template <class T>
std::span<const T> Tensor::as() const {
  expect_element(sizeof(T), std::is_floating_point_v<T>, std::is_signed_v<T>);
  return {reinterpret_cast<const T*>(data()), static_cast<std::size_t>(shape_.rank() == 0 ? 0 : shape_.num_elements())};
}

}  // namespace muster
