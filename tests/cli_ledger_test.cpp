// muster ledger: what the ranks of a run delivered, merged and held against the order.
#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "muster/muster.hpp"
#include "program.hpp"
#include "support.hpp"

namespace muster::test {
namespace {

namespace fs = std::filesystem;

Words operator+(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

/// Ten images, in the order that seed 7 shuffles them to.
struct Run {
  TempDir dir;
  fs::path data = dir.path() / "data";
  Words order = {"--shuffle", "--seed", "7"};

  Run() {
    write_ten_images(data);
    write_file(dir.path() / "pipeline.json", R"({"stages":[{"Resize":{"size":[8,8]}}]})");
  }

  fs::path ledger(int rank) const { return dir.path() / fmt::format("{}.json", rank); }
  Ledger read(int rank) const { return Ledger::from_json(text_of(ledger(rank))); }

  /// What one of `count` ranks delivers of the epoch, with further words.
  void export_rank(int rank, int count, const Words& more = {}, const std::string& num_batches = "all") const {
    const Words words = {"export", data, "--batches", num_batches, "--batch-size", "2"};
    const Words files = {"--pipeline", dir.path() / "pipeline.json",
                         "--ledger",   ledger(rank),
                         "-o",         dir.path() / fmt::format("{}-{{}}.npy", rank)};
    const Result result = run(words + files + order + Words{"--shard", fmt::format("{}/{}", rank, count)} + more);
    CAPTURE(result.err);
    REQUIRE(result.status == 0);
  }

  /// With the words of the order, and more.
  Result prove(const std::vector<fs::path>& ledgers, const Words& more = {}) const {
    return run(Words{"ledger", data} + Words(ledgers.begin(), ledgers.end()) + order + more);
  }
};

}  // namespace

TEST_CASE("ledger: all ranks of an epoch prove it, and those of some name what is missing") {
  const Run run;
  for (const int rank : {0, 1, 2}) run.export_rank(rank, 3);
  const Result all = run.prove({run.ledger(0), run.ledger(1), run.ledger(2)});
  CHECK(all.status == 0);
  CHECK(all.err.empty());
  CHECK(says(all.out, "3 ledgers, 10 showings in 10 rows\nevery sample was shown exactly once\n"));

  const Result some = run.prove({run.ledger(0), run.ledger(2)});
  CHECK(some.status == 1);
  CHECK(says(some.err, "not every sample was shown exactly once"));
  const ShuffledOrder order(10, 7);
  const ImageFolder source(run.data);
  std::uint64_t num_missing = 0;
  for (const int rank : {0, 1, 2}) {
    for (const RowRun& rows : run.read(rank).runs) {
      for (std::uint64_t i = 0; i < rows.count; ++i) {
        const std::uint64_t id = order.sample_id(0, rows.first + i * rows.stride);
        CHECK(says(some.out, fmt::format("  {} ({})\n", source.name(id), id)) == (rank == 1));
        if (rank == 1) ++num_missing;
      }
    }
  }
  CHECK(num_missing > 1);
  CHECK(says(some.out, fmt::format("{} samples were never shown:\n", num_missing)));
}

TEST_CASE("ledger: several become one file, which stands for them") {
  const Run run;
  for (const int rank : {0, 1, 2}) run.export_rank(rank, 3);
  const fs::path merged = run.dir.path() / "merged.json";
  CHECK(run.prove({run.ledger(0), run.ledger(2)}, {"--merged", merged}).status == 1);
  CHECK(run.prove({run.ledger(1), merged}).status == 0);
  const Result twice = run.prove({merged, run.ledger(1), run.ledger(1)});
  CHECK(twice.status == 1);
  CHECK(says(twice.out, fmt::format("{} showings too many:\n", run.read(1).num_shown)));

  const Result itself = run.prove({run.ledger(0), merged}, {"--merged", merged});
  CHECK(itself.status == 2);
  CHECK(says(itself.err, "which LEDGER reads, too"));
}

TEST_CASE("ledger: substitutes, fillers, rows that come twice and samples left out are accounted for") {
  const Run run;
  write_file(run.data / "cat" / "02.png", "no image");
  run.export_rank(0, 1, {"--on-error", "substitute"});
  const Result substituted = run.prove({run.ledger(0)});
  CHECK(substituted.status == 1);
  CHECK(says(substituted.out, "10 showings in 10 rows, 1 by a substitute\n"));
  CHECK(says(substituted.out, "1 sample was never shown:\n  cat/02.png (2)\n1 showing too many:\n"));

  const fs::path list = run.dir.path() / "exclude.jsonl";
  write_file(list, "{\"id\":2}\n");
  const Words excluding = {"--exclude", list};
  run.export_rank(0, 1, excluding + Words{"--last-batch", "pad"});
  const Result nine = run.prove({run.ledger(0)}, excluding);
  CHECK(nine.status == 0);
  CHECK(says(nine.out, "1 ledger, 9 showings in 9 rows, 1 filler\n"));
  const Result of_ten = run.prove({run.ledger(0)});
  CHECK(of_ten.status == 2);
  CHECK(says(of_ten.err, "expected ledgers of 10 rows"));
  CHECK(says(of_ten.err, "are DIR and --exclude the run's?"));

  run.export_rank(0, 1, excluding + Words{"--last-batch", "wrap"});
  const Result ten = run.prove({run.ledger(0)}, excluding);
  CHECK(ten.status == 1);
  CHECK(says(ten.out, "10 showings in 9 rows, 1 of the start again\n1 showing too many:\n"));
}

TEST_CASE("ledger: of a rank that went on, the last one holds all") {
  const Run run;
  const Words state = {"--state", run.dir.path() / "state.json"};
  run.export_rank(0, 2, state, "1");
  const fs::path first = run.dir.path() / "first.json";
  fs::copy_file(run.ledger(0), first);
  run.export_rank(0, 2, state);
  run.export_rank(1, 2);
  CHECK(run.prove({run.ledger(0), run.ledger(1)}).status == 0);
  CHECK(says(run.prove({first, run.ledger(0), run.ledger(1)}).out, "2 showings too many:\n"));
}

TEST_CASE("ledger: a compressed archive is shuffled among a buffer, which has to be the run's") {
  Run run;
  const fs::path archive = run.dir.path() / "data.tar.gz";
  REQUIRE(std::system(fmt::format("tar -C {} -czf {} .", quoted(run.data), quoted(archive)).c_str()) == 0);
  run.data = archive;
  run.order.insert(run.order.end(), {"--shuffle-buffer", "4"});
  run.export_rank(0, 2);
  CHECK(says(run.prove({run.ledger(0)}).out, "samples were never shown"));
  run.order.back() = "5";
  const Result other = run.prove({run.ledger(0)});
  CHECK(other.status == 2);
  CHECK(says(other.err, "--shuffle-buffer"));
}

TEST_CASE("ledger: the result for programs") {
  const Run run;
  for (const int rank : {0, 1}) run.export_rank(rank, 2);
  const auto whole = nlohmann::json::parse(run.prove({run.ledger(0), run.ledger(1)}, {"--json"}).out);
  CHECK(whole.at("exactly_once") == true);
  CHECK(whole.at("ledgers") == 2);
  CHECK(whole.at("shown") == 10);
  CHECK(whole.at("missing").empty());
  const auto half = nlohmann::json::parse(run.prove({run.ledger(0)}, {"--json"}).out);
  CHECK(half.at("exactly_once") == false);
  REQUIRE(half.at("num_missing") > 0);
  CHECK(half.at("num_missing") == half.at("missing").size());
  const auto& missing = half.at("missing").at(0);
  CHECK(missing.at("path") == ImageFolder(run.data).name(missing.at("id").get<std::uint64_t>()));
}

TEST_CASE("ledger: another order, another epoch, and files that are no ledgers are told apart") {
  Run run;
  run.export_rank(0, 2);
  run.order.back() = "8";
  const Result other = run.prove({run.ledger(0)});
  CHECK(other.status == 2);
  CHECK(says(other.err, "these rows show other samples than the order says"));
  CHECK(other.out.empty());
  CHECK(run.prove({run.ledger(0)}, {"--json"}).out.empty());

  run.export_rank(1, 2, {"--epoch", "3"});
  const Result mixed = run.prove({run.ledger(0), run.ledger(1)});
  CHECK(mixed.status == 2);
  CHECK(says(mixed.err, "[LEDGER] " + run.ledger(1).string() + ": expected a ledger of epoch 0"));

  write_file(run.ledger(2), "no ledger");
  const Result none = run.prove({run.ledger(2)});
  CHECK(none.status == 2);
  CHECK(says(none.err, "expected a ledger, as --ledger writes it, in " + run.ledger(2).string()));
  const Result absent = run.prove({run.dir.path() / "absent.json"});
  CHECK(absent.status == 2);
  CHECK(says(absent.err, "absent.json: No such file"));
  CHECK(says(run.prove({}).err, "LEDGER is required"));

  const Result with_help = test::run({"ledger", "--help"});
  CHECK(with_help.status == 0);
  CHECK(says(with_help.out, "LEDGER ..."));
}

}  // namespace muster::test
