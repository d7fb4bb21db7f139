#include <algorithm>
#include <cstdio>
#include <cstring>
#include <new>
#include <string_view>

#include <fmt/format.h>
#include <png.h>

#include "byte_reader.hpp"
#include "codec.hpp"
#include "exif.hpp"
#include "jump.hpp"
#include "pixels.hpp"

namespace muster::codec {
namespace {

using namespace std::string_view_literals;

[[noreturn]] void fail(const std::string& message) { codec::fail(Format::png, message); }

constexpr std::size_t signature_size = 8;
constexpr std::size_t header_end = 33;  // signature and IHDR, its CRC included

struct Chunks {
  Bytes exif;              // the last eXIf, as Pillow
  bool has_data = false;   // an IDAT
  bool has_end = false;    // IEND
  std::size_t cut_at = 0;  // where the chunks break off, if there is no IEND
};

Chunks walk_chunks(Bytes bytes) {
  const ByteReader reader(bytes, Endian::big);
  Chunks chunks;
  std::size_t at = signature_size;
  while (reader.has(at, 12)) {
    const std::size_t length = *reader.u32(at);
    if (!reader.has(at + 12, length)) break;
    if (reader.matches(at + 4, "eXIf"sv)) chunks.exif = bytes.subspan(at + 8, length);
    if (reader.matches(at + 4, "IDAT"sv)) chunks.has_data = true;
    if (reader.matches(at + 4, "IEND"sv)) {
      chunks.has_end = true;
      break;
    }
    at += 12 + length;
  }
  chunks.cut_at = at;
  return chunks;
}

/// libpng tells by words alone: its own, or zlib's.
bool wants_memory(std::string_view message) {
  return message.find("ut of memory") != message.npos || message.find("nsufficient memory") != message.npos;
}

/// libpng's reader of one image. Errors become DecodeError. Ancillary chunks are not interpreted (colours stay
/// as stored, as in Pillow), but their checksums count like all others.
class PngReader {
 public:
  explicit PngReader(Bytes bytes) : rest_(bytes) {
    png_ = png_create_read_struct(
        PNG_LIBPNG_VER_STRING, this, [](png_structp png, png_const_charp text) { self(png).on_error(text); },
        [](png_structp, png_const_charp) {});
    info_ = png_ == nullptr ? nullptr : png_create_info_struct(png_);
    if (info_ == nullptr) {  // or libpng is not the one of its header, which the linker sees to
      png_destroy_read_struct(&png_, nullptr, nullptr);
      throw std::bad_alloc();
    }
  }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;
  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }

  png_structp png() { return png_; }
  png_infop info() { return info_; }

  template <class Step>
  void run(const Step& step) {
    if (run_guarded(jump_, step)) return;
    if (wants_memory(message_)) throw std::bad_alloc();  // no fault of the sample's
    fail(message_);
  }

  void set_up() {
    png_set_read_fn(png_, this, [](png_structp png, png_bytep data, std::size_t size) {
      PngReader& reader = *static_cast<PngReader*>(png_get_io_ptr(png));
      if (size > reader.rest_.size()) png_error(png, "the data are truncated");
      std::memcpy(data, reader.rest_.data(), size);
      reader.rest_ = reader.rest_.subspan(size);
    });
    png_set_crc_action(png_, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
    png_read_info(png_, info_);
  }

 private:
  static PngReader& self(png_structp png) { return *static_cast<PngReader*>(png_get_error_ptr(png)); }

  [[noreturn]] void on_error(const char* text) {
    std::snprintf(message_, sizeof message_, "%s", text);
    std::longjmp(jump_, 1);
  }

  Bytes rest_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  std::jmp_buf jump_{};
  char message_[256] = {};
};

struct Layout {
  int num_channels = 0;
  Samples samples = Samples::rgb;
};

Layout layout_of(int color_type) {
  switch (color_type) {
    case PNG_COLOR_TYPE_GRAY:
      return {1, Samples::grey};
    case PNG_COLOR_TYPE_GRAY_ALPHA:
      return {2, Samples::grey};
    case PNG_COLOR_TYPE_PALETTE:
      return {1, Samples::palette};
    case PNG_COLOR_TYPE_RGB:
      return {3, Samples::rgb};
    case PNG_COLOR_TYPE_RGB_ALPHA:
      return {4, Samples::rgb};
    default:
      return {};
  }
}

Palette read_palette(png_structp png, png_infop info) {
  Palette palette = undefined_palette();
  png_colorp colors = nullptr;
  int num_colors = 0;
  png_get_PLTE(png, info, &colors, &num_colors);
  for (int i = 0; i < num_colors && i < 256; ++i) {
    palette[static_cast<std::size_t>(i)] = {colors[i].red, colors[i].green, colors[i].blue};
  }
  return palette;
}

}  // namespace

Header probe_png(Bytes bytes) {
  const ByteReader reader(bytes, Endian::big);
  if (!reader.has(0, header_end)) fail(fmt::format("the header is truncated at byte {}", bytes.size()));
  if (reader.u32(signature_size) != 13u || !reader.matches(12, "IHDR"sv))
    fail("the first chunk is not a header (IHDR)");
  Header header;
  header.stored = {*reader.u32(20), *reader.u32(16)};
  const int bits = bytes[24];
  const int color_type = bytes[25];
  const bool is_palette = color_type == PNG_COLOR_TYPE_PALETTE;
  const bool small_bits = bits == 1 || bits == 2 || bits == 4;
  const bool valid_bits =
      bits == 8 || (bits == 16 && !is_palette) || (small_bits && (is_palette || color_type == PNG_COLOR_TYPE_GRAY));
  const Layout layout = layout_of(color_type);
  if (layout.num_channels == 0 || !valid_bits) {
    fail(fmt::format("the header claims colour type {} with {} bits, which does not exist", color_type, bits));
  }
  header.num_channels = is_palette ? 3 : layout.num_channels;
  header.bits_per_channel = is_palette ? 8 : bits;
  header.orientation = exif_orientation(walk_chunks(bytes).exif);
  return header;
}

std::string decode_png(const Job& job, Scratch& scratch, Image& out) {
  const Chunks chunks = walk_chunks(job.bytes);
  if (!chunks.has_end) {
    fail(fmt::format("truncated: no end chunk (IEND); the chunks break off at byte {} of {}", chunks.cut_at,
                     job.bytes.size()));
  }
  if (!chunks.has_data) fail("there are no pixels (no IDAT chunk)");

  PngReader reader(job.bytes);
  png_structp png = reader.png();
  png_infop info = reader.info();
  Palette palette{};
  Layout layout;
  bool interlaced = false;
  reader.run([&] {
    reader.set_up();
    if (png_get_image_height(png, info) != job.stored.height || png_get_image_width(png, info) != job.stored.width) {
      png_error(png, "the header is not the one that was probed");
    }
    const int color_type = png_get_color_type(png, info);
    layout = layout_of(color_type);
    palette = read_palette(png, info);
    if (color_type == PNG_COLOR_TYPE_GRAY) {
      png_set_expand_gray_1_2_4_to_8(png);
    } else {
      png_set_packing(png);  // one palette index per byte
    }
    png_set_strip_16(png);  // keeps the high byte
    interlaced = png_set_interlace_handling(png) > 1;
    png_read_update_info(png, info);
  });

  const Rect& window = job.window;
  const std::size_t row_bytes = png_get_rowbytes(png, info);
  scratch.row.resize(row_bytes);
  if (interlaced) scratch.image.resize(row_bytes * static_cast<std::size_t>(job.stored.height));
  out.reshape(window.size(), num_channels(job.color));
  const auto take = [&](const std::uint8_t* row, std::int64_t y) {
    if (y < window.y || y >= window.y + window.height) return;
    write_row({row + window.x * layout.num_channels, window.width, layout.num_channels, layout.samples, &palette},
              job.color, out.row(y - window.y));
  };
  reader.run([&] {
    if (interlaced) {
      for (int pass = 0; pass < PNG_INTERLACE_ADAM7_PASSES; ++pass) {
        for (std::int64_t y = 0; y < job.stored.height; ++y) {
          png_read_row(png, scratch.image.data() + static_cast<std::size_t>(y) * row_bytes, nullptr);
        }
      }
      for (std::int64_t y = 0; y < job.stored.height; ++y) {
        take(scratch.image.data() + static_cast<std::size_t>(y) * row_bytes, y);
      }
    } else {
      for (std::int64_t y = 0; y < job.end_row(); ++y) {
        png_read_row(png, scratch.row.data(), nullptr);
        take(scratch.row.data(), y);
      }
    }
    if (job.integrity == Integrity::full) png_read_end(png, nullptr);
  });
  return {};
}

}  // namespace muster::codec
