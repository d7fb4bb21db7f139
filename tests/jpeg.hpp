// Writes JPEGs of every kind, for tests of reading them, and reads their windows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <jpeglib.h>

#include "muster/decode.hpp"
#include "support.hpp"

namespace muster::test {

using Data = std::vector<std::uint8_t>;

/// One way to write a JPEG.
struct JpegStyle {
  int components = 3;
  int horizontal = 1;  // sampling factors of the first component
  int vertical = 1;
  bool progressive = false;
  bool separate_scans = false;  // baseline, one scan per component
  bool arithmetic = false;
  int restart_rows = 0;
  int restart_interval = 0;
  int num_scans = 0;  // > 0: only the first so many scans of the progression
  J_COLOR_SPACE stored = JCS_UNKNOWN;
  int orientation = 0;
};

inline Data exif_block(int orientation) {
  Data block = {'E',  'x', 'i', 'f', 0, 0, 'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0,
                0x12, 1,   3,   0,   1, 0, 0,   0,   0,  0, 0, 0, 0, 0, 0, 0};
  block[24] = static_cast<std::uint8_t>(orientation);
  return block;
}

inline Data write_jpeg(const Image& image, const JpegStyle& style) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* buffer = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &buffer, &size);
  info.image_height = static_cast<JDIMENSION>(image.height());
  info.image_width = static_cast<JDIMENSION>(image.width());
  info.input_components = image.channels();
  info.in_color_space = image.channels() == 1 ? JCS_GRAYSCALE : image.channels() == 3 ? JCS_RGB : JCS_CMYK;
  jpeg_set_defaults(&info);
  if (style.stored != JCS_UNKNOWN) jpeg_set_colorspace(&info, style.stored);
  jpeg_set_quality(&info, 85, TRUE);
  info.comp_info[0].h_samp_factor = style.horizontal;
  info.comp_info[0].v_samp_factor = style.vertical;
  for (int c = 1; c < info.num_components; ++c) info.comp_info[c].h_samp_factor = info.comp_info[c].v_samp_factor = 1;
  if (info.num_components == 4) {
    info.comp_info[3].h_samp_factor = style.horizontal;
    info.comp_info[3].v_samp_factor = style.vertical;
  }
  if (style.progressive) jpeg_simple_progression(&info);
  if (style.num_scans > 0) info.num_scans = std::min(info.num_scans, style.num_scans);
  std::vector<jpeg_scan_info> scans(static_cast<std::size_t>(info.num_components));
  if (style.separate_scans && !style.progressive) {
    for (int c = 0; c < info.num_components; ++c) {
      scans[static_cast<std::size_t>(c)] = {1, {c, 0, 0, 0}, 0, 63, 0, 0};
    }
    info.scan_info = scans.data();
    info.num_scans = info.num_components;
  }
  info.arith_code = style.arithmetic ? TRUE : FALSE;
  info.restart_in_rows = style.restart_rows;
  info.restart_interval = static_cast<unsigned>(style.restart_interval);
  jpeg_start_compress(&info, TRUE);
  if (style.orientation > 0) {
    const Data block = exif_block(style.orientation);
    jpeg_write_marker(&info, JPEG_APP0 + 1, block.data(), static_cast<unsigned>(block.size()));
  }
  Image copy = image;
  while (info.next_scanline < info.image_height) {
    JSAMPROW row = copy.row(info.next_scanline);
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  Data data(buffer, buffer + size);
  std::free(buffer);
  return data;
}

/// Smooth enough that chroma upsampling matters, noisy enough that every block has all its coefficients.
inline Image picture(Size size, int channels, std::uint32_t seed) {
  Image image = noise_image(size, channels, seed);
  for (std::int64_t y = 0; y < size.height; ++y) {
    for (std::int64_t x = 0; x < image.stride_bytes(); ++x) {
      image.row(y)[x] = static_cast<std::uint8_t>((image.row(y)[x] / 4 + 3 * y + x) & 255);
    }
  }
  return image;
}

inline Image decode_window(Bytes bytes, const Rect& window, Integrity integrity = Integrity::window) {
  Decoder decoder({}, {}, integrity);
  Image out;
  decoder.decode(bytes, decoder.probe(bytes), window, out);
  return out;
}

}  // namespace muster::test
