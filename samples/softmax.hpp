// A model small enough to be written out: softmax regression on the mean colours of an image's parts.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include <muster/muster.hpp>

/// Mean colours in 4 × 4 cells, and 1 for the bias.
constexpr std::size_t num_features = 3 * 4 * 4 + 1;
struct Example {
  std::array<double, num_features> features{};
  std::size_t label = 0;
};

/// The rows of a batch (float32 {n, 3, height, width}) that count: fillers and masked rows end here.
inline std::vector<Example> examples_of(const muster::Batch& batch) {
  const auto height = static_cast<std::size_t>(batch.images.shape()[2]);
  const auto width = static_cast<std::size_t>(batch.images.shape()[3]);
  const std::size_t num_pixels = height * width;
  std::vector<Example> examples;
  for (std::size_t i = 0; i < batch.ids.size(); ++i) {
    if (batch.valid.as<const std::uint8_t>()[i] == 0) continue;
    Example& example = examples.emplace_back();
    example.label = static_cast<std::size_t>(batch.labels.as<const std::int64_t>()[i]);
    const auto image = batch.images.as<const float>().subspan(i * 3 * num_pixels, 3 * num_pixels);
    for (std::size_t k = 0; k < image.size(); ++k) {
      const std::size_t channel = k / num_pixels;
      const std::size_t y = 4 * (k % num_pixels / width) / height;
      const std::size_t x = 4 * (k % width) / width;
      example.features[(channel * 4 + y) * 4 + x] +=
          16.0 * static_cast<double>(image[k]) / static_cast<double>(num_pixels);
    }
    example.features.back() = 1;
  }
  return examples;
}

struct Softmax {
  explicit Softmax(std::size_t num_classes) : weights(num_classes * num_features) {}

  std::vector<double> weights;  // {num_classes, num_features}

  std::vector<double> probabilities(const Example& example) const {
    std::vector<double> result(weights.size() / num_features);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      result[i / num_features] += weights[i] * example.features[i % num_features];
    }
    const double most = std::ranges::max(result);
    for (double& value : result) value = std::exp(value - most);
    const double sum = std::accumulate(result.begin(), result.end(), 0.0);
    for (double& value : result) value /= sum;
    return result;
  }

  bool is_right(const Example& example) const {
    const std::vector<double> likely = probabilities(example);
    return std::ranges::max_element(likely) - likely.begin() == static_cast<std::ptrdiff_t>(example.label);
  }

  /// Adds the gradient of the example's loss to `gradient`, which has the shape of `weights`; returns the loss.
  double add_gradient(const Example& example, double* gradient) const {
    std::vector<double> slope = probabilities(example);
    const double loss = -std::log(slope[example.label]);
    slope[example.label] -= 1;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      gradient[i] += slope[i / num_features] * example.features[i % num_features];
    }
    return loss;
  }
};
