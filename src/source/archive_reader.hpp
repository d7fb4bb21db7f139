// libarchive on a ByteStore: reads in blocks, and carries what the store throws across libarchive's C code.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "source/byte_store.hpp"

struct archive;

namespace muster {

/// How much is read at once. After a jump `first` bytes, then twice as many each time, up to `max`: where much is
/// jumped over, little is read in vain, and where little is, few calls are made.
struct BlockSizes {
  std::size_t first = 0;
  std::size_t max = 0;

  /// A request costs as much as a few hundred kilobytes, so that it is not worth while to jump over less.
  static constexpr BlockSizes for_urls() { return {.first = std::size_t{256} << 10, .max = std::size_t{1} << 20}; }
  static constexpr BlockSizes for_files() { return {.first = std::size_t{4} << 10, .max = std::size_t{256} << 10}; }
};

enum class ArchiveContent : std::uint8_t {
  tar,           // members
  blank_tar,     // the same after a made block of zeros: libarchive then accepts what begins with damage
  decompressed,  // all bytes of what is compressed, as one member
};

/// What is compressed may hold so many bytes for each compressed one, and this beside.
constexpr std::uint64_t default_max_expansion = 200;
constexpr std::uint64_t free_expansion_bytes = std::uint64_t{64} << 20;

/// Not thread-safe. The store must outlive it.
class ArchiveReader {
 public:
  /// Messages call the archive `path`.
  ArchiveReader(const ByteStore& store, std::string path, ArchiveContent content, BlockSizes block_sizes,
                std::uint64_t max_expansion);
  ArchiveReader(const ArchiveReader&) = delete;
  ArchiveReader& operator=(const ArchiveReader&) = delete;
  ~ArchiveReader();

  /// Reading for libarchive heeds it.
  void set_stop(std::stop_token stop) { stop_ = std::move(stop); }
  /// Throws SourceError if so much was decompressed, of so little, that it must be a bomb. Reading for libarchive heeds
  /// it, too, but a block may hold gigabytes.
  void expect_no_bomb() const;

  /// False if libarchive does not take it for an archive. Throws what the store threw.
  bool open();
  ::archive* get() const noexcept { return archive_.get(); }
  /// The status that a function of libarchive returned. Throws what the store threw meanwhile.
  int checked(int status);

  /// Compressions around the archive.
  int num_filters() const noexcept;
  /// Bytes of the archive, decompressed, that libarchive has consumed.
  std::uint64_t position() const noexcept;
  /// What libarchive says about its last error.
  std::string message() const;

 private:
  struct Callbacks;
  struct Free {
    void operator()(::archive* archive) const noexcept;
  };

  const ByteStore& store_;
  std::string path_;
  BlockSizes block_sizes_;
  std::uint64_t max_expansion_;
  std::size_t next_block_;
  std::uint64_t store_position_ = 0;
  std::uint64_t blank_bytes_;  // made, before the store's first
  bool is_blank_due_;
  std::vector<std::uint8_t> block_;
  std::stop_token stop_;
  std::exception_ptr error_;
  std::unique_ptr<::archive, Free> archive_;
};

}  // namespace muster
