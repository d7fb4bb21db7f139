// The program, run as people run it.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <sys/stat.h>
#include <sys/wait.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "http_server.hpp"
#include "jpeg.hpp"
#include "muster/muster.hpp"
#include "program.hpp"
#include "support.hpp"

namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using namespace muster;
using muster::test::command_line;
using muster::test::HttpRequest;
using muster::test::HttpResponse;
using muster::test::HttpServer;
using muster::test::noise_image;
using muster::test::quoted;
using muster::test::read_bytes;
using muster::test::Result;
using muster::test::run;
using muster::test::run_limited;
using muster::test::run_shell;
using muster::test::says;
using muster::test::TempDir;
using muster::test::text_of;
using muster::test::write_file;
using muster::test::write_noise;
using muster::test::write_ten_images;

/// A pipeline that is quick on small images, written as a file.
std::string small_pipeline(const fs::path& folder) {
  const fs::path path = folder / "small.json";
  write_file(path, R"({"stages":[{"RandomResizedCrop":{"size":[16,16]}},{"RandomHorizontalFlip":{}},)"
                   R"({"Normalize":{"mean":[0.5,0.4,0.3],"std":[0.2,0.2,0.25]}}]})");
  return path.string();
}

Pipeline small_pipeline() {
  return Pipeline{RandomResizedCrop{.size = {16, 16}}, RandomHorizontalFlip{},
                  Normalize{{0.5, 0.4, 0.3}, {0.2, 0.2, 0.25}}};
}

struct Npy {
  std::string description;
  std::vector<std::uint8_t> data;
  std::size_t data_offset = 0;
};

Npy read_npy(const fs::path& path) {
  const std::vector<std::uint8_t> bytes = read_bytes(path);
  REQUIRE(bytes.size() > 10);
  REQUIRE(std::memcmp(bytes.data(), "\x93NUMPY\x01\x00", 8) == 0);
  const std::size_t length = bytes[8] + 256u * bytes[9];
  Npy npy;
  npy.data_offset = 10 + length;
  REQUIRE(bytes.size() >= npy.data_offset);
  npy.description.assign(bytes.begin() + 10, bytes.begin() + static_cast<std::ptrdiff_t>(npy.data_offset));
  npy.data.assign(bytes.begin() + static_cast<std::ptrdiff_t>(npy.data_offset), bytes.end());
  return npy;
}

bool same_bytes(const std::vector<std::uint8_t>& file, const Tensor& tensor) {
  return file.size() == tensor.size_bytes() && std::memcmp(file.data(), tensor.data(), file.size()) == 0;
}

std::vector<json> read_records(const fs::path& path) {
  std::vector<json> records;
  std::istringstream lines(text_of(path));
  for (std::string line; std::getline(lines, line);) records.push_back(json::parse(line));
  return records;
}

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename().string());
  return names;
}

}  // namespace

TEST_CASE("cli: help and version end with 0, for every subcommand") {
  CHECK(run({"--version"}).out == fmt::format("muster {}\n", muster::version));
  CHECK(run({"--help"}).status == 0);
  for (const char* subcommand :
       {"inspect", "bench", "preview", "export", "synth", "optimize", "verify", "check", "ledger"}) {
    CAPTURE(subcommand);
    const Result result = run({subcommand, "--help"});
    CHECK(result.status == 0);
    CHECK(says(result.out, fmt::format("Usage: muster {} [OPTIONS]", subcommand)));
    CHECK(says(result.out, "--threads") == (subcommand != std::string("ledger")));  // which decodes nothing
    CHECK(result.err.empty());
  }
}

TEST_CASE("cli: a wrong call ends with 2 and says why on standard error alone") {
  const TempDir dir;
  write_ten_images(dir.path());
  const std::string root = dir.path().string();
  const std::vector<std::vector<std::string>> calls = {
      {},
      {"nonsense"},
      {"bench"},
      {"bench", root, "--nonsense"},
      {"bench", root, "--preset", "imagenet"},
      {"bench", root, "--preset", "imagenet-eval", "--pipeline", small_pipeline(dir.path())},
      {"bench", root, "--pipeline", root + "/absent.json"},
      {"bench", root, "--exclude", root + "/absent.jsonl"},
      {"bench", root, "--batch-size", "0"},
      {"bench", root, "--batch-size", "-3"},
      {"bench", root, "--batch-size", "many"},
      {"bench", root, "--threads", "-1"},
      {"bench", root, "--prefetch", "0"},
      {"bench", root, "--epochs", "0"},
      {"bench", root, "--shard", "2/2"},
      {"bench", root, "--shard", "1"},
      {"bench", root, "--shard", "0/2/3"},
      {"bench", root, "--seed", "-1"},
      {"bench", root, "--dtype", "int64"},
      {"bench", root, "--layout", "hwc"},
      {"bench", root, "--last-batch", "strict", "--batch-size", "4"},
      {"bench", root, "--last-batch", "drop", "--batch-size", "11"},
      {"bench", root, "--color", "grey"},  // Normalize has three means
      {"export", root},
      {"export", root, "-o", root + "/x.npy", "--batches", "2", "--batch-size", "2"},
      {"export", root, "-o", root + "/x{}.npy", "--labels", root + "/l.npy", "--batches", "2", "--batch-size", "2"},
      {"preview", root, "--samples", "0"},
      {"preview", root, "--cell", "1"},
      {"preview", root, "--variants", "100", "--samples", "1000", "--cell", "4096"},
      {"synth", root},  // not empty
      {"synth", root + "/new", "--images", "3", "--classes", "4"},
      {"synth", root + "/new", "--width", "0"},
  };
  for (const std::vector<std::string>& call : calls) {
    CAPTURE(fmt::format("{}", fmt::join(call, " ")));
    const Result result = run(call);
    CHECK(result.status == 2);
    CHECK(result.out.empty());
    CHECK(result.err.starts_with("muster: "));
  }
  CHECK(!fs::exists(dir.path() / "new"));
}

TEST_CASE("cli: a misspelt subcommand or flag is answered with the one that was meant, nonsense is not") {
  const std::pair<std::vector<std::string>, std::string> calls[] = {
      {{"exprot", "data"}, "did you mean export?"},  // two letters changed places
      {{"preveiw", "data", "--html", "x.html"}, "did you mean preview?"},
      {{"bench", "data", "--bach-size", "4"}, "did you mean --batch-size?"},  // one missing
      {{"bench", "data", "--batch_size=4"}, "did you mean --batch-size?"},    // another
      {{"bench", "--threadss", "4", "data"}, "did you mean --threads?"},      // one too many
      {{"export", "data", "--ouput", "x.npy"}, "did you mean --output?"},     // which is also missing
      {{"bench", "data", "--batch", "2"}, "--batch is unknown, did you mean --batches?"},
      {{"check", "--shpae", "1,2,3,4"}, "did you mean --shape?"}};
  for (const auto& [words, expected] : calls) {
    const Result result = run(words);
    CAPTURE(result.err);
    CHECK(result.status == 2);
    CHECK(says(result.err, expected));
  }
  const std::vector<std::vector<std::string>> nonsense = {{"nonsense"},
                                                          {"bench", "data", "--nonsense"},
                                                          {"bench", "data", "more", "thread"},
                                                          {"bench", "data", "--"},
                                                          {"--threads", "4", "bench", "data"}};
  for (const std::vector<std::string>& words : nonsense) {
    const Result result = run(words);
    CAPTURE(result.err);
    CHECK(result.status != 0);
    CHECK(!says(result.err, "did you mean"));
  }
}

TEST_CASE("cli: a pipeline that leaves the size open is refused before DIR is opened") {
  const TempDir dir;
  write_file(dir.path() / "open.json", R"({"stages":[{"Resize":{"size":256}}]})");
  const Result result = run({"inspect", "/no/such/folder", "--pipeline", (dir.path() / "open.json").string()});
  CHECK(result.status == 2);
  CHECK(says(result.err, "Resize"));
}

TEST_CASE("cli: data that cannot be loaded ends with 1 and names the folder") {
  const TempDir dir;
  fs::create_directories(dir.path() / "empty");
  write_noise(dir.path() / "flat" / "a.png", {20, 20}, 1);
  write_file(dir.path() / "list.csv", std::string("path,label\n"));
  for (const char* name : {"absent", "empty", "flat", "list.csv", "absent.csv"}) {
    for (const char* subcommand : {"inspect", "bench"}) {
      CAPTURE(name);
      const Result result = run({subcommand, (dir.path() / name).string()});
      CHECK(result.status == 1);
      CHECK(result.out.empty());
      CHECK(says(result.err, name));
    }
  }
}

TEST_CASE("inspect: counts, classes, sizes, failures and the proof are in the JSON") {
  const TempDir dir;
  write_ten_images(dir.path());
  write_file(dir.path() / "dog" / "broken, \"quoted\" \xc3\xa4.jpg", std::string("no image"));
  const Result result = run({"inspect", dir.path().string(), "--json", "--batch-size", "4"});
  REQUIRE(result.status == 0);
  const json summary = json::parse(result.out);
  CHECK(summary["images"] == 11);
  CHECK(summary["unreadable"] == 1);
  CHECK(summary["formats"] == json{{"PNG", 10}});
  CHECK(summary["turned"] == 0);
  CHECK(summary["classes"] ==
        json::array({{{"label", 0}, {"name", "cat"}, {"images", 6}}, {{"label", 1}, {"name", "dog"}, {"images", 5}}}));
  CHECK(summary["height"] == json{{"min", 40.0}, {"median", 44.5}, {"mean", 44.5}, {"max", 49.0}});
  CHECK(summary["width"]["max"] == 70.0);
  CHECK(summary["errors"].size() == 1);
  CHECK(summary["errors"][0]["path"] == "dog/broken, \"quoted\" \xc3\xa4.jpg");
  CHECK(summary["proof"].size() == 3);
  CHECK(summary["output"] == json{224, 224});
  CHECK(summary["batches"] == 3);
  CHECK(summary["batch_shape"] == json{4, 3, 224, 224});
  CHECK(summary["last_batch_shape"] == json{3, 3, 224, 224});
  std::uint64_t in_histogram = 0;
  for (const json& bin : summary["shorter_side"]) in_histogram += bin["images"].get<std::uint64_t>();
  CHECK(in_histogram == 10);
}

TEST_CASE("inspect: a file without a readable header is listed for people, and is no failure") {
  const TempDir dir;
  write_ten_images(dir.path());
  write_file(dir.path() / "cat" / "text.jpg", std::string("hello"));
  const Result result = run({"inspect", dir.path().string()});
  CHECK(result.status == 0);
  CHECK(says(result.out, "11 images, 2 classes"));
  CHECK(says(result.out, "cat/text.jpg: "));
  CHECK(says(result.out, "{11, 3, 224, 224}"));
}

TEST_CASE("inspect: of many unreadable files and classes some are shown and the others counted; the JSON has all") {
  const TempDir dir;
  const fs::path data = dir.path() / "data", html = dir.path() / "page.html";
  for (int i = 0; i < 205; ++i) write_file(data / fmt::format("{:03}", i % 101) / fmt::format("{}.jpg", i), "no image");
  const Result result = run({"inspect", data, "--html", html, "--png", dir.path() / "charts.png"});
  REQUIRE(result.status == 0);
  CHECK(says(result.out, "205 cannot be read"));
  CHECK(says(result.out, "and 185 more; --json lists all"));
  const std::string page = text_of(html);
  CHECK(says(page, "205 cannot be read"));
  CHECK(says(page, "and 5 more; --json lists all"));
  CHECK(says(page, "the 50 largest and the 50 smallest of 101 classes; --json lists all"));
  const json summary = json::parse(run({"inspect", data, "--json"}).out);
  CHECK(summary["errors"].size() == 205);
  CHECK(summary["classes"].size() == 101);
}

TEST_CASE("inspect: links that the listing leaves out are counted") {
  const TempDir dir;
  const fs::path data = dir.path() / "data";
  write_ten_images(data);
  CHECK_FALSE(says(run({"inspect", data}).out, "left out"));
  write_noise(dir.path() / "outside.png", {20, 20}, 1);
  fs::create_symlink(dir.path() / "outside.png", data / "cat" / "out.png");
  fs::create_symlink("nowhere.png", data / "dog" / "nowhere.png");
  CHECK(says(run({"inspect", data}).out, "links left out  2 that lead out of the folder, or nowhere"));
  CHECK(json::parse(run({"inspect", data, "--json"}).out)["links_skipped"] == 2);
}

TEST_CASE("inspect: names that are no UTF-8 do not break the JSON") {
  const TempDir dir;
  write_noise(dir.path() / "c\xff" / "a.png", {20, 20}, 1);
  write_file(dir.path() / "c\xff" / "b\xfe.png", std::string("no image"));
  const Result result = run({"inspect", dir.path().string(), "--json"});
  REQUIRE(result.status == 0);
  CHECK(json::parse(result.out)["errors"][0]["path"] == "c\xef\xbf\xbd/b\xef\xbf\xbd.png");
}

TEST_CASE("cli: a reader that goes away early ends the program without a word") {
  const TempDir dir;
  write_ten_images(dir.path());
  const Result result = run_shell(command_line({"inspect", dir.path().string()}) + " | head -1");
  CHECK(result.status == 0);  // of head
  CHECK(std::ranges::count(result.out, '\n') == 1);
  CHECK(result.err.empty());
}

TEST_CASE("cli: standard output on a full disk ends with 1") {
  if (!fs::exists("/dev/full")) return;
  const TempDir dir;
  write_ten_images(dir.path());
  const Result result = run_shell(command_line({"inspect", dir.path().string()}) + " >/dev/full");
  CHECK(result.status == 1);
  CHECK(says(result.err, "standard output"));
}

TEST_CASE("bench: one JSON object tells rates, shapes and threads") {
  const TempDir dir;
  write_ten_images(dir.path());
  const Result result = run({"bench", dir.path().string(), "--pipeline", small_pipeline(dir.path()), "--json",
                             "--batch-size", "4", "--epochs", "2", "--threads", "2"});
  REQUIRE(result.status == 0);
  CHECK(result.err.empty());  // no bar where there is no terminal
  const json measured = json::parse(result.out);
  CHECK(measured["images_per_second"].get<double>() > 0);
  CHECK(measured["images_per_second_by_epoch"].size() == 2);
  CHECK(measured["epochs"] == 2);
  CHECK(measured["images"] == 10);
  CHECK(measured["batch_shape"] == json{4, 3, 16, 16});
  CHECK(measured["last_batch_shape"] == json{2, 3, 16, 16});
  CHECK(measured["threads"] == 2);
  CHECK(measured["seconds_to_first_batch"].get<double>() > 0);
  CHECK(measured["peak_rss_bytes"].get<std::int64_t>() > 1'000'000);
  CHECK(measured["errors"] == 0);
  std::int64_t num_bytes = 0;
  for (const auto& entry : fs::recursive_directory_iterator(dir.path())) {
    if (entry.path().extension() == ".png") num_bytes += static_cast<std::int64_t>(entry.file_size());
  }
  CHECK(measured["bytes_read"] == 2 * num_bytes);
  CHECK(measured["decode_limit_ratio"].is_null());  // these are PNGs, of which the limit knows nothing
  for (const char* stage : {"read", "probe", "plan", "decode", "resample", "pixel", "write", "wait"}) {
    CHECK(measured["stages_ms"].contains(stage));
  }
  CHECK(measured["verdict"].get<std::string>().find(measured["bound"].get<std::string>()) != std::string::npos);
}

TEST_CASE("bench: JPEGs are held against decoding alone, in both decode modes") {
  const TempDir dir;
  for (int i = 0; i < 6; ++i) {
    write_file(
        dir.path() / "images" / "cat" / (std::to_string(i) + ".jpg"),
        muster::test::write_jpeg(noise_image({80, 90}, 3, static_cast<std::uint32_t>(i)), {.orientation = i + 1}));
  }
  for (const char* mode : {"exact", "fast"}) {
    const Result result = run({"bench", (dir.path() / "images").string(), "--pipeline", small_pipeline(dir.path()),
                               "--json", "--batch-size", "4", "--epochs", "1", "--decode", mode});
    REQUIRE(result.status == 0);
    const json measured = json::parse(result.out);
    CHECK(measured["decode_limit_ratio"].get<double>() > 0);
    CHECK(measured["decode_limit_left_out"] == 0);
  }
}

TEST_CASE("bench: JPEGs in an archive are held against decoding alone, too, and what is none is counted") {
  const TempDir dir;
  const fs::path data = dir.path() / "data", tar = dir.path() / "data.tar";
  write_ten_images(data);
  for (std::uint32_t i = 0; i < 3; ++i) {
    write_file(data / "cat" / fmt::format("{}.jpg", i), muster::test::write_jpeg(noise_image({50, 60}, 3, i), {}));
  }
  REQUIRE(run_shell(fmt::format("tar -C {} -cf {} cat dog", quoted(data), quoted(tar))).status == 0);
  fs::remove_all(data);  // the archive alone can be read
  std::vector<std::string> call = {"bench", tar, "--pipeline", small_pipeline(dir.path()), "--epochs", "1"};
  const Result result = run(call);
  CHECK(result.status == 0);
  CHECK(says(result.out, "images/s of libjpeg-turbo alone"));
  CHECK(says(result.out, "without 10 of 13 images that are no whole JPEGs"));
  call.emplace_back("--json");
  const json measured = json::parse(run(call).out);
  CHECK(measured["decode_limit_ratio"].get<double>() > 0);
  CHECK(measured["decode_limit_left_out"] == 10);
}

TEST_CASE("bench: what goes bad after it was loaded is left out of the decode limit") {
  const TempDir dir;
  const std::vector<std::uint8_t> jpeg = muster::test::write_jpeg(noise_image({50, 60}, 3, 1), {});
  const std::string sound(jpeg.begin(), jpeg.end());
  // The loader reads first, then the header is read, then decoding alone reads.
  const HttpServer server([&](const HttpRequest& request) -> HttpResponse {
    if (request.path == "/list.csv") return {.body = "path,label\nsound,0\nno-header,0\ngone,0\nno-image,0\n"};
    if (request.path == "/no-header" && request.number >= 2) return {.body = "no image"};
    if (request.path == "/gone" && request.number >= 3) return {.status = 404};
    if (request.path == "/no-image" && request.number >= 3) return {.body = "no image"};
    return {.body = sound};
  });
  const Result result =
      run({"bench", server.url("/list.csv"), "--pipeline", small_pipeline(dir.path()), "--epochs", "1"});
  CAPTURE(result.err);
  CHECK(result.status == 0);
  CHECK(says(result.out, "4 images;   decoding alone"));
  CHECK(says(result.out, "without 3 of 4 images that are no whole JPEGs"));
}

TEST_CASE("bench: threads that wait for a server are bound by reading") {
  const TempDir dir;
  write_noise(dir.path() / "a.png", {4, 4}, 1);
  const std::string image = text_of(dir.path() / "a.png");
  const HttpServer server([&](const HttpRequest& request) -> HttpResponse {
    if (request.path == "/list.csv") return {.body = "path,label\na.png,0\nb.png,0\n"};
    return {.body = image, .pause_ms = request.number == 1 ? 5 : 0};
  });
  const Result result = run({"bench", server.url("/list.csv"), "--pipeline", small_pipeline(dir.path()), "--threads",
                             "1", "--epochs", "1", "--json"});
  CAPTURE(result.err);
  REQUIRE(result.status == 0);
  const json measured = json::parse(result.out);
  CHECK(measured["bound"] == "read");
  CHECK(says(measured["verdict"].get<std::string>(), "% of the time for files; more threads, --io-threads"));
}

TEST_CASE("bench: --batches and --last-batch shape the epochs; people read the same figures") {
  const TempDir dir;
  write_ten_images(dir.path());
  const std::vector<std::string> common = {
      "bench", dir.path().string(), "--pipeline", small_pipeline(dir.path()), "--batch-size", "4", "--epochs", "1"};
  std::vector<std::string> call = common;
  call.insert(call.end(), {"--json", "--batches", "1", "--layout", "nhwc", "--dtype", "uint8"});
  json measured = json::parse(run(call).out);
  CHECK(measured["images"] == 4);
  CHECK(measured["batch_shape"] == json{4, 16, 16, 3});
  CHECK(measured["dtype"] == "uint8");

  call = common;
  call.insert(call.end(), {"--json", "--last-batch", "pad", "--shard", "1/2"});
  measured = json::parse(run(call).out);
  CHECK(measured["images"] == 5);
  CHECK(measured["fillers"] == 3);
  CHECK(measured["last_batch_shape"] == json{4, 3, 16, 16});

  const Result result = run(common);
  CHECK(result.status == 0);
  CHECK(says(result.out, "{4, 3, 16, 16}, the last {2, 3, 16, 16}; every shape verified"));
}

TEST_CASE("cli: a broken file is named under every policy") {
  const TempDir dir;
  write_ten_images(dir.path());
  write_file(dir.path() / "cat" / "a broken, one.jpg", std::string("no image"));  // comes last in its class
  const auto call = [&](const char* policy) {
    return run({"export", dir.path().string(), "--pipeline", small_pipeline(dir.path()), "-o",
                (dir.path() / "b.npy").string(), "--records", (dir.path() / "r.jsonl").string(), "--on-error", policy,
                "--batch-size", "16", "--json"});
  };
  const Result raised = call("raise");
  CHECK(raised.status == 1);
  CHECK(says(raised.err, "cat/a broken, one.jpg"));
  CHECK(names_in(dir.path()) == std::set<std::string>{"cat", "dog", "small.json"});  // nothing half-written

  const Result masked = call("mask");
  CHECK(masked.status == 0);
  CHECK(says(masked.err, "cat/a broken, one.jpg"));
  CHECK(json::parse(masked.out)["masked"] == 1);
  json record = read_records(dir.path() / "r.jsonl").at(6);
  CHECK(record["path"] == "cat/a broken, one.jpg");
  CHECK(record["valid"] == false);
  CHECK(record["label"] == -1);
  CHECK(record["outcome"] == "masked");
  CHECK(says(record["error"].get<std::string>(), "not an image"));
  CHECK(!record.contains("window"));

  const Result substituted = call("substitute");
  CHECK(substituted.status == 0);
  CHECK(says(substituted.err, "cat/a broken, one.jpg"));
  record = read_records(dir.path() / "r.jsonl").at(6);
  CHECK(record["valid"] == true);
  CHECK(record["outcome"] == "substituted");
  CHECK(record["path"] != "cat/a broken, one.jpg");
  CHECK(record["substitute_for"] == json{{"id", 6}, {"path", "cat/a broken, one.jpg"}});
  CHECK(record.contains("window"));
}

TEST_CASE("export: the file holds the loader's own bytes, for every element type and layout") {
  const TempDir dir;
  write_ten_images(dir.path());
  const std::string pipeline = small_pipeline(dir.path());
  const std::map<std::string, std::string> types = {
      {"uint8", "|u1"}, {"float16", "<f2"}, {"bfloat16", "<u2"}, {"float32", "<f4"}};
  for (const auto& [dtype, type] : types) {
    for (const std::string layout : {"nchw", "nhwc"}) {
      CAPTURE(dtype);
      CAPTURE(layout);
      const fs::path file = dir.path() / "batch.npy";
      const fs::path labels = dir.path() / "labels.npy";
      const Result result =
          run({"export", dir.path().string(), "--pipeline", pipeline, "-o", file.string(), "--labels", labels.string(),
               "--batch-size", "7", "--shuffle", "--seed", "5", "--epoch", "2", "--dtype", dtype, "--layout", layout});
      REQUIRE(result.status == 0);
      CHECK(says(result.out, file.string()));

      Loader loader{ImageFolder{dir.path()},
                    small_pipeline(),
                    {.batch_size = 7,
                     .shuffle = true,
                     .seed = 5,
                     .dtype = dtype_from_name(dtype),
                     .layout = layout_from_name(layout)}};
      const Batch batch = loader.epoch(2).next().value();
      const Npy images = read_npy(file);
      CHECK(images.data_offset % 64 == 0);
      CHECK(images.description.ends_with('\n'));
      CHECK(says(images.description, fmt::format("'descr': '{}'", type)));
      CHECK(says(images.description, "'fortran_order': False"));
      CHECK(says(images.description, layout == "nchw" ? "'shape': (7, 3, 16, 16)" : "'shape': (7, 16, 16, 3)"));
      CHECK(same_bytes(images.data, batch.images));
      const Npy numbers = read_npy(labels);
      CHECK(says(numbers.description, "'descr': '<i8'"));
      CHECK(says(numbers.description, "'shape': (7,)"));
      CHECK(same_bytes(numbers.data, batch.labels));
    }
  }
}

TEST_CASE("export: every batch of an epoch goes to a file of its own, whatever the threads") {
  const TempDir dir;
  write_ten_images(dir.path());
  const std::string pipeline = small_pipeline(dir.path());
  for (const char* threads : {"1", "3"}) {
    const Result result = run({"export", dir.path().string(), "--pipeline", pipeline, "-o",
                               (dir.path() / fmt::format("t{}-{{}}.npy", threads)).string(), "--batches", "9",
                               "--batch-size", "4", "--threads", threads, "--json"});
    REQUIRE(result.status == 0);
    CHECK(says(result.err, "3 batches"));  // fewer than asked for
    const json told = json::parse(result.out);
    CHECK(told["files"].size() == 3);
    CHECK(told["files"][2]["shape"] == json{2, 3, 16, 16});
    CHECK(told["rows"] == 10);
  }
  for (const char* batch : {"0", "1", "2"}) {
    CHECK(read_bytes(dir.path() / fmt::format("t1-{}.npy", batch)) ==
          read_bytes(dir.path() / fmt::format("t3-{}.npy", batch)));
  }
}

TEST_CASE("export: a record line tells what its row shows, fillers included") {
  const TempDir dir;
  write_ten_images(dir.path());
  const fs::path records = dir.path() / "records.jsonl";
  const Result result = run({"export", dir.path().string(), "--pipeline", small_pipeline(dir.path()), "-o",
                             (dir.path() / "b{}.npy").string(), "--batches", "3", "--batch-size", "4", "--last-batch",
                             "pad", "--shuffle", "--seed", "9", "--epoch", "1", "--records", records.string()});
  REQUIRE(result.status == 0);
  const std::vector<json> lines = read_records(records);
  REQUIRE(lines.size() == 12);

  Loader loader{ImageFolder{dir.path()}, small_pipeline(), {.batch_size = 4, .shuffle = true, .seed = 9}};
  for (std::uint64_t row = 0; row < 10; ++row) {
    const json& line = lines[row];
    const Plan plan = loader.plan(1, row);
    CHECK(line["row"] == row);
    CHECK(line["id"] == plan.key.sample_id);
    CHECK(line["path"] == loader.source().name(plan.key.sample_id));
    CHECK(line["label"] == (plan.key.sample_id < 6 ? 0 : 1));
    CHECK(line["class"] == (plan.key.sample_id < 6 ? "cat" : "dog"));
    CHECK(line["valid"] == true);
    CHECK(line["source"] == json{plan.source.height, plan.source.width});
    CHECK(
        line["window"] ==
        json{{"y", plan.window.y}, {"x", plan.window.x}, {"height", plan.window.height}, {"width", plan.window.width}});
    CHECK(line["flip"] == plan.flip_horizontal);
    CHECK(line["output"] == json{16, 16});
    CHECK(line["output_to_source"]["y_scale"] == plan.output_to_source.y_scale);
    CHECK(line["stages"].size() == 2);
    CHECK(line["epoch"] == 1);
    CHECK(line["batch"] == row / 4);
  }
  for (std::size_t i : {10u, 11u}) {
    CHECK(lines[i]["row"].is_null());
    CHECK(lines[i]["id"].is_null());
    CHECK(lines[i]["path"].is_null());
    CHECK(lines[i]["label"] == -1);
    CHECK(lines[i]["valid"] == false);
  }
}

TEST_CASE("export: lists work like folders, whatever the names hold") {
  const TempDir dir;
  const std::vector<std::string> names = {"with space.png", "with,comma.png", "with \"quotes\".png",
                                          "gr\xc3\xbc\xc3\x9f"
                                          "e.png",
                                          "single'quote.png"};
  std::string list = "path,label\n";
  for (std::size_t i = 0; i < names.size(); ++i) {
    write_noise(dir.path() / names[i], {30, 30}, static_cast<std::uint32_t>(i));
    std::string field;
    for (const char c : names[i]) field += c == '"' ? std::string("\"\"") : std::string(1, c);
    list += fmt::format("\"{}\",{}\n", field, i);
  }
  const fs::path path = dir.path() / "a list, quoted.CSV";
  write_file(path, list);
  const fs::path records = dir.path() / "records.jsonl";
  const Result result = run({"export", path.string(), "--pipeline", small_pipeline(dir.path()), "-o",
                             (dir.path() / "out file.npy").string(), "--records", records.string()});
  REQUIRE_MESSAGE(result.status == 0, result.err);
  const std::vector<json> lines = read_records(records);
  REQUIRE(lines.size() == names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    CHECK(lines[i]["path"] == names[i]);
    CHECK(lines[i]["label"] == i);
  }
}

TEST_CASE("export: a file that cannot be written ends with 1, and what was there stays") {
  const TempDir dir;
  write_ten_images(dir.path());
  const std::string pipeline = small_pipeline(dir.path());
  Result result = run({"export", dir.path().string(), "--pipeline", pipeline, "-o", "/no/such/folder/b.npy"});
  CHECK(result.status == 1);
  CHECK(says(result.err, "/no/such/folder/b.npy"));

  if (fs::exists("/dev/full")) {
    result = run({"export", dir.path().string(), "--pipeline", pipeline, "-o", "/dev/full"});
    CHECK(result.status == 1);
    CHECK(says(result.err, "/dev/full"));
    CHECK(fs::is_character_file("/dev/full"));
  }

  // A limit on file sizes stands for the full disk: 24 576 bytes of a batch do not fit into 4096.
  const fs::path file = dir.path() / "b.npy";
  write_file(file, std::string("before"));
  result = run_limited({"export", dir.path().string(), "--pipeline", pipeline, "-o", file.string()}, 4096);
  CHECK(result.status == 1);
  CHECK(says(result.out, "b.npy"));
  CHECK(text_of(file) == "before");
  CHECK(names_in(dir.path()) == std::set<std::string>{"b.npy", "cat", "dog", "small.json"});
}

TEST_CASE("preview: writes a PNG and prints its path") {
  const TempDir dir;
  write_ten_images(dir.path());
  const fs::path file = dir.path() / "my sheet.png";
  const Result result = run({"preview", dir.path().string(), "--pipeline", small_pipeline(dir.path()), "-o",
                             file.string(), "--samples", "2", "--variants", "3", "--cell", "64"});
  REQUIRE(result.status == 0);
  CHECK(result.out == file.string() + "\n");
  CHECK(probe(read_bytes(file)).format == Format::png);
}

TEST_CASE("synth: the same seed makes the same files, on any number of threads, and the loader takes them") {
  const TempDir dir;
  const auto make = [&](const char* name, const char* seed, const char* threads) {
    return run({"synth", (dir.path() / name).string(), "--images", "9", "--classes", "3", "--seed", seed, "--height",
                "60", "--width", "80", "--threads", threads});
  };
  const Result made = make("a", "1", "1");
  REQUIRE(made.status == 0);
  CHECK(says(made.out, "9 images, 3 classes"));
  REQUIRE(make("b", "1", "3").status == 0);
  REQUIRE(make("c", "2", "2").status == 0);
  CHECK(names_in(dir.path()) == std::set<std::string>{"a", "b", "c"});

  const ImageFolder a{dir.path() / "a"}, b{dir.path() / "b"}, c{dir.path() / "c"};
  REQUIRE(a.size() == 9);
  CHECK(a.classes() == std::vector<std::string>{"class000", "class001", "class002"});
  std::set<std::vector<std::uint8_t>> different;
  for (std::uint64_t id = 0; id < a.size(); ++id) {
    Sample from_a, from_b, from_c;
    a.read(id, from_a, {});
    b.read(id, from_b, {});
    c.read(id, from_c, {});
    CHECK(from_a.bytes == from_b.bytes);
    CHECK(from_a.bytes != from_c.bytes);
    different.insert(from_a.bytes);
    CHECK(probe(from_a.bytes).format == Format::jpeg);
    CHECK_NOTHROW(decode(from_a.bytes));
  }
  CHECK(different.size() == 9);
  CHECK(make("a", "1", "1").status == 2);  // nothing is overwritten
}
