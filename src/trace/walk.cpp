#include "trace/walk.hpp"

#include <algorithm>
#include <utility>

namespace muster {
namespace {

bool is_reshape(const Node& node) {
  return std::holds_alternative<Flatten>(node.op) || std::holds_alternative<Reshape>(node.op) ||
         std::holds_alternative<ReshapeTo>(node.op);
}

/// True if each of the new rows lies within one of the old: x.view(-1, channels) of {n, h, w, channels}.
bool keeps_vectors(const Dims& in, const Dims& out) { return out.size() == 2 && in.size() > 2 && out[1] == in.back(); }

/// True for what leaves rows of features as they are.
bool keeps_rows(const Node& node) {
  const auto* const broadcast = std::get_if<Broadcast>(&node.op);
  const bool is_slope = broadcast != nullptr && broadcast->into_first;  // a PReLU's
  return std::holds_alternative<Elementwise>(node.op) || std::holds_alternative<BatchNorm1d>(node.op) ||
         std::holds_alternative<BatchNorm2d>(node.op) || std::holds_alternative<LayerNorm>(node.op) || is_slope;
}

/// True if a Linear takes what the node gives for its rows.
bool linear_follows(const Network& network, std::size_t node) {
  std::vector<bool> rows(network.values.size(), false);
  rows[network.nodes[node].outputs[0]] = true;
  for (std::size_t i = node + 1; i < network.nodes.size(); ++i) {
    const Node& next = network.nodes[i];
    if (next.inputs.empty() || next.outputs.empty() || !rows[next.inputs[0]]) continue;
    if (std::holds_alternative<Linear>(next.op)) return true;
    rows[next.outputs[0]] = keeps_rows(next);
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
  const ImageAxes axes = axes_of(expected.layout);
  const auto check = [&](Fault::Kind kind, std::size_t axis, const std::optional<std::int64_t>& wanted) {
    if (!wanted || *wanted == batch[axis]) return;
    walked.faults.push_back(
        {place, {.kind = kind, .axis = static_cast<std::int64_t>(axis), .expected = *wanted, .received = batch[axis]}});
  };
  check(Fault::Kind::model_batch, 0, expected.batch_size);
  check(Fault::Kind::model_channels, axes.channels, expected.channels);
  check(Fault::Kind::model_size, axes.height, expected.height);
  check(Fault::Kind::model_size, axes.width, expected.width);
}

}  // namespace

Walk walk(const Network& network, const Dims& batch, bool only_first) {
  Walk walked{.values = network.values};
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

void find_other_layout(const Network& network, std::optional<Layout> of_batch, Walk& walked) {
  if (of_batch != Layout::nhwc || network.input.layout != Layout::nchw) return;
  const std::size_t end = network.nodes.size();
  if (!walked.faults.empty() && walked.faults.front().node == end) return;  // the model's input says so already
  for (std::size_t i = 0; i < end; ++i) {
    const Node& node = network.nodes[i];
    if (!walked.faults.empty() && walked.faults.front().node < i) return;
    if (!takes_images(node) || node.inputs.empty() || !is_image(walked.values[node.inputs[0]].dims)) continue;
    walked.faults = {{i, {.kind = Fault::Kind::layout}}};
    return;
  }
}

}  // namespace muster
