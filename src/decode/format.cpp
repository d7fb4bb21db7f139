#include <fmt/format.h>

#include "byte_reader.hpp"
#include "codec.hpp"
#include "orient.hpp"

namespace muster {
namespace {

using namespace std::string_view_literals;

[[noreturn]] void fail(const std::string& message) { throw DecodeError("decode", message); }

/// Names of what is no image that muster reads, but can be recognised.
std::optional<std::string_view> name_of_stranger(const codec::ByteReader& reader) {
  struct Magic {
    std::size_t offset;
    std::string_view text;
    std::string_view name;
  };
  static constexpr Magic strangers[] = {
      {0, "GIF8"sv, "GIF"sv},         {0, "\0\0\0\x0CjP  "sv, "JPEG 2000"sv}, {0, "\xFF\x4F\xFF\x51"sv, "JPEG 2000"sv},
      {0, "\xFF\x0A"sv, "JPEG XL"sv}, {0, "\0\0\0\x0CJXL "sv, "JPEG XL"sv},   {4, "ftypavif"sv, "AVIF"sv},
      {4, "ftypheic"sv, "HEIC"sv},    {0, "8BPS"sv, "Photoshop"sv},           {0, "%PDF"sv, "PDF"sv},
      {0, "PK\x03\x04"sv, "ZIP"sv},
  };
  for (const Magic& magic : strangers) {
    if (reader.matches(magic.offset, magic.text)) return magic.name;
  }
  return std::nullopt;
}

Format identify(Bytes bytes) {
  if (bytes.empty()) fail("the file is empty");
  const codec::ByteReader reader(bytes, codec::Endian::big);
  if (reader.matches(0, "\xFF\xD8\xFF"sv)) return Format::jpeg;
  if (reader.matches(0, "\x89PNG\r\n\x1A\n"sv)) return Format::png;
  if (reader.matches(0, "RIFF"sv) && reader.matches(8, "WEBP"sv)) return Format::webp;
  if (reader.matches(0, "II\x2A\0"sv) || reader.matches(0, "MM\0\x2A"sv) || reader.matches(0, "II\x2B\0"sv) ||
      reader.matches(0, "MM\0\x2B"sv)) {
    return Format::tiff;
  }
  if (reader.matches(0, "BM"sv)) return Format::bmp;
  if (bytes.size() >= 3 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '7' &&
      "\t\n\v\f\r #"sv.find(static_cast<char>(bytes[2])) != std::string_view::npos) {
    return Format::pnm;
  }
  if (const auto stranger = name_of_stranger(reader)) {
    fail(fmt::format("{} is not supported; supported are JPEG, PNG, WebP, BMP, TIFF and PNM", *stranger));
  }
  std::string start;
  for (std::size_t i = 0; i < bytes.size() && i < 8; ++i) start += fmt::format("{}{:02x}", i == 0 ? "" : " ", bytes[i]);
  fail(fmt::format("not an image: {} bytes that start with {}; supported are JPEG, PNG, WebP, BMP, TIFF and PNM",
                   bytes.size(), start));
}

codec::Header read_header(Format format, Bytes bytes, codec::JpegMarkers& markers) {
  switch (format) {
    case Format::jpeg:
      return codec::probe_jpeg(bytes, markers);
    case Format::png:
      return codec::probe_png(bytes);
    case Format::webp:
      return codec::probe_webp(bytes);
    case Format::bmp:
      return codec::probe_bmp(bytes);
    case Format::tiff:
      return codec::probe_tiff(bytes);
    case Format::pnm:
      return codec::probe_pnm(bytes);
  }
  fail("unknown format");
}

}  // namespace

namespace codec {

void fail(Format format, const std::string& message) {
  throw DecodeError("decode", fmt::format("{}: {}", name(format), message));
}

}  // namespace codec

std::string_view name(Format format) noexcept {
  switch (format) {
    case Format::jpeg:
      return "JPEG";
    case Format::png:
      return "PNG";
    case Format::webp:
      return "WebP";
    case Format::bmp:
      return "BMP";
    case Format::tiff:
      return "TIFF";
    case Format::pnm:
      return "PNM";
  }
  return "unknown";
}

ImageInfo probe(Bytes bytes, const DecodeOptions& options, const DecodeLimits& limits) {
  codec::JpegMarkers markers;
  return codec::probe(bytes, options, limits, markers);
}

ImageInfo codec::probe(Bytes bytes, const DecodeOptions& options, const DecodeLimits& limits, JpegMarkers& markers) {
  if (std::cmp_greater(bytes.size(), limits.max_bytes)) {
    muster::fail(fmt::format("the file has {} bytes, more than max_bytes {}", bytes.size(), limits.max_bytes));
  }
  const Format format = identify(bytes);
  const codec::Header header = read_header(format, bytes, markers);
  const Size stored = header.stored;
  if (stored.height < 1 || stored.width < 1) {
    codec::fail(format, fmt::format("the header claims the size {}", to_string(stored)));
  }
  if (stored.height > max_side || stored.width > max_side) {
    codec::fail(format,
                fmt::format("the header claims {}; a side may have at most {} pixels", to_string(stored), max_side));
  }
  if (stored.height * stored.width > limits.max_pixels) {
    codec::fail(format, fmt::format("the header claims {}, that is {} pixels, more than max_pixels {}",
                                    to_string(stored), stored.height * stored.width, limits.max_pixels));
  }
  const int orientation = options.apply_orientation || header.always_oriented ? header.orientation : 1;
  return {format,
          stored,
          codec::oriented_size(stored, orientation),
          orientation,
          header.num_channels,
          header.bits_per_channel};
}

}  // namespace muster
