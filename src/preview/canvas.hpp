// A sheet to draw on: pictures, frames and small text, on RGB pixels.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "muster/image.hpp"

namespace muster {

struct Colour {
  std::uint8_t red = 0;
  std::uint8_t green = 0;
  std::uint8_t blue = 0;
};

/// The width in pixels of text whose capitals are `height` pixels high.
std::int64_t text_width(std::string_view text, int height);
/// `text`, or its end after dots, so that it is at most `width` wide. Letters outside ASCII become '?'.
std::string fit_text(std::string_view text, int height, std::int64_t width);
/// Lines of at most `width`, broken at spaces, inside words only where a word is too long; at most `num_lines`.
std::vector<std::string> wrap_text(std::string_view text, int height, std::int64_t width, std::size_t num_lines);

/// RGB pixels scaled to `size` for the eye: averaged where they shrink.
Image scale_picture(const ImageView& picture, Size size);

/// What is drawn outside the canvas is clipped.
class Canvas {
 public:
  Canvas(Size size, Colour background);

  void fill(const Rect& area, Colour colour);
  /// RGB pixels; `cover` of 256 parts of what is seen afterwards.
  void draw_picture(const ImageView& picture, std::int64_t y, std::int64_t x, int cover = 256);
  /// The outline of `area`, `thickness` pixels inwards.
  void draw_frame(const Rect& area, int thickness, Colour colour);
  /// ASCII. Capitals are `height` pixels high and stand on the line y + height.
  void draw_text(std::string_view text, std::int64_t y, std::int64_t x, int height, Colour colour);

  Image take() && { return std::move(image_); }

 private:
  Image image_;
};

}  // namespace muster
