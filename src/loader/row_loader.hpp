// What happens to one row: its sample is read, probed, planned and rendered into the row's slot, or, when that
// fails, what the error policy says. Pixels depend on (image, pipeline, seed, epoch, sample id) alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "loader/recorder.hpp"
#include "muster/batch.hpp"
#include "muster/loader.hpp"

namespace muster {

/// Row k of a batch, wherever its parts are.
struct RowSlot {
  RowSlot(Batch& batch, std::int64_t k, Layout layout);

  std::span<std::byte> pixels;
  Slot slot;
  std::int64_t& label;
  std::uint8_t& valid;
  std::uint64_t& id;
  std::uint64_t& row;
  Plan& plan;
};

enum class RowState : std::uint8_t { filler, loaded, substituted, masked, raised };

/// What became of a row.
struct RowResult {
  RowState state = RowState::filler;
  std::uint64_t own_id = Batch::no_sample;  // the sample that the order gives the row
  std::exception_ptr error;                 // state raised: what the consumer gets
  std::vector<Incident> incidents;          // in the order in which they came
  std::uint64_t num_bytes_read = 0;
};

/// A row being loaded: between its steps, a sample is read for it.
struct RowProgress {
  std::uint64_t epoch = 0;
  std::uint64_t id = Batch::no_sample;  // the sample to be read next
  RowResult result;
  std::optional<Incident> failure = {};  // of the row's own sample: a substitute is wanted
  std::optional<Rng> draws = {};         // of substitutes
  int num_draws = 0;
  int num_substitutes = 0;  // tried so far
};

/// An error as an incident, which has sample and path beside the message.
Incident describe(const Error& error, Outcome outcome, std::uint64_t epoch, std::uint64_t row);

/// Samples and renderers for as many threads as work at once, reused from row to row. Taken and returned rather than
/// tied to threads, so that nothing depends on which thread runs a row. Thread-safe.
class ScratchPool {
 public:
  struct Scratch {
    Sample sample;
    Renderer renderer;
  };

  /// Returns its scratch when it goes.
  class Lease {
   public:
    Lease(ScratchPool& pool, std::unique_ptr<Scratch> scratch) : pool_(&pool), scratch_(std::move(scratch)) {}
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease() { pool_->give_back(std::move(scratch_)); }
    Scratch& operator*() const noexcept { return *scratch_; }
    Scratch* operator->() const noexcept { return scratch_.get(); }

   private:
    ScratchPool* pool_;
    std::unique_ptr<Scratch> scratch_;
  };

  ScratchPool(Pipeline pipeline, DecodeLimits limits, Integrity integrity);
  Lease take();

 private:
  void give_back(std::unique_ptr<Scratch> scratch) noexcept;

  Pipeline pipeline_;
  DecodeLimits limits_;
  Integrity integrity_;
  std::mutex mutex_;  // held for bookkeeping only
  std::size_t num_scratches_ = 0;
  std::vector<std::unique_ptr<Scratch>> free_;
};

/// Thread-safe.
class RowLoader {
 public:
  /// `options` has its defaults filled in: order and dtype are set. `recorder` must outlive this.
  RowLoader(std::shared_ptr<const Source> source, Pipeline pipeline, LoaderOptions options, Recorder& recorder);

  /// Loads row `row` of an epoch, or makes a filler when there is none. Every member of `slot` is written, whatever
  /// happens; errors are in the result.
  RowResult load(std::uint64_t epoch, std::optional<std::uint64_t> row, const RowSlot& slot,
                 const std::stop_token& stop) noexcept;

  /// The same in steps, for samples that are read elsewhere. True if `progress.id` is to be read; otherwise the row is
  /// finished, and `progress.result` says how.
  bool begin(std::uint64_t epoch, std::optional<std::uint64_t> row, const RowSlot& slot,
             RowProgress& progress) const noexcept;
  /// Shows the sample that was read, or deals with what went wrong. True if another is to be read instead.
  bool go_on(const Sample& sample, const std::exception_ptr& read_error, const RowSlot& slot,
             const std::stop_token& stop, RowProgress& progress) noexcept;

  /// The row cannot be shown, whatever the policy says: `error` goes to the consumer.
  RowResult give_up(const std::exception_ptr& error, const RowSlot& slot, RowProgress& progress) const noexcept;

  /// Loads the row's own sample. Throws a located Error, whatever the policy says.
  RowResult load_own(std::uint64_t epoch, std::uint64_t row, const RowSlot& slot);
  /// The plan of the row's own sample. Throws a located Error.
  Plan plan(std::uint64_t epoch, std::uint64_t row);

 private:
  /// The header of a sample that was read.
  struct Header {
    ImageInfo info;  // of encoded bytes; of a decoded image only `size` counts
    std::uint64_t num_bytes = 0;
  };

  std::uint64_t sample_id(std::uint64_t epoch, std::uint64_t row) const;
  void read(std::uint64_t id, Sample& sample) const;
  Header probe(std::uint64_t id, const Sample& sample, const Renderer& renderer) const;
  void show(std::uint64_t id, const Sample& sample, Renderer& renderer, const RowSlot& slot, RowProgress& progress);
  bool go_on(const Sample& sample, const std::exception_ptr& read_error, Renderer& renderer, const RowSlot& slot,
             const std::stop_token& stop, RowProgress& progress) noexcept;
  void record_render(const Renderer::Times& times, Recorder::Clock::time_point begin, std::uint64_t epoch,
                     std::uint64_t id) const noexcept;
  void mask(const RowSlot& slot) const noexcept;
  void fail(std::exception_ptr error, const RowSlot& slot, RowProgress& progress) const noexcept;
  bool draw_substitute(const RowSlot& slot, const std::stop_token& stop, RowProgress& progress) const;
  template <class Work>
  auto located(std::uint64_t id, const char* step, Work&& work) const;
  std::exception_ptr located_error(std::uint64_t id) const noexcept;
  [[noreturn]] void rethrow_at(std::uint64_t id, const std::string& step) const;
  Where where(std::uint64_t id, std::string stage) const;

  std::shared_ptr<const Source> source_;
  Pipeline pipeline_;
  LoaderOptions options_;
  std::uint64_t num_samples_;
  std::uint64_t num_rows_;
  ScratchPool scratches_;
  Recorder& recorder_;
};

}  // namespace muster
