#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "muster/files.hpp"
#include "source/file_listing.hpp"
#include "source/folder_index.hpp"
#include "source/folder_walk.hpp"
#include "source/option_range.hpp"
#include "source/read_file.hpp"
#include "source/root_folder.hpp"

namespace muster {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& message) { throw SourceError("image folder", message); }

/// What the walk found, as a listing.
FileListing listing_of(const FolderTree& tree) {
  std::size_t num_images = 0;
  std::size_t num_bytes = 0;
  for (const WalkedFolder& folder : tree.folders) {
    num_images += folder.lengths.size();
    num_bytes += folder.lengths.size() * (folder.path.size() + 1) + folder.names.size();
  }
  FileListing listing;
  listing.labels.reserve(num_images);
  listing.ends.reserve(num_images);
  listing.names.reserve(num_bytes);
  for (const WalkedFolder& folder : tree.folders) {
    if (folder.path.find('/') == std::string::npos) listing.classes.push_back(folder.path);
    const auto label = static_cast<std::int64_t>(listing.classes.size()) - 1;
    std::string_view names = folder.names;
    for (const std::size_t length : folder.lengths) {
      listing.add(folder.path, names.substr(0, length), label);
      names.remove_prefix(length);
    }
  }
  return listing;
}

/// Throws SourceError without a class folder, and for classes without an image unless they are allowed.
void expect_images(const fs::path& root, const ImageFolderOptions& options, const FolderTree& tree,
                   const FileListing& listing) {
  const std::string links_skipped =
      tree.num_links_skipped == 0
          ? std::string()
          : fmt::format(
                "; {} links that lead out of it or nowhere were left out: a CsvList with allow_outside takes such",
                tree.num_links_skipped);
  if (listing.classes.empty()) {
    fail(
        fmt::format("expected class folders in {}, received none ({} images lie directly in it); arrange the images "
                    "as DIR/class/image.jpg, or name them in a CSV list (CsvList){}",
                    root.native(), tree.num_root_images, links_skipped));
  }
  if (options.allow_empty_classes) return;
  std::vector<bool> has_image(listing.classes.size());
  for (const std::int64_t label : listing.labels) has_image[static_cast<std::size_t>(label)] = true;
  constexpr std::ptrdiff_t num_shown = 3;
  const std::ptrdiff_t num_empty = std::count(has_image.begin(), has_image.end(), false);
  if (num_empty == 0) return;
  std::vector<std::string> shown;
  for (std::size_t i = 0; i < has_image.size() && std::ssize(shown) < num_shown; ++i) {
    if (!has_image[i]) shown.push_back(fmt::format("\"{}\"", listing.classes[i]));
  }
  fail(
      fmt::format("expected an image in every class folder of {}, received none in {}{} (looked for {}); remove the "
                  "folders or set ImageFolderOptions::allow_empty_classes{}",
                  root.native(), fmt::join(shown, ", "),
                  num_empty > num_shown ? fmt::format(" and {} more", num_empty - num_shown) : std::string(),
                  fmt::join(options.extensions, ", "), links_skipped));
}

}  // namespace

// torchvision 0.14, datasets/folder.py: classes are sorted(folders of the root); within one,
//   for folder, _, files in sorted(os.walk(root / class, followlinks=True)): for file in sorted(files)
// where folders compare by their whole path, so that "a b" comes before "a/b".
ImageFolder::ImageFolder(const std::filesystem::path& root, const ImageFolderOptions& options)
    : max_bytes_(options.max_bytes) {
  expect_at_least("image folder", "ImageFolderOptions::max_bytes", max_bytes_, 1);
  root_ = canonical_root(root);  // reads must not depend on the working directory
  folder_ = std::make_shared<const RootFolder>(root_, "the image folder", "a CsvList with allow_outside takes such");
  std::optional<FolderTree> tree;
  if (!options.index.empty()) tree = read_folder_index(options.index, root_, options.extensions);
  from_index_ = tree.has_value();
  if (!tree) tree = walk_folders(*folder_, root, options.extensions);
  FileListing listing = listing_of(*tree);
  expect_images(root, options, *tree, listing);
  if (!options.index.empty() && !from_index_) write_folder_index(options.index, *tree, options.extensions);
  num_links_skipped_ = tree->num_links_skipped;
  fingerprint_ = listing.fingerprint();
  listing_ = std::make_shared<const FileListing>(std::move(listing));
}

std::uint64_t ImageFolder::size() const { return listing_->size(); }

void ImageFolder::read(std::uint64_t id, Sample& sample, std::stop_token stop) const {
  sample.label = listing_->label(id);
  const fs::path name = listing_->name(id);
  read_file(folder_->open(name), root_ / name, sample, max_bytes_, stop);
}

std::string ImageFolder::name(std::uint64_t id) const { return std::string(listing_->name(id)); }

const std::vector<std::string>& ImageFolder::classes() const { return listing_->classes; }

std::int64_t ImageFolder::label(std::uint64_t id) const { return listing_->label(id); }

Fingerprint ImageFolder::fingerprint() const { return fingerprint_; }

}  // namespace muster
