// muster preview and muster inspect, run as people run them.
#include <doctest/doctest.h>

#include <cstdint>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "muster/muster.hpp"
#include "preview_support.hpp"
#include "program.hpp"
#include "support.hpp"

namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using namespace muster;
using namespace muster::test;

std::string pipeline_file(const fs::path& folder, const std::string& stages) {
  const fs::path path = folder / "pipeline.json";
  write_file(path, "{\"stages\":[" + stages + "]}");
  return path.string();
}

const std::string random_crop = R"({"RandomResizedCrop":{"size":[16,16]}},{"RandomHorizontalFlip":{}})";

bool is_png(const fs::path& path) { return probe(read_bytes(path)).format == Format::png; }

}  // namespace

TEST_CASE("preview: --ids shows the bytes that export wrote for these ids") {
  const TempDir dir;
  const fs::path data = dir.path() / "data";
  write_ten_images(data);
  const std::string pipeline = pipeline_file(dir.path(), random_crop);
  const std::string npy = dir.path() / "b.npy", records = dir.path() / "r.jsonl", html = dir.path() / "p.html";
  const std::vector<std::string> common = {data, "--pipeline", pipeline, "--shuffle", "--seed", "4", "--epoch", "3"};
  std::vector<std::string> exporting = {"export", "-o", npy, "--records", records, "--layout", "nhwc"};
  std::vector<std::string> previewing = {"preview", "--html", html, "--ids", "7,2,9", "--variants", "1"};
  for (auto* words : {&exporting, &previewing}) words->insert(words->end(), common.begin(), common.end());
  REQUIRE(run(exporting).status == 0);
  const Result result = run(previewing);
  REQUIRE(result.status == 0);
  CHECK(result.out == html + "\n");

  const std::vector<Image> shown = variants_of(text_of(html));
  REQUIRE(shown.size() == 3);
  const std::vector<std::uint8_t> bytes = read_bytes(npy);
  const std::size_t row_bytes = 16 * 16 * 3, first = bytes.size() - 10 * row_bytes;
  std::istringstream lines(text_of(records));
  std::size_t num_found = 0;
  for (std::string line; std::getline(lines, line);) {
    const json record = json::parse(line);
    for (std::size_t i = 0; i < 3; ++i) {
      if (record["id"] != std::vector<int>{7, 2, 9}[i]) continue;
      const std::uint8_t* exported = bytes.data() + first + record["index"].get<std::size_t>() * row_bytes;
      CHECK(shown[i] == Image({exported, {16, 16}, 3, 48}));
      ++num_found;
    }
  }
  CHECK(num_found == 3);
}

TEST_CASE("preview: a page, a sheet, or both; and the sheet of one batch") {
  const TempDir dir;
  const fs::path data = dir.path() / "data";
  write_ten_images(data);
  const std::string pipeline = pipeline_file(dir.path(), random_crop);
  const std::string png = dir.path() / "s.png", html = dir.path() / "p.html";
  const auto preview = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {"preview", data, "--pipeline", pipeline, "--batch-size", "4"});
    return run(words);
  };
  CHECK(preview({"-o", png, "--html", html}).out == png + "\n" + html + "\n");
  CHECK(is_png(png));
  check_self_contained(text_of(html));
  CHECK(preview({"-o", png, "--rows", "9,0"}).status == 0);
  const std::vector<std::uint8_t> lines = read_bytes(png);
  CHECK(preview({"-o", png, "--batch", "2", "--last-batch", "pad", "--dtype", "float16"}).status == 0);
  CHECK(is_png(png));
  CHECK(read_bytes(png) != lines);
}

TEST_CASE("preview: options that ask for what is not there end with 2") {
  const TempDir dir;
  write_ten_images(dir.path());
  const std::string root = dir.path().string(), png = dir.path() / "never.png";
  const std::vector<std::vector<std::string>> calls = {{"--ids", "10"},
                                                       {"--rows", "10"},
                                                       {"--ids", "-1"},
                                                       {"--ids", "1,x"},
                                                       {"--ids", "1", "--rows", "1"},
                                                       {"--batch", "1"},
                                                       {"--batch", "0", "--ids", "1"},
                                                       {"--batch", "0", "--samples", "1"},
                                                       {"--batch", "0", "--variants", "1"},
                                                       {"--batch", "0", "--columns", "1"},
                                                       {"--columns", "0"},
                                                       {"--variants", "0"},
                                                       {"--variants", "1001"}};
  for (std::vector<std::string> words : calls) {
    words.insert(words.begin(), {"preview", root, "-o", png});
    CAPTURE(fmt::format("{}", fmt::join(words, " ")));
    const Result result = run(words);
    CHECK(result.status == 2);
    CHECK(result.err.starts_with("muster: "));
    CHECK(!fs::exists(png));
  }
  CHECK(run({"inspect", root, "--draws", "0"}).status == 2);
}

TEST_CASE("inspect: counts what the pipeline will enlarge") {
  const TempDir dir;
  const fs::path data = dir.path() / "data";
  write_noise(data / "a" / "0.png", {16, 64}, 1);  // twice as high
  write_noise(data / "a" / "1.png", {64, 64}, 2);
  write_noise(data / "b" / "2.png", {32, 32}, 3);
  write_noise(data / "b" / "3.png", {32, 31}, 4);  // a little wider
  const std::string pipeline = pipeline_file(dir.path(), R"({"Resize":{"size":[32,32]}})");
  const Result result = run({"inspect", data, "--pipeline", pipeline, "--json", "--draws", "3"});
  REQUIRE(result.status == 0);
  const json survey = json::parse(result.out);
  const json& enlargement = survey["enlargement"];
  CHECK(enlargement["epochs"] == 3);
  CHECK(enlargement["samples"] == 12);
  CHECK(enlargement["enlarged"] == 6);
  CHECK(enlargement["share"] == 0.5);
  CHECK(enlargement["images_ever"] == 2);
  CHECK(enlargement["images_always"] == 2);
  CHECK(enlargement["max"] == 2.0);
  CHECK(enlargement["refused"] == 0);
  std::uint64_t in_bins = 0, enlarged_by_side = 0, by_aspect = 0;
  for (const json& bin : enlargement["bins"]) in_bins += bin["samples"].get<std::uint64_t>();
  for (const json& bin : survey["shorter_side"]) enlarged_by_side += bin["enlarged"].get<std::uint64_t>();
  for (const json& bin : survey["aspects"]) by_aspect += bin["images"].get<std::uint64_t>();
  CHECK(in_bins == 12);
  CHECK(enlarged_by_side == 6);
  CHECK(by_aspect == 4);
  CHECK(count_of(run({"inspect", data, "--pipeline", pipeline}).out, "50.0 % of the samples of 10 epochs") == 1);
}

TEST_CASE("inspect: random draws are counted as the plans of these epochs have them") {
  const TempDir dir;
  const fs::path data = dir.path() / "data";
  write_ten_images(data);
  const std::string pipeline = pipeline_file(dir.path(), R"({"RandomResizedCrop":{"size":[24,24]}})");
  const Result result =
      run({"inspect", data, "--pipeline", pipeline, "--json", "--draws", "20", "--epoch", "5", "--seed", "8"});
  REQUIRE(result.status == 0);
  const Pipeline crop{RandomResizedCrop{.size = {24, 24}}};
  std::uint64_t enlarged = 0;
  for (std::uint64_t id = 0; id < 10; ++id) {
    const Size size = {40 + static_cast<std::int64_t>(id), 70 - 2 * static_cast<std::int64_t>(id)};
    for (std::uint64_t epoch = 5; epoch < 25; ++epoch) {
      const Rect window = crop.plan(size, {.seed = 8, .epoch = epoch, .sample_id = id}).window;
      enlarged += window.height < 24 || window.width < 24 ? 1 : 0;
    }
  }
  CHECK(enlarged > 0);
  CHECK(json::parse(result.out)["enlargement"]["enlarged"] == enlarged);
}

TEST_CASE("inspect: charts and a page are written, and hostile names stay text") {
  const TempDir dir;
  const fs::path data = dir.path() / "data";
  write_ten_images(data);
  const std::string hostile = "<script>alert(1)<", broken = "\"><img src=x onerror=alert(1)>.png";
  write_noise(data / hostile / "a.png", {20, 400}, 5);
  write_file(data / hostile / broken, std::string("no image"));
  const std::string png = dir.path() / "i.png", html = dir.path() / "i.html";
  const Result result = run({"inspect", data, "--png", png, "--html", html});
  REQUIRE(result.status == 0);
  CHECK(count_of(result.out, "shorter side") == 1);
  CHECK(is_png(png));
  const std::string page = text_of(html);
  check_self_contained(page);
  CHECK(count_of(page, "<script") == 0);
  CHECK(count_of(page, "<img src=x") == 0);
  CHECK(count_of(page, "&lt;script&gt;alert(1)&lt;") >= 1);
  CHECK(count_of(page, "1 cannot be read") == 1);
}
