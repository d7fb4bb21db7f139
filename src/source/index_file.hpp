// Files that keep what was found out once: a line that says what they are, a checksum, and numbers and texts.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace muster {

/// Numbers have 64 bits in the order of the machine (little-endian); a text is its length and its bytes.
class IndexWriter {
 public:
  void number(std::uint64_t value) { bytes_.append(reinterpret_cast<const char*>(&value), sizeof value); }
  void text(std::string_view text) {
    number(text.size());
    bytes_ += text;
  }
  /// Items that consist of numbers, without their count.
  template <class Item>
  void items(const std::vector<Item>& items) {
    static_assert(std::is_trivially_copyable_v<Item> && sizeof(Item) % 8 == 0);
    bytes_.append(reinterpret_cast<const char*>(items.data()), items.size() * sizeof(Item));
  }

  const std::string& bytes() const noexcept { return bytes_; }

 private:
  std::string bytes_;
};

/// What is read is not what was written.
struct DamagedIndex {};

/// Whatever the bytes are, it reads none that are not there and asks for no more memory than there are bytes. All
/// throw DamagedIndex.
class IndexReader {
 public:
  explicit IndexReader(std::string_view bytes) : bytes_(bytes) {}

  static void expect(bool condition) {
    if (!condition) throw DamagedIndex();
  }

  std::uint64_t number() {
    std::uint64_t value = 0;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string_view text() { return take(number()); }
  template <class Item>
  std::vector<Item> items(std::uint64_t count) {
    static_assert(std::is_trivially_copyable_v<Item> && sizeof(Item) % 8 == 0);
    expect(count <= bytes_.size() / sizeof(Item));
    std::vector<Item> items(count);
    const std::string_view bytes = take(count * sizeof(Item));
    if (count > 0) std::memcpy(items.data(), bytes.data(), bytes.size());
    return items;
  }
  void expect_end() const { expect(bytes_.empty()); }

 private:
  std::string_view take(std::uint64_t num_bytes) {
    expect(num_bytes <= bytes_.size());
    const std::string_view taken = bytes_.substr(0, num_bytes);
    bytes_.remove_prefix(num_bytes);
    return taken;
  }

  std::string_view bytes_;
};

/// A file with `magic`, its first line, and a body whose checksum agrees. The line ends in a space and the version.
class IndexFile {
 public:
  /// Nothing unless the file is one. Of a file with another first line no more than that is read.
  static std::optional<IndexFile> read(const std::filesystem::path& path, std::string_view magic,
                                       std::int64_t max_bytes);
  /// Throws SourceError if the file is there, and is neither an index of any version nor the beginning of one: it may
  /// be somebody's, and its name a mistake.
  static void expect_replaceable(const std::filesystem::path& path, std::string_view magic);
  /// Replaces the file in one step: who reads it meanwhile finds the old one or the new one. Throws SourceError: it
  /// cannot be written, or is not replaceable.
  static void write(const std::filesystem::path& path, std::string_view magic, std::string_view body);

  std::string_view body() const noexcept;

 private:
  std::vector<std::uint8_t> bytes_;
  std::size_t body_begin_ = 0;
};

}  // namespace muster
