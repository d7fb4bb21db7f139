#include "interop/onnx_asked.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "interop/onnx_headers.hpp"

namespace muster {
namespace {

const std::set<std::string_view>& asked_operators() {
  static const std::set<std::string_view> names = {
      // one element of each, or of two broadcast
      "Abs", "Acos", "Acosh", "Add", "And", "Asin", "Asinh", "Atan", "Atanh", "BitShift", "Cast", "CastLike", "Ceil",
      "Celu", "Clip", "Cos", "Cosh", "Div", "Dropout", "Elu", "Equal", "Erf", "Exp", "Floor", "Greater",
      "GreaterOrEqual", "HardSigmoid", "HardSwish", "Hardmax", "Identity", "IsInf", "IsNaN", "LRN", "LeakyRelu", "Less",
      "LessOrEqual", "Log", "LogSoftmax", "LpNormalization", "Max", "Mean", "MeanVarianceNormalization", "Min", "Mod",
      "Mul", "Neg", "Not", "Or", "PRelu", "Pow", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign",
      "Sin", "Sinh", "Softmax", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Tan", "Tanh", "ThresholdedRelu", "Where",
      "Xor",
      // what selects, moves and joins
      "ArgMax", "ArgMin", "Compress", "Concat", "Constant", "ConstantOfShape", "CumSum", "DepthToSpace", "Expand",
      "EyeLike", "Flatten", "Gather", "GatherElements", "GatherND", "GridSample", "NonMaxSuppression", "NonZero",
      "OneHot", "Pad", "Range", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
      "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Resize", "ReverseSequence", "ScatterElements",
      "ScatterND", "Shape", "Size", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "TopK", "Transpose", "Trilu",
      "Unsqueeze", "Upsample",
      // what has weights or windows
      "AveragePool", "BatchNormalization", "Conv", "ConvInteger", "ConvTranspose", "DequantizeLinear",
      "DynamicQuantizeLinear", "Einsum", "GRU", "Gemm", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool",
      "InstanceNormalization", "LSTM", "LayerNormalization", "LpPool", "MatMul", "MatMulInteger", "MaxPool",
      "MaxRoiPool", "MaxUnpool", "QLinearConv", "QLinearMatMul", "QuantizeLinear", "RNN", "RandomNormal",
      "RandomUniform", "RoiAlign"};
  return names;
}

using Rank = std::optional<std::size_t>;

Rank rank_of(std::span<const Value> inputs, std::size_t input) {
  if (input >= inputs.size() || !inputs[input].dims) return std::nullopt;
  return inputs[input].dims->size();
}

std::string expect_rank(std::span<const Value> inputs, std::size_t input, std::size_t expected) {
  const Rank rank = rank_of(inputs, input);
  if (!rank || *rank == expected) return {};
  return fmt::format("input {} has {} dimensions, expected {}", input + 1, *rank, expected);
}

/// Of what slides a window: `weights` is the input that has as many dimensions as the first one.
std::string window_misfit(const Attributes& attributes, std::span<const Value> inputs, std::size_t weights) {
  for (const char* name : {"kernel_shape", "strides", "dilations"}) {
    const std::optional<Dims> numbers = attributes.numbers(name);
    if (numbers && std::ranges::any_of(*numbers, [](std::int64_t number) { return number < 1; })) {
      return fmt::format("expected {} of at least 1, received [{}]", name, fmt::join(*numbers, ", "));
    }
  }
  const Rank rank = rank_of(inputs, 0);
  const Rank other = rank_of(inputs, weights);
  if (rank && other && *rank != *other) {
    return fmt::format("input 1 has {} dimensions and input {} has {}", *rank, weights + 1, *other);
  }
  const std::optional<Dims> sizes = attributes.numbers("output_shape");
  if (rank && sizes && sizes->size() + 2 != *rank) {
    return fmt::format("input 1 has {} dimensions and output_shape has {} sizes", *rank, sizes->size());
  }
  return {};
}

/// An attribute of which libonnx makes the number of a dimension.
std::string range_misfit(const Attributes& attributes, const std::string& name, std::int64_t fallback,
                         std::int64_t lowest, std::int64_t highest) {
  const std::int64_t number = attributes.number(name, fallback);
  if (number >= lowest && number <= highest) return {};
  return fmt::format("expected {} of {} to {}, received {}", name, lowest, highest, number);
}

}  // namespace

bool is_asked_about(const onnx::NodeProto& node) {
  const auto holds_graph = [](const onnx::AttributeProto& attribute) {
    return attribute.has_g() || attribute.graphs_size() > 0 || attribute.has_ref_attr_name();
  };
  return node.domain().empty() && asked_operators().contains(node.op_type()) &&
         std::ranges::none_of(node.attribute(), holds_graph);
}

std::string misfit(const onnx::NodeProto& node, std::span<const Value> inputs) {
  const Attributes attributes(node);
  const std::string& op = node.op_type();
  const Rank rank = rank_of(inputs, 0);
  const std::int64_t num_dims = rank ? static_cast<std::int64_t>(*rank) : 0;
  if (op == "Conv" || op == "ConvInteger" || op == "ConvTranspose" || op == "MaxUnpool") {
    return window_misfit(attributes, inputs, 1);
  }
  if (op == "QLinearConv") return window_misfit(attributes, inputs, 3);
  if (op == "MaxPool" || op == "AveragePool" || op == "LpPool") return window_misfit(attributes, inputs, 0);
  if (op == "Gemm") {
    const std::string first = expect_rank(inputs, 0, 2);
    return first.empty() ? expect_rank(inputs, 1, 2) : first;
  }
  if (op == "LSTM" || op == "GRU" || op == "RNN") return expect_rank(inputs, 0, 3);
  if (op == "DepthToSpace" || op == "SpaceToDepth") return range_misfit(attributes, "blocksize", 0, 1, 1 << 20);
  if (op == "LayerNormalization" && rank) return range_misfit(attributes, "axis", -1, -num_dims, num_dims - 1);
  if (op == "GatherND" && rank) {
    const Rank indices = rank_of(inputs, 1);
    const std::int64_t least = indices ? std::min(num_dims, static_cast<std::int64_t>(*indices)) : num_dims;
    return range_misfit(attributes, "batch_dims", 0, 0, least - 1);
  }
  return {};
}

}  // namespace muster
