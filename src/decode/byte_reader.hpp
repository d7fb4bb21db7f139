// Bounds-checked numbers out of encoded bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "muster/decode.hpp"

namespace muster::codec {

enum class Endian : std::uint8_t { little, big };

/// Reads at absolute offsets; nothing where the number does not fit into the bytes.
class ByteReader {
 public:
  constexpr ByteReader(Bytes bytes, Endian endian) noexcept : bytes_(bytes), endian_(endian) {}

  std::size_t size() const noexcept { return bytes_.size(); }
  bool has(std::size_t offset, std::size_t count) const noexcept {
    return offset <= bytes_.size() && count <= bytes_.size() - offset;
  }
  std::optional<std::uint32_t> u8(std::size_t offset) const noexcept { return number(offset, 1); }
  std::optional<std::uint32_t> u16(std::size_t offset) const noexcept { return number(offset, 2); }
  std::optional<std::uint32_t> u32(std::size_t offset) const noexcept { return number(offset, 4); }

  /// True if these very characters stand at the offset.
  bool matches(std::size_t offset, std::string_view text) const noexcept {
    if (!has(offset, text.size())) return false;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (bytes_[offset + i] != static_cast<std::uint8_t>(text[i])) return false;
    }
    return true;
  }
  /// The bytes [offset, offset + count), cut at the end of the data.
  Bytes slice(std::size_t offset, std::size_t count) const noexcept {
    if (offset >= bytes_.size()) return {};
    return bytes_.subspan(offset, count < bytes_.size() - offset ? count : bytes_.size() - offset);
  }

 private:
  std::optional<std::uint32_t> number(std::size_t offset, std::size_t count) const noexcept {
    if (!has(offset, count)) return std::nullopt;
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t at = endian_ == Endian::big ? offset + i : offset + count - 1 - i;
      value = value << 8 | bytes_[at];
    }
    return value;
  }

  Bytes bytes_;
  Endian endian_;
};

}  // namespace muster::codec
