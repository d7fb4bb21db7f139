#include "decode_limit.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csetjmp>
#include <cstdio>
#include <memory>
#include <span>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <jpeglib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "interrupt.hpp"
#include "progress.hpp"
#include "threads.hpp"

namespace muster::cli {
namespace {

/// `window` of the image as EXIF turns it, in the image as it is stored.
Rect as_stored(Rect window, Size stored, int orientation) {
  if (orientation >= 5) window = {window.x, window.y, window.width, window.height};
  const bool rows_mirrored = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const bool columns_mirrored = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  if (rows_mirrored) window.y = stored.height - window.y - window.height;
  if (columns_mirrored) window.x = stored.width - window.x - window.width;
  return window;
}

/// A file's bytes in memory that is reused, and not cleared first.
class FileBytes {
 public:
  /// False if the file cannot be read as a whole.
  bool read(const char* path) {
    const int file = ::open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return false;
    struct stat status {};
    bool complete = ::fstat(file, &status) == 0;
    size_ = complete ? static_cast<std::size_t>(status.st_size) : 0;
    if (size_ > capacity_) {
      bytes_ = std::make_unique_for_overwrite<unsigned char[]>(size_);
      capacity_ = size_;
    }
    for (std::size_t i = 0; complete && i < size_;) {
      const ssize_t count = ::read(file, bytes_.get() + i, size_ - i);
      complete = count > 0;
      if (complete) i += static_cast<std::size_t>(count);
    }
    ::close(file);
    return complete && size_ > 0;
  }
  std::span<const unsigned char> bytes() const { return {bytes_.get(), size_}; }

 private:
  std::unique_ptr<unsigned char[]> bytes_;
  std::size_t capacity_ = 0;
  std::size_t size_ = 0;
};

/// False if the sample cannot be read any more.
bool read(const Source& source, std::uint64_t id, Sample& sample) {
  try {
    sample.clear();
    source.read(id, sample, interrupt_token());
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

/// libjpeg-turbo as it comes: accurate DCT, fancy upsampling, one decompressor for all files.
class WindowDecoder {
 public:
  WindowDecoder() {
    info_.err = jpeg_std_error(&errors_);
    errors_.error_exit = [](j_common_ptr common) {
      std::longjmp(static_cast<WindowDecoder*>(common->client_data)->jump_, 1);
    };
    errors_.emit_message = [](j_common_ptr, int) {};
    info_.client_data = this;
    jpeg_create_decompress(&info_);
  }
  WindowDecoder(const WindowDecoder&) = delete;
  WindowDecoder& operator=(const WindowDecoder&) = delete;
  ~WindowDecoder() { jpeg_destroy_decompress(&info_); }

  /// The window's rows, with the two columns on either side that fancy upsampling needs. False for a damaged file.
  bool decode(std::span<const unsigned char> bytes, const Rect& window) {
    if (setjmp(jump_) != 0) {  // no object with a destructor lives between here and where libjpeg fails
      jpeg_abort_decompress(&info_);
      return false;
    }
    jpeg_mem_src(&info_, bytes.data(), static_cast<unsigned long>(bytes.size()));
    jpeg_read_header(&info_, TRUE);
    jpeg_start_decompress(&info_);

    JDIMENSION x = static_cast<JDIMENSION>(std::max<std::int64_t>(window.x - 2, 0));
    JDIMENSION width =
        std::min(static_cast<JDIMENSION>(window.x + window.width + 2), static_cast<JDIMENSION>(info_.output_width)) - x;
    const JDIMENSION end = std::min(static_cast<JDIMENSION>(window.y + window.height), info_.output_height);
    if (width < info_.output_width) jpeg_crop_scanline(&info_, &x, &width);
    if (window.y > 0) jpeg_skip_scanlines(&info_, static_cast<JDIMENSION>(window.y));

    if (row_.size() < std::size_t{info_.output_width} * 4) row_.resize(std::size_t{info_.output_width} * 4);
    std::array<JSAMPROW, 4> rows;
    rows.fill(row_.data());  // thrown away: all into the same warm memory
    while (info_.output_scanline < end) {
      jpeg_read_scanlines(&info_, rows.data(), std::min<JDIMENSION>(rows.size(), end - info_.output_scanline));
    }
    jpeg_abort_decompress(&info_);
    return true;
  }

 private:
  jpeg_decompress_struct info_{};
  jpeg_error_mgr errors_{};
  std::jmp_buf jump_{};
  std::vector<unsigned char> row_;
};

}  // namespace

DecodeLimit::DecodeLimit(const Loader& loader, std::filesystem::path root) : loader_(loader), root_(std::move(root)) {
  rows_.reserve(std::min<std::size_t>(loader.num_rows(), max_rows));
}

void DecodeLimit::add(const Batch& batch) {
  for (std::size_t i = 0; i < batch.plans.size() && rows_.size() < max_rows; ++i) {
    if (batch.plans[i].source == Size{}) continue;  // a filler, or masked
    rows_.push_back({batch.ids[i], batch.plans[i].window});
  }
}

const DecodeLimit::Header& DecodeLimit::header(std::uint64_t id) {
  const auto [found, is_new] = headers_.try_emplace(id);
  Header& header = found->second;
  if (!is_new) return header;
  try {
    Sample sample;
    loader_.source().read(id, sample, interrupt_token());
    const ImageInfo info = probe(sample.bytes, loader_.pipeline().decode_options(), loader_.options().limits);
    header = {info.format == Format::jpeg, info.stored, info.orientation};
  } catch (const Error&) {
    // The file has gone bad since the loader read it: left out.
  }
  return header;
}

/// Of the rows noted: what is in JPEGs.
std::vector<DecodeLimit::Work> DecodeLimit::plan_work() {
  std::vector<Work> work;
  for (const Row& row : rows_) {
    end_if_interrupted();
    const Header& header = this->header(row.id);
    if (!header.is_jpeg) continue;
    std::filesystem::path path = root_ / loader_.source().name(row.id);
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error)) path.clear();
    work.push_back({row.id, std::move(path), as_stored(row.window, header.stored, header.orientation)});
  }
  return work;
}

std::optional<double> DecodeLimit::run() {
  const std::vector<Work> work = plan_work();  // reads headers: before the clock starts
  std::atomic<std::size_t> next = 0;
  std::atomic<std::uint64_t> num_decoded = 0;
  Progress progress("decoding alone", work.size());
  const auto decode_all = [&] {
    FileBytes file;
    Sample sample;  // of what is no file: archives, URLs
    WindowDecoder decoder;
    std::uint64_t count = 0;
    for (std::size_t i = next++; i < work.size() && !interrupted(); i = next++) {
      std::span<const unsigned char> bytes;
      if (work[i].path.empty()) {
        if (!read(loader_.source(), work[i].id, sample)) continue;
        bytes = sample.bytes;
      } else {
        if (!file.read(work[i].path.c_str())) continue;
        bytes = file.bytes();
      }
      if (work[i].window.empty() || decoder.decode(bytes, work[i].window)) ++count;
      progress.advance(1);
    }
    num_decoded += count;
  };

  const auto start = std::chrono::steady_clock::now();
  run_on_threads(loader_.num_threads(), decode_all);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  end_if_interrupted();
  num_decoded_ += num_decoded;
  num_left_out_ += rows_.size() - num_decoded;
  rows_.clear();
  if (num_decoded == 0) return {};
  return static_cast<double>(num_decoded) / seconds.count();
}

}  // namespace muster::cli
