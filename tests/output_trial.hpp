// What tests of the program's outputs begin with.
#pragma once

#include <cstdint>
#include <filesystem>

#include <fmt/format.h>

#include "jpeg.hpp"
#include "support.hpp"

namespace muster::test {

/// Eight images, a file that is none, a pipeline, and a folder to write to.
struct OutputTrial {
  explicit OutputTrial(const std::filesystem::path& root)
      : folder(root / "data"), pipeline(root / "pipeline.json"), out(root / "out") {
    for (std::uint32_t i = 0; i < 8; ++i) {
      write_file(folder / "a" / fmt::format("{}.jpg", i), write_jpeg(noise_image({40, 50}, 3, i + 1), {}));
    }
    write_file(folder / "a" / "8.jpg", "no image");
    write_file(pipeline, R"({"stages":[{"RandomResizedCrop":{"size":[8,8]}}]})");
    std::filesystem::create_directory(out);
  }

  std::filesystem::path folder, pipeline, out;
};

}  // namespace muster::test
