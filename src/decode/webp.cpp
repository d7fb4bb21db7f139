#include <new>

#include <fmt/format.h>
#include <webp/decode.h>

#include "byte_reader.hpp"
#include "codec.hpp"
#include "exif.hpp"
#include "pixels.hpp"

namespace muster::codec {
namespace {

using namespace std::string_view_literals;

[[noreturn]] void fail(const std::string& message) { codec::fail(Format::webp, message); }

constexpr std::size_t riff_header = 12;
constexpr std::uint8_t flag_animation = 0x02;
constexpr std::uint8_t flag_exif = 0x08;

/// The bytes that the container claims; trailing ones are cut off.
Bytes container(Bytes bytes) {
  const ByteReader reader(bytes, Endian::little);
  const std::uint64_t claimed = std::uint64_t{reader.u32(4).value_or(0)} + 8;
  if (claimed > bytes.size()) {
    fail(fmt::format("truncated: the container claims {} bytes, received {}", claimed, bytes.size()));
  }
  return bytes.first(static_cast<std::size_t>(claimed));
}

/// The EXIF chunk that the header's flags announce; empty without one.
Bytes find_exif(Bytes bytes) {
  const ByteReader reader(bytes, Endian::little);
  if (!reader.matches(riff_header, "VP8X"sv) || (reader.u8(riff_header + 8).value_or(0) & flag_exif) == 0) return {};
  for (std::size_t at = riff_header; reader.has(at, 8);) {
    const std::size_t size = *reader.u32(at + 4);
    if (reader.matches(at, "EXIF"sv)) return reader.slice(at + 8, size);
    at += 8 + size + size % 2;
  }
  return {};
}

std::string_view cause(VP8StatusCode status) {
  switch (status) {
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED:
      return "the data are truncated";
    case VP8_STATUS_BITSTREAM_ERROR:
      return "the data are damaged";
    default:
      return "libwebp could not decode it";
  }
}

/// Want of memory is no fault of the sample's.
void expect_memory(VP8StatusCode status) {
  if (status == VP8_STATUS_OUT_OF_MEMORY) throw std::bad_alloc();
}

WebPBitstreamFeatures features_of(Bytes bytes) {
  WebPBitstreamFeatures features{};
  const VP8StatusCode status = WebPGetFeatures(bytes.data(), bytes.size(), &features);
  expect_memory(status);
  if (status != VP8_STATUS_OK) fail(fmt::format("{} (in the header)", cause(status)));
  return features;
}

}  // namespace

Header probe_webp(Bytes bytes) {
  const ByteReader reader(bytes, Endian::little);
  if (reader.matches(riff_header, "VP8X"sv) && (reader.u8(riff_header + 8).value_or(0) & flag_animation) != 0) {
    fail("animated WebP is not supported");
  }
  const WebPBitstreamFeatures features = features_of(bytes);
  Header header;
  header.stored = {features.height, features.width};
  header.num_channels = features.has_alpha != 0 ? 4 : 3;
  header.orientation = exif_orientation(find_exif(bytes));
  return header;
}

std::string decode_webp(const Job& job, Scratch& scratch, Image& out) {
  const Bytes bytes = container(job.bytes);
  const WebPBitstreamFeatures features = features_of(bytes);
  if (features.has_animation != 0 || features.height != job.stored.height || features.width != job.stored.width) {
    fail("the header is not the one that was probed");
  }
  const std::int64_t stride = job.stored.width * 3;
  scratch.image.resize(static_cast<std::size_t>(stride * job.stored.height));
  WebPDecoderConfig config;
  if (WebPInitDecoderConfig(&config) == 0) fail("libwebp has another version than muster was built for");
  config.output.colorspace = MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA = {scratch.image.data(), static_cast<int>(stride), scratch.image.size()};
  const VP8StatusCode status = WebPDecode(bytes.data(), bytes.size(), &config);
  WebPFreeDecBuffer(&config.output);
  expect_memory(status);
  if (status != VP8_STATUS_OK) fail(std::string(cause(status)));

  const Rect& window = job.window;
  out.reshape(window.size(), num_channels(job.color));
  for (std::int64_t y = 0; y < window.height; ++y) {
    const std::uint8_t* row = scratch.image.data() + (window.y + y) * stride + window.x * 3;
    write_row({row, window.width, 3, Samples::rgb}, job.color, out.row(y));
  }
  return {};
}

}  // namespace muster::codec
