// What lies in a folder and in those below it: all that a copy of it needs.
#pragma once

#include <filesystem>
#include <set>
#include <utility>
#include <vector>

#include <sys/types.h>

namespace muster::cli {

/// A folder, whatever it is called.
using FolderId = std::pair<dev_t, ino_t>;

/// Throws std::system_error naming the folder.
FolderId id_of(const std::filesystem::path& folder);

/// True if `path` is `folder` or lies in it; both are canonical.
bool is_within(const std::filesystem::path& folder, const std::filesystem::path& path);

struct FolderTree {
  /// A file, or a link that stays inside the root.
  struct Entry {
    std::filesystem::path path;         // relative to the root
    std::filesystem::path link_target;  // of a link: relative to the folder it lies in
  };
  struct LeftOut {
    std::filesystem::path path;
    const char* reason;
  };

  std::vector<std::filesystem::path> folders;  // relative to the root; each behind the one it lies in
  std::vector<Entry> entries;                  // sorted
  std::vector<LeftOut> left_out;               // sorted
  std::set<FolderId> ids;                      // of the root and all folders in it
};

/// Links are not followed; what is called `except` in the root itself is passed over. `root` is canonical.
FolderTree list_tree(const std::filesystem::path& root, const std::filesystem::path& except);

}  // namespace muster::cli
