// What the fuzz targets share. A target is one file with LLVMFuzzerTestOneInput: linked with libFuzzer it is fuzzed,
// with replay.cpp it runs over files, as CTest does with the seeds and with everything that was ever found.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <span>
#include <string_view>

#include "muster/decode.hpp"
#include "muster/error.hpp"
#include "support.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace muster::fuzz {

/// Ends the process, for the fuzzer to see, unless `holds`.
inline void claim(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz: does not hold: %s\n", what);
  std::abort();
}

/// Runs `work`; true unless it throws one of muster's errors. Whatever else it throws is a fault of muster.
template <class Work>
bool accepts(Work&& work) {
  try {
    work();
    return true;
  } catch (const Error& error) {
    claim(!std::string_view(error.what()).empty(), "an error says what is wrong");
    return false;
  }
}

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// The input as a file of this name, in a folder of this process.
inline std::filesystem::path file_of(const char* name, const std::uint8_t* data, std::size_t size) {
  static const test::TempDir folder;
  const auto path = folder.path() / name;
  test::write_file(path, std::span(data, size));
  return path;
}

/// So small that a large picture costs no more than a fraction of a second.
inline constexpr DecodeLimits limits{.max_pixels = 1 << 20, .max_bytes = 1 << 20};

/// A window of the picture that the input itself decides: the same for the same bytes.
inline Rect window_of(Bytes bytes, Size size) {
  const std::uint32_t sum = test::crc32(bytes);
  const auto part = [&](std::int64_t length, std::uint32_t draw) {
    return 1 + static_cast<std::int64_t>(draw) % length;
  };
  const std::int64_t height = part(size.height, sum & 0xff);
  const std::int64_t width = part(size.width, (sum >> 8) & 0xff);
  return {part(size.height - height + 1, (sum >> 16) & 0xff) - 1, part(size.width - width + 1, sum >> 24) - 1, height,
          width};
}

}  // namespace muster::fuzz
