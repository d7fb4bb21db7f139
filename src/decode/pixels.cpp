#include "pixels.hpp"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

namespace muster {
namespace {

struct Rgb {
  std::uint8_t red;
  std::uint8_t green;
  std::uint8_t blue;
};

/// Pillow's MULDIV255: a · b / 255, rounded.
constexpr int multiply_255(int a, int b) noexcept {
  const int product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

/// Pillow's cmyk2rgb.
constexpr Rgb from_cmyk(int cyan, int magenta, int yellow, int black) noexcept {
  const int rest = 255 - black;
  const auto ink = [rest](int value) {
    return static_cast<std::uint8_t>(std::clamp(rest - multiply_255(value, rest), 0, 255));
  };
  return {ink(cyan), ink(magenta), ink(yellow)};
}

template <class Read>
void write_pixels(const std::uint8_t* in, int step, std::int64_t width, Color color, std::uint8_t* out, Read read) {
  if (color == Color::grey) {
    for (std::int64_t x = 0; x < width; ++x, in += step) {
      const Rgb pixel = read(in);
      *out++ = codec::luma(pixel.red, pixel.green, pixel.blue);
    }
    return;
  }
  for (std::int64_t x = 0; x < width; ++x, in += step, out += 3) {
    const Rgb pixel = read(in);
    out[0] = pixel.red;
    out[1] = pixel.green;
    out[2] = pixel.blue;
  }
}

}  // namespace

namespace codec {

Palette undefined_palette() {
  Palette palette{};
  for (std::size_t i = 0; i < palette.size(); ++i) palette[i].fill(static_cast<std::uint8_t>(i));
  return palette;
}

void write_row(const PixelRow& in, Color color, std::uint8_t* out) {
  const auto write = [&](auto read) { write_pixels(in.data, in.step, in.width, color, out, read); };
  switch (in.samples) {
    case Samples::grey:
      if (color == Color::grey && in.step == 1) {
        std::memcpy(out, in.data, static_cast<std::size_t>(in.width));
      } else {
        write([](const std::uint8_t* p) { return Rgb{p[0], p[0], p[0]}; });  // the luma of a grey is that grey
      }
      return;
    case Samples::rgb:
      if (color == Color::rgb && in.step == 3) {
        std::memcpy(out, in.data, static_cast<std::size_t>(in.width) * 3);
      } else {
        write([](const std::uint8_t* p) { return Rgb{p[0], p[1], p[2]}; });
      }
      return;
    case Samples::bgr:
      write([](const std::uint8_t* p) { return Rgb{p[2], p[1], p[0]}; });
      return;
    case Samples::cmyk:
      write([](const std::uint8_t* p) { return from_cmyk(p[0], p[1], p[2], p[3]); });
      return;
    case Samples::inverted_cmyk:
      write([](const std::uint8_t* p) { return from_cmyk(255 - p[0], 255 - p[1], 255 - p[2], 255 - p[3]); });
      return;
    case Samples::palette:
      write([&palette = *in.palette](const std::uint8_t* p) {
        const auto& entry = palette[p[0]];
        return Rgb{entry[0], entry[1], entry[2]};
      });
      return;
  }
}

void unpremultiply(std::uint8_t* pixels, std::int64_t width, int step) {
  for (std::int64_t x = 0; x < width; ++x, pixels += step) {
    const int alpha = pixels[3];
    if (alpha == 255) continue;
    for (int c = 0; c < 3; ++c) {
      pixels[c] = static_cast<std::uint8_t>(alpha == 0 ? 0 : std::min(255, 255 * pixels[c] / alpha));
    }
  }
}

void unpack_samples(const std::uint8_t* in, int bits, std::int64_t width, std::uint8_t* out, int step) {
  switch (bits) {
    case 8:
      for (std::int64_t x = 0; x < width; ++x) out[x * step] = in[x];
      return;
    case 16:
      for (std::int64_t x = 0; x < width; ++x) {
        std::uint16_t sample = 0;
        std::memcpy(&sample, in + 2 * x, 2);
        out[x * step] = static_cast<std::uint8_t>(sample >> 8);
      }
      return;
    default:
      for (std::int64_t x = 0; x < width; ++x) {
        const std::int64_t bit = x * bits;
        const int shift = 8 - bits - static_cast<int>(bit % 8);
        out[x * step] = static_cast<std::uint8_t>((in[bit / 8] >> shift) & ((1 << bits) - 1));
      }
  }
}

}  // namespace codec

void convert_color(const ImageView& in, Color color, Image& out) {
  if (in.channels != 1 && in.channels != 3) {
    throw ShapeError("convert_color", fmt::format("expected an image of 1 or 3 channels, received {}", in.channels));
  }
  out.reshape(in.size, num_channels(color));
  const auto samples = in.channels == 1 ? codec::Samples::grey : codec::Samples::rgb;
  for (std::int64_t y = 0; y < in.size.height; ++y) {
    codec::write_row({in.row(y), in.size.width, in.channels, samples}, color, out.row(y));
  }
}

}  // namespace muster
