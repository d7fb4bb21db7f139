// Sources: where samples come from. A source is a fixed listing; a sample's id is its position in it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "muster/image.hpp"

namespace muster {

/// One sample as a source delivers it: encoded bytes, or an image already decoded (then `bytes` is not read).
struct Sample {
  std::vector<std::uint8_t> bytes;     // an encoded image
  std::shared_ptr<const Image> image;  // or pixels: 1 or 3 channels
  std::int64_t label = 0;

  /// Forgets the content but keeps the capacity of `bytes`.
  void clear() noexcept;
};

/// Derive from this for data of your own. All members are called from any thread, concurrently, in any order.
class Source {
 public:
  Source() = default;
  Source(const Source&) = default;
  Source& operator=(const Source&) = default;
  virtual ~Source() = default;

  /// Number of samples; never changes.
  virtual std::uint64_t size() const = 0;

  /// Fills `sample`, which arrives cleared, with sample `id` < size(). Reusing the capacity of `sample.bytes`
  /// saves an allocation per sample. Throw (SourceError, best) when it cannot be read. A read that may take
  /// long should return or throw soon after `stop` is requested: the loader's destructor waits for it.
  virtual void read(std::uint64_t id, Sample& sample, std::stop_token stop) const = 0;

  /// What messages and records call sample `id`: its path relative to the root, or whatever names it.
  virtual std::string name(std::uint64_t id) const { return std::string("#").append(std::to_string(id)); }
  /// Opaque data that belongs to sample `id`; muster never looks at it.
  virtual std::string metadata(std::uint64_t) const { return {}; }
  /// Names of the classes, by label; empty when labels have no names.
  virtual const std::vector<std::string>& classes() const;
};

struct ImageFolderOptions {
  /// Files with other extensions are left out (compared without case, as torchvision does).
  std::vector<std::string> extensions = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"};
  /// Accept class folders without any image, which otherwise are a SourceError.
  bool allow_empty_classes = false;
  /// Longer files are refused before they are read.
  std::int64_t max_bytes = std::int64_t{256} << 20;
};

/// DIR/class/…/image.jpg: the first folder level names the class. Order and labels are those of
/// torchvision.datasets.ImageFolder: classes sorted by the bytes of their names and counted from 0; within a
/// class by folder, then by file name. Links are followed only to places inside the root.
class ImageFolder : public Source {
 public:
  /// Lists the folder. Throws SourceError: no such folder, no class folder in it, a class without an image.
  explicit ImageFolder(std::filesystem::path root, ImageFolderOptions options = {});

  std::uint64_t size() const override;
  void read(std::uint64_t id, Sample& sample, std::stop_token stop) const override;
  std::string name(std::uint64_t id) const override;
  const std::vector<std::string>& classes() const override;

  const std::filesystem::path& root() const noexcept { return root_; }
  std::int64_t label(std::uint64_t id) const;
  /// Entries that were left out because they are links that lead out of the root, or nowhere.
  std::uint64_t num_links_skipped() const noexcept { return num_links_skipped_; }

 private:
  std::filesystem::path root_;
  std::shared_ptr<const struct FileListing> listing_;
  std::int64_t max_bytes_;
  std::uint64_t num_links_skipped_ = 0;
};

struct CsvListOptions {
  /// Accept paths that lead out of the list's folder (absolute, through "..", or through a link).
  bool allow_outside = false;
  /// Longer files are refused before they are read.
  std::int64_t max_bytes = std::int64_t{256} << 20;
};

/// A list `path,label`, one sample a line: RFC 4180 quoting, LF or CRLF, an optional first line `path,label`.
/// Paths are relative to the list's folder. Labels are integers throughout, or class names throughout (then
/// counted from 0 in sorted order).
class CsvList : public Source {
 public:
  /// Reads the list. Throws SourceError with the line's number: malformed line, mixed labels, path outside.
  explicit CsvList(std::filesystem::path list, CsvListOptions options = {});

  std::uint64_t size() const override;
  void read(std::uint64_t id, Sample& sample, std::stop_token stop) const override;
  std::string name(std::uint64_t id) const override;
  const std::vector<std::string>& classes() const override;

  std::int64_t label(std::uint64_t id) const;

 private:
  std::filesystem::path root_;
  std::shared_ptr<const struct FileListing> listing_;
  CsvListOptions options_;
};

/// Samples that are in memory already, encoded or decoded.
class MemorySource : public Source {
 public:
  /// `names` and `classes` may be empty; otherwise there is one name per sample.
  explicit MemorySource(std::vector<Sample> samples, std::vector<std::string> names = {},
                        std::vector<std::string> classes = {});

  std::uint64_t size() const override;
  void read(std::uint64_t id, Sample& sample, std::stop_token stop) const override;
  std::string name(std::uint64_t id) const override;
  const std::vector<std::string>& classes() const override;

 private:
  struct Content;
  std::shared_ptr<const Content> content_;
};

/// Reads a whole file into `bytes`, reusing its capacity. Throws SourceError naming `path` and the system's
/// reason; a file longer than `max_bytes` is refused before it is read. Thread-safe.
void read_file(const std::filesystem::path& path, std::vector<std::uint8_t>& bytes,
               std::int64_t max_bytes = std::int64_t{1} << 40);

}  // namespace muster
