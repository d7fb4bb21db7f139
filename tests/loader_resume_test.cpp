// Resuming: a state is a short text from which the very next bytes come.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "loader_support.hpp"

namespace muster::test {
namespace {

constexpr std::uint64_t num_samples = 53;

LoaderOptions options_of(LastBatch last_batch, bool shuffle) {
  return {.batch_size = 6, .shuffle = shuffle, .seed = 11, .last_batch = last_batch, .on_error = OnError::substitute};
}

NoiseSource made_source() {
  NoiseSource source(num_samples);
  source.bad = {2, 30};
  return source;
}

/// The batches of epochs [0, num_epochs), each as its rows.
std::vector<std::vector<RowCopy>> all_batches(Loader& loader, std::uint64_t num_epochs,
                                              std::vector<std::string>* states = nullptr) {
  std::vector<std::vector<RowCopy>> batches;
  for (std::uint64_t epoch = 0; epoch < num_epochs; ++epoch) {
    for (const Batch& batch : loader.epoch(epoch)) {
      append_rows(batch, batches.emplace_back());
      if (states != nullptr) states->push_back(loader.state());
    }
  }
  return batches;
}

/// What a loader gives from `state` to the end of epoch `num_epochs` - 1.
std::vector<std::vector<RowCopy>> rest_of(Loader& loader, const std::string& state, std::uint64_t num_epochs) {
  std::vector<std::vector<RowCopy>> batches;
  EpochRange range = loader.resume(state);
  for (std::uint64_t epoch = range.epoch(); epoch < num_epochs; ++epoch) {
    if (epoch != range.epoch()) range = loader.epoch(epoch);
    for (const Batch& batch : range) append_rows(batch, batches.emplace_back());
  }
  return batches;
}

std::string refusal(const NoiseSource& source, const Pipeline& pipeline, const LoaderOptions& options,
                    const std::string& state) {
  Loader loader(source, pipeline, options);
  return message_of<ConfigError>([&] { loader.resume(state); });
}

}  // namespace

TEST_CASE("resume: every cut point of two epochs goes on with the very next bytes, under every policy") {
  for (const LastBatch last_batch : {LastBatch::partial, LastBatch::drop, LastBatch::pad, LastBatch::wrap}) {
    for (const bool shuffle : {false, true}) {
      const LoaderOptions options = options_of(last_batch, shuffle);
      Loader loader(made_source(), random_pipeline(), options);
      std::vector<std::string> states{loader.state()};  // before anything was delivered
      const auto whole = all_batches(loader, 2, &states);
      REQUIRE(states.size() == whole.size() + 1);
      for (std::size_t cut = 0; cut < states.size(); ++cut) {
        LoaderOptions other = options;
        other.num_threads = 1 + static_cast<int>(cut % 3);
        other.prefetch = 1 + static_cast<int>(cut % 4);
        other.num_io_threads = cut % 2 == 0 ? 0 : 3;
        Loader resumed(made_source(), random_pipeline(), other);
        const auto rest = rest_of(resumed, states[cut], 2);
        CHECK(rest == std::vector(whole.begin() + static_cast<std::ptrdiff_t>(cut), whole.end()));
      }
    }
  }
}

TEST_CASE("resume: the state after the last batch of an epoch is the start of the next") {
  Loader loader(made_source(), random_pipeline(), options_of(LastBatch::partial, true));
  for (const Batch& batch : loader.epoch(4)) CHECK(batch.epoch == 4);
  Loader resumed(made_source(), random_pipeline(), options_of(LastBatch::partial, true));
  EpochRange range = resumed.resume(loader.state());
  CHECK(range.epoch() == 5);
  const auto first = range.next();
  REQUIRE(first);
  CHECK(first->index == 0);
}

TEST_CASE("resume: before the first batch the state is the one that was resumed") {
  Loader loader(made_source(), random_pipeline(), options_of(LastBatch::partial, true));
  EpochRange range = loader.epoch(2);
  REQUIRE(range.next());
  const std::string state = loader.state();
  Loader resumed(made_source(), random_pipeline(), options_of(LastBatch::partial, true));
  const EpochRange rest = resumed.resume(state);
  CHECK(resumed.state() == state);
}

TEST_CASE("resume: another number of ranks with the same global batch shows the same rows, each the same") {
  LoaderOptions options = options_of(LastBatch::pad, true);
  options.batch_size = 12;
  Loader one(made_source(), random_pipeline(), options);
  EpochRange range = one.epoch(0);
  REQUIRE(range.next());
  REQUIRE(range.next());
  const std::string state = one.state();
  std::map<std::uint64_t, RowCopy> expected;
  while (auto batch = range.next()) {
    std::vector<RowCopy> rows;
    append_rows(*batch, rows);
    for (RowCopy& row : rows) {
      if (row.id != Batch::no_sample) expected.emplace(row.row, row);
    }
  }
  for (const std::uint64_t num_ranks : {2u, 3u, 4u}) {
    std::map<std::uint64_t, RowCopy> found;
    for (std::uint64_t rank = 0; rank < num_ranks; ++rank) {
      LoaderOptions sharded = options;
      sharded.batch_size = 12 / static_cast<std::int64_t>(num_ranks);
      sharded.shard = {rank, num_ranks};
      Loader loader(made_source(), random_pipeline(), sharded);
      for (RowCopy& row : rows_of(loader.resume(state))) {
        if (row.id == Batch::no_sample) continue;
        CHECK(found.emplace(row.row, row).second);
      }
    }
    CHECK(found == expected);
  }
}

TEST_CASE("resume: what changed is named, and nothing is begun") {
  const LoaderOptions options = options_of(LastBatch::partial, true);
  Loader loader(made_source(), random_pipeline(), options);
  EpochRange range = loader.epoch(0);
  REQUIRE(range.next());
  const std::string state = loader.state();

  CHECK(refusal(made_source(), random_pipeline(), options, state).empty());
  CHECK(mentions(refusal(NoiseSource(54), random_pipeline(), options, state), {"number of samples", "53", "54"}));

  class Renamed : public NoiseSource {
   public:
    using NoiseSource::NoiseSource;
    std::string name(std::uint64_t id) const override { return id == 17 ? "other" : NoiseSource::name(id); }
  };
  Loader renamed(Renamed(num_samples), random_pipeline(), options);
  CHECK(mentions(message_of<ConfigError>([&] { renamed.resume(state); }), {"names of samples"}));

  const Pipeline other{RandomResizedCrop{.size = {8, 6}}, RandomHorizontalFlip{.p = 0.25}};
  CHECK(mentions(refusal(made_source(), other, options, state), {"pipeline", "RandomHorizontalFlip", "0.25"}));
  const Pipeline shorter{RandomResizedCrop{.size = {8, 6}}};
  CHECK(mentions(refusal(made_source(), shorter, options, state), {"pipeline", "nothing"}));
  const Pipeline grey({RandomResizedCrop{.size = {8, 6}}, RandomHorizontalFlip{}}, {.color = Color::grey});
  CHECK(mentions(refusal(made_source(), grey, options, state), {"pipeline", "grey"}));

  const auto with = [&](auto change) {
    LoaderOptions changed = options;
    change(changed);
    return refusal(made_source(), random_pipeline(), changed, state);
  };
  CHECK(mentions(with([](LoaderOptions& o) { o.seed = 12; }), {"seed", "11", "12"}));
  CHECK(mentions(with([](LoaderOptions& o) { o.shuffle = false; }), {"order", "shuffle"}));
  CHECK(mentions(with([](LoaderOptions& o) { o.exclude = {5}; }), {"rows", "52"}));
  CHECK(mentions(with([](LoaderOptions& o) { o.batch_size = 7; }), {"global batch", "6", "7"}));
  CHECK(mentions(with([](LoaderOptions& o) { o.last_batch = LastBatch::pad; }), {"last-batch", "partial", "pad"}));
  CHECK(mentions(with([](LoaderOptions& o) { o.dtype = DType::float32; }), {"uint8, nchw", "float32, nchw"}));
  CHECK(mentions(with([](LoaderOptions& o) { o.layout = Layout::nhwc; }), {"nhwc"}));
  CHECK(mentions(with([](LoaderOptions& o) { o.filler_label = -100; }), {"filler label -1", "-100"}));
}

TEST_CASE("resume: what becomes of samples that fail may change, so that a run that stopped at one can go on") {
  NoiseSource source = made_source();
  source.bad = {20};
  LoaderOptions options{.batch_size = 5};
  Loader loader(source, random_pipeline(), options);
  CHECK_THROWS_AS(rows_of(loader, 0), SourceError);
  options.on_error = OnError::mask;
  options.integrity = Integrity::full;
  Loader tolerant(source, random_pipeline(), options);
  const std::vector<RowCopy> rest = rows_of(tolerant.resume(loader.state()));
  REQUIRE(rest.size() == num_samples - 20);
  CHECK_FALSE(rest.front().valid);
}

TEST_CASE("resume: another list of samples to leave out is refused, also one of the same length") {
  LoaderOptions options = options_of(LastBatch::partial, false);
  options.exclude = {25};
  Loader loader(NoiseSource(500), random_pipeline(), options);
  const std::string state = loader.state();
  CHECK(refusal(NoiseSource(500), random_pipeline(), options, state).empty());
  options.exclude = {26};
  CHECK(mentions(refusal(NoiseSource(500), random_pipeline(), options, state), {"order", "exclude"}));
}

TEST_CASE("resume: text that is no state is refused, whatever it is") {
  const LoaderOptions options = options_of(LastBatch::partial, true);
  Loader loader(made_source(), random_pipeline(), options);
  const std::string state = loader.state();
  for (const char* text : {"", "null", "[]", "{}", "17", "\xff\xfe", "{\"muster\":1}", "{\"muster\":\"1\"}"}) {
    CHECK_THROWS_AS(loader.resume(text), ConfigError);
  }
  const std::string deep = "{\"muster\":" + std::string(1'000'000, '[') + std::string(1'000'000, ']') + "}";
  CHECK(mentions(message_of<ConfigError>([&] { loader.resume(deep); }), {"is it whole", "64 levels"}));
  for (std::size_t length = 0; length < state.size(); ++length) {
    CHECK_THROWS_AS(loader.resume(state.substr(0, length)), ConfigError);
  }
  const auto with = [&](const char* key, const nlohmann::json& value) {
    auto json = nlohmann::json::parse(state);
    json[key] = value;
    return message_of<ConfigError>([&] { loader.resume(json.dump()); });
  };
  CHECK(mentions(with("muster", 2), {"version"}));
  CHECK(mentions(with("next_row", 5), {"next row"}));
  CHECK(mentions(with("next_row", 6000), {"next row"}));
  CHECK(mentions(with("next_row", -6), {"next_row"}));
  CHECK(mentions(with("epoch", "x"), {"epoch"}));
  CHECK(mentions(with("pipeline", 3), {"pipeline"}));
  CHECK(mentions(with("global_batch", 0), {"global batch"}));
}

TEST_CASE("resume: the state is one short line") {
  Loader loader(made_source(), Pipeline::preset("imagenet-train"), options_of(LastBatch::partial, true));
  const std::string state = loader.state();
  CHECK(state.find('\n') == std::string::npos);
  CHECK(state.size() < 600);
}

}  // namespace muster::test
