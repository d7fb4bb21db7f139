#include "preview/tiles.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "muster/decode.hpp"
#include "preview/collect.hpp"

namespace muster {

using namespace style;

Picture make_picture(const Image& pixels, Size box) {
  const Size drawn = fit(pixels.size(), box, least_side);
  if (pixels.channels() == 3) return {scale_picture(pixels.view(), drawn), drawn};
  Image rgb;
  convert_color(pixels.view(), Color::rgb, rgb);
  return {scale_picture(rgb.view(), drawn), drawn};
}

void check_sheet_size(Size sheet, std::string_view what, std::string_view advice) {
  const bool fits = sheet.height <= most_side && sheet.width <= most_side;
  if (fits && sheet.height * sheet.width <= most_pixels) return;
  throw ConfigError("contact_sheet",
                    fmt::format("{} make a sheet of {}; expected at most {} Mpixel and sides of at most {}; {}", what,
                                to_string(sheet), most_pixels >> 20, most_side, advice));
}

void draw_notice(Canvas& canvas, const Notice& notice, const Rect& area) {
  constexpr std::int64_t inset = 10;
  const Colour colour = notice.is_error ? error_ink : faint_ink;
  canvas.fill(area, notice.is_error ? error_paper : quiet_paper);
  canvas.draw_frame(area, 1, colour);
  const std::int64_t width = area.width - 2 * inset;
  std::int64_t y = area.y + inset;
  canvas.draw_text(fit_text(notice.title, text_height, width), y, area.x + inset, text_height, colour);
  const std::int64_t room = (area.y + area.height - inset / 2 - y) / line_height - 1;
  if (room < 1) return;
  for (const std::string& line : wrap_text(notice.reason, text_height, width, static_cast<std::size_t>(room))) {
    y += line_height;
    canvas.draw_text(line, y, area.x + inset, text_height, colour);
  }
}

void draw_caption(Canvas& canvas, std::string_view text, std::int64_t y, std::int64_t x, Colour colour,
                  std::int64_t width) {
  canvas.draw_text(fit_text(text, text_height, width), y + 3, x, text_height, colour);
}

std::int64_t tag_width(std::size_t number) {
  return std::max(tag_size, text_width(std::to_string(number), text_height) + 6);
}

void draw_tag(Canvas& canvas, std::size_t number, Colour colour, std::int64_t y, std::int64_t x) {
  const std::string text = std::to_string(number);
  const std::int64_t width = tag_width(number);
  canvas.fill({y, x, tag_size, width}, colour);
  canvas.draw_text(text, y + (tag_size - text_height) / 2, x + (width - text_width(text, text_height)) / 2 + 1,
                   text_height, white);
}

Rect scale_window(const Rect& window, Size size, Size drawn) {
  const auto up = [](std::int64_t value, std::int64_t in, std::int64_t out) { return (value * out + in - 1) / in; };
  const std::int64_t top = window.y * drawn.height / size.height;
  const std::int64_t left = window.x * drawn.width / size.width;
  return {top, left, up(window.y + window.height, size.height, drawn.height) - top,
          up(window.x + window.width, size.width, drawn.width) - left};
}

Rect TagPlaces::next(const Rect& window, Size tag) {
  const std::int64_t right = window.x + window.width - tag.width;
  const std::int64_t bottom = window.y + window.height - tag.height;
  std::vector<Rect> places;
  const auto add = [&](std::int64_t y, std::int64_t x) {
    y = std::clamp(y, around_.y, around_.y + std::max<std::int64_t>(0, around_.height - tag.height));
    x = std::clamp(x, around_.x, around_.x + std::max<std::int64_t>(0, around_.width - tag.width));
    places.push_back({y, x, tag.height, tag.width});
  };
  for (const std::int64_t y : {window.y, bottom}) {
    for (const std::int64_t x : {window.x, right}) add(y, x);
  }
  for (const std::int64_t y : {window.y, bottom}) {
    for (std::int64_t x = window.x; x <= right; x += tag.width + 1) add(y, x);
  }
  for (const std::int64_t x : {window.x, right}) {
    for (std::int64_t y = window.y; y <= bottom; y += tag.height + 1) add(y, x);
  }
  for (std::int64_t x = tag.width + 1; x <= around_.width; x += tag.width + 1) {  // beside it, where it is too small
    add(window.y, window.x + x);
    add(window.y, window.x - x);
  }
  const auto is_free = [&](const Rect& place) {
    return std::ranges::all_of(taken_, [&](const Rect& other) { return intersect(place, other).empty(); });
  };
  const auto found = std::ranges::find_if(places, is_free);
  taken_.push_back(found == places.end() ? places.front() : *found);
  return taken_.back();
}

}  // namespace muster
