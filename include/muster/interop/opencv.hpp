// OpenCV: a batch's images as the 4-D blob that cv::dnn takes, without a copy. Needs the headers of OpenCV's core.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <string>

#include <opencv2/core.hpp>

#include "muster/tensor.hpp"

namespace muster {

/// The tensor's four dimensions ({n, channels, height, width}, as cv::dnn wants them, for Layout::nchw) over the same
/// memory: CV_8U, CV_16F or CV_32F with one channel. It owns nothing and, like any cv::Mat over foreign memory, keeps
/// nothing alive: it may be used as long as `tensor` lives and stays where it is, so let go of it, and of whatever
/// holds it (Net::setInput copies), before the batch. Throws ConfigError for bfloat16 and int64, which cv::Mat does not
/// have, and ShapeError for anything but four dimensions.
inline cv::Mat blob_view(Tensor& tensor) {
  const Shape& shape = tensor.shape();
  const auto fits = [](std::int64_t dimension) { return dimension <= std::numeric_limits<int>::max(); };
  if (shape.rank() != 4 || !std::all_of(shape.begin(), shape.end(), fits)) {
    throw ShapeError("blob_view", "expected four dimensions of at most 2147483647, received " + shape.to_string());
  }
  int depth = CV_32F;
  switch (tensor.dtype()) {
    case DType::uint8:
      depth = CV_8U;
      break;
    case DType::float16:
      depth = CV_16F;
      break;
    case DType::float32:
      break;
    case DType::bfloat16:
    case DType::int64:
      throw ConfigError("blob_view", "expected uint8, float16 or float32, received " +
                                         std::string(name(tensor.dtype())) +
                                         ", which cv::Mat does not have; set LoaderOptions::dtype");
  }
  std::array<int, 4> sizes{};
  std::transform(shape.begin(), shape.end(), sizes.begin(), [](std::int64_t size) { return static_cast<int>(size); });
  return {static_cast<int>(sizes.size()), sizes.data(), depth, tensor.data()};
}

/// Nobody would own its memory.
cv::Mat blob_view(Tensor&& tensor) = delete;

}  // namespace muster
