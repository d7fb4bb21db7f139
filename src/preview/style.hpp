// What a sheet and a page look like, once.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "preview/canvas.hpp"
#include "preview/png.hpp"

namespace muster::style {

inline constexpr Colour paper = {250, 250, 248};
inline constexpr Colour ink = {38, 40, 44};
inline constexpr Colour faint_ink = {100, 102, 108};
inline constexpr Colour error_paper = {250, 228, 224};
inline constexpr Colour error_ink = {150, 30, 20};
inline constexpr Colour quiet_paper = {236, 236, 232};  // of what is missing, and no error
inline constexpr Colour substitute_ink = {160, 90, 0};
inline constexpr Colour white = {255, 255, 255};

/// Colours of variants: told apart by most eyes, and from most photographs; white type is legible on each.
inline constexpr std::array<Colour, 8> variant_colours = {{{214, 62, 40},
                                                           {0, 114, 190},
                                                           {38, 132, 58},
                                                           {178, 104, 0},
                                                           {145, 60, 180},
                                                           {0, 128, 128},
                                                           {205, 40, 130},
                                                           {112, 84, 46}}};
inline Colour colour_of(std::size_t variant) { return variant_colours[variant % variant_colours.size()]; }

inline constexpr int text_height = 8;  // of capitals, in pixels
inline constexpr std::int64_t line_height = 16;
inline constexpr std::int64_t margin = 20;
inline constexpr std::int64_t gap = 12;
inline constexpr std::int64_t most_pixels = std::int64_t{1} << 28;  // of a sheet, or of a page's variants
inline constexpr std::int64_t most_side = max_png_side;             // of a sheet

}  // namespace muster::style
