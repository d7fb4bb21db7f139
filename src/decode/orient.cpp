#include "orient.hpp"

#include <cstring>

namespace muster::codec {
namespace {

/// Turned pixel (y, x) is stored pixel (a, b): swap gives (a, b) = (x, y), else (y, x); then each may count backwards.
struct Turn {
  bool swap;
  bool flip_y;
  bool flip_x;
};

constexpr Turn turn_of(int orientation) noexcept {
  switch (orientation) {
    case 2:
      return {false, false, true};
    case 3:
      return {false, true, true};
    case 4:
      return {false, true, false};
    case 5:
      return {true, false, false};
    case 6:
      return {true, true, false};
    case 7:
      return {true, true, true};
    case 8:
      return {true, false, true};
    default:
      return {false, false, false};
  }
}

/// Copies a row of pixels whose stored neighbours lie `step` bytes apart.
template <int channels>
void copy_row(const std::uint8_t* in, std::int64_t step, std::int64_t width, std::uint8_t* out) {
  for (std::int64_t x = 0; x < width; ++x) std::memcpy(out + x * channels, in + x * step, channels);
}

}  // namespace

Size oriented_size(Size stored, int orientation) noexcept {
  return turn_of(orientation).swap ? Size{stored.width, stored.height} : stored;
}

Rect stored_window(Size stored, const Rect& window, int orientation) noexcept {
  const Turn turn = turn_of(orientation);
  Rect in = turn.swap ? Rect{window.x, window.y, window.width, window.height} : window;
  if (turn.flip_y) in.y = stored.height - in.y - in.height;
  if (turn.flip_x) in.x = stored.width - in.x - in.width;
  return in;
}

void turn(const ImageView& in, int orientation, Image& out) {
  const Turn turn = turn_of(orientation);
  const Size size = oriented_size(in.size, orientation);
  out.reshape(size, in.channels);
  // Bytes from a stored pixel to the next one down and to the right, in the direction they are read.
  const std::int64_t down = turn.flip_y ? -in.stride_bytes : in.stride_bytes;
  const std::int64_t right = turn.flip_x ? -in.channels : in.channels;
  const std::uint8_t* first =
      in.row(turn.flip_y ? in.size.height - 1 : 0) + (turn.flip_x ? (in.size.width - 1) * in.channels : 0);
  const std::int64_t per_row = turn.swap ? right : down;
  const std::int64_t per_pixel = turn.swap ? down : right;
  for (std::int64_t y = 0; y < size.height; ++y) {
    if (in.channels == 1) {
      copy_row<1>(first + y * per_row, per_pixel, size.width, out.row(y));
    } else {
      copy_row<3>(first + y * per_row, per_pixel, size.width, out.row(y));
    }
  }
}

}  // namespace muster::codec
