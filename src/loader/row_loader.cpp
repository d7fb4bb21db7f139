#include "loader/row_loader.hpp"

#include <fmt/format.h>

#include <cstring>
#include <new>
#include <utility>

namespace muster {
namespace {

constexpr int max_substitutes = 8;

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

RowLoader::RowLoader(std::shared_ptr<const Source> source, Pipeline pipeline, LoaderOptions options)
    : source_(std::move(source)),
      pipeline_(std::move(pipeline)),
      options_(std::move(options)),
      num_samples_(source_->size()),
      num_rows_(options_.order->num_rows()),
      scratches_(pipeline_, options_.limits, options_.integrity) {}

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
  RowResult result;
  slot.row = row.value_or(Batch::no_sample);
  if (!row) {
    slot.id = Batch::no_sample;
    mask(slot);
    return result;
  }
  try {
    slot.id = Batch::no_sample;
    slot.id = sample_id(epoch, *row);
    try {
      show(epoch, *row, slot.id, slot, stop, result);
      result.state = RowState::loaded;
    } catch (const Error& error) {
      if (options_.on_error == OnError::raise || !concerns_sample(error)) throw;
      recover(epoch, *row, error, slot, stop, result);
    }
  } catch (const Error&) {
    result.state = RowState::raised;
    result.error = std::current_exception();
    mask(slot);
  } catch (...) {
    result.state = RowState::raised;
    result.error = located_error(slot.id);
    mask(slot);
  }
  return result;
}

RowResult RowLoader::load_own(std::uint64_t epoch, std::uint64_t row, const RowSlot& slot) {
  RowResult result;
  result.state = RowState::loaded;
  slot.row = row;
  slot.id = sample_id(epoch, row);
  show(epoch, row, slot.id, slot, {}, result);
  return result;
}

Plan RowLoader::plan(std::uint64_t epoch, std::uint64_t row) {
  const std::uint64_t id = sample_id(epoch, row);
  const ScratchPool::Lease scratch = scratches_.take();
  const Size size = read(id, *scratch, {}).info.size;
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

RowLoader::Header RowLoader::read(std::uint64_t id, ScratchPool::Scratch& scratch, const std::stop_token& stop) const {
  Sample& sample = scratch.sample;
  located(id, "read", [&] {
    sample.clear();
    source_->read(id, sample, stop);
    if (sample.image) check_image(*sample.image, options_.limits);
  });
  Header header;
  if (sample.image) {
    header.info.size = sample.image->size();
  } else {
    header.info = located(id, "decode", [&] { return scratch.renderer.probe(sample.bytes); });
    header.num_bytes = sample.bytes.size();
  }
  return header;
}

/// Fills the slot with sample `id`. When it throws, pixels and plan are half written.
void RowLoader::show(std::uint64_t epoch, std::uint64_t row, std::uint64_t id, const RowSlot& slot,
                     const std::stop_token& stop, RowResult& result) {
  const ScratchPool::Lease scratch = scratches_.take();
  const Sample& sample = scratch->sample;
  const Header header = read(id, *scratch, stop);
  located(id, "plan", [&] { pipeline_.plan(header.info.size, {options_.seed, epoch, id}, slot.plan); });
  const std::string warnings = located(id, "render", [&]() -> std::string {
    if (!sample.image) return scratch->renderer.run(slot.plan, sample.bytes, header.info, slot.slot);
    scratch->renderer.run(slot.plan, sample.image->view(), slot.slot);
    return {};
  });
  slot.label = sample.label;
  slot.valid = 1;
  result.num_bytes_read = header.num_bytes;
  if (!warnings.empty()) {
    result.incidents.push_back({.outcome = Outcome::warned,
                                .epoch = epoch,
                                .row = row,
                                .sample_id = id,
                                .path = where(id, {}).path,
                                .substitute_id = 0,
                                .message = warnings});
  }
}

/// A row without a sample to show.
void RowLoader::mask(const RowSlot& slot) const noexcept {
  std::memset(slot.pixels.data(), 0, slot.pixels.size());
  slot.plan = Plan{};
  slot.label = options_.filler_label;
  slot.valid = 0;
}

/// Masks or replaces a sample that failed with `error`.
void RowLoader::recover(std::uint64_t epoch, std::uint64_t row, const Error& error, const RowSlot& slot,
                        const std::stop_token& stop, RowResult& result) {
  Incident incident = describe(error, Outcome::masked, epoch, row);
  if (options_.on_error == OnError::substitute) {
    if (substitute(epoch, row, slot, stop, result)) {
      incident.outcome = Outcome::substituted;
      incident.substitute_id = slot.id;
      result.incidents.insert(result.incidents.begin(), std::move(incident));
      result.state = RowState::substituted;
      return;
    }
    incident.message += fmt::format("; {} substitutes failed as well", max_substitutes);
  }
  result.incidents.push_back(std::move(incident));
  result.state = RowState::masked;
  mask(slot);
}

/// Tries samples of rows drawn from the row's own stream. True if one now fills the slot, its id included.
bool RowLoader::substitute(std::uint64_t epoch, std::uint64_t row, const RowSlot& slot, const std::stop_token& stop,
                           RowResult& result) {
  Rng rng(options_.seed, epoch, row, Stream::substitute);
  for (int draw = 0; draw < max_substitutes && !stop.stop_requested(); ++draw) {
    const auto drawn = static_cast<std::uint64_t>(rng.uniform_int(0, static_cast<std::int64_t>(num_rows_) - 1));
    const std::uint64_t id = sample_id(epoch, drawn);
    if (id == slot.id) continue;  // the one that failed
    try {
      show(epoch, row, id, slot, stop, result);
      slot.id = id;
      return true;
    } catch (const Error& error) {
      if (!concerns_sample(error)) throw;
    }
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
          .message = where.stage.empty() ? error.message() : where.stage + ": " + error.message()};
}

}  // namespace muster
