// muster optimize, run as people run it.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "jpeg.hpp"
#include "muster/muster.hpp"
#include "program.hpp"
#include "support.hpp"

namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using namespace muster;
using namespace muster::test;

Result optimize(std::vector<std::string> words) {
  words.insert(words.begin(), "optimize");
  return run(words);
}

/// A folder IN with all sorts of things, and a name beside it.
struct Folders {
  TempDir dir;
  fs::path in = dir.path() / "in";
  fs::path out = dir.path() / "out";

  Folders() {
    write_file(in / "cat" / "a.jpg", write_jpeg(noise_image({40, 70}, 3, 1), {}));
    write_file(in / "cat" / "b.JPEG", write_jpeg(noise_image({64, 48}, 3, 2), {.progressive = true, .orientation = 6}));
    write_file(in / "cat" / "called.png", write_jpeg(noise_image({33, 31}, 1, 3), {.components = 1}));
    const Data jpeg = read_bytes(in / "cat" / "a.jpg");
    write_file(in / "dog" / "damaged.jpg", Data(jpeg.begin(), jpeg.end() - 200));
    write_file(in / "dog" / "done.jpg", optimize_jpeg(jpeg).bytes);
    write_file(in / "dog" / "no_jpeg.jpg", std::string("hello"));
    write_file(in / "dog" / "deep" / "er" / "empty", std::string());
    write_file(in / "dog" / "' \"$(x)\n \xc3\xa4 \xff *.jpg", jpeg);
    write_file(in / "list.csv", std::string("path,label\n"));
    fs::create_directories(in / "nothing in it");
  }

  std::vector<std::string> call(std::vector<std::string> more = {"--json"}) const {
    more.insert(more.begin(), {in.string(), out.string()});
    return more;
  }
  json run(const std::vector<std::string>& more = {"--json"}) const {
    const Result outcome = optimize(call(more));
    CAPTURE(outcome.err);
    REQUIRE(outcome.status == 0);
    CHECK(outcome.err.empty());
    return json::parse(outcome.out);
  }
};

/// Content by name, of everything in a folder but muster's own file.
std::map<std::string, Data> contents(const fs::path& root) {
  std::map<std::string, Data> found;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    const fs::path name = entry.path().lexically_relative(root);
    if (name == ".muster-optimize.json") continue;
    found[name.string()] = entry.is_regular_file() ? read_bytes(entry.path()) : Data{};
  }
  return found;
}

}  // namespace

TEST_CASE("cli optimize: JPEGs by content are rewritten, all else is copied, damaged ones are copied and named") {
  const Folders folders;
  const std::map<std::string, Data> before = contents(folders.in);
  const json summary = folders.run();
  CHECK(contents(folders.in) == before);
  const std::map<std::string, Data> after = contents(folders.out);
  REQUIRE(after.size() == before.size());
  std::size_t num_changed = 0;
  for (const auto& [name, bytes] : before) {
    CAPTURE(name);
    REQUIRE(after.contains(name));
    if (after.at(name) == bytes) continue;
    ++num_changed;
    CHECK(after.at(name) == optimize_jpeg(bytes).bytes);
    CHECK(decode(after.at(name)) == decode(bytes));
  }
  CHECK(num_changed == 4);
  CHECK(summary["files"] == 9);
  CHECK(summary["rewritten"] == 4);
  CHECK(summary["unchanged"] == 1);
  CHECK(summary["copied"] == 3);
  CHECK(summary["refused"].size() == 1);
  CHECK(summary["refused"][0]["path"] == "dog/damaged.jpg");
  CHECK(says(summary["refused"][0]["reason"].get<std::string>(), "end-of-image"));
  CHECK(summary["failed"].empty());
  std::uint64_t num_bytes[2] = {0, 0};
  for (const auto& [name, bytes] : before) num_bytes[0] += bytes.size();
  for (const auto& [name, bytes] : after) num_bytes[1] += bytes.size();
  CHECK(summary["bytes_before"] == num_bytes[0]);
  CHECK(summary["bytes_after"] == num_bytes[1]);
}

TEST_CASE("cli optimize: people read the same figures") {
  const Folders folders;
  const Result outcome = optimize(folders.call({"--threads", "3"}));
  CHECK(outcome.status == 0);
  CHECK(says(outcome.out, "9 files"));
  CHECK(says(outcome.out, "4  JPEGs rewritten"));
  CHECK(says(outcome.out, "dog/damaged.jpg: "));
}

TEST_CASE("cli optimize: called again, it does only what is not done or has changed") {
  const Folders folders;
  folders.run();
  const std::map<std::string, Data> complete = contents(folders.out);
  json summary = folders.run();
  CHECK(summary["skipped"] == 9);
  CHECK(summary["rewritten"] == 0);
  CHECK(contents(folders.out) == complete);

  fs::remove(folders.out / "cat" / "b.JPEG");
  write_file(folders.out / "cat" / "a.jpg.999999999.0123456789abcdef.tmp",
             std::string("half a file of a call that was killed"));
  summary = folders.run();
  CHECK(summary["skipped"] == 8);
  CHECK(summary["rewritten"] == 1);
  CHECK(contents(folders.out) == complete);

  const fs::path changed = folders.in / "cat" / "a.jpg";
  write_file(changed, write_jpeg(noise_image({10, 10}, 3, 9), {}));
  fs::last_write_time(changed, fs::last_write_time(changed) + std::chrono::seconds(5));
  summary = folders.run();
  CHECK(summary["rewritten"] == 1);
  CHECK(probe(read_bytes(folders.out / "cat" / "a.jpg")).size == Size{10, 10});
}

TEST_CASE("cli optimize: the lossy choice is explicit, and another folder than the lossless one") {
  const Folders folders;
  const json summary = folders.run({"--json", "--max-side", "50", "--quality", "80"});
  CHECK(summary["resized"] == 4);
  CHECK(summary["rewritten"] == 1);
  CHECK(probe(read_bytes(folders.out / "cat" / "b.JPEG")).stored == Size{50, 38});
  CHECK(probe(read_bytes(folders.out / "cat" / "b.JPEG")).orientation == 6);
  const Result again = optimize(folders.call());
  CHECK(again.status == 2);
  CHECK(says(again.err, "other options"));
  CHECK(optimize(folders.call({"--quality", "80"})).status == 2);
  CHECK(optimize(folders.call({"--max-side", "0"})).status == 2);
  CHECK(optimize(folders.call({"--max-side", "50", "--quality", "101"})).status == 2);
}

TEST_CASE("cli optimize: the input is never overwritten, whatever leads to it") {
  const Folders folders;
  const std::map<std::string, Data> before = contents(folders.in);
  const fs::path link = folders.dir.path() / "link";
  fs::create_directory_symlink(folders.in, link);
  const std::string in = folders.in.string();
  for (const std::string& out : {in, in + "/", in + "/new", in + "/cat", link.string(), (link / "new").string(),
                                 folders.dir.path().string(), in + "/cat/../../in"}) {
    CAPTURE(out);
    const Result outcome = optimize({in, out});
    CHECK(outcome.status == 2);
    CHECK(outcome.out.empty());
    CHECK(contents(folders.in) == before);
  }
  // A folder of OUT that is really one of IN.
  folders.run();
  fs::remove_all(folders.out / "cat");
  fs::create_directory_symlink(folders.in / "cat", folders.out / "cat");
  CHECK(optimize(folders.call()).status == 2);
  CHECK(contents(folders.in) == before);
}

TEST_CASE("cli optimize: a file that links to the input is replaced or refused, never written through") {
  const Folders folders;
  folders.run();
  const std::map<std::string, Data> before = contents(folders.in);
  fs::remove(folders.out / "cat" / "a.jpg");
  fs::create_hard_link(folders.in / "cat" / "b.JPEG", folders.out / "cat" / "a.jpg");
  fs::remove(folders.out / "cat" / "called.png");
  fs::create_symlink(folders.in / "cat" / "called.png", folders.out / "cat" / "called.png");
  const Result outcome = optimize(folders.call());
  CHECK(outcome.status == 1);
  CHECK(json::parse(outcome.out)["failed"][0]["path"] == "cat/called.png");
  CHECK(contents(folders.in) == before);
}

TEST_CASE("cli optimize: a folder that is not its own is not written into") {
  const Folders folders;
  write_file(folders.out / "precious.txt", std::string("mine"));
  CHECK(optimize(folders.call()).status == 2);
  CHECK(contents(folders.out).size() == 1);
  CHECK(optimize({folders.in.string(), (folders.out / "precious.txt").string()}).status == 2);
  CHECK(optimize({folders.in.string()}).status == 2);
  CHECK(optimize({(folders.dir.path() / "absent").string(), folders.out.string()}).status == 1);
  CHECK(optimize({(folders.in / "list.csv").string(), folders.out.string()}).status == 1);
}

TEST_CASE("cli optimize: links inside the folder stay links, others are left out and named") {
  const Folders folders;
  fs::create_directory_symlink("../cat", folders.in / "dog" / "cats");
  fs::create_symlink(folders.in / "cat" / "a.jpg", folders.in / "dog" / "a.jpg");
  fs::create_directory_symlink("..", folders.in / "dog" / "deep" / "loop");
  write_file(folders.dir.path() / "outside" / "x.jpg", std::string("secret"));
  fs::create_directory_symlink(folders.dir.path() / "outside", folders.in / "outside");
  fs::create_symlink(folders.dir.path() / "outside" / "x.jpg", folders.in / "cat" / "x.jpg");
  fs::create_symlink("nowhere", folders.in / "cat" / "y.jpg");
  REQUIRE(mkfifo((folders.in / "pipe").c_str(), 0600) == 0);
  json summary = folders.run();
  CHECK(summary["linked"] == 3);
  CHECK(summary["left_out"].size() == 4);
  CHECK(fs::read_symlink(folders.out / "dog" / "cats") == "../cat");
  CHECK(fs::canonical(folders.out / "dog" / "a.jpg") == fs::canonical(folders.out / "cat" / "a.jpg"));
  CHECK(fs::equivalent(folders.out / "dog" / "deep" / "loop", folders.out / "dog"));
  CHECK_FALSE(fs::exists(folders.out / "outside"));
  CHECK_FALSE(fs::exists(fs::symlink_status(folders.out / "cat" / "x.jpg")));
  summary = folders.run();
  CHECK(summary["failed"].empty());
}

TEST_CASE("cli optimize: people read what was left out, and why") {
  const Folders folders;
  fs::create_symlink("nowhere", folders.in / "cat" / "y.jpg");
  REQUIRE(mkfifo((folders.in / "pipe").c_str(), 0600) == 0);
  const Result outcome = optimize(folders.call({}));
  CHECK(outcome.status == 0);
  CHECK(says(outcome.out, "2  left out:\n          cat/y.jpg: a link that leads nowhere\n"));
  CHECK(says(outcome.out, "          pipe: neither a file nor a folder\n"));
}

TEST_CASE("cli optimize: a link that leads elsewhere by now does so in the copy, too") {
  const Folders folders;
  const fs::path link = folders.in / "dog" / "link.jpg";
  fs::create_symlink("done.jpg", link);
  folders.run();
  fs::remove(link);
  fs::create_symlink("../cat/a.jpg", link);
  CHECK(folders.run()["linked"] == 1);
  CHECK(fs::read_symlink(folders.out / "dog" / "link.jpg") == "../cat/a.jpg");
}

TEST_CASE("cli optimize: a JPEG that is longer than any may be is copied and named") {
  const Folders folders;
  const fs::path huge = folders.in / "cat" / "a.jpg";
  fs::resize_file(huge, (std::uintmax_t{256} << 20) + 1);  // takes no room: what follows the image is a hole
  const json summary = folders.run();
  CHECK(summary["refused"][0]["path"] == "cat/a.jpg");
  CHECK(says(summary["refused"][0]["reason"].get<std::string>(), "the file has 268435457 bytes, more than 268435456"));
  CHECK(fs::file_size(folders.out / "cat" / "a.jpg") == fs::file_size(huge));
}

TEST_CASE("cli optimize: a file that cannot be read ends with 1, is named, and the others are done") {
  if (geteuid() == 0) return;  // root reads everything
  const Folders folders;
  fs::permissions(folders.in / "cat" / "a.jpg", fs::perms::none);
  const Result outcome = optimize(folders.call());
  CHECK(outcome.status == 1);
  CHECK(json::parse(outcome.out)["failed"][0]["path"] == "cat/a.jpg");
  CHECK(json::parse(outcome.out)["rewritten"] == 3);
}

TEST_CASE("cli optimize: the folders load to the same batches") {
  const Folders folders;
  fs::remove(folders.in / "dog" / "damaged.jpg");
  fs::remove(folders.in / "dog" / "no_jpeg.jpg");
  folders.run();
  const Pipeline pipeline{RandomResizedCrop{.size = {16, 16}}};
  Loader before(ImageFolder(folders.in, {.allow_empty_classes = true}), pipeline, {.batch_size = 16});
  Loader after(ImageFolder(folders.out, {.allow_empty_classes = true}), pipeline, {.batch_size = 16});
  for (Batch& a : before.epoch(0)) {
    for (Batch& b : after.epoch(0)) {
      REQUIRE(a.images.size_bytes() == b.images.size_bytes());
      CHECK(std::ranges::equal(std::span(a.images.data(), a.images.size_bytes()),
                               std::span(b.images.data(), b.images.size_bytes())));
    }
  }
}
