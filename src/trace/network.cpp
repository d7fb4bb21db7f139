#include "trace/network.hpp"

#include <algorithm>
#include <type_traits>
#include <utility>

namespace muster {
namespace {

std::size_t add_node(Network& network, Node node, std::vector<std::size_t> inputs) {
  node.inputs = std::move(inputs);
  node.outputs = {network.values.size()};
  network.values.emplace_back();
  network.nodes.push_back(std::move(node));
  return network.values.size() - 1;
}

/// How many layers come before the one at which a print(model)'s forward() must have flattened, because it takes rows;
/// all of them where none does, or the print shows a Flatten.
std::size_t count_before_rows(std::span<const Layer> layers) {
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const Layer::Kind& kind = layers[i].kind;
    if (std::holds_alternative<Flatten>(kind) || std::holds_alternative<Reshape>(kind)) break;
    if (std::holds_alternative<Linear>(kind) || std::holds_alternative<BatchNorm1d>(kind)) return i;
  }
  return layers.size();
}

}  // namespace

std::optional<std::int64_t> product(std::span<const std::int64_t> dims) {
  std::int64_t result = 1;
  for (const std::int64_t dim : dims) {
    if (__builtin_mul_overflow(result, dim, &result)) return std::nullopt;
  }
  return result;
}

bool is_image(const std::optional<Dims>& dims) {
  return dims && dims->size() == 4 && std::ranges::all_of(*dims, [](std::int64_t dim) { return dim >= 1; });
}

std::size_t append(Network& network, std::span<const Layer> layers, std::size_t from) {
  for (const Layer& layer : layers) {
    const auto labelled = [&](std::string text) { return layer.name.empty() ? text : layer.name + " " + text; };
    if (const auto* block = std::get_if<Residual>(&layer.kind)) {
      const std::size_t body = append(network, block->body, from);
      const std::size_t shortcut = append(network, block->shortcut, from);
      from = add_node(network, {.op = Broadcast{"add"}, .label = labelled("add")}, {body, shortcut});
      continue;
    }
    std::visit(
        [&](const auto& kind) {
          if constexpr (!std::is_same_v<std::remove_cvref_t<decltype(kind)>, Residual>) {
            from = add_node(network, {.op = kind, .label = labelled(describe(layer.kind))}, {from});
          }
        },
        layer.kind);
  }
  return from;
}

Network to_network(const LayerList& list) {
  Network network;
  network.assumed = list.assumed;
  network.input.layout = Layout::nchw;
  const std::span<const Layer> layers = list.layers;
  const std::size_t before = list.assumed.empty() ? layers.size() : count_before_rows(layers);
  std::size_t end = append(network, layers.first(before), 0);
  if (before < layers.size()) {
    end = add_node(network, {.op = Flatten{}, .label = "forward(): Flatten()", .assumed = true}, {end});
  }
  network.outputs = {append(network, layers.subspan(before), end)};
  return network;
}

ImageAxes axes_of(std::optional<Layout> layout) {
  if (layout == Layout::nhwc) return {.channels = 3, .height = 1, .width = 2};
  return {};
}

Dims ImageAxes::resized(Dims batch, Size size) const {
  batch[height] = size.height;
  batch[width] = size.width;
  return batch;
}

bool takes_images(const Node& node) {
  return window_of(node, 0) || std::holds_alternative<AdaptiveAvgPool2d>(node.op) ||
         std::holds_alternative<GlobalAvgPool>(node.op) || std::holds_alternative<BatchNorm2d>(node.op) ||
         std::holds_alternative<ZeroPad2d>(node.op) || std::holds_alternative<Upsample>(node.op);
}

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

}  // namespace muster
