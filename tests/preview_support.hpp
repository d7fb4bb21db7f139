// What the tests of previews share: samples, and finding pictures in pages and on sheets again.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "muster/muster.hpp"

namespace muster::test {

inline std::vector<std::uint8_t> from_base64(std::string_view text) {
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::vector<std::uint8_t> bytes;
  std::uint32_t bits = 0;
  int num_bits = 0;
  for (const char c : text) {
    if (c == '=') break;
    const std::size_t value = letters.find(c);
    REQUIRE(value != std::string_view::npos);
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    num_bits += 6;
    if (num_bits < 8) continue;
    num_bits -= 8;
    bytes.push_back(static_cast<std::uint8_t>(bits >> num_bits & 0xff));
  }
  return bytes;
}

/// The pictures of a page's variants, in order.
inline std::vector<Image> variants_of(const std::string& page) {
  std::vector<Image> images;
  constexpr std::string_view begin = "src=\"data:image/png;base64,";
  for (std::size_t at = page.find("<button"); at != std::string::npos; at = page.find("<button", at + 1)) {
    const std::size_t first = page.find(begin, at) + begin.size();
    const std::size_t end = page.find('"', first);
    images.push_back(decode(from_base64(std::string_view(page).substr(first, end - first))));
  }
  return images;
}

inline std::size_t count_of(std::string_view text, std::string_view part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

/// The page asks for nothing that is not in it.
inline void check_self_contained(const std::string& page) {
  for (const char* reference :
       {"http:", "https:", "//cdn", "url(", "@import", "<link", "<iframe", "<object", "href="}) {
    CAPTURE(reference);
    CHECK(count_of(page, reference) == 0);
  }
  CHECK(count_of(page, "src=\"") == count_of(page, "src=\"data:"));
  CHECK(count_of(page, "<img") == count_of(page, "src=\"data:"));
  CHECK(count_of(page, "default-src 'none'") == 1);
}

/// So that it cannot be decoded.
inline void break_sample(Sample& sample) {
  sample.image = nullptr;
  sample.bytes = {'n', 'o', ' ', 'i', 'm', 'a', 'g', 'e'};
}

/// Row `row` of an epoch as uint8 pixels, by the loader.
inline Image pixels_of(const Loader& loader, std::uint64_t epoch, std::uint64_t row) {
  LoaderOptions options = loader.options();
  options.dtype = DType::uint8;
  options.layout = Layout::nhwc;
  const std::shared_ptr<const Source> source(std::shared_ptr<const Source>{}, &loader.source());
  options.shuffle = false;  // the order says it
  options.exclude = {};     // and this
  const Loader bytes(source, loader.pipeline(), options);
  const Batch batch = bytes.sample(epoch, row);
  const Size size = loader.pipeline().output_size();
  const int channels = loader.pipeline().num_channels();
  return Image({reinterpret_cast<const std::uint8_t*>(batch.images.data()), size, channels, size.width * channels});
}

}  // namespace muster::test
