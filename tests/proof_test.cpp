// The shape proof: what is refused, with which words, and what is accepted.
#include <doctest/doctest.h>

#include <functional>

#include "muster/pipeline.hpp"
#include "support.hpp"

using namespace muster;
using doctest::Contains;

namespace {

/// The message of the ConfigError that building the pipeline throws; empty if it is accepted.
doctest::String refusal(std::vector<Stage> stages, DecodeOptions decode = {}) {
  try {
    const Pipeline pipeline(std::move(stages), decode);
    return "";
  } catch (const ConfigError& error) {
    return error.what();
  }
}

struct Widen {  // lies: declares what it does not do for some sizes
  ExtentResult output_extent(const Extent& in) const {
    return in.is_exact() && in.min.width > 400 ? Extent::exactly({64, 65}) : Extent::exactly({64, 64});
  }
  Image operator()(Image image, Rng&) const { return image; }
};

struct AnySize {  // its output is random even for one size
  ExtentResult output_extent(const Extent&) const { return Extent{{10, 10}, {20, 20}}; }
  Image operator()(Image image, Rng&) const { return image; }
};

struct Coarse {  // declares a wider extent than any size really gives
  ExtentResult output_extent(const Extent& in) const {
    if (in.is_exact()) return Extent::exactly({32, 32});
    return Extent{{32, 32}, {33, 32}};
  }
  Image operator()(Image image, Rng&) const { return image; }
};

struct PickyForNobody {  // refuses the whole extent, though it takes each size
  ExtentResult output_extent(const Extent& in) const {
    if (in.is_exact()) return Extent::exactly({8, 8});
    return Refusal{"may not fit", {3, 3}};
  }
  Image operator()(Image image, Rng&) const { return image; }
};

struct Declared {  // says of all sizes what a test wants
  Extent all;
  ExtentResult output_extent(const Extent& in) const { return in.is_exact() ? in : all; }
  Image operator()(Image image, Rng&) const { return image; }
};

struct Vanishing {  // its answer for one size is none that an image can have
  std::int64_t side;
  ExtentResult output_extent(const Extent& in) const {
    return in.is_exact() ? Extent::exactly({side, side}) : Extent{{1, 1}, {100, 100}};
  }
  Image operator()(Image image, Rng&) const { return image; }
};

struct NoPortrait {  // takes all sizes, it says, and then not those that are taller than wide
  ExtentResult output_extent(const Extent& in) const {
    if (in.is_exact() && in.min.height > in.min.width) return Refusal{"is for landscapes", in.min};
    return in;
  }
  Image operator()(Image image, Rng&) const { return image; }
};

}  // namespace

TEST_CASE("proof: a pipeline without stages leaves the size of the images open") {
  CHECK(refusal({}) == Contains("no stage fixes the size"));
}

TEST_CASE("proof: a final Resize of the shorter side is refused with two witnesses, and accepted before CenterCrop") {
  const doctest::String message = refusal({Resize{.size = 256}});
  CHECK(message == Contains("stage 1 Resize leaves it open"));
  CHECK(message == Contains("375x500 -> Resize 256x341"));
  CHECK(message == Contains("500x375 -> Resize 341x256"));
  CHECK(message == Contains("CenterCrop"));
  CHECK(refusal({Resize{.size = 256}, CenterCrop{{224, 224}}}) == "");
  CHECK(refusal({Resize{.size = 256}, RandomHorizontalFlip{}}) == Contains("stage 1 Resize leaves it open"));
}

TEST_CASE("proof: an open size is an error of its own, which keeps its kind on its way to the consumer") {
  CHECK_THROWS_AS((Pipeline{Resize{.size = 256}}), OpenSizeError);
  try {
    Pipeline{RandomCrop{{8, 8}}};  // the size is fixed, but images may be smaller
    FAIL("not refused");
  } catch (const ConfigError& error) {
    CHECK(dynamic_cast<const OpenSizeError*>(&error) == nullptr);
  }
  try {
    Pipeline{Resize{.size = 256}};
  } catch (const Error& error) {
    CHECK_THROWS_AS(std::rethrow_exception(error.at({.sample_id = 3, .path = "a.jpg", .stage = ""})), OpenSizeError);
    CHECK_THROWS_WITH(std::rethrow_exception(error.at({.sample_id = 3, .path = "a.jpg", .stage = ""})),
                      doctest::Contains("a.jpg"));
  }
}

TEST_CASE("proof: a RandomCrop that may meet a smaller image is refused with the size that it met") {
  const doctest::String message = refusal({RandomCrop{.size = {224, 224}}});
  CHECK(message == Contains("stage 1 RandomCrop cannot take every size"));
  CHECK(message == Contains("cuts 224x224 out of an image of 100x100"));
  CHECK(message == Contains("pad_if_needed"));
  CHECK(refusal({RandomCrop{.size = {224, 224}, .pad_if_needed = true}}) == "");
  CHECK(refusal({Resize{.size = 224}, RandomCrop{.size = {224, 224}}}) == "");
  CHECK(refusal({Resize{.size = 223}, RandomCrop{.size = {224, 224}}}) == Contains("stage 2 RandomCrop"));
  CHECK(refusal({PadTo{.size = {224, 224}}, RandomCrop{.size = {224, 224}}}) == "");
  CHECK(refusal({Pad{.padding = 112}, RandomCrop{.size = {224, 224}}}) == "");
  // max_size may push the shorter side below what the crop needs.
  CHECK(refusal({Resize{.size = 224, .max_size = 300}, RandomCrop{.size = {224, 224}}}) == Contains("witness"));
}

TEST_CASE(
    "proof: a final Pad by a margin or to a multiple is refused, and accepted before a stage that fixes the size") {
  CHECK(refusal({Pad{.padding = 4}}) == Contains("stage 1 Pad leaves it open"));
  CHECK(refusal({PadTo{.multiple = {32, 32}}}) == Contains("stage 1 PadTo leaves it open"));
  CHECK(refusal({PadTo{.size = {640, 640}}}) == Contains("stage 1 PadTo leaves it open"));
  CHECK(refusal({LetterBox{.size = {640, 640}, .stride = 32}}) == Contains("stage 1 LetterBox leaves it open"));
  CHECK(refusal({Pad{.padding = 4}, RandomResizedCrop{.size = {224, 224}}}) == "");
  CHECK(refusal({PadTo{.multiple = {32, 32}}, CenterCrop{{224, 224}}}) == "");
  CHECK(refusal({LetterBox{.size = {640, 640}, .stride = 32}, PadTo{.size = {640, 640}}}) == "");
  CHECK(refusal({CenterCrop{{30, 30}}, PadTo{.multiple = {32, 32}}}) == "");
}

TEST_CASE("proof: a stage that contradicts itself is refused by name") {
  CHECK(refusal({Widen{}}) == Contains("stage 1 Widen contradicts itself"));
  CHECK(refusal({AnySize{}, CenterCrop{{8, 8}}}) == Contains("must be one size"));
  CHECK(refusal({NoPortrait{}, CenterCrop{{8, 8}}}) == Contains("stage 1 NoPortrait cannot take every size"));
}

TEST_CASE("proof: sizes that no image has are refused by the stage's name") {
  constexpr std::int64_t most = std::int64_t{1} << 46;
  const Stage crop = CenterCrop{{8, 8}};
  CHECK(refusal({Declared{{{0, 1}, {5, 5}}}, crop}) == Contains("stage 1 Declared gives the sizes 0x1 ... 5x5: sides"));
  CHECK(refusal({Declared{{{1, 0}, {5, 5}}}, crop}) == Contains("sides are from 1 to 1099511627776"));
  constexpr std::int64_t largest = std::int64_t{1} << 40;
  CHECK(refusal({Declared{{{1, largest + 1}, {5, largest + 1}}}, crop}) == Contains("sides are from 1 to"));
  for (const std::int64_t side : {std::int64_t{0}, std::int64_t{-5}, largest + 1, most * 2000}) {
    const Stage resize = Resize{.size = 8};
    CHECK(refusal({Vanishing{side}, resize, crop}) == Contains("stage 1 Vanishing answers"));
    CHECK(refusal({Vanishing{side}, resize, crop}) == Contains("of sides from 1 to"));
  }
  CHECK(refusal({Declared{{{1, 9}, {5, 5}}}, crop}) == Contains("the least size comes first"));
  CHECK(refusal({Declared{{{9, 1}, {5, 5}}}, crop}) == Contains("the least size comes first"));
  CHECK(refusal({Declared{{{1, 1}, {5, most + 1}}}, Resize{.size = 65500}, crop}) ==
        Contains("stage 1 Declared gives the sizes"));
  CHECK(refusal({Declared{{{1, 1}, {most, most}}}, crop}) == "");
}

TEST_CASE("proof: witnesses of an open size are images that every stage takes") {
  const doctest::String message = refusal({NoPortrait{}});
  CHECK(message == Contains("no stage fixes the size"));
  CHECK(message == Contains("witness: 375x500 -> NoPortrait 375x500"));
  CHECK(message == Contains("witness: 333x500"));
  CHECK(message != Contains("500x375"));
}

TEST_CASE("proof: what cannot be decided says so") {
  CHECK(refusal({Coarse{}}) == Contains("not provable"));
  CHECK(refusal({PickyForNobody{}}) == Contains("not provable"));
}

TEST_CASE("proof: the extent of every stage holds every size that really comes out, and is attained at its corners") {
  const std::vector<Stage> stages = {Resize{.size = 37},
                                     Resize{.size = 37, .max_size = 50},
                                     Pad{.padding = {1, 2, 3, 4}},
                                     PadTo{.size = {20, 30}, .multiple = {8, 16}},
                                     LetterBox{.size = {64, 48}, .stride = 16},
                                     RandomHorizontalFlip{}};
  const auto out_of = [](const Stage& stage, const Extent& in) { return std::get<Extent>(stage.output_extent(in)); };
  Rng rng(11, 0, 0, Stream::synth);
  for (const Stage& stage : stages) {
    CAPTURE(stage.name());
    for (int trial = 0; trial < 300; ++trial) {
      Extent in{{rng.uniform_int(1, 90), rng.uniform_int(1, 90)}, {}};
      in.max = {in.min.height + rng.uniform_int(0, 60), in.min.width + rng.uniform_int(0, 60)};
      const Extent out = out_of(stage, in);
      for (int draw = 0; draw < 20; ++draw) {
        const Size size = {rng.uniform_int(in.min.height, in.max.height), rng.uniform_int(in.min.width, in.max.width)};
        const Extent exact = out_of(stage, Extent::exactly(size));
        REQUIRE(exact.is_exact());
        REQUIRE(out.contains(exact.min));
        REQUIRE(stage.draw_geometry(size, rng).output_size(size).height >= 1);
      }
    }
  }
}

TEST_CASE("proof: the table names every stage and the final shape") {
  const ShapeProof proof = Pipeline::preset("imagenet-eval").proof();
  CHECK(proof.output == Size{224, 224});
  REQUIRE(proof.rows.size() == 3);
  CHECK(proof.rows[0].out == Extent{{256, 256}, {256 * max_side, 256 * max_side}});
  const doctest::String table = proof.to_string().c_str();
  CHECK(table == Contains("Resize(size=256)"));
  CHECK(table == Contains("1x1 ... 65500x65500"));
  CHECK(table == Contains("3 x 224 x 224"));
}

TEST_CASE("pipeline: parameters out of range are refused with what is allowed") {
  const Stage crop = CenterCrop{{8, 8}};
  CHECK(refusal({RandomResizedCrop{}}) == Contains("size.height must be from 1 to 65500, received 0"));
  CHECK(refusal({CenterCrop{{224, -1}}}) == Contains("size.width"));
  CHECK(refusal({CenterCrop{{224, 65501}}}) == Contains("size.width"));
  CHECK(refusal({RandomResizedCrop{.size = {8, 8}, .scale = {0, 1}}}) == Contains("scale"));
  CHECK(refusal({RandomResizedCrop{.size = {8, 8}, .ratio = {2, 1}}}) == Contains("ratio"));
  CHECK(refusal({Resize{.size = 256, .max_size = 256}, crop}) == Contains("max_size must be larger than size"));
  CHECK(refusal({Resize{.size = Size{8, 8}, .max_size = 256}}) == Contains("left out"));
  CHECK(refusal({RandomHorizontalFlip{.p = 1.5}, crop}) == Contains("p must be from 0 to 1"));
  CHECK(refusal({Pad{.padding = -1}, crop}) == Contains("padding.left"));
  CHECK(refusal({crop, Normalize{.mean = 0.5, .stddev = 0.0}}) == Contains("std"));
  CHECK(refusal({crop, Normalize{imagenet_mean, imagenet_stddev}}, {.color = Color::grey}) == Contains("1 channel"));
  CHECK(refusal({crop, Normalize{0.5, 0.2}}, {.color = Color::grey}) == "");
}

TEST_CASE("pipeline: stages that make floats come last, and once") {
  const Stage crop = CenterCrop{{8, 8}};
  const Stage normalize = Normalize{imagenet_mean, imagenet_stddev};
  CHECK(refusal({normalize, crop}) == Contains("stage 2 CenterCrop comes after Normalize"));
  CHECK(refusal({crop, normalize, normalize}) == Contains("keep one of them"));
  CHECK(refusal({crop, normalize, ToFloat{}}) == Contains("keep one of them"));
  CHECK(refusal({crop, ToFloat{}, normalize}) == "");
  CHECK(Pipeline{crop, normalize}.makes_floats());
  CHECK_FALSE(Pipeline{crop}.makes_floats());
}
