// Pipelines as JSON: exact round trips, and refusals that name the place and the nearest known word.
#include <doctest/doctest.h>

#include <string>

#include <nlohmann/json.hpp>

#include "muster/ledger.hpp"
#include "muster/pipeline.hpp"
#include "muster/report.hpp"

using namespace muster;
using doctest::Contains;

namespace {

doctest::String refusal(std::string_view json) {
  try {
    Pipeline::from_json(json);
    return "";
  } catch (const ConfigError& error) {
    return error.what();
  }
}

}  // namespace

TEST_CASE("json: every stage with every parameter away from its default survives a round trip") {
  const Pipeline pipeline(
      {RandomResizedCrop{
           .size = {40, 41}, .scale = {0.1, 0.3}, .ratio = {0.7, 1.0 / 0.7}, .interpolation = Interpolation::lanczos},
       Resize{.size = 50, .interpolation = Interpolation::box, .max_size = 70},
       Resize{.size = Size{60, 61}, .interpolation = Interpolation::nearest},
       Pad{.padding = {1, 2, 3, 4}, .fill = {1, 2, 3}, .padding_mode = PadMode::reflect},
       PadTo{.size = {80, 81},
             .multiple = {16, 8},
             .fill = {9},
             .padding_mode = PadMode::edge,
             .anchor = Anchor::top_left},
       LetterBox{
           .size = {90, 91}, .scale_up = false, .fill = {7}, .interpolation = Interpolation::hamming, .stride = 16},
       RandomCrop{
           .size = {20, 21}, .padding = 3, .pad_if_needed = true, .fill = {5}, .padding_mode = PadMode::symmetric},
       RandomHorizontalFlip{.p = 0.1}, RandomVerticalFlip{.p = 1.0 / 3}, CenterCrop{{10, 11}},
       Normalize{.mean = {0.1, 0.2, 1.0 / 3}, .stddev = {0.3}}},
      {.color = Color::rgb, .apply_orientation = false});
  const std::string json = pipeline.to_json();
  const Pipeline again = Pipeline::from_json(json);
  CHECK(again.to_json() == json);
  CHECK(again.decode_options() == pipeline.decode_options());
  REQUIRE(again.stages().size() == pipeline.stages().size());
  const auto* crop = again.stages()[0].get_if<RandomResizedCrop>();
  REQUIRE(crop != nullptr);
  CHECK(crop->ratio.high == 1.0 / 0.7);
  CHECK(crop->interpolation == Interpolation::lanczos);
  const auto* normalize = again.stages().back().get_if<Normalize>();
  REQUIRE(normalize != nullptr);
  CHECK(normalize->mean == PerChannel{0.1, 0.2, 1.0 / 3});
  const SampleKey key{1, 2, 3};
  CHECK(again.to_json(again.plan({123, 234}, key)) == pipeline.to_json(pipeline.plan({123, 234}, key)));
}

TEST_CASE("json: what is left out has its default, and numbers stand for squares, sides and greys") {
  const Pipeline pipeline = Pipeline::from_json(
      R"({"stages":[{"Resize":{"size":256}},{"Pad":{"padding":[1,2]}},{"RandomCrop":{"size":224,"fill":9}},{"ToFloat":{}}]})");
  CHECK(pipeline.stages()[0].get_if<Resize>()->size == ResizeTarget(256));
  CHECK(pipeline.stages()[1].get_if<Pad>()->padding == Padding(1, 2, 1, 2));
  CHECK(pipeline.stages()[2].get_if<RandomCrop>()->size == Size{224, 224});
  CHECK(pipeline.stages()[2].get_if<RandomCrop>()->fill == Fill{9});
  CHECK(pipeline.makes_floats());
}

TEST_CASE("json: the presets are what their names say") {
  for (const std::string& preset : Pipeline::preset_names()) {
    const Pipeline pipeline = Pipeline::preset(preset);
    CHECK(Pipeline::from_json(pipeline.to_json()).to_json() == pipeline.to_json());
  }
  CHECK(Pipeline::preset("letterbox-640").output_size() == Size{640, 640});
  CHECK_THROWS_WITH_AS(Pipeline::preset("imagenet-tain"), Contains("imagenet-train"), ConfigError);
}

TEST_CASE("json: unknown keys are refused with the nearest known name") {
  CHECK(refusal(R"({"stages":[{"CentreCrop":{"size":8}}]})") == Contains("nearest known: \"CenterCrop\""));
  CHECK(refusal(R"({"stages":[{"CenterCrop":{"siez":8}}]})") == Contains("stage 1 CenterCrop needs \"size\""));
  CHECK(refusal(R"({"stages":[{"RandomCrop":{"size":8,"pad_if_neded":true}}]})") ==
        Contains("has no \"pad_if_neded\"; nearest known: \"pad_if_needed\""));
  CHECK(refusal(R"({"stages":[{"ToFloat":{"x":1}}]})") == Contains("takes no parameters"));
  CHECK(refusal(R"({"stagse":[]})") == Contains("expected an object with a list of stages"));
  CHECK(refusal(R"({"stages":[],"decoed":{}})") == Contains("nearest known: \"decode\""));
  CHECK(refusal(R"({"stages":[{"CenterCrop":{"size":8}}],"decode":{"colour":"grey"}})") ==
        Contains("nearest known: \"color\""));
}

TEST_CASE("json: values of the wrong kind are refused with what was expected and received") {
  CHECK(refusal("") == Contains("not valid JSON"));
  CHECK(refusal("[1]") == Contains("expected an object"));
  CHECK(refusal(R"({"stages":[{"CenterCrop":{"size":8,"size":9}}]})") == Contains("\"size\" stands twice"));
  CHECK(refusal("{\"stages\":\"" + std::string(10'000, 'x')) == Contains("not valid JSON"));
  CHECK(refusal("{\"stages\":\"" + std::string(10'000, 'x')).size() < 400);
  CHECK(refusal(R"({"stages":[{"CenterCrop":{"size":[8]}}]})") == Contains("[height, width], received [8]"));
  CHECK(refusal(R"({"stages":[{"CenterCrop":{"size":8.5}}]})") == Contains("received 8.5"));
  CHECK(refusal(R"({"stages":[{"CenterCrop":{"size":99999999999999999999}}]})") == Contains("\"size\""));
  CHECK(refusal(R"({"stages":[{"CenterCrop":{"size":18446744073709551615}}]})") == Contains("a whole number"));
  CHECK(refusal(R"({"stages":[{"Pad":{"padding":1,"fill":300}},{"CenterCrop":{"size":8}}]})") ==
        Contains("from 0 to 255"));
  CHECK(refusal(R"({"stages":[{"RandomVerticalFlip":{"p":"often"}}]})") ==
        Contains("\"p\": expected a number, received \"often\""));
  CHECK(refusal(R"({"stages":[{"RandomVerticalFlip":{"p":-1}}]})") == Contains("received -1"));
  CHECK(refusal(R"({"stages":[{"Pad":{"padding":-1}}]})") == Contains("received -1"));
  CHECK(refusal(R"({"stages":[{"Pad":{"padding":[1,2,3]}}]})") == Contains("[left, top, right, bottom]"));
  CHECK(refusal(R"({"stages":[{"Resize":{"size":8,"interpolation":"cubic"}}]})") == Contains("bicubic"));
  CHECK(refusal(R"({"stages":[{"CenterCrop":{"size":8},"ToFloat":{}}]})") == Contains("one member"));
  CHECK(refusal(R"({"stages":["ToFloat"]})") == Contains("one member"));
  CHECK(refusal(R"({"stages":[{"Normalize":{"mean":[1,2],"std":1}}]})") == Contains("one number, or three"));
}

TEST_CASE("json: text nested without end is refused, and a long one is not repeated whole") {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + "1" + std::string(depth, ']'); };
  const auto pipeline = [](const std::string& fill) {
    return R"({"stages":[{"Pad":{"padding":1,"fill":)" + fill + "}}]}";
  };
  for (const std::size_t depth : {100u, 2'000'000u}) {
    CHECK(refusal(pipeline(nested(depth))) == Contains("expected JSON at most 64 levels deep, received more"));
    CHECK(refusal(nested(depth)) == Contains("expected JSON at most 64 levels deep"));
    CHECK_THROWS_AS(Ledger::from_json(R"({"version":)" + nested(depth) + "}"), ConfigError);
    CHECK_THROWS_AS(incidents_from_jsonl(R"({"id":)" + nested(depth) + "}"), ConfigError);
  }
  CHECK(refusal(pipeline(nested(30))) == Contains("\"fill\": expected a whole number, received [[["));
  const doctest::String message = refusal(pipeline('"' + std::string(100'000, 'x') + '"'));
  CHECK(message == Contains("received \"xxx"));
  CHECK(message.size() < 1000);
}

TEST_CASE("json: a stage of the user's own cannot be written, and is named") {
  struct Mine {
    ExtentResult output_extent(const Extent&) const { return Extent::exactly({8, 8}); }
    Image operator()(Image image, Rng&) const { return image; }
  };
  const Pipeline pipeline{Mine{}};
  CHECK_THROWS_WITH_AS(pipeline.to_json(), Contains("stage 1 Mine"), ConfigError);
}

TEST_CASE("json: a plan says what a pixel stage drew, where the stage has words for it") {
  struct Dim {
    Extent output_extent(const Extent& in) const { return in; }
    int draw(Size, Rng&) const { return 7; }
    void apply(Image&, int) const {}
  };
  struct Described : Dim {
    std::string describe(int level) const { return "level " + std::to_string(level); }
  };
  const Pipeline pipeline{CenterCrop{{8, 8}}, Dim{}, Described{}};
  const auto stages = nlohmann::json::parse(pipeline.to_json(pipeline.plan({9, 9}, {})))["stages"];
  REQUIRE(stages.size() == 3);
  CHECK_FALSE(stages[0].contains("drawn"));
  CHECK_FALSE(stages[1].contains("drawn"));
  CHECK(stages[2]["drawn"] == "level 7");
}
