// Tar archives of samples, as WebDataset lays them out: `key.jpg`, `key.cls`, `key.json`, one after the other.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "muster/http.hpp"
#include "muster/source.hpp"

namespace [[gnu::visibility("default")]] muster {

struct TarOptions {
  /// Members with these extensions are the image of their key (compared without case).
  std::vector<std::string> extensions = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"};
  /// Keep the index of ARCHIVE in ARCHIVE.index, and take it from there as long as the archive has the length and the
  /// time of change that it was made from. A damaged one is made anew. One that cannot be written is a fault; so is a
  /// file there whose first line is not that of an index: it may be something else, and is kept. Archives behind URLs
  /// are indexed every time.
  bool keep_index = false;
  /// For compressed archives, which can only be read in sequence: samples in the shuffle buffer, ≥ 1. While they are
  /// read, up to two such buffers of encoded images, and 256 more, are in memory.
  std::uint64_t shuffle_buffer = 1000;
  /// Longer images are refused before they are read; ≥ 1.
  std::int64_t max_bytes = std::int64_t{256} << 20;
  /// A compressed archive with more bytes than so many for each of its compressed ones, and 64 MiB, is taken for a
  /// decompression bomb, and refused; ≥ 1. Archives of photographs have 1 to 2, of text and blank pages some tens.
  int max_expansion = 200;
  /// Compressed archives whose names, labels, metadata and faults take more memory than this, all together, are
  /// refused; ≥ 1. Plain archives are bounded by their length.
  std::int64_t max_listing_bytes = std::int64_t{4} << 30;
  HttpOptions http = {};
};

/// The samples of one or many archives, in the order in which they lie there. A sample is the members that follow each
/// other and share a key: the path up to the first dot of its last part. The image makes it a sample; `cls` is its
/// label, a decimal integer (0 where there is none), `json` its metadata. Other members are left alone.
///
/// Plain archives are indexed once and then read at random, also behind http and https URLs (by range requests).
/// Compressed ones (gzip, bzip2, xz, zstd) are decompressed in sequence again for every epoch: see shuffle_block().
/// Ids far from those read lately cost decompressing from the beginning of their archive. Every archive keeps a file
/// descriptor.
///
/// What cannot be listed is in faults(): links, a label that is no integer, a key without an image, and of a damaged or
/// truncated archive what lies in the damage. What comes behind it is found again, unless the archive is compressed. An
/// image whose label may be lost in the damage beside it is left out. Memory: about 32 bytes and the path for each
/// sample, 16 more where there is metadata; the metadata itself only of compressed archives.
class TarSource : public Source {
 public:
  /// Paths or URLs. Throws SourceError: an archive that cannot be opened or is none, one that decompresses to more than
  /// the options allow, not one sample in any, or a failure to read; ConfigError: no archive, or options out of range.
  explicit TarSource(const std::vector<std::string>& archives, TarOptions options = {});

  std::uint64_t size() const override;
  void read(std::uint64_t id, Sample& sample, std::stop_token stop) const override;
  /// "shard-0003.tar/n02/b.jpg": the archive's file name (its path, where several have the same) and the image's path
  /// in it, which is only a name.
  std::string name(std::uint64_t id) const override;
  /// Reads it from a plain archive. Throws SourceError. Longer ones than 1 MiB are left out, with a fault.
  std::string metadata(std::uint64_t id) const override;
  Fingerprint fingerprint() const override;
  std::uint64_t shuffle_block() const override;
  std::vector<ListingFault> faults() const override;

  std::int64_t label(std::uint64_t id) const;
  /// True if every archive can be read at random.
  bool random_access() const noexcept;

 private:
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

/// The paths that a pattern names: "train-{000..146}.tar" is 147 of them, with as many digits as the first number has
/// (none are added where it has no leading zero). Several braces are all combinations; without any, the pattern itself.
/// Throws ConfigError: braces that hold no range, or more than a million paths.
std::vector<std::string> shard_paths(std::string_view pattern);

}  // namespace muster
