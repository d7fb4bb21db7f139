// muster check, with layers as text; the cases with model files are in tests/onnx.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include <link.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "muster/muster.hpp"
#include "program.hpp"
#include "support.hpp"

namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using namespace muster;
using namespace muster::test;

constexpr const char* lenet = "Conv2d(3, 6, 5) MaxPool2d(2) Conv2d(6, 16, 5) MaxPool2d(2) Flatten() Linear(400, 10)";

/// Ten images in two classes, and a pipeline that ends in 32 x 32.
struct Data {
  TempDir dir;
  std::string images = (dir.path() / "images").string();
  std::string pipeline = (dir.path() / "small.json").string();

  Data() {
    for (std::uint32_t i = 0; i < 10; ++i) {
      write_noise(fs::path(images) / (i % 2 == 0 ? "a" : "b") / fmt::format("{}.png", i), {40, 40}, i);
    }
    write_file(pipeline, std::string(R"({"stages":[{"CenterCrop":{"size":[32,32]}},{"ToFloat":{}}]})"));
  }

  Result check(const Words& more) const {
    Words words = {"check", images, "--pipeline", pipeline, "--batch-size", "4"};
    words.insert(words.end(), more.begin(), more.end());
    return run(words);
  }
};

/// Without images.
Result check_shape(const std::string& shape, const std::string& layers) {
  return run({"check", "--shape", shape, "--layers", layers});
}

json summary_of(const std::string& shape, const std::string& layers) {
  return json::parse(run({"check", "--shape", shape, "--layers", layers, "--json"}).out);
}

}  // namespace

TEST_CASE("cli check: batches that fit end with 0 and show every shape") {
  const Data data;
  const Result result = data.check({"--layers", lenet});
  CHECK(result.status == 0);
  CHECK(result.err.empty());
  CHECK(says(result.out, "full batch {4, 3, 32, 32} last batch {2, 3, 32, 32}"));
  CHECK(says(result.out, "{4, 16, 5, 5}"));
  CHECK(says(result.out, "the last batch, {2, 3, 32, 32}, fits"));
  CHECK(says(result.out, "{2, 16, 5, 5}"));  // in a table of its own
  CHECK(says(result.out, "the model fits these batches"));
}

TEST_CASE("cli check: a layer that does not fit ends with 1 and says what would fit") {
  const Result result = check_shape("64,3,28,28", lenet);
  CHECK(result.status == 1);
  CHECK(result.err == "muster: the model does not fit these batches\n");
  CHECK(says(result.out, "in_features: expected 400 = 16 x 5 x 5, received 256 = 16 x 4 x 4"));
  CHECK(says(result.out, "images of 32x32"));
  const json summary = summary_of("64,3,28,28", lenet);
  CHECK(summary["fits"] == false);
  const json& batch = summary["batches"][0];
  CHECK(batch["shape"] == json({64, 3, 28, 28}));
  CHECK(batch["rows"].size() == 7);
  CHECK(batch["diagnosis"]["cause"] == "flatten follows the image size");
  CHECK(batch["diagnosis"]["fitting_sizes"]["size"] == json({32, 32}));
}

TEST_CASE("cli check: whether every shape is known is in the JSON, too") {
  const json summary = summary_of("4,3,32,32", lenet);
  CHECK(summary["all_shapes_known"] == true);
  CHECK(summary["batches"][0]["first_unknown"].is_null());
}

TEST_CASE("cli check: colour, layout and shard are those of the loader") {
  const Data data;
  const Result grey = data.check({"--layers", lenet, "--color", "grey"});
  CHECK(grey.status == 1);
  CHECK(says(grey.out, "the model takes colour images"));
  const Result nhwc = data.check({"--layers", lenet, "--layout", "nhwc"});
  CHECK(nhwc.status == 1);
  CHECK(says(nhwc.out, "cause: layout"));
  // Three of the ten rows go round: a rank's last batch has 1 row of 2.
  const Result shard = data.check({"--layers", lenet, "--shard", "1/2"});
  CHECK(shard.status == 0);
  CHECK(says(shard.out, "last batch {1, 3, 32, 32}"));
  CHECK(run({"check", "--shape", "4,32,32,3", "--layout", "nhwc", "--layers", "Conv2d(3, 8, 3)"}).status == 1);
}

TEST_CASE("cli check: layers come from a file or standard input") {
  const Data data;
  const fs::path file = data.dir.path() / "model.txt";
  write_file(file, std::string("Net(\n  (conv): Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))\n  (fc): "
                               "Linear(in_features=7200, out_features=2, bias=True)\n)\n"));
  CHECK(data.check({"--layers", file.string()}).status == 0);
  const Result piped = run_shell(
      fmt::format("{} < {}", command_line({"check", "--shape", "2,3,32,32", "--layers", "-"}), quoted(file.string())));
  CHECK(piped.status == 0);
  CHECK(says(piped.out, "forward(): Flatten()"));
}

TEST_CASE(
    "cli check: a print that alone cannot decide ends with 3 and says so, one that fits says what that rests on") {
  const char* net =
      "Net((conv1): Conv2d(3, 6, 5) (pool): MaxPool2d(2) (conv2): Conv2d(6, 16, 5) (fc1): Linear(400, 10))";
  const Result open = check_shape("4,3,32,32", net);
  CHECK(open.status == 3);
  CHECK(open.err == "muster: the print of the model alone cannot decide whether it fits these batches\n");
  CHECK(says(open.out, "the model fits if forward() calls MaxPool2d(kernel_size=2) once more"));
  CHECK(says(open.out, "undecided"));
  const json summary = summary_of("4,3,32,32", net);
  CHECK(summary["fits"] == false);
  CHECK(summary["undecided"] == true);
  CHECK(says(summary["batches"][0]["diagnosis"]["fits_if"].get<std::string>(), "once more"));
  const Result fits = check_shape("4,3,22,22", net);
  CHECK(fits.status == 0);
  CHECK(says(fits.out, "note: the print of Net does not show its forward()"));
  CHECK(summary_of("4,3,28,28", lenet)["undecided"] == false);
}

TEST_CASE("cli check: a wrong call ends with 2 and says why") {
  const Data data;
  const std::vector<std::pair<std::vector<std::string>, std::string>> calls = {
      {{"check"}, "one of the two"},
      {{"check", data.images}, "one of the two"},
      {{"check", "--layers", lenet}, "expected DIR"},
      {{"check", data.images, "--layers", lenet, "--model", "x.onnx"}, "one of the two"},
      {{"check", data.images, "--layers", lenet, "--shape", "1,2,3,4"}, "--shape"},
      {{"check", "--layers", lenet, "--shape", "64,3,224"}, "--shape"},
      {{"check", "--layers", lenet, "--shape", "64,3,224,"}, "--shape"},
      {{"check", "--layers", lenet, "--shape", "64,3,224,0"}, "--shape"},
      {{"check", "--layers", lenet, "--shape", "64x3x224x224"}, "--shape"},
      {{"check", "--layers", "absent.txt", "--shape", "1,2,3,4"}, "--layers"},
      {{"check", "--layers", "Conv3d(1, 2, 3)", "--shape", "1,2,3,4"}, "does not know the shapes of Conv3d"},
      {{"check", "--layers", lenet, "--input", "x", "--shape", "1,2,3,4"}, "--input"}};
  for (const auto& [words, part] : calls) {
    const Result result = run(words);
    CAPTURE(result.err);
    CHECK(result.status == 2);
    CHECK(result.out.empty());
    CHECK(says(result.err, part));
  }
}

TEST_CASE("cli check: a pipeline that leaves the size open is refused in the model's terms") {
  const Data data;
  const fs::path open = data.dir.path() / "open.json";
  write_file(open, std::string(R"({"stages":[{"Resize":{"size":32}},{"ToFloat":{}}]})"));
  const Result result = run({"check", data.images, "--pipeline", open.string(), "--layers", lenet});
  CHECK(result.status == 2);
  CHECK(says(result.err, "a batch has one size, and the pipeline leaves it open"));
  CHECK(says(result.err, "witness"));
}

TEST_CASE("cli check: a last batch that does not fit where the full one does is explained by itself") {
  const Data data;
  const Result result = data.check({"--layers", "Flatten(start_dim=0) Linear(12288, 10)"});
  CHECK(result.status == 1);
  CHECK(says(result.out, "the last batch, {2, 3, 32, 32}\n"));
  CHECK(says(result.out, "in_features: expected 12288"));
  CHECK(says(result.out, "received 6144"));
}

TEST_CASE("cli check: without the library that reads models, or with another, it says what to do") {
  const TempDir dir;
  const fs::path program = dir.path() / "muster", library = dir.path() / "muster_onnx.so";
  const fs::path model = dir.path() / "net.onnx";
  fs::copy_file(MUSTER_PROGRAM, program);
  write_file(model, std::string("no model is read"));
  const auto refusal = [&] {
    const Result result = run_shell(
        fmt::format("{} check --shape 4,3,32,32 --model {}", quoted(program.string()), quoted(model.string())));
    CHECK(result.status == 2);
    CHECK(says(result.err, "--layers"));
    return result.err;
  };
  CHECK(says(refusal(), "this muster was built without ONNX: install libonnx-dev"));
  write_file(library, std::string("no library"));
  CHECK(says(refusal(), library.string() + " cannot be loaded: "));

  std::string other;  // any library
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* found) {
        if (says(info->dlpi_name, "/libm.so")) *static_cast<std::string*>(found) = info->dlpi_name;
        return 0;
      },
      &other);
  REQUIRE_FALSE(other.empty());
  fs::remove(library);
  fs::copy_file(other, library);
  CHECK(
      says(refusal(), library.string() + " belongs to another version of muster than " + std::string(muster::version)));
}

TEST_CASE("cli check: docs/shapes.md shows what the program prints") {
  std::ifstream document(fs::path(MUSTER_SOURCE_DIR) / "docs" / "shapes.md");
  REQUIRE(document);
  constexpr std::string_view indent = "    ", prompt = "    $ muster ";
  std::string printed;   // by the command before
  std::size_t seen = 0;  // of that
  int num_commands = 0, num_lines = 0;
  for (std::string line; std::getline(document, line);) {
    if (line.starts_with(prompt)) {
      printed = '\n' + run_shell(quoted(MUSTER_PROGRAM) + " " + line.substr(prompt.size())).out;
      seen = 0;
      ++num_commands;
    } else if (line.starts_with('#')) {
      printed.clear();  // what follows belongs to no command
    } else if (line.starts_with(indent) && !printed.empty() && !line.ends_with("...")) {
      const std::string shown = '\n' + line.substr(indent.size()) + '\n';
      CAPTURE(shown);
      const std::size_t at = printed.find(shown, seen);
      REQUIRE(at != std::string::npos);
      seen = at + shown.size() - 1;
      ++num_lines;
    }
  }
  CHECK(num_commands >= 4);
  CHECK(num_lines >= 20);
}
