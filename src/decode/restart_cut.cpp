#include "restart_cut.hpp"

#include <algorithm>

namespace muster::codec {
namespace {

/// Half-open.
struct Interval {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

/// How the entropy-coded data are divided.
struct Grid {
  Size mcu;                           // in pixels
  Size num_mcus;                      // of the image
  std::int64_t restart_interval = 0;  // in MCUs; divides num_mcus.width
  std::int64_t segments_per_row = 0;
};

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

bool make_grid(const JpegMarkers& markers, Grid& grid) {
  constexpr std::uint8_t baseline = 0xC0;
  constexpr std::uint8_t extended = 0xC1;
  const bool huffman_sequential = markers.frame_type == baseline || markers.frame_type == extended;
  if (!huffman_sequential || !markers.end_of_image || markers.scans.size() != 1) return false;
  const JpegMarkers::Scan& scan = markers.scans.front();
  if (scan.restart_interval == 0 || scan.num_components != markers.num_components) return false;

  // A scan of one component has no interleaving: its MCU is one block, whatever the sampling factors say.
  Size blocks = {1, 1};
  if (markers.num_components > 1) {
    for (int c = 0; c < markers.num_components; ++c) {
      const JpegMarkers::Component& component = markers.components[static_cast<std::size_t>(c)];
      blocks.height = std::max<std::int64_t>(blocks.height, component.vertical);
      blocks.width = std::max<std::int64_t>(blocks.width, component.horizontal);
    }
  }
  constexpr std::int64_t block_side = 8;
  grid.mcu = {blocks.height * block_side, blocks.width * block_side};
  grid.num_mcus = {divide_up(markers.size.height, grid.mcu.height), divide_up(markers.size.width, grid.mcu.width)};
  grid.restart_interval = scan.restart_interval;
  if (grid.num_mcus.width % grid.restart_interval != 0) return false;
  grid.segments_per_row = grid.num_mcus.width / grid.restart_interval;
  const std::int64_t num_segments = grid.segments_per_row * grid.num_mcus.height;
  return static_cast<std::int64_t>(markers.restarts.size()) == num_segments - 1;
}

/// The MCUs that show pixels [begin, begin + count), and one more on each side, for upsampling reads across borders.
Interval needed_mcus(std::int64_t begin, std::int64_t count, std::int64_t mcu_side, std::int64_t num_mcus) {
  return {std::max<std::int64_t>(begin / mcu_side - 1, 0), std::min(divide_up(begin + count, mcu_side) + 1, num_mcus)};
}

bool numbered_in_order(Bytes bytes, const std::vector<std::size_t>& restarts) {
  for (std::size_t i = 0; i < restarts.size(); ++i) {
    if (bytes[restarts[i] + 1] != 0xD0 + i % 8) return false;
  }
  return true;
}

void append(std::vector<std::uint8_t>& to, Bytes bytes) { to.insert(to.end(), bytes.begin(), bytes.end()); }

/// The segments up to and with the header of the scan, without comments and application data that do not bear on
/// pixels (EXIF, thumbnails, profiles); the frame header gets the new size.
void append_headers(Bytes bytes, const JpegMarkers& markers, Size size, std::vector<std::uint8_t>& to) {
  constexpr std::uint8_t jfif = 0xE0;
  constexpr std::uint8_t adobe = 0xEE;
  to.assign({0xFF, 0xD8});
  for (const std::size_t start : markers.segments) {
    const std::uint8_t marker = bytes[start + 1];
    const bool is_application = marker >= 0xE0 && marker <= 0xEF;
    if ((is_application && marker != jfif && marker != adobe) || marker == 0xFE) continue;
    const std::size_t length = 2 + std::size_t{bytes[start + 2]} * 256 + bytes[start + 3];
    append(to, bytes.subspan(start, length));
    if (start != markers.frame) continue;
    std::uint8_t* frame = to.data() + to.size() - length;
    frame[5] = static_cast<std::uint8_t>(size.height >> 8);
    frame[6] = static_cast<std::uint8_t>(size.height & 255);
    frame[7] = static_cast<std::uint8_t>(size.width >> 8);
    frame[8] = static_cast<std::uint8_t>(size.width & 255);
  }
}

}  // namespace

bool cut_restarts(Bytes bytes, const JpegMarkers& markers, const Rect& window, RestartCut& cut) {
  Grid grid;
  if (!make_grid(markers, grid)) return false;
  const JpegMarkers::Scan& scan = markers.scans.front();
  const Interval rows = needed_mcus(window.y, window.height, grid.mcu.height, grid.num_mcus.height);
  const Interval columns = needed_mcus(window.x, window.width, grid.mcu.width, grid.num_mcus.width);
  const Interval segments = {columns.begin / grid.restart_interval, divide_up(columns.end, grid.restart_interval)};
  const bool whole_rows = segments.end - segments.begin == grid.segments_per_row;
  if (whole_rows && rows.begin == 0) return false;  // decoding stops below the window anyway
  if (!numbered_in_order(bytes, markers.restarts)) return false;

  const std::int64_t x = segments.begin * grid.restart_interval * grid.mcu.width;
  const std::int64_t y = rows.begin * grid.mcu.height;
  const std::int64_t right = std::min(segments.end * grid.restart_interval * grid.mcu.width, markers.size.width);
  const std::int64_t bottom = std::min(rows.end * grid.mcu.height, markers.size.height);
  cut.shown = {y, x, bottom - y, right - x};

  append_headers(bytes, markers, cut.shown.size(), cut.bytes);
  const auto segment = [&](std::int64_t index) {
    const auto i = static_cast<std::size_t>(index);
    const std::size_t begin = i == 0 ? scan.data_begin : markers.restarts[i - 1] + 2;
    const std::size_t end = i == markers.restarts.size() ? scan.data_end : markers.restarts[i];
    return bytes.subspan(begin, end - begin);
  };
  unsigned num_written = 0;
  for (std::int64_t row = rows.begin; row < rows.end; ++row) {
    for (std::int64_t column = segments.begin; column < segments.end; ++column) {
      if (num_written > 0) {
        cut.bytes.push_back(0xFF);
        cut.bytes.push_back(static_cast<std::uint8_t>(0xD0 + (num_written - 1) % 8));
      }
      append(cut.bytes, segment(row * grid.segments_per_row + column));
      ++num_written;
    }
  }
  cut.bytes.push_back(0xFF);
  cut.bytes.push_back(0xD9);
  return true;
}

}  // namespace muster::codec
