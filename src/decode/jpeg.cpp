#include <algorithm>
#include <cstdio>
#include <cstring>
#include <new>
#include <string_view>

#include <fmt/format.h>
#include <jpeglib.h>

#include <jerror.h>  // after jpeglib.h

#include "codec.hpp"
#include "exif.hpp"
#include "jpeg_markers.hpp"
#include "jump.hpp"
#include "pixels.hpp"
#include "restart_cut.hpp"

namespace muster::codec {
namespace {

[[noreturn]] void fail(const std::string& message) { codec::fail(Format::jpeg, message); }

void require_supported(const JpegMarkers& markers) {
  const std::uint8_t type = markers.frame_type;
  if (type == 0xC3 || type == 0xC7 || type == 0xCB || type == 0xCF) fail("lossless JPEG is not supported");
  if (markers.is_hierarchical || type == 0xC5 || type == 0xC6 || type == 0xCD || type == 0xCE) {
    fail("hierarchical JPEG is not supported");
  }
  if (markers.precision != 8) {
    fail(fmt::format("{}-bit JPEG is not supported; only 8 bits per sample are", markers.precision));
  }
  if (markers.num_components != 1 && markers.num_components != 3 && markers.num_components != 4) {
    fail(fmt::format("{} components are not supported; 1, 3 and 4 are", markers.num_components));
  }
  if (markers.size.height == 0) {
    fail("the header has height 0, which leaves it to a DNL marker; that is not supported");
  }
}

/// libjpeg's decompressor, made anew for every image: libjpeg keeps tables from one image to the next, and a
/// damaged image must not decode with those of the one before. Errors become DecodeError, warnings are kept.
class Decompressor {
 public:
  /// `place` says what byte offsets in messages count in.
  Decompressor(Bytes bytes, std::string_view place, bool lenient) : bytes_(bytes), place_(place), lenient_(lenient) {
    info_.err = jpeg_std_error(&errors_);
    errors_.error_exit = [](j_common_ptr common) { self(common).on_error(); };
    errors_.emit_message = [](j_common_ptr common, int level) {
      if (level < 0) self(common).on_warning();
    };
    errors_.output_message = [](j_common_ptr) {};
    info_.client_data = this;
    run([this] {
      jpeg_create_decompress(&info_);  // keeps err and client_data
      jpeg_mem_src(&info_, bytes_.data(), static_cast<unsigned long>(bytes_.size()));
    });
  }
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;
  ~Decompressor() { jpeg_destroy_decompress(&info_); }

  jpeg_decompress_struct& info() { return info_; }

  template <class Step>
  void run(const Step& step) {
    if (run_guarded(jump_, step)) return;
    if (errors_.msg_code == JERR_OUT_OF_MEMORY) throw std::bad_alloc();  // no fault of the sample's
    fail(fmt::format("{} (near byte {}{})", static_cast<const char*>(message_), offset_, place_));
  }

  /// What libjpeg warned about; empty if it did not.
  std::string warnings() const {
    if (errors_.num_warnings == 0) return {};
    std::string text = fmt::format("{} (near byte {}{})", static_cast<const char*>(message_), offset_, place_);
    if (errors_.num_warnings > 1) text += fmt::format(", and {} more warnings", errors_.num_warnings - 1);
    return text;
  }

 private:
  static Decompressor& self(j_common_ptr common) { return *static_cast<Decompressor*>(common->client_data); }

  void keep_message() {
    errors_.format_message(reinterpret_cast<j_common_ptr>(&info_), message_);
    offset_ = bytes_.size();
    // At the end of the data libjpeg reads from a buffer of its own.
    if (info_.src != nullptr && info_.src->next_input_byte >= bytes_.data() &&
        info_.src->next_input_byte <= bytes_.data() + bytes_.size()) {
      offset_ = static_cast<std::size_t>(info_.src->next_input_byte - bytes_.data());
    }
  }
  [[noreturn]] void on_error() {
    keep_message();
    std::longjmp(jump_, 1);
  }
  void on_warning() {
    if (!lenient_) on_error();
    if (errors_.num_warnings++ == 0) keep_message();
  }

  Bytes bytes_;
  std::string_view place_;
  bool lenient_;
  jpeg_decompress_struct info_{};
  jpeg_error_mgr errors_{};
  std::jmp_buf jump_{};
  char message_[JMSG_LENGTH_MAX] = {};
  std::size_t offset_ = 0;
};

/// Whether libjpeg smooths over blocks, which makes pixels depend on others further away than the margin of a
/// window: a progressive image some of whose coefficients were not, or not fully, sent.
bool smooths_blocks(const jpeg_decompress_struct& info) {
  if (info.coef_bits == nullptr) return false;
  for (int c = 0; c < info.num_components; ++c) {
    const int* bits = info.coef_bits[c];
    if (std::any_of(bits + 1, bits + DCTSIZE2, [](int missing) { return missing != 0; })) return true;
  }
  return false;
}

/// Whether libjpeg, told to crop, leaves part of a component's row as it was: of one whose inverse transform does part
/// of the upsampling in a reduced image, and fancy upsampling the rest (4:1:0 and its kin), it takes the width for that
/// before the transform.
bool loses_columns(const jpeg_decompress_struct& info) {
  return std::any_of(info.comp_info, info.comp_info + info.num_components, [&](const jpeg_component_info& component) {
    const int scale = component.DCT_scaled_size;
    return scale != info.min_DCT_scaled_size &&
           (component.h_samp_factor * scale != info.max_h_samp_factor * info.min_DCT_scaled_size ||
            component.v_samp_factor * scale != info.max_v_samp_factor * info.min_DCT_scaled_size);
  });
}

/// Fancy upsampling reads across columns: with two more on each side those inside are what a whole decode gives.
constexpr std::int64_t margin = 2;

/// What is really decoded.
struct Input {
  Bytes bytes;
  Size stored;
  Rect window;             // of the reduced image
  std::int64_t end_row;    // the row behind the last one to decode
  std::string_view place;  // what byte offsets in messages count in
};

/// The file, or what its restart markers allow to cut out of it.
Input choose_input(const Job& job, const JpegMarkers& markers, Scratch& scratch) {
  const Rect& window = job.window;
  const std::int64_t n = job.reduction;
  const Rect unreduced =
      intersect({window.y * n, window.x * n, window.height * n, window.width * n}, Rect::whole(job.stored));
  if (job.integrity == Integrity::full || !cut_restarts(job.bytes, markers, unreduced, scratch.cut)) {
    return {job.bytes, job.stored, window, job.end_row(), ""};
  }
  const Rect& shown = scratch.cut.shown;  // starts at an MCU, so its corner divides by 8
  return {scratch.cut.bytes,
          shown.size(),
          {window.y - shown.y / n, window.x - shown.x / n, window.height, window.width},
          job.end_row() - shown.y / n,
          " of the segments that the window needs"};
}

Samples choose_output(jpeg_decompress_struct& info) {
  info.dct_method = JDCT_ISLOW;
  info.do_fancy_upsampling = TRUE;
  switch (info.num_components) {
    case 1:
      info.out_color_space = JCS_GRAYSCALE;
      return Samples::grey;
    case 3:
      info.out_color_space = JCS_RGB;
      return Samples::rgb;
    default:
      info.out_color_space = JCS_CMYK;
      return Samples::inverted_cmyk;
  }
}

}  // namespace

Header probe_jpeg(Bytes bytes, JpegMarkers& markers) {
  read_jpeg_header(bytes, markers);
  if (markers.frame_type != 0) require_supported(markers);
  if (!markers.fault.empty()) fail(markers.fault);
  if (markers.scans.empty()) fail("the image ends before its first scan");
  if (markers.frame_type == 0) fail("a scan starts before any frame header");
  return {markers.size, exif_orientation(markers.exif), markers.num_components, markers.precision};
}

Decoded decode_jpeg(const Job& job, Scratch& scratch, Image& out) {
  read_jpeg_markers(job.bytes, scratch.markers);
  const JpegMarkers& markers = scratch.markers;
  const bool lenient = job.integrity == Integrity::lenient;
  if (markers.size != job.stored) {
    fail(fmt::format("the header says {}, the probe said {}: they are not of the same bytes", to_string(markers.size),
                     to_string(job.stored)));
  }
  require_supported(markers);
  if (markers.scans.size() > max_scans) fail(fmt::format("more than {} scans are not supported", max_scans));
  if (!markers.end_of_image && !lenient) fail(markers.fault);

  const Input input = choose_input(job, markers, scratch);
  const Rect& window = input.window;
  Decompressor decompressor(input.bytes, input.place, lenient);
  jpeg_decompress_struct& info = decompressor.info();
  Samples samples = Samples::rgb;
  bool whole_rows = true;  // or only the columns of the window, and a few more
  std::int64_t first_column = 0;
  decompressor.run([&] { jpeg_read_header(&info, TRUE); });
  if (info.image_height != input.stored.height || info.image_width != input.stored.width) {
    fail("the markers contradict each other about the size");
  }
  decompressor.run([&] {
    samples = choose_output(info);
    info.scale_num = 1;
    info.scale_denom = static_cast<unsigned>(job.reduction);
    jpeg_start_decompress(&info);
    const auto output_width = static_cast<std::int64_t>(info.output_width);
    whole_rows = job.integrity == Integrity::full || smooths_blocks(info) || loses_columns(info);
    if (whole_rows) return;
    const std::int64_t left = std::max<std::int64_t>(window.x - margin, 0);
    const std::int64_t right = std::min(window.x + window.width + margin, output_width);
    JDIMENSION x = static_cast<JDIMENSION>(left);
    JDIMENSION width = static_cast<JDIMENSION>(right - left);
    if (right - left < output_width) {
      jpeg_crop_scanline(&info, &x, &width);  // moves x left to the start of an MCU
      first_column = x;
    }
    if (window.y > 0) jpeg_skip_scanlines(&info, static_cast<JDIMENSION>(window.y));
  });

  const int step = info.output_components;
  const int channels = num_channels(job.color);
  const std::int64_t left = window.x - first_column;
  const bool as_asked = samples == (job.color == Color::rgb ? Samples::rgb : Samples::grey);
  const bool in_place = as_asked && !whole_rows;
  out.reshape({window.height, in_place ? std::int64_t{info.output_width} : window.width}, channels);
  if (!in_place) scratch.row.resize(static_cast<std::size_t>(info.output_width) * static_cast<std::size_t>(step));
  decompressor.run([&] {
    for (std::int64_t y = info.output_scanline; y < input.end_row; ++y) {
      std::uint8_t* row = in_place ? out.row(y - window.y) : scratch.row.data();
      jpeg_read_scanlines(&info, &row, 1);
      if (in_place || y < window.y || y >= window.y + window.height) continue;
      write_row({row + left * step, window.width, step, samples}, job.color, out.row(y - window.y));
    }
    if (job.integrity == Integrity::full) jpeg_finish_decompress(&info);
  });
  std::string warnings = decompressor.warnings();
  if (!markers.end_of_image) warnings = markers.fault + (warnings.empty() ? "" : "; ") + warnings;
  return {std::move(warnings), in_place ? left : 0};
}

}  // namespace muster::codec
