// The stages: properties over random sizes, and arithmetic against worked examples of torchvision's.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "muster/pipeline.hpp"
#include "transform/portable_math.hpp"

using namespace muster;

namespace {

Rng rng_for(std::uint64_t trial) { return Rng(99, 0, trial, Stream::first_stage); }

/// Sides from 1 to 2000, flat and tall shapes included.
Size random_size(Rng& rng) {
  const auto side = [&] { return static_cast<std::int64_t>(std::exp(rng.uniform(0, std::log(2000.0)))); };
  return {side(), side()};
}

template <class Wanted>
const Wanted& step(const Geometry& geometry, std::size_t index) {
  return std::get<Wanted>(geometry.begin()[index]);
}

Size resized(const Resize& resize, Size in) {
  Rng rng = rng_for(0);
  return resize.draw(in, rng).output_size(in);
}

}  // namespace

TEST_CASE("RandomResizedCrop: the window lies inside, and its area and aspect lie in range unless it is the fallback") {
  const RandomResizedCrop crop{.size = {32, 32}, .scale = {0.2, 0.9}, .ratio = {0.5, 2.0}};
  int num_in_range = 0;
  constexpr int num_trials = 3000;
  for (std::uint64_t trial = 0; trial < num_trials; ++trial) {
    Rng rng = rng_for(trial);
    const Size in = random_size(rng);
    const Geometry geometry = crop.draw(in, rng);
    const Rect window = step<Crop>(geometry, 0).window;
    REQUIRE(contains(in, window));
    CHECK(geometry.output_size(in) == crop.size);
    const double share = static_cast<double>(window.height * window.width) / static_cast<double>(in.height * in.width);
    const double aspect = static_cast<double>(window.width) / static_cast<double>(window.height);
    const double rounding = 1.0 / static_cast<double>(std::min(window.height, window.width));
    const bool in_range = share > 0.2 * (1 - rounding) * (1 - rounding) &&
                          share < 0.9 * (1 + rounding) * (1 + rounding) && aspect > 0.5 * (1 - rounding) &&
                          aspect < 2.0 * (1 + rounding);
    const bool centred = window.y == (in.height - window.height) / 2 && window.x == (in.width - window.width) / 2;
    CHECK((in_range || centred));
    num_in_range += in_range;
  }
  CHECK(num_in_range > num_trials / 2);
}

TEST_CASE(
    "RandomResizedCrop: an image too flat or too tall falls back to the largest centred window of allowed aspect") {
  Rng rng = rng_for(1);
  const RandomResizedCrop crop{.size = {8, 8}};
  CHECK(step<Crop>(crop.draw({10, 1000}, rng), 0).window == Rect{0, 493, 10, 13});
  CHECK(step<Crop>(crop.draw({1000, 10}, rng), 0).window == Rect{493, 0, 13, 10});
  CHECK(step<Crop>(crop.draw({1, 1}, rng), 0).window == Rect{0, 0, 1, 1});
}

TEST_CASE("RandomResizedCrop: area is uniform in scale and log aspect in ratio when everything fits") {
  const RandomResizedCrop crop{.size = {8, 8}, .scale = {0.1, 0.3}};
  double area_sum = 0;
  double log_aspect_sum = 0;
  constexpr int num_trials = 4000;
  for (std::uint64_t trial = 0; trial < num_trials; ++trial) {
    Rng rng = rng_for(trial);
    const Rect window = step<Crop>(crop.draw({2000, 2000}, rng), 0).window;
    area_sum += static_cast<double>(window.height * window.width) / 4e6;
    log_aspect_sum += std::log(static_cast<double>(window.width) / static_cast<double>(window.height));
  }
  // Standard errors: 0.2 / sqrt(12 n) = 0.0009 and 0.575 / sqrt(12 n) = 0.0026.
  CHECK(std::abs(area_sum / num_trials - 0.2) < 0.004);
  CHECK(std::abs(log_aspect_sum / num_trials) < 0.011);
}

TEST_CASE("Resize: the longer side is truncated as torchvision does") {
  CHECK(resized({.size = 256}, {375, 500}) == Size{256, 341});
  CHECK(resized({.size = 256}, {500, 333}) == Size{384, 256});
  CHECK(resized({.size = 256}, {500, 334}) == Size{383, 256});
  CHECK(resized({.size = 256}, {256, 256}) == Size{256, 256});
  CHECK(resized({.size = 100, .max_size = 120}, {100, 200}) == Size{60, 120});
  CHECK(resized({.size = 100, .max_size = 120}, {100, 110}) == Size{100, 110});
  CHECK(resized({.size = 100, .max_size = 120}, {1, 60000}) == Size{1, 120});
  CHECK(resized({.size = Size{7, 9}}, {100, 110}) == Size{7, 9});
  CHECK(resized({.size = 256}, {1, 65500}) == Size{256, 16'768'000});
}

TEST_CASE("CenterCrop: the anchor rounds half to even, and what is too small is padded with 0 first") {
  Rng rng = rng_for(0);
  const auto draw = [&](Size crop, Size in) { return CenterCrop{crop}.draw(in, rng); };
  CHECK(step<Crop>(draw({4, 4}, {7, 9}), 0).window == Rect{2, 2, 4, 4});   // 1.5 -> 2, 2.5 -> 2
  CHECK(step<Crop>(draw({4, 4}, {5, 11}), 0).window == Rect{0, 4, 4, 4});  // 0.5 -> 0, 3.5 -> 4
  const Geometry padded = draw({8, 8}, {5, 11});
  CHECK(step<Border>(padded, 0).padding == Padding(0, 1, 0, 2));
  CHECK(step<Crop>(padded, 1).window == Rect{0, 2, 8, 8});
}

TEST_CASE("RandomCrop: pad_if_needed pads the whole deficit on both sides, after the padding") {
  Rng rng = rng_for(0);
  const RandomCrop crop{.size = {10, 20}, .padding = {1, 2, 3, 4}, .pad_if_needed = true, .fill = {9}};
  const Geometry geometry = crop.draw({3, 30}, rng);
  CHECK(step<Border>(geometry, 0).padding == Padding(1, 2, 3, 4));
  CHECK(step<Border>(geometry, 1).padding == Padding(0, 1, 0, 1));  // 3 + 6 = 9 rows: one is missing
  CHECK(contains({11, 34}, step<Crop>(geometry, 2).window));
}

TEST_CASE("RandomCrop: every position is drawn about as often") {
  std::vector<int> counts(6 * 4);
  constexpr int num_trials = 24000;
  for (std::uint64_t trial = 0; trial < num_trials; ++trial) {
    Rng rng = rng_for(trial);
    const Rect window = step<Crop>(RandomCrop{.size = {5, 7}}.draw({10, 10}, rng), 0).window;
    ++counts[static_cast<std::size_t>(window.y * 4 + window.x)];
  }
  double chi_square = 0;
  for (const int count : counts) chi_square += (count - 1000.0) * (count - 1000.0) / 1000.0;
  CHECK(chi_square < 49.7);  // 23 degrees of freedom, p = 0.001
}

TEST_CASE("flips: p is the share of images that are mirrored") {
  int num_flipped = 0;
  for (std::uint64_t trial = 0; trial < 10000; ++trial) {
    Rng rng = rng_for(trial);
    num_flipped += !RandomHorizontalFlip{.p = 0.3}.draw({4, 4}, rng).empty();
  }
  CHECK(std::abs(num_flipped - 3000) < 150);
  Rng rng = rng_for(0);
  CHECK(RandomVerticalFlip{.p = 0}.draw({4, 4}, rng).empty());
  CHECK(step<Flip>(RandomVerticalFlip{.p = 1}.draw({4, 4}, rng), 0) == Flip{.vertical = true});
}

TEST_CASE("PadTo: pads to the least size and the next multiple, the odd pixel right and below") {
  Rng rng = rng_for(0);
  const PadTo pad{.size = {10, 0}, .multiple = {4, 8}};
  CHECK(pad.draw({5, 9}, rng).output_size({5, 9}) == Size{12, 16});
  CHECK(step<Border>(pad.draw({5, 9}, rng), 0).padding == Padding(3, 3, 4, 4));
  CHECK(step<Border>(PadTo{.size = {6, 6}, .anchor = Anchor::top_left}.draw({5, 3}, rng), 0).padding ==
        Padding(0, 0, 3, 1));
  CHECK(pad.draw({12, 16}, rng).empty());
}

TEST_CASE("LetterBox: fits, keeps the aspect, and pads with 114") {
  Rng rng = rng_for(0);
  const LetterBox box{.size = {640, 640}};
  const Geometry wide = box.draw({375, 500}, rng);
  CHECK(step<Resample>(wide, 0).size == Size{480, 640});
  CHECK(step<Border>(wide, 1) == Border{{0, 80, 0, 80}, PadMode::constant, {114}});
  const Geometry odd = box.draw({333, 500}, rng);  // 333 · 1.28 = 426.24 -> 426, 214 remain
  CHECK(step<Border>(odd, 1).padding == Padding(0, 107, 0, 107));
  CHECK(step<Resample>(box.draw({1, 5000}, rng), 0).size == Size{1, 640});
  const LetterBox down_only{.size = {640, 640}, .scale_up = false};
  CHECK(step<Resample>(down_only.draw({101, 200}, rng), 0).size == Size{101, 200});
  CHECK(step<Border>(down_only.draw({101, 200}, rng), 1).padding == Padding(220, 269, 220, 270));
  CHECK(step<Border>(down_only.draw({200, 101}, rng), 1).padding == Padding(269, 220, 270, 220));
  const LetterBox stride{.size = {640, 640}, .stride = 32};
  CHECK(stride.draw({375, 500}, rng).output_size({375, 500}) == Size{480, 640});
  CHECK(stride.draw({333, 500}, rng).output_size({333, 500}) == Size{448, 640});
}

TEST_CASE("LetterBox: every size comes out as declared, with the image inside") {
  for (std::uint64_t trial = 0; trial < 2000; ++trial) {
    Rng rng = rng_for(trial);
    const Size in = random_size(rng);
    const LetterBox box{.size = random_size(rng), .scale_up = rng.bernoulli(0.5), .stride = rng.uniform_int(0, 64)};
    const Size out = box.draw(in, rng).output_size(in);
    CHECK(std::get<Extent>(box.output_extent(Extent::exactly(in))) == Extent::exactly(out));
    CHECK(out.height <= box.size.height);
    CHECK(out.width <= box.size.width);
  }
}

TEST_CASE("Normalize: the table is division, subtraction and division in float32") {
  const std::array<float, 256> table = Normalize{imagenet_mean, imagenet_stddev}.table(1);
  for (const int value : {0, 1, 77, 128, 255}) {
    const float scaled = static_cast<float>(value) / 255.0f;
    const float centred = scaled - 0.456f;
    CHECK(table[static_cast<std::size_t>(value)] == centred / 0.224f);
  }
  CHECK(ToFloat{}.table(0)[255] == 1.0f);
}

TEST_CASE("portable exp and log agree with the C library to thirteen digits") {
  for (double x = -4; x < 4; x += 0.0137) {
    CHECK(portable_exp(x) == doctest::Approx(std::exp(x)).epsilon(1e-13));
    CHECK(portable_log(std::exp(x)) == doctest::Approx(x).epsilon(1e-13));
  }
  CHECK(portable_log(1.0) == 0.0);
  CHECK(portable_exp(0.0) == 1.0);
}

TEST_CASE("per channel: values are one or three") {
  const std::vector<double> values = {0.1, 0.2, 0.3, 0.4};
  const auto first = [&](std::size_t count) { return PerChannel(std::span(values).first(count)); };
  CHECK(first(1)[0] == 0.1);
  CHECK(first(3)[2] == 0.3);
  for (const std::size_t count : {0u, 2u, 4u}) {
    CHECK_THROWS_WITH_AS(first(count),
                         doctest::Contains(("one value, or three for RGB, received " + std::to_string(count)).c_str()),
                         ConfigError);
  }
}
