// From the last view to the elements of a slot: every type and layout, mirrored and padded.
#include <doctest/doctest.h>

#include <cstring>

#include "naive.hpp"
#include "support.hpp"

using namespace muster;
using namespace muster::test;

namespace {

constexpr Size out_size = {9, 13};

/// Element (channel, y, x) of a slot, as the bytes it has there.
template <class T>
T element(const std::vector<std::byte>& slot, Layout layout, int channels, int channel, std::int64_t y,
          std::int64_t x) {
  const std::int64_t index = layout == Layout::nchw ? (channel * out_size.height + y) * out_size.width + x
                                                    : (y * out_size.width + x) * channels + channel;
  T value;
  std::memcpy(&value, slot.data() + static_cast<std::size_t>(index) * sizeof(T), sizeof(T));
  return value;
}

/// Checks every element of a slot of type T against `convert(pixel, channel)` of the naive path's pixels.
template <class T, class Convert>
void check_slot(const Pipeline& pipeline, DType dtype, const Convert& convert) {
  Renderer renderer(pipeline);
  const int channels = pipeline.num_channels();
  for (const Layout layout : {Layout::nchw, Layout::nhwc}) {
    for (std::uint64_t id = 0; id < 8; ++id) {
      const Image image = noise_image({20 + static_cast<std::int64_t>(id), 17}, channels, 3);
      const Plan plan = pipeline.plan(image.size(), {.seed = 5, .epoch = 0, .sample_id = id});
      const Image pixels = run_naive(pipeline, plan, image);
      REQUIRE(pixels.size() == out_size);
      // A guard behind the slot: nothing may be written there.
      std::vector<std::byte> slot(pixels.size_bytes() * sizeof(T) + 16, std::byte{0xa5});
      renderer.run(plan, image.view(), {slot.data(), dtype, layout});
      bool same = true;
      for (int c = 0; c < channels; ++c) {
        for (std::int64_t y = 0; y < out_size.height; ++y) {
          for (std::int64_t x = 0; x < out_size.width; ++x) {
            const T expected = convert(pixels.row(y)[x * channels + c], c);
            const T received = element<T>(slot, layout, channels, c, y, x);
            same &= std::memcmp(&expected, &received, sizeof(T)) == 0;
          }
        }
      }
      CHECK(same);
      CHECK(std::all_of(slot.end() - 16, slot.end(), [](std::byte byte) { return byte == std::byte{0xa5}; }));
    }
  }
}

float normalized(std::uint8_t pixel, int channel) {
  const auto index = static_cast<std::size_t>(channel);
  const float scaled = static_cast<float>(pixel) / 255.0f;
  const float centred = scaled - static_cast<float>(imagenet_mean[index]);
  return centred / static_cast<float>(imagenet_stddev[index]);
}

const Stage stretch = RandomResizedCrop{.size = {7, 12}};
const Stage flip = RandomHorizontalFlip{};
const Stage upside_down = RandomVerticalFlip{};
const Stage margin = Pad{.padding = {1, 2, 0, 0}, .fill = {10, 20, 30}};

}  // namespace

TEST_CASE("write: float32 slots hold (v/255 - mean)/stddev, bit for bit, in both layouts") {
  check_slot<float>({stretch, flip, margin, Normalize{imagenet_mean, imagenet_stddev}}, DType::float32, normalized);
}

TEST_CASE("write: uint8 slots hold the pixels before any value stage") {
  check_slot<std::uint8_t>({stretch, flip, upside_down, margin, Normalize{imagenet_mean, imagenet_stddev}},
                           DType::uint8, [](std::uint8_t pixel, int) { return pixel; });
}

TEST_CASE("write: float16 and bfloat16 slots hold the float32 value, rounded to nearest even") {
  const Pipeline pipeline{stretch, margin, upside_down, CenterCrop{out_size},
                          Normalize{imagenet_mean, imagenet_stddev}};
  check_slot<std::uint16_t>(pipeline, DType::float16,
                            [](std::uint8_t pixel, int c) { return to_float16(normalized(pixel, c)); });
  check_slot<std::uint16_t>(pipeline, DType::bfloat16,
                            [](std::uint8_t pixel, int c) { return to_bfloat16(normalized(pixel, c)); });
}

TEST_CASE("write: without a value stage a float slot holds 0 ... 255") {
  check_slot<float>({CenterCrop{out_size}, flip}, DType::float32,
                    [](std::uint8_t pixel, int) { return static_cast<float>(pixel); });
}

TEST_CASE("write: grey pipelines write one channel, padded with the luma of the fill") {
  const Pipeline pipeline({stretch, margin, ToFloat{}}, {.color = Color::grey});
  check_slot<float>(pipeline, DType::float32,
                    [](std::uint8_t pixel, int) { return static_cast<float>(pixel) / 255.0f; });
}

TEST_CASE("write: a slot cannot hold int64 images") {
  const Pipeline pipeline{CenterCrop{out_size}};
  Renderer renderer(pipeline);
  const Image image = noise_image({9, 13}, 3, 1);
  std::vector<std::byte> slot(9 * 13 * 3 * 8);
  CHECK_THROWS_AS(
      renderer.run(pipeline.plan(image.size(), {}), image.view(), {slot.data(), DType::int64, Layout::nchw}),
      ConfigError);
}

TEST_CASE("render: a plan of another size or another pipeline is refused, not run") {
  const Pipeline pipeline{CenterCrop{out_size}};
  const Pipeline other{CenterCrop{out_size}};
  Renderer renderer(pipeline);
  std::vector<std::byte> slot(9 * 13 * 3);
  const Slot to{slot.data(), DType::uint8, Layout::nchw};
  const Image image = noise_image({9, 13}, 3, 1);
  CHECK_THROWS_AS(renderer.run(pipeline.plan({9, 12}, {}), image.view(), to), ShapeError);
  CHECK_THROWS_AS(renderer.run(other.plan({9, 13}, {}), image.view(), to), ShapeError);
}

TEST_CASE("render: a stage that throws or lies is named, and the foreign exception is kept") {
  struct Boom {
    ExtentResult output_extent(const Extent& in) const { return in; }
    Image operator()(Image, Rng&) const { throw std::runtime_error("boom"); }
  };
  struct Liar {
    ExtentResult output_extent(const Extent&) const { return Extent::exactly(out_size); }
    Image operator()(Image image, Rng&) const { return image; }
  };
  std::vector<std::byte> slot(9 * 13 * 3);
  const Slot to{slot.data(), DType::uint8, Layout::nchw};
  const Image image = noise_image({20, 20}, 3, 1);
  const auto run = [&](const Pipeline& pipeline) {
    Renderer renderer(pipeline);
    renderer.run(pipeline.plan(image.size(), {}), image.view(), to);
  };
  try {
    run({Boom{}, CenterCrop{out_size}});
    FAIL("nothing was thrown");
  } catch (const StageError& error) {
    CHECK(error.where().stage == "stage 1 Boom");
    CHECK_THROWS_WITH_AS(std::rethrow_exception(error.cause()), "boom", std::runtime_error);
  }
  CHECK_THROWS_WITH_AS(run({Liar{}}), "[collate] expected 3x9x13, received 3x20x20 (after stage 1 Liar)", ShapeError);
}
