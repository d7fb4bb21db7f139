#include "output.hpp"

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <random>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace muster::cli {
namespace {

/// False, with errno set, if not all could be written.
bool write_all(int file, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return true;
}

[[noreturn]] void fail_to_write(const std::filesystem::path& path) {
  const int cause = errno;  // before the message is made, which may set it
  throw std::system_error(cause, std::generic_category(), fmt::format("cannot write {}", path.string()));
}

}  // namespace

std::string visible(std::string_view text) {
  std::string shown(text);
  for (std::size_t i = 0; i < shown.size(); ++i) {
    const auto byte = static_cast<unsigned char>(shown[i]);
    if ((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f) shown[i] = '?';
    // U+0080 to U+009F, in UTF-8
    const auto next = i + 1 < shown.size() ? static_cast<unsigned char>(shown[i + 1]) : 0;
    if (byte == 0xc2 && next >= 0x80 && next < 0xa0) shown.replace(i, 2, "?");
  }
  return shown;
}

void print(std::string_view text) {
  const std::string shown = visible(text);
  if (std::fwrite(shown.data(), 1, shown.size(), stdout) != shown.size() || std::fflush(stdout) != 0) {
    const int cause = errno;
    throw std::system_error(cause, std::generic_category(), "cannot write to standard output");
  }
}

void tell(const std::string& text) { std::fputs(fmt::format("muster: {}\n", visible(text)).c_str(), stderr); }

std::string as_utf8(const std::string& bytes) {
  using Json = nlohmann::ordered_json;
  return Json::parse(Json(bytes).dump(-1, ' ', false, Json::error_handler_t::replace)).get<std::string>();
}

std::string to_line(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n';
}

nlohmann::ordered_json as_json(Size size) { return {size.height, size.width}; }

nlohmann::ordered_json as_json(const Shape& shape) { return std::vector<std::int64_t>(shape.begin(), shape.end()); }

std::filesystem::path temporary_path(const std::filesystem::path& path) {
  std::random_device random;
  return fmt::format("{}.{}.{:08x}{:08x}.tmp", path.string(), getpid(), random(), random());
}

bool is_left_behind(const std::filesystem::path& path) {
  const std::filesystem::path name = path.filename();
  const std::string random = name.stem().extension().string();
  const std::string pid = name.stem().stem().extension().string();
  const bool is_random = random.size() == 17 && random.find_first_not_of("0123456789abcdef", 1) == std::string::npos;
  if (name.extension() != ".tmp" || !is_random || pid.size() < 2) return false;
  pid_t process = 0;
  const auto [end, error] = std::from_chars(pid.data() + 1, pid.data() + pid.size(), process);
  if (error != std::errc{} || end != pid.data() + pid.size() || process <= 0) return false;
  return kill(process, 0) != 0 && errno == ESRCH;
}

OutputFile::OutputFile(std::filesystem::path path) : path_(std::move(path)) {
  const bool exists = std::filesystem::exists(path_);
  const bool in_place = exists && !std::filesystem::is_regular_file(path_);
  if (exists && !in_place) path_ = std::filesystem::canonical(path_);
  written_path_ = in_place ? path_ : temporary_path(path_);
  // A new file, not one that somebody else has put, or linked, there.
  const int how = in_place ? O_TRUNC : O_CREAT | O_EXCL | O_NOFOLLOW;
  file_ = open(written_path_.c_str(), O_WRONLY | O_CLOEXEC | how, 0666);
  if (file_ < 0) fail();
}

OutputFile::~OutputFile() {
  if (file_ < 0) return;
  close(file_);
  if (written_path_ != path_) unlink(written_path_.c_str());
}

void OutputFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void OutputFile::write(std::span<const std::byte> bytes) {
  if (!write_all(file_, bytes)) fail();
}

void OutputFile::sync() {
  if (written_path_ != path_ && fsync(file_) != 0) fail();
}

void OutputFile::commit() {
  const int file = std::exchange(file_, -1);
  const bool closed = close(file) == 0;
  if (written_path_ == path_) {
    if (!closed) fail();
  } else if (!closed || rename(written_path_.c_str(), path_.c_str()) != 0) {
    const int cause = errno;
    unlink(written_path_.c_str());
    errno = cause;
    fail();
  }
}

void OutputFile::fail() const { fail_to_write(path_); }

void write_whole(const std::filesystem::path& path, std::string_view text) {
  OutputFile file(path);
  file.write(text);
  file.commit();
}

GrowingFile::GrowingFile(std::filesystem::path path, std::uint64_t num_bytes)
    : path_(std::move(path)), num_bytes_(num_bytes) {
  file_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (file_ < 0) fail_to_write(path_);
  const auto length = static_cast<off_t>(num_bytes);
  struct stat status {};
  is_regular_ = fstat(file_, &status) == 0 && S_ISREG(status.st_mode);
  if (!is_regular_) return;
  if (ftruncate(file_, length) == 0 && lseek(file_, length, SEEK_SET) == length) return;
  const int cause = errno;
  close(file_);
  errno = cause;
  fail_to_write(path_);
}

GrowingFile::~GrowingFile() { close(file_); }

void GrowingFile::write(std::string_view text) {
  if (!write_all(file_, std::as_bytes(std::span(text)))) {
    const int cause = errno;
    // Where even that fails, part of a line stays: the error is told either way.
    [[maybe_unused]] const bool is_whole = is_regular_ && ftruncate(file_, static_cast<off_t>(num_bytes_)) == 0;
    errno = cause;
    fail_to_write(path_);
  }
  num_bytes_ += text.size();
}

void GrowingFile::sync() {
  if (is_regular_ && fsync(file_) != 0) fail_to_write(path_);
}

}  // namespace muster::cli
