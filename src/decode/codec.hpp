// What the codecs of the decode room share: one file per format implements its two functions.
#pragma once

#include <string>
#include <vector>

#include "muster/decode.hpp"
#include "restart_cut.hpp"

namespace muster::codec {

/// Throws DecodeError "[decode] PNG: message".
[[noreturn]] void fail(Format format, const std::string& message);

/// What a format's header says, before limits and options.
struct Header {
  Size stored;
  int orientation = 1;  // EXIF's 1 ... 8
  int num_channels = 3;
  int bits_per_channel = 8;
  /// The orientation belongs to the format and Pillow's loader applies it by itself (TIFF).
  bool always_oriented = false;
};

/// One image to decode. `window` lies inside `stored` reduced by `reduction`, in the coordinates of the file.
struct Job {
  Bytes bytes;
  Size stored;
  int reduction = 1;  // 2, 4 or 8 for JPEG only
  Rect window;
  Color color = Color::rgb;
  Integrity integrity = Integrity::window;
  std::int64_t max_pixels = 0;

  /// The row behind the last one that has to be decoded.
  std::int64_t end_row() const noexcept {
    return integrity == Integrity::full ? reduced_size(stored, reduction).height : window.y + window.height;
  }
};

/// Buffers that a decoder keeps between images.
struct Scratch {
  std::vector<std::uint8_t> row;
  std::vector<std::uint8_t> image;
  JpegMarkers markers;  // of a JPEG
  RestartCut cut;       // of a JPEG
};

/// muster::probe, with `markers` as scratch.
ImageInfo probe(Bytes bytes, const DecodeOptions& options, const DecodeLimits& limits, JpegMarkers& markers);

/// What came of a job besides the pixels.
struct Decoded {
  std::string warnings;
  std::int64_t left = 0;  // the column of the pixels at which the window begins
};

// Each probe reads a header and refuses, by name, what its decode cannot take. Each decode makes `out` uint8
// {window.height, window.width, num_channels(color)} and throws DecodeError for damaged data; JPEG and TIFF
// return their library's warnings, which only Integrity::lenient lets through. Around a JPEG's window `out` may have
// some more columns: a copy without them would cost a twentieth of all decoding.
Header probe_jpeg(Bytes bytes, JpegMarkers& markers);
Header probe_png(Bytes bytes);
Header probe_webp(Bytes bytes);
Header probe_bmp(Bytes bytes);
Header probe_tiff(Bytes bytes);
Header probe_pnm(Bytes bytes);

Decoded decode_jpeg(const Job& job, Scratch& scratch, Image& out);
std::string decode_png(const Job& job, Scratch& scratch, Image& out);
std::string decode_webp(const Job& job, Scratch& scratch, Image& out);
std::string decode_bmp(const Job& job, Scratch& scratch, Image& out);
std::string decode_tiff(const Job& job, Scratch& scratch, Image& out);
std::string decode_pnm(const Job& job, Scratch& scratch, Image& out);

}  // namespace muster::codec
