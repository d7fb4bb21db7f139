#include "loader/state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "source/hash.hpp"

namespace muster {
namespace {

using Json = nlohmann::ordered_json;

constexpr int state_version = 1;

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

Json to_json(const Identity& identity) {
  return {{"seed", identity.seed},
          {"samples", identity.num_samples},
          {"names", fmt::format("{:016x}", identity.data_set.names)},
          {"labels", fmt::format("{:016x}", identity.data_set.labels)},
          {"pipeline", identity.pipeline},
          {"rows", identity.num_rows},
          {"order", fmt::format("{:016x}", identity.order)},
          {"global_batch", identity.global_batch_size},
          {"last_batch", identity.last_batch}};
}

/// The value of `key` as a T; refuses the state if it has none.
template <class T>
T value_of(const Json& state, const char* key) {
  const auto found = state.find(key);
  if (found == state.end()) refuse(fmt::format("expected \"{}\" in the state, received none; is the text whole?", key));
  if constexpr (std::is_same_v<T, std::uint64_t>) {
    if (!found->is_number_unsigned()) {
      refuse(fmt::format("expected \"{}\" in the state to be a number, received a {}", key, found->type_name()));
    }
  }
  try {
    return found->get<T>();
  } catch (const nlohmann::json::exception&) {
    refuse(
        fmt::format("expected another kind of value for \"{}\" in the state, received a {}", key, found->type_name()));
  }
}

/// Refuses when a value of the state is not the loader's.
template <class T>
void expect_same(const Json& state, const char* key, const T& now, const char* what, const char* advice) {
  const T then = value_of<T>(state, key);
  if (then == now) return;
  refuse(fmt::format("expected the {} that the state was saved with, {}, received {}; {}", what, then, now, advice));
}

void expect_same_pipeline(const Json& state, const std::vector<std::string>& now) {
  const auto then = value_of<std::vector<std::string>>(state, "pipeline");
  const auto [before, after] = std::ranges::mismatch(then, now);
  if (before == then.end() && after == now.end()) return;
  const auto line = [](const auto& at, const auto& lines) { return at == lines.end() ? "nothing" : *at; };
  refuse(
      fmt::format("expected the pipeline that the state was saved with, received another: {} (line {} of {}) is now "
                  "{}; use the same pipeline, or begin anew",
                  line(before, then), before - then.begin(), then.size(), line(after, now)));
}

void expect_same_identity(const Json& state, const LoaderCore& core) {
  const Json now = to_json(identity_of(core));
  const auto number = [&](const char* key, const char* what, const char* advice) {
    expect_same<std::uint64_t>(state, key, now[key].get<std::uint64_t>(), what, advice);
  };
  const auto text = [&](const char* key, const char* what, const char* advice) {
    expect_same<std::string>(state, key, now[key].get<std::string>(), what, advice);
  };
  const char* const same_data = "resume with the same files, or begin anew";
  number("samples", "number of samples", same_data);
  text("names", "names of samples (here as a hash)", same_data);
  text("labels", "labels (here as a hash)", same_data);
  expect_same_pipeline(state, now["pipeline"].get<std::vector<std::string>>());
  number("seed", "seed", "set LoaderOptions::seed");
  number("rows", "number of rows in an epoch", "set LoaderOptions::exclude or order as it was");
  text("order", "order (here as a hash)", "set LoaderOptions::shuffle, exclude or order as it was");
  number("global_batch", "global batch (batch size times ranks)",
         "choose LoaderOptions::batch_size so that it stays the same");
  text("last_batch", "last-batch policy", "set LoaderOptions::last_batch");
}

}  // namespace

std::string state_of(const LoaderCore& core, const Position& position) {
  const Identity identity = identity_of(core);
  Json state = {{"muster", state_version},
                {"epoch", position.epoch},
                {"next_row", position.next_batch * identity.global_batch_size},
                {"failed", position.num_failed}};
  state.update(to_json(identity));
  return state.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Position position_of(const LoaderCore& core, std::string_view text) {
  const Json state = Json::parse(text, nullptr, false);
  if (!state.is_object()) refuse("expected the text that Loader::state() gave, received something else; is it whole?");
  if (const auto version = value_of<std::uint64_t>(state, "muster"); version != state_version) {
    refuse(fmt::format("expected a state of version {}, received one of version {}, which another muster wrote",
                       state_version, version));
  }
  expect_same_identity(state, core);
  const auto next_row = value_of<std::uint64_t>(state, "next_row");
  const std::uint64_t global_batch_size = value_of<std::uint64_t>(state, "global_batch");
  const Position position{.epoch = value_of<std::uint64_t>(state, "epoch"),
                          .next_batch = next_row / global_batch_size,
                          .num_failed = value_of<std::uint64_t>(state, "failed")};
  if (next_row % global_batch_size != 0 || position.next_batch >= core.layout.num_batches()) {
    refuse(fmt::format("expected the next row to begin a batch of {} below row {}, received {}; the state is damaged",
                       global_batch_size, core.num_rows, next_row));
  }
  return position;
}

}  // namespace muster
