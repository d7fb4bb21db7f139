#include "source/folder_walk.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <iterator>
#include <memory>
#include <system_error>
#include <unordered_map>

#include "muster/error.hpp"
#include "source/in_parallel.hpp"
#include "source/root_folder.hpp"
#include "source/text.hpp"
#include "source/url.hpp"

namespace muster {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& message) { throw SourceError("image folder", message); }

bool ends_with_any(std::string_view name, const std::vector<std::string>& extensions) {
  return std::any_of(extensions.begin(), extensions.end(), [&](std::string_view extension) {
    return name.size() >= extension.size() &&
           std::equal(extension.rbegin(), extension.rend(), name.rbegin(),
                      [](char a, char b) { return lower_ascii(a) == lower_ascii(b); });
  });
}

FolderStamp stamp_from(const struct stat& status) {
  const auto nanoseconds = [](const timespec& time) {
    constexpr std::int64_t max_seconds = 9'000'000'000;  // the year 2255; damaged file systems have others
    return std::clamp(std::int64_t{time.tv_sec}, -max_seconds, max_seconds) * 1'000'000'000 + time.tv_nsec;
  };
  return {.inode = status.st_ino,
          .modified_ns = nanoseconds(status.st_mtim),
          .status_changed_ns = nanoseconds(status.st_ctim)};
}

/// An open folder. Throws std::system_error.
class Directory {
 public:
  explicit Directory(FileDescriptor folder) : stream_(::fdopendir(folder.get())) {
    if (!stream_) fail();
    folder.release();
  }

  FolderStamp stamp() const {
    struct stat status {};
    if (::fstat(::dirfd(stream_.get()), &status) != 0) fail();
    return stamp_from(status);
  }

  /// The next entry but "." and "..", or null at the end.
  const dirent* next() {
    while (true) {
      errno = 0;
      const dirent* const entry = ::readdir(stream_.get());
      if (entry == nullptr && errno != 0) fail();
      if (entry == nullptr || (std::string_view(entry->d_name) != "." && std::string_view(entry->d_name) != "..")) {
        return entry;
      }
    }
  }

  /// DT_REG, DT_DIR, DT_LNK …; asks only file systems that do not say it unasked.
  unsigned char type_of(const dirent& entry) const {
    if (entry.d_type != DT_UNKNOWN) return entry.d_type;
    struct stat status {};
    const bool is_there = ::fstatat(::dirfd(stream_.get()), entry.d_name, &status, AT_SYMLINK_NOFOLLOW) == 0;
    return is_there ? static_cast<unsigned char>(IFTODT(status.st_mode)) : static_cast<unsigned char>(DT_UNKNOWN);
  }

 private:
  struct Close {
    void operator()(DIR* stream) const { ::closedir(stream); }
  };

  [[noreturn]] static void fail() { throw std::system_error(errno, std::generic_category()); }

  std::unique_ptr<DIR, Close> stream_;
};

struct Subfolder {
  std::string name;
  std::string canonical;  // where it really is, links followed
  bool is_link = false;
};

/// What is the same for all classes.
struct Task {
  const RootFolder& root;
  const fs::path& root_name;  // as the user calls it
  const std::vector<std::string>& extensions;
};

/// The walk of one class, or the listing of the root alone.
class Walk {
 public:
  explicit Walk(const Task& task) : task_(task) { chain_.push_back(task.root.path().native()); }

  /// The images of one folder, and what folders are in it, sorted by the bytes of their names; without links that lead
  /// out of the root or nowhere.
  WalkedFolder list(const std::string& path, const std::string& canonical, std::vector<Subfolder>& subfolders) try {
    Directory directory(task_.root.open_folder(path.empty() ? "." : path));
    WalkedFolder folder{.path = path, .stamp = directory.stamp()};  // before reading: what changes meanwhile shows
    std::string text;
    std::vector<Span> spans;
    while (const dirent* const entry = directory.next()) {
      const std::string_view name = entry->d_name;
      const unsigned char type = directory.type_of(*entry);
      if (type == DT_LNK) {
        const WalkedLink& link = links_.emplace_back(
            resolve_link(task_.root.path(), path.empty() ? std::string(name) : fmt::format("{}/{}", path, name)));
        if (link.target.empty() || !is_within(task_.root.path(), link.target)) {
          if (link.target.empty() || link.is_folder || is_image(name)) ++num_links_skipped_;
          continue;
        }
        if (link.is_folder) {
          subfolders.push_back({.name = std::string(name), .canonical = link.target, .is_link = true});
          continue;
        }
      } else if (type == DT_DIR) {
        subfolders.push_back({.name = std::string(name), .canonical = (fs::path(canonical) / name).native()});
        continue;
      }
      if (!is_image(name)) continue;
      spans.push_back({.begin = text.size(), .length = name.size()});
      text += name;
    }
    std::sort(subfolders.begin(), subfolders.end(),
              [](const Subfolder& a, const Subfolder& b) { return a.name < b.name; });
    const auto name_of = [&](const Span& span) { return std::string_view(text.data() + span.begin, span.length); };
    std::sort(spans.begin(), spans.end(), [&](const Span& a, const Span& b) { return name_of(a) < name_of(b); });
    folder.names.reserve(text.size());
    folder.lengths.reserve(spans.size());
    for (const Span& span : spans) {
      folder.names += name_of(span);
      folder.lengths.push_back(static_cast<std::uint16_t>(span.length));  // an entry is shorter than 64 KiB
    }
    return folder;
  } catch (const std::system_error& error) {
    fail(fmt::format("cannot list the folder {}: {}", (task_.root_name / path).native(), error.code().message()));
  }

  /// A class folder and all folders below it, sorted by path.
  void walk_class(const Subfolder& folder) {
    if (!enter(folder)) return;
    collect(folder.name);
    std::sort(folders_.begin(), folders_.end(),
              [](const WalkedFolder& a, const WalkedFolder& b) { return a.path < b.path; });
  }

  void append_to(FolderTree& tree) {
    std::move(folders_.begin(), folders_.end(), std::back_inserter(tree.folders));
    std::move(links_.begin(), links_.end(), std::back_inserter(tree.links));
    tree.num_links_skipped += num_links_skipped_;
  }

 private:
  /// Where a name lies in the text of all names.
  struct Span {
    std::size_t begin;
    std::size_t length;
  };

  bool is_image(std::string_view name) const { return ends_with_any(name, task_.extensions); }

  /// Goes into `folder`, unless that is a link back to a folder in which we are, or one followed too often: links
  /// between k folders would otherwise be k! ways. Returns false, and counts the link, if it did not go.
  bool enter(const Subfolder& folder) {
    constexpr int max_visits = 16;
    if (folder.is_link && (std::find(chain_.begin(), chain_.end(), folder.canonical) != chain_.end() ||
                           ++num_visits_[folder.canonical] > max_visits)) {
      ++num_links_skipped_;
      return false;
    }
    chain_.push_back(folder.canonical);
    return true;
  }

  /// The folder that was entered last, and all folders below it.
  void collect(const std::string& path) {
    std::vector<Subfolder> subfolders;
    folders_.push_back(list(path, chain_.back(), subfolders));
    for (const Subfolder& folder : subfolders) {
      if (!enter(folder)) continue;
      collect(path + '/' + folder.name);
      chain_.pop_back();
    }
  }

  const Task& task_;
  std::vector<std::string> chain_;  // canonical paths of the folders in which we are, root first
  std::unordered_map<std::string, int> num_visits_;
  std::vector<WalkedFolder> folders_;
  std::vector<WalkedLink> links_;
  std::uint64_t num_links_skipped_ = 0;
};

}  // namespace

fs::path canonical_root(const fs::path& root) {
  std::error_code error;
  fs::path canonical = fs::canonical(root, error);
  if (error) {
    const bool is_url = muster::is_url(root.native());
    fail(fmt::format("cannot open the folder {}: {}{}", without_credentials(root.native()), error.message(),
                     is_url ? "; of what lies behind a URL, CsvList reads lists and TarSource archives" : ""));
  }
  if (!fs::is_directory(canonical, error)) {
    fail(fmt::format("expected a folder, received the file {}; for a list of files use CsvList", root.native()));
  }
  return canonical;
}

FolderTree walk_folders(const RootFolder& root, const fs::path& root_name, const std::vector<std::string>& extensions) {
  const Task task{.root = root, .root_name = root_name, .extensions = extensions};
  FolderTree tree;
  tree.root = root.path();
  tree.walked_at_ns =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();

  std::vector<Subfolder> classes;
  Walk root_walk(task);
  const WalkedFolder root_folder = root_walk.list("", root.path().native(), classes);
  root_walk.append_to(tree);
  tree.root_stamp = root_folder.stamp;
  tree.num_root_images = root_folder.lengths.size();

  std::vector<Walk> walks(classes.size(), Walk(task));
  in_parallel(classes.size(), [&](std::size_t i) { walks[i].walk_class(classes[i]); });
  for (Walk& walk : walks) walk.append_to(tree);
  return tree;
}

FolderStamp stamp_of(const fs::path& folder) {
  struct stat status {};
  if (::stat(folder.c_str(), &status) != 0) throw std::system_error(errno, std::generic_category());
  if (!S_ISDIR(status.st_mode)) throw std::system_error(ENOTDIR, std::generic_category());
  return stamp_from(status);
}

WalkedLink resolve_link(const fs::path& root, std::string path) {
  const fs::path link = root / path;
  std::error_code error;
  const bool is_folder = fs::is_directory(link, error);
  fs::path target = fs::canonical(link, error);
  if (error) target.clear();
  return {.path = std::move(path), .target = target.native(), .is_folder = is_folder};
}

}  // namespace muster
