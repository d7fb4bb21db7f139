// What all epochs of one loader share.
//
// Lock order, outermost first; no two locks on one line are ever held together:
//   ReadAhead
//   RowQueue                                    (waits on its condition variable)
//   IoStage, ByteGate                           (wait on their condition variables)
//   BlockPool, ScratchPool, DeliveryLog, oneTBB's (bookkeeping only)
// No lock below ReadAhead is held while code of the user runs (source, stage, order, allocator).
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <span>

#include "loader/block_pool.hpp"
#include "loader/delivery_log.hpp"
#include "loader/io_stage.hpp"
#include "loader/recorder.hpp"
#include "loader/row_loader.hpp"
#include "loader/runner.hpp"
#include "muster/loader.hpp"

namespace muster {

/// Where the parts of a batch lie in its one block of memory.
struct BatchMemory {
  explicit BatchMemory(const BatchSpec& spec);

  /// A batch of `num_rows` ≤ spec.batch_size rows in `block`; contents undefined. Keeps the capacity of the vectors
  /// of `batch`.
  void lay_out(std::shared_ptr<void> block, std::int64_t num_rows, Batch& batch) const;

  BatchSpec spec;
  std::size_t labels_offset = 0;  // images lie first
  std::size_t valid_offset = 0;
  std::size_t size_bytes = 0;
};

/// Immutable, except for what locks itself.
struct LoaderCore {
  /// Without a runner its rows run on oneTBB. Throws ConfigError for options that do not fit together or with the
  /// source.
  LoaderCore(std::shared_ptr<const Source> source_in, Pipeline pipeline_in, LoaderOptions options_in,
             std::unique_ptr<Runner> runner_in = nullptr);

  LoaderCore(const LoaderCore&) = delete;
  LoaderCore& operator=(const LoaderCore&) = delete;
  /// Batches may live on; memory that nobody holds does not.
  ~LoaderCore() { pool->drain(); }

  std::size_t max_in_flight() const noexcept { return static_cast<std::size_t>(options.prefetch) + 1; }

  std::shared_ptr<const Source> source;
  Pipeline pipeline;
  LoaderOptions options;  // defaults filled in
  std::uint64_t num_rows;
  EpochLayout layout;
  BatchSpec spec;
  BatchMemory memory;
  std::shared_ptr<BlockPool> pool;
  Recorder recorder;
  RowLoader rows;
  DeliveryLog log;
  std::uint64_t max_failed_rows;  // of an epoch, by the error budget
  std::unique_ptr<Runner> runner;
  std::unique_ptr<IoStage> io;  // null: workers read for themselves
};

}  // namespace muster
