#include "muster/spec.hpp"

#include <fmt/format.h>

#include <string_view>

namespace muster {
namespace {

constexpr std::string_view open_dimension_advice = "use muster::any for a dimension that the model leaves open";

bool differs(const std::optional<std::int64_t>& expected, std::int64_t received) {
  return expected && *expected != received;
}

Mismatch mismatch(std::string dimension, std::int64_t expected, std::int64_t received, std::string advice) {
  return {std::move(dimension), std::to_string(expected), std::to_string(received),
          expected < 1 ? std::string(open_dimension_advice) : std::move(advice)};
}

void compare_rows(const InputSpec& expected, const BatchSpec& received, std::vector<Mismatch>& mismatches) {
  if (differs(expected.batch_size, received.batch_size)) {
    mismatches.push_back(
        mismatch("batch size", *expected.batch_size, received.batch_size,
                 fmt::format("set LoaderOptions::batch_size to {}, or give the model a dynamic batch dimension",
                             *expected.batch_size)));
  }
  if (received.last_batch_size != received.batch_size && differs(expected.batch_size, received.last_batch_size)) {
    mismatches.push_back(
        mismatch("last batch", *expected.batch_size, received.last_batch_size,
                 "set LoaderOptions::last_batch to LastBatch::drop, pad or wrap, or give the model a dynamic batch "
                 "dimension"));
  }
}

std::string_view layout_advice(Layout wanted) {
  return wanted == Layout::nhwc ? "set LoaderOptions::layout to Layout::nhwc"
                                : "set LoaderOptions::layout to Layout::nchw";
}

/// True if the sizes do not fit as channels, height, width, but would as height, width, channels: somebody wrote
/// down the shape of an NHWC tensor.
bool written_as_nhwc(const InputSpec& expected, const BatchSpec& received) {
  const bool fits =
      expected.channels == received.channels && expected.height == received.height && expected.width == received.width;
  return !fits && expected.channels == received.height && expected.height == received.width &&
         expected.width == received.channels;
}

void compare_layout(const InputSpec& expected, const BatchSpec& received, std::vector<Mismatch>& mismatches) {
  if (written_as_nhwc(expected, received)) {
    const std::string spec_advice =
        fmt::format("write the InputSpec as channels {}, height {}, width {}, which is its order in every layout",
                    received.channels, received.height, received.width);
    mismatches.push_back({"layout",
                          fmt::format("sizes {}, {}, {}, which are those of nhwc", *expected.channels, *expected.height,
                                      *expected.width),
                          fmt::format("{} {}", name(received.layout), received.shape().to_string()),
                          received.layout == Layout::nhwc
                              ? spec_advice
                              : fmt::format("{}, and {}", layout_advice(Layout::nhwc), spec_advice)});
  } else if (expected.layout && *expected.layout != received.layout) {
    mismatches.push_back({"layout", std::string(name(*expected.layout)), std::string(name(received.layout)),
                          std::string(layout_advice(*expected.layout))});
  }
}

std::string channels_advice(std::int64_t wanted) {
  if (wanted == 1) return "set DecodeOptions::color of the pipeline to Color::grey";
  if (wanted == 3) return "set DecodeOptions::color of the pipeline to Color::rgb";
  return "images have 1 or 3 channels: change the model's first layer";
}

std::string size_advice(const InputSpec& expected, const BatchSpec& received) {
  const std::int64_t height = expected.height.value_or(received.height);
  const std::int64_t width = expected.width.value_or(received.width);
  std::string advice = fmt::format(
      "let the pipeline end in {0} x {1}: CenterCrop, RandomResizedCrop or Resize with size {{{0}, {1}}}, or LetterBox",
      height, width);
  if (height == received.width && width == received.height) advice += "; are height and width exchanged?";
  return advice;
}

void compare_sizes(const InputSpec& expected, const BatchSpec& received, std::vector<Mismatch>& mismatches) {
  if (written_as_nhwc(expected, received)) return;  // told by compare_layout
  if (differs(expected.channels, received.channels)) {
    mismatches.push_back(
        mismatch("channels", *expected.channels, received.channels, channels_advice(*expected.channels)));
  }
  if (differs(expected.height, received.height)) {
    mismatches.push_back(mismatch("height", *expected.height, received.height, size_advice(expected, received)));
  }
  if (differs(expected.width, received.width)) {
    mismatches.push_back(mismatch("width", *expected.width, received.width, size_advice(expected, received)));
  }
}

void compare_dtype(const InputSpec& expected, const BatchSpec& received, std::vector<Mismatch>& mismatches) {
  if (!expected.dtype || *expected.dtype == received.dtype) return;
  std::string advice = fmt::format("set LoaderOptions::dtype to DType::{}", name(*expected.dtype));
  if (*expected.dtype == DType::int64) {
    advice = "images are never int64: convert in the model";
  } else if (*expected.dtype == DType::uint8) {
    advice += " (the pixels before Normalize or ToFloat)";
  } else if (received.dtype == DType::uint8) {
    advice += ", and end the pipeline with Normalize or ToFloat unless the model takes 0 ... 255";
  }
  mismatches.push_back({"dtype", std::string(name(*expected.dtype)), std::string(name(received.dtype)), advice});
}

}  // namespace

Shape BatchSpec::shape(std::int64_t num_rows) const {
  return layout == Layout::nchw ? Shape{num_rows, channels, height, width} : Shape{num_rows, height, width, channels};
}

std::vector<Mismatch> compare(const InputSpec& expected, const BatchSpec& received) {
  std::vector<Mismatch> mismatches;
  compare_rows(expected, received, mismatches);
  compare_layout(expected, received, mismatches);
  compare_sizes(expected, received, mismatches);
  compare_dtype(expected, received, mismatches);
  return mismatches;
}

void require(const InputSpec& expected, const BatchSpec& received) {
  const std::vector<Mismatch> mismatches = compare(expected, received);
  if (mismatches.empty()) return;
  std::string message = fmt::format("the batches, {} of {} {}, do not fit the model:", received.shape().to_string(),
                                    name(received.layout), name(received.dtype));
  for (const auto& [dimension, wanted, got, advice] : mismatches) {
    message += fmt::format("\n  {}: expected {}, received {}; {}", dimension, wanted, got, advice);
  }
  throw ShapeError("require", message);
}

}  // namespace muster
