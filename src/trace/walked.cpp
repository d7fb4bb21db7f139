#include "trace/walked.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace muster {
namespace {

const std::optional<Dims> unknown_dims;

/// True for what happens to the batch, false for arithmetic on shapes and for constants.
std::vector<bool> depends_on_batch(const Network& network, const Walk& walk) {
  std::vector<bool> depends(walk.values.size(), false);
  depends[0] = true;
  for (const Node& node : network.nodes) {
    const bool does = std::ranges::any_of(node.inputs, [&](std::size_t input) { return depends[input]; });
    for (const std::size_t output : node.outputs) depends[output] = does && !walk.values[output].content;
  }
  return depends;
}

std::vector<std::size_t> number_rows(const Network& network, const Walk& walk) {
  const std::vector<bool> depends = depends_on_batch(network, walk);
  std::vector<std::size_t> rows;
  std::size_t next = 1;
  for (std::size_t i = 0; i < network.nodes.size(); ++i) {
    const Node& node = network.nodes[i];
    const bool fails = std::ranges::any_of(walk.faults, [&](const Walk::Found& found) { return found.node == i; });
    const bool shown = fails || std::ranges::any_of(node.outputs, [&](std::size_t output) { return depends[output]; });
    const bool needed = !node.assumed || is_image(walk.values[node.inputs[0]].dims);
    rows.push_back(shown && needed ? next++ : 0);
  }
  return rows;
}

}  // namespace

WalkedNetwork::WalkedNetwork(const Network& network, const Walk& walk)
    : network_(network),
      walk_(walk),
      axes_(axes_of(network.input.layout)),
      rows_(number_rows(network, walk)),
      makers_(network.values.size()) {
  for (std::size_t i = 0; i < network.nodes.size(); ++i) {
    for (const std::size_t output : network.nodes[i].outputs) makers_[output] = i;
  }
}

const Node* WalkedNetwork::node(std::size_t index) const {
  return index < network_.nodes.size() ? &network_.nodes[index] : nullptr;
}

const std::optional<Dims>& WalkedNetwork::in(const Node& node, std::size_t input) const {
  return input < node.inputs.size() ? walk_.values[node.inputs[input]].dims : unknown_dims;
}

const std::optional<Dims>& WalkedNetwork::out(const Node& node) const {
  return node.outputs.empty() ? unknown_dims : walk_.values[node.outputs[0]].dims;
}

std::string WalkedNetwork::call(std::size_t index) const {
  const std::string& label = network_.nodes[index].label;
  return row(index) == 0 ? label : fmt::format("layer {} {}", row(index), label);
}

std::optional<std::size_t> WalkedNetwork::before(const Node& node) const {
  return node.inputs.empty() ? std::nullopt : makers_[node.inputs[0]];
}

std::optional<Flattened> WalkedNetwork::flattened(const Node& to) const {
  const auto is_flat = [&](const Node& passed) {
    return in(passed) && in(passed)->size() <= 2 && in(passed) == out(passed);
  };
  const std::optional<std::size_t> by = back_to(to, is_flat);
  if (!by) return std::nullopt;
  const Node& flattening = network_.nodes[*by];
  if (!is_image(in(flattening)) || !out(flattening) || out(flattening)->size() > 2) return std::nullopt;
  return Flattened{*in(flattening), *by};
}

std::vector<const Node*> WalkedNetwork::way(const Node& to) const {
  std::vector<const Node*> nodes;
  for (auto at = before(to); at; at = before(*nodes.back())) nodes.push_back(&network_.nodes[*at]);
  std::ranges::reverse(nodes);
  return nodes;
}

std::string WalkedNetwork::path(const Node& to, std::size_t axis) const {
  std::int64_t last = axis == 2 ? image_size().height : image_size().width;
  std::string sides = std::to_string(last);
  for (const Node* passed : way(to)) {
    const std::optional<Dims>& dims = out(*passed);
    if (!is_image(dims) || (*dims)[axis] == last) continue;
    last = (*dims)[axis];
    sides += fmt::format(" -> {}", last);
  }
  return fmt::format("{} on the way: {}", axis == 2 ? "height" : "width", sides);
}

std::string WalkedNetwork::unpadded(const Node& to, std::size_t axis) const {
  std::vector<std::int64_t> taken;
  for (const Node* passed : way(to)) {
    if (!std::holds_alternative<Conv2d>(passed->op)) continue;
    const Window window = *window_of(*passed, axis == 2 ? 0 : 1);
    const bool padded = window.rule == WindowPadding::Rule::sides ? window.before + window.after > 0
                                                                  : window.rule != WindowPadding::Rule::valid;
    if (!padded && window.stride == 1 && window.extent() > 1) taken.push_back(window.extent() - 1);
  }
  if (taken.empty()) return {};
  return fmt::format("; convolutions without padding ('valid') take kernel_size - 1 {} each, here {}",
                     axis == 2 ? "rows" : "columns", fmt::join(taken, " + "));
}

}  // namespace muster
