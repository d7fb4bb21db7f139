// Failures, archives, indexes and verification, as the program shows them.
#include <doctest/doctest.h>

#include <atomic>
#include <filesystem>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "http_server.hpp"
#include "jpeg.hpp"
#include "muster/muster.hpp"
#include "program.hpp"
#include "support.hpp"

namespace muster::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// Twelve images in two classes; numbers 3 and 8 of the listing are damaged if wanted.
fs::path made_data(const fs::path& root, bool damaged = false) {
  const fs::path data = root / "data";
  for (std::uint32_t i = 0; i < 12; ++i) {
    const fs::path path = data / (i < 6 ? "cat" : "dog") / fmt::format("{:02}.png", i);
    write_noise(path, {20 + i, 30 - i}, i + 1);
    if (damaged && (i == 3 || i == 8)) write_file(path, "no image");
  }
  return data;
}

fs::path made_pipeline(const fs::path& root) {
  const fs::path path = root / "pipeline.json";
  write_file(path, R"({"stages":[{"RandomResizedCrop":{"size":[8,8]}},{"RandomHorizontalFlip":{}}]})");
  return path;
}

std::vector<json> lines_of(const fs::path& path) {
  std::vector<json> lines;
  std::istringstream text(text_of(path));
  for (std::string line; std::getline(text, line);) lines.push_back(json::parse(line));
  return lines;
}

}  // namespace

TEST_CASE("cli: --report names every row that failed, and --exclude takes it back") {
  const TempDir root;
  const fs::path data = made_data(root.path(), true);
  const fs::path pipeline = made_pipeline(root.path());
  const fs::path report = root.path() / "report.jsonl";
  const std::vector<std::string> common = {"export",       data, "--pipeline", pipeline, "-o", root.path() / "x.npy",
                                           "--batch-size", "12"};
  auto words = common;
  words.insert(words.end(), {"--on-error", "mask", "--report", report});
  REQUIRE(run(words).status == 0);
  const std::vector<json> lines = lines_of(report);
  REQUIRE(lines.size() == 2);
  CHECK(lines[0]["path"] == "cat/03.png");
  CHECK(lines[0]["id"] == 3);
  CHECK(lines[0]["row"] == 3);
  CHECK(lines[0]["stage"] == "decode");
  CHECK(lines[0]["outcome"] == "masked");
  CHECK(lines[1]["id"] == 8);

  words = common;
  words.insert(words.end(), {"--exclude", report, "--records", root.path() / "records.jsonl"});
  REQUIRE(run(words).status == 0);
  std::set<std::uint64_t> ids;
  for (const json& line : lines_of(root.path() / "records.jsonl")) ids.insert(line["id"].get<std::uint64_t>());
  CHECK(ids == std::set<std::uint64_t>{0, 1, 2, 4, 5, 6, 7, 9, 10, 11});

  fs::remove(data / "cat" / "00.png");  // every number below shifts by one
  const Result shifted = run(words);
  CHECK(shifted.status == 2);
  CHECK(says(shifted.err, "--exclude"));
}

TEST_CASE("cli: --exclude refuses the list of a larger data set") {
  const TempDir root;
  const fs::path list = root.path() / "list.jsonl";
  write_file(list, "{\"id\":11}\n");
  const Words words = {"inspect", made_data(root.path()), "--exclude", list};
  CHECK(run(words).status == 0);
  write_file(list, "{\"id\":12}\n");
  const Result refused = run(words);
  CHECK(refused.status == 2);
  CHECK(says(refused.err, "expected ids below 12, received 12; the list is of another data set"));
}

TEST_CASE("cli: of many faults of a listing the first are told, the others counted") {
  const TempDir root;
  const fs::path data = made_data(root.path());
  const fs::path shard = root.path() / "0.tar";
  REQUIRE(run_shell(fmt::format("tar -C {} --sort=name -cf {} cat dog", quoted(data), quoted(shard))).status == 0);
  fs::resize_file(shard, fs::file_size(shard) * 2 / 3);  // the end is lost
  for (int i = 1; i < 7; ++i) fs::copy_file(shard, root.path() / fmt::format("{}.tar", i));
  const Result result = run({"inspect", root.path() / "{0..6}.tar"});
  CHECK(result.status == 0);
  CHECK(says(result.err, "4.tar"));
  CHECK_FALSE(says(result.err, "5.tar"));
  CHECK(says(result.err, "muster: and 2 more left out\n"));
}

TEST_CASE("cli: --report also has the row that ended the run") {
  const TempDir root;
  const fs::path data = made_data(root.path(), true);
  const fs::path report = root.path() / "report.jsonl";
  const Result result = run({"export", data, "--pipeline", made_pipeline(root.path()), "-o", root.path() / "x.npy",
                             "--batch-size", "12", "--report", report});
  CHECK(result.status == 1);
  const std::vector<json> lines = lines_of(report);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0]["outcome"] == "raised");
  CHECK(lines[0]["path"] == "cat/03.png");
  CHECK(lines[0]["row"] == 3);
}

TEST_CASE("cli: --report also has the rows that exceeded --max-errors, and the message counts what was delivered") {
  const TempDir root;
  const fs::path data = made_data(root.path(), true);
  const fs::path report = root.path() / "report.jsonl";
  for (const char* command : {"export", "bench"}) {
    CAPTURE(command);
    std::vector<std::string> words = {command,        data, "--pipeline", made_pipeline(root.path()),
                                      "--batch-size", "6",  "--on-error", "mask",
                                      "--max-errors", "1",  "--report",   report,
                                      "--batches",    "2"};
    if (std::string(command) == "export") words.insert(words.end(), {"-o", root.path() / "x{}.npy"});
    const Result result = run(words);
    CHECK(result.status == 1);
    CHECK(says(result.err, "delivered 6 rows in 1 batches"));
    const std::vector<json> lines = lines_of(report);
    REQUIRE(lines.size() == 2);  // the first batch's was delivered, the second's ended the epoch
    CHECK(lines[0]["row"] == 3);
    CHECK(lines[1]["row"] == 8);
    CHECK(lines[1]["outcome"] == "masked");
    CHECK(run({"export", data, "--pipeline", made_pipeline(root.path()), "-o", root.path() / "y.npy", "--batch-size",
               "10", "--exclude", report})
              .status == 0);
  }
}

TEST_CASE("cli: what inspect reports has no row") {
  const TempDir root;
  const fs::path report = root.path() / "report.jsonl";
  REQUIRE(run({"inspect", made_data(root.path(), true), "--report", report}).status == 0);
  const std::vector<json> lines = lines_of(report);
  REQUIRE(lines.size() == 2);
  CHECK(lines[0]["id"] == 3);
  CHECK(lines[0]["row"].is_null());
}

TEST_CASE("cli: a report with entries that the listing left out can be fed back to --exclude") {
  const TempDir root;
  const fs::path data = made_data(root.path(), true);
  const fs::path tar = root.path() / "shard.tar";
  REQUIRE(run_shell(fmt::format("tar -C {} --sort=name -cf {} cat dog", quoted(data), quoted(tar))).status == 0);
  fs::resize_file(tar, fs::file_size(tar) * 2 / 3);  // the end is lost
  const fs::path report = root.path() / "report.jsonl";
  const std::vector<std::string> common = {"verify",       tar, "--pipeline", made_pipeline(root.path()),
                                           "--batch-size", "3"};
  auto words = common;
  words.insert(words.end(), {"--report", report});
  CHECK(run(words).status == 1);
  const std::vector<json> lines = lines_of(report);
  REQUIRE(lines.size() >= 2);
  CHECK(lines.front()["outcome"] == "left out");
  CHECK(lines.front()["id"].is_null());

  words = common;
  words.insert(words.end(), {"--exclude", report, "--json"});
  const Result result = run(words);
  REQUIRE_MESSAGE(result.status == 1, result.err);  // the archive is still cut
  CHECK(json::parse(result.out)["damaged"].empty());
}

TEST_CASE("cli: messages name flags, not the options of C++") {
  const TempDir root;
  const fs::path data = made_data(root.path());
  const std::pair<std::vector<std::string>, const char*> calls[] = {
      {{"--batch-size", "0"}, "set --batch-size"},
      {{"--threads", "-1"}, "set --threads to 0"},
      {{"--io-threads", "-1"}, "set --io-threads to 0"},
      {{"--max-errors", "1"}, "set --on-error"},
      {{"--last-batch", "strict", "--batch-size", "5"}, "or --last-batch to partial"},
      {{"--exactly-once", "--on-error", "substitute"}, "with --exactly-once"}};
  for (const auto& [more, expected] : calls) {
    std::vector<std::string> words = {"export", data, "-o", root.path() / "x.npy"};
    words.insert(words.end(), more.begin(), more.end());
    const Result result = run(words);
    CAPTURE(result.err);
    CHECK(result.status == 2);
    CHECK(says(result.err, expected));
    CHECK_FALSE(says(result.err, "::"));
  }
}

TEST_CASE(
    "cli: --retries and --stall-timeout are a URL's, and messages name them; what has no flag is said to have none") {
  const TempDir root;
  std::atomic<int> num_asked = 0;
  std::atomic<bool> stalls = false;
  const HttpServer server([&](const HttpRequest&) {
    ++num_asked;
    if (stalls) return HttpResponse{.length = 1000, .end = HttpResponse::End::stall};
    return HttpResponse{.status = 503, .fields = {"Retry-After: 0"}};
  });
  const auto call = [&](const std::string& retries) {
    num_asked = 0;
    return run({"inspect", server.url("/list.csv"), "--stall-timeout", "0.05", "--retries", retries});
  };
  for (const int retries : {0, 2}) {
    const Result result = call(std::to_string(retries));
    CAPTURE(result.err);
    CHECK(result.status == 1);
    CHECK(num_asked == retries + 1);
    CHECK(says(result.err, "raise --retries"));
  }
  stalls = true;
  const Result result = call("0");
  CAPTURE(result.err);
  CHECK(result.status == 1);
  CHECK(says(result.err, "--stall-timeout"));
  CHECK_FALSE(says(result.err, "stall_timeout_ms"));

  const HttpServer turning(
      [&](const HttpRequest&) { return HttpResponse{.status = 302, .fields = {"Location: /again.csv"}}; });
  CHECK(says(run({"inspect", turning.url("/list.csv")}).err, "HttpOptions::max_redirects (in C++ only)"));
}

TEST_CASE("cli: --max-expansion lets archives through that are known to be no bombs") {
  const TempDir root;
  const fs::path data = made_data(root.path());
  const fs::path archive = root.path() / "zeros.tar.gz";
  REQUIRE(run_shell(fmt::format("cd {} && truncate -s 160000000 cat/zeros.bin && tar -czf {} cat", quoted(data),
                                quoted(archive)))
              .status == 0);
  const Result refused = run({"inspect", archive});
  CHECK(refused.status == 1);
  CHECK(says(refused.err, "--max-expansion"));
  const Result taken = run({"inspect", archive, "--max-expansion", "5000", "--json"});
  CHECK(taken.status == 0);
  CHECK(json::parse(taken.out)["images"] == 6);
}

TEST_CASE("cli: a URL is shown without its user and password, whatever shows it") {
  const TempDir root;
  const fs::path data = made_data(root.path());
  const HttpServer server([&](const HttpRequest& request) {
    if (request.path == "/empty.csv") return HttpResponse{.body = "path,label\n"};
    if (request.path == "/list.csv") return HttpResponse{.body = "path,label\ncat/00.png,0\ncat/01.png,0\n"};
    return file_response(request, text_of(data / request.path.substr(1)));
  });
  const std::string list = "http://anna:geheim@" + server.host() + "/list.csv";
  const fs::path html = root.path() / "page.html";
  const std::vector<std::vector<std::string>> calls = {
      {"inspect", list, "--html", html},
      {"inspect", list, "--json"},
      {"verify", list, "--batch-size", "2"},
      {"verify", list, "--json"},
      {"preview", list, "--html", html},
      {"inspect", list, "--keep-index"},
      {"inspect", "http://anna:geheim@" + server.host() + "/empty.csv"}};
  for (auto words : calls) {
    CAPTURE(fmt::format("{}", fmt::join(words, " ")));
    fs::remove(html);
    words.insert(words.end(), {"--pipeline", made_pipeline(root.path())});
    const Result result = run(words);
    CHECK(says(result.out + result.err + text_of(html), server.host()));
    for (const char* hidden : {"anna", "geheim"}) CHECK_FALSE(says(result.out + result.err + text_of(html), hidden));
  }
}

TEST_CASE("cli: --max-errors stops an epoch beyond a number or a percentage") {
  const TempDir root;
  const fs::path data = made_data(root.path(), true);
  const fs::path pipeline = made_pipeline(root.path());
  const auto status = [&](const std::string& max_errors) {
    return run({"export", data, "--pipeline", pipeline, "-o", root.path() / "x.npy", "--batch-size", "12", "--on-error",
                "mask", "--max-errors", max_errors});
  };
  CHECK(status("2").status == 0);
  CHECK(status("1").status == 1);
  CHECK(says(status("1").err, "raise --max-errors"));
  CHECK(status("17%").status == 0);
  CHECK(status("16%").status == 1);
  for (const char* wrong : {"", "x", "-1", "101%", "%", "3 %"}) CHECK(status(wrong).status == 2);
}

TEST_CASE("cli: --exactly-once refuses policies that could break it") {
  const TempDir root;
  const fs::path data = made_data(root.path());
  const Result result = run({"export", data, "-o", root.path() / "x.npy", "--exactly-once", "--last-batch", "wrap"});
  CHECK(result.status == 2);
  CHECK(says(result.err, "--exactly-once"));
}

TEST_CASE("cli: io threads and tar archives change no byte") {
  const TempDir root;
  const fs::path data = made_data(root.path());
  const fs::path pipeline = made_pipeline(root.path());
  const fs::path tar = root.path() / "shard-00.tar";
  REQUIRE(run_shell(fmt::format("tar -C {} --sort=name -cf {} cat dog", quoted(data), quoted(tar))).status == 0);
  REQUIRE(run_shell(fmt::format("gzip -k {}", quoted(tar))).status == 0);
  const auto bytes = [&](const std::string& dir, const std::vector<std::string>& more) {
    std::vector<std::string> words = {"export",       dir, "--pipeline", pipeline, "-o", root.path() / "x.npy",
                                      "--batch-size", "12"};
    words.insert(words.end(), more.begin(), more.end());
    const Result result = run(words);
    REQUIRE_MESSAGE(result.status == 0, result.err);
    return text_of(root.path() / "x.npy");
  };
  const std::string expected = bytes(data, {});
  CHECK(bytes(data, {"--io-threads", "4"}) == expected);
  CHECK(bytes(tar, {}) == expected);
  CHECK(bytes(tar, {"--keep-index"}) == expected);
  CHECK(fs::exists(root.path() / "shard-00.tar.index"));
  CHECK(bytes(tar, {"--keep-index", "--io-threads", "2"}) == expected);
  CHECK(bytes(root.path() / "shard-{00..00}.tar", {}) == expected);
  CHECK(bytes(tar.string() + ".gz", {}) == expected);
}

TEST_CASE("cli: --index keeps a folder's listing, and notices a new file") {
  const TempDir root;
  const fs::path data = made_data(root.path());
  const fs::path index = root.path() / "listing.index";
  const auto images = [&] {
    const Result result = run({"inspect", data, "--index", index, "--json"});
    REQUIRE_MESSAGE(result.status == 0, result.err);
    return json::parse(result.out)["images"].get<int>();
  };
  CHECK(images() == 12);
  CHECK(fs::exists(index));
  CHECK(images() == 12);
  write_noise(data / "dog" / "new.png", {9, 9}, 77);
  CHECK(images() == 13);
  CHECK(run({"inspect", root.path() / "none.tar", "--index", index}).status == 2);
  CHECK(run({"inspect", data, "--keep-index"}).status == 2);
}

TEST_CASE("cli: verify passes sound data and names what is damaged") {
  const TempDir root;
  const fs::path pipeline = made_pipeline(root.path());
  const fs::path data = made_data(root.path());
  Result result = run({"verify", data, "--pipeline", pipeline, "--batch-size", "5", "--json"});
  CHECK(result.status == 0);
  json found = json::parse(result.out);
  CHECK(found["sound"] == true);
  CHECK(found["samples"] == 12);
  CHECK(found["batches_compared"] == 3);

  // Damage below everything that the pipeline shows: only decoding as a whole finds it.
  std::vector<std::uint8_t> jpeg = write_jpeg(picture({64, 64}, 3, 5), {});
  jpeg.resize(jpeg.size() * 3 / 4);
  jpeg.insert(jpeg.end(), {0xff, 0xd9});
  write_file(data / "dog" / "08.jpg", jpeg);
  const fs::path report = root.path() / "report.jsonl";
  result = run({"verify", data, "--pipeline", pipeline, "--report", report});
  CHECK(result.status == 1);
  CHECK(says(result.out, "dog/08.jpg"));
  CHECK(says(result.out, "identical"));
  REQUIRE(lines_of(report).size() == 1);
  CHECK(run({"verify", data, "--pipeline", pipeline, "--exclude", report}).status == 0);
}

TEST_CASE("cli: of many damaged samples verify shows some and counts the others") {
  const TempDir root;
  const fs::path data = made_data(root.path());
  for (int i = 0; i < 25; ++i) write_file(data / "cat" / fmt::format("broken{}.png", i), "no image");
  const fs::path report = root.path() / "report.jsonl";
  const Result result = run({"verify", data, "--pipeline", made_pipeline(root.path()), "--report", report});
  CHECK(result.status == 1);
  CHECK(says(result.out, "37 samples decoded, 25 damaged"));
  CHECK(says(result.out, "and 5 more; --report FILE lists all"));
  CHECK(lines_of(report).size() == 25);
}

TEST_CASE("cli: verify fails where batches differ from one reading to the next") {
  const TempDir root;
  const fs::path data = made_data(root.path());
  const HttpServer server([&](const HttpRequest& request) {
    if (request.path == "/list.csv") return HttpResponse{.body = "path,label\na.png,0\nb.png,0\nc.png,0\n"};
    const bool other = request.path == "/c.png" && request.number % 2 == 0;
    return HttpResponse{.body = text_of(data / "cat" / (other ? "01.png" : "00.png"))};
  });
  const Result result =
      run({"verify", server.url("/list.csv"), "--pipeline", made_pipeline(root.path()), "--batch-size", "2", "--json"});
  CHECK(result.status == 1);
  CHECK(says(result.err, "batches differ between thread counts: a source, stage or order is no pure function"));
  const json found = json::parse(result.out);
  CHECK(found["sound"] == false);
  CHECK(found["damaged"].empty());
  CHECK(found["batches_differing"] == json{1});
}

TEST_CASE("cli: verify compares up to as many threads as a loader takes, and refuses more before it decodes") {
  const TempDir root;
  const fs::path data = made_data(root.path());
  const fs::path report = root.path() / "report.jsonl";
  const std::vector<std::string> words = {"verify", data,       "--pipeline", made_pipeline(root.path()),
                                          "--json", "--report", report,       "--threads"};
  const auto with_threads = [&](const char* number) {
    auto now = words;
    now.emplace_back(number);
    return run(now);
  };
  for (const char* number : {"128", "256"}) {
    const Result result = with_threads(number);
    CAPTURE(result.err);
    REQUIRE(result.status == 0);
    const json found = json::parse(result.out);
    CHECK(found["settings"][2]["threads"] == 256);
  }
  write_file(report, "before");
  CHECK(with_threads("100000").status == 2);
  CHECK(text_of(report) == "before");
}

TEST_CASE("cli: verify counts the samples of its own shard, and an error budget does not end it") {
  const TempDir root;
  const fs::path pipeline = made_pipeline(root.path());
  const fs::path data = made_data(root.path(), true);
  int num_samples = 0;
  std::size_t num_damaged = 0;
  for (int i = 0; i < 5; ++i) {
    const Result result = run({"verify", data, "--pipeline", pipeline, "--batch-size", "2", "--json", "--on-error",
                               "mask", "--max-errors", "0", "--shard", fmt::format("{}/5", i)});
    const json found = json::parse(result.out);
    const int samples = found["samples"].get<int>();
    CHECK(samples >= 2);
    CHECK(samples <= 4);
    num_samples += samples;
    num_damaged += found["damaged"].size();
    CHECK(result.status == (found["damaged"].empty() ? 0 : 1));
  }
  CHECK(num_samples == 12);
  CHECK(num_damaged == 2);
}

TEST_CASE("shard paths: braces are ranges with the digits of their first number") {
  CHECK(shard_paths("a.tar") == std::vector<std::string>{"a.tar"});
  CHECK(shard_paths("a-{08..11}.tar") == std::vector<std::string>{"a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"});
  CHECK(shard_paths("{18446744073709551615..18446744073709551615}") ==
        std::vector<std::string>{"18446744073709551615"});
  CHECK(shard_paths("{9..10}") == std::vector<std::string>{"9", "10"});
  CHECK(shard_paths("{0..1}/{5..6}") == std::vector<std::string>{"0/5", "0/6", "1/5", "1/6"});
  for (const char* wrong : {"{", "{}", "{1}", "{a..b}", "{2..1}", "{0..1", "{0..9999999}", "{1..-2}"}) {
    CHECK_THROWS_AS(shard_paths(wrong), ConfigError);
  }
}

TEST_CASE("cli: names that a terminal would obey, or that are no UTF-8, do no harm, and are excluded like others") {
  const TempDir root;
  const fs::path data = made_data(root.path(), true);
  const fs::path pipeline = made_pipeline(root.path());
  fs::rename(data / "cat", data / "\x1b[31mcat");
  fs::rename(data / "dog/08.png", data / "dog/\xff\x1b[2J.png");
  const auto inspected = run({"inspect", data, "--pipeline", pipeline});
  CHECK(inspected.status == 0);
  CHECK(says(inspected.out, "?[31mcat"));
  CHECK_FALSE(says(inspected.out, "\x1b"));
  const fs::path report = root.path() / "report.jsonl";
  const std::vector<std::string> common = {"export", data, "--pipeline", pipeline, "-o", root.path() / "x.npy"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), common.begin(), common.end());
    return run(more);
  };
  const auto masked = with({"--on-error", "mask", "--report", report.string()});
  CHECK(masked.status == 0);
  CHECK_FALSE(says(masked.err, "\x1b"));
  REQUIRE(lines_of(report).size() == 2);
  CHECK(with({"--exclude", report.string()}).status == 0);
}

TEST_CASE("cli: inspect counts what the call leaves in, and wonders about parts of data sets in place of classes") {
  const TempDir root;
  const fs::path data = made_data(root.path(), true);
  const fs::path pipeline = made_pipeline(root.path());
  const fs::path list = root.path() / "list.jsonl";
  write_file(list, R"({"id":3})"
                   "\n"
                   R"({"id":0})"
                   "\n");
  const json counted = json::parse(run({"inspect", data, "--pipeline", pipeline, "--exclude", list, "--json"}).out);
  const json all = json::parse(run({"inspect", data, "--pipeline", pipeline, "--json"}).out);
  CHECK(all.at("images") == 12);
  CHECK(counted.at("images") == 10);
  CHECK(all.at("unreadable") == 2);
  CHECK(counted.at("unreadable") == 1);
  CHECK_FALSE(says(run({"inspect", data, "--pipeline", pipeline}).out, "note:"));
  fs::rename(data / "cat", data / "train");
  fs::rename(data / "dog", data / "val");
  CHECK(says(run({"inspect", data, "--pipeline", pipeline}).out, "give DIR/train"));
}

TEST_CASE("cli: an error of a sample says how to go on, and a number out of range what is expected") {
  const TempDir root;
  const fs::path data = made_data(root.path(), true);
  const auto raised = run({"export", data, "--pipeline", made_pipeline(root.path()), "-o", root.path() / "x.npy"});
  CHECK(raised.status == 1);
  CHECK(says(raised.err, "--on-error mask or substitute"));
  for (const std::string value : {"0", "-1", "3.5", "x", "99999999999999999999"}) {
    const auto refused = run({"bench", data, "--epochs", value});
    CHECK(refused.status == 2);
    CHECK(says(refused.err, "--epochs: expected a whole number of at least 1, received " + value));
  }
}

}  // namespace muster::test
