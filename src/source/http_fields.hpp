// What the fields of a response say.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace muster {

/// What Content-Range says, "bytes 0-9/1000" or, with status 416, "bytes */1000".
struct ContentRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;  // ≥ first
  std::optional<std::uint64_t> total;

  static std::optional<ContentRange> parse(std::string_view text) noexcept;
};

}  // namespace muster
