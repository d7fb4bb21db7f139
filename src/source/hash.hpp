// A hash of content, the same on every machine: tells listings apart, and finds damage. Not for adversaries.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace muster {

/// Hashes a sequence of numbers and texts; where one ends and the next begins counts.
class ContentHash {
 public:
  void add(std::uint64_t number) noexcept {
    // Odd factors and a rotation: every bit of what came before and of `number` reaches all of the state.
    state_ = std::rotl((state_ ^ number) * 0x9e3779b97f4a7c15u, 29) * 0xd1342543de82ef95u;
  }

  void add(std::string_view text) noexcept {
    add(std::uint64_t{text.size()});
    while (!text.empty()) {
      std::uint64_t word = 0;  // little-endian on every machine that muster runs on
      const std::size_t num_bytes = text.size() < sizeof word ? text.size() : sizeof word;
      std::memcpy(&word, text.data(), num_bytes);
      add(word);
      text.remove_prefix(num_bytes);
    }
  }

  std::uint64_t value() const noexcept {
    std::uint64_t value = state_ ^ state_ >> 32;
    value *= 0x9e3779b97f4a7c15u;
    return value ^ value >> 29;
  }

 private:
  std::uint64_t state_ = 0x243f6a8885a308d3u;
};

}  // namespace muster
