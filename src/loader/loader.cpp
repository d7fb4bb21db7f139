#include "muster/loader.hpp"

#include <fmt/format.h>

#include "loader/core.hpp"
#include "loader/epoch_run.hpp"
#include "loader/read_ahead.hpp"
#include "loader/state.hpp"

namespace muster {

struct EpochRange::Impl {
  std::unique_ptr<EpochRun> run;
  std::weak_ptr<ReadAhead> ahead;  // ends with the loader
  std::size_t max_in_flight;
  bool ended = false;

  /// `batch` becomes the next one; false after the last, after an error, and when `stop` came first.
  bool advance(Batch& batch, const std::stop_token& stop);
};

bool EpochRange::Impl::advance(Batch& batch, const std::stop_token& stop) {
  run->recycle(batch);  // its memory is free before more is asked for
  if (ended) return false;
  ended = true;  // also when an error leaves from here
  run->fill(max_in_flight);
  const std::shared_ptr<ReadAhead> read_ahead = ahead.lock();
  if (read_ahead && run->issued_all()) {
    read_ahead->begin_after(run->epoch(), max_in_flight - run->num_in_flight());
  }
  ended = !run->take(batch, stop);
  if (read_ahead && ended && !stop.stop_requested()) read_ahead->finished(run->epoch());
  return !ended;
}

EpochRange::EpochRange(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
EpochRange::EpochRange(EpochRange&&) noexcept = default;
EpochRange& EpochRange::operator=(EpochRange&&) noexcept = default;
EpochRange::~EpochRange() = default;

bool EpochRange::advance(const std::stop_token& stop) { return impl_ && impl_->advance(batch_, stop); }

EpochRange::iterator EpochRange::begin() { return advance() ? iterator(this) : iterator(); }

// NOLINTNEXTLINE(performance-unnecessary-value-param): a stop token is given away, as the standard library has it
std::optional<Batch> EpochRange::next(std::stop_token stop) {
  if (!advance(stop)) return std::nullopt;
  return std::move(batch_);
}

std::uint64_t EpochRange::epoch() const noexcept { return impl_->run->epoch(); }
std::uint64_t EpochRange::num_batches() const noexcept { return impl_->run->num_batches(); }

struct Loader::Impl {
  std::shared_ptr<LoaderCore> core;
  std::shared_ptr<ReadAhead> ahead;
};

Loader::Loader(std::shared_ptr<const Source> source, Pipeline pipeline, LoaderOptions options) {
  auto core = std::make_shared<LoaderCore>(std::move(source), std::move(pipeline), std::move(options));
  impl_ = std::make_shared<Impl>(Impl{core, std::make_shared<ReadAhead>(core)});
}

Loader::Loader(Loader&&) noexcept = default;
Loader& Loader::operator=(Loader&&) noexcept = default;
Loader::~Loader() = default;

EpochRange Loader::epoch(std::uint64_t epoch) {
  auto run = impl_->ahead->take(epoch);
  if (!run) run = std::make_unique<EpochRun>(impl_->core, Position{.epoch = epoch});
  return start(std::move(run));
}

EpochRange Loader::start(std::unique_ptr<EpochRun> run) const {
  const std::size_t max_in_flight = impl_->core->max_in_flight();
  run->fill(max_in_flight);
  return EpochRange(
      std::make_unique<EpochRange::Impl>(EpochRange::Impl{std::move(run), impl_->ahead, max_in_flight, false}));
}

std::string Loader::state() const { return state_of(*impl_->core, impl_->core->log.position()); }

EpochRange Loader::resume(std::string_view state) {
  const Position position = position_of(*impl_->core, state);
  impl_->core->log.set_position(position);
  return start(std::make_unique<EpochRun>(impl_->core, position));
}

BatchSpec Loader::spec() const noexcept { return impl_->core->spec; }
void Loader::require(const InputSpec& expected) const { muster::require(expected, spec()); }
std::uint64_t Loader::num_batches() const noexcept { return impl_->core->layout.num_batches(); }
std::uint64_t Loader::num_rows() const noexcept { return impl_->core->num_rows; }

namespace {

void check_row(const LoaderCore& core, std::uint64_t row) {
  if (row < core.num_rows) return;
  throw ConfigError("loader",
                    fmt::format("expected a row below {}, received {}; rows count from 0 in every epoch, over "
                                "all shards",
                                core.num_rows, row));
}

}  // namespace

Plan Loader::plan(std::uint64_t epoch, std::uint64_t row) const {
  check_row(*impl_->core, row);
  return impl_->core->rows.plan(epoch, row);
}

Batch Loader::sample(std::uint64_t epoch, std::uint64_t row) const {
  LoaderCore& core = *impl_->core;
  check_row(core, row);
  BatchSpec spec = core.spec;
  spec.batch_size = 1;
  const BatchMemory memory(spec);
  Batch batch;
  memory.lay_out(std::make_shared<BlockPool>(core.options.allocator, memory.size_bytes, 0)->take(), 1, batch);
  RowResult result = core.rows.load_own(epoch, row, RowSlot(batch, 0, spec.layout));
  const auto rows_per_batch = static_cast<std::uint64_t>(core.options.batch_size) * core.options.shard.count;
  batch.epoch = epoch;
  batch.index = row / rows_per_batch;
  batch.num_bytes_read = static_cast<std::int64_t>(result.num_bytes_read);
  batch.incidents = std::move(result.incidents);
  return batch;
}

Report Loader::report() const { return impl_->core->log.report(); }
std::vector<Incident> Loader::undelivered() const { return impl_->core->log.undelivered(); }

LoaderStats Loader::stats() const {
  const LoaderCore& core = *impl_->core;
  LoaderStats stats = core.recorder.snapshot(core.runner->num_threads(), core.io ? core.io->num_reads() : 0);
  if (core.io) {
    stats.num_bytes_in_flight = core.io->gate().num_held();
    stats.max_bytes_in_flight = core.io->gate().max_held();
  }
  return stats;
}

Ledger Loader::ledger(std::uint64_t epoch) const { return impl_->core->log.ledger(epoch); }
const Source& Loader::source() const noexcept { return *impl_->core->source; }
const Pipeline& Loader::pipeline() const noexcept { return impl_->core->pipeline; }
const LoaderOptions& Loader::options() const noexcept { return impl_->core->options; }
int Loader::num_threads() const noexcept { return impl_->core->runner->num_threads(); }

}  // namespace muster
