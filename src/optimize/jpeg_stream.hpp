// libjpeg's two halves as objects: their errors, and warnings too, become DecodeError.
#pragma once

#include <array>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <new>
#include <vector>

#include <jpeglib.h>

#include <jerror.h>  // after jpeglib.h

#include "decode/jump.hpp"
#include "muster/decode.hpp"

namespace muster::optimize {

/// Throws DecodeError "[optimize] JPEG: message".
[[noreturn]] void fail(const std::string& message);

class JpegErrors {
 public:
  JpegErrors();

  /// Runs steps that call libjpeg; see run_guarded. Throws DecodeError where libjpeg fails or warns, std::bad_alloc.
  template <class Step>
  void run(const Step& step) {
    if (codec::run_guarded(jump_, step)) return;
    if (callbacks_.msg_code == JERR_OUT_OF_MEMORY) throw std::bad_alloc();
    fail(message_);
  }

 protected:
  /// For an object's constructor, before libjpeg creates it.
  template <class Info>
  void attach(Info& info) {
    info.err = &callbacks_;
    info.client_data = this;
  }

 private:
  [[noreturn]] static void leave(j_common_ptr common);

  jpeg_error_mgr callbacks_{};
  std::jmp_buf jump_{};
  char message_[JMSG_LENGTH_MAX] = {};
};

/// Reads one JPEG, of bytes that outlive it.
class JpegReader : public JpegErrors {
 public:
  explicit JpegReader(Bytes bytes);
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;
  ~JpegReader() { jpeg_destroy_decompress(&info_); }

  jpeg_decompress_struct& info() { return info_; }

  /// Reads the header, and keeps all APPn and COM segments from there on.
  void read_header();
  /// Reads the header and then everything else.
  void read_coefficients();
  /// Of component `c`, after read_coefficients().
  jvirt_barray_ptr coefficients(int c) const { return coefficients_[c]; }

 private:
  jpeg_decompress_struct info_{};
  jvirt_barray_ptr* coefficients_ = nullptr;
};

/// Writes one JPEG into memory.
class JpegWriter : public JpegErrors {
 public:
  JpegWriter();
  JpegWriter(const JpegWriter&) = delete;
  JpegWriter& operator=(const JpegWriter&) = delete;
  ~JpegWriter() { jpeg_destroy_compress(&info_); }

  jpeg_compress_struct& info() { return info_; }
  /// After jpeg_finish_compress.
  std::vector<std::uint8_t>& bytes() { return bytes_; }

 private:
  static JpegWriter& self(j_compress_ptr info);
  /// Moves the first `count` bytes of the buffer to `bytes_`.
  void flush(std::size_t count);

  jpeg_compress_struct info_{};
  jpeg_destination_mgr destination_{};
  std::array<JOCTET, 1 << 16> buffer_;
  std::vector<std::uint8_t> bytes_;
};

}  // namespace muster::optimize
