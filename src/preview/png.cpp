#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>
#include <vector>

#include <fmt/format.h>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "muster/preview.hpp"

namespace muster {
namespace {

std::vector<std::uint8_t> encode_png(const ImageView& image) {
  if (image.channels != 1 && image.channels != 3) {
    throw ShapeError("write_png", fmt::format("expected 1 or 3 channels, received {}", image.channels));
  }
  const cv::Mat pixels(static_cast<int>(image.size.height), static_cast<int>(image.size.width), CV_8UC(image.channels),
                       const_cast<std::uint8_t*>(image.data), static_cast<std::size_t>(image.stride_bytes));
  std::vector<std::uint8_t> bytes;
  cv::Mat stored;
  if (image.channels == 3) {
    cv::cvtColor(pixels, stored, cv::COLOR_RGB2BGR);
  } else {
    stored = pixels;
  }
  cv::imencode(".png", stored, bytes, {cv::IMWRITE_PNG_COMPRESSION, 6});
  return bytes;
}

[[noreturn]] void fail(const std::filesystem::path& path, int cause) {
  throw SourceError("write_png", "cannot be written: " + std::generic_category().message(cause),
                    {.sample_id = {}, .path = path.string(), .stage = {}});
}

}  // namespace

void write_png(const std::filesystem::path& path, const ImageView& image) {
  std::vector<std::uint8_t> bytes;
  try {
    bytes = encode_png(image);
  } catch (const cv::Exception& error) {
    throw SourceError("write_png", "cannot be encoded: " + error.err,
                      {.sample_id = {}, .path = path.string(), .stage = {}}, std::current_exception());
  }
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) fail(path, errno);
  const bool written = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  const int cause = errno;
  if (std::fclose(file) != 0 || !written) fail(path, written ? errno : cause);
}

}  // namespace muster
