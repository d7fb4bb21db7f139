#include "source/root_folder.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

#include <algorithm>
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
FileDescriptor open_beneath(const FileDescriptor& folder, const fs::path& relative, int flags) {
  struct open_how how {};
  how.flags = static_cast<std::uint64_t>(flags);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  // The C library has no function for it.
  return FileDescriptor(static_cast<int>(
      uninterrupted([&] { return ::syscall(SYS_openat2, folder.get(), relative.c_str(), &how, sizeof how); })));
}

/// True where the kernel's refusal says nothing about the file: a link that is absolute or leads out (EXDEV), a folder
/// renamed meanwhile (EAGAIN), a kernel before 5.6 (ENOSYS), or a sandbox that forbids the call (EPERM).
bool may_lie_inside(int error) { return error == EXDEV || error == EAGAIN || error == ENOSYS || error == EPERM; }

}  // namespace

bool is_within(const fs::path& canonical_root, const fs::path& canonical) {
  return std::mismatch(canonical_root.begin(), canonical_root.end(), canonical.begin(), canonical.end()).first ==
         canonical_root.end();
}

RootFolder::RootFolder(fs::path path, std::string name, std::string advice)
    : path_(std::move(path)),
      name_(std::move(name)),
      advice_(std::move(advice)),
      folder_(uninterrupted([&] { return ::open(path_.c_str(), folder_flags); })) {
  if (!folder_.is_open()) refuse_file(path_, errno);
}

FileDescriptor RootFolder::open(const fs::path& relative) const try {
  return open_inside(relative, read_flags);
} catch (const std::system_error& error) {
  refuse_file(path_ / relative, error.code().value());
}

FileDescriptor RootFolder::open_folder(const fs::path& relative) const {
  return open_inside(relative, read_flags | O_DIRECTORY);
}

FileDescriptor RootFolder::open_inside(const fs::path& relative, int flags) const {
  FileDescriptor file = open_beneath(folder_, relative, flags);
  if (file.is_open()) return file;
  if (!may_lie_inside(errno)) throw std::system_error(errno, std::generic_category());
  const fs::path path = path_ / relative;
  const fs::path canonical = fs::canonical(path);
  if (!is_within(path_, canonical)) {
    throw SourceError("read", fmt::format("expected what lies inside {}, received {}, which a link leads to {}; {}",
                                          name_, path.native(), canonical.native(), advice_));
  }
  return open_step_by_step(canonical.lexically_relative(path_), flags);
}

/// `relative` is free of "..". Follows no link, so that none that was planted meanwhile leads out.
FileDescriptor RootFolder::open_step_by_step(const fs::path& relative, int flags) const {
  FileDescriptor folder;
  for (auto step = relative.begin(); step != relative.end(); ++step) {
    const int step_flags = std::next(step) == relative.end() ? flags : folder_flags;
    const int parent = folder.is_open() ? folder.get() : folder_.get();
    FileDescriptor next(uninterrupted([&] { return ::openat(parent, step->c_str(), step_flags | O_NOFOLLOW); }));
    if (!next.is_open()) throw std::system_error(errno, std::generic_category());
    folder = std::move(next);
  }
  return folder;
}

}  // namespace muster
