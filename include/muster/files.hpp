// Files: image folders, and lists of files or URLs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "muster/http.hpp"
#include "muster/source.hpp"

namespace [[gnu::visibility("default")]] muster {

struct ImageFolderOptions {
  /// Files with other extensions are left out (compared without case, as torchvision does).
  std::vector<std::string> extensions = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"};
  /// Accept class folders without any image, which otherwise are a SourceError.
  bool allow_empty_classes = false;
  /// Longer files are refused before they are read; ≥ 1.
  std::int64_t max_bytes = std::int64_t{256} << 20;
  /// Keep the listing in this file and take it from there as long as it is current: a folder was changed neither in
  /// itself nor in what lies in it. A stale or damaged one is made anew; but a file whose first line is not that of an
  /// index may be something else, is kept, and is a SourceError. It must lie outside of the folder, on whose file
  /// system folders must bear the time of their last change. Empty: list every time.
  std::filesystem::path index = {};
};

/// DIR/class/…/image.jpg: the first folder level names the class. Order and labels are those of
/// torchvision.datasets.ImageFolder: classes sorted by the bytes of their names and counted from 0; within a
/// class by folder, then by file name. Links are followed only to places inside the root, when listing and again when
/// reading: neither an index from strangers nor a link that is planted later leads out. Keeps a file descriptor.
class ImageFolder : public Source {
 public:
  /// Lists the folder. Throws SourceError: no such folder, no class folder in it, a class without an image;
  /// ConfigError: options out of range.
  explicit ImageFolder(const std::filesystem::path& root, const ImageFolderOptions& options = {});

  std::uint64_t size() const override;
  void read(std::uint64_t id, Sample& sample, std::stop_token stop) const override;
  std::string name(std::uint64_t id) const override;
  const std::vector<std::string>& classes() const override;

  const std::filesystem::path& root() const noexcept { return root_; }
  std::int64_t label(std::uint64_t id) const;
  Fingerprint fingerprint() const override;
  /// True if the listing was read from ImageFolderOptions::index.
  bool from_index() const noexcept { return from_index_; }
  /// Entries that were left out because they are links that lead out of the root, nowhere, or in circles.
  std::uint64_t num_links_skipped() const noexcept { return num_links_skipped_; }

 private:
  std::filesystem::path root_;
  std::shared_ptr<const class RootFolder> folder_;
  std::shared_ptr<const struct FileListing> listing_;
  std::int64_t max_bytes_;
  Fingerprint fingerprint_;
  std::uint64_t num_links_skipped_ = 0;
  bool from_index_ = false;
};

struct CsvListOptions {
  /// Accept paths that lead out of the list's folder (absolute, through "..", or through a link), and URLs other than
  /// those below the folder of a list that is itself behind a URL.
  bool allow_outside = false;
  /// Longer files are refused before they are read; ≥ 1.
  std::int64_t max_bytes = std::int64_t{256} << 20;
  /// Longer lists behind a URL are refused; ≥ 1.
  std::int64_t max_list_bytes = std::int64_t{1} << 30;
  HttpOptions http = {};
};

/// A list `path,label`, one sample a line: RFC 4180 quoting, LF or CRLF, an optional first line `path,label`.
/// Paths are relative to the list's folder; the list, and each path, may be a URL (http or https). Where the list is
/// one, paths are links relative to it: `%`, `?` and `#` in a file's name are written %25, %3F and %23. Labels are
/// integers throughout, or class names throughout (then counted from 0 in sorted order).
class CsvList : public Source {
 public:
  /// Reads the list. Throws SourceError with the line's number: malformed line, mixed labels, path outside;
  /// ConfigError: options out of range.
  explicit CsvList(const std::filesystem::path& list, CsvListOptions options = {});

  std::uint64_t size() const override;
  void read(std::uint64_t id, Sample& sample, std::stop_token stop) const override;
  std::string name(std::uint64_t id) const override;
  const std::vector<std::string>& classes() const override;
  Fingerprint fingerprint() const override;

  std::int64_t label(std::uint64_t id) const;

 private:
  Fingerprint hash_listing() const;

  std::filesystem::path root_;
  std::shared_ptr<const class RootFolder> folder_;  // null if paths may lead outside, or are URLs
  std::shared_ptr<const struct FileListing> listing_;
  CsvListOptions options_;
  Fingerprint fingerprint_;
  std::shared_ptr<const class HttpClient> http_;  // null without URLs
};

/// Reads a whole file into `bytes`, reusing its capacity. Throws SourceError naming `path` and the system's
/// reason; a file longer than `max_bytes` is refused before it is read. Thread-safe.
void read_file(const std::filesystem::path& path, std::vector<std::uint8_t>& bytes,
               std::int64_t max_bytes = std::int64_t{1} << 40);

}  // namespace muster
