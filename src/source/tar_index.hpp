// What is known of a tar archive without reading it again: which samples, and where each lies.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "muster/source.hpp"
#include "source/archive_reader.hpp"
#include "source/byte_store.hpp"
#include "source/file_listing.hpp"

namespace muster {

/// Bytes [offset, offset + size).
struct ByteExtent {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;

  friend bool operator==(const ByteExtent&, const ByteExtent&) = default;
};

/// Longer members `json` are left out, with a fault.
constexpr std::uint64_t max_metadata_bytes = std::uint64_t{1} << 20;

struct TarIndex {
  bool is_compressed = false;
  FileListing samples;             // the images' paths in the archive, and labels
  std::vector<ByteExtent> images;  // one for each sample, ascending: in the archive, decompressed if it is compressed
  // None at all, or one for each sample, of size 0 where it has none: in the archive, or in `metadata_text` if that is
  // compressed.
  std::vector<ByteExtent> metadata;
  std::string metadata_text;
  std::vector<ListingFault> faults;
};

/// Bytes of memory that the listings of compressed archives may take, all together. Thread-safe.
class ListingBudget {
 public:
  explicit ListingBudget(std::uint64_t max_bytes) : max_bytes_(max_bytes) {}
  /// Throws SourceError where they become more; `path` is the archive that brings them.
  void take(std::uint64_t num_bytes, const std::string& path);

 private:
  const std::uint64_t max_bytes_;
  std::atomic<std::uint64_t> num_bytes_ = 0;
};

/// What `index`, of a compressed archive, takes of it.
std::uint64_t listing_bytes(const TarIndex& index);

/// What a compressed archive may cost.
struct TarLimits {
  std::uint64_t max_expansion = default_max_expansion;
  ListingBudget* budget = nullptr;  // null: no limit
};

/// An archive of a TarSource.
struct TarArchive {
  std::string path;  // as it was given
  std::string name;  // what its samples' names begin with
  std::shared_ptr<const ByteStore> store;
  TarIndex index;
  std::uint64_t first_id = 0;  // of its samples
};

/// Walks through the archive. `extensions` are those of images, in lower case, with their dot. Throws SourceError: it
/// is no archive, beyond the limits, or the store cannot be read.
TarIndex index_archive(const ByteStore& store, const std::string& path, const std::vector<std::string>& extensions,
                       BlockSizes block_sizes, const TarLimits& limits = {});

/// The index that `file` keeps; nothing if there is none, if it was made from other content or with other extensions,
/// or if it is damaged. What it says is inside the archive, whoever wrote it.
std::optional<TarIndex> load_index(const std::filesystem::path& file, const ByteStore& store, const std::string& path,
                                   const std::vector<std::string>& extensions);
/// Replaces `file` in one step. Throws SourceError: it cannot be written.
void save_index(const std::filesystem::path& file, const TarIndex& index, const ByteStore& store,
                const std::vector<std::string>& extensions);

}  // namespace muster
