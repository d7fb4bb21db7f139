// What several test files share: made images, checksums, folders that vanish.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include <unistd.h>

#include "muster/image.hpp"

namespace muster::test {

/// zlib's CRC-32: golden files carry it (Python: zlib.crc32).
inline std::uint32_t crc32(std::span<const std::uint8_t> bytes) {
  std::uint32_t crc = 0xffffffffu;
  for (const std::uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) != 0 ? 0xedb88320u : 0u);
  }
  return ~crc;
}

inline std::uint32_t crc32(const Image& image) { return crc32(std::span(image.data(), image.size_bytes())); }

/// Noise that golden scripts can repeat: byte i is the top byte of the i-th state of
/// s ← s · 1664525 + 1013904223 (mod 2^32), starting from `seed`.
inline Image noise_image(Size size, int channels, std::uint32_t seed) {
  Image image(size, channels);
  std::uint32_t state = seed;
  for (std::size_t i = 0; i < image.size_bytes(); ++i) {
    state = state * 1664525u + 1013904223u;
    image.data()[i] = static_cast<std::uint8_t>(state >> 24);
  }
  return image;
}

/// A folder of its own for one test; removed with everything in it.
class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "muster-test-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::system_error(errno, std::generic_category(), "mkdtemp");
    path_ = pattern;
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline void write_file(const std::filesystem::path& path, std::span<const std::uint8_t> bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!file) throw std::runtime_error("cannot write " + path.string());
}

inline void write_file(const std::filesystem::path& path, const std::string& text) {
  write_file(path, std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
}

inline std::vector<std::uint8_t> read_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

#if defined(MUSTER_GOLDEN_DIR)  // the benchmarks have no use for it
/// tests/golden of the source tree.
inline std::filesystem::path golden_dir() { return MUSTER_GOLDEN_DIR; }
#endif

}  // namespace muster::test
