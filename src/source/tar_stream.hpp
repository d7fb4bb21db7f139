// Samples of compressed archives, which can only be decompressed from their beginning. What is passed over on the way
// to a sample is kept for a while, as its turn will come soon.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <stop_token>
#include <unordered_map>
#include <vector>

#include "source/archive_reader.hpp"
#include "source/tar_index.hpp"

namespace muster {

/// A compressed archive from its beginning to its end. One thread at a time.
class Decompressor {
 public:
  Decompressor(const TarArchive& archive, BlockSizes block_sizes, std::uint64_t max_expansion);

  /// Fills `bytes` with an extent that begins at or behind the end of the one before. Throws SourceError, also when
  /// `stop` is requested; then it is of no use any more.
  void read(const ByteExtent& extent, std::vector<std::uint8_t>& bytes, const std::stop_token& stop);

 private:
  /// Goes on by so many bytes, and copies them if `into` is not null.
  void advance(std::uint64_t num_bytes, std::uint8_t* into, const std::stop_token& stop);

  const TarArchive& archive_;
  ArchiveReader reader_;
  bool is_open_ = false;
  std::uint64_t position_ = 0;
  std::span<const std::uint8_t> block_;  // decompressed, and not yet used
};

/// Thread-safe. Archives are decompressed by the threads that read, each once for all of them as long as they ask for
/// samples in about the order of the archives: less than `num_kept` apart. Otherwise it is slow, and right.
class TarStreams {
 public:
  /// Longer samples than `max_bytes` are never kept.
  TarStreams(std::uint64_t num_kept, std::uint64_t max_bytes, std::uint64_t max_expansion = default_max_expansion);
  TarStreams(const TarStreams&) = delete;
  TarStreams& operator=(const TarStreams&) = delete;

  /// Reads sample `index` of the archive, which must outlive this. Throws SourceError, also when `stop` is requested.
  void read(const TarArchive& archive, std::uint64_t index, std::vector<std::uint8_t>& bytes,
            const std::stop_token& stop);

 private:
  /// A way through an archive. While it is busy, the thread that made it so is alone with `decompressor`.
  struct Lane {
    const TarArchive* archive = nullptr;
    std::unique_ptr<Decompressor> decompressor;  // made when it is first used
    std::uint64_t next = 0;                      // sample of the archive
    bool is_busy = false;
    std::uint64_t last_use = 0;
  };
  using Lanes = std::list<Lane>;
  struct KeptSample {
    std::uint64_t id = 0;
    std::vector<std::uint8_t> bytes;
  };
  using KeptSamples = std::list<KeptSample>;

  // All with the lock held.
  bool take(std::uint64_t id, std::vector<std::uint8_t>& bytes);
  void keep(KeptSamples& one);
  Lanes::iterator find_lane(const TarArchive& archive, std::uint64_t index);
  Lanes::iterator new_lane(const TarArchive& archive);
  void run(Lanes::iterator lane, std::uint64_t index, std::vector<std::uint8_t>& bytes, const std::stop_token& stop,
           std::unique_lock<std::mutex>& lock);

  const std::uint64_t num_kept_;
  const std::uint64_t max_bytes_;
  const std::uint64_t max_expansion_;

  std::mutex mutex_;
  std::condition_variable_any changed_;  // a lane came to rest, or an awaited sample is kept
  Lanes lanes_;
  std::uint64_t num_uses_ = 0;
  KeptSamples kept_;    // oldest first
  KeptSamples spares_;  // their memory is used again
  std::unordered_map<std::uint64_t, KeptSamples::iterator> kept_by_id_;
  std::vector<std::uint64_t> awaited_;
};

}  // namespace muster
