// Pixels: from the channels a file holds to the channels that were asked for. The arithmetic is Pillow's.
#pragma once

#include <array>

#include "muster/decode.hpp"

namespace muster::codec {

/// How the samples of a stored pixel are to be read. What follows them (alpha, extra samples) is skipped.
enum class Samples : std::uint8_t { grey, rgb, bgr, cmyk, inverted_cmyk, palette };

/// 256 colours.
using Palette = std::array<std::array<std::uint8_t, 3>, 256>;

/// Colour i is the grey i: what Pillow shows for colours that a file uses without defining them.
Palette undefined_palette();

/// The grey that a colour becomes.
constexpr std::uint8_t luma(unsigned red, unsigned green, unsigned blue) noexcept {
  return static_cast<std::uint8_t>((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16);  // Pillow's L24 >> 16
}

/// Where a row comes from: pixels of 8 bits per sample, `step` bytes apart.
struct PixelRow {
  const std::uint8_t* data = nullptr;
  std::int64_t width = 0;
  int step = 0;
  Samples samples = Samples::rgb;
  const Palette* palette = nullptr;  // of Samples::palette
};

/// Writes {width, num_channels(color)}: colours become Pillow's convert("RGB"), or that and then convert("L").
void write_row(const PixelRow& in, Color color, std::uint8_t* out);

/// Undoes the multiplication of `width` pixels of four samples by the alpha in their fourth, as Pillow does.
void unpremultiply(std::uint8_t* pixels, std::int64_t width, int step);

/// Expands `width` samples of 1, 2, 4 bits (the first in the high bits), 8 or 16 bits (native; the high byte stays)
/// into bytes `step` apart. Fewer than 8 bits keep their value.
void unpack_samples(const std::uint8_t* in, int bits, std::int64_t width, std::uint8_t* out, int step);

}  // namespace muster::codec
