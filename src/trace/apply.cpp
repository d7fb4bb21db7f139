// What each layer makes of its inputs' dimensions.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <type_traits>

#include <fmt/format.h>

#include "trace/network.hpp"

namespace muster {
namespace {

/// So that no formula overflows.
constexpr std::int64_t max_dimension = std::numeric_limits<std::int32_t>::max();

Fault fault_of(Fault::Kind kind, std::int64_t axis, std::int64_t expected, std::int64_t received) {
  return {.kind = kind, .axis = axis, .expected = expected, .received = received};
}

Fault wrong_parameters(std::string message) { return {.kind = Fault::Kind::parameters, .message = std::move(message)}; }

Applied one(Dims dims) { return {.out = {{.dims = std::move(dims)}}}; }
Applied unknown() { return {.out = {Value{}}}; }
Applied failed(Fault fault, std::optional<Dims> out = {}) {
  return {.out = {{.dims = std::move(out)}}, .fault = std::move(fault)};
}

Applied wrong_rank(std::string taken, std::int64_t expected, const Dims& in, std::size_t input = 0) {
  Fault fault = fault_of(Fault::Kind::rank, -1, expected, static_cast<std::int64_t>(in.size()));
  fault.message = std::move(taken);
  fault.input = input;
  return failed(std::move(fault));
}

Applied no_image(const Dims& in) { return wrong_rank("images {n, channels, height, width}", 4, in); }

Fault wrong_shape(std::string taken) { return {.kind = Fault::Kind::shape, .message = std::move(taken)}; }

Fault wrong_join(std::size_t input, std::size_t axis, std::size_t rank, std::int64_t expected, std::int64_t received) {
  return {.kind = Fault::Kind::join,
          .axis = static_cast<std::int64_t>(axis),
          .expected = expected,
          .received = received,
          .input = input,
          .rank = rank};
}

bool within(std::int64_t value, std::int64_t least) { return value >= least && value <= max_dimension; }

std::optional<Fault> check_window(const Window& window, bool as_pytorch, bool pooling) {
  if (!within(window.kernel, 1))
    return wrong_parameters(fmt::format("kernel_size is {}: at least 1 is needed", window.kernel));
  if (!within(window.stride, 1))
    return wrong_parameters(fmt::format("stride is {}: at least 1 is needed", window.stride));
  if (!within(window.dilation, 1)) {
    return wrong_parameters(fmt::format("dilation is {}: at least 1 is needed", window.dilation));
  }
  if (!within(window.before, 0) || !within(window.after, 0)) {
    return wrong_parameters(fmt::format("padding is {}: at least 0 is needed", std::min(window.before, window.after)));
  }
  if (as_pytorch && pooling && std::max(window.before, window.after) > window.kernel / 2) {
    return wrong_parameters(fmt::format("padding is {}, which is more than half of the kernel_size {}",
                                        std::max(window.before, window.after), window.kernel));
  }
  if (window.transposed && !(within(window.output_padding, 0) &&
                             (!as_pytorch || window.output_padding < std::max(window.stride, window.dilation)))) {
    return wrong_parameters(
        fmt::format("output_padding is {}: it must be less than stride or dilation", window.output_padding));
  }
  return std::nullopt;
}

std::optional<Fault> check_channels(std::int64_t in_channels, std::int64_t out_channels, std::int64_t groups) {
  if (!within(in_channels, 1) || !within(out_channels, 1) || !within(groups, 1)) {
    return wrong_parameters(fmt::format("in_channels {}, out_channels {}, groups {}: at least 1 is needed", in_channels,
                                        out_channels, groups));
  }
  if (in_channels % groups != 0 || out_channels % groups != 0) {
    return wrong_parameters(fmt::format("in_channels {} and out_channels {} must be divisible by groups {}",
                                        in_channels, out_channels, groups));
  }
  return std::nullopt;
}

/// Slides the node's window over {n, c, h, w}; `channels` come out.
Applied slide_over(const Node& node, const Dims& in, std::int64_t channels, bool pooling) {
  Dims out = {in[0], channels, 0, 0};
  std::optional<Fault> fault;
  for (int axis = 0; axis < 2; ++axis) {
    const Window window = *window_of(node, axis);
    if (auto wrong = check_window(window, node.as_pytorch, pooling)) return failed(*wrong);
    const auto place = static_cast<std::size_t>(axis) + 2;
    if (in[place] > max_dimension) return failed(wrong_parameters("the image is too large to count its windows"));
    out[place] = slide(window, in[place]).out;
    if (out[place] >= 1 && out[place] <= max_dimension) continue;
    if (out[place] > max_dimension) return failed(wrong_parameters("what comes out is too large to count"));
    if (!fault) {
      const bool padded = window.rule == WindowPadding::Rule::sides;
      fault = fault_of(Fault::Kind::window, axis + 2, window.extent(),
                       in[place] + (padded && !window.transposed ? window.before + window.after : 0));
    }
    out[place] = 1;
  }
  return {.out = {{.dims = out}}, .fault = fault};
}

template <class Convolution>
Applied convolve(const Convolution& layer, const Node& node, const Dims& in) {
  if (auto wrong = check_channels(layer.in_channels, layer.out_channels, layer.groups)) return failed(*wrong);
  if (in.size() != 4) return no_image(in);
  Applied result = slide_over(node, in, layer.out_channels, false);
  if (in[1] != layer.in_channels && (!result.fault || result.fault->kind != Fault::Kind::parameters)) {
    result.fault = fault_of(Fault::Kind::channels, 1, layer.in_channels, in[1]);
  }
  return result;
}

Applied apply_to(const Conv2d& layer, const Node& node, const Dims& in, std::span<const Value>) {
  return convolve(layer, node, in);
}

Applied apply_to(const ConvTranspose2d& layer, const Node& node, const Dims& in, std::span<const Value>) {
  return convolve(layer, node, in);
}

Applied apply_to(const MaxPool2d&, const Node& node, const Dims& in, std::span<const Value>) {
  if (in.size() != 4) return no_image(in);
  return slide_over(node, in, in[1], true);
}

Applied apply_to(const AvgPool2d&, const Node& node, const Dims& in, std::span<const Value>) {
  if (in.size() != 4) return no_image(in);
  return slide_over(node, in, in[1], true);
}

Applied apply_to(const AdaptiveAvgPool2d& layer, const Node&, const Dims& in, std::span<const Value>) {
  if (in.size() != 4) return no_image(in);
  const Dims out = {in[0], in[1], layer.height.value_or(in[2]), layer.width.value_or(in[3])};
  if (!within(out[2], 1) || !within(out[3], 1)) return failed(wrong_parameters("output_size must be at least 1"));
  return one(out);
}

Applied apply_to(const GlobalAvgPool&, const Node&, const Dims& in, std::span<const Value>) {
  if (in.size() < 3) return no_image(in);
  Dims out(in.size(), 1);
  std::copy_n(in.begin(), 2, out.begin());
  return one(out);
}

Applied normalise(std::int64_t num_features, const Dims& in) {
  if (in[1] == num_features) return one(in);
  return failed(fault_of(Fault::Kind::channels, 1, num_features, in[1]), in);
}

Applied apply_to(const BatchNorm2d& layer, const Node& node, const Dims& in, std::span<const Value>) {
  const bool any_rank = !node.as_pytorch || layer.kind == "GroupNorm" || layer.kind == "PReLU";
  if (in.size() != 4 && (!any_rank || in.size() < 2)) return no_image(in);
  if (layer.num_groups < 1 || layer.num_features % layer.num_groups != 0) {
    return failed(wrong_parameters(
        fmt::format("num_channels {} must be divisible by num_groups {}", layer.num_features, layer.num_groups)));
  }
  return normalise(layer.num_features, in);
}

Applied apply_to(const BatchNorm1d& layer, const Node&, const Dims& in, std::span<const Value>) {
  if (in.size() != 2 && in.size() != 3) return wrong_rank("flat rows {n, features}", 2, in);
  return normalise(layer.num_features, in);
}

Applied apply_to(const LayerNorm& layer, const Node&, const Dims& in, std::span<const Value>) {
  const Dims& end = layer.normalized_shape;
  if (end.size() <= in.size() && std::equal(end.rbegin(), end.rend(), in.rbegin())) return one(in);
  return failed(wrong_shape(fmt::format("what ends in {}", describe(end))), in);
}

Applied apply_to(const Flatten& layer, const Node& node, const Dims& in, std::span<const Value>) {
  if (!node.as_pytorch && in.size() == 1) return one({in[0], 1});
  const auto rank = static_cast<std::int64_t>(in.size());
  const std::int64_t first = layer.start_dim < 0 ? layer.start_dim + rank : layer.start_dim;
  const std::int64_t last = layer.end_dim < 0 ? layer.end_dim + rank : layer.end_dim;
  if (first < 0 || last >= rank || first > last) {
    return failed(wrong_parameters(fmt::format("start_dim {} to end_dim {} are no dimensions of {}", layer.start_dim,
                                               layer.end_dim, describe(in))));
  }
  const std::optional<std::int64_t> merged =
      product(std::span(in).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(last - first + 1)));
  if (!merged) return failed(wrong_parameters("what comes out is too large to count"));
  Dims out(in.begin(), in.begin() + first);
  out.push_back(*merged);
  out.insert(out.end(), in.begin() + last + 1, in.end());
  return one(out);
}

Applied apply_to(const Linear& layer, const Node& node, const Dims& in, std::span<const Value>) {
  if (layer.in_features < 1 || layer.out_features < 1) {
    return failed(wrong_parameters(fmt::format("in_features {} and out_features {}: at least 1 is needed",
                                               layer.in_features, layer.out_features)));
  }
  if (in.empty() || (node.rows_only && in.size() != 2)) return wrong_rank("rows {n, features}", 2, in);
  Dims out = in;
  out.back() = layer.out_features;
  if (in.back() == layer.in_features) return one(out);
  return failed(fault_of(Fault::Kind::features, static_cast<std::int64_t>(in.size()) - 1, layer.in_features, in.back()),
                in.size() == 4 ? Dims{in[0], layer.out_features} : out);
}

/// A shape of which one dimension may be -1, and into which all elements must go.
Applied reshape(Dims out, const Dims& in) {
  const auto open = std::ranges::find(out, -1);
  if (std::ranges::any_of(out, [](std::int64_t dim) { return dim < -1; }) || std::ranges::count(out, -1) > 1) {
    return failed(
        wrong_parameters(fmt::format("{} is no shape: one dimension may be -1, no other negative", describe(out))));
  }
  const std::optional<std::int64_t> received = product(in);
  if (open != out.end()) *open = 1;
  const std::optional<std::int64_t> wanted = product(out);
  if (!received || !wanted) return failed(wrong_parameters("the elements are too many to count"));
  const bool fits = open == out.end() ? *wanted == *received : *wanted > 0 && *received % *wanted == 0;
  if (open != out.end()) *open = fits ? *received / *wanted : in.empty() ? 1 : in[0];
  if (fits) return one(out);
  return failed(fault_of(Fault::Kind::elements, -1, *wanted, *received), out);
}

Applied apply_to(const Reshape& layer, const Node&, const Dims& in, std::span<const Value>) {
  return reshape(layer.shape, in);
}

Applied apply_to(const ReshapeTo& layer, const Node&, const Dims& in, std::span<const Value> inputs) {
  if (inputs.size() < 2 || !inputs[1].content) return unknown();
  Dims out = *inputs[1].content;
  for (std::size_t axis = 0; axis < out.size() && !layer.allow_zero; ++axis) {
    if (out[axis] == 0 && axis >= in.size()) {
      return failed(wrong_parameters(
          fmt::format("the shape {} copies a dimension that {} has not", describe(*inputs[1].content), describe(in))));
    }
    if (out[axis] == 0) out[axis] = in[axis];
  }
  return reshape(std::move(out), in);
}

Applied apply_to(const ZeroPad2d& layer, const Node&, const Dims& in, std::span<const Value>) {
  if (in.size() != 4) return no_image(in);
  for (const std::int64_t side : {layer.top, layer.bottom, layer.left, layer.right}) {
    if (side < -max_dimension || side > max_dimension) return failed(wrong_parameters("the padding is too large"));
  }
  if (layer.kind == "ReflectionPad2d" &&
      (std::max(layer.top, layer.bottom) >= in[2] || std::max(layer.left, layer.right) >= in[3])) {
    return failed(wrong_shape("images larger than its padding"));
  }
  Dims out = {in[0], in[1], in[2] + layer.top + layer.bottom, in[3] + layer.left + layer.right};
  if (out[2] < 1 || out[3] < 1) return failed(wrong_parameters("the padding crops more than there is"));
  return one(out);
}

Applied apply_to(const Upsample& layer, const Node&, const Dims& in, std::span<const Value>) {
  if (in.size() != 4) return no_image(in);
  Dims out = in;
  for (std::size_t axis = 2; axis < 4; ++axis) {
    const double side = std::floor(static_cast<double>(in[axis]) * layer.scale_factor);
    if (!(side >= 1 && side <= static_cast<double>(max_dimension))) {
      return failed(
          wrong_parameters(fmt::format("scale_factor {} makes no image of {}", layer.scale_factor, describe(in))));
    }
    out[axis] = static_cast<std::int64_t>(side);
  }
  return one(out);
}

Applied apply_to(const Elementwise&, const Node& node, const Dims& in, std::span<const Value> inputs) {
  return {.out = {{.dims = in, .content = node.keeps_content ? inputs[0].content : std::nullopt}}};
}

/// Arithmetic on shapes: of equally long vectors, or of one number with each of a vector.
std::optional<Dims> compute(const std::string& kind, std::span<const Value> inputs) {
  if (inputs.size() != 2 || !inputs[0].content || !inputs[1].content) return std::nullopt;
  const Dims& a = *inputs[0].content;
  const Dims& b = *inputs[1].content;
  if (a.size() != b.size() && a.size() != 1 && b.size() != 1) return std::nullopt;
  Dims result;
  for (std::size_t i = 0; i < (a.size() == 1 ? b.size() : a.size()); ++i) {
    const std::int64_t x = a[a.size() == 1 ? 0 : i];
    const std::int64_t y = b[b.size() == 1 ? 0 : i];
    std::int64_t value = 0;
    if (kind == "Add"   ? __builtin_add_overflow(x, y, &value)
        : kind == "Sub" ? __builtin_sub_overflow(x, y, &value)
        : kind == "Mul" ? __builtin_mul_overflow(x, y, &value)
                        : kind != "Div" || y <= 0 || x < 0) {
      return std::nullopt;
    }
    result.push_back(kind == "Div" ? x / y : value);
  }
  return result;
}

Applied apply_to(const Broadcast& layer, const Node&, const Dims& in, std::span<const Value> inputs) {
  Dims out = in;
  std::optional<Fault> fault;
  for (std::size_t input = 1; input < inputs.size(); ++input) {
    if (!inputs[input].dims) return unknown();
    const Dims& dims = *inputs[input].dims;
    if (dims.size() > out.size()) out.insert(out.begin(), dims.size() - out.size(), 1);
    const std::size_t lead = out.size() - dims.size();
    for (std::size_t axis = 0; axis < dims.size(); ++axis) {
      std::int64_t& side = out[lead + axis];
      if (side != dims[axis] && side != 1 && dims[axis] != 1 && !fault) {
        fault = wrong_join(input, lead + axis, out.size(), side, dims[axis]);
      }
      if (side == 1) side = dims[axis];
    }
  }
  if (layer.into_first && out != in && !fault) {
    return failed(wrong_shape(fmt::format("what {} broadcasts to", describe(*inputs[1].dims))), in);
  }
  return {.out = {{.dims = out, .content = compute(layer.kind, inputs)}}, .fault = fault};
}

Applied apply_to(const Concat& layer, const Node&, const Dims& in, std::span<const Value> inputs) {
  const auto rank = static_cast<std::int64_t>(in.size());
  const std::int64_t axis = layer.axis < 0 ? layer.axis + rank : layer.axis;
  if (axis < 0 || axis >= rank) {
    return failed(wrong_parameters(fmt::format("axis {} is no dimension of {}", layer.axis, describe(in))));
  }
  Applied result = one(in);
  Dims content = inputs[0].content.value_or(Dims{});
  bool known = inputs[0].content.has_value();
  for (std::size_t input = 1; input < inputs.size(); ++input) {
    const Value& other = inputs[input];
    if (!other.dims) return unknown();
    if (static_cast<std::int64_t>(other.dims->size()) != rank) {
      return wrong_rank(fmt::format("as many dimensions as its first input has, {}", describe(in)), rank, *other.dims,
                        input);
    }
    for (std::int64_t place = 0; place < rank; ++place) {
      const auto i = static_cast<std::size_t>(place);
      std::int64_t& side = (*result.out[0].dims)[i];
      if (place == axis) {
        if (__builtin_add_overflow(side, (*other.dims)[i], &side)) {
          return failed(wrong_parameters("what comes out is too large to count"));
        }
      } else if (side != (*other.dims)[i] && !result.fault) {
        result.fault = wrong_join(input, i, in.size(), side, (*other.dims)[i]);
      }
    }
    known = known && other.content.has_value();
    if (known) content.insert(content.end(), other.content->begin(), other.content->end());
  }
  if (known && rank == 1) result.out[0].content = std::move(content);
  return result;
}

Applied apply_to(const Transpose& layer, const Node&, const Dims& in, std::span<const Value>) {
  std::vector<std::int64_t> sorted = layer.order;
  std::ranges::sort(sorted);
  Dims out;
  for (std::size_t axis = 0; axis < layer.order.size(); ++axis) {
    if (layer.order.size() != in.size() || sorted[axis] != static_cast<std::int64_t>(axis)) {
      return failed(wrong_parameters(
          fmt::format("the order {} is none of the dimensions of {}", describe(layer.order), describe(in))));
    }
    out.push_back(in[static_cast<std::size_t>(layer.order[axis])]);
  }
  return one(out);
}

Window make_window(const PerAxis& kernel, const PerAxis& stride, const PerAxis& dilation, const WindowPadding& padding,
                   int axis) {
  const bool along_height = axis == 0;
  return {.kernel = along_height ? kernel.height : kernel.width,
          .stride = along_height ? stride.height : stride.width,
          .dilation = along_height ? dilation.height : dilation.width,
          .before = along_height ? padding.top : padding.left,
          .after = along_height ? padding.bottom : padding.right,
          .rule = padding.rule};
}

}  // namespace

std::optional<Window> window_of(const Node& node, int axis) {
  if (const auto* conv = std::get_if<Conv2d>(&node.op)) {
    return make_window(conv->kernel_size, conv->stride, conv->dilation, conv->padding, axis);
  }
  if (const auto* conv = std::get_if<ConvTranspose2d>(&node.op)) {
    Window window = make_window(conv->kernel_size, conv->stride, conv->dilation, conv->padding, axis);
    window.transposed = true;
    window.output_padding = axis == 0 ? conv->output_padding.height : conv->output_padding.width;
    return window;
  }
  if (const auto* pool = std::get_if<MaxPool2d>(&node.op)) {
    Window window =
        make_window(pool->kernel_size, pool->stride.value_or(pool->kernel_size), pool->dilation, pool->padding, axis);
    window.ceil = pool->ceil_mode;
    return window;
  }
  if (const auto* pool = std::get_if<AvgPool2d>(&node.op)) {
    Window window = make_window(pool->kernel_size, pool->stride.value_or(pool->kernel_size), 1, pool->padding, axis);
    window.ceil = pool->ceil_mode;
    return window;
  }
  return std::nullopt;
}

Applied apply_node(const Node& node, std::span<const Value> inputs) {
  return std::visit(
      [&](const auto& op) -> Applied {
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(op)>, Foreign>) {
          return op.apply(inputs);
        } else {
          if (inputs.empty() || !inputs[0].dims) return unknown();
          return apply_to(op, node, *inputs[0].dims, inputs);
        }
      },
      node.op);
}

}  // namespace muster
