// A small image folder to try things on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <system_error>

#include <unistd.h>

#include <muster/muster.hpp>

/// A soft gradient in a colour of its own for every `hue`.
inline muster::Image made_image(muster::Size size, int hue) {
  muster::Image image(size, 3);
  for (std::int64_t y = 0; y < size.height; ++y) {
    for (std::int64_t x = 0; x < size.width; ++x) {
      std::uint8_t* pixel = image.row(y) + 3 * x;
      pixel[0] = static_cast<std::uint8_t>(255 * x / size.width);
      pixel[1] = static_cast<std::uint8_t>(255 * y / size.height);
      pixel[2] = static_cast<std::uint8_t>(37 * hue % 256);
    }
  }
  return image;
}

/// Two classes of PNG files in many sizes, in a folder that vanishes with this object.
class MadeFolder {
 public:
  explicit MadeFolder(int num_images) {
    path_ = std::filesystem::temp_directory_path() / ("muster-sample-" + std::to_string(getpid()));
    for (int i = 0; i < num_images; ++i) {
      const std::filesystem::path folder = path_ / (i % 2 == 0 ? "cat" : "dog");
      std::filesystem::create_directories(folder);
      muster::write_png(folder / (std::to_string(1000 + i) + ".png"),
                        made_image({180 + 7 * i % 90, 160 + 11 * i % 120}, i).view());
    }
  }
  MadeFolder(const MadeFolder&) = delete;
  MadeFolder& operator=(const MadeFolder&) = delete;
  ~MadeFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};
