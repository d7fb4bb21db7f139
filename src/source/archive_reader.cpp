#include "source/archive_reader.hpp"

#include <archive.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

#include "muster/error.hpp"

namespace muster {

constexpr std::size_t tar_block_bytes = 512;

struct ArchiveReader::Callbacks {
  static la_ssize_t read(::archive* archive, void* data, const void** block) noexcept {
    ArchiveReader& self = *static_cast<ArchiveReader*>(data);
    try {
      *block = self.block_.data();
      if (std::exchange(self.is_blank_due_, false)) {
        std::fill_n(self.block_.begin(), tar_block_bytes, std::uint8_t{0});
        return tar_block_bytes;
      }
      const std::uint64_t num_left = self.store_.size() - self.store_position_;
      const std::size_t num_bytes = static_cast<std::size_t>(std::min<std::uint64_t>(self.next_block_, num_left));
      self.expect_no_bomb();
      if (num_bytes == 0) return 0;
      self.store_.read(self.store_position_, std::span(self.block_).first(num_bytes), self.stop_);
      self.store_position_ += num_bytes;
      self.next_block_ = std::min(2 * self.next_block_, self.block_sizes_.max);
      return static_cast<la_ssize_t>(num_bytes);
    } catch (...) {
      self.error_ = std::current_exception();
      archive_set_error(archive, EIO, "cannot read");
      return ARCHIVE_FATAL;
    }
  }

  static la_int64_t skip(::archive*, void* data, la_int64_t request) noexcept {
    ArchiveReader& self = *static_cast<ArchiveReader*>(data);
    const std::uint64_t num_left = self.store_.size() - self.store_position_;
    const std::uint64_t num_bytes = std::min(static_cast<std::uint64_t>(request), num_left);
    self.store_position_ += num_bytes;
    self.next_block_ = self.block_sizes_.first;
    return static_cast<la_int64_t>(num_bytes);
  }
};

void ArchiveReader::Free::operator()(::archive* archive) const noexcept { archive_read_free(archive); }

ArchiveReader::ArchiveReader(const ByteStore& store, std::string path, ArchiveContent content, BlockSizes block_sizes,
                             std::uint64_t max_expansion)
    : store_(store),
      path_(std::move(path)),
      block_sizes_(block_sizes),
      max_expansion_(max_expansion),
      next_block_(block_sizes.first),
      blank_bytes_(content == ArchiveContent::blank_tar ? tar_block_bytes : 0),
      is_blank_due_(blank_bytes_ > 0),
      block_(block_sizes.max),
      archive_(archive_read_new()) {
  if (!archive_) throw std::bad_alloc();
  ::archive* const archive = archive_.get();
  // A filter that libarchive was built without would run a program instead, and say so.
  bool is_supported = archive_read_support_filter_gzip(archive) == ARCHIVE_OK &&
                      archive_read_support_filter_bzip2(archive) == ARCHIVE_OK &&
                      archive_read_support_filter_xz(archive) == ARCHIVE_OK &&
                      archive_read_support_filter_zstd(archive) == ARCHIVE_OK;
  if (content == ArchiveContent::decompressed) {
    is_supported = is_supported && archive_read_support_format_raw(archive) == ARCHIVE_OK;
  } else {
    // Blocks of zeros end an archive. Reading on finds what was appended, and what lies after a hole.
    is_supported = is_supported && archive_read_support_format_tar(archive) == ARCHIVE_OK &&
                   archive_read_set_format_option(archive, "tar", "read_concatenated_archives", "1") == ARCHIVE_OK;
  }
  if (!is_supported) {
    throw SourceError("tar source", "this libarchive lacks gzip, bzip2, xz, zstd or tar: " + message());
  }
  archive_read_set_callback_data(archive, this);
  archive_read_set_read_callback(archive, Callbacks::read);
  archive_read_set_skip_callback(archive, Callbacks::skip);
}

ArchiveReader::~ArchiveReader() = default;

bool ArchiveReader::open() { return checked(archive_read_open1(archive_.get())) >= ARCHIVE_WARN; }

void ArchiveReader::expect_no_bomb() const {
  if (num_filters() == 0) return;
  const std::uint64_t num_bytes = position();
  if (num_bytes <= free_expansion_bytes) return;
  if ((num_bytes - free_expansion_bytes) / max_expansion_ < store_position_) return;
  throw SourceError("tar source", fmt::format("expected at most {} bytes decompressed of each compressed one, received "
                                              "{} of {} in {}: a decompression bomb? If not, raise "
                                              "TarOptions::max_expansion",
                                              max_expansion_, num_bytes, store_position_, path_));
}

int ArchiveReader::checked(int status) {
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  return status;
}

int ArchiveReader::num_filters() const noexcept { return std::max(archive_filter_count(archive_.get()) - 1, 0); }

std::uint64_t ArchiveReader::position() const noexcept {
  const auto consumed = static_cast<std::uint64_t>(std::max(archive_filter_bytes(archive_.get(), 0), la_int64_t{0}));
  return consumed - std::min(consumed, blank_bytes_);
}

std::string ArchiveReader::message() const {
  const char* const message = archive_error_string(archive_.get());
  return message == nullptr ? "damaged" : message;
}

}  // namespace muster
