#include "source/root_folder.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "muster/error.hpp"
#include "source/read_file.hpp"

namespace muster {
namespace {

namespace fs = std::filesystem;

constexpr int folder_flags = O_PATH | O_DIRECTORY | O_CLOEXEC;

/// The kernel follows links only to places beneath `folder`, none of them absolute.
FileDescriptor open_beneath(const FileDescriptor& folder, const fs::path& relative) {
  struct open_how how {};
  how.flags = static_cast<std::uint64_t>(read_flags);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  // The C library has no function for it.
  return FileDescriptor(static_cast<int>(
      uninterrupted([&] { return ::syscall(SYS_openat2, folder.get(), relative.c_str(), &how, sizeof how); })));
}

/// True where the kernel's refusal says nothing about the file: a link that is absolute or leads out (EXDEV), a folder
/// renamed meanwhile (EAGAIN), a kernel before 5.6 (ENOSYS), or a sandbox that forbids the call (EPERM).
bool may_lie_inside(int error) { return error == EXDEV || error == EAGAIN || error == ENOSYS || error == EPERM; }

}  // namespace

RootFolder::RootFolder(fs::path path, std::string name, std::string advice)
    : path_(std::move(path)),
      name_(std::move(name)),
      advice_(std::move(advice)),
      folder_(uninterrupted([&] { return ::open(path_.c_str(), folder_flags); })) {
  if (!folder_.is_open()) refuse_file(path_, errno);
}

FileDescriptor RootFolder::open(const fs::path& relative) const {
  FileDescriptor file = open_beneath(folder_, relative);
  if (file.is_open()) return file;
  const int reason = errno;  // before what follows sets it
  const fs::path path = path_ / relative;
  if (!may_lie_inside(reason)) refuse_file(path, reason);
  std::error_code error;
  const fs::path canonical = fs::canonical(path, error);
  if (error) refuse_file(path, error.value());
  if (!is_within(path_, canonical)) {
    throw SourceError("read", fmt::format("expected a file inside {}, received {}, which a link leads to {}; {}", name_,
                                          path.native(), canonical.native(), advice_));
  }
  return open_step_by_step(canonical.lexically_relative(path_));
}

/// `relative` is free of "..". Follows no link, so that none that was planted meanwhile leads out.
FileDescriptor RootFolder::open_step_by_step(const fs::path& relative) const {
  FileDescriptor folder;
  for (auto step = relative.begin(); step != relative.end(); ++step) {
    const int flags = std::next(step) == relative.end() ? read_flags : folder_flags;
    const int parent = folder.is_open() ? folder.get() : folder_.get();
    FileDescriptor next(uninterrupted([&] { return ::openat(parent, step->c_str(), flags | O_NOFOLLOW); }));
    if (!next.is_open()) {
      const int reason = errno;
      refuse_file(path_ / relative, reason);
    }
    folder = std::move(next);
  }
  return folder;
}

}  // namespace muster
