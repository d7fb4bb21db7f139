#include "source/tar_stream.hpp"

#include <archive.h>
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "muster/error.hpp"
#include "source/stop.hpp"
#include "source/url.hpp"

namespace muster {
namespace {

/// At rest, each with what its decompressor holds: up to some tens of megabytes.
constexpr std::size_t max_lanes = 16;

}  // namespace

Decompressor::Decompressor(const TarArchive& archive, BlockSizes block_sizes, std::uint64_t max_expansion)
    : archive_(archive),
      reader_(*archive.store, archive.path, ArchiveContent::decompressed, block_sizes, max_expansion) {}

void Decompressor::read(const ByteExtent& extent, std::vector<std::uint8_t>& bytes, const std::stop_token& stop) {
  reader_.set_stop(stop);
  if (!std::exchange(is_open_, true)) {
    archive_entry* entry = nullptr;
    // Without a filter it would be read as it is: the archive was compressed when it was indexed.
    if (!reader_.open() || reader_.checked(archive_read_next_header(reader_.get(), &entry)) < ARCHIVE_WARN ||
        reader_.num_filters() == 0) {
      throw SourceError("read", fmt::format("cannot decompress {}: {}", archive_.path, reader_.message()));
    }
  }
  advance(extent.offset - position_, nullptr, stop);
  bytes.resize(extent.size);
  advance(extent.size, bytes.data(), stop);
}

void Decompressor::advance(std::uint64_t num_bytes, std::uint8_t* into, const std::stop_token& stop) {
  while (num_bytes > 0) {
    if (block_.empty()) {
      const void* data = nullptr;
      std::size_t size = 0;
      la_int64_t offset = 0;
      expect_no_stop(stop);
      reader_.expect_no_bomb();
      const int status = reader_.checked(archive_read_data_block(reader_.get(), &data, &size, &offset));
      if (status < ARCHIVE_WARN || status == ARCHIVE_EOF) {
        throw SourceError("read", fmt::format("cannot decompress {} beyond byte {} of its content: {}", archive_.path,
                                              position_, status == ARCHIVE_EOF ? "it ends there" : reader_.message()));
      }
      block_ = {static_cast<const std::uint8_t*>(data), size};
    }
    const std::size_t num_taken = static_cast<std::size_t>(std::min<std::uint64_t>(num_bytes, block_.size()));
    if (into != nullptr) into = std::copy_n(block_.begin(), num_taken, into);
    block_ = block_.subspan(num_taken);
    position_ += num_taken;
    num_bytes -= num_taken;
  }
}

TarStreams::TarStreams(std::uint64_t num_kept, std::uint64_t max_bytes, std::uint64_t max_expansion)
    : num_kept_(num_kept), max_bytes_(max_bytes), max_expansion_(max_expansion) {}

void TarStreams::read(const TarArchive& archive, std::uint64_t index, std::vector<std::uint8_t>& bytes,
                      const std::stop_token& stop) {
  const std::uint64_t id = archive.first_id + index;
  std::unique_lock lock(mutex_);
  while (true) {
    expect_no_stop(stop);
    if (take(id, bytes)) return;
    const auto lane = find_lane(archive, index);
    if (lane == lanes_.end() || !lane->is_busy) {
      run(lane == lanes_.end() ? new_lane(archive) : lane, index, bytes, stop, lock);
      return;
    }
    // Whoever is busy there will pass this sample, or come to rest before.
    awaited_.push_back(id);
    changed_.wait(lock, stop, [&] {
      const auto now = find_lane(archive, index);
      return now == lanes_.end() || !now->is_busy || kept_by_id_.contains(id);
    });
    awaited_.erase(std::find(awaited_.begin(), awaited_.end(), id));
  }
}

bool TarStreams::take(std::uint64_t id, std::vector<std::uint8_t>& bytes) {
  const auto found = kept_by_id_.find(id);
  if (found == kept_by_id_.end()) return false;
  bytes.swap(found->second->bytes);
  spares_.splice(spares_.end(), kept_, found->second);
  kept_by_id_.erase(found);
  return true;
}

void TarStreams::keep(KeptSamples& one) {
  const std::uint64_t id = one.front().id;
  if (kept_by_id_.contains(id)) {  // kept on another way already
    spares_.splice(spares_.end(), one);
    return;
  }
  if (kept_.size() == num_kept_) {
    kept_by_id_.erase(kept_.front().id);
    spares_.splice(spares_.end(), kept_, kept_.begin());
  }
  kept_by_id_.emplace(id, one.begin());
  kept_.splice(kept_.end(), one);
  if (std::find(awaited_.begin(), awaited_.end(), id) != awaited_.end()) changed_.notify_all();
}

/// The way that comes by the sample soonest, if any does.
TarStreams::Lanes::iterator TarStreams::find_lane(const TarArchive& archive, std::uint64_t index) {
  auto best = lanes_.end();
  for (auto lane = lanes_.begin(); lane != lanes_.end(); ++lane) {
    if (lane->archive == &archive && lane->next <= index && (best == lanes_.end() || lane->next > best->next)) {
      best = lane;
    }
  }
  return best;
}

/// From the beginning. The way that was not used for longest ends where it is, if there are many.
TarStreams::Lanes::iterator TarStreams::new_lane(const TarArchive& archive) {
  if (lanes_.size() >= max_lanes) {
    auto oldest = lanes_.end();
    for (auto lane = lanes_.begin(); lane != lanes_.end(); ++lane) {
      if (!lane->is_busy && (oldest == lanes_.end() || lane->last_use < oldest->last_use)) oldest = lane;
    }
    if (oldest != lanes_.end()) lanes_.erase(oldest);
  }
  return lanes_.insert(lanes_.end(), Lane{.archive = &archive, .decompressor = {}, .last_use = ++num_uses_});
}

void TarStreams::run(Lanes::iterator lane, std::uint64_t index, std::vector<std::uint8_t>& bytes,
                     const std::stop_token& stop, std::unique_lock<std::mutex>& lock) {
  const TarArchive& archive = *lane->archive;
  const auto come_to_rest = [&](bool is_useful) {
    if (!lock.owns_lock()) lock.lock();
    lane->is_busy = false;
    lane->last_use = ++num_uses_;
    if (!is_useful || lane->next == archive.index.samples.size()) lanes_.erase(lane);
    changed_.notify_all();
  };
  lane->is_busy = true;
  try {
    while (lane->next <= index) {
      const std::uint64_t next = lane->next;
      const ByteExtent& image = archive.index.images[next];
      const bool is_wanted = next == index;
      const bool is_kept = !is_wanted && index - next < num_kept_ && image.size <= max_bytes_;
      KeptSamples one;
      if (is_kept && spares_.empty()) one.emplace_back();
      if (is_kept && one.empty()) one.splice(one.end(), spares_, std::prev(spares_.end()));
      lock.unlock();
      if (!lane->decompressor) {
        lane->decompressor = std::make_unique<Decompressor>(
            archive, is_url(archive.path) ? BlockSizes::for_urls() : BlockSizes::for_files(), max_expansion_);
      }
      if (is_wanted) lane->decompressor->read(image, bytes, stop);
      if (is_kept) lane->decompressor->read(image, one.front().bytes, stop);
      lock.lock();
      lane->next = next + 1;
      if (is_kept) {
        one.front().id = archive.first_id + next;
        keep(one);
      }
    }
  } catch (...) {
    come_to_rest(false);
    throw;
  }
  come_to_rest(true);
}

}  // namespace muster
