#include "muster/optimize.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include <fmt/format.h>

#include "decode/jpeg_markers.hpp"
#include "muster/error.hpp"
#include "optimize/jpeg_stream.hpp"
#include "resample/resample.hpp"

namespace muster {
namespace {

using optimize::fail;
using optimize::JpegReader;
using optimize::JpegWriter;

constexpr DecodeOptions as_stored{.color = Color::rgb, .apply_orientation = false};
constexpr DecodeOptions as_shown{};

void validate(const OptimizeOptions& options) {
  if (options.longest_side < 0 || options.longest_side > max_side) {
    throw ConfigError("optimize", fmt::format("expected a longest side of 1 to {} pixels, or 0 to resize nothing, "
                                              "received {}",
                                              max_side, options.longest_side));
  }
  if (options.quality < 1 || options.quality > 100) {
    throw ConfigError("optimize", fmt::format("expected a quality of 1 to 100, received {}", options.quality));
  }
}

/// What decides how decoders show a progressive image: one with coefficients not, or not fully, sent is smoothed.
bool is_complete(const jpeg_decompress_struct& info) {
  if (info.coef_bits == nullptr) return true;
  for (int c = 0; c < info.num_components; ++c) {
    const int* bits = info.coef_bits[c];
    if (std::any_of(bits, bits + DCTSIZE2, [](int missing) { return missing != 0; })) return false;
  }
  return true;
}

/// Coefficients can be read under any sampling factors; decoders enlarge planes by whole numbers only.
bool has_whole_sampling(const jpeg_decompress_struct& info) {
  const auto whole = [&](const jpeg_component_info& component) {
    return info.max_h_samp_factor % component.h_samp_factor == 0 &&
           info.max_v_samp_factor % component.v_samp_factor == 0;
  };
  return std::all_of(info.comp_info, info.comp_info + info.num_components, whole);
}

/// MCUs in a row of an image `width` pixels wide, if one scan holds all of its components.
std::int64_t mcus_per_row(const jpeg_decompress_struct& info, std::int64_t width) {
  // A scan of one component has no interleaving: its MCU is one block, whatever the sampling factors say.
  const std::int64_t mcu_width = DCTSIZE * (info.num_components == 1 ? 1 : info.max_h_samp_factor);
  return (width + mcu_width - 1) / mcu_width;
}

bool has_this_form(const codec::JpegMarkers& markers, int restart_interval) {
  constexpr std::uint8_t baseline = 0xC0;
  constexpr std::uint8_t extended = 0xC1;
  return (markers.frame_type == baseline || markers.frame_type == extended) && markers.scans.size() == 1 &&
         markers.scans.front().num_components == markers.num_components &&
         markers.scans.front().restart_interval == restart_interval;
}

/// Everything that a result says besides its pixels. The segments of the source are written as they are, so libjpeg
/// must not add its own.
void set_form(jpeg_compress_struct& out, int restart_interval) {
  out.optimize_coding = TRUE;
  out.restart_interval = static_cast<unsigned>(restart_interval);
  out.write_JFIF_header = FALSE;
  out.write_Adobe_marker = FALSE;
}

void write_segments(const jpeg_decompress_struct& in, jpeg_compress_struct& out) {
  for (jpeg_saved_marker_ptr marker = in.marker_list; marker != nullptr; marker = marker->next) {
    jpeg_write_marker(&out, marker->marker, marker->data, marker->data_length);
  }
}

std::vector<std::uint8_t> rewrite(JpegReader& original, int restart_interval) {
  JpegWriter writer;
  jpeg_compress_struct& out = writer.info();
  jpeg_decompress_struct& in = original.info();
  jvirt_barray_ptr coefficients[MAX_COMPONENTS] = {};
  for (int c = 0; c < in.num_components; ++c) coefficients[c] = original.coefficients(c);
  writer.run([&] {
    jpeg_copy_critical_parameters(&in, &out);
    set_form(out, restart_interval);
    jpeg_write_coefficients(&out, coefficients);
    write_segments(in, out);
    jpeg_finish_compress(&out);
  });
  return std::move(writer.bytes());
}

/// The components as stored, upsampled to the size of the image; no colour is converted.
std::vector<Image> decode_planes(Bytes bytes) {
  JpegReader reader(bytes);
  reader.read_header();
  jpeg_decompress_struct& info = reader.info();
  reader.run([&] {
    info.out_color_space = info.jpeg_color_space;
    info.dct_method = JDCT_ISLOW;
    jpeg_start_decompress(&info);
  });
  const auto num_planes = static_cast<std::size_t>(info.output_components);
  std::vector<Image> planes(num_planes);
  for (Image& plane : planes) plane.reshape({info.output_height, info.output_width}, 1);
  std::vector<JSAMPLE> row_buffer(info.output_width * num_planes);
  JSAMPROW row = row_buffer.data();
  for (std::int64_t y = 0; y < planes.front().height(); ++y) {
    reader.run([&] { jpeg_read_scanlines(&info, &row, 1); });
    for (std::size_t p = 0; p < num_planes; ++p) {
      std::uint8_t* plane_row = planes[p].row(y);
      for (std::size_t x = 0; x < info.output_width; ++x) plane_row[x] = row[x * num_planes + p];
    }
  }
  return planes;
}

void resize(std::vector<Image>& planes, Size size) {
  Resampler resampler;
  Image resized;
  for (Image& plane : planes) {
    resampler.run({plane.size(), size, Rect::whole(size), Interpolation::lanczos}, plane.view(), resized);
    plane.swap(resized);
  }
}

/// Encodes with the components, sampling and segments of `original`.
std::vector<std::uint8_t> encode(const std::vector<Image>& planes, JpegReader& original, int quality,
                                 int restart_interval) {
  JpegWriter writer;
  jpeg_compress_struct& out = writer.info();
  const jpeg_decompress_struct& in = original.info();
  const Size size = planes.front().size();
  writer.run([&] {
    out.image_height = static_cast<JDIMENSION>(size.height);
    out.image_width = static_cast<JDIMENSION>(size.width);
    out.input_components = in.num_components;
    out.in_color_space = in.jpeg_color_space;
    jpeg_set_defaults(&out);
    jpeg_set_colorspace(&out, in.jpeg_color_space);
    for (int c = 0; c < in.num_components; ++c) {
      out.comp_info[c].component_id = in.comp_info[c].component_id;
      out.comp_info[c].h_samp_factor = in.comp_info[c].h_samp_factor;
      out.comp_info[c].v_samp_factor = in.comp_info[c].v_samp_factor;
    }
    jpeg_set_quality(&out, quality, TRUE);
    set_form(out, restart_interval);
    jpeg_start_compress(&out, TRUE);
    write_segments(in, out);
  });
  const std::size_t num_planes = planes.size();
  std::vector<JSAMPLE> row_buffer(static_cast<std::size_t>(size.width) * num_planes);
  JSAMPROW row = row_buffer.data();
  for (std::int64_t y = 0; y < size.height; ++y) {
    for (std::size_t p = 0; p < num_planes; ++p) {
      const std::uint8_t* plane_row = planes[p].row(y);
      for (std::size_t x = 0; x < static_cast<std::size_t>(size.width); ++x) row[x * num_planes + p] = plane_row[x];
    }
    writer.run([&] { jpeg_write_scanlines(&out, &row, 1); });
  }
  writer.run([&] { jpeg_finish_compress(&out); });
  return std::move(writer.bytes());
}

[[noreturn]] void differ(const std::string& what) {
  fail(fmt::format("the rewritten file differs from the original in {}", what));
}

bool same_table(const JQUANT_TBL* a, const JQUANT_TBL* b) {
  if (a == nullptr || b == nullptr) return a == b;
  return std::equal(std::begin(a->quantval), std::end(a->quantval), std::begin(b->quantval));
}

/// Throws unless both have the same components and segments. Of a resized image, size and tables are its own.
void expect_same_structure(const jpeg_decompress_struct& a, const jpeg_decompress_struct& b) {
  if (a.num_components != b.num_components || a.jpeg_color_space != b.jpeg_color_space) differ("its colour space");
  for (int c = 0; c < a.num_components; ++c) {
    const jpeg_component_info& ours = a.comp_info[c];
    const jpeg_component_info& theirs = b.comp_info[c];
    if (ours.component_id != theirs.component_id) differ("the names of its components");
    if (ours.h_samp_factor != theirs.h_samp_factor || ours.v_samp_factor != theirs.v_samp_factor) {
      differ("its sampling");
    }
  }
  jpeg_saved_marker_ptr ours = a.marker_list;
  jpeg_saved_marker_ptr theirs = b.marker_list;
  for (; ours != nullptr && theirs != nullptr; ours = ours->next, theirs = theirs->next) {
    if (ours->marker != theirs->marker || ours->data_length != theirs->data_length ||
        std::memcmp(ours->data, theirs->data, ours->data_length) != 0) {
      differ("its segments");
    }
  }
  if (ours != theirs) differ("the number of its segments");
}

/// Throws unless both have the same size, tables and coefficients.
void expect_same_coefficients(JpegReader& original, JpegReader& result) {
  jpeg_decompress_struct& a = original.info();
  jpeg_decompress_struct& b = result.info();
  if (a.image_height != b.image_height || a.image_width != b.image_width) differ("its size");
  for (int c = 0; c < a.num_components; ++c) {
    const jpeg_component_info& component = a.comp_info[c];
    if (!same_table(component.quant_table, b.comp_info[c].quant_table)) differ("its quantisation tables");
    for (JDIMENSION y = 0; y < component.height_in_blocks; ++y) {
      JBLOCKARRAY ours = nullptr;
      JBLOCKARRAY theirs = nullptr;
      const auto row_of = [y](JpegReader& reader, int index, JBLOCKARRAY& rows) {
        auto* const common = reinterpret_cast<j_common_ptr>(&reader.info());
        reader.run(
            [&] { rows = reader.info().mem->access_virt_barray(common, reader.coefficients(index), y, 1, FALSE); });
      };
      row_of(original, c, ours);
      row_of(result, c, theirs);
      if (std::memcmp(ours[0], theirs[0], component.width_in_blocks * sizeof(JBLOCK)) != 0) differ("its coefficients");
    }
  }
}

/// Throws unless `bytes`, read anew, are what was to be made of `original`.
void verify(Bytes bytes, Bytes original_bytes, JpegReader& original, const OptimizedJpeg& expected,
            const DecodeLimits& limits) {
  JpegReader result(bytes);
  result.read_coefficients();
  expect_same_structure(original.info(), result.info());
  if (expected.change == OptimizedJpeg::Change::rewritten) expect_same_coefficients(original, result);
  const ImageInfo shown = probe(bytes, as_shown, limits);
  if (shown.stored != expected.size) differ("its size");
  if (shown.orientation != probe(original_bytes, as_shown, limits).orientation) differ("its orientation");
  if (!has_this_form(codec::read_jpeg_markers(bytes), expected.restart_interval)) differ("the form asked for");
}

/// `size` with a longer side of `longest_side`; the other is rounded to nearest.
Size scale_to(Size size, std::int64_t longest_side) {
  const std::int64_t longer = std::max(size.height, size.width);
  const auto scaled = [&](std::int64_t side) {
    return std::max<std::int64_t>((2 * side * longest_side + longer) / (2 * longer), 1);
  };
  return {scaled(size.height), scaled(size.width)};
}

}  // namespace

int choose_restart_interval(std::int64_t mcus_per_row) {
  if (mcus_per_row < 1) {
    throw ConfigError("optimize", fmt::format("expected at least 1 MCU per row, received {}", mcus_per_row));
  }
  constexpr int near_to_4[] = {4, 5, 3, 6, 2, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
  for (const int interval : near_to_4) {
    if (mcus_per_row % interval == 0) return interval;
  }
  return static_cast<int>(mcus_per_row);
}

OptimizedJpeg optimize_jpeg(Bytes bytes, const OptimizeOptions& options) {
  validate(options);
  const ImageInfo info = probe(bytes, as_stored, options.limits);
  if (info.format != Format::jpeg) {
    throw DecodeError("optimize", fmt::format("expected a JPEG, received {}", name(info.format)));
  }
  const codec::JpegMarkers markers = codec::read_jpeg_markers(bytes);
  if (markers.scans.size() > codec::max_scans) {
    fail(fmt::format("more than {} scans are not supported", codec::max_scans));
  }
  if (!markers.end_of_image) fail(markers.fault);

  JpegReader original(bytes);
  original.read_coefficients();
  if (original.info().image_height != info.stored.height || original.info().image_width != info.stored.width) {
    fail("the markers contradict each other about the size");
  }
  if (!has_whole_sampling(original.info())) fail("fractional sampling, which cannot be decoded");
  const bool resizes =
      options.longest_side > 0 && std::max(info.stored.height, info.stored.width) > options.longest_side;

  OptimizedJpeg result;
  result.size = resizes ? scale_to(info.stored, options.longest_side) : info.stored;
  result.restart_interval = choose_restart_interval(mcus_per_row(original.info(), result.size.width));
  if (resizes) {
    result.change = OptimizedJpeg::Change::resized;
    std::vector<Image> planes = decode_planes(bytes);
    resize(planes, result.size);
    result.bytes = encode(planes, original, options.quality, result.restart_interval);
  } else if (has_this_form(markers, result.restart_interval)) {
    result.bytes.assign(bytes.begin(), bytes.end());
    return result;
  } else {
    if (!is_complete(original.info())) {
      fail("progressive, and some coefficients were never sent: decoders show it smoothed, which no other form is");
    }
    result.change = OptimizedJpeg::Change::rewritten;
    result.bytes = rewrite(original, result.restart_interval);
  }
  verify(result.bytes, bytes, original, result, options.limits);
  const Bytes trailer = bytes.subspan(*markers.end_of_image + 2);
  result.bytes.insert(result.bytes.end(), trailer.begin(), trailer.end());
  return result;
}

}  // namespace muster
