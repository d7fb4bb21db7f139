#include "trace/remedies.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

namespace muster {
namespace {

constexpr std::int64_t largest_side = 1024;  // of images that are tried, or twice the batch's
constexpr std::int64_t foreign_cost = 100;   // of asking the model's library; any other node costs 1

bool is_common(std::int64_t side) {
  constexpr std::array sides = {28, 32, 64, 96, 112, 128, 160, 192, 224, 227, 256, 299, 320, 384, 416, 448, 512, 640};
  return std::ranges::find(sides, side) != sides.end();
}

/// Of a pooling layer.
void set_ceil_mode(Operation& op) {
  if (auto* pool = std::get_if<MaxPool2d>(&op)) pool->ceil_mode = true;
  if (auto* pool = std::get_if<AvgPool2d>(&op)) pool->ceil_mode = true;
}

}  // namespace

std::string end_in(Size size) {
  return fmt::format(
      "let the pipeline end in {0}: CenterCrop, RandomResizedCrop or Resize with size {{{1}, {2}}}, or LetterBox",
      to_string(size), size.height, size.width);
}

Network with_node(Network network, std::size_t index, Operation op) {
  Node node{.op = std::move(op), .inputs = {network.nodes[index].inputs[0]}, .outputs = {network.values.size()}};
  network.values.emplace_back();
  network.nodes[index].inputs[0] = node.outputs[0];
  network.nodes.insert(network.nodes.begin() + static_cast<std::ptrdiff_t>(index), std::move(node));
  return network;
}

Remedies::Remedies(const WalkedNetwork& walked, std::size_t failing, SearchBudget budget)
    : walked_(walked),
      failing_(failing),
      budget_(budget),
      half_of_changes_(budget.changes / 2),
      open_(walked.network()),
      axes_(axes_of(walked.network().input.layout)) {
  open_.input = {};
  for (const Node& node : open_.nodes) cost_ += std::holds_alternative<Foreign>(node.op) ? foreign_cost : 1;
}

/// Nothing passes once the budget is spent.
Remedies::Reach Remedies::reach(const Network& network, Size size, std::int64_t& budget) const {
  if (budget < cost_) {
    budget = 0;
    return {};
  }
  budget -= cost_;
  const Walk tried = walk(network, axes_.resized(mended_batch_.value_or(walked_.batch()), size), true);
  if (tried.faults.empty()) return {.passes = true};
  const std::size_t added = network.nodes.size() - open_.nodes.size();  // all before the failing layer
  const std::size_t place = tried.faults[0].node;
  if (place <= failing_ + added) return {};
  return {.passes = true, .until = place - added};
}

void Remedies::add_if_passes(const std::string& remedy, const Network& changed) {
  add_if_passes(remedy, reach(changed));
}

void Remedies::add_if_passes(const std::string& remedy, const Reach& reached) {
  if (!reached.passes) return;
  any_whole_ = any_whole_ || reached.whole();
  (reached.whole() ? remedies_ : partial_).push_back(remedy + until(reached));
}

void Remedies::add_always(const std::string& remedy, const Network& changed) {
  const Reach reached = reach(changed);
  any_whole_ = any_whole_ || reached.whole();
  remedies_.push_back(remedy + until(reached));
}

std::string Remedies::until(const Reach& reached) const {
  return reached.until ? fmt::format(" (as far as {})", walked_.call(*reached.until)) : std::string();
}

std::vector<std::string> Remedies::list() const {
  std::vector<std::string> all = remedies_;
  if (!any_whole_) all.insert(all.end(), partial_.begin(), partial_.end());
  return all;
}

// ---- images ----

/// The image size nearest to the batch's that fits, among those that `at` makes of a side.
std::optional<FittingSizes> Remedies::nearest(const std::function<Size(std::int64_t)>& at, std::int64_t now,
                                              bool whole) {
  const std::int64_t most = std::max(largest_side, 2 * now);
  const auto good = [&](std::int64_t side) {
    if (side < 1 || side > most) return false;
    const Reach reached = reach(open_, at(side), budget_.sizes);
    return whole ? reached.whole() : reached.passes;
  };
  for (std::int64_t step = 1; step < most && budget_.sizes > 0; ++step) {
    const std::int64_t first = is_common(now - step) ? now - step : now + step;
    for (const std::int64_t side : {first, 2 * now - first}) {
      if (!good(side)) continue;
      std::int64_t from = side, to = side;
      if (side < now) {
        while (good(from - 1)) --from;
      } else {
        while (good(to + 1)) ++to;
      }
      std::int64_t proposed = side;
      for (std::int64_t other = side; other >= from && other <= to; other += side < now ? -1 : 1) {
        if (!is_common(other)) continue;
        proposed = other;
        break;
      }
      if (proposed == 227 && from <= 224) proposed = 224;  // 227 is the first AlexNet's alone
      return FittingSizes{at(proposed), at(from), at(to)};
    }
  }
  return std::nullopt;
}

/// Squares first where the images are square, last where they are not; of another height or width alone in between.
std::optional<FittingSizes> Remedies::nearest() {
  const Size now = walked_.image_size();
  const bool is_square = now.height == now.width;
  const auto square = [](std::int64_t side) { return Size{side, side}; };
  for (const bool whole : {true, false}) {
    std::optional<FittingSizes> sizes;
    if (is_square) sizes = nearest(square, now.height, whole);
    if (!sizes) sizes = nearest([&](std::int64_t side) { return Size{side, now.width}; }, now.height, whole);
    if (!sizes) sizes = nearest([&](std::int64_t side) { return Size{now.height, side}; }, now.width, whole);
    if (!sizes && !is_square) sizes = nearest(square, now.height, whole);
    if (sizes) return sizes;
  }
  return std::nullopt;
}

std::optional<FittingSizes> Remedies::add_sizes() {
  const InputSpec& input = walked_.network().input;
  if (input.height && input.width) return std::nullopt;  // the model's own size is fixed
  const std::optional<FittingSizes> sizes = nearest();
  if (!sizes) return std::nullopt;
  const auto& [size, from, to] = *sizes;
  const Size now = walked_.image_size();
  const bool open_ended = std::max(to.height, to.width) >= std::max(largest_side, 2 * std::max(now.height, now.width));
  const std::string range = from == to   ? ""
                            : open_ended ? fmt::format(" (all from {} on fit)", to_string(from))
                                         : fmt::format(" ({} to {} fit)", to_string(from), to_string(to));
  add_if_passes(fmt::format("images of {}{} instead of {}: {}", to_string(size), range, to_string(now), end_in(size)),
                reach(open_, size, budget_.changes));
  return sizes;
}

// ---- parameters ----

std::optional<std::size_t> Remedies::add_paddings() {
  std::optional<std::size_t> rounding;
  int num_whole = 0;
  bool convolution_leaves_rows = false;
  for (std::size_t i = 0; i <= failing_ && i < open_.nodes.size() && num_whole < 2; ++i) {
    const Node& tried = open_.nodes[i];
    const std::optional<Window> window = window_of(tried, 0);
    if (!window || window->transposed || !is_image(walked_.in(tried)) || paddings_cost_enough()) continue;
    const std::int64_t left_over = slide(*window, (*walked_.in(tried))[2]).left_over;
    Reach reached;
    if (std::holds_alternative<Conv2d>(tried.op)) {
      convolution_leaves_rows = convolution_leaves_rows || left_over > 0;
      const Padding padding = fitting_padding(i);
      reached = padding.reached;
      const bool same = window->stride == 1 && 2 * padding.rows == window->dilation * (window->kernel - 1);
      add_if_passes(fmt::format("padding={}{} in {}", padding.rows, same ? " ('same')" : "", walked_.call(i)), reached);
    } else if (left_over > 0 && !window->ceil) {
      Network changed = open_;
      set_ceil_mode(changed.nodes[i].op);
      reached = reach(changed);
      add_if_passes(fmt::format("ceil_mode=True in {}, which then rounds up", walked_.call(i)), reached);
      if (reached.passes && !convolution_leaves_rows && !rounding) rounding = i;
    }
    num_whole += reached.whole() ? 1 : 0;
  }
  return rounding;
}

/// Of the convolution `index`, nearest to what it has; not one so wide that a window sees zeros alone.
Remedies::Padding Remedies::fitting_padding(std::size_t index) {
  const auto& conv = std::get<Conv2d>(open_.nodes[index].op);
  const std::int64_t now = conv.padding.top;
  const std::int64_t most = std::min<std::int64_t>(conv.dilation.height * (conv.kernel_size.height - 1), 16);
  Network changed = open_;
  Padding nearest;
  for (std::int64_t step = 1; step <= most; ++step) {
    for (const std::int64_t padding : {now + step, now - step}) {
      if (padding < 0 || padding > most || paddings_cost_enough()) continue;
      std::get<Conv2d>(changed.nodes[index].op).padding = padding;
      const Reach reached = reach(changed);
      if (reached.whole()) return {padding, reached};
      if (reached.passes && !nearest.reached.passes) nearest = {padding, reached};
    }
  }
  return nearest;
}

// ---- layers ----

std::string Remedies::unseen_step() {
  struct Step {
    Operation op;
    std::string name;
  };
  const auto step = [](const auto& layer, const char* remark) {
    return Step{layer, describe(Layer::Kind(layer)) + remark};
  };
  std::vector<Step> steps;
  for (const Node& printed : open_.nodes) {
    if (steps.size() >= 3) break;
    if (const auto* pool = std::get_if<MaxPool2d>(&printed.op)) steps.push_back(step(*pool, " once more"));
    if (const auto* pool = std::get_if<AvgPool2d>(&printed.op)) steps.push_back(step(*pool, " once more"));
  }
  steps.push_back(step(MaxPool2d{2}, ""));
  steps.push_back(step(AdaptiveAvgPool2d{}, " (or x.mean((2, 3)))"));
  steps.push_back(step(Flatten{}, ""));
  for (std::size_t i = failing_ + 1; i-- > 0 && budget_.changes > 0;) {
    if (!is_image(walked_.in(open_.nodes[i]))) continue;
    for (const auto& [op, name] : steps) {
      if (reach(with_node(open_, i, op)).whole()) {
        return fmt::format("forward() calls {} before {}", name, walked_.call(i));
      }
    }
  }
  Network pooled = open_;
  for (std::size_t i = failing_ + 1; i-- > 0;) {
    const std::optional<std::size_t> before = walked_.before(open_.nodes[i]);
    if (before && std::holds_alternative<Conv2d>(open_.nodes[*before].op)) {
      pooled = with_node(std::move(pooled), i, MaxPool2d{2});
    }
  }
  if (pooled.nodes.size() > open_.nodes.size() && reach(pooled).whole()) {
    return fmt::format("forward() calls {} after every convolution", describe(Layer::Kind(MaxPool2d{2})));
  }
  return {};
}

}  // namespace muster
