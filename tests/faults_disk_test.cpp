// Full disks, wherever they become full: what the program writes is there as a whole or not at all, whoever looks, and
// the call ends with the file's name and the cause.
#include <doctest/doctest.h>

#include <atomic>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "jpeg.hpp"
#include "output_trial.hpp"
#include "program.hpp"
#include "support.hpp"

namespace muster::test {
namespace {

namespace fs = std::filesystem;

using Given = OutputTrial;

enum class Kind {
  whole,    // takes its name once it is complete
  growing,  // lines, each as a whole
  begun,    // whole, and read where it is there already
  timed     // whole, of another length every time
};

struct Output {
  std::string command;
  std::string option;
  Kind kind;
};

const Output outputs[] = {
    {"export", "--output", Kind::whole},    {"export", "--labels", Kind::whole}, {"export", "--records", Kind::whole},
    {"export", "--state", Kind::begun},     {"export", "--ledger", Kind::whole}, {"export", "--report", Kind::growing},
    {"export", "--trace", Kind::timed},     {"export", "--index", Kind::begun},  {"bench", "--trace", Kind::timed},
    {"bench", "--report", Kind::growing},   {"verify", "--trace", Kind::timed},  {"verify", "--report", Kind::growing},
    {"inspect", "--png", Kind::whole},      {"inspect", "--html", Kind::whole},  {"inspect", "--index", Kind::begun},
    {"inspect", "--report", Kind::growing}, {"preview", "--html", Kind::whole},  {"preview", "--output", Kind::whole},
    {"preview", "--index", Kind::begun}};

/// The command with this one output, at `file`.
Words call(const Given& given, const Output& output, const fs::path& file) {
  const auto& [command, option, kind] = output;
  Words words = {command, given.folder, "--pipeline", given.pipeline, "--batch-size",
                 "9",     "--on-error", "mask",       option,         file};
  if (command == "export" && option != "--output") {
    words.insert(words.end(), {"--output", "/dev/null"});
  }
  if (command == "bench") words.insert(words.end(), {"--epochs", "1"});
  if (command == "preview") {
    words.insert(words.end(), {"--samples", "2", "--cell", "32"});
    if (option == "--index") words.insert(words.end(), {"--output", "/dev/null"});
  }
  return words;
}

std::map<std::string, std::string> contents_of(const fs::path& folder) {
  std::map<std::string, std::string> contents;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) contents[fs::relative(entry.path(), folder)] = text_of(entry.path());
  }
  return contents;
}

/// Whether an older file may be in the place of the output: nothing reads it, and its room is not given to the new one.
bool may_replace(const Output& output) { return output.kind == Kind::whole || output.kind == Kind::timed; }

const std::string before = "before\n";

/// What is under the output's name after a call that failed: what was there before; or, of a file that grows, the first
/// lines of the whole.
bool is_untouched(const Output& output, const fs::path& file, const std::string& whole) {
  if (!fs::exists(file)) return !may_replace(output);
  const std::string text = text_of(file);
  if (may_replace(output)) return text == before;
  return output.kind == Kind::growing && whole.starts_with(text) && (text.empty() || text.ends_with('\n'));
}

}  // namespace

TEST_CASE("faults: a file that cannot grow beyond any length is written as a whole or not at all") {
  const TempDir root;
  const Given given(root.path());
  const fs::path file = given.out / "file";
  int num_full = 0;
  for (const Output& output : outputs) {
    CAPTURE(output.command);
    CAPTURE(output.option);
    fs::remove(file);
    const Words words = call(given, output, file);
    const Result unlimited = run(words);
    CAPTURE(unlimited.err);
    REQUIRE(fs::exists(file));
    const std::string whole = text_of(file);
    const std::uintmax_t size = whole.size();
    REQUIRE(size > 8);
    for (const std::uintmax_t max_bytes : {std::uintmax_t{0}, size / 2, size - 1}) {
      if (output.kind == Kind::timed && max_bytes == size - 1) continue;  // it may be shorter this time
      CAPTURE(max_bytes);
      CAPTURE(size);
      fs::remove(file);
      if (may_replace(output)) write_file(file, before);
      const Result full = run_limited(words, max_bytes);
      CAPTURE(full.out);
      CHECK(full.status == 1);
      CHECK(says(full.out, "out/file"));
      CHECK(says(full.out, "File too large"));
      CHECK(is_untouched(output, file, whole));
      fs::remove(file);
      CHECK(fs::is_empty(given.out));
      ++num_full;
    }
    if (output.kind == Kind::timed) continue;
    const Result fits = run_limited(words, size);
    CAPTURE(fits.out);
    CHECK(fits.status == unlimited.status);
    CHECK(text_of(file).size() == size);
  }
  MESSAGE(num_full << " full disks");
}

TEST_CASE("faults: optimize on a disk that becomes full leaves whole files, and goes on once there is room") {
  const TempDir root;
  const Given given(root.path());
  fs::remove(given.folder / "a" / "8.jpg");
  const fs::path out = root.path() / "optimized";
  REQUIRE(run({"optimize", given.folder, out}).status == 0);
  const std::map<std::string, std::string> whole = contents_of(out);
  std::uintmax_t largest = 0;
  for (const auto& [name, content] : whole) largest = std::max<std::uintmax_t>(largest, content.size());
  for (const std::uintmax_t max_bytes : {std::uintmax_t{0}, std::uintmax_t{200}, largest / 2, largest - 1}) {
    CAPTURE(max_bytes);
    fs::remove_all(out);
    const Result full = run_limited({"optimize", given.folder, out}, max_bytes);
    CAPTURE(full.out);
    CHECK(full.status == 1);
    CHECK(says(full.out, "File too large"));
    CHECK((says(full.out, ".jpg") || says(full.out, "optimized")));
    if (fs::exists(out)) {
      for (const auto& [name, content] : contents_of(out)) {
        CAPTURE(name);
        REQUIRE(whole.contains(name));
        CHECK(content == whole.at(name));
      }
    }
    CHECK(run({"optimize", given.folder, out}).status == 0);
    CHECK(contents_of(out) == whole);
  }
}

TEST_CASE("faults: a disk that is really full ends as one whose files cannot grow") {
  const TempDir root;
  const Given given(root.path());
  const fs::path mount = root.path() / "full";
  fs::create_directory(mount);
  const auto on_full_disk = [&](const std::string& command) {
    return run_shell(fmt::format("unshare --user --map-root-user --mount sh -c {}",
                                 quoted(fmt::format("mount -t tmpfs -o size=64k,nr_inodes=64 none {0} && cd {0} && {1}",
                                                    quoted(mount), command))));
  };
  if (on_full_disk("true").status != 0) {
    MESSAGE("skipped: no file system may be mounted here");
    return;
  }
  int num_full = 0;
  for (const Output& output : outputs) {
    CAPTURE(output.command);
    CAPTURE(output.option);
    const fs::path whole_file = given.out / "whole";
    fs::remove(whole_file);
    run(call(given, output, whole_file));
    const std::string whole = text_of(whole_file);
    const auto num_pages = (whole.size() + 4095) / 4096;
    for (const std::size_t num_free : std::set<std::size_t>{0, num_pages - 1}) {
      if (output.kind == Kind::timed && num_free > 0) continue;  // it may be shorter this time
      CAPTURE(num_free);
      const fs::path seen = root.path() / "seen";
      fs::remove_all(seen);
      fs::create_directory(seen);
      const std::string had_one = may_replace(output) ? "echo before >file" : "true";
      const Result full = on_full_disk(
          fmt::format("{}; dd if=/dev/zero of=filler bs=4096 count=64 2>/dev/null; truncate -s -{} filler; {} 2>&1; "
                      "status=$?; rm filler; cp -r . {}; exit $status",
                      had_one, 4096 * num_free, command_line(call(given, output, mount / "file")), quoted(seen)));
      CAPTURE(full.out);
      CAPTURE(full.err);
      CHECK(full.status == 1);
      CHECK(says(full.out, "full/file"));
      CHECK(says(full.out, "No space left on device"));
      CHECK(is_untouched(output, seen / "file", whole));
      fs::remove(seen / "file");
      CHECK(fs::is_empty(seen));
      ++num_full;
    }
  }
  const Result full =
      on_full_disk(fmt::format("{} 2>&1; status=$?; find . -name '*.tmp'; exit $status",
                               command_line({"synth", mount / "data", "--images", "20", "--classes", "1"})));
  CHECK(full.status == 1);
  CHECK(says(full.out, "No space left on device"));
  CHECK_FALSE(says(full.out, ".tmp\n"));
  const Result optimized = on_full_disk(fmt::format(
      "dd if=/dev/zero of=filler bs=4096 count=12 2>/dev/null; {} 2>&1; status=$?; rm filler; find . -name '*.tmp'; "
      "{} >/dev/null; echo $?; exit $status",
      command_line({"optimize", given.folder, mount / "optimized"}),
      command_line({"bench", mount / "optimized", "--pipeline", given.pipeline, "--epochs", "1"})));
  CAPTURE(optimized.out);
  CHECK(optimized.status == 1);
  CHECK(says(optimized.out, "No space left on device"));
  CHECK_FALSE(says(optimized.out, ".tmp\n"));
  CHECK(optimized.out.ends_with("\n0\n"));  // what is there can be read
  MESSAGE(num_full << " full disks");
}

TEST_CASE("faults: who reads an output while it is written again and again sees whole ones only") {
  const TempDir root;
  const Given given(root.path());
  const fs::path file = given.out / "file";
  for (const Output& output : outputs) {
    if (output.kind == Kind::growing || output.kind == Kind::begun) continue;
    CAPTURE(output.command);
    CAPTURE(output.option);
    const Words words = call(given, output, file);
    fs::remove(file);
    run(words);
    const std::string whole = text_of(file);
    const auto is_whole = [&](const std::string& text) {
      return output.kind == Kind::timed ? nlohmann::json::accept(text) : text == whole;
    };
    CHECK(is_whole(whole));
    std::atomic<bool> is_over = false;
    std::jthread writer([&] {
      for (int i = 0; i < 3; ++i) run(words);
      is_over = true;
    });
    int num_wrong = 0;
    while (!is_over) num_wrong += is_whole(text_of(file)) ? 0 : 1;
    CHECK(num_wrong == 0);
  }
}

TEST_CASE("faults: who reads a state while a run writes it sees whole ones only, each to go on from") {
  const TempDir root;
  const Given given(root.path());
  const fs::path file = given.out / "state.json";
  std::atomic<bool> is_over = false;
  std::jthread writer([&] {
    for (int i = 0; i < 5; ++i) {
      run({"export", given.folder, "--pipeline", given.pipeline, "--batch-size", "1", "--batches", "all", "--on-error",
           "mask", "--epoch", std::to_string(i), "--output", given.out / "{}.npy", "--state", file});
    }
    is_over = true;
  });
  std::set<std::uint64_t> batches;
  int num_wrong = 0;
  while (!is_over) {
    const std::string text = text_of(file);
    if (text.empty() && batches.empty()) continue;  // not there yet
    if (nlohmann::json::accept(text) && text.ends_with("}\n")) {
      batches.insert(nlohmann::json::parse(text)["next_batch"].get<std::uint64_t>());
    } else {
      ++num_wrong;
    }
  }
  CHECK(num_wrong == 0);
  CHECK_FALSE(batches.empty());
}

}  // namespace muster::test
