// DecodeMode::fast: windows of reduced images, and how near their pixels come to the exact ones.
#include <doctest/doctest.h>

#include <cmath>

#include "jpeg.hpp"
#include "muster/pipeline.hpp"
#include "resample/resample.hpp"
#include "support.hpp"

using namespace muster;
using namespace muster::test;

namespace {

/// Waves of different lengths in each channel: smooth enough to survive being reduced, without any symmetry.
Image waves(Size size) {
  Image image(size, 3);
  for (std::int64_t y = 0; y < size.height; ++y) {
    for (std::int64_t x = 0; x < size.width; ++x) {
      const auto fy = static_cast<double>(y);
      const auto fx = static_cast<double>(x);
      image.row(y)[3 * x] = static_cast<std::uint8_t>(127.5 + 120 * std::sin(fx / 23 + fy / 61));
      image.row(y)[3 * x + 1] = static_cast<std::uint8_t>(127.5 + 120 * std::sin(fy / 19 - fx / 47 + 1));
      image.row(y)[3 * x + 2] = static_cast<std::uint8_t>(127.5 + 120 * std::sin((fx + fy) / 37 + 2));
    }
  }
  return image;
}

Image render(const Pipeline& pipeline, const Data& bytes, std::uint64_t id) {
  Renderer renderer(pipeline);
  const ImageInfo info = renderer.probe(bytes);
  Image out(pipeline.output_size(), 3);
  renderer.run(pipeline.plan(info.size, {.seed = 1, .epoch = 0, .sample_id = id}), bytes, info,
               {reinterpret_cast<std::byte*>(out.data()), DType::uint8, Layout::nhwc});
  return out;
}

double psnr(const Image& a, const Image& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size_bytes(); ++i) {
    const double difference = static_cast<double>(a.data()[i]) - static_cast<double>(b.data()[i]);
    sum += difference * difference;
  }
  return 10 * std::log10(255 * 255 * static_cast<double>(a.size_bytes()) / std::max(sum, 1e-9));
}

}  // namespace

TEST_CASE("fast: a window of a reduced image has the bytes of the whole reduced image, cropped, however it is stored") {
  constexpr int samplings[][2] = {{1, 1}, {2, 1}, {2, 2}, {1, 2}, {4, 2}, {2, 4}, {4, 1}};
  for (std::uint64_t trial = 0; trial < 400; ++trial) {
    CAPTURE(trial);
    Rng rng(31, 0, trial, Stream::synth);
    const Size size = {rng.uniform_int(9, 150), rng.uniform_int(9, 200)};
    const auto& [horizontal, vertical] = samplings[rng.uniform_int(0, 6)];
    const std::int64_t mcus_per_row = (size.width + 8 * horizontal - 1) / (8 * horizontal);
    const Data bytes = write_jpeg(noise_image(size, 3, rng()),
                                  {.horizontal = horizontal,
                                   .vertical = vertical,
                                   .progressive = rng.bernoulli(0.2),
                                   .restart_interval = static_cast<int>(rng.bernoulli(0.5) ? mcus_per_row : 0),
                                   .orientation = static_cast<int>(rng.uniform_int(1, 8))});
    Decoder decoder;
    Decoder full({}, {}, Integrity::full);
    const ImageInfo info = decoder.probe(bytes);
    for (const int reduction : {1, 2, 4, 8}) {
      const Size reduced = reduced_size(info.size, reduction);
      const Image whole(full.decode_view(bytes, info, reduction, Rect::whole(reduced)).pixels);
      CHECK(whole.size() == reduced);
      const std::int64_t height = rng.uniform_int(1, reduced.height);
      const std::int64_t width = rng.uniform_int(1, reduced.width);
      const Rect window = {rng.uniform_int(0, reduced.height - height), rng.uniform_int(0, reduced.width - width),
                           height, width};
      CHECK(Image(decoder.decode_view(bytes, info, reduction, window).pixels) == Image(whole.view().crop(window)));
    }
  }
}

TEST_CASE("fast: pixels come near the exact ones, wherever the window lies and however the image is turned") {
  const Stage crop = RandomResizedCrop{.size = {32, 32}, .scale = {0.3, 1}};
  const Pipeline exact{crop};
  const Pipeline fast({crop}, {.mode = DecodeMode::fast});
  const Image image = waves({301, 397});
  for (int orientation = 1; orientation <= 8; ++orientation) {
    CAPTURE(orientation);
    const Data bytes = write_jpeg(image, {.orientation = orientation});
    for (std::uint64_t id = 0; id < 12; ++id) {
      const Image exact_pixels = render(exact, bytes, id);
      const Image fast_pixels = render(fast, bytes, id);
      CHECK(psnr(exact_pixels, fast_pixels) > 40);
      CHECK(exact_pixels != fast_pixels);  // or it was not the fast way
    }
  }
}

TEST_CASE("fast: imagenet-eval comes near the exact pixels too") {
  const std::vector<Stage> stages = {Resize{.size = 64}, CenterCrop{{56, 56}}};
  const Data bytes = write_jpeg(waves({301, 397}), {.horizontal = 2, .vertical = 2, .orientation = 6});
  const Image exact_pixels = render(Pipeline(stages), bytes, 0);
  CHECK(psnr(exact_pixels, render(Pipeline(stages, {.mode = DecodeMode::fast}), bytes, 0)) > 40);
}

TEST_CASE("fast: a window that is not more than twice the output, or is not a JPEG's, is decoded exactly") {
  const Stage crop = CenterCrop{{64, 64}};
  const Stage resize = Resize{.size = Size{32, 32}};
  const Data bytes = write_jpeg(waves({90, 90}), {});
  CHECK(render(Pipeline({crop, resize}, {.mode = DecodeMode::fast}), bytes, 0) == render({crop, resize}, bytes, 0));
  const Stage nearest = Resize{.size = Size{8, 8}, .interpolation = Interpolation::nearest};
  CHECK(render(Pipeline({crop, nearest}, {.mode = DecodeMode::fast}), bytes, 0) == render({crop, nearest}, bytes, 0));
  const ImageInfo png{.format = Format::png, .stored = {8, 8}, .size = {8, 8}};
  CHECK_THROWS_AS(Decoder().decode_view({}, png, 2, {0, 0, 1, 1}), ConfigError);
  CHECK_THROWS_AS(Decoder().decode_view(bytes, probe(bytes), 3, {0, 0, 1, 1}), ConfigError);
}

TEST_CASE("fast: the mode is part of a pipeline's JSON") {
  const Pipeline fast = Pipeline::from_json(R"({"decode":{"mode":"fast"},"stages":[{"CenterCrop":{"size":8}}]})");
  CHECK(fast.decode_options().mode == DecodeMode::fast);
  CHECK(Pipeline::from_json(fast.to_json()).decode_options() == fast.decode_options());
  CHECK_THROWS_AS(Pipeline::from_json(R"({"decode":{"mode":"quick"},"stages":[{"CenterCrop":{"size":8}}]})"),
                  ConfigError);
}
