// Whole pipelines against torchvision's, by checksums made with tests/golden/make_pipeline_goldens.py.
#include <doctest/doctest.h>

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "muster/pipeline.hpp"
#include "support.hpp"

namespace muster {
namespace {

struct Golden {
  std::string kind;
  Size size;
  int channels = 0;
  std::uint32_t seed = 0;
  std::string pipeline;
  std::uint32_t crc = 0;
};

/// "uint8 | 64 80 3 1 | {...} | 0123abcd"
Golden parse(const std::string& line) {
  Golden golden;
  std::istringstream fields(line);
  std::string numbers, crc;
  std::getline(fields, golden.kind, '|');
  std::getline(fields, numbers, '|');
  std::getline(fields, golden.pipeline, '|');
  std::getline(fields, crc);
  std::istringstream(numbers) >> golden.size.height >> golden.size.width >> golden.channels >> golden.seed;
  golden.crc = static_cast<std::uint32_t>(std::stoul(crc, nullptr, 16));
  return golden;
}

std::vector<Golden> goldens(const std::string& kind) {
  std::ifstream file(test::golden_dir() / "pipeline.txt");
  std::vector<Golden> found;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(kind + " ")) found.push_back(parse(line));
  }
  return found;
}

/// Every channel 0 … 255.
Image ramp_image() {
  Image image({16, 16}, 3);
  for (std::size_t i = 0; i < image.size_bytes(); ++i) image.data()[i] = static_cast<std::uint8_t>(i / 3);
  return image;
}

std::uint32_t crc_of_run(const Golden& golden, const Image& image, DType dtype, Layout layout) {
  const Pipeline pipeline = Pipeline::from_json(golden.pipeline);
  const Size size = pipeline.output_size();
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(size.height * size.width * pipeline.num_channels()) *
                                  size_bytes(dtype));
  Renderer renderer(pipeline);
  renderer.run(pipeline.plan(image.size(), {}), image.view(),
               {reinterpret_cast<std::byte*>(bytes.data()), dtype, layout});
  return test::crc32(bytes);
}

TEST_CASE("golden: pixels are those of torchvision on Pillow") {
  const std::vector<Golden> all = goldens("uint8");
  CHECK(all.size() > 150);
  for (const Golden& golden : all) {
    CAPTURE(golden.pipeline);
    CAPTURE(to_string(golden.size));
    const Image image = test::noise_image(golden.size, golden.channels, golden.seed);
    CHECK(crc_of_run(golden, image, DType::uint8, Layout::nhwc) == golden.crc);
  }
}

TEST_CASE("golden: floats are those of torch, bit for bit") {
  const std::vector<Golden> all = goldens("float32");
  CHECK(all.size() == 4);
  for (const Golden& golden : all) {
    CAPTURE(golden.pipeline);
    CHECK(crc_of_run(golden, ramp_image(), DType::float32, Layout::nchw) == golden.crc);
  }
}

}  // namespace
}  // namespace muster
