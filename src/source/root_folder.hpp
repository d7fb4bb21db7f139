// A folder out of which nothing is read.
#pragma once

#include <filesystem>
#include <string>

#include "source/file_descriptor.hpp"

namespace muster {

/// True if `canonical` is `canonical_root` or lies in it. Both are absolute and free of links, "." and "..".
bool is_within(const std::filesystem::path& canonical_root, const std::filesystem::path& canonical);

/// Opens what lies beneath a folder. Links are followed only to places inside, and what counts is where they lead at
/// that moment: neither a list that lies nor a link that is planted later leads out. Keeps the folder open.
/// Thread-safe.
class RootFolder {
 public:
  /// `path` is canonical. Messages call the folder `name`, and say `advice` where a link leads out of it. Throws
  /// SourceError: it cannot be opened.
  RootFolder(std::filesystem::path path, std::string name, std::string advice);

  const std::filesystem::path& path() const noexcept { return path_; }

  /// Opens the file at `relative` to be read. Throws SourceError: it cannot be, or lies outside.
  FileDescriptor open(const std::filesystem::path& relative) const;
  /// Opens the folder at `relative` to be listed; "." is this one. Throws std::system_error: it cannot be; SourceError:
  /// it lies outside.
  FileDescriptor open_folder(const std::filesystem::path& relative) const;

 private:
  FileDescriptor open_inside(const std::filesystem::path& relative, int flags) const;
  FileDescriptor open_step_by_step(const std::filesystem::path& relative, int flags) const;

  std::filesystem::path path_;
  std::string name_;
  std::string advice_;
  FileDescriptor folder_;
};

}  // namespace muster
