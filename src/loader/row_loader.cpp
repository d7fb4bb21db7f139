#include "loader/row_loader.hpp"

#include <fmt/format.h>

#include <cstring>
#include <new>
#include <utility>

namespace muster {
namespace {

constexpr int max_draws = 8;  // of a substitute

/// ShapeError, ConfigError and want of memory are no fault of a sample: they reach the consumer under every policy.
bool concerns_sample(const Error& error) {
  if (dynamic_cast<const ShapeError*>(&error) != nullptr) return false;
  if (dynamic_cast<const ConfigError*>(&error) != nullptr) return false;
  if (!error.cause()) return true;
  try {
    std::rethrow_exception(error.cause());
  } catch (const std::bad_alloc&) {
    return false;
  } catch (...) {
    return true;
  }
}

void check_image(const Image& image, const DecodeLimits& limits) {
  if (image.empty() || (image.channels() != 1 && image.channels() != 3)) {
    throw SourceError("read", fmt::format("expected an image of 1 or 3 channels, received {}x{} with {}",
                                          image.height(), image.width(), image.channels()));
  }
  if (image.height() > max_side || image.width() > max_side) {
    throw DecodeError(
        "read", fmt::format("expected sides of at most {}, received {}x{}", max_side, image.height(), image.width()));
  }
  if (image.height() * image.width() > limits.max_pixels) {
    throw DecodeError("read", fmt::format("expected at most {} pixels, received {}x{}; raise DecodeLimits::max_pixels "
                                          "if that is meant",
                                          limits.max_pixels, image.height(), image.width()));
  }
}

}  // namespace

RowSlot::RowSlot(Batch& batch, std::int64_t k, Layout layout)
    : pixels(batch.images.row(k)),
      slot{.data = pixels.data(), .dtype = batch.images.dtype(), .layout = layout},
      label(batch.labels.as<std::int64_t>()[static_cast<std::size_t>(k)]),
      valid(batch.valid.as<std::uint8_t>()[static_cast<std::size_t>(k)]),
      id(batch.ids[static_cast<std::size_t>(k)]),
      row(batch.rows[static_cast<std::size_t>(k)]),
      plan(batch.plans[static_cast<std::size_t>(k)]) {}

ScratchPool::ScratchPool(Pipeline pipeline, DecodeLimits limits, Integrity integrity)
    : pipeline_(std::move(pipeline)), limits_(limits), integrity_(integrity) {}

ScratchPool::Lease ScratchPool::take() {
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      auto scratch = std::move(free_.back());
      free_.pop_back();
      return {*this, std::move(scratch)};
    }
    free_.reserve(++num_scratches_);  // so that give_back() cannot fail
  }
  return {*this, std::make_unique<Scratch>(Scratch{{}, Renderer(pipeline_, limits_, integrity_)})};
}

void ScratchPool::give_back(std::unique_ptr<Scratch> scratch) noexcept {
  scratch->sample.image.reset();  // the source's image is not kept alive by us
  const std::lock_guard lock(mutex_);
  free_.push_back(std::move(scratch));
}

RowLoader::RowLoader(std::shared_ptr<const Source> source, Pipeline pipeline, LoaderOptions options, Recorder& recorder)
    : source_(std::move(source)),
      pipeline_(std::move(pipeline)),
      options_(std::move(options)),
      num_samples_(source_->size()),
      num_rows_(options_.order->num_rows()),
      scratches_(pipeline_, options_.limits, options_.integrity),
      recorder_(recorder) {}

/// Runs `work`; what it throws leaves as an Error that says where.
template <class Work>
auto RowLoader::located(std::uint64_t id, const char* step, Work&& work) const {
  try {
    return work();
  } catch (...) {
    rethrow_at(id, step);
  }
}

RowResult RowLoader::load(std::uint64_t epoch, std::optional<std::uint64_t> row, const RowSlot& slot,
                          const std::stop_token& stop) noexcept {
  RowProgress progress;
  bool wants_sample = begin(epoch, row, slot, progress);
  while (wants_sample) {
    std::exception_ptr error;
    try {
      const ScratchPool::Lease scratch = scratches_.take();
      try {
        const StepTimer timer(recorder_, WorkStep::read, epoch, progress.id);
        scratch->sample.clear();
        source_->read(progress.id, scratch->sample, stop);
      } catch (...) {
        error = std::current_exception();
      }
      wants_sample = go_on(scratch->sample, error, scratch->renderer, slot, stop, progress);
    } catch (...) {  // no memory for the scratch
      fail(located_error(progress.id), slot, progress);
      wants_sample = false;
    }
  }
  return std::move(progress.result);
}

bool RowLoader::begin(std::uint64_t epoch, std::optional<std::uint64_t> row, const RowSlot& slot,
                      RowProgress& progress) const noexcept {
  slot.row = row.value_or(Batch::no_sample);
  slot.id = Batch::no_sample;
  if (!row) {
    mask(slot);
    return false;
  }
  progress.epoch = epoch;
  try {
    progress.id = slot.id = progress.result.own_id = sample_id(epoch, *row);
    return true;
  } catch (...) {
    fail(std::current_exception(), slot, progress);
    return false;
  }
}

bool RowLoader::go_on(const Sample& sample, const std::exception_ptr& read_error, const RowSlot& slot,
                      const std::stop_token& stop, RowProgress& progress) noexcept {
  try {
    const ScratchPool::Lease scratch = scratches_.take();
    return go_on(sample, read_error, scratch->renderer, slot, stop, progress);
  } catch (...) {
    fail(located_error(progress.id), slot, progress);
    return false;
  }
}

bool RowLoader::go_on(const Sample& sample, const std::exception_ptr& read_error, Renderer& renderer,
                      const RowSlot& slot, const std::stop_token& stop, RowProgress& progress) noexcept {
  RowResult& result = progress.result;
  try {
    try {
      located(progress.id, "read", [&] {
        if (read_error) std::rethrow_exception(read_error);
        if (sample.image) check_image(*sample.image, options_.limits);
      });
      show(progress.id, sample, renderer, slot, progress);
      slot.id = progress.id;
      result.state = RowState::loaded;
      recorder_.add_sample(false, sample.bytes.size());
      if (progress.failure) {
        progress.failure->outcome = Outcome::substituted;
        progress.failure->substitute_id = progress.id;
        result.incidents.insert(result.incidents.begin(), std::move(*progress.failure));
        result.state = RowState::substituted;
      }
      return false;
    } catch (const Error& error) {
      recorder_.add_sample(true, sample.bytes.size());
      if (options_.on_error == OnError::raise || !concerns_sample(error)) throw;
      if (!progress.failure) progress.failure = describe(error, Outcome::masked, progress.epoch, slot.row);
    }
    if (options_.on_error == OnError::substitute) {
      if (draw_substitute(slot, stop, progress)) return true;
      progress.failure->message += fmt::format("; {} substitutes failed as well", progress.num_substitutes);
    }
    result.incidents.push_back(std::move(*progress.failure));
    result.state = RowState::masked;
    slot.id = result.own_id;
    mask(slot);
  } catch (const Error&) {
    fail(std::current_exception(), slot, progress);
  } catch (...) {
    fail(located_error(progress.id), slot, progress);
  }
  return false;
}

RowResult RowLoader::give_up(const std::exception_ptr& error, const RowSlot& slot,
                             RowProgress& progress) const noexcept {
  try {
    std::rethrow_exception(error);
  } catch (...) {
    fail(located_error(progress.id), slot, progress);
  }
  return std::move(progress.result);
}

RowResult RowLoader::load_own(std::uint64_t epoch, std::uint64_t row, const RowSlot& slot) {
  RowProgress progress;
  progress.epoch = epoch;
  progress.result.state = RowState::loaded;
  slot.row = row;
  slot.id = progress.result.own_id = sample_id(epoch, row);
  const ScratchPool::Lease scratch = scratches_.take();
  read(slot.id, scratch->sample);
  show(slot.id, scratch->sample, scratch->renderer, slot, progress);
  return std::move(progress.result);
}

Plan RowLoader::plan(std::uint64_t epoch, std::uint64_t row) {
  const std::uint64_t id = sample_id(epoch, row);
  const ScratchPool::Lease scratch = scratches_.take();
  read(id, scratch->sample);
  const Size size = probe(id, scratch->sample, scratch->renderer).info.size;
  return located(id, "plan", [&] { return pipeline_.plan(size, {options_.seed, epoch, id}); });
}

/// Throws ConfigError unless the order answers with a sample of the source.
std::uint64_t RowLoader::sample_id(std::uint64_t epoch, std::uint64_t row) const {
  std::uint64_t id = 0;
  try {
    id = options_.order->sample_id(epoch, row);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& cause) {
    throw ConfigError("order", fmt::format("row {} of epoch {}: {}", row, epoch, cause.what()), {},
                      std::current_exception());
  } catch (...) {
    throw ConfigError("order", fmt::format("row {} of epoch {}: unknown exception", row, epoch), {},
                      std::current_exception());
  }
  if (id >= num_samples_) {
    throw ConfigError("order", fmt::format("expected a sample id below {}, received {} for row {} of epoch {}; let the "
                                           "order give ids of the source it is used with",
                                           num_samples_, id, row, epoch));
  }
  return id;
}

Where RowLoader::where(std::uint64_t id, std::string stage) const {
  Where where{.sample_id = id, .path = {}, .stage = std::move(stage)};
  try {
    where.path = source_->name(id);
  } catch (...) {
    // A name that cannot be had must not hide the error that it is wanted for.
  }
  return where;
}

/// In a handler. A foreign exception becomes a SourceError while reading, else a StageError.
void RowLoader::rethrow_at(std::uint64_t id, const std::string& step) const {
  const auto foreign = [&](const std::string& message) {
    const std::exception_ptr cause = std::current_exception();
    if (step == "read") throw SourceError(step, message, where(id, step), cause);
    throw StageError(step, message, where(id, step), cause);
  };
  try {
    throw;
  } catch (const DecodeError& error) {
    std::rethrow_exception(error.at(where(id, step == "read" ? "read" : "decode")));
  } catch (const Error& error) {
    std::rethrow_exception(error.at(where(id, step)));
  } catch (const std::exception& error) {
    foreign(error.what());
  } catch (...) {
    foreign("unknown exception");
  }
  std::terminate();  // not reached: every handler throws
}

/// In a handler: the exception as an Error that names the sample.
std::exception_ptr RowLoader::located_error(std::uint64_t id) const noexcept {
  try {
    rethrow_at(id, "load");
  } catch (...) {
    return std::current_exception();
  }
}

/// Reads a sample for the calling thread. Throws a located Error.
void RowLoader::read(std::uint64_t id, Sample& sample) const {
  located(id, "read", [&] {
    sample.clear();
    source_->read(id, sample, {});
    if (sample.image) check_image(*sample.image, options_.limits);
  });
}

RowLoader::Header RowLoader::probe(std::uint64_t id, const Sample& sample, const Renderer& renderer) const {
  Header header;
  if (sample.image) {
    header.info.size = sample.image->size();
  } else {
    header.info = located(id, "decode", [&] { return renderer.probe(sample.bytes); });
    header.num_bytes = sample.bytes.size();
  }
  return header;
}

/// Fills the slot with sample `id`. When it throws, pixels and plan are half written.
void RowLoader::show(std::uint64_t id, const Sample& sample, Renderer& renderer, const RowSlot& slot,
                     RowProgress& progress) {
  const auto timed = [&](WorkStep step, auto&& work) {
    const StepTimer timer(recorder_, step, progress.epoch, id);
    return work();
  };
  const Header header = timed(WorkStep::probe, [&] { return probe(id, sample, renderer); });
  timed(WorkStep::plan, [&] {
    located(id, "plan", [&] { pipeline_.plan(header.info.size, {options_.seed, progress.epoch, id}, slot.plan); });
  });
  const Recorder::Clock::time_point begin = Recorder::Clock::now();
  const std::string warnings = located(id, "render", [&]() -> std::string {
    if (!sample.image) return renderer.run(slot.plan, sample.bytes, header.info, slot.slot);
    renderer.run(slot.plan, sample.image->view(), slot.slot);
    return {};
  });
  record_render(renderer.times(), begin, progress.epoch, id);
  slot.label = sample.label;
  slot.valid = 1;
  progress.result.num_bytes_read = header.num_bytes;
  if (!warnings.empty()) {
    progress.result.incidents.push_back({.outcome = Outcome::warned,
                                         .epoch = progress.epoch,
                                         .row = slot.row,
                                         .sample_id = id,
                                         .path = where(id, {}).path,
                                         .substitute_id = 0,
                                         .message = warnings,
                                         .stage = "decode"});
  }
}

/// Decoding comes first, pixel stages and rendering may take turns: shown one after the other, with the right lengths.
void RowLoader::record_render(const Renderer::Times& times, Recorder::Clock::time_point begin, std::uint64_t epoch,
                              std::uint64_t id) const noexcept {
  const Recorder::Clock::time_point end = Recorder::Clock::now();
  const Recorder::Clock::time_point decoded = begin + times.decode;
  recorder_.add(WorkStep::decode, begin, decoded, epoch, id);
  if (times.pixel.count() > 0) recorder_.add(WorkStep::pixel, decoded, decoded + times.pixel, epoch, id);
  recorder_.add(WorkStep::render, decoded + times.pixel, end, epoch, id);
}

/// A row without a sample to show.
void RowLoader::mask(const RowSlot& slot) const noexcept {
  std::memset(slot.pixels.data(), 0, slot.pixels.size());
  slot.plan = Plan{};
  slot.label = options_.filler_label;
  slot.valid = 0;
}

/// The row cannot be delivered: `error` goes to the consumer.
void RowLoader::fail(std::exception_ptr error, const RowSlot& slot, RowProgress& progress) const noexcept {
  progress.result.state = RowState::raised;
  progress.result.error = std::move(error);
  mask(slot);
}

/// The next sample to try, drawn from the row's own stream; false if enough were tried.
bool RowLoader::draw_substitute(const RowSlot& slot, const std::stop_token& stop, RowProgress& progress) const {
  if (!progress.draws) progress.draws.emplace(options_.seed, progress.epoch, slot.row, Stream::substitute);
  while (progress.num_draws < max_draws && !stop.stop_requested()) {
    ++progress.num_draws;
    const auto row =
        static_cast<std::uint64_t>(progress.draws->uniform_int(0, static_cast<std::int64_t>(num_rows_) - 1));
    progress.id = sample_id(progress.epoch, row);
    if (progress.id == progress.result.own_id) continue;  // the one that failed
    ++progress.num_substitutes;
    return true;
  }
  return false;
}

Incident describe(const Error& error, Outcome outcome, std::uint64_t epoch, std::uint64_t row) {
  const Where& where = error.where();
  return {.outcome = outcome,
          .epoch = epoch,
          .row = row,
          .sample_id = where.sample_id.value_or(Batch::no_sample),
          .path = where.path,
          .substitute_id = 0,
          .message = where.stage.empty() ? error.message() : where.stage + ": " + error.message(),
          .stage = where.stage,
          .byte_offset = where.byte_offset};
}

}  // namespace muster
