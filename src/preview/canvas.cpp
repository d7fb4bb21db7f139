#include "preview/canvas.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

namespace muster {
namespace {

constexpr int font = cv::FONT_HERSHEY_SIMPLEX;
constexpr double font_height = 21;  // of its capitals, at scale 1
constexpr int oversampling = 4;     // the font is made of strokes; drawn larger and averaged, it is legible when small

double font_scale(int height) { return height * oversampling / font_height; }
int font_thickness(int height) { return std::max(1, static_cast<int>(std::lround(height * oversampling * 0.14))); }

cv::Mat as_mat(Image& image) {
  return {static_cast<int>(image.height()), static_cast<int>(image.width()), CV_8UC(image.channels()), image.data()};
}

cv::Rect as_cv(const Rect& rect) {
  return {static_cast<int>(rect.x), static_cast<int>(rect.y), static_cast<int>(rect.width),
          static_cast<int>(rect.height)};
}

/// Signs that numbers come with in ASCII's words, one '?' for every other letter that the font lacks.
std::string to_ascii(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 5> signs = {
      {{"×", "x"}, {"−", "-"}, {"±", "+-"}, {"°", " deg"}, {"·", "-"}}};
  std::string ascii;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto* const sign =
        std::ranges::find_if(signs, [&](const auto& s) { return text.substr(i).starts_with(s.first); });
    if (sign != signs.end()) {
      ascii += sign->second;
      i += sign->first.size() - 1;
      continue;
    }
    const char c = text[i];
    const auto byte = static_cast<unsigned char>(c);
    const bool continues_utf8 = (byte & 0xc0) == 0x80;
    if (!continues_utf8) ascii += byte >= 0x20 && byte < 0x7f ? c : '?';
  }
  return ascii;
}

}  // namespace

std::int64_t text_width(std::string_view text, int height) {
  int baseline = 0;
  const cv::Size size = cv::getTextSize(std::string(text), font, font_scale(height), font_thickness(height), &baseline);
  return (size.width + oversampling - 1) / oversampling;
}

std::string fit_text(std::string_view text, int height, std::int64_t width) {
  std::string ascii = to_ascii(text);
  if (text_width(ascii, height) <= width) return ascii;
  // No character is narrower than a pixel: of a long text only the end is measured.
  const auto most = static_cast<std::size_t>(std::max<std::int64_t>(width, 1));
  std::size_t dropped = ascii.size() > most ? ascii.size() - most : 1;
  while (dropped < ascii.size() && text_width(".." + ascii.substr(dropped), height) > width) ++dropped;
  return ".." + ascii.substr(dropped);
}

std::vector<std::string> wrap_text(std::string_view text, int height, std::int64_t width, std::size_t num_lines) {
  const std::string ascii = to_ascii(text);
  std::vector<std::string> lines;
  std::size_t start = 0;
  while (start < ascii.size()) {
    if (lines.size() == num_lines) {
      lines.back() += " ..";
      break;
    }
    std::size_t length = std::min(ascii.size() - start, static_cast<std::size_t>(std::max<std::int64_t>(width, 1)));
    while (length > 1 && text_width(ascii.substr(start, length), height) > width) {
      const std::size_t space = ascii.rfind(' ', start + length - 1);
      const bool breaks = space != std::string::npos && space > start;
      length = breaks ? space - start : length - 1;
    }
    lines.push_back(ascii.substr(start, length));
    start += length;
    while (start < ascii.size() && ascii[start] == ' ') ++start;
  }
  return lines;
}

Image scale_picture(const ImageView& picture, Size size) {
  const cv::Mat source(static_cast<int>(picture.size.height), static_cast<int>(picture.size.width), CV_8UC3,
                       const_cast<std::uint8_t*>(picture.data), static_cast<std::size_t>(picture.stride_bytes));
  Image scaled(size, 3);
  cv::Mat target = as_mat(scaled);
  const bool shrinks = size.height <= picture.size.height && size.width <= picture.size.width;
  const bool shows_pixels = size.height >= 3 * picture.size.height;
  cv::resize(source, target, target.size(), 0, 0,
             shrinks        ? cv::INTER_AREA
             : shows_pixels ? cv::INTER_NEAREST
                            : cv::INTER_LINEAR);
  return scaled;
}

Canvas::Canvas(Size size, Colour background) : image_(size, 3) { fill(Rect::whole(size), background); }

void Canvas::fill(const Rect& area, Colour colour) {
  const Rect inside = intersect(area, Rect::whole(image_.size()));
  if (inside.empty()) return;
  as_mat(image_)(as_cv(inside)).setTo(cv::Scalar(colour.red, colour.green, colour.blue));
}

void Canvas::draw_picture(const ImageView& picture, std::int64_t y, std::int64_t x, int cover) {
  const Rect inside = intersect({y, x, picture.size.height, picture.size.width}, Rect::whole(image_.size()));
  for (std::int64_t row = inside.y; row < inside.y + inside.height; ++row) {
    const std::uint8_t* from = picture.row(row - y) + (inside.x - x) * 3;
    std::uint8_t* to = image_.row(row) + inside.x * 3;
    for (std::int64_t i = 0; i < inside.width * 3; ++i) {
      to[i] = static_cast<std::uint8_t>((from[i] * cover + to[i] * (256 - cover)) / 256);
    }
  }
}

void Canvas::draw_frame(const Rect& area, int thickness, Colour colour) {
  const std::int64_t t = std::min<std::int64_t>({thickness, area.height, area.width});
  fill({area.y, area.x, t, area.width}, colour);
  fill({area.y + area.height - t, area.x, t, area.width}, colour);
  fill({area.y, area.x, area.height, t}, colour);
  fill({area.y, area.x + area.width - t, area.height, t}, colour);
}

void Canvas::draw_text(std::string_view text, std::int64_t y, std::int64_t x, int height, Colour colour) {
  const int overshoot = height / 2;  // of brackets above the capitals, and of descenders below the line
  const cv::Size size(static_cast<int>(text_width(text, height)) + 2, height + 2 * overshoot);
  cv::Mat drawn = cv::Mat::zeros(size * oversampling, CV_8UC1);
  cv::putText(drawn, std::string(text), {0, (height + overshoot) * oversampling - 1}, font, font_scale(height),
              cv::Scalar(255), font_thickness(height), cv::LINE_AA);
  cv::Mat cover;
  cv::resize(drawn, cover, size, 0, 0, cv::INTER_AREA);

  const Rect inside = intersect({y - overshoot, x, size.height, size.width}, Rect::whole(image_.size()));
  const std::uint8_t ink[] = {colour.red, colour.green, colour.blue};
  for (std::int64_t row = inside.y; row < inside.y + inside.height; ++row) {
    const std::uint8_t* covered = cover.ptr<std::uint8_t>(static_cast<int>(row - (y - overshoot)));
    for (std::int64_t column = inside.x; column < inside.x + inside.width; ++column) {
      const int share = covered[column - x];
      for (int channel = 0; channel < 3; ++channel) {
        std::uint8_t& pixel = image_.row(row)[column * 3 + channel];
        pixel = static_cast<std::uint8_t>((pixel * (255 - share) + ink[channel] * share + 127) / 255);
      }
    }
  }
}

}  // namespace muster
