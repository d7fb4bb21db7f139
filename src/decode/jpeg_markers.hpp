// The marker structure of a JPEG stream: where its segments lie, without decoding any of them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "muster/decode.hpp"

namespace muster::codec {

/// Offsets count bytes from the start of the stream.
struct JpegMarkers {
  struct Component {
    std::uint8_t id = 0;
    int horizontal = 1;  // sampling factors
    int vertical = 1;
  };
  struct Scan {
    std::size_t header = 0;      // of the marker SOS
    std::size_t data_begin = 0;  // entropy-coded bytes, restart markers included
    std::size_t data_end = 0;    // of the marker that ends them, or the end of the stream
    int restart_interval = 0;    // in MCUs; 0: no restart markers
    int num_components = 0;      // that it interleaves
  };

  std::uint8_t frame_type = 0;  // low byte of the first SOF marker: 0xC0 baseline, 0xC2 progressive, ...; 0: none
  bool is_hierarchical = false;
  int precision = 0;  // bits per sample
  Size size;          // height 0: it comes later, in a DNL marker
  int num_components = 0;
  std::array<Component, 4> components{};
  std::optional<int> adobe_transform;       // of the Adobe marker: 0 RGB or CMYK, 1 YCbCr, 2 YCCK
  Bytes exif;                               // the first APP1 segment that holds EXIF, from "Exif\0" on
  std::size_t frame = 0;                    // of the first SOF marker
  std::vector<std::size_t> segments;        // of all markers with a segment, up to and with the first scan's
  std::vector<Scan> scans;                  // at most max_scans + 1
  std::vector<std::size_t> restarts;        // of the first scan's restart markers; only if it has an interval
  std::optional<std::size_t> end_of_image;  // of the marker EOI; one inside a segment (a thumbnail's) is not it
  std::string fault;                        // why the walk ended early; empty if it did not
};

/// More scans than any encoder writes: a small file could ask for hours of decoding.
inline constexpr std::size_t max_scans = 500;

/// Walks to the first scan; `fault` says why there is none. `markers` keeps the capacity of its vectors.
void read_jpeg_header(Bytes bytes, JpegMarkers& markers);
/// Walks to the end-of-image marker; `fault` says why there is none.
void read_jpeg_markers(Bytes bytes, JpegMarkers& markers);
JpegMarkers read_jpeg_markers(Bytes bytes);

}  // namespace muster::codec
