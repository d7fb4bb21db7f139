#include "jpeg_markers.hpp"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "byte_reader.hpp"

namespace muster::codec {
namespace {

using namespace std::string_view_literals;

enum Marker : std::uint8_t {
  DHT = 0xC4,
  JPG = 0xC8,
  DAC = 0xCC,
  RST0 = 0xD0,
  SOI = 0xD8,
  EOI = 0xD9,
  SOS = 0xDA,
  DRI = 0xDD,
  DHP = 0xDE,
  EXP = 0xDF,
  APP1 = 0xE1,
  APP14 = 0xEE,
  TEM = 0x01,
};

bool is_frame(std::uint8_t marker) {
  return marker >= 0xC0 && marker <= 0xCF && marker != DHT && marker != JPG && marker != DAC;
}

/// Markers without a segment behind them.
bool stands_alone(std::uint8_t marker) { return marker == TEM || (marker >= RST0 && marker <= SOI); }

class Walk {
 public:
  Walk(Bytes bytes, JpegMarkers& found) : bytes_(bytes), reader_(bytes, Endian::big), found_(found) {
    std::vector<std::size_t> segments = std::move(found.segments);
    std::vector<JpegMarkers::Scan> scans = std::move(found.scans);
    std::vector<std::size_t> restarts = std::move(found.restarts);
    segments.clear();
    scans.clear();
    restarts.clear();
    found = {};
    found.segments = std::move(segments);
    found.scans = std::move(scans);
    found.restarts = std::move(restarts);
  }

  void run(bool header_only) {
    while (!found_.end_of_image && found_.fault.empty()) {
      if (!seek_marker()) {
        found_.fault = fmt::format("the data end at byte {} without an end-of-image marker", bytes_.size());
        break;
      }
      const std::size_t start = position_ - 2;
      const std::uint8_t marker = bytes_[position_ - 1];
      if (stands_alone(marker)) continue;
      if (marker == EOI) {
        found_.end_of_image = start;
        break;
      }
      const auto length = reader_.u16(position_);
      if (!length || *length < 2 || !reader_.has(position_, *length)) {
        found_.fault =
            fmt::format("the segment of marker FF{:02X} at byte {} is cut off or has no valid length", marker, start);
        break;
      }
      const Bytes segment = bytes_.subspan(position_ + 2, *length - 2);
      position_ += *length;
      if (found_.scans.empty()) found_.segments.push_back(start);
      take(marker, segment, start);
      if (marker == SOS) {
        if (found_.scans.size() > max_scans) break;
        found_.scans.push_back({.header = start,
                                .data_begin = position_,
                                .data_end = position_,
                                .restart_interval = restart_interval_,
                                .num_components = segment.empty() ? 0 : segment[0]});
        if (header_only) break;
        skip_entropy_data();
        found_.scans.back().data_end = position_;
      }
    }
  }

 private:
  /// Moves behind the next marker, over fill bytes and anything that is no marker, as libjpeg does.
  bool seek_marker() {
    while (position_ < bytes_.size()) {
      const void* found = std::memchr(bytes_.data() + position_, 0xFF, bytes_.size() - position_);
      if (found == nullptr) break;
      position_ = static_cast<std::size_t>(static_cast<const std::uint8_t*>(found) - bytes_.data());
      while (position_ < bytes_.size() && bytes_[position_] == 0xFF) ++position_;
      if (position_ == bytes_.size()) return false;
      if (bytes_[position_++] != 0) return true;
    }
    return false;
  }

  /// Moves to the marker that ends the entropy-coded bytes: not a stuffed FF, not a restart.
  void skip_entropy_data() {
    while (seek_marker()) {
      const std::uint8_t marker = bytes_[position_ - 1];
      if (marker >= RST0 && marker < SOI) {
        if (restart_interval_ > 0 && found_.scans.size() == 1) found_.restarts.push_back(position_ - 2);
        continue;
      }
      position_ -= 2;
      return;
    }
    position_ = bytes_.size();
  }

  void take(std::uint8_t marker, Bytes segment, std::size_t start) {
    const ByteReader reader(segment, Endian::big);
    if (marker == DHP || marker == EXP) {
      found_.is_hierarchical = true;
    } else if (marker == DRI) {
      restart_interval_ = static_cast<int>(reader.u16(0).value_or(0));
    } else if (marker == APP1 && found_.exif.empty() && reader.matches(0, "Exif\0"sv)) {
      found_.exif = segment;
    } else if (marker == APP14 && reader.matches(0, "Adobe"sv) && segment.size() >= 12) {
      found_.adobe_transform = segment[11];
    } else if (is_frame(marker) && found_.frame_type == 0 && segment.size() >= 6) {
      found_.frame_type = marker;
      found_.frame = start;
      found_.precision = segment[0];
      found_.size = {*reader.u16(1), *reader.u16(3)};
      found_.num_components = segment[5];
      const std::size_t num_known =
          std::min<std::size_t>({segment[5], (segment.size() - 6) / 3, found_.components.size()});
      for (std::size_t i = 0; i < num_known; ++i) {
        const Bytes component = segment.subspan(6 + 3 * i, 3);
        found_.components[i] = {component[0], component[1] >> 4, component[1] & 15};
      }
    }
  }

  Bytes bytes_;
  ByteReader reader_;
  std::size_t position_ = 2;  // behind SOI
  int restart_interval_ = 0;
  JpegMarkers& found_;
};

}  // namespace

void read_jpeg_header(Bytes bytes, JpegMarkers& markers) { Walk(bytes, markers).run(true); }

void read_jpeg_markers(Bytes bytes, JpegMarkers& markers) { Walk(bytes, markers).run(false); }

JpegMarkers read_jpeg_markers(Bytes bytes) {
  JpegMarkers markers;
  read_jpeg_markers(bytes, markers);
  return markers;
}

}  // namespace muster::codec
