#include "jpeg_writer.hpp"

#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include <jpeglib.h>

namespace muster::cli {
namespace {

struct Errors {
  jpeg_error_mgr base{};  // first, so that libjpeg's pointer to it is one to us
  std::jmp_buf escape{};
  char message[JMSG_LENGTH_MAX]{};
};

[[noreturn]] void escape(j_common_ptr info) {
  auto* errors = reinterpret_cast<Errors*>(info->err);
  info->err->format_message(info, errors->message);
  std::longjmp(errors->escape, 1);
}

class Encoder {
 public:
  Encoder() {
    info_.err = jpeg_std_error(&errors_.base);
    errors_.base.error_exit = escape;
  }
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;
  ~Encoder() {
    jpeg_destroy_compress(&info_);
    std::free(memory_);
  }

  /// False when libjpeg gave up. Holds nothing that a jump would leave behind.
  bool run(const Image& image, const JpegSettings& settings) {
    if (setjmp(errors_.escape) != 0) return false;
    jpeg_create_compress(&info_);
    jpeg_mem_dest(&info_, &memory_, &num_bytes_);
    info_.image_height = static_cast<JDIMENSION>(image.height());
    info_.image_width = static_cast<JDIMENSION>(image.width());
    info_.input_components = 3;
    info_.in_color_space = JCS_RGB;
    jpeg_set_defaults(&info_);
    if (settings.subsampling == Subsampling::grey) jpeg_set_colorspace(&info_, JCS_GRAYSCALE);
    const bool narrow = settings.subsampling == Subsampling::s422 || settings.subsampling == Subsampling::s420;
    info_.comp_info[0].h_samp_factor = narrow ? 2 : 1;
    info_.comp_info[0].v_samp_factor = settings.subsampling == Subsampling::s420 ? 2 : 1;
    jpeg_set_quality(&info_, settings.quality, TRUE);
    if (settings.progressive) jpeg_simple_progression(&info_);

    jpeg_start_compress(&info_, TRUE);
    while (info_.next_scanline < info_.image_height) {
      JSAMPROW row = const_cast<JSAMPROW>(image.row(info_.next_scanline));
      jpeg_write_scanlines(&info_, &row, 1);
    }
    jpeg_finish_compress(&info_);
    return true;
  }

  const char* message() const { return errors_.message; }
  std::vector<std::uint8_t> bytes() const { return {memory_, memory_ + num_bytes_}; }

 private:
  Errors errors_;
  jpeg_compress_struct info_{};
  unsigned char* memory_ = nullptr;
  unsigned long num_bytes_ = 0;
};

}  // namespace

std::vector<std::uint8_t> encode_jpeg(const Image& image, const JpegSettings& settings) {
  Encoder encoder;
  if (!encoder.run(image, settings)) throw std::runtime_error(encoder.message());
  return encoder.bytes();
}

}  // namespace muster::cli
