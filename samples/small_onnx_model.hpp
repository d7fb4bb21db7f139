// A model small enough to be computed by hand, as an ONNX file.
//
//   convolution ─► relu ─► max pool 2 × 2 ─► mean over the image ─► linear
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <muster/muster.hpp>

/// A message in protobuf's encoding, field by field: what ONNX files are made of.
class ProtoMessage {
 public:
  ProtoMessage& number(std::uint32_t field, std::uint64_t value) {
    varint(field << 3);
    varint(value);
    return *this;
  }
  ProtoMessage& text(std::uint32_t field, std::string_view bytes) {
    varint(field << 3 | 2);
    varint(bytes.size());
    bytes_ += bytes;
    return *this;
  }
  ProtoMessage& message(std::uint32_t field, const ProtoMessage& inner) { return text(field, inner.bytes_); }

  const std::string& bytes() const { return bytes_; }

 private:
  void varint(std::uint64_t value) {
    for (; value >= 128; value >>= 7) bytes_ += static_cast<char>(value % 128 + 128);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

/// Images are float32 {n, channels, height, width}; the convolution pads with zeros so that their size stays.
struct SmallModel {
  std::int64_t channels = 3;
  std::int64_t num_filters = 1;
  std::int64_t kernel_height = 3;  // odd
  std::int64_t kernel_width = 3;   // odd
  std::int64_t num_classes = 1;
  std::vector<float> filters = {};        // {num_filters, channels, kernel_height, kernel_width}
  std::vector<float> filter_biases = {};  // {num_filters}
  std::vector<float> linear = {};         // {num_classes, num_filters}
  std::vector<float> linear_biases = {};  // {num_classes}

  /// What the model says of one image {channels, height, width}, computed plainly.
  std::vector<double> scores(std::span<const float> image, muster::Size size) const {
    std::vector<double> result(linear_biases.begin(), linear_biases.end());
    for (std::int64_t filter = 0; filter < num_filters; ++filter) {
      double sum = 0;
      for (std::int64_t y = 0; y < size.height / 2; ++y) {
        for (std::int64_t x = 0; x < size.width / 2; ++x) {
          double most = 0;  // relu: nothing below it counts
          for (const std::int64_t dy : {0, 1}) {
            for (const std::int64_t dx : {0, 1}) {
              most = std::max(most, convolved(image, size, filter, 2 * y + dy, 2 * x + dx));
            }
          }
          sum += most;
        }
      }
      const double mean = sum / static_cast<double>((size.height / 2) * (size.width / 2));
      for (std::int64_t k = 0; k < num_classes; ++k) result[at(k)] += linear[at(k * num_filters + filter)] * mean;
    }
    return result;
  }

  /// Writes the model for batches of `num_rows` images.
  void write(const std::filesystem::path& path, std::int64_t num_rows, muster::Size size) const {
    const std::vector<std::int64_t> pads = {kernel_height / 2, kernel_width / 2, kernel_height / 2, kernel_width / 2};
    ProtoMessage graph;
    graph.message(1, node("Conv", {"images", "filters", "filter_biases"}, "convolved")
                         .message(5, integers("kernel_shape", {kernel_height, kernel_width}))
                         .message(5, integers("pads", pads)));
    graph.message(1, node("Relu", {"convolved"}, "lit"));
    graph.message(1, node("MaxPool", {"lit"}, "pooled")
                         .message(5, integers("kernel_shape", {2, 2}))
                         .message(5, integers("strides", {2, 2})));
    graph.message(1, node("GlobalAveragePool", {"pooled"}, "means"));
    graph.message(1, node("Flatten", {"means"}, "features"));
    graph.message(1, node("Gemm", {"features", "linear", "linear_biases"}, "scores")
                         .message(5, ProtoMessage().text(1, "transB").number(3, 1).number(20, 2)));
    graph.text(2, "small");
    graph.message(5, tensor("filters", {num_filters, channels, kernel_height, kernel_width}, filters));
    graph.message(5, tensor("filter_biases", {num_filters}, filter_biases));
    graph.message(5, tensor("linear", {num_classes, num_filters}, linear));
    graph.message(5, tensor("linear_biases", {num_classes}, linear_biases));
    graph.message(11, value("images", {num_rows, channels, size.height, size.width}));
    graph.message(12, value("scores", {num_rows, num_classes}));

    ProtoMessage model;
    model.number(1, 7);                                                // version of the format
    model.message(7, graph).message(8, ProtoMessage().number(2, 13));  // version of the operators
    std::ofstream file(path, std::ios::binary);
    file << model.bytes();
    file.close();
    if (!file) throw std::runtime_error("cannot write " + path.string());
  }

 private:
  static std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

  double convolved(std::span<const float> image, muster::Size size, std::int64_t filter, std::int64_t y,
                   std::int64_t x) const {
    double sum = filter_biases[at(filter)];
    for (std::int64_t channel = 0; channel < channels; ++channel) {
      for (std::int64_t i = 0; i < kernel_height; ++i) {
        for (std::int64_t j = 0; j < kernel_width; ++j) {
          const std::int64_t image_y = y + i - kernel_height / 2;
          const std::int64_t image_x = x + j - kernel_width / 2;
          if (image_y < 0 || image_y >= size.height || image_x < 0 || image_x >= size.width) continue;
          const float weight = filters[at(((filter * channels + channel) * kernel_height + i) * kernel_width + j)];
          sum += static_cast<double>(weight) *
                 static_cast<double>(image[at((channel * size.height + image_y) * size.width + image_x)]);
        }
      }
    }
    return sum;
  }

  // The messages of onnx.proto that are needed, by the numbers of their fields.

  static ProtoMessage node(std::string_view operation, std::initializer_list<std::string_view> inputs,
                           std::string_view output) {
    ProtoMessage node;
    for (const std::string_view input : inputs) node.text(1, input);
    return node.text(2, output).text(4, operation);
  }

  static ProtoMessage integers(std::string_view name, const std::vector<std::int64_t>& values) {
    ProtoMessage attribute;
    attribute.text(1, name);
    for (const std::int64_t value : values) attribute.number(8, static_cast<std::uint64_t>(value));
    return attribute.number(20, 7);
  }

  static ProtoMessage tensor(std::string_view name, std::initializer_list<std::int64_t> dimensions,
                             const std::vector<float>& values) {
    static_assert(std::endian::native == std::endian::little, "raw data is little-endian");
    ProtoMessage tensor;
    for (const std::int64_t dimension : dimensions) tensor.number(1, static_cast<std::uint64_t>(dimension));
    tensor.number(2, 1).text(8, name);  // 1: float32
    return tensor.text(9, {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
  }

  static ProtoMessage value(std::string_view name, std::initializer_list<std::int64_t> dimensions) {
    ProtoMessage shape;
    for (const std::int64_t dimension : dimensions) {
      shape.message(1, ProtoMessage().number(1, static_cast<std::uint64_t>(dimension)));
    }
    return ProtoMessage().text(1, name).message(
        2, ProtoMessage().message(1, ProtoMessage().number(1, 1).message(2, shape)));
  }
};
