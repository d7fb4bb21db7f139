// Pieces that sheets are made of.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "preview/canvas.hpp"
#include "preview/style.hpp"

namespace muster {

/// RGB pixels in their size on a sheet.
struct Picture {
  Image image;
  Size drawn;
};

inline constexpr std::int64_t least_side = 8;  // of a picture: one of 1 x 5000 pixels is to be seen, too

/// Scaled so that it fits into `box`.
Picture make_picture(const Image& pixels, Size box);

/// Throws ConfigError if a sheet of `what`, "6 samples of ...", would be larger than style::most_pixels or, on a side,
/// than style::most_side; `advice` says what to lower.
void check_sheet_size(Size sheet, std::string_view what, std::string_view advice);

/// A tile that stands where a picture is not: what it is in capitals, and why below.
struct Notice {
  std::string title;
  std::string reason;
  bool is_error = true;
};
void draw_notice(Canvas& canvas, const Notice& notice, const Rect& area);

/// One line of small text, shortened at its front where it does not fit.
void draw_caption(Canvas& canvas, std::string_view text, std::int64_t y, std::int64_t x, Colour colour,
                  std::int64_t width);

/// A number in a coloured field: white, tag_size high and at least as wide.
inline constexpr std::int64_t tag_size = 14;
std::int64_t tag_width(std::size_t number);
void draw_tag(Canvas& canvas, std::size_t number, Colour colour, std::int64_t y, std::int64_t x);

/// Windows on one picture: above that, they are thin frames without numbers.
inline constexpr std::size_t most_tagged = 30;

/// `window` of a picture of `size` that is drawn as `drawn`, rounded outwards.
Rect scale_window(const Rect& window, Size size, Size drawn);

/// Finds places for the tags of windows, so that none covers another while there is room.
class TagPlaces {
 public:
  /// All tags lie inside `around`, where it is large enough.
  explicit TagPlaces(const Rect& around) : around_(around) {}

  /// For the tag of `window`: its corners first, then along its edges, then beside it.
  Rect next(const Rect& window, Size tag);

 private:
  const Rect around_;
  std::vector<Rect> taken_;
};

}  // namespace muster
