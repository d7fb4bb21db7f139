#include "folder_tree.hpp"

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <sys/stat.h>

#include <fmt/format.h>

namespace muster::cli {
namespace {

namespace fs = std::filesystem;

/// A link that stays inside the root becomes a link to the same place in a copy.
void list_link(const fs::path& root, const fs::path& path, FolderTree& tree) {
  std::error_code error;
  const fs::path target = fs::canonical(root / path, error);
  if (error) {
    tree.left_out.push_back({path, "a link that leads nowhere"});
  } else if (!is_within(root, target)) {
    tree.left_out.push_back({path, "a link that leads out of the folder"});
  } else {
    tree.entries.push_back({path, target.lexically_relative((root / path).parent_path())});
  }
}

void list_folder(const fs::path& root, const fs::path& folder, const fs::path& except, FolderTree& tree) {
  tree.folders.push_back(folder);
  tree.ids.insert(id_of(root / folder));
  std::vector<fs::path> inner;
  for (const fs::directory_entry& entry : fs::directory_iterator(root / folder)) {
    const fs::path path = folder / entry.path().filename();
    if (path == except) continue;
    if (entry.is_symlink()) {
      list_link(root, path, tree);
    } else if (entry.is_directory()) {
      inner.push_back(path);
    } else if (entry.is_regular_file()) {
      tree.entries.push_back({path, {}});
    } else {
      tree.left_out.push_back({path, "neither a file nor a folder"});
    }
  }
  for (const fs::path& path : inner) list_folder(root, path, except, tree);
}

}  // namespace

FolderId id_of(const fs::path& folder) {
  struct stat status {};
  if (stat(folder.c_str(), &status) != 0) {
    throw std::system_error(errno, std::generic_category(), fmt::format("cannot read {}", folder.string()));
  }
  return {status.st_dev, status.st_ino};
}

bool is_within(const fs::path& folder, const fs::path& path) {
  return std::ranges::mismatch(folder, path).in1 == folder.end();
}

FolderTree list_tree(const fs::path& root, const fs::path& except) {
  FolderTree tree;
  list_folder(root, {}, except, tree);
  std::ranges::sort(tree.entries, {}, &FolderTree::Entry::path);
  std::ranges::sort(tree.left_out, {}, &FolderTree::LeftOut::path);
  return tree;
}

}  // namespace muster::cli
