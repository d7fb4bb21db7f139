#include "trace/network.hpp"

#include <algorithm>
#include <type_traits>

#include <fmt/format.h>

namespace muster {
namespace {

std::string describe(const PerAxis& value) {
  return value.height == value.width ? fmt::format("{}", value.height)
                                     : fmt::format("({}, {})", value.height, value.width);
}

/// What differs from its default, as PyTorch writes it.
class Arguments {
 public:
  explicit Arguments(std::string positional) : text_(std::move(positional)) {}
  void add(std::string_view name, const PerAxis& value, const PerAxis& unless) {
    if (value != unless) add(fmt::format("{}={}", name, describe(value)));
  }
  void add_padding(const WindowPadding& padding) {
    using Rule = WindowPadding::Rule;
    if (padding.rule == Rule::valid) return add("padding='valid'");
    if (padding.rule == Rule::same_upper) return add("padding='same'");
    if (padding.rule == Rule::same_lower) return add("padding='same', more before than after");
    if (padding == WindowPadding(0)) return;
    if (padding.top == padding.bottom && padding.left == padding.right) {
      return add(fmt::format("padding={}", describe(PerAxis(padding.top, padding.left))));
    }
    add(fmt::format("padding top {} bottom {} left {} right {}", padding.top, padding.bottom, padding.left,
                    padding.right));
  }
  void add(const std::string& argument) { text_ += (text_.empty() ? "" : ", ") + argument; }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::string describe_layer(const Conv2d& layer) {
  Arguments arguments(
      fmt::format("{}, {}, kernel_size={}", layer.in_channels, layer.out_channels, describe(layer.kernel_size)));
  arguments.add("stride", layer.stride, 1);
  arguments.add_padding(layer.padding);
  arguments.add("dilation", layer.dilation, 1);
  if (layer.groups != 1) arguments.add(fmt::format("groups={}", layer.groups));
  return fmt::format("Conv2d({})", arguments.text());
}

std::string describe_layer(const ConvTranspose2d& layer) {
  Arguments arguments(
      fmt::format("{}, {}, kernel_size={}", layer.in_channels, layer.out_channels, describe(layer.kernel_size)));
  arguments.add("stride", layer.stride, 1);
  arguments.add_padding(layer.padding);
  arguments.add("output_padding", layer.output_padding, 0);
  if (layer.groups != 1) arguments.add(fmt::format("groups={}", layer.groups));
  arguments.add("dilation", layer.dilation, 1);
  return fmt::format("ConvTranspose2d({})", arguments.text());
}

template <class Pool>
std::string describe_pool(std::string_view name, const Pool& layer) {
  Arguments arguments(fmt::format("kernel_size={}", describe(layer.kernel_size)));
  arguments.add("stride", layer.stride.value_or(layer.kernel_size), layer.kernel_size);
  arguments.add_padding(layer.padding);
  if constexpr (std::is_same_v<Pool, MaxPool2d>) arguments.add("dilation", layer.dilation, 1);
  if (layer.ceil_mode) arguments.add("ceil_mode=True");
  return fmt::format("{}({})", name, arguments.text());
}

std::string describe_layer(const MaxPool2d& layer) { return describe_pool("MaxPool2d", layer); }
std::string describe_layer(const AvgPool2d& layer) { return describe_pool("AvgPool2d", layer); }

std::string describe_layer(const AdaptiveAvgPool2d& layer) {
  const auto side = [](const std::optional<std::int64_t>& value) { return value ? std::to_string(*value) : "None"; };
  if (layer.height == layer.width) return fmt::format("{}({})", layer.kind, side(layer.height));
  return fmt::format("{}(({}, {}))", layer.kind, side(layer.height), side(layer.width));
}

std::string describe_layer(const GlobalAvgPool&) { return "GlobalAvgPool()"; }
std::string describe_layer(const BatchNorm2d& layer) {
  if (layer.kind == "GroupNorm") return fmt::format("GroupNorm({}, {})", layer.num_groups, layer.num_features);
  return fmt::format("{}({})", layer.kind, layer.num_features);
}
std::string describe_layer(const BatchNorm1d& layer) { return fmt::format("BatchNorm1d({})", layer.num_features); }

std::string describe_layer(const LayerNorm& layer) {
  const Dims& shape = layer.normalized_shape;
  return shape.size() == 1 ? fmt::format("LayerNorm({})", shape[0])
                           : fmt::format("LayerNorm(({}))", fmt::join(shape, ", "));
}

std::string describe_layer(const Flatten& layer) {
  if (layer.start_dim == 1 && layer.end_dim == -1) return "Flatten()";
  return fmt::format("Flatten(start_dim={}, end_dim={})", layer.start_dim, layer.end_dim);
}

std::string describe_layer(const Linear& layer) {
  return fmt::format("Linear({}, {})", layer.in_features, layer.out_features);
}

std::string describe_layer(const Reshape& layer) { return fmt::format("Reshape({})", fmt::join(layer.shape, ", ")); }

std::string describe_layer(const ZeroPad2d& layer) {
  return fmt::format("{}(top {}, bottom {}, left {}, right {})", layer.kind, layer.top, layer.bottom, layer.left,
                     layer.right);
}

std::string describe_layer(const Upsample& layer) {
  return fmt::format("Upsample(scale_factor={})", layer.scale_factor);
}
std::string describe_layer(const Elementwise& layer) { return layer.kind; }
std::string describe_layer(const Residual&) { return "Residual"; }

std::string label_of(const Layer& layer) {
  const std::string text = describe(layer.kind);
  return layer.name.empty() ? text : layer.name + " " + text;
}

std::size_t add_node(Network& network, Node node, std::vector<std::size_t> inputs) {
  node.inputs = std::move(inputs);
  node.outputs = {network.values.size()};
  network.values.emplace_back();
  network.nodes.push_back(std::move(node));
  return network.values.size() - 1;
}

/// Where print(model) shows an image that meets a layer for rows, its forward() flattens in between.
std::vector<Layer> with_flatten(const std::vector<Layer>& layers, std::optional<std::size_t>& place) {
  std::vector<Layer> result = layers;
  for (std::size_t i = 0; i < result.size(); ++i) {
    const Layer::Kind& kind = result[i].kind;
    if (std::holds_alternative<Flatten>(kind) || std::holds_alternative<Reshape>(kind)) return result;
    if (std::holds_alternative<Linear>(kind) || std::holds_alternative<BatchNorm1d>(kind)) {
      result.insert(result.begin() + static_cast<std::ptrdiff_t>(i), Layer(Flatten{}, "forward():"));
      place = i;
      return result;
    }
  }
  return result;
}

bool is_reshape(const Node& node) {
  return std::holds_alternative<Flatten>(node.op) || std::holds_alternative<Reshape>(node.op) ||
         std::holds_alternative<ReshapeTo>(node.op);
}

/// True if each of the new rows lies within one of the old: x.view(-1, channels) of {n, h, w, channels}.
bool keeps_vectors(const Dims& in, const Dims& out) { return out.size() == 2 && in.size() > 2 && out[1] == in.back(); }

/// True if a Linear takes what the node gives for its rows.
bool linear_follows(const Network& network, std::size_t node) {
  std::vector<bool> rows(network.values.size(), false);
  rows[network.nodes[node].outputs[0]] = true;
  for (std::size_t i = node + 1; i < network.nodes.size(); ++i) {
    const Node& next = network.nodes[i];
    if (next.inputs.empty() || next.outputs.empty() || !rows[next.inputs[0]]) continue;
    if (std::holds_alternative<Linear>(next.op)) return true;
    rows[next.outputs[0]] = std::holds_alternative<Elementwise>(next.op);
  }
  return false;
}

/// Rows that are cut up or merged stay unnoticed until the loss compares them with the labels. Where a Linear takes
/// them for samples that is a fault; else it may be meant so, one row a pixel or a box.
void find_mixed_rows(const Network& network, const Dims& batch, Walk& walked) {
  std::vector<bool> leads_out(network.values.size(), false);
  for (const std::size_t output : network.outputs) {
    const auto& end = walked.values[output].dims;
    leads_out[output] = end && !end->empty() && end->front() != batch.front();
  }
  for (std::size_t i = network.nodes.size(); i-- > 0;) {
    const Node& node = network.nodes[i];
    if (std::ranges::none_of(node.outputs, [&](std::size_t output) { return leads_out[output]; })) continue;
    for (const std::size_t input : node.inputs) leads_out[input] = true;
    if (!is_reshape(node) || node.inputs.empty()) continue;
    const auto& in = walked.values[node.inputs[0]].dims;
    const auto& out = walked.values[node.outputs[0]].dims;
    if (!in || !out || in->empty() || out->empty() || out->size() > 2) continue;
    if (in->front() != batch.front() || out->front() == batch.front()) continue;
    const bool is_fault = named_rows(network, node) || (!keeps_vectors(*in, *out) && linear_follows(network, i));
    (is_fault ? walked.faults : walked.warnings)
        .push_back(
            {i, {.kind = Fault::Kind::batch_mixed, .axis = 0, .expected = batch.front(), .received = out->front()}});
    return;
  }
}

void check_input(const InputSpec& expected, const Dims& batch, Walk& walked, std::size_t place) {
  if (batch.size() != 4) return;
  const bool channels_last = expected.layout == Layout::nhwc;
  const auto check = [&](Fault::Kind kind, std::int64_t axis, const std::optional<std::int64_t>& wanted) {
    const std::int64_t received = batch[static_cast<std::size_t>(axis)];
    if (wanted && *wanted != received) walked.faults.push_back({place, {kind, axis, *wanted, received, {}}});
  };
  check(Fault::Kind::model_batch, 0, expected.batch_size);
  check(Fault::Kind::model_channels, channels_last ? 3 : 1, expected.channels);
  check(Fault::Kind::model_size, channels_last ? 1 : 2, expected.height);
  check(Fault::Kind::model_size, channels_last ? 2 : 3, expected.width);
}

}  // namespace

std::string describe(const Layer::Kind& layer) {
  return std::visit([](const auto& kind) { return describe_layer(kind); }, layer);
}

std::string describe(const Dims& dims) { return fmt::format("{{{}}}", fmt::join(dims, ", ")); }

std::optional<std::int64_t> named_rows(const Network& network, const Node& node) {
  const Dims* shape = nullptr;
  if (const auto* reshape = std::get_if<Reshape>(&node.op)) shape = &reshape->shape;
  if (std::holds_alternative<ReshapeTo>(node.op) && node.inputs.size() > 1) {
    const auto& content = network.values[node.inputs[1]].content;
    if (content) shape = &*content;
  }
  if (shape == nullptr || shape->size() < 2 || shape->front() <= 1) return std::nullopt;
  return shape->front();
}

std::size_t append(Network& network, const std::vector<Layer>& layers, std::size_t from) {
  for (const Layer& layer : layers) {
    if (const auto* block = std::get_if<Residual>(&layer.kind)) {
      const std::size_t body = append(network, block->body, from);
      const std::size_t shortcut = append(network, block->shortcut, from);
      const std::string label = layer.name.empty() ? "add" : layer.name + " add";
      from = add_node(network, {.op = Broadcast{"add"}, .label = label, .inputs = {}, .outputs = {}}, {body, shortcut});
      continue;
    }
    std::visit(
        [&](const auto& kind) {
          if constexpr (!std::is_same_v<std::remove_cvref_t<decltype(kind)>, Residual>) {
            from = add_node(network, {.op = kind, .label = label_of(layer), .inputs = {}, .outputs = {}}, {from});
          }
        },
        layer.kind);
  }
  return from;
}

Network to_network(const LayerList& list) {
  Network network;
  network.assumed = list.assumed;
  std::optional<std::size_t> place;
  network.input.layout = Layout::nchw;
  network.outputs = {append(network, list.assumed.empty() ? list.layers : with_flatten(list.layers, place), 0)};
  // Nodes and layers differ in number where there are blocks, but not in order.
  if (place) {
    std::ranges::find_if(network.nodes, [](const Node& node) {
      return node.label.starts_with("forward():");
    })->assumed = true;
  }
  return network;
}

Walk walk(const Network& network, const Dims& batch, bool only_first) {
  Walk walked{.values = network.values, .faults = {}, .warnings = {}};
  walked.values[0].dims = batch;
  check_input(network.input, batch, walked, network.nodes.size());
  if (only_first && !walked.faults.empty()) return walked;
  std::vector<Value> inputs;
  for (std::size_t i = 0; i < network.nodes.size(); ++i) {
    const Node& node = network.nodes[i];
    inputs.clear();
    for (const std::size_t input : node.inputs) inputs.push_back(walked.values[input]);
    if (node.assumed && inputs[0].dims && inputs[0].dims->size() != 4) {
      walked.values[node.outputs[0]] = inputs[0];
      continue;
    }
    Applied applied = apply_node(node, inputs);
    for (std::size_t k = 0; k < std::min(node.outputs.size(), applied.out.size()); ++k) {
      walked.values[node.outputs[k]] = std::move(applied.out[k]);
    }
    if (!applied.fault) continue;
    walked.faults.push_back({i, *std::move(applied.fault)});
    if (only_first) return walked;
  }
  if (walked.faults.empty()) find_mixed_rows(network, batch, walked);
  return walked;
}

void expect_images(const Shape& shape) {
  if (shape.rank() == 4 && std::ranges::all_of(shape, [](std::int64_t dim) { return dim >= 1; })) return;
  throw ConfigError("trace",
                    fmt::format("expected the shape of a batch of images, {{n, channels, height, width}}, all at "
                                "least 1; received {}",
                                shape.to_string()));
}

Trace trace_shapes(const std::vector<Layer>& layers, const Shape& shape) {
  expect_images(shape);
  return trace(to_network({layers, {}}), Dims(shape.begin(), shape.end()));
}

Trace trace_shapes(std::initializer_list<Layer> layers, const Shape& shape) {
  return trace_shapes(std::vector<Layer>(layers), shape);
}

Trace trace_shapes(const LayerList& layers, const BatchSpec& batch, std::int64_t num_rows) {
  const std::int64_t rows = num_rows == 0 ? batch.batch_size : num_rows;
  const Shape shape = batch.shape(rows);
  expect_images(shape);
  return trace(to_network(layers), Dims(shape.begin(), shape.end()),
               {.layout = batch.layout, .full_rows = rows == batch.batch_size ? 0 : batch.batch_size});
}

}  // namespace muster
