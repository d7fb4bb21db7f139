// Images with something to learn.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "made_images.hpp"

/// Discs in one of four colours on soft gradients, made when they are read.
class MadeDiscs : public muster::Source {
 public:
  MadeDiscs(std::uint64_t num_images, std::uint64_t seed) : num_images_(num_images), seed_(seed) {}

  std::uint64_t size() const override { return num_images_; }
  const std::vector<std::string>& classes() const override { return classes_; }

  void read(std::uint64_t id, muster::Sample& sample, std::stop_token) const override {
    static constexpr std::uint8_t colours[4][3] = {{220, 30, 30}, {30, 200, 30}, {40, 40, 230}, {220, 210, 30}};
    muster::Rng rng(seed_, 0, id, muster::Stream::synth);
    const muster::Size size{rng.uniform_int(40, 60), rng.uniform_int(40, 60)};
    muster::Image image = made_image(size, static_cast<int>(rng.uniform_int(0, 255)));
    const std::int64_t y0 = size.height / 2 + rng.uniform_int(-6, 6);
    const std::int64_t x0 = size.width / 2 + rng.uniform_int(-6, 6);
    const std::int64_t radius = rng.uniform_int(9, 16);
    sample.label = static_cast<std::int64_t>(id % classes_.size());
    for (std::int64_t y = 0; y < size.height; ++y) {
      for (std::int64_t x = 0; x < size.width; ++x) {
        if ((y - y0) * (y - y0) + (x - x0) * (x - x0) > radius * radius) continue;
        std::copy_n(colours[sample.label], 3, image.row(y) + 3 * x);
      }
    }
    sample.image = std::make_shared<muster::Image>(std::move(image));
  }

 private:
  std::uint64_t num_images_;
  std::uint64_t seed_;
  std::vector<std::string> classes_ = {"red", "green", "blue", "yellow"};
};
