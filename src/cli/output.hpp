// Results: standard output, and files that are there as a whole or not at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "muster/image.hpp"
#include "muster/tensor.hpp"

namespace muster::cli {

/// `text` for a terminal: control characters other than line ends and tabs, which names of files may hold, become '?'.
std::string visible(std::string_view text);

/// Writes to standard output at once, visible(); throws std::system_error when that fails (a full disk).
void print(std::string_view text);

/// Writes "muster: TEXT" to standard error, visible().
void tell(const std::string& text);

/// Bytes that are no UTF-8 become U+FFFD, as in JSON.
std::string as_utf8(const std::string& bytes);

/// One line; bytes that are no UTF-8 become U+FFFD.
std::string to_line(const nlohmann::ordered_json& json);

/// [height, width]
nlohmann::ordered_json as_json(Size size);
/// [64, 3, 224, 224]
nlohmann::ordered_json as_json(const Shape& shape);

/// Beside `path`, PATH.PID.RANDOM.tmp: a name that nobody can guess, and from which the process can be told.
std::filesystem::path temporary_path(const std::filesystem::path& path);
/// True for such a name of a process that has ended: it was killed before it could remove the file.
bool is_left_behind(const std::filesystem::path& path);

/// Takes the name of `path` only when commit() is called; until then the content grows under a temporary name
/// beside it, which the destructor removes. What is no regular file (a device, a pipe) is written directly.
/// Errors are std::system_error and name the path.
class OutputFile {
 public:
  explicit OutputFile(std::filesystem::path path);
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile();

  void write(std::string_view text);
  void write(std::span<const std::byte> bytes);
  /// Waits until all is on the disk, and not only on its way there. For files alone.
  void sync();
  void commit();

  /// Where the content grows: for functions that write a file themselves.
  const std::filesystem::path& written_path() const noexcept { return written_path_; }

 private:
  [[noreturn]] void fail() const;

  std::filesystem::path path_;
  std::filesystem::path written_path_;
  int file_ = -1;
};

/// A file of this text alone, there as a whole or not at all. Errors as OutputFile's.
void write_whole(const std::filesystem::path& path, std::string_view text);

/// A file that grows while a command runs, so that what was written survives the command's end, however it comes.
/// Errors are std::system_error and name the path.
class GrowingFile {
 public:
  /// Keeps the first `num_bytes` of a file that has at least so many, and forgets the rest. What
  /// is no regular file (a device, a pipe) is only written to.
  explicit GrowingFile(std::filesystem::path path, std::uint64_t num_bytes = 0);
  GrowingFile(const GrowingFile&) = delete;
  GrowingFile& operator=(const GrowingFile&) = delete;
  ~GrowingFile();

  /// All of it, or nothing: what a full disk cuts is taken back.
  void write(std::string_view text);
  /// As OutputFile::sync().
  void sync();
  std::uint64_t num_bytes() const noexcept { return num_bytes_; }

 private:
  std::filesystem::path path_;
  int file_ = -1;
  bool is_regular_ = false;
  std::uint64_t num_bytes_;
};

}  // namespace muster::cli
