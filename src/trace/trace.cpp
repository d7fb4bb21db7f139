#include "trace/trace.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace muster {
namespace {

/// The dimensions of {n, channels, height, width}, all at least 1; throws ConfigError for anything else.
Dims dims_of_images(const Shape& shape) {
  if (shape.rank() == 4 && std::ranges::all_of(shape, [](std::int64_t dim) { return dim >= 1; })) {
    return {shape.begin(), shape.end()};
  }
  throw ConfigError("trace",
                    fmt::format("expected the shape of a batch of images, {{n, channels, height, width}}, all at "
                                "least 1; received {}",
                                shape.to_string()));
}

/// True for a BatchNorm of PyTorch of whose input training takes no variance.
bool has_one_value_per_channel(const Node& node, const WalkedNetwork& walked) {
  const auto* norm = std::get_if<BatchNorm2d>(&node.op);
  const bool of_batch = std::holds_alternative<BatchNorm1d>(node.op) || (norm && norm->kind == "BatchNorm2d");
  if (!node.as_pytorch || !of_batch || !walked.in(node)) return false;
  const Dims& in = *walked.in(node);
  return in.front() == 1 && std::all_of(in.begin() + 2, in.end(), [](std::int64_t side) { return side == 1; });
}

/// What a network that fits rests on.
std::vector<std::string> caveats_of(const WalkedNetwork& walked) {
  const Network& network = walked.network();
  std::vector<std::string> caveats;
  if (!network.input_caveat.empty()) caveats.push_back(network.input_caveat);
  if (!network.assumed.empty()) {
    const auto flatten = std::ranges::find_if(network.nodes, [](const Node& node) { return node.assumed; });
    const std::size_t row = walked.row(static_cast<std::size_t>(flatten - network.nodes.begin()));
    caveats.push_back(fmt::format(
        "the print of {} does not show its forward(): this holds if it runs the layers in the printed order{}",
        fmt::join(network.assumed, ", "), row == 0 ? "" : fmt::format(", with the Flatten() of layer {}", row)));
  }
  for (std::size_t i = 0; i < network.nodes.size(); ++i) {
    if (!has_one_value_per_channel(network.nodes[i], walked)) continue;
    caveats.push_back(
        fmt::format("{} receives one value per channel, of which PyTorch takes no variance: fits in eval(), "
                    "not in training; a last batch of one row: --last-batch drop, pad or wrap",
                    walked.call(i)));
    break;
  }
  for (const Walk::Found& found : walked.walk().warnings) {
    caveats.push_back(fmt::format("{} makes {} rows of {} samples: the labels must be laid out in the same way",
                                  walked.call(found.node), found.fault.received, found.fault.expected));
  }
  return caveats;
}

/// Up to the first layer that does not fit.
std::vector<TraceRow> rows_of(const WalkedNetwork& walked) {
  const Network& network = walked.network();
  const auto& faults = walked.walk().faults;
  const auto is_of_layer = [&](const Walk::Found& found) { return walked.node(found.node) != nullptr; };
  const auto failing = std::ranges::find_if(faults, is_of_layer);
  std::vector<TraceRow> rows;
  rows.push_back({.layer = network.input_name,
                  .in = {},
                  .out = walked.batch(),
                  .fits = faults.empty() || is_of_layer(faults.front())});
  for (std::size_t i = 0; i < network.nodes.size(); ++i) {
    if (walked.row(i) == 0) continue;
    const Node& node = network.nodes[i];
    const bool fits = failing == faults.end() || i != failing->node;
    rows.push_back({.layer = node.label,
                    .in = walked.in(node).value_or(Dims{}),
                    .out = fits ? walked.out(node).value_or(Dims{}) : Dims{},
                    .fits = fits});
    if (!fits) break;
  }
  return rows;
}

}  // namespace

Trace trace(const Network& network, const Dims& batch, const BatchFacts& facts) {
  Walk steps = walk(network, batch);
  find_other_layout(network, facts.layout, steps);
  const WalkedNetwork walked(network, steps);
  Trace result;
  result.rows = rows_of(walked);
  if (steps.faults.empty()) {
    result.caveats = caveats_of(walked);
  } else {
    result.diagnosis = diagnose(walked, facts);
  }
  return result;
}

Trace trace(const Network& network, const BatchSpec& batch, std::int64_t num_rows) {
  const std::int64_t rows = num_rows == 0 ? batch.batch_size : num_rows;
  return trace(network, dims_of_images(batch.shape(rows)),
               {.layout = batch.layout, .full_rows = rows == batch.batch_size ? 0 : batch.batch_size});
}

Trace trace_shapes(const std::vector<Layer>& layers, const Shape& shape) {
  return trace(to_network({layers, {}}), dims_of_images(shape));
}

Trace trace_shapes(std::initializer_list<Layer> layers, const Shape& shape) {
  return trace_shapes(std::vector<Layer>(layers), shape);
}

Trace trace_shapes(const LayerList& layers, const BatchSpec& batch, std::int64_t num_rows) {
  return trace(to_network(layers), batch, num_rows);
}

}  // namespace muster
