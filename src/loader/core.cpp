#include "loader/core.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

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

void check_io(const LoaderOptions& options) {
  constexpr int max_io_threads = 1024;
  if (options.num_io_threads < 0 || options.num_io_threads > max_io_threads) {
    refuse(fmt::format("expected 0 to {} io threads, received {}; set LoaderOptions::num_io_threads to 0 for none",
                       max_io_threads, options.num_io_threads));
  }
  if (options.max_bytes_in_flight < 1) {
    refuse(
        fmt::format("expected at least 1 byte in flight, received {}; leave out LoaderOptions::max_bytes_in_flight "
                    "for the default",
                    options.max_bytes_in_flight));
  }
}

void check_failures(const LoaderOptions& options) {
  const ErrorBudget& budget = options.error_budget;
  if (budget.share && !(*budget.share >= 0 && *budget.share <= 1)) {
    refuse(fmt::format("expected an error budget between 0 and 1 of the rows, received {}; 0.01 is one percent",
                       *budget.share));
  }
  if (budget != ErrorBudget{} && options.on_error == OnError::raise) {
    refuse(
        "expected OnError::mask or substitute with an error budget, received raise, which stops at the first error; "
        "set LoaderOptions::on_error");
  }
  if (!options.exactly_once) return;
  if (options.on_error == OnError::substitute) {
    refuse(
        "expected OnError::raise or mask with exactly_once, received substitute, which shows samples twice; set "
        "LoaderOptions::on_error");
  }
  if (options.last_batch == LastBatch::drop || options.last_batch == LastBatch::wrap) {
    refuse(
        fmt::format("expected LastBatch::partial, pad or strict with exactly_once, received {}, which {} samples; "
                    "set LoaderOptions::last_batch",
                    name(options.last_batch), options.last_batch == LastBatch::drop ? "leaves out" : "repeats"));
  }
  if (options.order) {
    refuse(
        "expected muster's own orders with exactly_once, received another, which may repeat samples; leave out "
        "LoaderOptions::order (LoaderOptions::exclude leaves samples out)");
  }
}

/// The order of an epoch where the user gives none.
std::shared_ptr<const Order> make_order(const LoaderOptions& options, const Source& source) {
  const std::vector<std::uint64_t>& excluded = options.exclude;
  const std::uint64_t num_samples = source.size();
  if (!excluded.empty() && excluded.back() >= num_samples) {
    refuse(fmt::format("expected ids below {} to exclude, received {}; ids are positions in the full listing",
                       num_samples, excluded.back()));
  }
  const std::uint64_t num_rows = num_samples - excluded.size();
  if (num_rows == 0) {
    refuse(fmt::format("expected at least one sample to be left, received {} to exclude of {}", excluded.size(),
                       num_samples));
  }
  std::shared_ptr<const Order> order;
  if (!options.shuffle) {
    order = std::make_shared<SequentialOrder>(num_rows);
  } else if (const std::uint64_t block = source.shuffle_block(); block > 0) {
    order = std::make_shared<BlockShuffledOrder>(num_rows, block, options.seed);
  } else {
    order = std::make_shared<ShuffledOrder>(num_rows, options.seed);
  }
  if (excluded.empty()) return order;
  return std::make_shared<ExcludingOrder>(std::move(order), excluded);
}

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
  check_io(options);
  check_failures(options);
  if (options.order && !options.exclude.empty()) {
    refuse(
        "expected exclude or an order of your own, received both; leave LoaderOptions::exclude empty, the order "
        "decides");
  }
  if (options.order && options.shuffle) {
    refuse(
        "expected shuffle or an order of your own, received both; leave LoaderOptions::shuffle off, the order "
        "decides");
  }
  std::ranges::sort(options.exclude);
  options.exclude.erase(std::unique(options.exclude.begin(), options.exclude.end()), options.exclude.end());
  if (options.num_threads == 0) options.num_threads = TaskRunner::default_num_threads();
  if (!options.dtype) options.dtype = pipeline.makes_floats() ? DType::float32 : DType::uint8;
  if (!options.allocator) options.allocator = default_allocator();
  if (!options.order) options.order = make_order(options, source);
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

/// The most rows whose share of `num_rows` is not above `share`: 0.29 of 100 is 29, although 0.29 · 100 is less.
std::uint64_t share_of(std::uint64_t num_rows, double share) {
  const auto total = static_cast<double>(num_rows);
  const auto at_least = static_cast<std::uint64_t>(share * total);
  return at_least < num_rows && static_cast<double>(at_least + 1) / total <= share ? at_least + 1 : at_least;
}

/// Failed rows that this rank's share of an epoch may have.
std::uint64_t max_failed_rows_of(const LoaderOptions& options, const EpochLayout& layout, std::uint64_t num_rows) {
  const ErrorBudget& budget = options.error_budget;
  std::uint64_t limit = budget.count.value_or(std::numeric_limits<std::uint64_t>::max());
  if (budget.share) {
    const Shard& shard = options.shard;
    const std::uint64_t num_slots = layout.num_batches() * static_cast<std::uint64_t>(options.batch_size);
    const std::uint64_t num_own = shard.index < num_rows ? (num_rows - shard.index + shard.count - 1) / shard.count : 0;
    const std::uint64_t num_delivered =
        options.last_batch == LastBatch::wrap ? num_slots : std::min(num_slots, num_own);
    limit = std::min(limit, share_of(num_delivered, *budget.share));
  }
  return limit;
}

}  // namespace

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

LoaderCore::LoaderCore(std::shared_ptr<const Source> source_in, Pipeline pipeline_in, LoaderOptions options_in,
                       std::unique_ptr<Runner> runner_in)
    : source(checked(std::move(source_in))),
      pipeline(std::move(pipeline_in)),
      options(completed(std::move(options_in), *source, pipeline)),
      num_rows(options.order->num_rows()),
      layout(num_rows, options.batch_size, options.last_batch, options.shard),
      spec(make_spec(options, layout, pipeline)),
      memory(spec),
      pool(std::make_shared<BlockPool>(options.allocator, memory.size_bytes, max_in_flight() + 1)),
      recorder(options.spans),
      rows(source, pipeline, options, recorder),
      log(num_rows, options.shard.count),
      max_failed_rows(max_failed_rows_of(options, layout, num_rows)),
      runner(runner_in ? std::move(runner_in) : std::make_unique<TaskRunner>(options.num_threads)),
      io(options.num_io_threads > 0 || source->num_async_reads() > 0
             ? std::make_unique<IoStage>(source, options.num_io_threads,
                                         static_cast<std::uint64_t>(options.max_bytes_in_flight))
             : nullptr) {}

}  // namespace muster
