// The composed path gives the bytes of the naive one, for random pipelines on random sizes.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <optional>

#include "naive.hpp"
#include "pipeline/compose.hpp"
#include "support.hpp"

using namespace muster;
using namespace muster::test;

namespace {

/// Draws what it inverts before it sees pixels.
struct RandomInvert {
  struct Params {
    bool invert;
    std::uint8_t mask;
  };
  ExtentResult output_extent(const Extent& in) const { return in; }
  Params draw(Size, Rng& rng) const { return {rng.bernoulli(0.7), static_cast<std::uint8_t>(rng.uniform_int(1, 255))}; }
  void apply(Image& image, const Params& params) const {
    if (!params.invert) return;
    for (std::size_t i = 0; i < image.size_bytes(); ++i) image.data()[i] ^= params.mask;
  }
};

/// Works on pixels and draws as it goes; takes a row away.
struct DropFirstRow {
  ExtentResult output_extent(const Extent& in) const {
    if (in.min.height < 2) return Refusal{"needs two rows", {1, in.min.width}};
    return Extent{{in.min.height - 1, in.min.width}, {in.max.height - 1, in.max.width}};
  }
  Image operator()(Image image, Rng& rng) const {
    Image out(image.view().crop({1, 0, image.height() - 1, image.width()}));
    out.data()[0] = static_cast<std::uint8_t>(rng() & 0xffu);
    return out;
  }
};

/// Does to an image of 8 x 8 what a test wants, and says of an image of one size what a test wants.
struct Unruly {
  Geometry steps = {};
  std::function<ExtentResult(Size)> extent = [](Size in) { return Extent::exactly(in); };

  ExtentResult output_extent(const Extent& in) const {
    return in.is_exact() && in.min == Size{8, 8} ? extent(in.min) : in;
  }
  Geometry draw(Size, Rng&) const { return steps; }
};

/// The message of the E with which planning an image of 8 x 8 ends.
template <class E>
doctest::String plan_fault(const Unruly& stage, Size source = {8, 8}) {
  const Pipeline pipeline{stage, CenterCrop{{4, 4}}};
  try {
    pipeline.plan(source, {});
    return "";
  } catch (const E& error) {
    return error.what();
  }
}

Interpolation random_interpolation(Rng& rng) { return static_cast<Interpolation>(rng.uniform_int(0, 5)); }
PadMode random_mode(Rng& rng) { return static_cast<PadMode>(rng.uniform_int(0, 3)); }
Size random_size(Rng& rng, std::int64_t most) { return {rng.uniform_int(1, most), rng.uniform_int(1, most)}; }
Fill random_fill(Rng& rng) {
  const auto value = [&] { return static_cast<std::uint8_t>(rng.uniform_int(0, 255)); };
  return rng.bernoulli(0.5) ? Fill{0} : Fill{value(), value(), value()};
}
Padding random_padding(Rng& rng) {
  return {rng.uniform_int(0, 9), rng.uniform_int(0, 9), rng.uniform_int(0, 9), rng.uniform_int(0, 9)};
}

Stage random_stage(Rng& rng) {
  switch (rng.uniform_int(0, 11)) {
    case 0:
      return RandomResizedCrop{.size = random_size(rng, 40), .interpolation = random_interpolation(rng)};
    case 1:
      return Resize{.size = rng.uniform_int(1, 40), .interpolation = random_interpolation(rng), .max_size = 64};
    case 2:
      return Resize{.size = random_size(rng, 40), .interpolation = random_interpolation(rng)};
    case 3:
      return CenterCrop{random_size(rng, 60)};
    case 4:
      return RandomCrop{.size = random_size(rng, 40),
                        .padding = random_padding(rng),
                        .pad_if_needed = true,
                        .fill = random_fill(rng),
                        .padding_mode = random_mode(rng)};
    case 5:
      return Pad{.padding = random_padding(rng), .fill = random_fill(rng), .padding_mode = random_mode(rng)};
    case 6:
      return PadTo{.size = random_size(rng, 50),
                   .multiple = random_size(rng, 16),
                   .fill = random_fill(rng),
                   .padding_mode = random_mode(rng),
                   .anchor = rng.bernoulli(0.5) ? Anchor::center : Anchor::top_left};
    case 7:
      return LetterBox{.size = random_size(rng, 50), .scale_up = rng.bernoulli(0.5), .fill = random_fill(rng)};
    case 8:
      return RandomVerticalFlip{};
    case 9:
      return RandomInvert{};
    default:
      return RandomHorizontalFlip{};
  }
}

/// One to six random stages, then one that fixes the size.
Pipeline random_pipeline(Rng& rng, Color color) {
  std::vector<Stage> stages;
  const std::int64_t num_stages = rng.uniform_int(1, 6);
  for (std::int64_t i = 0; i < num_stages; ++i) stages.push_back(random_stage(rng));
  if (rng.bernoulli(0.3)) {
    stages.push_back(CenterCrop{{rng.uniform_int(2, 30), rng.uniform_int(1, 30)}});
    stages.push_back(DropFirstRow{});
  }
  if (rng.bernoulli(0.5)) stages.push_back(RandomHorizontalFlip{.p = 1});
  if (rng.bernoulli(0.5)) {
    stages.push_back(CenterCrop{random_size(rng, 50)});
  } else {
    stages.push_back(RandomResizedCrop{.size = random_size(rng, 30), .interpolation = random_interpolation(rng)});
  }
  return Pipeline(std::move(stages), {.color = color});
}

}  // namespace

TEST_CASE("compose: every random pipeline gives the bytes of running its stages one by one") {
  int num_composed = 0;
  int num_materialised = 0;
  for (std::uint64_t trial = 0; trial < 1500; ++trial) {
    CAPTURE(trial);
    Rng rng(2024, 0, trial, Stream::synth);
    const Color color = rng.bernoulli(0.8) ? Color::rgb : Color::grey;
    const Pipeline pipeline = random_pipeline(rng, color);
    Renderer renderer(pipeline);
    for (int repeat = 0; repeat < 3; ++repeat) {
      const Size size = random_size(rng, rng.bernoulli(0.2) ? 3 : 70);
      const Image image = noise_image(size, num_channels(color), rng());
      const Plan plan =
          pipeline.plan(size, {.seed = 7, .epoch = static_cast<std::uint64_t>(repeat), .sample_id = trial});
      CHECK(plan.output == pipeline.output_size());
      const Image expected = run_naive(pipeline, plan, image);
      const bool same = run_composed(renderer, pipeline, plan, image.view()) == expected;
      if (!same) INFO(pipeline.to_json(plan));
      CHECK(same);
    }
    num_composed += renderer.counts().num_composed > 0;
    num_materialised += renderer.counts().num_materialised > 0;
  }
  CHECK(num_composed > 100);
  CHECK(num_materialised > 100);
}

TEST_CASE("compose: the usual training and evaluation pipelines never materialise an image in between") {
  for (const std::string& preset : Pipeline::preset_names()) {
    CAPTURE(preset);
    const Pipeline pipeline = Pipeline::preset(preset);
    Renderer renderer(pipeline);
    const Image image = noise_image({120, 90}, 3, 5);
    std::vector<float> slot(static_cast<std::size_t>(3 * pipeline.output_size().height * pipeline.output_size().width));
    for (std::uint64_t id = 0; id < 4; ++id) {
      renderer.run(pipeline.plan(image.size(), {.seed = 1, .epoch = 0, .sample_id = id}), image.view(),
                   {reinterpret_cast<std::byte*>(slot.data()), DType::float32, Layout::nchw});
    }
    CHECK(renderer.counts().num_composed == 4);
    CHECK(renderer.counts().num_materialised == 0);
  }
}

TEST_CASE("compose: a 1x65500 image passes imagenet-eval without its sixteen million columns being made") {
  const Pipeline pipeline = Pipeline::preset("imagenet-eval");
  Renderer renderer(pipeline, {.max_pixels = 100'000, .max_bytes = 1});
  const Image image = noise_image({1, max_side}, 3, 9);
  const Image out = run_composed(renderer, pipeline, pipeline.plan(image.size(), {}), image.view());
  // Every output row shows the same single source row, in the middle of the image.
  for (std::int64_t y = 1; y < out.height(); ++y) {
    REQUIRE(std::equal(out.row(y), out.row(y) + out.stride_bytes(), out.row(0)));
  }
  CHECK(renderer.counts().num_materialised == 0);
}

TEST_CASE("compose: images of 1x5000 and 5000x1 pass every preset, to the bytes of the naive path") {
  for (const std::string& preset : Pipeline::preset_names()) {
    const Pipeline pipeline = Pipeline::preset(preset);
    Renderer renderer(pipeline);
    for (const Size size : {Size{1, 5000}, Size{5000, 1}}) {
      CAPTURE(preset);
      CAPTURE(size.height);
      const Image image = noise_image(size, 3, 11);
      const Plan plan = pipeline.plan(size, {.seed = 1, .epoch = 0, .sample_id = 2});
      const Image out = run_composed(renderer, pipeline, plan, image.view());
      CHECK(out.size() == pipeline.output_size());
      // The naive path of imagenet-eval makes 256 x 1,280,000 pixels first.
      CHECK(out == run_naive(pipeline, plan, image));
    }
  }
}

TEST_CASE("compose: nearest does not walk through billions of pixels to a window") {
  const Pipeline pipeline{Resize{.size = 65500, .interpolation = Interpolation::nearest}, CenterCrop{{8, 8}}};
  Renderer renderer(pipeline);
  const Image image = noise_image({1, max_side}, 3, 9);
  CHECK_THROWS_WITH_AS(run_composed(renderer, pipeline, pipeline.plan(image.size(), {}), image.view()),
                       doctest::Contains("use box"), StageError);
}

TEST_CASE("compose: a materialised intermediate over max_pixels is a StageError, not an allocation") {
  const Pipeline pipeline{Resize{.size = 256}, Pad{.padding = 1, .padding_mode = PadMode::edge},
                          CenterCrop{{224, 224}}};
  Renderer renderer(pipeline);
  const Image image = noise_image({1, 5000}, 3, 9);
  const Plan plan = pipeline.plan(image.size(), {});
  CHECK_THROWS_WITH_AS(run_composed(renderer, pipeline, plan, image.view()), doctest::Contains("max_pixels"),
                       StageError);
}

TEST_CASE("compose: a crop from the corner between two materialised images is not taken for the whole") {
  const Stage border = Pad{.padding = 1, .padding_mode = PadMode::reflect};
  const Stage wide_border = Pad{.padding = 2, .padding_mode = PadMode::reflect};
  for (const std::vector<Stage>& stages :
       {std::vector<Stage>{Resize{.size = Size{9, 9}}, border, CenterCrop{{10, 10}}, wide_border, CenterCrop{{14, 14}}},
        std::vector<Stage>{RandomInvert{}, CenterCrop{{10, 10}}, RandomInvert{}}}) {
    const Pipeline pipeline(stages);
    Renderer renderer(pipeline);
    const Image image = noise_image({11, 11}, 3, 4);
    const Plan plan = pipeline.plan(image.size(), {});
    CHECK(run_composed(renderer, pipeline, plan, image.view()) == run_naive(pipeline, plan, image));
  }
}

TEST_CASE("compose: a view that shows only its border reads nothing") {
  const Pipeline pipeline{Resize{.size = Size{4, 4}}, Pad{.padding = {9, 0, 0, 0}, .fill = {7}},
                          Resize{.size = Size{4, 13}}, RandomCrop{.size = {4, 13}}};
  View view = View::whole({4, 4});
  CHECK(view.pad({9, 0, 0, 0}, {7}));
  view.crop({0, 2, 4, 3});
  CHECK(view.source.empty());
  CHECK(view.canvas == Size{4, 3});
  view.flip({.horizontal = true, .vertical = true});
  CHECK(view.pad({1, 1, 1, 1}, {7}));
  CHECK_FALSE(view.pad({1, 1, 1, 1}, {8}));
  CHECK(view.canvas == Size{6, 5});
}

TEST_CASE("plan: the affine map and the window agree with the crop, the flip and the resize that were drawn") {
  const Pipeline pipeline{RandomResizedCrop{.size = {20, 30}}, RandomHorizontalFlip{}};
  for (std::uint64_t id = 0; id < 200; ++id) {
    const Plan plan = pipeline.plan({90, 110}, {.seed = 3, .epoch = 1, .sample_id = id});
    const Rect window = std::get<Crop>(*plan.stages[0].geometry.begin()).window;
    CHECK(plan.window == window);
    CHECK(plan.flip_horizontal == !plan.stages[1].geometry.empty());
    const auto source_x = [&](double x) { return plan.output_to_source.x_scale * x + plan.output_to_source.x_offset; };
    const auto left = static_cast<double>(window.x);
    const auto right = static_cast<double>(window.x + window.width);
    CHECK(source_x(0) == doctest::Approx(plan.flip_horizontal ? right : left));
    CHECK(source_x(30) == doctest::Approx(plan.flip_horizontal ? left : right));
  }
}

TEST_CASE("plan: the window of imagenet-eval is the part of the source that the crop shows") {
  const Plan plan = Pipeline::preset("imagenet-eval").plan({512, 1024}, {});
  // 512 -> 256, so the central 224 of 256 rows are the central 448 of 512.
  CHECK(plan.window == Rect{32, 288, 448, 448});
  CHECK(plan.output_to_source.y_scale == doctest::Approx(2));
}

TEST_CASE("plan: a sample looks the same whatever the pipeline did before to other samples") {
  const Pipeline pipeline = Pipeline::preset("imagenet-train");
  const SampleKey key{.seed = 42, .epoch = 3, .sample_id = 17};
  const Plan first = pipeline.plan({375, 500}, key);
  Plan reused;
  for (std::uint64_t id = 0; id < 20; ++id)
    pipeline.plan({100 + static_cast<std::int64_t>(id), 90}, {42, 3, id}, reused);
  pipeline.plan({375, 500}, key, reused);
  CHECK(pipeline.to_json(reused) == pipeline.to_json(first));
  CHECK(pipeline.to_json(pipeline.plan({375, 500}, {42, 4, 17})) != pipeline.to_json(first));
  CHECK(pipeline.to_json(pipeline.plan({375, 500}, {43, 3, 17})) != pipeline.to_json(first));
  CHECK(pipeline.to_json(pipeline.plan({375, 500}, {42, 3, 18})) != pipeline.to_json(first));
}

TEST_CASE("plan: a step that cannot be done to the image is an error of the sample, by the stage's name") {
  using doctest::Contains;
  constexpr std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  const auto fault = [](const Step& step) { return plan_fault<StageError>({.steps = {step}}); };
  CHECK(fault(Crop{{0, 0, 9, 8}}) ==
        "[plan] the window of 9x8 pixels at y 0, x 0 does not lie inside the image of 8x8 "
        "(stage 1 Unruly)");
  for (const Rect& window : {Rect{1, 0, 8, 8}, Rect{0, 1, 8, 8}, Rect{-1, 0, 4, 4}, Rect{0, -1, 4, 4}, Rect{0, 0, 0, 8},
                             Rect{0, 0, 8, -1}, Rect{huge, 0, 8, 8}, Rect{0, 0, huge, 8}}) {
    CHECK(fault(Crop{window}) == Contains("does not lie inside the image of 8x8"));
  }
  const auto border = [](Padding margins) { return Border{margins, PadMode::edge, {}}; };
  CHECK(fault(border({1, -2, 3, 4})) ==
        Contains("margins left 1, top -2, right 3, bottom 4 of a border are not from 0"));
  for (const Padding& margins : {Padding{-1, 1, 1, 1}, Padding{1, 1, -1, 1}, Padding{1, 1, 1, -1}, Padding{huge}}) {
    CHECK(fault(border(margins)) == Contains("of a border are not from 0 to 1099511627776 pixels (stage 1 Unruly)"));
  }
  CHECK(fault(border(std::int64_t{1} << 40)) == Contains("cannot make 2199023255560x2199023255560 of 8x8"));
  CHECK(fault(Resample{{0, 8}}) == Contains("cannot make 0x8 of 8x8: sides are from 1"));
  CHECK(fault(Resample{{8, huge}}) == Contains("cannot make 8x9223372036854775807 of 8x8"));
  CHECK(fault(Flip{true, true}) == "");
}

TEST_CASE("plan: a stage that refuses a size which it took in the proof is an error of the sample") {
  CHECK(plan_fault<StageError>({.extent = [](Size in) {
          return Refusal{"needs 9x9", in};
        }}) == "[plan] of an image of 8x8 it says: it needs 9x9 (stage 1 Unruly)");
  CHECK(plan_fault<StageError>({.extent = [](Size) {
          return Extent::exactly({0, 8});
        }}) == "[plan] cannot make 0x8 of 8x8: sides are from 1 to 1099511627776 pixels (stage 1 Unruly)");
}

TEST_CASE("plan: a stage that contradicts itself about a size is a ShapeError that says how") {
  CHECK(
      plan_fault<ShapeError>({.extent = [](Size) {
        return Extent{{8, 8}, {8, 9}};
      }}) == "[plan] expected one size for an image of 8x8, received 8x8 ... 8x9 from output_extent (stage 1 Unruly)");
  CHECK(plan_fault<ShapeError>({.steps = {Crop{{0, 0, 8, 7}}}}) ==
        "[plan] expected 8x8 of 8x8, as output_extent says, received 8x7 from draw (stage 1 Unruly)");
}

TEST_CASE("plan: an image of no size, or longer than the longest, is an error") {
  CHECK(plan_fault<StageError>({}, {0, 5}) == "[plan] an image has sides from 1 to 65500, this one 0x5");
  CHECK(plan_fault<StageError>({}, {5, -1}) == doctest::Contains("this one 5x-1"));
  CHECK(plan_fault<StageError>({}, {max_side + 1, 5}) == doctest::Contains("this one 65501x5"));
  CHECK(plan_fault<StageError>({}, {5, max_side + 1}) == doctest::Contains("this one 5x65501"));
}

TEST_CASE("plan: a final size that is not the proven one is a ShapeError") {
  struct Fickle {  // shows it only of images that are 77 pixels wide
    ExtentResult output_extent(const Extent& in) const {
      return Extent::exactly({6, in.is_exact() && in.min.width == 77 ? 7 : 6});
    }
    Geometry draw(Size in, Rng&) const { return {Resample{{6, in.width == 77 ? 7 : 6}}}; }
  };
  const Pipeline pipeline{Fickle{}};
  CHECK(pipeline.plan({50, 76}, {}).output == Size{6, 6});
  CHECK_THROWS_WITH_AS(pipeline.plan({50, 77}, {}),
                       "[plan] expected 6x6, received 6x7 for an image of 50x77: the output_extent of a stage "
                       "contradicts what it said of all sizes",
                       ShapeError);
}

TEST_CASE("renderer: one that is assigned works for its new pipeline") {
  const Image image = noise_image({12, 14}, 3, 4);
  const Pipeline pipeline{CenterCrop{{5, 3}}};
  Renderer renderer(Pipeline{CenterCrop{{9, 9}}});
  renderer = Renderer(pipeline);
  const Plan plan = pipeline.plan(image.size(), {});
  CHECK(run_composed(renderer, pipeline, plan, image.view()) == run_naive(pipeline, plan, image));
}
