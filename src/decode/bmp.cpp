#include <bit>

#include <fmt/format.h>

#include "byte_reader.hpp"
#include "codec.hpp"
#include "pixels.hpp"

namespace muster::codec {
namespace {

[[noreturn]] void fail(const std::string& message) { codec::fail(Format::bmp, message); }

constexpr std::size_t file_header = 14;
constexpr std::uint32_t raw = 0;
constexpr std::uint32_t bit_fields = 3;

/// One colour of a pixel: its bits, lowest first.
struct Field {
  int shift = 0;
  int bits = 8;

  /// Scaled to 8 bits, rounding down as Pillow.
  std::uint8_t of(std::uint32_t pixel) const noexcept {
    const std::uint32_t maximum = (1u << bits) - 1;
    return static_cast<std::uint8_t>(((pixel >> shift) & maximum) * 255 / maximum);
  }
};

struct BmpHeader {
  Size size;
  bool top_down = false;
  int bits = 0;  // per pixel
  Field red, green, blue;
  Palette palette = undefined_palette();
  std::size_t data = 0;  // offset of the first stored row
  std::int64_t stride = 0;
};

Field field_of(std::uint32_t mask) {
  const Field field{std::countr_zero(mask), std::popcount(mask)};
  const bool is_contiguous = mask != 0 && field.bits <= 8 && mask >> field.shift == (1u << field.bits) - 1;
  if (!is_contiguous) fail(fmt::format("a colour mask of {:08X} is not supported", mask));
  return field;
}

std::string_view name_of_compression(std::uint32_t compression) {
  switch (compression) {
    case 1:
      return "RLE8";
    case 2:
      return "RLE4";
    case 4:
      return "JPEG";
    case 5:
      return "PNG";
    default:
      return "unknown";
  }
}

void read_fields(const ByteReader& reader, std::uint32_t compression, BmpHeader& header) {
  std::uint32_t masks[3] = {0xFF0000, 0xFF00, 0xFF};
  if (header.bits == 16) {
    masks[0] = 0x7C00;
    masks[1] = 0x3E0;
    masks[2] = 0x1F;
  }
  if (compression == bit_fields) {
    std::uint32_t given[3];
    for (std::size_t i = 0; i < 3; ++i) {
      const auto mask = reader.u32(file_header + 40 + 4 * i);
      if (!mask) fail("the header is truncated");
      given[i] = *mask;
    }
    // Masks of nothing mean the usual order.
    if ((given[0] | given[1] | given[2]) != 0) std::copy(given, given + 3, masks);
  }
  header.red = field_of(masks[0]);
  header.green = field_of(masks[1]);
  header.blue = field_of(masks[2]);
}

void read_palette(const ByteReader& reader, std::size_t at, std::size_t num_colors, std::size_t entry_size,
                  BmpHeader& header) {
  const Bytes table = reader.slice(at, num_colors * entry_size);
  if (table.size() < num_colors * entry_size) fail("the colour table is truncated");
  for (std::size_t i = 0; i < num_colors && i < header.palette.size(); ++i) {
    const Bytes entry = table.subspan(i * entry_size, 3);
    header.palette[i] = {entry[2], entry[1], entry[0]};
  }
}

BmpHeader read_bmp_header(Bytes bytes) {
  const ByteReader reader(bytes, Endian::little);
  const auto size = reader.u32(file_header);
  if (!size || !reader.has(file_header, *size)) fail(fmt::format("the header is truncated at byte {}", bytes.size()));
  BmpHeader header;
  header.data = *reader.u32(10);
  std::uint32_t compression = raw;
  std::size_t num_colors = 0;
  const bool is_os2 = *size == 12;
  if (is_os2) {
    header.size = {*reader.u16(20), *reader.u16(18)};
    header.bits = static_cast<int>(*reader.u16(24));
  } else if (*size == 40 || *size == 64 || *size == 108 || *size == 124) {
    const std::uint32_t height = *reader.u32(22);
    header.top_down = height >> 24 == 0xFF;
    header.size = {header.top_down ? (std::int64_t{1} << 32) - height : std::int64_t{height}, *reader.u32(18)};
    header.bits = static_cast<int>(*reader.u16(28));
    compression = *reader.u32(30);
    num_colors = *reader.u32(46);
  } else {
    fail(fmt::format("a header of {} bytes is not supported", *size));
  }
  if (compression != raw && compression != bit_fields) {
    fail(fmt::format("compression {} ({}) is not supported", compression, name_of_compression(compression)));
  }
  const bool has_palette = header.bits == 1 || header.bits == 4 || header.bits == 8;
  const bool has_fields = header.bits == 16 || header.bits == 24 || header.bits == 32;
  if (!has_palette && !has_fields) fail(fmt::format("{} bits per pixel are not supported", header.bits));
  if (has_palette && compression == bit_fields) fail("colour masks with a colour table are not supported");

  const std::size_t header_end = file_header + *size;
  if (has_palette) {
    if (num_colors == 0) num_colors = std::size_t{1} << header.bits;
    if (num_colors > 65536) fail(fmt::format("a colour table of {} entries is not supported", num_colors));
    const std::size_t entry_size = is_os2 ? 3 : 4;
    read_palette(reader, header_end, num_colors, entry_size, header);
    if (header.data == 0 || header.data == header_end) header.data = header_end + num_colors * entry_size;
  } else {
    read_fields(reader, compression, header);
    if (header.data == 0) header.data = header_end + (compression == bit_fields && *size == 40 ? 12 : 0);
  }
  header.stride = (header.size.width * header.bits + 31) / 32 * 4;
  return header;
}

/// A row of palette indices or of {blue, green, red}, one byte each.
void unpack_row(const BmpHeader& header, const std::uint8_t* in, std::uint8_t* out) {
  if (header.bits <= 8) {
    unpack_samples(in, header.bits, header.size.width, out, 1);
    return;
  }
  const int num_bytes = header.bits / 8;
  for (std::int64_t x = 0; x < header.size.width; ++x, in += num_bytes, out += 3) {
    std::uint32_t pixel = 0;
    for (int i = 0; i < num_bytes; ++i) pixel |= std::uint32_t{in[i]} << (8 * i);
    out[0] = header.blue.of(pixel);
    out[1] = header.green.of(pixel);
    out[2] = header.red.of(pixel);
  }
}

}  // namespace

Header probe_bmp(Bytes bytes) {
  const BmpHeader header = read_bmp_header(bytes);
  return {header.size, 1, 3, header.bits == 16 ? 5 : 8};
}

std::string decode_bmp(const Job& job, Scratch& scratch, Image& out) {
  const BmpHeader header = read_bmp_header(job.bytes);
  if (header.size != job.stored) fail("the header is not the one that was probed");
  // The padding of the last row may be missing.
  const std::int64_t last_row = (header.size.width * header.bits + 7) / 8;
  const std::int64_t expected =
      static_cast<std::int64_t>(header.data) + header.stride * (header.size.height - 1) + last_row;
  if (std::cmp_less(job.bytes.size(), expected)) {
    fail(fmt::format("truncated: expected {} bytes, received {}", expected, job.bytes.size()));
  }
  const Rect& window = job.window;
  const int step = header.bits <= 8 ? 1 : 3;
  const Samples samples = header.bits <= 8 ? Samples::palette : Samples::bgr;
  scratch.row.resize(static_cast<std::size_t>(header.size.width * step));
  out.reshape(window.size(), num_channels(job.color));
  for (std::int64_t y = 0; y < window.height; ++y) {
    const std::int64_t row = header.top_down ? window.y + y : header.size.height - 1 - window.y - y;
    unpack_row(header, job.bytes.data() + static_cast<std::int64_t>(header.data) + row * header.stride,
               scratch.row.data());
    write_row({scratch.row.data() + window.x * step, window.width, step, samples, &header.palette}, job.color,
              out.row(y));
  }
  return {};
}

}  // namespace muster::codec
