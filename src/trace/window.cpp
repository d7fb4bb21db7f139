#include "trace/window.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace muster {

WindowPadding::WindowPadding(std::string_view name) {
  if (name != "same" && name != "valid") {
    throw ConfigError("padding", fmt::format("expected a number, 'same' or 'valid', received '{}'", name));
  }
  rule = name == "same" ? Rule::same_upper : Rule::valid;
}

Slid slide(const Window& window, std::int64_t in) {
  using Rule = WindowPadding::Rule;
  const bool same = window.rule == Rule::same_upper || window.rule == Rule::same_lower;
  const std::int64_t before = window.rule == Rule::sides ? window.before : 0;
  const std::int64_t after = window.rule == Rule::sides ? window.after : 0;
  if (window.transposed) {
    const std::int64_t out =
        same ? in * window.stride : (in - 1) * window.stride - before - after + window.extent() + window.output_padding;
    return {std::max<std::int64_t>(out, 0), 0};
  }
  if (same) return {(in + window.stride - 1) / window.stride, 0};
  const std::int64_t steps = in + before + after - window.extent();
  if (window.ceil) {
    // A window may hang over the end by less than a stride, also the first, but not start in the padding after the
    // image.
    if (steps + window.stride - 1 < 0) return {0, 0};
    const std::int64_t out = (steps + window.stride - 1) / window.stride + 1;
    return {steps % window.stride == 0 || (out - 1) * window.stride < in + before ? out : out - 1, 0};
  }
  if (steps < 0) return {0, 0};
  return {steps / window.stride + 1, steps % window.stride};
}

}  // namespace muster
