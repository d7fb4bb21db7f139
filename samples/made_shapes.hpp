// A data set that has to be learned: coloured shapes somewhere on a muted background.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include <unistd.h>

#include <muster/muster.hpp>

/// Nine classes, "blue-disc" to "red-triangle": a third can be told by colour alone, a third by shape alone. Image
/// `number` of a class is of its own size, place, shade, background and noise.
inline muster::Image made_shape(std::size_t colour, std::size_t shape, std::uint64_t number) {
  constexpr std::array<std::array<int, 3>, 3> colours = {{{45, 60, 220}, {40, 200, 50}, {220, 45, 40}}};
  muster::Rng rng(7, 3 * colour + shape, number, muster::Stream::synth);
  const auto byte = [](double value) { return static_cast<std::uint8_t>(std::clamp(value, 0.0, 255.0)); };

  muster::Image image({rng.uniform_int(40, 72), rng.uniform_int(40, 72)}, 3);
  const double radius = rng.uniform(0.16, 0.3) * static_cast<double>(std::min(image.height(), image.width()));
  const double y0 = rng.uniform(radius, static_cast<double>(image.height()) - radius);
  const double x0 = rng.uniform(radius, static_cast<double>(image.width()) - radius);
  const auto inside = [&](double y, double x) {
    if (shape == 0) return y * y + x * x <= radius * radius;
    if (shape == 1) return std::max(std::abs(y), std::abs(x)) <= 0.85 * radius;
    return y <= 0.8 * radius && std::abs(x) <= 0.55 * (y + radius);
  };

  std::array<double, 3> paint{};
  std::array<double, 3> top{};
  std::array<double, 3> bottom{};
  const double light = rng.uniform(70, 180);
  for (std::size_t channel = 0; channel < 3; ++channel) {
    paint[channel] = colours[colour][channel] + rng.uniform(-25, 25);
    top[channel] = light + rng.uniform(-40, 40);
    bottom[channel] = light + rng.uniform(-40, 40);
  }
  for (std::int64_t y = 0; y < image.height(); ++y) {
    const double down = static_cast<double>(y) / static_cast<double>(image.height());
    for (std::int64_t x = 0; x < image.width(); ++x) {
      const bool is_shape = inside(static_cast<double>(y) - y0, static_cast<double>(x) - x0);
      for (std::size_t channel = 0; channel < 3; ++channel) {
        const double ground = top[channel] + down * (bottom[channel] - top[channel]);
        const double value = (is_shape ? paint[channel] : ground) + rng.uniform(-15, 15);
        image.row(y)[3 * x + static_cast<std::int64_t>(channel)] = byte(value);
      }
    }
  }
  return image;
}

/// PNG files in train/CLASS/ and val/CLASS/, in a folder that vanishes with this object.
class MadeShapes {
 public:
  MadeShapes(std::uint64_t num_train, std::uint64_t num_val) {  // images of each class
    path_ = std::filesystem::temp_directory_path() / ("muster-shapes-" + std::to_string(getpid()));
    constexpr std::array colours = {"blue", "green", "red"};
    constexpr std::array shapes = {"disc", "square", "triangle"};
    for (std::size_t colour = 0; colour < colours.size(); ++colour) {
      for (std::size_t shape = 0; shape < shapes.size(); ++shape) {
        const std::string name = std::string(colours[colour]) + "-" + shapes[shape];
        for (const char* part : {"train", "val"}) std::filesystem::create_directories(path_ / part / name);
        for (std::uint64_t i = 0; i < num_train + num_val; ++i) {
          muster::write_png(path_ / (i < num_train ? "train" : "val") / name / (std::to_string(100'000 + i) + ".png"),
                            made_shape(colour, shape, i).view());
        }
      }
    }
  }
  MadeShapes(const MadeShapes&) = delete;
  MadeShapes& operator=(const MadeShapes&) = delete;
  ~MadeShapes() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};
