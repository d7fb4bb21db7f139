// --state: a run that was killed at any moment goes on as if it had not been.
#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "muster/muster.hpp"
#include "program.hpp"
#include "support.hpp"

namespace muster::test {
namespace {

namespace fs = std::filesystem;

/// 41 images of which one is damaged, and a quick pipeline.
void fill(const fs::path& root) {
  for (std::uint32_t i = 0; i < 41; ++i) {
    write_noise(root / "data" / (i % 3 == 0 ? "a" : "b") / fmt::format("{:02}.png", i), {20 + i % 5, 24 - i % 7},
                i + 1);
  }
  write_file(root / "data" / "b" / "10.png", "no image");
  write_file(root / "pipeline.json",
             R"({"stages":[{"RandomResizedCrop":{"size":[8,8]}},{"RandomHorizontalFlip":{}}]})");
}

Words export_words(const fs::path& root, const fs::path& out) {
  return {"export",
          root / "data",
          "--pipeline",
          root / "pipeline.json",
          "--shuffle",
          "--seed",
          "5",
          "--batch-size",
          "2",
          "--batches",
          "all",
          "--on-error",
          "substitute",
          "-o",
          out / "images-{epoch}-{}.npy",
          "--labels",
          out / "labels-{epoch}-{}.npy",
          "--records",
          out / "records.jsonl",
          "--report",
          out / "report.jsonl",
          "--ledger",
          out / "ledger.json"};
}

Words with_state(Words words, const fs::path& out) {
  words.insert(words.end(), {"--state", out / "state.json"});
  return words;
}

/// Every file of a folder but the state, by name.
std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    if (name != "state.json" && !name.ends_with(".tmp")) found[name] = text_of(entry.path());
  }
  return found;
}

/// A program that runs, and a folder whose new files are counted.
class Watched {
 public:
  Watched(const fs::path& folder, const Words& words) {
    events_ = inotify_init1(IN_CLOEXEC);
    REQUIRE(events_ >= 0);
    REQUIRE(inotify_add_watch(events_, folder.c_str(), IN_MOVED_TO) >= 0);
    int alive[2];
    REQUIRE(pipe2(alive, O_CLOEXEC) == 0);
    alive_ = alive[0];
    std::vector<char*> arguments;
    std::string program = MUSTER_PROGRAM;
    arguments.push_back(program.data());
    Words copies = words;
    for (std::string& word : copies) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    child_ = fork();
    if (child_ == 0) {
      dup2(alive[1], 200);  // held open by the program until it ends
      const int nowhere = open("/dev/null", O_WRONLY);
      dup2(nowhere, STDOUT_FILENO);
      dup2(nowhere, STDERR_FILENO);
      execv(MUSTER_PROGRAM, arguments.data());
      _exit(127);
    }
    close(alive[1]);
    REQUIRE(child_ > 0);
  }
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;
  ~Watched() {
    close(events_);
    close(alive_);
  }

  /// Waits until so many files have taken their names; false if the program ends before.
  bool wait_for_files(int count) {
    while (count > 0) {
      pollfd both[] = {{events_, POLLIN, 0}, {alive_, POLLIN, 0}};
      if (poll(both, 2, -1) < 0 && errno != EINTR) return false;
      if ((both[0].revents & POLLIN) == 0) return false;
      alignas(inotify_event) char buffer[8192];
      const ssize_t length = ::read(events_, buffer, sizeof buffer);
      for (ssize_t at = 0; at < length; --count) {
        at += static_cast<ssize_t>(sizeof(inotify_event) + reinterpret_cast<inotify_event*>(buffer + at)->len);
      }
    }
    return true;
  }

  /// The exit status, or 128 + the signal.
  int end(int signal) {
    if (signal != 0) kill(child_, signal);
    int status = 0;
    REQUIRE(waitpid(child_, &status, 0) == child_);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  int events_ = -1;
  int alive_ = -1;
  pid_t child_ = -1;
};

}  // namespace

TEST_CASE("state: a run killed fifty times and resumed writes the bytes of an unbroken one") {
  const TempDir root;
  fill(root.path());
  const fs::path unbroken = root.path() / "unbroken";
  fs::create_directory(unbroken);
  REQUIRE(run(export_words(root.path(), unbroken)).status == 0);
  const auto expected = contents(unbroken);
  REQUIRE(expected.size() == 21 + 21 + 3);

  std::mt19937 random(7);
  int num_killed = 0;
  for (int attempt = 0; num_killed < 50; ++attempt) {
    const fs::path out = root.path() / fmt::format("out{}", attempt);
    fs::create_directory(out);
    const auto words = with_state(export_words(root.path(), out), out);
    while (true) {
      Watched program(out, words);
      // Three files a batch: images, labels, state. Anything from before the first to well into the run.
      const bool runs = program.wait_for_files(static_cast<int>(random() % 16));
      const int status = program.end(runs ? SIGKILL : 0);
      num_killed += status == 128 + SIGKILL ? 1 : 0;
      if (status == 0) break;
      REQUIRE(status == 128 + SIGKILL);
    }
    CHECK(contents(out) == expected);
  }
}

TEST_CASE("state: each call goes on where the last one stopped, up to the batch it names or the end of its epoch") {
  const TempDir root;
  fill(root.path());
  const fs::path out = root.path() / "out";
  fs::create_directory(out);
  auto words = with_state(export_words(root.path(), out), out);
  const auto call = [&](const std::string& batches, const std::string& epoch = "0") {
    for (std::size_t i = 0; i + 1 < words.size(); ++i) {
      if (words[i] == "--batches") words[i + 1] = batches;
    }
    auto now = words;
    now.insert(now.end(), {"--epoch", epoch});
    return run(now);
  };
  REQUIRE(call("5").status == 0);
  CHECK(fs::exists(out / "images-0-4.npy"));
  CHECK_FALSE(fs::exists(out / "images-0-5.npy"));
  REQUIRE(call("8").status == 0);  // the first eight of the epoch, of which five are there
  CHECK(fs::exists(out / "images-0-7.npy"));
  CHECK_FALSE(fs::exists(out / "images-0-8.npy"));
  const auto before = contents(out);
  const Result done = call("3");
  CHECK(done.status == 0);
  CHECK(says(done.err, "first 8 batches of epoch 0"));
  CHECK(contents(out) == before);
  REQUIRE(call("all").status == 0);
  CHECK(fs::exists(out / "images-0-20.npy"));
  CHECK_FALSE(fs::exists(out / "images-1-0.npy"));
  const Ledger ledger = Ledger::from_json(text_of(out / "ledger.json"));
  CHECK(ledger.num_shown == 41);
  CHECK(check(ledger, ShuffledOrder(41, 5)).num_missing == 1);  // the damaged one, substituted
  REQUIRE(call("all").status == 0);                             // the epoch is complete: nothing more happens
  CHECK_FALSE(fs::exists(out / "images-1-0.npy"));
  REQUIRE(call("2", "1").status == 0);
  CHECK(fs::exists(out / "images-1-1.npy"));
  const Result ahead = call("2", "2");
  CHECK(ahead.status == 2);
  CHECK(says(ahead.err, "epoch 1"));
  CHECK(Ledger::from_json(text_of(out / "ledger.json")).epoch == 1);
}

TEST_CASE("state: another data set, pipeline or seed is refused, and so is a file that holds something else") {
  const TempDir root;
  fill(root.path());
  const fs::path out = root.path() / "out";
  fs::create_directory(out);
  auto words = with_state(export_words(root.path(), out), out);
  words.insert(words.end(), {"--threads", "1"});
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i] == "--batches") words[i + 1] = "3";
  }
  REQUIRE(run(words).status == 0);

  auto other_seed = words;
  for (std::size_t i = 0; i + 1 < other_seed.size(); ++i) {
    if (other_seed[i] == "--seed") other_seed[i + 1] = "6";
  }
  Result refused = run(other_seed);
  CHECK(refused.status == 2);
  CHECK(says(refused.err, "seed"));

  fs::rename(root.path() / "data" / "a" / "00.png", root.path() / "data" / "a" / "zz.png");
  refused = run(words);
  CHECK(refused.status == 2);
  CHECK(says(refused.err, "names"));
  fs::rename(root.path() / "data" / "a" / "zz.png", root.path() / "data" / "a" / "00.png");
  CHECK(run(words).status == 0);

  write_file(out / "state.json", "{\"loader\":3}");
  refused = run(words);
  CHECK(refused.status == 2);
  CHECK(says(refused.err, "--state"));
}

namespace {

/// Three batches of a run that can be resumed.
struct Begun {
  Begun() {
    fill(root.path());
    out = root.path() / "out";
    fs::create_directory(out);
    words = with_state(export_words(root.path(), out), out);
    set("--batches", "3");
    REQUIRE(run(words).status == 0);
    set("--batches", "6");
  }
  void set(const std::string& option, const std::string& value) {
    const auto found = std::ranges::find(words, option);
    REQUIRE(found != words.end());
    found[1] = value;
  }
  /// With the state, too.
  std::map<std::string, std::string> all() const {
    auto found = contents(out);
    found["state.json"] = text_of(out / "state.json");
    return found;
  }

  /// The call is, says why, and leaves every file as it was.
  void expect_refused(const Words& reasons) const {
    const auto before = all();
    const Result refused = run(words);
    CAPTURE(refused.err);
    CHECK(refused.status == 2);
    for (const std::string& reason : reasons) {
      CAPTURE(reason);
      CHECK(says(refused.err, reason));
    }
    CHECK(all() == before);
  }

  TempDir root;
  fs::path out;
  Words words;
};

}  // namespace

TEST_CASE("state: one that is refused leaves every file as it was") {
  Begun begun;
  write_file(begun.out / "trace.json", "a trace of before");
  begun.words.insert(begun.words.end(), {"--trace", begun.out / "trace.json"});
  std::ofstream(begun.out / "records.jsonl", std::ios::app) << "of a batch that was never completed";
  std::ofstream(begun.out / "report.jsonl", std::ios::app) << "so, too";
  begun.set("--seed", "6");
  begun.expect_refused({"seed"});
  begun.set("--seed", "5");
  begun.words.insert(begun.words.end(), {"--epoch", "1"});
  begun.expect_refused({"epoch 0, which is not finished"});
  begun.words.resize(begun.words.size() - 2);
  REQUIRE(run(begun.words).status == 0);
  CHECK(text_of(begun.out / "records.jsonl").find("never") == std::string::npos);
}

TEST_CASE("state: a file that is shorter than the state says is refused, not filled with zeros") {
  for (const char* name : {"records.jsonl", "report.jsonl"}) {
    CAPTURE(name);
    Begun begun;
    std::string text = text_of(begun.out / name);
    if (text.empty()) {  // no row failed so far: as if one had
      std::string state = text_of(begun.out / "state.json");
      const std::string empty = "\"report_bytes\":0";
      REQUIRE(state.find(empty) != std::string::npos);
      state.replace(state.find(empty), empty.size(), "\"report_bytes\":9");
      write_file(begun.out / "state.json", state);
      text = "9 bytes..";
    }
    write_file(begun.out / name, text.substr(0, text.size() - 1));
    begun.expect_refused(
        {name, fmt::format("{} bytes", text.size()), fmt::format("received {}", text.size() - 1), "remove the state"});
    fs::remove(begun.out / name);
    begun.expect_refused({"no such file"});
    CHECK_FALSE(fs::exists(begun.out / name));

    write_file(begun.out / name, text);
    CHECK(run(begun.words).status == 0);
  }
}

TEST_CASE("state: a call without the --records that it was written with is refused") {
  Begun begun;
  const auto records = std::ranges::find(begun.words, "--records");
  begun.words.erase(records, records + 2);
  begun.expect_refused({"--records"});
}

TEST_CASE("state: other outputs than it was written with are refused, also those that would begin late") {
  for (const char* late : {"--records", "--labels", "--report"}) {
    CAPTURE(late);
    Begun begun;
    fs::remove(begun.out / "state.json");
    begun.set("--batches", "3");
    const auto given = std::ranges::find(begun.words, late);
    const Words added(given, given + 2);
    begun.words.erase(given, given + 2);
    REQUIRE(run(begun.words).status == 0);
    begun.set("--batches", "all");
    begun.words.insert(begun.words.end(), added.begin(), added.end());
    begun.expect_refused({"remove the state to begin"});
    begun.words.resize(begun.words.size() - 2);
    CHECK(run(begun.words).status == 0);
  }
}

TEST_CASE("state: an epoch that lies behind it is told, and nothing is written for it") {
  Begun begun;
  begun.set("--batches", "all");
  REQUIRE(run(begun.words).status == 0);
  const std::string proof = text_of(begun.out / "ledger.json");
  CHECK(Ledger::from_json(proof).num_shown == 41);

  // What a kill left out between the last state and the ledger is made up for.
  fs::remove(begun.out / "ledger.json");
  REQUIRE(run(begun.words).status == 0);
  CHECK(text_of(begun.out / "ledger.json") == proof);

  begun.set("--batches", "2");
  begun.set("--ledger", begun.out / "ledger1.json");
  begun.words.insert(begun.words.end(), {"--epoch", "1"});
  REQUIRE(run(begun.words).status == 0);
  begun.words.resize(begun.words.size() - 2);
  begun.set("--ledger", begun.out / "ledger.json");
  std::ofstream(begun.out / "records.jsonl", std::ios::app) << "of a batch that was never completed";
  const auto before = begun.all();
  const Result behind = run(begun.words);
  CHECK(behind.status == 0);
  CHECK(says(behind.err, "says that epoch 0 was exported"));
  CHECK(begun.all() == before);
}

TEST_CASE("state: text nested a million deep is refused, wherever it stands") {
  Begun begun;
  const std::string deep = std::string(1'000'000, '[') + std::string(1'000'000, ']');
  for (const std::string& state :
       {deep, R"({"loader":)" + deep + "}", R"({"loader":{},"ledger":)" + deep + "}", std::string(1'000'000, '[')}) {
    write_file(begun.out / "state.json", state);
    const Result refused = run(begun.words);
    CHECK(refused.status == 2);
    CHECK(says(refused.err, "remove the file to begin anew"));
    CHECK(refused.err.size() < 1000);
  }
}

}  // namespace muster::test
