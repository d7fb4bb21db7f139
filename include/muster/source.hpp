// Sources: where samples come from. A source is a fixed listing; a sample's id is its position in it.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "muster/image.hpp"

namespace [[gnu::visibility("default")]] muster {

/// Grants memory for encoded bytes before they are read; see LoaderOptions::max_bytes_in_flight.
class ByteBudget {
 public:
  ByteBudget() = default;
  ByteBudget(const ByteBudget&) = delete;
  ByteBudget& operator=(const ByteBudget&) = delete;
  virtual ~ByteBudget() = default;
  /// Waits until `num_bytes` may be held. Throws SourceError when told to stop.
  virtual void reserve(std::uint64_t num_bytes) = 0;
};

/// One sample as a source delivers it: encoded bytes, or an image already decoded (then `bytes` is not read).
struct Sample {
  std::vector<std::uint8_t> bytes;     // an encoded image
  std::shared_ptr<const Image> image;  // or pixels: 1 or 3 channels
  std::int64_t label = 0;
  ByteBudget* budget = nullptr;  // the loader's, while it counts bytes in flight

  /// Forgets the content but keeps the capacity of `bytes`, and the budget.
  void clear() noexcept;
  /// Says that `bytes` is about to grow to `num_bytes`, and waits until so many may be in flight; again if it turns out
  /// to be another number. A source that cannot know leaves it out: its reads count as long as the longest lately.
  void expect_bytes(std::uint64_t num_bytes);
};

/// Tells one listing from another: hashes over all names and over all labels, in order.
struct Fingerprint {
  std::uint64_t names = 0;
  std::uint64_t labels = 0;

  friend bool operator==(const Fingerprint&, const Fingerprint&) = default;
};

/// Something that was meant to be a sample and could not be listed.
struct ListingFault {
  std::string path;                          // relative to the root, or the archive's
  std::optional<std::uint64_t> byte_offset;  // in that file, where known
  std::string message;
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

  /// For sources that keep many reads under way by themselves: how many; 0 for none, then threads call read().
  virtual int num_async_reads() const { return 0; }
  /// Begins a read and returns. Calls `done` exactly once, from any thread, before or after it returns: with null,
  /// or with what went wrong. `sample` stays where it is until then; expect_bytes() of it does not wait. Must end
  /// soon after `stop` is requested, as read(). May not throw.
  virtual void read_async(std::uint64_t id, Sample& sample, std::stop_token stop,
                          std::function<void(std::exception_ptr)> done) const;

  /// What messages and records call sample `id`: its path relative to the root, or whatever names it.
  virtual std::string name(std::uint64_t id) const { return std::string("#").append(std::to_string(id)); }
  /// Opaque data that belongs to sample `id`; muster never looks at it.
  virtual std::string metadata(std::uint64_t) const { return {}; }
  /// Names of the classes, by label; empty when labels have no names.
  virtual const std::vector<std::string>& classes() const;

  /// Resuming compares it. A source that does not say hashes its size and the names of some samples.
  virtual Fingerprint fingerprint() const;
  /// 0: samples may be read in any order. Otherwise reading is sequential (a compressed archive), and `shuffle` only
  /// permutes within consecutive blocks of so many samples: a shuffle buffer.
  virtual std::uint64_t shuffle_block() const { return 0; }
  /// What the listing left out although it should be there.
  virtual std::vector<ListingFault> faults() const { return {}; }
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

}  // namespace muster
