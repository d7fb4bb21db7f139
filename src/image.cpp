#include "muster/image.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

namespace muster {

std::string to_string(Size size) { return std::to_string(size.height) + "x" + std::to_string(size.width); }

bool contains(Size image, const Rect& inner) noexcept {
  return !inner.empty() && inner.y >= 0 && inner.x >= 0 && inner.height <= image.height - inner.y &&
         inner.width <= image.width - inner.x;
}

Rect intersect(const Rect& a, const Rect& b) noexcept {
  const std::int64_t y = std::max(a.y, b.y);
  const std::int64_t x = std::max(a.x, b.x);
  const std::int64_t bottom = std::min(a.y + a.height, b.y + b.height);
  const std::int64_t right = std::min(a.x + a.width, b.x + b.width);
  return {y, x, std::max<std::int64_t>(bottom - y, 0), std::max<std::int64_t>(right - x, 0)};
}

Image::Image(const ImageView& view) { assign(view); }

void Image::reshape(Size size, int channels) {
  const auto received = [&] { return to_string(size) + " with " + std::to_string(channels) + " channels"; };
  if (size.height < 1 || size.width < 1 || channels < 1) {
    throw ShapeError("image", "expected every dimension to be at least 1, received " + received());
  }
  constexpr std::int64_t max_bytes = std::numeric_limits<std::ptrdiff_t>::max();
  if (size.width > max_bytes / channels || size.height > max_bytes / (size.width * channels)) {
    throw ShapeError("image", "expected an image that can be addressed, received " + received());
  }
  const auto num_bytes = static_cast<std::size_t>(size.height * size.width * channels);
  if (num_bytes > capacity_) {
    // The old pixels go first: both together may be more than the caller's memory limit foresees.
    pixels_.reset();
    capacity_ = 0;
    size_ = {};
    channels_ = 0;
    pixels_ = std::make_unique_for_overwrite<std::uint8_t[]>(num_bytes);
    capacity_ = num_bytes;
  }
  size_ = size;
  channels_ = channels;
}

void Image::assign(const ImageView& view) {
  if (view.channels == 0) {  // what an empty image shows
    size_ = {};
    channels_ = 0;
    return;
  }
  reshape(view.size, view.channels);
  for (std::int64_t y = 0; y < height(); ++y) {
    std::memcpy(row(y), view.row(y), static_cast<std::size_t>(stride_bytes()));
  }
}

bool operator==(const Image& a, const Image& b) noexcept {
  if (a.size_ != b.size_ || a.channels_ != b.channels_) return false;
  return a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

}  // namespace muster
