#include <png.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <new>
#include <system_error>

#include <fmt/format.h>

#include "decode/jump.hpp"
#include "muster/preview.hpp"
#include "preview/png.hpp"

namespace muster {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& message) {
  throw SourceError("write_png", message, {.sample_id = {}, .path = path.string(), .stage = {}});
}

[[noreturn]] void fail(const std::filesystem::path& path, int cause) {
  fail(path, "cannot be written: " + std::generic_category().message(cause));
}

void check(const ImageView& image) {
  if (image.channels != 1 && image.channels != 3) {
    throw ShapeError("write_png", fmt::format("expected 1 or 3 channels, received {}", image.channels));
  }
  const auto [height, width] = image.size;
  if (height < 1 || width < 1 || height > max_png_side || width > max_png_side) {
    throw ShapeError("write_png",
                     fmt::format("expected sides from 1 to {}, received {}", max_png_side, to_string(image.size)));
  }
}

/// libpng's writer of one image, into an open file or into memory. Errors become SourceError.
class PngWriter {
 public:
  /// Into `file`; if that is null, into `bytes`.
  PngWriter(const std::filesystem::path& path, std::FILE* file, std::vector<std::uint8_t>* bytes = nullptr)
      : path_(path), file_(file), bytes_(bytes) {
    png_ = png_create_write_struct(
        PNG_LIBPNG_VER_STRING, this, [](png_structp png, png_const_charp text) { self(png).on_error(text); },
        [](png_structp, png_const_charp) {});
    info_ = png_ == nullptr ? nullptr : png_create_info_struct(png_);
    if (info_ == nullptr) {
      png_destroy_write_struct(&png_, nullptr);
      fail(path_, "cannot be encoded: libpng could not be set up");
    }
  }
  PngWriter(const PngWriter&) = delete;
  PngWriter& operator=(const PngWriter&) = delete;
  ~PngWriter() { png_destroy_write_struct(&png_, &info_); }

  void write(const ImageView& image) {
    if (codec::run_guarded(jump_, [&] { encode(image); })) return;
    if (file_ != nullptr && std::ferror(file_) != 0) fail(path_, cause_);
    fail(path_, std::string("cannot be encoded: ") + message_);
  }

 private:
  static PngWriter& self(png_structp png) { return *static_cast<PngWriter*>(png_get_error_ptr(png)); }

  [[noreturn]] void on_error(const char* text) {
    cause_ = errno;
    std::snprintf(message_, sizeof message_, "%s", text);
    std::longjmp(jump_, 1);
  }

  static void append(png_structp png, png_bytep data, png_size_t size) {
    auto& bytes = *static_cast<std::vector<std::uint8_t>*>(png_get_io_ptr(png));
    bool has_room = true;
    try {
      bytes.insert(bytes.end(), data, data + size);
    } catch (const std::bad_alloc&) {
      has_room = false;
    }
    if (!has_room) png_error(png, "out of memory");
  }

  void encode(const ImageView& image) {
    if (file_ != nullptr) {
      png_init_io(png_, file_);
    } else {
      png_set_write_fn(png_, bytes_, append, nullptr);
    }
    png_set_IHDR(png_, info_, static_cast<png_uint_32>(image.size.width), static_cast<png_uint_32>(image.size.height),
                 8, image.channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png_, info_);
    for (std::int64_t y = 0; y < image.size.height; ++y) png_write_row(png_, image.row(y));
    png_write_end(png_, nullptr);
  }

  const std::filesystem::path& path_;
  std::FILE* file_;
  std::vector<std::uint8_t>* bytes_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  std::jmp_buf jump_{};
  char message_[256] = {};
  int cause_ = 0;  // errno, meaningful if it was the file that failed
};

}  // namespace

std::vector<std::uint8_t> encode_png(const ImageView& image) {
  check(image);
  std::vector<std::uint8_t> bytes;
  const std::filesystem::path in_memory;
  PngWriter(in_memory, nullptr, &bytes).write(image);
  return bytes;
}

void write_png(const std::filesystem::path& path, const ImageView& image) {
  check(image);
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "wb"), std::fclose);
  if (!file) fail(path, errno);
  PngWriter(path, file.get()).write(image);
  if (std::fclose(file.release()) != 0) fail(path, errno);
}

}  // namespace muster
