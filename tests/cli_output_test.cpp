// Files that the program writes: whole or not at all, each its own, and never a full disk without a word.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "http_server.hpp"
#include "jpeg.hpp"
#include "muster/muster.hpp"
#include "output_trial.hpp"
#include "program.hpp"
#include "support.hpp"

namespace muster::test {
namespace {

namespace fs = std::filesystem;

struct Given : OutputTrial {
  using OutputTrial::OutputTrial;

  /// `command` with all that it needs but the output `option`, which goes to `path`.
  Words call(const std::string& command, const std::string& option, const std::string& path,
             const std::string& batch_size = "3") const {
    Words words = {command,    folder,       "--pipeline", pipeline, "--batch-size",
                   batch_size, "--on-error", "mask",       option,   path};
    if (command == "export") words.insert(words.end(), {"--batches", "all"});
    if (command == "export" && option != "--output") words.insert(words.end(), {"-o", out / "{}.npy"});
    return words;
  }
};

struct Output {
  const char* command;
  const char* option;
};

constexpr Output outputs[] = {{"export", "--output"},  {"export", "--labels"}, {"export", "--records"},
                              {"export", "--state"},   {"export", "--ledger"}, {"export", "--report"},
                              {"export", "--trace"},   {"bench", "--trace"},   {"bench", "--report"},
                              {"verify", "--report"},  {"inspect", "--png"},   {"inspect", "--html"},
                              {"inspect", "--report"}, {"preview", "--html"},  {"preview", "--output"}};

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

}  // namespace

TEST_CASE("output: - is refused by every option that names a file to write") {
  const TempDir root;
  const Given data(root.path());
  const auto in_root = [&](const Words& words) {
    return run_shell(fmt::format("cd {} && {}", quoted(root.path()), command_line(words)));
  };
  for (const auto& [command, option] : outputs) {
    CAPTURE(command);
    CAPTURE(option);
    const Result result = in_root(data.call(command, option, "-"));
    CHECK(result.status == 2);
    CHECK(says(result.err, "standard output is for the result"));
    CHECK_FALSE(fs::exists(root.path() / "-"));
  }
  CHECK(in_root({"inspect", data.folder, "--index", "-"}).status == 2);
  CHECK(in_root(data.call("export", "--records", "./-")).status == 0);
  CHECK(fs::exists(root.path() / "-"));
}

TEST_CASE("output: a full disk ends with an error that names the file, whatever is written") {
  if (!fs::exists("/dev/full")) return;
  const TempDir root;
  const Given data(root.path());
  for (const auto& [command, option] : outputs) {
    CAPTURE(command);
    CAPTURE(option);
    const Result result = run(data.call(command, option, "/dev/full"));
    CAPTURE(result.err);
    const bool to_be_read_again = std::string_view(option) == "--state";  // no device is
    const bool needs_placeholder = std::string_view(option) == "--output" && std::string_view(command) == "export";
    CHECK(result.status == (to_be_read_again || needs_placeholder || std::string_view(option) == "--labels" ? 2 : 1));
    CHECK(says(result.err, "/dev/full"));
    CHECK(fs::is_character_file("/dev/full"));
  }
}

TEST_CASE("output: where a file no longer fits, what was there stays, and nothing half is left") {
  const TempDir root;
  const Given data(root.path());
  // A limit on file sizes stands for the full disk; 512 bytes are more than a state or two records have.
  const fs::path file = data.out / "file";
  for (const auto& [command, option] : {Output{"export", "--trace"},
                                        {"export", "--records"},
                                        {"inspect", "--html"},
                                        {"inspect", "--png"},
                                        {"preview", "--html"},
                                        {"preview", "--output"}}) {
    CAPTURE(command);
    CAPTURE(option);
    write_file(file, "before");
    const Result result = run_limited(data.call(command, option, file, "2"), 1024);
    CAPTURE(result.out);
    CHECK(result.status == 1);
    CHECK(says(result.out, "out/file"));
    CHECK(text_of(file) == "before");
    for (const std::string& name : names_in(data.out)) CHECK_FALSE(name.ends_with(".tmp"));
  }
  const Result no_state = run_limited({"export", data.folder, "--pipeline", data.pipeline, "--batch-size", "3", "-o",
                                       "/dev/null", "--state", data.out / "state.json"},
                                      512);
  CHECK(no_state.status == 1);
  CHECK(says(no_state.out, "state.json"));
  CHECK_FALSE(fs::exists(data.out / "state.json"));

  // Only lines as a whole.
  Words words = data.call("export", "--records", data.out / "growing");
  words.insert(words.end(), {"--state", data.out / "state.json"});
  const Result result = run_limited(words, 2048);
  CHECK(result.status == 1);
  CHECK(says(result.out, "growing"));
  const std::string records = text_of(data.out / "growing");
  CHECK(records.size() > 1);
  CHECK(records.ends_with("}\n"));

  for (const Words& made : {Words{"synth", root.path() / "synth", "--images", "3", "--classes", "1"},
                            Words{"optimize", data.folder, root.path() / "optimized"}}) {
    CAPTURE(made[0]);
    const Result full = run_limited(made, 1024);
    CHECK(full.status == 1);
    CHECK(says(full.out, ".jpg"));
  }
  CHECK_FALSE(fs::exists(root.path() / "synth"));
  for (const std::string& name : names_in(root.path())) CHECK_FALSE(name.ends_with(".tmp"));
}

TEST_CASE("output: a call that is refused leaves every file as it was") {
  const TempDir root;
  const Given data(root.path());
  const fs::path file = data.out / "file";
  write_file(file, "before");
  for (const auto& [command, option] : outputs) {
    CAPTURE(command);
    CAPTURE(option);
    if (std::string_view(option) == "--state") continue;  // is read first
    CHECK(run(data.call(command, option, file, "0")).status == 2);
    CHECK(text_of(file) == "before");
  }
  CHECK(names_in(data.out) == std::set<std::string>{"file"});
}

TEST_CASE("output: a pipe is written to as it is") {
  const TempDir root;
  const Given data(root.path());
  const fs::path copy = root.path() / "copy";
  const std::string words = command_line(data.call("export", "--records", "/dev/fd/9"));
  CHECK(run_shell(fmt::format("{{ {} 9>&1 >/dev/null; }} | cat >{}", words, quoted(copy))).status == 0);
  const std::string lines = text_of(copy);
  CHECK(std::ranges::count(lines, '\n') == 9);
}

TEST_CASE("output: two options may not name one file") {
  const TempDir root;
  const Given data(root.path());
  const fs::path file = root.path() / "out" / "file";
  for (const char* other : {"--ledger", "--report", "--state", "--trace"}) {
    CAPTURE(other);
    Words words = data.call("export", "--records", file);
    words.insert(words.end(), {other, root.path() / "out" / ".." / "out" / "file"});
    const Result result = run(words);
    CHECK(result.status == 2);
    CHECK(says(result.err, other));
    CHECK(says(result.err, "--records"));
    CHECK_FALSE(fs::exists(file));
  }
  CHECK(run({"export", data.folder, "-o", data.out / "a.npy", "--pipeline", data.pipeline, "--batch-size", "3",
             "--records", "/dev/null", "--report", "/dev/null"})
            .status == 0);
}

TEST_CASE("output: what a call reads is never what it writes, however the path is spelled") {
  const TempDir root;
  const Given data(root.path());
  const fs::path file = root.path() / "bad.jsonl";
  const fs::path link = root.path() / "link";
  fs::create_symlink("bad.jsonl", link);
  const fs::path list = root.path() / "list.csv";
  const std::string exclusions = "{\"id\":8}\n";
  const std::string rows = "path,label\ndata/a/0.jpg,0\n";
  const std::string stages = text_of(data.pipeline);
  const auto expect_refused = [&](Words words, const char* reads, const char* writes) {
    CAPTURE(fmt::format("{}", fmt::join(words, " ")));
    write_file(file, exclusions);
    write_file(list, rows);
    const Result result = run(words);
    CAPTURE(result.err);
    CHECK(result.status == 2);
    CHECK(says(result.err, fmt::format("which {} reads", reads)));
    CHECK(says(result.err, writes));
    CHECK(text_of(file) == exclusions);
    CHECK(text_of(list) == rows);
    CHECK(text_of(data.pipeline) == stages);
  };
  for (const fs::path& name : {file, link, root.path() / "out" / ".." / "bad.jsonl"}) {
    for (const char* command : {"export", "verify", "bench", "inspect"}) {
      Words words = data.call(command, "--report", name);
      words.insert(words.end(), {"--exclude", file});
      expect_refused(words, "--exclude", "--report");
    }
  }
  expect_refused({"inspect", data.folder, "--pipeline", data.pipeline, "--html", data.pipeline}, "--pipeline",
                 "--html");
  expect_refused({"preview", data.folder, "--pipeline", data.pipeline, "-o", data.pipeline}, "--pipeline", "--output");
  expect_refused({"check", data.folder, "--exclude", file, "--index", file, "--layers", "ReLU()"}, "--exclude",
                 "--index");
  expect_refused({"verify", list, "--report", list}, "DIR", "--report");
  expect_refused({"export", list, "-o", list}, "DIR", "--output");
}

TEST_CASE("output: two outputs are not one file in any command, nor where a pattern is filled in") {
  const TempDir root;
  const Given data(root.path());
  const fs::path file = data.out / "x";
  const auto expect_refused = [&](const Words& words, const char* reason) {
    CAPTURE(fmt::format("{}", fmt::join(words, " ")));
    const Result result = run(words);
    CAPTURE(result.err);
    CHECK(result.status == 2);
    CHECK(says(result.err, reason));
    CHECK(names_in(data.out).empty());
  };
  expect_refused({"inspect", data.folder, "--png", file, "--html", file}, "--png names");
  expect_refused({"preview", data.folder, "-o", file, "--html", file}, "--output names");
  expect_refused({"bench", data.folder, "--trace", file, "--report", file}, " names, too");
  const Words begin = {"export", data.folder, "--pipeline", data.pipeline, "--batch-size", "3", "--on-error", "mask"};
  const auto with = [&](const Words& more) {
    Words words = begin;
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  expect_refused(with({"-o", data.out / "y-{}.npy", "--labels", data.out / "y-0.npy"}), "y-0.npy");
  expect_refused(with({"-o", data.out / "y-{}.npy", "--records", data.out / "y-2.npy", "--batches", "all"}), "y-2.npy");
  expect_refused(with({"-o", data.out / "{}.npy", "--labels", data.out / "{}.npy", "--batches", "2"}),
                 "--output names");
  expect_refused(
      with({"-o", data.out / "{}-{epoch}.npy", "--labels", data.out / "1-{}.npy", "--batches", "2", "--epoch", "1"}),
      "1-1.npy");
  // There are three batches: no file of theirs has this name.
  CHECK(run(with({"-o", data.out / "y-{}.npy", "--records", data.out / "y-3.npy", "--batches", "all"})).status == 0);
}

TEST_CASE("output: --trace is written by every command that runs a loader, whole even when the run fails") {
  const TempDir root;
  const Given data(root.path());
  const fs::path trace = data.out / "trace.json";
  for (const char* command : {"bench", "verify", "preview"}) {
    CAPTURE(command);
    fs::remove(trace);
    Words words = {command, data.folder, "--pipeline", data.pipeline, "--batch-size", "3", "--trace", trace};
    if (std::string_view(command) == "preview") words.insert(words.end(), {"-o", data.out / "p.png", "--batch", "0"});
    CHECK(run(words).status == (std::string_view(command) == "preview" ? 0 : 1));
    REQUIRE(fs::exists(trace));
    CHECK_FALSE(nlohmann::json::parse(text_of(trace))["traceEvents"].empty());
  }
  for (const char* command : {"inspect", "preview", "check"}) {  // none runs
    CHECK(run({command, data.folder, "--trace", data.out / "none.json"}).status == 2);
  }
  CHECK_FALSE(fs::exists(data.out / "none.json"));
}

TEST_CASE(
    "output: a name that a folder has taken meanwhile is an error, after that of the run, and nothing else stays") {
  const TempDir root;
  const Given data(root.path());
  const fs::path trace = data.out / "trace.json";
  for (const bool fails : {false, true}) {
    CAPTURE(fails);
    const HttpServer server([&](const HttpRequest& request) -> HttpResponse {
      if (request.path == "/list.csv") return {.body = "path,label\na.jpg,0\n"};
      fs::create_directory(trace);  // the program holds its temporary name by now
      if (fails) return {.status = 404};
      return {.body = text_of(data.folder / "a" / "0.jpg")};
    });
    const Result result = run({"bench", server.url("/list.csv"), "--pipeline", data.pipeline, "--batch-size", "1",
                               "--epochs", "1", "--trace", trace});
    CAPTURE(result.err);
    CHECK(result.status == 1);
    CHECK(says(result.err, fails ? "404" : "cannot write " + trace.string() + ": Is a directory"));
    CHECK(says(result.err, trace.string()) != fails);  // the first error is the one to tell
    CHECK(names_in(data.out) == std::set<std::string>{"trace.json"});
    fs::remove(trace);
  }
}

TEST_CASE("output: a file that cannot be shortened is an error that names it") {
  const TempDir root;
  const Given data(root.path());
  const int file = memfd_create("report", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  REQUIRE(file >= 0);
  REQUIRE(::write(file, "before", 6) == 6);
  REQUIRE(fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
  const std::string path = fmt::format("/proc/{}/fd/{}", getpid(), file);
  const Result result = run(data.call("verify", "--report", path));
  CHECK(result.status == 1);
  CHECK(says(result.err, "cannot write " + path + ": Operation not permitted"));
  CHECK(text_of(path) == "before");
  close(file);
}

}  // namespace muster::test
