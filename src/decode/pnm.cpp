#include <fmt/format.h>

#include "codec.hpp"
#include "pixels.hpp"

namespace muster::codec {
namespace {

using namespace std::string_view_literals;

[[noreturn]] void fail(const std::string& message) { codec::fail(Format::pnm, message); }

struct PnmHeader {
  Size size;
  int num_channels = 0;
  int bits = 8;
  std::size_t data = 0;  // offset of the first sample
};

/// A number between white space and comments, and the one character behind it.
std::int64_t read_number(Bytes bytes, std::size_t& at) {
  constexpr std::int64_t limit = 1'000'000'000;
  constexpr std::string_view space = "\t\n\v\f\r "sv;
  std::int64_t value = 0;
  bool any = false;
  for (; at < bytes.size(); ++at) {
    const char c = static_cast<char>(bytes[at]);
    if (c >= '0' && c <= '9') {
      any = true;
      value = value * 10 + (c - '0');
      if (value > limit) fail(fmt::format("a number in the header is too large (byte {})", at));
    } else if (c == '#') {
      while (at < bytes.size() && bytes[at] != '\n' && bytes[at] != '\r') ++at;
    } else if (space.find(c) == std::string_view::npos) {
      fail(fmt::format("the header holds something that is no number (byte {})", at));
    } else if (any) {
      ++at;
      return value;
    }
  }
  fail(fmt::format("the header is truncated at byte {}", bytes.size()));
}

PnmHeader read_pnm_header(Bytes bytes) {
  const char kind = static_cast<char>(bytes[1]);
  if (kind != '5' && kind != '6') fail(fmt::format("P{} is not supported; binary grey (P5) and colour (P6) are", kind));
  PnmHeader header;
  header.num_channels = kind == '5' ? 1 : 3;
  header.data = 2;
  header.size.width = read_number(bytes, header.data);
  header.size.height = read_number(bytes, header.data);
  const std::int64_t maximum = read_number(bytes, header.data);
  if (maximum != 255 && maximum != 65535) {
    fail(fmt::format("a maximum value of {} is not supported; 255 and 65535 are", maximum));
  }
  header.bits = maximum == 255 ? 8 : 16;
  return header;
}

}  // namespace

Header probe_pnm(Bytes bytes) {
  const PnmHeader header = read_pnm_header(bytes);
  return {header.size, 1, header.num_channels, header.bits};
}

std::string decode_pnm(const Job& job, Scratch& scratch, Image& out) {
  const PnmHeader header = read_pnm_header(job.bytes);
  if (header.size != job.stored) fail("the header is not the one that was probed");
  const int step = header.num_channels * (header.bits / 8);
  const std::int64_t stride = header.size.width * step;
  const std::int64_t expected = stride * header.size.height;
  const Bytes pixels = job.bytes.subspan(header.data);
  if (std::cmp_less(pixels.size(), expected)) {
    fail(fmt::format("truncated: expected {} bytes of pixels, received {}", expected, pixels.size()));
  }
  const Rect& window = job.window;
  out.reshape(window.size(), num_channels(job.color));
  for (std::int64_t y = 0; y < window.height; ++y) {
    const std::uint8_t* row = pixels.data() + (window.y + y) * stride + window.x * step;
    if (header.bits == 16) {  // big-endian: the high byte comes first
      scratch.row.resize(static_cast<std::size_t>(window.width * header.num_channels));
      for (std::size_t i = 0; i < scratch.row.size(); ++i) scratch.row[i] = row[2 * i];
      row = scratch.row.data();
    }
    const Samples samples = header.num_channels == 1 ? Samples::grey : Samples::rgb;
    write_row({row, window.width, header.num_channels, samples}, job.color, out.row(y));
  }
  return {};
}

}  // namespace muster::codec
