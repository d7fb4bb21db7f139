#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <system_error>
#include <unordered_map>

#include "muster/source.hpp"
#include "source/file_listing.hpp"
#include "source/read_file.hpp"

namespace muster {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& message) { throw SourceError("image folder", message); }

std::string lower_ascii(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

struct Folder {
  std::string name;
  fs::path canonical;  // where it really is, links followed
  bool is_link = false;
};

/// Both sorted by the bytes of the names.
struct Contents {
  std::vector<Folder> folders;
  std::vector<std::string> images;
};

/// Lists a root and the folders below it as os.walk(followlinks=True) does, but follows links only inside the root.
class Walk {
 public:
  Walk(const fs::path& root, std::vector<std::string> extensions) : root_(root), extensions_(std::move(extensions)) {
    for (std::string& extension : extensions_) extension = lower_ascii(extension);
    std::error_code error;
    canonical_root_ = fs::canonical(root, error);
    if (error) fail(fmt::format("cannot open the folder {}: {}", root.native(), error.message()));
    if (!fs::is_directory(canonical_root_, error)) {
      fail(fmt::format("expected a folder, received the file {}; for a list of files use CsvList", root.native()));
    }
    chain_.push_back(canonical_root_);
  }

  const fs::path& canonical_root() const noexcept { return canonical_root_; }
  std::uint64_t num_links_skipped() const noexcept { return num_links_skipped_; }

  /// What a folder holds, without links that lead out of the root or nowhere.
  Contents contents(const std::string& relative, const fs::path& canonical) {
    Contents contents;
    std::error_code error;
    const auto expect_readable = [&] {
      if (error) fail(fmt::format("cannot list the folder {}: {}", (root_ / relative).native(), error.message()));
    };
    fs::directory_iterator it(root_ / relative, error);
    expect_readable();
    while (it != fs::directory_iterator()) {
      std::string name = it->path().filename().native();
      const bool is_link = it->is_symlink(error);
      const bool is_folder = it->is_directory(error);
      const fs::path target = is_link ? fs::canonical(it->path(), error) : canonical / name;
      if (is_link && (error || !is_within(canonical_root_, target))) {
        if (error || is_folder || is_image(name)) ++num_links_skipped_;
      } else if (is_folder) {
        contents.folders.push_back({.name = std::move(name), .canonical = target, .is_link = is_link});
      } else if (is_image(name)) {
        contents.images.push_back(std::move(name));
      }
      it.increment(error);
      expect_readable();
    }
    std::sort(contents.folders.begin(), contents.folders.end(),
              [](const Folder& a, const Folder& b) { return a.name < b.name; });
    std::sort(contents.images.begin(), contents.images.end());
    return contents;
  }

  /// Goes into `folder`, unless that is a link back to a folder in which we are, or one followed too often: links
  /// between k folders would otherwise be k! ways. Returns false, and counts the link, if it did not go.
  bool enter(const Folder& folder) {
    constexpr int max_visits = 16;
    if (folder.is_link && (std::find(chain_.begin(), chain_.end(), folder.canonical) != chain_.end() ||
                           ++num_visits_[folder.canonical.native()] > max_visits)) {
      ++num_links_skipped_;
      return false;
    }
    chain_.push_back(folder.canonical);
    return true;
  }
  void leave() { chain_.pop_back(); }

  /// The image files of a folder that was entered and of all folders below, by the path of their folder.
  void collect(const std::string& relative, std::map<std::string, std::vector<std::string>>& images_by_folder) {
    Contents found = contents(relative, chain_.back());
    images_by_folder[relative] = std::move(found.images);
    for (const Folder& folder : found.folders) {
      if (!enter(folder)) continue;
      collect(relative + '/' + folder.name, images_by_folder);
      leave();
    }
  }

  void start_class() { num_visits_.clear(); }

 private:
  bool is_image(std::string_view name) const {
    const std::string lower = lower_ascii(name);
    return std::any_of(extensions_.begin(), extensions_.end(),
                       [&](const std::string& extension) { return lower.ends_with(extension); });
  }

  fs::path root_;
  std::vector<std::string> extensions_;
  fs::path canonical_root_;
  std::vector<fs::path> chain_;  // canonical paths of the folders in which we are, root first
  std::unordered_map<std::string, int> num_visits_;
  std::uint64_t num_links_skipped_ = 0;
};

}  // namespace

// torchvision 0.14, datasets/folder.py: classes are sorted(folders of the root); within one,
//   for folder, _, files in sorted(os.walk(root / class, followlinks=True)): for file in sorted(files)
// where folders compare by their whole path, so that "a b" comes before "a/b".
ImageFolder::ImageFolder(std::filesystem::path root, ImageFolderOptions options)
    : root_(std::move(root)), max_bytes_(options.max_bytes) {
  Walk walk(root_, options.extensions);
  auto listing = std::make_shared<FileListing>();
  std::vector<std::string> empty_classes;
  const Contents root_contents = walk.contents("", walk.canonical_root());
  for (const Folder& folder : root_contents.folders) {
    walk.start_class();
    if (!walk.enter(folder)) continue;
    std::map<std::string, std::vector<std::string>> images_by_folder;
    walk.collect(folder.name, images_by_folder);
    walk.leave();

    const auto label = static_cast<std::int64_t>(listing->classes.size());
    const std::uint64_t num_before = listing->size();
    listing->classes.push_back(folder.name);
    for (const auto& [path, images] : images_by_folder) {
      for (const std::string& image : images) listing->add(path + '/' + image, label);
    }
    if (listing->size() == num_before) empty_classes.push_back(folder.name);
  }
  const std::string links_skipped =
      walk.num_links_skipped() == 0
          ? std::string()
          : fmt::format(
                "; {} links that lead out of it or nowhere were left out: a CsvList with allow_outside takes such",
                walk.num_links_skipped());
  if (listing->classes.empty()) {
    fail(
        fmt::format("expected class folders in {}, received none ({} images lie directly in it); arrange the images "
                    "as DIR/class/image.jpg, or name them in a CSV list (CsvList){}",
                    root_.native(), root_contents.images.size(), links_skipped));
  }
  if (!empty_classes.empty() && !options.allow_empty_classes) {
    constexpr std::size_t num_shown = 3;
    std::string names;
    for (std::size_t i = 0; i < std::min(empty_classes.size(), num_shown); ++i) {
      names += fmt::format("{}\"{}\"", i == 0 ? "" : ", ", empty_classes[i]);
    }
    if (empty_classes.size() > num_shown) names += fmt::format(" and {} more", empty_classes.size() - num_shown);
    fail(
        fmt::format("expected an image in every class folder of {}, received none in {} (looked for {}); remove the "
                    "folders or set ImageFolderOptions::allow_empty_classes{}",
                    root_.native(), names, fmt::join(options.extensions, ", "), links_skipped));
  }
  root_ = walk.canonical_root();  // reads must not depend on the working directory
  listing->shrink_to_fit();
  listing_ = std::move(listing);
  num_links_skipped_ = walk.num_links_skipped();
}

std::uint64_t ImageFolder::size() const { return listing_->size(); }

void ImageFolder::read(std::uint64_t id, Sample& sample, std::stop_token stop) const {
  sample.label = listing_->label(id);
  read_file(root_ / listing_->name(id), sample.bytes, max_bytes_, stop);
}

std::string ImageFolder::name(std::uint64_t id) const { return std::string(listing_->name(id)); }

const std::vector<std::string>& ImageFolder::classes() const { return listing_->classes; }

std::int64_t ImageFolder::label(std::uint64_t id) const { return listing_->label(id); }

}  // namespace muster
