// A folder out of which nothing is read.
#pragma once

#include <filesystem>
#include <string>

#include "source/file_descriptor.hpp"

namespace muster {

/// Opens files beneath a folder. Links are followed only to places inside, and what counts is where they lead at that
/// moment: neither a list that lies nor a link that is planted later leads out. Keeps the folder open. Thread-safe.
class RootFolder {
 public:
  /// `path` is canonical. Messages call the folder `name`, and say `advice` where a link leads out of it. Throws
  /// SourceError: it cannot be opened.
  RootFolder(std::filesystem::path path, std::string name, std::string advice);

  const std::filesystem::path& path() const noexcept { return path_; }

  /// Opens the file at `relative` to be read. Throws SourceError: it cannot be, or lies outside.
  FileDescriptor open(const std::filesystem::path& relative) const;

 private:
  FileDescriptor open_step_by_step(const std::filesystem::path& relative) const;

  std::filesystem::path path_;
  std::string name_;
  std::string advice_;
  FileDescriptor folder_;
};

}  // namespace muster
