#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>

#include <fmt/format.h>
#include <tiffio.h>

#include "codec.hpp"
#include "pixels.hpp"

namespace muster::codec {
namespace {

[[noreturn]] void fail(const std::string& message) { codec::fail(Format::tiff, message); }

/// A TIFF in memory, opened by libtiff at its first page. What libtiff would print is kept here instead.
class TiffReader {
 public:
  TiffReader(Bytes bytes, std::int64_t max_allocation) : bytes_(bytes) {
    TIFFOpenOptions* options = TIFFOpenOptionsAlloc();
    if (options == nullptr) throw std::bad_alloc();
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, static_cast<tmsize_t>(max_allocation));
    TIFFOpenOptionsSetErrorHandlerExtR(options, on_error, this);
    TIFFOpenOptionsSetWarningHandlerExtR(options, on_warning, this);
    tiff_.reset(TIFFClientOpenExt("image", "rm", this, read, write, seek, close, size, nullptr, nullptr, options));
    TIFFOpenOptionsFree(options);
    if (tiff_ == nullptr) fail(error_.empty() ? "the first directory could not be read" : error_);
    warning_.clear();  // about unknown tags and the like, not about pixels
  }
  TiffReader(const TiffReader&) = delete;
  TiffReader& operator=(const TiffReader&) = delete;

  TIFF* get() const { return tiff_.get(); }
  const std::string& error() const { return error_; }
  const std::string& warning() const { return warning_; }

  template <class T>
  T field(std::uint32_t tag, T fallback) const {
    T value{};
    return TIFFGetFieldDefaulted(tiff_.get(), tag, &value) == 1 ? value : fallback;
  }

 private:
  struct Close {
    void operator()(TIFF* tiff) const { TIFFClose(tiff); }
  };

  static TiffReader& self(thandle_t handle) { return *static_cast<TiffReader*>(handle); }
  static tmsize_t read(thandle_t handle, void* out, tmsize_t count) {
    TiffReader& reader = self(handle);
    if (count < 0 || reader.position_ >= reader.bytes_.size()) return 0;
    const std::size_t available = std::min(static_cast<std::size_t>(count), reader.bytes_.size() - reader.position_);
    std::memcpy(out, reader.bytes_.data() + reader.position_, available);
    reader.position_ += available;
    return static_cast<tmsize_t>(available);
  }
  static tmsize_t write(thandle_t, void*, tmsize_t) { return -1; }
  static toff_t seek(thandle_t handle, toff_t offset, int whence) {
    TiffReader& reader = self(handle);
    if (whence == SEEK_CUR) offset += reader.position_;
    if (whence == SEEK_END) offset += reader.bytes_.size();
    reader.position_ = static_cast<std::size_t>(offset);
    return offset;
  }
  static int close(thandle_t) { return 0; }
  static toff_t size(thandle_t handle) { return self(handle).bytes_.size(); }

  /// Keeps the first message: the later ones only pass it on.
  static void keep(std::string& kept, const char* format, std::va_list arguments) {
    if (!kept.empty()) return;
    char text[256];
    std::vsnprintf(text, sizeof text, format, arguments);
    kept = text;
  }
  static int on_error(TIFF*, void* reader, const char*, const char* format, std::va_list arguments) {
    keep(static_cast<TiffReader*>(reader)->error_, format, arguments);
    return 1;
  }
  static int on_warning(TIFF*, void* reader, const char*, const char* format, std::va_list arguments) {
    keep(static_cast<TiffReader*>(reader)->warning_, format, arguments);
    return 1;
  }

  Bytes bytes_;
  std::size_t position_ = 0;
  std::string error_;
  std::string warning_;
  std::unique_ptr<TIFF, Close> tiff_;  // last: closing it may still report
};

/// How the pixels of the first page are stored.
struct Layout {
  Size size;
  int num_samples = 1;
  int bits = 1;
  std::uint16_t photometric = PHOTOMETRIC_MINISBLACK;
  int orientation = 1;
  bool is_planar = false;  // one plane per sample, instead of samples side by side
  bool is_premultiplied = false;
  Samples samples = Samples::grey;
};

bool is_known_compression(std::uint16_t compression) {
  switch (compression) {
    case COMPRESSION_NONE:
    case COMPRESSION_CCITTRLE:
    case COMPRESSION_CCITTFAX3:
    case COMPRESSION_CCITTFAX4:
    case COMPRESSION_LZW:
    case COMPRESSION_JPEG:
    case COMPRESSION_ADOBE_DEFLATE:
    case COMPRESSION_DEFLATE:
    case COMPRESSION_PACKBITS:
    case COMPRESSION_LZMA:
    case COMPRESSION_ZSTD:
    case COMPRESSION_WEBP:
      return true;
    default:
      return false;
  }
}

/// Refuses what write_row has no reading for, by name.
Layout read_layout(const TiffReader& reader) {
  Layout layout;
  layout.size = {reader.field<std::uint32_t>(TIFFTAG_IMAGELENGTH, 0),
                 reader.field<std::uint32_t>(TIFFTAG_IMAGEWIDTH, 0)};
  layout.num_samples = reader.field<std::uint16_t>(TIFFTAG_SAMPLESPERPIXEL, 1);
  layout.bits = reader.field<std::uint16_t>(TIFFTAG_BITSPERSAMPLE, 1);
  layout.photometric = reader.field<std::uint16_t>(TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISWHITE);
  layout.is_planar = reader.field<std::uint16_t>(TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG) == PLANARCONFIG_SEPARATE;
  const auto orientation = reader.field<std::uint16_t>(TIFFTAG_ORIENTATION, 1);
  layout.orientation = orientation >= 1 && orientation <= 8 ? orientation : 1;

  const auto compression = reader.field<std::uint16_t>(TIFFTAG_COMPRESSION, COMPRESSION_NONE);
  if (compression == COMPRESSION_OJPEG) fail("old-style JPEG compression is not supported");
  if (!is_known_compression(compression)) fail(fmt::format("compression {} is not supported", compression));
  const auto sample_format = reader.field<std::uint16_t>(TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_UINT);
  if (sample_format != SAMPLEFORMAT_UINT) {
    fail(fmt::format("sample format {} is not supported; only unsigned integers are", sample_format));
  }

  bool small_bits = false;
  int num_colors = 1;
  switch (layout.photometric) {
    case PHOTOMETRIC_MINISWHITE:
    case PHOTOMETRIC_MINISBLACK:
      small_bits = true;
      break;
    case PHOTOMETRIC_PALETTE:
      small_bits = true;
      layout.samples = Samples::palette;
      if (layout.bits == 16) fail("16-bit palettes are not supported");
      break;
    case PHOTOMETRIC_RGB:
      num_colors = 3;
      layout.samples = Samples::rgb;
      break;
    case PHOTOMETRIC_SEPARATED:
      num_colors = 4;
      layout.samples = Samples::cmyk;
      break;
    case PHOTOMETRIC_YCBCR:
      num_colors = 3;
      layout.samples = Samples::rgb;
      if (compression != COMPRESSION_JPEG || layout.is_planar)
        fail("YCbCr is supported only in JPEG-compressed pixels");
      TIFFSetField(reader.get(), TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
      break;
    default:
      fail(fmt::format("photometric interpretation {} is not supported", layout.photometric));
  }
  const bool valid_bits = layout.bits == 8 || layout.bits == 16 ||
                          (small_bits && (layout.bits == 1 || layout.bits == 2 || layout.bits == 4));
  if (!valid_bits || (layout.bits < 8 && layout.num_samples > 1)) {
    fail(fmt::format("{} samples of {} bits are not supported", layout.num_samples, layout.bits));
  }
  if (layout.num_samples < num_colors || layout.num_samples > num_colors + 4) {
    fail(fmt::format("{} samples per pixel are not supported for photometric interpretation {}", layout.num_samples,
                     layout.photometric));
  }
  std::uint16_t num_extra = 0;
  std::uint16_t* extra = nullptr;
  if (TIFFGetFieldDefaulted(reader.get(), TIFFTAG_EXTRASAMPLES, &num_extra, &extra) == 1 && num_extra > 0) {
    layout.is_premultiplied = extra[0] == EXTRASAMPLE_ASSOCALPHA && layout.photometric == PHOTOMETRIC_RGB;
  }
  return layout;
}

Palette read_palette(TIFF* tiff, int bits) {
  std::uint16_t* red = nullptr;
  std::uint16_t* green = nullptr;
  std::uint16_t* blue = nullptr;
  if (TIFFGetField(tiff, TIFFTAG_COLORMAP, &red, &green, &blue) != 1) fail("the colour table is missing");
  Palette palette = undefined_palette();
  for (std::size_t i = 0; i < (std::size_t{1} << bits); ++i) {
    palette[i] = {static_cast<std::uint8_t>(red[i] >> 8), static_cast<std::uint8_t>(green[i] >> 8),
                  static_cast<std::uint8_t>(blue[i] >> 8)};
  }
  return palette;
}

/// Strips and tiles alike: a grid of segments.
struct Grid {
  bool is_tiled = false;
  Size segment;
  std::int64_t row_bytes = 0;  // of one row of a segment, in one plane
  std::int64_t segment_bytes = 0;
};

Grid read_grid(const TiffReader& reader, const Layout& layout, std::int64_t max_pixels) {
  TIFF* tiff = reader.get();
  Grid grid;
  grid.is_tiled = TIFFIsTiled(tiff) != 0;
  if (grid.is_tiled) {
    grid.segment = {reader.field<std::uint32_t>(TIFFTAG_TILELENGTH, 0),
                    reader.field<std::uint32_t>(TIFFTAG_TILEWIDTH, 0)};
    grid.row_bytes = TIFFTileRowSize(tiff);
  } else {
    const std::int64_t rows = reader.field<std::uint32_t>(TIFFTAG_ROWSPERSTRIP, 0);
    grid.segment = {std::min(rows, layout.size.height), layout.size.width};
    grid.row_bytes = TIFFScanlineSize(tiff);
  }
  if (grid.segment.height < 1 || grid.segment.width < 1 || grid.row_bytes < 1) {
    fail("strips or tiles have no valid size");
  }
  if (grid.segment.height > max_pixels / grid.segment.width) {
    fail(fmt::format("a tile of {} has more pixels than max_pixels {}", to_string(grid.segment), max_pixels));
  }
  // A small image in a huge tile would cost the memory of a huge image.
  constexpr std::int64_t usual_side = 1024;
  if (grid.segment.height > std::max(layout.size.height, usual_side) ||
      grid.segment.width > std::max(layout.size.width, usual_side)) {
    fail(fmt::format("a tile of {} is larger than the image of {}, and than {} pixels a side", to_string(grid.segment),
                     to_string(layout.size), usual_side));
  }
  const std::int64_t num_packed = grid.segment.width * layout.bits * (layout.is_planar ? 1 : layout.num_samples);
  if (grid.row_bytes < (num_packed + 7) / 8) fail("rows are shorter than their pixels");
  grid.segment_bytes = grid.row_bytes * grid.segment.height;
  return grid;
}

/// One segment of one plane, at the position of its first pixel.
void read_segment(const TiffReader& reader, const Grid& grid, std::int64_t y, std::int64_t x, int plane,
                  std::int64_t num_rows, std::uint8_t* out) {
  TIFF* tiff = reader.get();
  const auto row = static_cast<std::uint32_t>(y);
  const auto sample = static_cast<std::uint16_t>(plane);
  const std::int64_t expected = grid.is_tiled ? grid.segment_bytes : grid.row_bytes * num_rows;
  const std::int64_t received = grid.is_tiled
                                    ? TIFFReadTile(tiff, out, static_cast<std::uint32_t>(x), row, 0, sample)
                                    : TIFFReadEncodedStrip(tiff, TIFFComputeStrip(tiff, row, sample), out, expected);
  if (received < expected) {
    fail(fmt::format("the {} at y {}, x {} is truncated or damaged ({})", grid.is_tiled ? "tile" : "strip", y, x,
                     reader.error()));
  }
}

/// Samples of fewer than 8 bits, and those where 0 is white, become ordinary greys.
void normalise_grey(const Layout& layout, std::uint8_t* samples, std::int64_t width, int step) {
  if (layout.samples != Samples::grey) return;
  const int scale = layout.bits < 8 ? 255 / ((1 << layout.bits) - 1) : 1;
  const int flip = layout.photometric == PHOTOMETRIC_MINISWHITE ? 255 : 0;
  if (scale == 1 && flip == 0) return;
  for (std::int64_t x = 0; x < width; ++x) {
    std::uint8_t& sample = samples[x * step];
    sample = static_cast<std::uint8_t>((sample * scale) ^ flip);
  }
}

}  // namespace

Header probe_tiff(Bytes bytes) {
  constexpr std::int64_t max_allocation = std::int64_t{64} << 20;  // tables of offsets, no pixels
  const TiffReader reader(bytes, max_allocation);
  const Layout layout = read_layout(reader);
  Header header;
  header.stored = layout.size;
  header.orientation = layout.orientation;
  header.num_channels = layout.samples == Samples::palette ? 3 : std::min(layout.num_samples, 4);
  header.bits_per_channel = layout.samples == Samples::palette ? 8 : layout.bits;
  header.always_oriented = true;
  return header;
}

std::string decode_tiff(const Job& job, Scratch& scratch, Image& out) {
  constexpr std::int64_t max_bytes_per_pixel = 16;
  constexpr std::int64_t tables = std::int64_t{64} << 20;
  const TiffReader reader(job.bytes, std::min(job.max_pixels, max_side * max_side) * max_bytes_per_pixel + tables);
  const Layout layout = read_layout(reader);
  if (layout.size != job.stored) fail("the header is not the one that was probed");
  const Palette palette = layout.samples == Samples::palette ? read_palette(reader.get(), layout.bits) : Palette{};
  const Grid grid = read_grid(reader, layout, job.max_pixels);
  const int num_planes = layout.is_planar ? layout.num_samples : 1;
  const int per_plane = layout.is_planar ? 1 : layout.num_samples;
  const int step = layout.num_samples;

  scratch.image.resize(static_cast<std::size_t>(grid.segment_bytes * num_planes));
  scratch.row.resize(static_cast<std::size_t>(grid.segment.width * step));
  out.reshape(job.window.size(), num_channels(job.color));
  const Rect wanted = job.integrity == Integrity::full ? Rect::whole(job.stored) : job.window;
  const auto aligned = [](std::int64_t position, std::int64_t size) { return position / size * size; };

  for (std::int64_t y = aligned(wanted.y, grid.segment.height); y < wanted.y + wanted.height;
       y += grid.segment.height) {
    for (std::int64_t x = aligned(wanted.x, grid.segment.width); x < wanted.x + wanted.width; x += grid.segment.width) {
      const Rect segment = intersect({y, x, grid.segment.height, grid.segment.width}, Rect::whole(job.stored));
      for (int plane = 0; plane < num_planes; ++plane) {
        read_segment(reader, grid, y, x, plane, segment.height, scratch.image.data() + plane * grid.segment_bytes);
      }
      const Rect shown = intersect(segment, job.window);
      for (std::int64_t row = shown.y; row < shown.y + shown.height && !shown.empty(); ++row) {
        const std::uint8_t* packed = scratch.image.data() + (row - y) * grid.row_bytes;
        for (int plane = 0; plane < num_planes; ++plane) {
          unpack_samples(packed + plane * grid.segment_bytes, layout.bits, segment.width * per_plane,
                         scratch.row.data() + plane, layout.is_planar ? step : 1);
        }
        normalise_grey(layout, scratch.row.data(), segment.width, step);
        if (layout.is_premultiplied) unpremultiply(scratch.row.data(), segment.width, step);
        write_row({scratch.row.data() + (shown.x - x) * step, shown.width, step, layout.samples, &palette}, job.color,
                  out.row(row - job.window.y) + (shown.x - job.window.x) * num_channels(job.color));
      }
    }
  }
  if (!reader.error().empty()) fail(reader.error());
  if (!reader.warning().empty() && job.integrity != Integrity::lenient) fail(reader.warning());
  return reader.warning();
}

}  // namespace muster::codec
