#include "loader/state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "json.hpp"
#include "source/hash.hpp"

namespace muster {
namespace {

constexpr std::uint64_t state_version = 1;

[[noreturn]] void refuse(const std::string& message) { throw ConfigError("resume", message); }

/// Everything that decides which row comes when and how it looks. Plain values, compared one by one.
struct Identity {
  std::uint64_t seed = 0;
  std::uint64_t num_samples = 0;
  Fingerprint data_set;
  std::vector<std::string> pipeline;  // how images are decoded, what batches hold, a line a stage
  std::uint64_t num_rows = 0;
  std::uint64_t order = 0;  // a hash over some of its rows
  std::uint64_t global_batch_size = 0;
  std::string last_batch;
};

/// Some rows of the order, and every id that is left out: what differs in neither goes on with the same rows, but for
/// an own order that differs only in rows not looked at.
std::uint64_t hash_of(const LoaderOptions& options) {
  constexpr std::uint64_t max_sampled_rows = 64;
  const Order& order = *options.order;
  const std::uint64_t num_rows = order.num_rows();
  const std::uint64_t num_sampled = std::min(num_rows, max_sampled_rows);
  ContentHash hash;
  for (const std::uint64_t id : options.exclude) hash.add(id);
  for (std::uint64_t i = 0; i < num_sampled; ++i) hash.add(order.sample_id(0, i * (num_rows / num_sampled)));
  return hash.value();
}

Identity identity_of(const LoaderCore& core) {
  Identity identity;
  identity.seed = core.options.seed;
  identity.num_samples = core.source->size();
  identity.data_set = core.source->fingerprint();
  const DecodeOptions& decode = core.pipeline.decode_options();
  identity.pipeline.push_back(fmt::format(
      "decode: {}, orientation {}, {}", decode.color == Color::grey ? "grey" : "rgb",
      decode.apply_orientation ? "applied" : "ignored", decode.mode == DecodeMode::fast ? "fast" : "exact"));
  identity.pipeline.push_back(fmt::format("batch: {}, {}, filler label {}", name(core.spec.dtype),
                                          name(core.spec.layout), core.options.filler_label));
  for (const ShapeProof::Row& row : core.pipeline.proof().rows) identity.pipeline.push_back(row.stage);
  identity.num_rows = core.num_rows;
  identity.order = hash_of(core.options);
  identity.global_batch_size = static_cast<std::uint64_t>(core.options.batch_size) * core.options.shard.count;
  identity.last_batch = name(core.options.last_batch);
  return identity;
}

std::string hex(std::uint64_t hash) { return fmt::format("{:016x}", hash); }

Json parse(std::string_view text) {
  try {
    return Json::parse(text, "resume");
  } catch (const ConfigError& error) {
    refuse(fmt::format("expected the text that Loader::state() gave, received something else; is it whole? ({})",
                       error.message()));
  }
}

/// Refuses when a value of the state is not the loader's.
template <class T>
void expect_same(const T& then, const T& now, const char* what, const char* advice) {
  if (then == now) return;
  refuse(fmt::format("expected the {} that the state was saved with, {}, received {}; {}", what, Json(then).shown(),
                     Json(now).shown(), advice));
}

void expect_same_pipeline(const std::vector<std::string>& then, const std::vector<std::string>& now) {
  const auto [before, after] = std::ranges::mismatch(then, now);
  if (before == then.end() && after == now.end()) return;
  const auto line = [](const auto& at, const auto& lines) { return at == lines.end() ? "nothing" : Json(*at).shown(); };
  refuse(
      fmt::format("expected the pipeline that the state was saved with, received another: {} (line {} of {}) is now "
                  "{}; use the same pipeline, or begin anew",
                  line(before, then), before - then.begin(), then.size(), line(after, now)));
}

void expect_same_identity(const JsonObject& state, const LoaderCore& core) {
  const Identity now = identity_of(core);
  const auto number = [&](const char* key, std::uint64_t value, const char* what, const char* advice) {
    expect_same(state.number(key), value, what, advice);
  };
  const auto text = [&](const char* key, const std::string& value, const char* what, const char* advice) {
    expect_same(state.text(key), value, what, advice);
  };
  const char* const same_data = "resume with the same files, or begin anew";
  number("samples", now.num_samples, "number of samples", same_data);
  text("names", hex(now.data_set.names), "names of samples (here as a hash)", same_data);
  text("labels", hex(now.data_set.labels), "labels (here as a hash)", same_data);
  expect_same_pipeline(state.texts("pipeline"), now.pipeline);
  number("seed", now.seed, "seed", "set LoaderOptions::seed");
  number("rows", now.num_rows, "number of rows in an epoch", "set LoaderOptions::exclude or order as it was");
  text("order", hex(now.order), "order (here as a hash)", "set LoaderOptions::shuffle, exclude or order as it was");
  number("global_batch", now.global_batch_size, "global batch (batch size times ranks)",
         "choose LoaderOptions::batch_size so that it stays the same");
  text("last_batch", now.last_batch, "last-batch policy", "set LoaderOptions::last_batch");
}

}  // namespace

std::string state_of(const LoaderCore& core, const Position& position) {
  const Identity identity = identity_of(core);
  const Json::Object state = {{"muster", state_version},
                              {"epoch", position.epoch},
                              {"next_row", position.next_batch * identity.global_batch_size},
                              {"failed", position.num_failed},
                              {"seed", identity.seed},
                              {"samples", identity.num_samples},
                              {"names", hex(identity.data_set.names)},
                              {"labels", hex(identity.data_set.labels)},
                              {"pipeline", Json::List(identity.pipeline.begin(), identity.pipeline.end())},
                              {"rows", identity.num_rows},
                              {"order", hex(identity.order)},
                              {"global_batch", identity.global_batch_size},
                              {"last_batch", identity.last_batch}};
  return Json(state).dump();
}

Position position_of(const LoaderCore& core, std::string_view text) {
  const Json json = parse(text);
  const JsonObject state(json, "resume");
  if (const std::uint64_t version = state.number("muster"); version != state_version) {
    refuse(fmt::format("expected a state of version {}, received one of version {}, which another muster wrote",
                       state_version, version));
  }
  expect_same_identity(state, core);
  const std::uint64_t next_row = state.number("next_row");
  const std::uint64_t global_batch_size = state.number("global_batch");
  const Position position{
      .epoch = state.number("epoch"), .next_batch = next_row / global_batch_size, .num_failed = state.number("failed")};
  if (next_row % global_batch_size != 0 || position.next_batch >= core.layout.num_batches()) {
    refuse(fmt::format("expected the next row to begin a batch of {} below row {}, received {}; the state is damaged",
                       global_batch_size, core.num_rows, next_row));
  }
  return position;
}

}  // namespace muster
