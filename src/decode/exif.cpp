#include "exif.hpp"

#include "byte_reader.hpp"

namespace muster::codec {
namespace {

constexpr std::uint32_t tag_orientation = 274;

/// The first number of a directory entry; nothing for types that Pillow does not see as a whole number.
std::optional<std::uint32_t> entry_value(const ByteReader& reader, std::size_t entry) noexcept {
  const auto type = reader.u16(entry + 2);
  const auto count = reader.u32(entry + 4);
  if (!type || !count || *count == 0) return std::nullopt;
  const bool is_short = *type == 3 || *type == 8;
  const bool is_long = *type == 4 || *type == 9;
  if (!is_short && !is_long) return std::nullopt;
  const std::uint64_t size = std::uint64_t{*count} * (is_short ? 2 : 4);
  std::size_t offset = entry + 8;
  if (size > 4) {
    const auto pointer = reader.u32(offset);
    if (!pointer || !reader.has(*pointer, size)) return std::nullopt;
    offset = *pointer;
  }
  return is_short ? reader.u16(offset) : reader.u32(offset);
}

}  // namespace

int exif_orientation(Bytes exif) noexcept {
  using namespace std::string_view_literals;
  if (ByteReader(exif, Endian::big).matches(0, "Exif\0\0"sv)) exif = exif.subspan(6);
  const ByteReader header(exif, Endian::big);
  Endian endian = Endian::big;
  // The swapped 42 is invalid, but Pillow takes it.
  if (header.matches(0, "II\x2A\0"sv) || header.matches(0, "II\0\x2A"sv)) {
    endian = Endian::little;
  } else if (!header.matches(0, "MM\0\x2A"sv) && !header.matches(0, "MM\x2A\0"sv)) {
    return 1;
  }
  const ByteReader reader(exif, endian);
  const auto directory = reader.u32(4);
  if (!directory) return 1;
  const auto num_entries = reader.u16(*directory);
  if (!num_entries) return 1;
  int orientation = 1;
  for (std::uint32_t i = 0; i < *num_entries; ++i) {
    const std::size_t entry = std::size_t{*directory} + 2 + std::size_t{12} * i;
    if (!reader.has(entry, 12)) break;
    if (reader.u16(entry) != tag_orientation) continue;
    const auto value = entry_value(reader, entry);
    if (value) orientation = *value >= 1 && *value <= 8 ? static_cast<int>(*value) : 1;
  }
  return orientation;
}

}  // namespace muster::codec
