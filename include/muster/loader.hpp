// Loader: samples in, batches of one proved shape out, decoded by many threads, in order.
//
//   source ─► probe ─► plan ─► decode(window) ─► resample ─► stages ─► write into slot ─► batch ─► consumer
//
// A sample is one task; tasks run on oneTBB and write into their own preallocated slot of a batch. While the
// consumer works on a batch, the next `prefetch` are filled. No thread count, prefetch depth or timing changes
// a byte.
#pragma once

#include <concepts>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "muster/batch.hpp"
#include "muster/ledger.hpp"
#include "muster/order.hpp"
#include "muster/pipeline.hpp"
#include "muster/report.hpp"
#include "muster/source.hpp"
#include "muster/spec.hpp"
#include "muster/stats.hpp"

namespace [[gnu::visibility("default")]] muster {

struct LoaderOptions {
  // Behaviour: what the batches hold.
  std::int64_t batch_size = 1;                // rows per batch and rank
  bool shuffle = false;                       // a fresh order for every epoch
  std::uint64_t seed = 0;                     // of order, draws and substitutes
  LastBatch last_batch = LastBatch::partial;  // when the size does not divide
  /// For SourceError, DecodeError and StageError. What is no sample's fault always raises: ShapeError, ConfigError, and
  /// want of memory (libtiff's own is told as an error of the image).
  OnError on_error = OnError::raise;
  std::optional<DType> dtype = {};  // default: float32 if the pipeline makes floats, else uint8
  Layout layout = Layout::nchw;
  std::int64_t filler_label = -1;  // label of rows with valid = 0
  Shard shard = {};                // which rank of how many this loader is
  DecodeLimits limits = {};
  Integrity integrity = Integrity::window;
  std::shared_ptr<const Order> order = {};  // instead of `shuffle`; ids must be below the source's size
  /// Samples to leave out of every epoch, by id; the ids of the others stay what they are. Not with an own `order`.
  std::vector<std::uint64_t> exclude = {};
  /// Promises that the ranks together show every sample exactly once (but for masked ones, which the ledger lists):
  /// refuses what could break it, which is OnError::substitute, LastBatch::drop and wrap, and an own `order`.
  bool exactly_once = false;
  /// How many rows of an epoch may fail before it stops with BudgetError; for OnError::mask and substitute.
  ErrorBudget error_budget = {};

  // Performance: never changes a byte.
  int num_threads = 0;                        // workers; 0: one per core
  int prefetch = 2;                           // batches filled ahead of the consumer, ≥ 1
  std::shared_ptr<Allocator> allocator = {};  // for the memory of batches; default: aligned heap memory
  /// Threads that read ahead of the workers, for storage with latency: 20 ms a read and 1500 samples a second need 30.
  /// 0: workers read for themselves, which is best for files in memory or on a fast disk. At most the rows of
  /// prefetch + 1 batches are read ahead. A source that reads asynchronously needs none of these threads.
  int num_io_threads = 0;
  /// With io threads: encoded bytes that are read, or being read, and not yet decoded, are never more than this; a
  /// longer sample is read when no other is held. That is so for samples whose length the source announces before it
  /// reads (Sample::expect_bytes: all of muster's own, except HTTP answers without a length). Of others, and of
  /// asynchronous reads, as many are begun as would fit if they were as long as the longest lately: the first ones, and
  /// longer ones, can exceed the limit.
  std::int64_t max_bytes_in_flight = std::int64_t{256} << 20;
  /// Receives what every thread does when (ChromeTrace writes it for Perfetto); default: nobody.
  std::shared_ptr<SpanSink> spans = {};
};

class Loader;

/// The batches of one epoch: an input range, to be iterated once, by one thread. Move-only. Destroying it stops
/// the epoch's work and waits only for reads and decodes in progress. Ranges of one loader are independent.
class EpochRange {
 public:
  class iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using value_type = Batch;
    using difference_type = std::ptrdiff_t;

    iterator() = default;
    Batch& operator*() const noexcept { return range_->batch_; }
    Batch* operator->() const noexcept { return &range_->batch_; }
    iterator& operator++() {
      if (!range_->advance()) range_ = nullptr;
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const iterator& it, std::default_sentinel_t) noexcept { return it.range_ == nullptr; }

   private:
    friend class EpochRange;
    explicit iterator(EpochRange* range) : range_(range) {}
    EpochRange* range_ = nullptr;
  };

  EpochRange(EpochRange&&) noexcept;
  EpochRange& operator=(EpochRange&&) noexcept;
  ~EpochRange();

  /// Waits for the first batch; the range must stay where it is from here on. Advancing destroys the batch that
  /// was current, unless it was moved out. Errors of workers rethrow here and in ++ (see OnError::raise).
  iterator begin();
  std::default_sentinel_t end() const noexcept { return std::default_sentinel; }

  /// The same without iterators: the next batch, or nothing after the last. Nothing, too, if `stop` is requested before
  /// the batch is there: the range has ended then, and reads in progress were told to stop.
  std::optional<Batch> next(std::stop_token stop = {});

  std::uint64_t epoch() const noexcept;
  /// Of the whole epoch; a resumed range delivers the rest of them.
  std::uint64_t num_batches() const noexcept;

 private:
  friend class Loader;
  struct Impl;
  explicit EpochRange(std::unique_ptr<Impl> impl);
  bool advance(const std::stop_token& stop = {});

  std::unique_ptr<Impl> impl_;
  Batch batch_;
};

/// Thread-safe: epochs may be iterated by several threads at once, each its own range. Batches and ranges may
/// outlive the loader. In a child of fork() there are no workers: make loaders after it.
class Loader {
 public:
  /// Takes a source by value. Throws ConfigError for options that do not fit together or with the source.
  template <class S>
  requires std::derived_from<std::remove_cvref_t<S>, Source> Loader(S&& source, Pipeline pipeline,
                                                                    LoaderOptions options = {})
      : Loader(std::shared_ptr<const Source>(std::make_shared<std::remove_cvref_t<S>>(std::forward<S>(source))),
               std::move(pipeline), std::move(options)) {}
  /// Shares a source.
  Loader(std::shared_ptr<const Source> source, Pipeline pipeline, LoaderOptions options = {});
  Loader(Loader&&) noexcept;
  Loader& operator=(Loader&&) noexcept;
  ~Loader();

  /// The batches of epoch `epoch` ≥ 0; work starts at once. When epochs were taken one after the other, the first
  /// batches of the next are begun before this one ends; they are dropped if it is not asked for.
  EpochRange epoch(std::uint64_t epoch);

  /// Where the loop stands, as one line of JSON: after the batch that was delivered last, by whichever range. To be
  /// saved once that batch has been consumed. Holds seed, epoch, next row, and what data set and pipeline are.
  std::string state() const;
  /// The rest of the epoch that `state` stopped in, from the very next row on; the whole next epoch if it stopped at
  /// the end of one. Any number of threads, prefetch, and, for the same global batch, any number of ranks continues
  /// with the same bytes. What becomes of samples that fail may change (on_error, error_budget, limits, integrity): a
  /// run that stopped at one can go on. Throws ConfigError that says what else changed: data set, pipeline, dtype,
  /// layout, filler label, seed, order, batch, or no valid state.
  EpochRange resume(std::string_view state);

  /// What every batch looks like; known before the first image is read.
  BatchSpec spec() const noexcept;
  /// States what the model expects; throws ShapeError that says which dimension disagrees and what to change.
  void require(const InputSpec& expected) const;

  /// Batches per epoch that this rank sees.
  std::uint64_t num_batches() const noexcept;
  /// Rows of an epoch, over all shards.
  std::uint64_t num_rows() const noexcept;

  /// Replays what happens to the sample of row `row` < num_rows() of an epoch; reads and probes it in the calling
  /// thread. Errors throw.
  Plan plan(std::uint64_t epoch, std::uint64_t row) const;
  /// Replays the row's pixels, alone: a batch of one row. Errors throw, whatever on_error says.
  Batch sample(std::uint64_t epoch, std::uint64_t row) const;

  /// What was delivered so far by all epochs.
  Report report() const;
  /// The incidents of the batch that was not delivered because an epoch stopped there with an error, lately; also when
  /// the report has more than it keeps. Empty if none did.
  std::vector<Incident> undelivered() const;
  /// Where the time went so far, and what bounds the run.
  LoaderStats stats() const;
  /// What was delivered of one epoch, by this loader. Kept for the last 64 epochs; an empty one for others.
  Ledger ledger(std::uint64_t epoch) const;

  const Source& source() const noexcept;
  const Pipeline& pipeline() const noexcept;
  /// As given, with defaults filled in (order, dtype, num_threads and allocator are set) and `exclude` in order.
  const LoaderOptions& options() const noexcept;
  /// Threads that work on samples; `num_threads` after its default.
  int num_threads() const noexcept;

 private:
  EpochRange start(std::unique_ptr<class EpochRun> run) const;

  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace muster
