// The README shows code that is compiled and run.
#include <doctest/doctest.h>

#include <string>

#include "support.hpp"

namespace muster {
namespace {

std::string text_of(const std::string& path) {
  const auto bytes = test::read_bytes(std::filesystem::path(MUSTER_SOURCE_DIR) / path);
  return {bytes.begin(), bytes.end()};
}

/// What stands between the first `begin` and the next `end`; fails the test when there is no such thing.
std::string between(const std::string& text, const std::string& begin, const std::string& end) {
  const std::size_t from = text.find(begin);
  REQUIRE(from != std::string::npos);
  const std::size_t to = text.find(end, from + begin.size());
  REQUIRE(to != std::string::npos);
  return text.substr(from + begin.size(), to - from - begin.size());
}

TEST_CASE("readme: the quick start is the sample that runs as a test") {
  const std::string shown = between(text_of("README.md"), "```cpp\n", "```\n");
  const std::string run = between(text_of("samples/quickstart.cpp"), "// [quickstart]\n", "// [/quickstart]\n");
  CHECK(shown == run);
}

}  // namespace
}  // namespace muster
