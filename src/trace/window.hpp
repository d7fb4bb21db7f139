// Windows: on how many places a kernel comes to lie, along one axis.
#pragma once

#include <cstdint>

#include "muster/trace.hpp"

namespace muster {

/// Of a convolution or pooling layer, along the height or the width.
struct Window {
  std::int64_t kernel = 1;
  std::int64_t stride = 1;
  std::int64_t dilation = 1;
  std::int64_t before = 0;
  std::int64_t after = 0;
  WindowPadding::Rule rule = WindowPadding::Rule::sides;
  bool ceil = false;
  bool transposed = false;
  std::int64_t output_padding = 0;

  std::int64_t extent() const { return dilation * (kernel - 1) + 1; }
};

/// The rows or columns that come out, and what the last step leaves over.
struct Slid {
  std::int64_t out = 0;        // 0: the window is larger than the input
  std::int64_t left_over = 0;  // rows at the end that no window covers
};
Slid slide(const Window& window, std::int64_t in);

}  // namespace muster
