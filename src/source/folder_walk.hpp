// Walking an image folder: the class folders of a root, the folders below, and the images in them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace muster {

class RootFolder;

/// Changes whenever an entry of the folder is added, removed or renamed.
struct FolderStamp {
  std::uint64_t inode = 0;
  std::int64_t modified_ns = 0;        // since 1970; can be set back
  std::int64_t status_changed_ns = 0;  // cannot

  friend bool operator==(const FolderStamp&, const FolderStamp&) = default;
};

struct WalkedFolder {
  std::string path;  // relative to the root, with '/'
  FolderStamp stamp;
  std::string names = {};                   // of the images in it, sorted by their bytes, one after the other
  std::vector<std::uint16_t> lengths = {};  // of the names
};

struct WalkedLink {
  std::string path;    // relative to the root, with '/'
  std::string target;  // where it led, all links followed; empty: nowhere
  bool is_folder = false;

  friend bool operator==(const WalkedLink&, const WalkedLink&) = default;
};

struct FolderTree {
  std::filesystem::path root;     // absolute and free of links
  std::int64_t walked_at_ns = 0;  // when the walk began
  FolderStamp root_stamp;
  std::uint64_t num_root_images = 0;  // directly in the root, where no class is
  /// In the order of the listing: class after class, each with the folders below it, sorted by the bytes of their
  /// paths. Paths of classes, and only those, are without '/'.
  std::vector<WalkedFolder> folders;
  std::vector<WalkedLink> links;        // all that were met, followed or not
  std::uint64_t num_links_skipped = 0;  // that lead out of the root, nowhere, or in circles
};

/// The root as FolderTree has it. Throws SourceError if there is no such folder.
std::filesystem::path canonical_root(const std::filesystem::path& root);

/// Lists `root` as os.walk(followlinks=True) does, but follows links only inside it. Images are what ends in one of
/// `extensions`, compared without case. Classes are listed by several threads; the result does not show it. Throws
/// SourceError, which calls the root `root_name`, for a folder that cannot be listed, the first in order.
FolderTree walk_folders(const RootFolder& root, const std::filesystem::path& root_name,
                        const std::vector<std::string>& extensions);

/// Throws std::system_error if there is no such folder.
FolderStamp stamp_of(const std::filesystem::path& folder);
/// Where the link at `path` below `root` leads now.
WalkedLink resolve_link(const std::filesystem::path& root, std::string path);

}  // namespace muster
