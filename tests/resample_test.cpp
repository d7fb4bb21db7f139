// Resampling against Pillow's results, and against itself: windows, kernels, reuse.
#include "resample/resample.hpp"

#include <doctest/doctest.h>
#include <hwy/targets.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "resample/kernels.hpp"
#include "resample/weights.hpp"
#include "support.hpp"

namespace muster {

// For doctest's messages.
static std::ostream& operator<<(std::ostream& out, const Size& size) { return out << size.height << 'x' << size.width; }
static std::ostream& operator<<(std::ostream& out, const Rect& rect) {
  return out << rect.size() << '+' << rect.y << '+' << rect.x;
}

namespace {

using test::crc32;
using test::noise_image;

constexpr Interpolation every_interpolation[] = {Interpolation::nearest,  Interpolation::box,
                                                 Interpolation::bilinear, Interpolation::hamming,
                                                 Interpolation::bicubic,  Interpolation::lanczos};

/// The job on its part of `whole`, which is copied out: memory checkers see what is read beyond it.
Image resample_from(Resampler& resampler, const ResampleJob& job, const Image& whole) {
  const Image in(whole.view().crop(required_input(job)));
  Image out;
  resampler.run(job, in.view(), out);
  return out;
}

struct Case {
  ResampleJob job;
  int channels = 0;
  std::uint32_t checksum = 0;
};

std::vector<Case> golden_cases() {
  std::ifstream file(test::golden_dir() / "resample.txt");
  std::vector<Case> cases;
  std::string name;
  Case c;
  Rect& window = c.job.window;
  while (file >> name >> c.channels >> c.job.in.height >> c.job.in.width >> c.job.out.height >> c.job.out.width >>
         window.y >> window.x >> window.height >> window.width >> std::hex >> c.checksum >> std::dec) {
    c.job.interpolation = interpolation_from_name(name);
    cases.push_back(c);
  }
  return cases;
}

class RandomJobs {
 public:
  explicit RandomJobs(std::uint32_t seed) : random_(seed) {}

  std::int64_t integer(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random_);
  }
  std::int64_t side(double max_log2) {
    return static_cast<std::int64_t>(std::exp2(std::uniform_real_distribution<double>(0, max_log2)(random_)));
  }
  /// Sizes up to 2^8 a side, one in four without change along an axis; a random window.
  ResampleJob next() {
    ResampleJob job{{side(8), side(8)}, {side(8), side(8)}, {}, every_interpolation[integer(0, 5)]};
    if (integer(0, 3) == 0) job.out.height = job.in.height;
    if (integer(0, 3) == 0) job.out.width = job.in.width;
    job.window.y = integer(0, job.out.height - 1);
    job.window.x = integer(0, job.out.width - 1);
    job.window.height = integer(1, job.out.height - job.window.y);
    job.window.width = integer(1, job.out.width - job.window.x);
    return job;
  }
  int channels() { return integer(0, 1) == 0 ? 1 : 3; }

 private:
  std::mt19937 random_;
};

/// While it lives, Highway chooses `target`.
class ForcedTarget {
 public:
  explicit ForcedTarget(std::int64_t target) { set(target); }
  ForcedTarget(const ForcedTarget&) = delete;
  ForcedTarget& operator=(const ForcedTarget&) = delete;
  ~ForcedTarget() { set(0); }

 private:
  static void set(std::int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

/// Calls test(kernels) for every instruction set of this CPU.
template <class Test>
void for_each_simd(Test test) {
  const std::int64_t supported = hwy::SupportedTargets();
  int num_tested = 0;
  for (const std::int64_t target : {HWY_SSSE3, HWY_SSE4, HWY_AVX2, HWY_AVX3, HWY_AVX3_DL, HWY_NEON}) {
    const std::string name = hwy::TargetName(target);
    if (name == "Unknown") continue;
    if ((supported & target) == 0) {
      MESSAGE("skipped, not supported by this CPU: " << name);
      continue;
    }
    const ForcedTarget forced(target);
    const resample::Kernels& kernels = resample::simd_kernels();
    REQUIRE(std::string(kernels.name) == name);
    MESSAGE("tested: " << name);
    CAPTURE(name);
    test(kernels);
    ++num_tested;
  }
  CHECK(num_tested > 0);
}

TEST_CASE("resample: equals Pillow's Image.resize, byte for byte") {
  const std::vector<Case> cases = golden_cases();
  REQUIRE(cases.size() > 500);
  Resampler scalar(resample::scalar_kernels());
  Resampler fastest;
  for (const Case& c : cases) {
    const auto seed = static_cast<std::uint32_t>(c.job.in.height * 65536 + c.job.in.width);
    const Image whole = noise_image(c.job.in, c.channels, seed);
    INFO(c.job.in << " to " << c.job.out << ", window " << c.job.window << ", channels " << c.channels << ", "
                  << name(c.job.interpolation));
    CHECK(crc32(resample_from(scalar, c.job, whole)) == c.checksum);
    CHECK(crc32(resample_from(fastest, c.job, whole)) == c.checksum);
  }
}

TEST_CASE("resample: a window is a crop of the whole result") {
  RandomJobs jobs(1);
  Resampler resampler;
  for (int i = 0; i < 600; ++i) {
    const ResampleJob job = jobs.next();
    const Image in = noise_image(job.in, jobs.channels(), static_cast<std::uint32_t>(i));
    ResampleJob whole = job;
    whole.window = Rect::whole(job.out);
    REQUIRE(contains(job.in, required_input(whole)));
    const Image expected(resample_from(resampler, whole, in).view().crop(job.window));
    INFO(job.in << " to " << job.out << ", window " << job.window << ", " << name(job.interpolation));
    REQUIRE(resample_from(resampler, job, in) == expected);
  }
}

TEST_CASE("resample: the required input is what the first and the last pixel of the window read, inside the image") {
  RandomJobs jobs(2);
  const auto expected = [](std::int64_t in, std::int64_t out, std::int64_t begin, std::int64_t count, double support,
                           bool nearest) {
    if (in == out) return std::pair(begin, begin + count);
    const double scale = static_cast<double>(in) / static_cast<double>(out);
    if (nearest) {
      std::vector<std::int64_t> positions;
      double position = scale / 2;
      for (std::int64_t x = 0; x < out; ++x, position += scale)
        positions.push_back(static_cast<std::int64_t>(position));
      return std::pair(positions[static_cast<std::size_t>(begin)],
                       positions[static_cast<std::size_t>(begin + count - 1)] + 1);
    }
    const double reach = support * std::max(scale, 1.0);
    const double first = (static_cast<double>(begin) + 0.5) * scale - reach + 0.5;
    const double last = (static_cast<double>(begin + count - 1) + 0.5) * scale + reach + 0.5;
    return std::pair(std::max<std::int64_t>(static_cast<std::int64_t>(first), 0),
                     std::min(static_cast<std::int64_t>(last), in));
  };
  constexpr double supports[] = {0, 0.5, 1, 1, 2, 3};
  for (int i = 0; i < 3000; ++i) {
    const ResampleJob job = jobs.next();
    const double support = supports[static_cast<std::size_t>(job.interpolation)];
    const bool nearest = job.interpolation == Interpolation::nearest;
    const auto [top, bottom] =
        expected(job.in.height, job.out.height, job.window.y, job.window.height, support, nearest);
    const auto [left, right] = expected(job.in.width, job.out.width, job.window.x, job.window.width, support, nearest);
    INFO(job.in << " to " << job.out << ", window " << job.window << ", " << name(job.interpolation));
    REQUIRE(required_input(job) == Rect{top, left, bottom - top, right - left});
    REQUIRE(contains(job.in, required_input(job)));
  }
}

TEST_CASE("resample: every instruction set gives the bytes of the scalar twin") {
  for_each_simd([](const resample::Kernels& kernels) {
    RandomJobs jobs(3);
    Resampler scalar(resample::scalar_kernels());
    Resampler simd(kernels);
    for (int i = 0; i < 1500; ++i) {
      const ResampleJob job = jobs.next();
      const int channels = jobs.channels();
      const Image in = noise_image(job.in, channels, static_cast<std::uint32_t>(i));
      INFO(job.in << " to " << job.out << ", window " << job.window << ", channels " << channels << ", "
                  << name(job.interpolation));
      REQUIRE(resample_from(simd, job, in) == resample_from(scalar, job, in));
    }
  });
}

TEST_CASE("resample: every instruction set makes odd widths as the scalar twin does, in either pass alone") {
  for_each_simd([](const resample::Kernels& kernels) {
    Resampler scalar(resample::scalar_kernels());
    Resampler simd(kernels);
    for (const Interpolation interpolation : every_interpolation) {
      for (const int channels : {1, 3}) {
        for (std::int64_t width = 1; width <= 70; ++width) {
          const Image in = noise_image({9, width}, channels, static_cast<std::uint32_t>(width));
          for (const Size out : {Size{5, width}, Size{13, width}, Size{9, 2 * width + 1}, Size{9, (width + 2) / 3}}) {
            const ResampleJob job{in.size(), out, Rect::whole(out), interpolation};
            INFO(job.in << " to " << job.out << ", channels " << channels << ", " << name(interpolation));
            REQUIRE(resample_from(simd, job, in) == resample_from(scalar, job, in));
          }
        }
      }
    }
  });
}

TEST_CASE("resample: every instruction set clips overshoot at 0 and 255") {
  Image stripes({64, 64}, 3);
  for (std::size_t i = 0; i < stripes.size_bytes(); ++i) {
    stripes.data()[i] = (i / 3 / 8 + i / 192 / 8) % 2 == 0 ? 0 : 255;
  }
  for_each_simd([&](const resample::Kernels& kernels) {
    Resampler scalar(resample::scalar_kernels());
    Resampler simd(kernels);
    for (const Size out : {Size{101, 103}, Size{30, 29}}) {
      const ResampleJob job{stripes.size(), out, Rect::whole(out), Interpolation::lanczos};
      const Image expected = resample_from(scalar, job, stripes);
      CHECK(*std::min_element(expected.data(), expected.data() + expected.size_bytes()) == 0);
      CHECK(*std::max_element(expected.data(), expected.data() + expected.size_bytes()) == 255);
      CHECK(resample_from(simd, job, stripes) == expected);
    }
  });
}

TEST_CASE("resample: weights sum to nearly one, and no sum of pixels times weights overflows") {
  RandomJobs jobs(4);
  resample::AxisWeights weights;
  for (int i = 0; i < 3000; ++i) {
    const Interpolation interpolation = every_interpolation[jobs.integer(1, 5)];
    const resample::Axis axis{jobs.side(10), jobs.side(10), 0, 1};
    for (std::int64_t x = 0; x < axis.out; x += jobs.integer(1, 50)) {
      weights.assign({axis.in, axis.out, x, 1}, interpolation, resample::scalar_kernels());
      std::int64_t sum = 0;
      std::int64_t sum_of_magnitudes = 0;
      for (std::int64_t t = 0; t < weights.num_taps(0); ++t) {
        sum += weights.packed()[t];
        sum_of_magnitudes += std::abs(std::int64_t{weights.packed()[t]});
      }
      INFO(axis.in << " to " << axis.out << " at " << x << ", " << name(interpolation));
      REQUIRE(std::abs(sum - (1 << resample::precision_bits)) <= weights.num_taps(0));
      REQUIRE(sum_of_magnitudes * 255 + resample::one_half < std::int64_t{1} << 31);
    }
  }
}

TEST_CASE("resample: rows arrive in order and are those of the image") {
  RandomJobs jobs(5);
  Resampler resampler;
  for (int i = 0; i < 200; ++i) {
    const ResampleJob job = jobs.next();
    const Image whole = noise_image(job.in, jobs.channels(), static_cast<std::uint32_t>(i));
    const Image expected = resample_from(resampler, job, whole);
    const Image in(whole.view().crop(required_input(job)));
    Image received(job.window.size(), in.channels());
    std::int64_t num_rows = 0;
    bool in_order = true;
    resampler.run_rows(job, in.view(), [&](std::int64_t y, const std::uint8_t* row) {
      in_order = in_order && y == num_rows++;
      std::copy_n(row, received.stride_bytes(), received.row(y));
    });
    REQUIRE(in_order);
    REQUIRE(num_rows == job.window.height);
    REQUIRE(received == expected);
  }
}

TEST_CASE("resample: what ran before does not matter") {
  RandomJobs jobs(6);
  std::vector<ResampleJob> some;
  for (int i = 0; i < 12; ++i) some.push_back(jobs.next());
  for (std::size_t i = 0; i < some.size(); i += 2) {
    // Neighbours that share everything but one property.
    some[i + 1] = some[i];
    if (i % 4 == 0) some[i + 1].interpolation = Interpolation::bicubic;
    if (i % 4 == 2) some[i + 1].window = {0, 0, 1, 1};
  }
  Resampler reused;
  for (int i = 0; i < 300; ++i) {
    const ResampleJob& job = some[static_cast<std::size_t>(jobs.integer(0, 11))];
    const Image in = noise_image(job.in, jobs.channels(), static_cast<std::uint32_t>(i));
    Resampler fresh;
    REQUIRE(resample_from(reused, job, in) == resample_from(fresh, job, in));
  }
}

TEST_CASE("resample: a view with gaps between its rows is read like one without") {
  const Image whole = noise_image({60, 50}, 3, 7);
  const ImageView part = whole.view().crop({3, 5, 41, 37});
  const ResampleJob job{part.size, {17, 23}, Rect::whole({17, 23}), Interpolation::bicubic};
  Resampler resampler;
  Image from_view;
  resampler.run(job, part, from_view);
  CHECK(from_view == resample_from(resampler, job, Image(part)));
}

TEST_CASE("resample: the middle of a result with billions of pixels is made without the rest") {
  const Image line = noise_image({1, 65500}, 3, 8);
  const Size out = {256, 16'768'000};
  Resampler resampler;
  for (const Interpolation interpolation : every_interpolation) {
    const ResampleJob job{line.size(), out, {16, 8'383'888, 224, 224}, interpolation};
    CAPTURE(name(interpolation));
    CHECK(required_input(job).width < 10);
    const Image window = resample_from(resampler, job, line);
    ResampleJob right = job;
    right.window.x += 100;
    right.window.width -= 100;
    CHECK(resample_from(resampler, right, line) == Image(window.view().crop({0, 100, 224, 124})));
  }
}

TEST_CASE("resample: the same size in and out copies the window") {
  const Image in = noise_image({20, 30}, 3, 9);
  Resampler resampler;
  for (const Interpolation interpolation : every_interpolation) {
    const ResampleJob job{in.size(), in.size(), {2, 3, 11, 13}, interpolation};
    CHECK(required_input(job) == job.window);
    CHECK(resample_from(resampler, job, in) == Image(in.view().crop(job.window)));
  }
}

TEST_CASE("resample: jobs and views that do not fit are refused") {
  const Image in = noise_image({20, 30}, 3, 10);
  Resampler resampler;
  Image out;
  const ResampleJob good{in.size(), {10, 10}, {0, 0, 10, 10}};
  ResampleJob outside = good;
  outside.window.x = 1;
  CHECK_THROWS_AS(required_input(outside), ShapeError);
  ResampleJob empty_window = good;
  empty_window.window.height = 0;
  CHECK_THROWS_AS(required_input(empty_window), ShapeError);
  ResampleJob no_input = good;
  no_input.in.width = 0;
  CHECK_THROWS_AS(required_input(no_input), ShapeError);
  ResampleJob no_output = good;
  no_output.out.height = 0;
  CHECK_THROWS_AS(required_input(no_output), ShapeError);
  CHECK_THROWS_WITH_AS(resampler.run(good, in.view().crop({0, 0, 20, 29}), out),
                       "[resample] expected a view of the required input 20x30 at (y 0, x 0), received 20x29",
                       ShapeError);
  const Image four = noise_image({20, 30}, 4, 11);
  CHECK_THROWS_WITH_AS(resampler.run(good, four.view(), out), "[resample] expected 1 or 3 channels, received 4",
                       ShapeError);
}

TEST_CASE("resample: what a sink throws passes through, and the resampler can go on") {
  const Image in = noise_image({20, 30}, 3, 12);
  const ResampleJob job{in.size(), {10, 10}, {0, 0, 10, 10}};
  Resampler resampler;
  const auto failing = [](std::int64_t y, const std::uint8_t*) {
    if (y == 3) throw std::runtime_error("full");
  };
  CHECK_THROWS_WITH(resampler.run_rows(job, in.view(), failing), "full");
  Resampler fresh;
  CHECK(resample_from(resampler, job, in) == resample_from(fresh, job, in));
}

}  // namespace
}  // namespace muster
