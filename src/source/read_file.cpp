#include "source/read_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>
#include <system_error>

#include "muster/files.hpp"
#include "source/stop.hpp"

namespace muster {
namespace {

[[noreturn]] void refuse_size(const std::filesystem::path& path, std::int64_t num_bytes, std::int64_t max_bytes) {
  throw SourceError("read", fmt::format("expected at most {} bytes, received {} in {}", max_bytes, num_bytes,
                                        without_credentials(path.native())));
}

/// `sample`, which may be null, is told the length first.
void read_into(std::vector<std::uint8_t>& bytes, const FileDescriptor& file, const std::filesystem::path& path,
               std::int64_t max_bytes, const std::stop_token& stop, Sample* sample) {
  bytes.clear();
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) refuse_file(path, errno);
  if (!S_ISREG(status.st_mode)) {
    throw SourceError("read", fmt::format("expected a regular file, received {} {}",
                                          S_ISDIR(status.st_mode) ? "the folder" : "the special file",
                                          without_credentials(path.native())));
  }
  if (status.st_size > max_bytes) refuse_size(path, status.st_size, max_bytes);
  if (sample != nullptr) sample->expect_bytes(static_cast<std::uint64_t>(status.st_size));

  const auto read_some = [&](std::span<std::uint8_t> into) {
    expect_no_stop(stop);
    const ssize_t num_read = uninterrupted([&] { return ::read(file.get(), into.data(), into.size()); });
    if (num_read < 0) refuse_file(path, errno);
    return static_cast<std::size_t>(num_read);
  };

  // The size is what the file had when it was opened; what counts is where reading meets the end.
  constexpr std::size_t chunk_bytes = std::size_t{1} << 20;
  bytes.resize(static_cast<std::size_t>(status.st_size));
  std::size_t num_bytes = 0;
  while (num_bytes < bytes.size()) {
    const std::size_t num_read =
        read_some(std::span(bytes).subspan(num_bytes, std::min(chunk_bytes, bytes.size() - num_bytes)));
    if (num_read == 0) {  // it became shorter
      bytes.resize(num_bytes);
      return;
    }
    num_bytes += num_read;
  }
  std::array<std::uint8_t, 4096> more;
  while (const std::size_t num_read = read_some(more)) {  // it became longer
    bytes.insert(bytes.end(), more.data(), more.data() + num_read);
    if (static_cast<std::int64_t>(bytes.size()) > max_bytes) {
      refuse_size(path, static_cast<std::int64_t>(bytes.size()), max_bytes);
    }
  }
}

}  // namespace

FileDescriptor open_to_read(const std::filesystem::path& path) {
  FileDescriptor file(uninterrupted([&] { return ::open(path.c_str(), read_flags); }));
  if (!file.is_open()) refuse_file(path, errno);
  return file;
}

void refuse_file(const std::filesystem::path& path, int error) {
  throw SourceError("read", fmt::format("cannot read {}: {}", without_credentials(path.native()),
                                        std::generic_category().message(error)));
}

void read_file(const FileDescriptor& file, const std::filesystem::path& path, std::vector<std::uint8_t>& bytes,
               std::int64_t max_bytes) {
  read_into(bytes, file, path, max_bytes, {}, nullptr);
}

void read_file(const FileDescriptor& file, const std::filesystem::path& path, Sample& sample, std::int64_t max_bytes,
               const std::stop_token& stop) {
  read_into(sample.bytes, file, path, max_bytes, stop, &sample);
}

void read_file(const std::filesystem::path& path, std::vector<std::uint8_t>& bytes, std::int64_t max_bytes) {
  read_file(open_to_read(path), path, bytes, max_bytes);
}

}  // namespace muster
