// Progress and Ctrl-C: the program as people watch it, and end it.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <future>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "http_server.hpp"
#include "jpeg.hpp"
#include "muster/muster.hpp"
#include "program.hpp"
#include "support.hpp"

namespace muster::test {
namespace {

namespace fs = std::filesystem;

/// A list of `num_rows` rows that all show the same small image, a folder of `num_files` larger JPEGs, and a pipeline.
struct Given {
  Given(const fs::path& root, int num_rows, int num_files)
      : list(root / "data" / "list.csv"), folder(root / "photos"), pipeline(root / "pipeline.json"), out(root / "out") {
    std::string rows = "path,label\n";
    for (int i = 0; i < num_rows; ++i) rows += "a.png,1\n";
    write_file(list, rows);
    write_noise(root / "data" / "a.png", {20, 24}, 1);
    fs::create_directories(folder / "a");
    write_file(folder / "a" / "0.jpg", write_jpeg(noise_image({600, 600}, 3, 2), {}));
    for (int i = 1; i < num_files; ++i) {
      fs::create_hard_link(folder / "a" / "0.jpg", folder / "a" / fmt::format("{}.jpg", i));
    }
    write_file(pipeline, R"({"stages":[{"RandomResizedCrop":{"size":[8,8]}}]})");
    fs::create_directory(out);
  }

  /// A call of `command` with the list, batches of one.
  Words call(const std::string& command, const Words& more = {}) const {
    Words words = {command, list, "--pipeline", pipeline, "--batch-size", "1"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  Words export_call(const fs::path& to, const Words& more = {}) const {
    Words words = call("export", {"--batches", "all", "-o", to / "{}.npy", "--records", to / "records.jsonl"});
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  fs::path list, folder, pipeline, out;
};

std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> found;
  for (const auto& entry : fs::directory_iterator(folder)) found[entry.path().filename()] = text_of(entry.path());
  return found;
}

int num_temporaries(const fs::path& root) {
  int count = 0;
  for (const auto& entry : fs::recursive_directory_iterator(root)) count += entry.path().extension() == ".tmp" ? 1 : 0;
  return count;
}

/// Some containers have no terminals to give; then there is nothing to see.
bool lacks_terminals() {
  const int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (terminal < 0) {
    MESSAGE("this system has no pseudo-terminals: not tested");
    return true;
  }
  close(terminal);
  return false;
}

}  // namespace

TEST_CASE("progress: every long command shows it on a terminal, and wipes it in the end") {
  if (lacks_terminals()) return;
  const TempDir root;
  const Given data(root.path(), 20, 3);
  const std::vector<Words> calls = {
      data.call("inspect"),
      data.call("bench", {"--epochs", "1"}),
      data.call("verify"),
      data.call("preview", {"-o", data.out / "a.png", "--cell", "32"}),
      data.call("preview", {"--html", data.out / "a.html"}),
      data.call("preview", {"-o", data.out / "b.png", "--batch", "3"}),
      data.export_call(data.out),
      {"synth", data.out / "synth", "--images", "5", "--classes", "1", "--height", "16", "--width", "16"},
      {"optimize", data.folder, data.out / "optimized"}};
  for (const Words& words : calls) {
    CAPTURE(fmt::format("{}", fmt::join(words, " ")));
    OnTerminal program(words);
    CHECK(program.end() == 0);
    CHECK(says(program.shown(), "images/s"));
    CHECK(says(program.shown(), " left"));
    CHECK(program.shown().ends_with("\r\x1b[K"));
  }
}

TEST_CASE("progress: bench also shows it while decoding alone and stage by stage") {
  if (lacks_terminals()) return;
  const TempDir root;
  const Given data(root.path(), 1, 3);
  OnTerminal program({"bench", data.folder, "--pipeline", data.pipeline, "--batch-size", "2", "--epochs", "1"});
  CHECK(program.end() == 0);
  for (const char* label : {"epoch 1 of 1  [", "decoding alone  [", "stage by stage  ["}) {
    CAPTURE(label);
    CHECK(says(program.shown(), label));
  }
}

TEST_CASE("progress: errors are counted, and what is no terminal gets none") {
  if (lacks_terminals()) return;
  const TempDir root;
  const Given data(root.path(), 20, 1);
  write_file(root.path() / "data" / "a.png", "no image");
  OnTerminal program(data.export_call(data.out, {"--on-error", "mask"}));
  CHECK(program.end() == 0);
  CHECK(says(program.shown(), "  1 errors"));
  const Result quiet = run(data.export_call(data.out, {"--on-error", "mask"}));
  CHECK(quiet.status == 0);
  CHECK_FALSE(says(quiet.err, "images/s"));
}

TEST_CASE("interrupt: every long command ends by the signal itself, and leaves no half file") {
  if (lacks_terminals()) return;
  const TempDir root;
  const Given data(root.path(), 300'000, 3000);
  const std::vector<Words> calls = {
      data.call("inspect", {"--html", data.out / "i.html"}),
      data.call("bench", {"--epochs", "100000", "--trace", data.out / "bench.trace"}),
      data.call("verify", {"--report", data.out / "verify.jsonl"}),
      data.call("preview", {"--html", data.out / "a.html", "--samples", "1000", "--variants", "1000"}),
      data.call("preview", {"-o", data.out / "b.png", "--batch", "299999"}),
      data.export_call(data.out),
      {"synth", data.out / "synth", "--images", "1000000000", "--classes", "1", "--height", "16", "--width", "16"},
      {"optimize", data.folder, data.out / "optimized"}};
  for (const Words& words : calls) {
    CAPTURE(fmt::format("{}", fmt::join(words, " ")));
    OnTerminal program(words);
    REQUIRE(program.wait_for("images/s"));
    program.signal(SIGINT);
    CHECK(program.end() == 1000 + SIGINT);
    CHECK(says(program.shown(), "muster: interrupted"));
    CHECK(num_temporaries(root.path()) == 0);
  }
  for (const char* name : {"i.html", "a.html", "b.png", "records.jsonl", "synth"}) {
    CAPTURE(name);
    CHECK_FALSE(fs::exists(data.out / name));
  }
  CHECK(text_of(data.out / "bench.trace").ends_with("]}\n"));  // a trace of what was done
  CHECK(text_of(data.out / "verify.jsonl").empty());
}

TEST_CASE("interrupt: an export with --state goes on behind its last batch, to the bytes of an unbroken one") {
  if (lacks_terminals()) return;
  const TempDir root;
  const Given data(root.path(), 1000, 1);
  const fs::path unbroken = root.path() / "unbroken";
  fs::create_directory(unbroken);
  REQUIRE(run(data.export_call(unbroken)).status == 0);

  const Words words = data.export_call(data.out, {"--state", root.path() / "state.json"});
  int num_interrupted = 0;
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGTERM}) {
    OnTerminal program(words);
    if (program.wait_for("images/s")) program.signal(number);
    const int status = program.end();
    if (status == 0) break;
    REQUIRE(status == 1000 + number);
    ++num_interrupted;
    CHECK(num_temporaries(root.path()) == 0);
    CHECK(fs::exists(root.path() / "state.json"));
  }
  CHECK(num_interrupted > 0);
  REQUIRE(run(words).status == 0);
  CHECK(contents(data.out) == contents(unbroken));
}

TEST_CASE("interrupt: a server that stalls is not waited for, neither for the listing nor for samples") {
  if (lacks_terminals()) return;
  const TempDir root;
  const fs::path pipeline = root.path() / "pipeline.json";
  write_file(pipeline, R"({"stages":[{"RandomResizedCrop":{"size":[8,8]}}]})");
  const std::vector<Words> commands = {{"export", "-o", root.path() / "x.npy", "--trace", root.path() / "trace.json"},
                                       {"bench"},
                                       {"verify"},
                                       {"preview", "-o", root.path() / "x.png", "--batch", "0"},
                                       {"inspect"}};
  for (const Words& command : commands) {
    for (const char* held : {"/a.png", "/list.csv"}) {
      CAPTURE(command[0]);
      CAPTURE(held);
      std::promise<void> asked;
      HttpServer server([&](const HttpRequest& request) {
        const bool hold = request.path == held;
        if (hold && request.number == 1) asked.set_value();
        if (hold) return HttpResponse{.length = 1000, .end = HttpResponse::End::stall};
        return HttpResponse{.body = "path,label\na.png,1\n"};
      });
      Words words = command;
      words.insert(words.begin() + 1, server.url("/list.csv"));
      // No end but the signal's: no stall is long enough, and none is tried again.
      words.insert(words.end(), {"--pipeline", pipeline, "--stall-timeout", "86400", "--retries", "0"});
      OnTerminal program(words);
      asked.get_future().wait();
      program.signal(SIGINT);
      CHECK(program.end() == 1000 + SIGINT);
      CHECK_FALSE(fs::exists(root.path() / "x.npy"));
      CHECK(num_temporaries(root.path()) == 0);
    }
  }
}

TEST_CASE("interrupt: bench ends by the signal, whichever of its readings it comes in") {
  if (lacks_terminals()) return;
  const TempDir root;
  const fs::path pipeline = root.path() / "pipeline.json";
  write_file(pipeline, R"({"stages":[{"RandomResizedCrop":{"size":[8,8]}}]})");
  write_noise(root.path() / "a.png", {20, 24}, 1);
  const std::string image = text_of(root.path() / "a.png");
  int num_readings = 1;
  for (int held = 0; held <= num_readings; ++held) {  // 0: none, to count them
    CAPTURE(held);
    std::atomic<int> num_asked = 0;
    std::promise<void> asked;
    HttpServer server([&](const HttpRequest& request) {
      if (request.path == "/list.csv") return HttpResponse{.body = "path,label\na.png,1\n"};
      num_asked = request.number;
      if (request.number != held) return file_response(request, image);
      asked.set_value();
      return HttpResponse{.length = 1000, .end = HttpResponse::End::stall};
    });
    OnTerminal program({"bench", server.url("/list.csv"), "--pipeline", pipeline, "--batch-size", "1", "--epochs", "1",
                        "--stall-timeout", "86400", "--retries", "0"});
    if (held == 0) {
      CHECK(program.end() == 0);
      num_readings = num_asked;
      CHECK(num_readings > 1);  // in the epoch and stage by stage
    } else {
      asked.get_future().wait();
      program.signal(SIGINT);
      CHECK(program.end() == 1000 + SIGINT);
    }
  }
}

TEST_CASE("interrupt: nobody has to read the notice, and a signal that was blocked from the start is heeded") {
  const TempDir root;
  const Given data(root.path(), 300'000, 1);
  const fs::path errors = root.path() / "errors", records = root.path() / "records";
  REQUIRE(mkfifo(errors.c_str(), 0600) == 0);
  REQUIRE(mkfifo(records.c_str(), 0600) == 0);
  const Words words = data.call("export", {"--batches", "all", "-o", data.out / "{}.npy", "--records", records,
                                           "--trace", data.out / "trace.json"});
  for (const char* wrapper : {"", "env --block-signal=TERM "}) {
    CAPTURE(wrapper);
    // Standard error is closed at its other end; then a record is waited for, and after the signal all are read.
    const Result result =
        run_shell(fmt::format("{0}{1} 2>{2} & exec 3<{2} 4<{3}; exec 3<&-; read line <&4; kill -TERM $!; cat <&4 "
                              ">/dev/null; wait $!; echo $?",
                              wrapper, command_line(words), quoted(errors), quoted(records)));
    CHECK(result.out == fmt::format("{}\n", 128 + SIGTERM));
    CHECK(num_temporaries(root.path()) == 0);
  }
}

TEST_CASE("interrupt: a second one ends at once, whatever the program waits for") {
  if (lacks_terminals()) return;
  const TempDir root;
  const Given data(root.path(), 300, 1);
  const fs::path pipe = root.path() / "pipe";
  REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
  Words words = data.call("export", {"-o", data.out / "x.npy", "--records", pipe, "--trace", data.out / "trace.json"});
  *(std::ranges::find(words, "--batch-size") + 1) = "300";  // more lines than a pipe holds
  OnTerminal program(words);
  const int end = open(pipe.c_str(), O_RDONLY | O_CLOEXEC);  // never read from
  REQUIRE(end >= 0);
  pollfd waiting{end, POLLIN, 0};
  REQUIRE(poll(&waiting, 1, -1) == 1);
  const auto files = contents(data.out);
  const bool is_random = std::ranges::any_of(files, [](const auto& file) {  // trace.json.PID.RANDOM.tmp
    return file.first.starts_with("trace.json.") && file.first.size() > std::string_view("trace.json..tmp").size() + 17;
  });
  CHECK(is_random);
  program.signal(SIGINT);
  REQUIRE(program.wait_for("a second time ends at once"));
  program.signal(SIGTERM);
  CHECK(program.end() == 1000 + SIGTERM);
  close(end);
}

}  // namespace muster::test
