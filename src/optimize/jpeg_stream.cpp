#include "optimize/jpeg_stream.hpp"

#include <new>

#include <fmt/format.h>
#include <jerror.h>

namespace muster::optimize {

void fail(const std::string& message) { throw DecodeError("optimize", fmt::format("JPEG: {}", message)); }

JpegErrors::JpegErrors() {
  jpeg_std_error(&callbacks_);
  callbacks_.error_exit = leave;
  callbacks_.emit_message = [](j_common_ptr common, int level) {
    if (level < 0) leave(common);
  };
  callbacks_.output_message = [](j_common_ptr) {};
}

void JpegErrors::leave(j_common_ptr common) {
  auto& self = *static_cast<JpegErrors*>(common->client_data);
  self.callbacks_.format_message(common, self.message_);
  std::longjmp(self.jump_, 1);
}

JpegReader::JpegReader(Bytes bytes) {
  attach(info_);
  run([&] {
    jpeg_create_decompress(&info_);  // keeps err and client_data
    jpeg_mem_src(&info_, bytes.data(), static_cast<unsigned long>(bytes.size()));
  });
}

void JpegReader::read_header() {
  run([this] {
    constexpr unsigned whole_segment = 0xFFFF;
    for (int i = 0; i < 16; ++i) jpeg_save_markers(&info_, JPEG_APP0 + i, whole_segment);
    jpeg_save_markers(&info_, JPEG_COM, whole_segment);
    jpeg_read_header(&info_, TRUE);
  });
}

void JpegReader::read_coefficients() {
  read_header();
  run([this] { coefficients_ = jpeg_read_coefficients(&info_); });
}

JpegWriter::JpegWriter() {
  attach(info_);
  run([this] { jpeg_create_compress(&info_); });
  destination_.init_destination = [](j_compress_ptr info) { self(info).flush(0); };
  destination_.empty_output_buffer = [](j_compress_ptr info) -> boolean {
    self(info).flush(self(info).buffer_.size());
    return TRUE;
  };
  destination_.term_destination = [](j_compress_ptr info) {
    JpegWriter& writer = self(info);
    writer.flush(writer.buffer_.size() - writer.destination_.free_in_buffer);
  };
  info_.dest = &destination_;
}

JpegWriter& JpegWriter::self(j_compress_ptr info) {
  return *static_cast<JpegWriter*>(static_cast<JpegErrors*>(info->client_data));
}

void JpegWriter::flush(std::size_t count) {
  bool grown = true;
  try {  // an exception must not cross libjpeg, nor a jump leave its handler
    bytes_.insert(bytes_.end(), buffer_.data(), buffer_.data() + count);
  } catch (const std::bad_alloc&) {
    grown = false;
  }
  if (!grown) ERREXIT1(&info_, JERR_OUT_OF_MEMORY, 0);
  destination_.next_output_byte = buffer_.data();
  destination_.free_in_buffer = buffer_.size();
}

}  // namespace muster::optimize
