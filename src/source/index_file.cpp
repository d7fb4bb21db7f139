#include "source/index_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <system_error>
#include <utility>

#include "muster/error.hpp"
#include "source/hash.hpp"
#include "source/read_file.hpp"

namespace muster {
namespace {

namespace fs = std::filesystem;

std::uint64_t checksum_of(std::string_view body) {
  ContentHash hash;
  hash.add(body);
  return hash.value();
}

/// The first bytes of a file, at most `num_bytes`: none if there is no file. Nothing if it is no regular one. Throws
/// SourceError.
std::optional<std::string> beginning_of(const fs::path& path, std::size_t num_bytes) {
  const FileDescriptor file(uninterrupted([&] { return ::open(path.c_str(), read_flags); }));
  if (!file.is_open() && errno == ENOENT) return std::string();
  if (!file.is_open()) refuse_file(path, errno);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) refuse_file(path, errno);
  if (!S_ISREG(status.st_mode)) return std::nullopt;
  std::string begin(num_bytes, '\0');
  const ssize_t num_read = uninterrupted([&] { return ::pread(file.get(), begin.data(), begin.size(), 0); });
  if (num_read < 0) refuse_file(path, errno);
  begin.resize(static_cast<std::size_t>(num_read));
  return begin;
}

/// A file that is removed unless it is renamed. All throw std::system_error.
class TemporaryFile {
 public:
  explicit TemporaryFile(fs::path path)
      : path_(std::move(path)), file_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) {
    if (!file_.is_open()) fail();
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }

  void write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t num_written = uninterrupted([&] { return ::write(file_.get(), bytes.data(), bytes.size()); });
      if (num_written < 0) fail();
      bytes.remove_prefix(static_cast<std::size_t>(num_written));
    }
  }
  void close() {
    if (::close(file_.release()) != 0) fail();  // storage may notice only now that it is full
  }
  void rename(const fs::path& path) {
    fs::rename(path_, path);
    path_.clear();
  }

 private:
  [[noreturn]] static void fail() { throw std::system_error(errno, std::generic_category()); }

  fs::path path_;
  FileDescriptor file_;
};

}  // namespace

std::optional<IndexFile> IndexFile::read(const fs::path& path, std::string_view magic, std::int64_t max_bytes) {
  IndexFile file;
  try {
    const FileDescriptor opened = open_to_read(path);
    std::string begin(magic.size(), '\0');
    const ssize_t num_read = uninterrupted([&] { return ::pread(opened.get(), begin.data(), begin.size(), 0); });
    if (!std::cmp_equal(num_read, begin.size()) || begin != magic) return std::nullopt;
    read_file(opened, path, file.bytes_, max_bytes);
  } catch (const SourceError&) {
    return std::nullopt;
  }
  const std::string_view bytes(reinterpret_cast<const char*>(file.bytes_.data()), file.bytes_.size());
  std::uint64_t checksum = 0;
  file.body_begin_ = magic.size() + sizeof checksum;
  if (bytes.size() < file.body_begin_ || !bytes.starts_with(magic)) return std::nullopt;
  std::memcpy(&checksum, bytes.data() + magic.size(), sizeof checksum);
  if (checksum != checksum_of(file.body())) return std::nullopt;
  return file;
}

void IndexFile::expect_replaceable(const fs::path& path, std::string_view magic) {
  const std::optional<std::string> begin = beginning_of(path, magic.size());
  const std::string_view any_version = magic.substr(0, magic.rfind(' ') + 1);
  const bool is_index = begin && (magic.starts_with(*begin) || begin->starts_with(any_version));  // it may be cut off
  if (!is_index) {
    throw SourceError("index",
                      fmt::format("expected an index of muster's, or no file yet, received {}, which is something "
                                  "else, or whose first line is damaged; move it away",
                                  path.native()));
  }
}

void IndexFile::write(const fs::path& path, std::string_view magic, std::string_view body) {
  expect_replaceable(path, magic);
  const std::uint64_t checksum = checksum_of(body);
  std::random_device random;  // a name that nobody else uses at the same time
  fs::path temporary = path;
  temporary += fmt::format(".{:08x}{:08x}.tmp", random(), random());
  try {
    TemporaryFile file(temporary);
    file.write(magic);
    file.write({reinterpret_cast<const char*>(&checksum), sizeof checksum});
    file.write(body);
    file.close();
    file.rename(path);
  } catch (const std::system_error& error) {
    throw SourceError("index", fmt::format("cannot write {}: {}", path.native(), error.code().message()));
  }
}

std::string_view IndexFile::body() const noexcept {
  return {reinterpret_cast<const char*>(bytes_.data()) + body_begin_, bytes_.size() - body_begin_};
}

}  // namespace muster
