// Images: height × width × channels of uint8, interleaved (HWC), rows without gaps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "muster/error.hpp"

namespace [[gnu::visibility("default")]] muster {

/// Height before width, always. In pixels.
struct Size {
  std::int64_t height = 0;
  std::int64_t width = 0;

  friend bool operator==(const Size&, const Size&) = default;
};

/// "224x224": height x width.
std::string to_string(Size size);

/// A rectangle of pixels: rows [y, y + height), columns [x, x + width).
struct Rect {
  std::int64_t y = 0;
  std::int64_t x = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;

  Size size() const noexcept { return {height, width}; }
  bool empty() const noexcept { return height <= 0 || width <= 0; }
  static Rect whole(Size size) noexcept { return {0, 0, size.height, size.width}; }

  friend bool operator==(const Rect&, const Rect&) = default;
};

/// True if `inner` lies inside an image of this size and is not empty.
bool contains(Size image, const Rect& inner) noexcept;
Rect intersect(const Rect& a, const Rect& b) noexcept;

/// Read-only pixels owned by somebody else. `stride_bytes` leads from a row to the next.
struct ImageView {
  const std::uint8_t* data = nullptr;
  Size size;
  int channels = 0;
  std::int64_t stride_bytes = 0;

  const std::uint8_t* row(std::int64_t y) const noexcept { return data + y * stride_bytes; }
  /// The part of the view inside `window`, which must lie inside.
  ImageView crop(const Rect& window) const noexcept {
    return {data + window.y * stride_bytes + window.x * channels, window.size(), channels, stride_bytes};
  }
};

/// Owns uint8 {height, width, channels}. A value: copies are deep. Reshaping keeps the capacity.
class Image {
 public:
  Image() = default;
  /// Uninitialised pixels. Throws ShapeError unless every dimension is ≥ 1.
  Image(Size size, int channels) { reshape(size, channels); }
  /// A deep copy of `view`.
  explicit Image(const ImageView& view);

  Image(Image&& other) noexcept { swap(other); }
  Image& operator=(Image&& other) noexcept {
    swap(other);
    return *this;
  }
  Image(const Image& other) : Image(other.view()) {}
  Image& operator=(const Image& other) {
    if (this != &other) assign(other.view());
    return *this;
  }
  ~Image() = default;

  /// Changes the shape; pixels are undefined afterwards. Allocates only to grow.
  void reshape(Size size, int channels);
  /// Becomes a deep copy of `view`, which may not show this image itself.
  void assign(const ImageView& view);

  bool empty() const noexcept { return channels_ == 0; }
  Size size() const noexcept { return size_; }
  std::int64_t height() const noexcept { return size_.height; }
  std::int64_t width() const noexcept { return size_.width; }
  int channels() const noexcept { return channels_; }
  std::int64_t stride_bytes() const noexcept { return size_.width * channels_; }
  std::size_t size_bytes() const noexcept { return static_cast<std::size_t>(size_.height * stride_bytes()); }

  std::uint8_t* data() noexcept { return pixels_.get(); }
  const std::uint8_t* data() const noexcept { return pixels_.get(); }
  std::uint8_t* row(std::int64_t y) noexcept { return pixels_.get() + y * stride_bytes(); }
  const std::uint8_t* row(std::int64_t y) const noexcept { return pixels_.get() + y * stride_bytes(); }

  ImageView view() const noexcept { return {data(), size_, channels_, stride_bytes()}; }

  void swap(Image& other) noexcept {
    std::swap(size_, other.size_);
    std::swap(channels_, other.channels_);
    std::swap(capacity_, other.capacity_);
    pixels_.swap(other.pixels_);
  }

  /// Same shape and same bytes.
  friend bool operator==(const Image& a, const Image& b) noexcept;

 private:
  Size size_;
  int channels_ = 0;
  std::size_t capacity_ = 0;
  std::unique_ptr<std::uint8_t[]> pixels_;
};

}  // namespace muster
