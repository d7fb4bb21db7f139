#include "source/byte_store.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "muster/error.hpp"
#include "muster/http.hpp"
#include "source/file_descriptor.hpp"
#include "source/stop.hpp"

namespace muster {
namespace {

/// A file that stays open. What was read of it is what it held when it was opened, or an error.
class FileStore : public ByteStore {
 public:
  explicit FileStore(const std::filesystem::path& path)
      : path_(without_credentials(path.native())),
        file_(uninterrupted([&] { return ::open(path.c_str(), read_flags); })) {
    if (!file_.is_open() && errno == EMFILE) {
      throw SourceError("open",
                        fmt::format("cannot open {}: each archive needs a file descriptor, and this process may "
                                    "have no more; raise the limit (ulimit -n)",
                                    path_));
    }
    if (!file_.is_open()) fail("open", errno);
    opened_ = status();
    if (!S_ISREG(opened_.st_mode)) {
      throw SourceError("open", fmt::format("expected a regular file, received {} {}",
                                            S_ISDIR(opened_.st_mode) ? "the folder" : "the special file", path_));
    }
  }

  std::uint64_t size() const noexcept override { return static_cast<std::uint64_t>(opened_.st_size); }

  std::string version() const override {
    return fmt::format("{} bytes, changed {}.{:09}", opened_.st_size, opened_.st_mtim.tv_sec, opened_.st_mtim.tv_nsec);
  }

  void read(std::uint64_t offset, std::span<std::uint8_t> into, const std::stop_token& stop) const override {
    constexpr std::size_t chunk_bytes = std::size_t{1} << 20;  // between two looks at `stop`
    const std::uint64_t begin = offset;
    const std::size_t num_bytes = into.size();
    while (!into.empty()) {
      expect_no_stop(stop);
      const ssize_t num_read =
          ::pread(file_.get(), into.data(), std::min(into.size(), chunk_bytes), static_cast<off_t>(offset));
      if (num_read < 0 && errno == EINTR) continue;
      if (num_read < 0) fail("read", errno);
      if (num_read == 0) {
        throw SourceError(
            "read",
            fmt::format("expected {} bytes from byte {} on, but {} ends at byte {}; it was opened with {}", num_bytes,
                        begin, path_, status().st_size, size()),
            {.sample_id = {}, .path = {}, .stage = {}, .byte_offset = begin});
      }
      into = into.subspan(static_cast<std::size_t>(num_read));
      offset += static_cast<std::uint64_t>(num_read);
    }
    const struct stat now = status();
    if (now.st_size != opened_.st_size || now.st_mtim.tv_sec != opened_.st_mtim.tv_sec ||
        now.st_mtim.tv_nsec != opened_.st_mtim.tv_nsec) {
      throw SourceError("read", fmt::format("expected {} as it was opened, but it was changed since", path_),
                        {.sample_id = {}, .path = {}, .stage = {}, .byte_offset = begin});
    }
  }

 private:
  [[noreturn]] void fail(const char* what, int error) const {
    throw SourceError(what, fmt::format("cannot {} {}: {}", what, path_, std::generic_category().message(error)));
  }

  struct stat status() const {
    struct stat status {};
    if (::fstat(file_.get(), &status) != 0) fail("read", errno);
    return status;
  }

  std::string path_;  // as messages show it
  FileDescriptor file_;
  struct stat opened_ {};
};

}  // namespace

std::shared_ptr<const ByteStore> open_file(const std::filesystem::path& path) {
  return std::make_shared<const FileStore>(path);
}

}  // namespace muster
