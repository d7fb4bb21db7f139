#include "loader/core.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace muster {
namespace {

std::shared_ptr<const Source> checked(std::shared_ptr<const Source> source) {
  if (!source) throw ConfigError("loader", "expected a source, received null");
  if (source->size() == 0) {
    throw ConfigError("loader",
                      "expected a source with at least one sample, received an empty one; check its path and "
                      "filters");
  }
  return source;
}

void refuse(const std::string& message) { throw ConfigError("loader", message); }

/// Options in range, and what was left open set to its default.
LoaderOptions completed(LoaderOptions options, const Source& source, const Pipeline& pipeline) {
  if (options.prefetch < 1) {
    refuse(fmt::format("expected a prefetch of at least 1, received {}; set LoaderOptions::prefetch (2 suits most)",
                       options.prefetch));
  }
  if (options.num_threads < 0 || options.num_threads > TaskRunner::max_num_threads()) {
    refuse(fmt::format("expected 0 to {} threads, received {}; set LoaderOptions::num_threads to 0 for one per core",
                       TaskRunner::max_num_threads(), options.num_threads));
  }
  if (options.dtype == DType::int64) {
    refuse("images are uint8, float16, bfloat16 or float32, received int64; set LoaderOptions::dtype to one of them");
  }
  if (options.limits.max_pixels < 1 || options.limits.max_bytes < 1) {
    refuse(
        fmt::format("expected limits of at least 1, received max_pixels {} and max_bytes {}; leave out "
                    "LoaderOptions::limits for the defaults",
                    options.limits.max_pixels, options.limits.max_bytes));
  }
  if (options.order && options.shuffle) {
    refuse(
        "expected shuffle or an order of your own, received both; leave LoaderOptions::shuffle off, the order "
        "decides");
  }
  if (options.num_threads == 0) options.num_threads = TaskRunner::default_num_threads();
  if (!options.dtype) options.dtype = pipeline.makes_floats() ? DType::float32 : DType::uint8;
  if (!options.allocator) options.allocator = default_allocator();
  if (!options.order && options.shuffle) {
    options.order = std::make_shared<ShuffledOrder>(source.size(), options.seed);
  } else if (!options.order) {
    options.order = std::make_shared<SequentialOrder>(source.size());
  }
  return options;
}

/// Throws ConfigError when a batch has more bytes than memory has addresses.
BatchSpec make_spec(const LoaderOptions& options, const EpochLayout& layout, const Pipeline& pipeline) {
  const BatchSpec spec{.batch_size = options.batch_size,
                       .last_batch_size = layout.num_rows(layout.num_batches() - 1),
                       .channels = pipeline.num_channels(),
                       .height = pipeline.output_size().height,
                       .width = pipeline.output_size().width,
                       .dtype = *options.dtype,
                       .layout = options.layout};
  // At most 65500² · 3 · 4 bytes: no overflow. Labels and valid take 9 bytes a row, alignment less than 3 · 64.
  const auto row_bytes =
      spec.channels * spec.height * spec.width * static_cast<std::int64_t>(size_bytes(spec.dtype)) + 9;
  const std::int64_t max_rows = (std::numeric_limits<std::ptrdiff_t>::max() - 192) / row_bytes;
  if (spec.batch_size > max_rows) {
    refuse(
        fmt::format("expected a batch that memory can address, received {} rows of {} bytes; set "
                    "LoaderOptions::batch_size",
                    spec.batch_size, row_bytes));
  }
  return spec;
}

std::size_t aligned(std::size_t size_bytes) {
  return (size_bytes + Allocator::alignment - 1) / Allocator::alignment * Allocator::alignment;
}

}  // namespace

void Ledger::record_batch(const Batch& batch, std::span<const RowResult> results, std::uint64_t num_wrapped_loaded) {
  const std::lock_guard lock(mutex_);
  const auto count = [&](RowState state) {
    return static_cast<std::uint64_t>(
        std::count_if(results.begin(), results.end(), [&](const RowResult& row) { return row.state == state; }));
  };
  ++report_.num_batches;
  report_.num_rows += results.size();
  report_.num_loaded += count(RowState::loaded);
  report_.num_substituted += count(RowState::substituted);
  report_.num_masked += count(RowState::masked);
  report_.num_fillers += count(RowState::filler);
  report_.num_wrapped += num_wrapped_loaded;
  report_.num_bytes_read += static_cast<std::uint64_t>(batch.num_bytes_read);
  for (const Incident& incident : batch.incidents) add(incident);
}

void Ledger::record(const Incident& incident) {
  const std::lock_guard lock(mutex_);
  add(incident);
}

Report Ledger::report() const {
  const std::lock_guard lock(mutex_);
  return report_;
}

void Ledger::add(const Incident& incident) {
  if (incident.outcome == Outcome::warned) ++report_.num_warned;
  if (report_.incidents.size() < Report::max_incidents) report_.incidents.push_back(incident);
}

BatchMemory::BatchMemory(const BatchSpec& batch_spec) : spec(batch_spec) {
  const auto num_rows = static_cast<std::size_t>(spec.batch_size);
  labels_offset = aligned(static_cast<std::size_t>(spec.shape().num_elements()) * muster::size_bytes(spec.dtype));
  valid_offset = aligned(labels_offset + num_rows * sizeof(std::int64_t));
  size_bytes = aligned(valid_offset + num_rows);
}

void BatchMemory::lay_out(std::shared_ptr<void> block, std::int64_t num_rows, Batch& batch) const {
  const auto part = [&](std::size_t offset) {
    return std::shared_ptr<void>(block, static_cast<std::byte*>(block.get()) + offset);
  };
  batch.images = Tensor(spec.dtype, spec.shape(num_rows), part(0));
  batch.labels = Tensor(DType::int64, Shape{num_rows}, part(labels_offset));
  batch.valid = Tensor(DType::uint8, Shape{num_rows}, part(valid_offset));
  const auto size = static_cast<std::size_t>(num_rows);
  batch.ids.assign(size, Batch::no_sample);
  batch.rows.assign(size, Batch::no_sample);
  batch.plans.resize(size);
}

LoaderCore::LoaderCore(std::shared_ptr<const Source> source_in, Pipeline pipeline_in, LoaderOptions options_in)
    : source(checked(std::move(source_in))),
      pipeline(std::move(pipeline_in)),
      options(completed(std::move(options_in), *source, pipeline)),
      num_rows(options.order->num_rows()),
      layout(num_rows, options.batch_size, options.last_batch, options.shard),
      spec(make_spec(options, layout, pipeline)),
      memory(spec),
      pool(std::make_shared<BlockPool>(options.allocator, memory.size_bytes, max_in_flight() + 1)),
      rows(source, pipeline, options),
      runner(options.num_threads) {}

}  // namespace muster
