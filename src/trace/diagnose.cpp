// Why the first layer that does not fit does not, and what would fit.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

#include <fmt/format.h>

#include "trace/network.hpp"

namespace muster {
namespace {

constexpr std::int64_t largest_side = 1024;  // of images that are tried, or twice the batch's
// What a diagnosis may cost, in nodes applied: about a second. One that asks the model's library counts as many.
constexpr std::int64_t size_budget = 3'000'000;
constexpr std::int64_t remedy_budget = 1'000'000;
constexpr std::int64_t foreign_cost = 100;

std::string axis_name(std::int64_t axis, std::size_t rank) {
  if (axis == 0) return "dimension 0 (batch size)";
  if (axis == 1) return rank == 2 ? "dimension 1 (features)" : "dimension 1 (channels)";
  if (rank == 4 && axis == 2) return "dimension 2 (height)";
  if (rank == 4 && axis == 3) return "dimension 3 (width)";
  return fmt::format("dimension {}", axis);
}

bool common_size(std::int64_t side) {
  constexpr std::array sides = {28, 32, 64, 96, 112, 128, 160, 192, 224, 227, 256, 299, 320, 384, 416, 448, 512, 640};
  return std::ranges::find(sides, side) != sides.end();
}

bool is_pool(const Node& node) {
  return std::holds_alternative<MaxPool2d>(node.op) || std::holds_alternative<AvgPool2d>(node.op);
}

bool is_image(const std::optional<Dims>& dims) { return dims && dims->size() == 4; }

/// Image sizes, as the network's own axes have them.
struct Axes {
  std::size_t height = 2;
  std::size_t width = 3;
};

/// True for what happens to the batch, false for arithmetic on shapes and for constants.
std::vector<bool> depends_on_batch(const Network& network, const Walk& walked) {
  std::vector<bool> depends(walked.values.size(), false);
  depends[0] = true;
  for (const Node& node : network.nodes) {
    const bool does = std::ranges::any_of(node.inputs, [&](std::size_t input) { return depends[input]; });
    for (const std::size_t output : node.outputs) depends[output] = does && !walked.values[output].content;
  }
  return depends;
}

/// The row of the table in which each node stands; 0 for those that have none.
std::vector<std::size_t> number_rows(const Network& network, const Walk& walked) {
  const std::vector<bool> depends = depends_on_batch(network, walked);
  std::vector<std::size_t> rows;
  std::size_t next = 1;
  for (std::size_t i = 0; i < network.nodes.size(); ++i) {
    const Node& node = network.nodes[i];
    const bool fails = std::ranges::any_of(walked.faults, [&](const Walk::Found& found) { return found.node == i; });
    const bool shown = fails || std::ranges::any_of(node.outputs, [&](std::size_t output) { return depends[output]; });
    const bool needed = !node.assumed || is_image(walked.values[node.inputs[0]].dims);
    rows.push_back(shown && needed ? next++ : 0);
  }
  return rows;
}

bool takes_images(const Node& node) {
  return window_of(node, 0) || std::holds_alternative<AdaptiveAvgPool2d>(node.op) ||
         std::holds_alternative<GlobalAvgPool>(node.op) || std::holds_alternative<BatchNorm2d>(node.op) ||
         std::holds_alternative<ZeroPad2d>(node.op) || std::holds_alternative<Upsample>(node.op);
}

/// An NHWC batch can pass for NCHW all the way: the first layer that takes images as NCHW is at fault.
void find_other_layout(const Network& network, const BatchFacts& facts, Walk& walked) {
  if (facts.layout != Layout::nhwc || network.input.layout != Layout::nchw) return;
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

/// The network with one more node, through which `index` gets what it reads.
Network with_node(Network network, std::size_t index, Node node) {
  node.inputs = {network.nodes[index].inputs[0]};
  node.outputs = {network.values.size()};
  network.values.emplace_back();
  network.nodes[index].inputs[0] = node.outputs[0];
  network.nodes.insert(network.nodes.begin() + static_cast<std::ptrdiff_t>(index), std::move(node));
  return network;
}

class Diagnosis {
 public:
  Diagnosis(const Network& network, const Dims& batch, const BatchFacts& facts, const Walk& walked)
      : network_(network),
        batch_(batch),
        facts_(facts),
        walked_(walked),
        rows_(number_rows(network, walked)),
        open_(network) {
    const bool channels_last = network.input.layout == Layout::nhwc;
    if (channels_last) axes_ = {1, 2};
    open_.input = {};
    makers_.resize(network.values.size());
    for (std::size_t i = 0; i < network.nodes.size(); ++i) {
      cost_ += std::holds_alternative<Foreign>(network.nodes[i].op) ? foreign_cost : 1;
      for (const std::size_t output : network.nodes[i].outputs) makers_[output] = i;
    }
  }

  /// Of the fault that comes first; with `briefly` without what would fit.
  ShapeDiagnosis explain(const Walk::Found& found, bool briefly = false) {
    found_ = &found;
    briefly_ = briefly;
    ShapeDiagnosis result;
    switch (found.fault.kind) {
      case Fault::Kind::model_batch:
        explain_model_batch(result);
        break;
      case Fault::Kind::model_channels:
        explain_model_channels(result);
        break;
      case Fault::Kind::model_size:
        explain_model_size(result);
        break;
      case Fault::Kind::channels:
        explain_channels(result);
        break;
      case Fault::Kind::window:
        explain_window(result);
        break;
      case Fault::Kind::features:
        explain_features(result);
        break;
      case Fault::Kind::elements:
        explain_elements(result);
        break;
      case Fault::Kind::batch_mixed:
        explain_mixed(result);
        break;
      case Fault::Kind::join:
        explain_join(result);
        break;
      case Fault::Kind::rank:
        explain_rank(result);
        break;
      case Fault::Kind::shape:
        explain_shape(result);
        break;
      case Fault::Kind::layout:
        explain_layout(result, true);
        break;
      case Fault::Kind::parameters:
        explain_parameters(result);
        break;
      case Fault::Kind::foreign:
        explain_foreign(result);
        break;
    }
    if (!any_whole_) result.remedies.insert(result.remedies.end(), partial_.begin(), partial_.end());
    if (!network_.assumed.empty() && found.node < network_.nodes.size() && !briefly) {
      if (found.fault.kind != Fault::Kind::layout) result.fits_if = unseen_step();
      add_assumption(result);
    }
    return result;
  }

  /// What is wrong after the first fault is mended.
  std::string explain_next(const ShapeDiagnosis& first) {
    if (mended_batch_ || first.sizes) {
      Dims batch = mended_batch_.value_or(batch_);
      if (first.sizes) {
        batch[axes_.height] = first.sizes->size.height;
        batch[axes_.width] = first.sizes->size.width;
      }
      Network network = network_;
      // What the model's input says of the other dimensions stays.
      if (found_->fault.kind == Fault::Kind::model_size) network.input.height = network.input.width = std::nullopt;
      const Walk again = walk(network, batch);
      for (const Walk::Found& found : again.faults) {
        const std::size_t before = found_->node == network_.nodes.size() ? 0 : found_->node;
        if (found.node < network_.nodes.size() && found.node < before) continue;
        return summary(network, batch, again, found);
      }
      return {};
    }
    for (const Walk::Found& found : walked_.faults) {
      if (found.node > found_->node && found.node < network_.nodes.size() && found_->node < network_.nodes.size()) {
        return summary(network_, batch_, walked_, found);
      }
    }
    return {};
  }

 private:
  std::string summary(const Network& network, const Dims& batch, const Walk& walked, const Walk::Found& found) const {
    Diagnosis other(network, batch, {.layout = {}, .full_rows = facts_.full_rows}, walked);
    const ShapeDiagnosis brief = other.explain(found, true);
    const std::string where =
        found.node < network.nodes.size() ? other.call(found.node) : std::string("the model's input");
    return brief.dimension.empty() ? fmt::format("{}: {}", where, brief.explanation)
                                   : fmt::format("{}: {}: expected {}, received {}", where, brief.dimension,
                                                 brief.expected, brief.received);
  }

  const Node& node() const { return network_.nodes[found_->node]; }
  /// "layer 3 Conv2d(...)", as the table counts.
  std::string call(std::size_t index) const {
    return rows_[index] == 0 ? network_.nodes[index].label
                             : fmt::format("layer {} {}", rows_[index], network_.nodes[index].label);
  }
  const Fault& fault() const { return found_->fault; }
  const std::optional<Dims>& in(const Node& of, std::size_t input = 0) const {
    static const std::optional<Dims> nothing;
    return input < of.inputs.size() ? walked_.values[of.inputs[input]].dims : nothing;
  }
  const Dims& in() const { return *in(node()); }

  void set(ShapeDiagnosis& result, ShapeCause cause, std::string dimension) const {
    result.cause = cause;
    result.dimension = std::move(dimension);
    result.expected = std::to_string(fault().expected);
    result.received = std::to_string(fault().received);
  }

  /// The node that makes a value; nothing for the batch and constants.
  std::optional<std::size_t> maker(std::size_t value) const { return makers_[value]; }

  /// Back along the first inputs, as long as `passes` says so of the node; nothing when that leads to the batch.
  template <class Passes>
  std::optional<std::size_t> back_to(const Node& from, Passes passes) const {
    std::optional<std::size_t> at = from.inputs.empty() ? std::nullopt : maker(from.inputs[0]);
    while (at && passes(network_.nodes[*at])) {
      const Node& passed = network_.nodes[*at];
      at = passed.inputs.empty() ? std::nullopt : maker(passed.inputs[0]);
    }
    return at;
  }

  // ---- causes that lie in the batch ----

  void explain_model_batch(ShapeDiagnosis& result) {
    set(result, ShapeCause::batch_size, "batch size");
    const std::int64_t wanted = fault().expected;
    explain_fixed_batch(result, wanted);
    mended_batch_ = batch_;
    (*mended_batch_)[0] = wanted;
  }

  void explain_fixed_batch(ShapeDiagnosis& result, std::int64_t wanted) const {
    if (facts_.full_rows != 0) {
      result.explanation = fmt::format(
          "the model has a batch size of {} built in, and the last batch of an epoch has only {} rows, because {} does "
          "not "
          "divide the number of samples",
          wanted, batch_[0], facts_.full_rows);
      if (facts_.full_rows == wanted) {
        result.remedies.push_back(
            "--last-batch drop, pad or wrap (LoaderOptions::last_batch): the last batch is left out, or has all rows");
      }
    } else {
      result.explanation =
          fmt::format("the model has a batch size of {} built in, and the loader delivers {} rows", wanted, batch_[0]);
      result.remedies.push_back(fmt::format("--batch-size {} (LoaderOptions::batch_size)", wanted));
    }
    result.remedies.push_back(
        "leave the batch size open in the model: export it with dynamic_axes={'input': {0: 'batch'}}, write "
        "x.flatten(1) or x.view(x.size(0), -1) where a shape names it");
  }

  void explain_layout(ShapeDiagnosis& result, bool wants_nchw) {
    result.cause = ShapeCause::layout;
    result.explanation =
        fmt::format("the batch is {}, {{n, {}}}, and the model takes {}, {{n, {}}}", wants_nchw ? "NHWC" : "NCHW",
                    wants_nchw ? "height, width, channels" : "channels, height, width", wants_nchw ? "NCHW" : "NHWC",
                    wants_nchw ? "channels, height, width" : "height, width, channels");
    result.remedies.push_back(
        fmt::format("--layout {0} (LoaderOptions::layout = Layout::{0})", wants_nchw ? "nchw" : "nhwc"));
    const Dims& b = batch_;
    mended_batch_ = wants_nchw ? Dims{b[0], b[3], b[1], b[2]} : Dims{b[0], b[2], b[3], b[1]};
  }

  /// True if the model's channels are found at the other end of the batch's shape.
  bool layout_is_other(std::int64_t channels, bool wants_nchw) const {
    const std::size_t here = wants_nchw ? 1 : 3;
    if (facts_.layout == (wants_nchw ? Layout::nhwc : Layout::nchw)) return true;
    if (facts_.layout && could_be_channels(batch_[here])) return false;
    return batch_[4 - here] == channels && batch_[here] != channels;
  }

  /// As loaders have them.
  static bool could_be_channels(std::int64_t count) { return count == 1 || count == 3; }

  void explain_model_channels(ShapeDiagnosis& result) {
    const bool wants_nchw = network_.input.layout != Layout::nhwc;
    set(result, ShapeCause::channels, "channels");
    if (layout_is_other(fault().expected, wants_nchw)) return explain_layout(result, wants_nchw);
    explain_image_channels(result, wants_nchw ? 1 : 3);
  }

  void explain_image_channels(ShapeDiagnosis& result, std::size_t axis) {
    const std::int64_t expected = fault().expected;
    const std::int64_t received = fault().received;
    if (found_->node < network_.nodes.size() && network_.input.channels == received) {
      result.explanation =
          fmt::format("the model's own input has {} channels, and {} takes {}", received, node().label, expected);
      return advise_channels(result, found_->node, received);
    }
    const auto called = [](std::int64_t channels) {
      return channels == 1   ? "grey images (1 channel)"
             : channels == 3 ? "colour images (3 channels)"
                             : fmt::format("images of {} channels", channels);
    };
    result.explanation = fmt::format("the model takes {}, and the batch holds {}", called(expected), called(received));
    const bool loaders = could_be_channels(received);
    if (loaders && expected == 3)
      result.remedies.push_back("--color rgb (DecodeOptions::color = Color::rgb): grey is repeated");
    if (loaders && expected == 1) result.remedies.push_back("--color grey (DecodeOptions::color = Color::grey)");
    if (found_->node < network_.nodes.size()) advise_channels(result, found_->node, received);
    mended_batch_ = batch_;
    (*mended_batch_)[axis] = expected;
  }

  void explain_model_size(ShapeDiagnosis& result) {
    const bool along_height = fault().axis == static_cast<std::int64_t>(axes_.height);
    set(result, ShapeCause::input_size, along_height ? "height" : "width");
    const bool wants_nchw = network_.input.layout != Layout::nhwc;
    if (facts_.layout && facts_.layout != (wants_nchw ? Layout::nchw : Layout::nhwc))
      return explain_layout(result, wants_nchw);
    const Size wanted = {network_.input.height.value_or(batch_[axes_.height]),
                         network_.input.width.value_or(batch_[axes_.width])};
    result.explanation =
        fmt::format("the model takes images of {}, and the batch holds {}", to_string(wanted), to_string(image_size()));
    result.remedies.push_back(end_in(wanted));
    result.remedies.push_back("leave height and width open in the model, if its layers allow that");
    mended_batch_ = batch_;
    (*mended_batch_)[axes_.height] = wanted.height;
    (*mended_batch_)[axes_.width] = wanted.width;
  }

  // ---- causes that lie between layers ----

  void advise_channels(ShapeDiagnosis& result, std::size_t index, std::int64_t channels) {
    Network changed = open_;
    auto& op = changed.nodes[index].op;
    std::string parameter = "num_features";
    if (auto* conv = std::get_if<Conv2d>(&op)) {
      conv->in_channels = channels;
      parameter = "in_channels";
    } else if (auto* transposed = std::get_if<ConvTranspose2d>(&op)) {
      transposed->in_channels = channels;
      parameter = "in_channels";
    } else if (auto* norm = std::get_if<BatchNorm2d>(&op)) {
      norm->num_features = channels;
      if (norm->kind == "GroupNorm") parameter = "num_channels";
      if (norm->kind == "PReLU") parameter = "num_parameters";
    } else if (auto* flat = std::get_if<BatchNorm1d>(&op)) {
      flat->num_features = channels;
    }
    advise(result, fmt::format("{} = {} in {}", parameter, channels, call(index)), changed);
  }

  void explain_channels(ShapeDiagnosis& result) {
    set(result, ShapeCause::channels, axis_name(1, in().size()));
    const auto keeps_channels = [&](const Node& passed) {
      const auto& before = in(passed);
      const auto& after = walked_.values[passed.outputs[0]].dims;
      return passed.inputs.size() == 1 && is_image(before) && is_image(after) && (*before)[1] == (*after)[1] &&
             !std::holds_alternative<Conv2d>(passed.op) && !std::holds_alternative<ConvTranspose2d>(passed.op);
    };
    const std::optional<std::size_t> origin = back_to(node(), keeps_channels);
    if (!origin) {
      if (layout_is_other(fault().expected, true)) return explain_layout(result, true);
      return explain_image_channels(result, 1);
    }
    result.explanation = fmt::format("{} gives {} channels, and {} takes {}", call(*origin), fault().received,
                                     node().label, fault().expected);
    advise_channels(result, found_->node, fault().received);
    Network changed = open_;
    auto* conv = std::get_if<Conv2d>(&changed.nodes[*origin].op);
    auto* transposed = std::get_if<ConvTranspose2d>(&changed.nodes[*origin].op);
    if (conv == nullptr && transposed == nullptr) return;
    (conv != nullptr ? conv->out_channels : transposed->out_channels) = fault().expected;
    advise(result, fmt::format("out_channels = {} in {}", fault().expected, call(*origin)), changed);
  }

  void explain_window(ShapeDiagnosis& result) {
    const bool along_height = fault().axis == 2;
    set(result, ShapeCause::input_size, along_height ? "height" : "width");
    result.expected = fmt::format("at least {}", fault().expected);
    const Window window = *window_of(node(), along_height ? 0 : 1);
    const std::int64_t reached = in()[static_cast<std::size_t>(fault().axis)];
    result.explanation =
        fmt::format("the window of {} is {} {}, and {} reach it{}; {}", node().label, window.extent(),
                    along_height ? "rows high" : "columns wide", reached,
                    fault().received == reached ? "" : fmt::format(" ({} with padding)", fault().received),
                    path(along_height ? 2 : 3));
    if (briefly_) return;
    find_sizes(result);
    if (result.sizes && near(*result.sizes)) result.cause = ShapeCause::arithmetic;
    result.explanation += unpadded(along_height ? 2 : 3);
    add_paddings(result, nullptr);
  }

  /// The image that was flattened into what the node receives, and the node that did it.
  struct Flattened {
    Dims image;
    std::size_t by;
  };
  std::optional<Flattened> flattened(const Node& of) const {
    const auto is_flat = [&](const Node& passed) {
      const auto& before = in(passed);
      return before && before->size() <= 2 && before == walked_.values[passed.outputs[0]].dims;
    };
    const std::optional<std::size_t> by = back_to(of, is_flat);
    if (!by || network_.nodes[*by].inputs.empty() || !is_image(in(network_.nodes[*by]))) return std::nullopt;
    const auto& out = walked_.values[network_.nodes[*by].outputs[0]].dims;
    if (!out || out->size() > 2) return std::nullopt;
    return Flattened{*in(network_.nodes[*by]), *by};
  }

  void explain_features(ShapeDiagnosis& result) {
    set(result, ShapeCause::flatten, "in_features");
    if (in().size() == 4) return explain_missing_flatten(result);
    const std::optional<Flattened> origin = flattened(node());
    if (!origin) {
      result.cause = ShapeCause::channels;
      result.explanation = fmt::format("the layers before give rows of {}, and {} takes rows of {}", fault().received,
                                       node().label, fault().expected);
      advise_features(result, fault().received, "");
      return;
    }
    const std::optional<std::int64_t> rows = named_rows(network_, network_.nodes[origin->by]);
    if (rows && *rows != batch_[0]) {
      blame_batch_size(result, axis_name(0, 2), *rows);
      mended_batch_ = batch_;
      (*mended_batch_)[0] = *rows;
      return;
    }
    const Dims& image = origin->image;
    const std::int64_t per_row = elements({image[1], image[2], image[3]});
    if (in().front() != image.front() && fault().received != per_row) {
      result.cause = ShapeCause::dimensions;
      result.explanation = fmt::format("{} merges the rows of the batch: {} becomes {}", call(origin->by),
                                       describe(image), describe(in()));
      result.remedies.push_back("Flatten(), which keeps dimension 0");
      return;
    }
    explain_flattened(result, image, fault().expected);
  }

  /// Another in_features of the failing Linear.
  void advise_features(ShapeDiagnosis& result, std::int64_t features, std::string_view reason) {
    const auto* linear = std::get_if<Linear>(&node().op);
    if (linear == nullptr) return;
    Network changed = open_;
    std::get<Linear>(changed.nodes[found_->node].op).in_features = features;
    advise(result, fmt::format("Linear({}, {}){}", features, linear->out_features, reason), changed);
  }

  void blame_batch_size(ShapeDiagnosis& result, std::string dimension, std::int64_t wanted) const {
    result.cause = ShapeCause::batch_size;
    result.dimension = std::move(dimension);
    result.expected = std::to_string(wanted);
    result.received = std::to_string(batch_[0]);
    explain_fixed_batch(result, wanted);
  }

  /// `wanted` features of a row, where `image` flattens to another number.
  void explain_flattened(ShapeDiagnosis& result, const Dims& image, std::int64_t wanted) {
    const std::int64_t received = elements({image[1], image[2], image[3]});
    result.received = fmt::format("{} = {} x {} x {}", received, image[1], image[2], image[3]);
    result.expected = factors(wanted, image[1]);
    if (briefly_) return;
    find_sizes(result);
    if (result.sizes) {
      Dims batch = batch_;
      batch[axes_.height] = result.sizes->size.height;
      batch[axes_.width] = result.sizes->size.width;
      const Walk fitting = walk(open_, batch);
      const std::size_t place = found_->node;
      const auto& fit = fitting.values[network_.nodes[place].inputs[0]].dims;
      if (is_image(fit)) result.expected = fmt::format("{} = {} x {} x {}", wanted, (*fit)[1], (*fit)[2], (*fit)[3]);
      if (const std::optional<Flattened> origin = flattened(node())) {
        const auto& whole = fitting.values[network_.nodes[origin->by].inputs[0]].dims;
        if (is_image(whole)) {
          result.expected = fmt::format("{} = {} x {} x {}", wanted, (*whole)[1], (*whole)[2], (*whole)[3]);
        }
      }
    }
    std::optional<std::size_t> rounding;
    add_paddings(result, &rounding);
    const std::string way = path(2);
    if (rounding) {
      result.cause = ShapeCause::rounding;
      const Node& pool = network_.nodes[*rounding];
      const std::int64_t rows = (*in(pool))[2];
      result.explanation = fmt::format(
          "{} rounds down: its windows leave {} of {} rows over, and in_features was computed as if they counted; {}",
          call(*rounding), slide(*window_of(pool, 0), rows).left_over, rows, way);
    } else if (result.sizes && near(*result.sizes)) {
      result.cause = ShapeCause::arithmetic;
      const bool lacks =
          result.sizes->size.height > image_size().height || result.sizes->size.width > image_size().width;
      result.explanation = fmt::format("with these kernels, strides and paddings the image {} {} pixel{}; {}{}",
                                       lacks ? "lacks" : "is too large by", distance(*result.sizes),
                                       distance(*result.sizes) == 1 ? "" : "s", way, unpadded(2));
    } else if (wanted % image[1] != 0 && !result.sizes) {
      result.explanation = fmt::format(
          "{0} channels reach the flattening, so that in_features must be a multiple of {0} whatever the image size; "
          "{1}",
          image[1], way);
    } else {
      result.explanation = fmt::format(
          "what flattening makes follows from the image size, and in_features was computed for another; {}", way);
    }
    advise_features(result, received, ", for this image size");
    if (wanted % image[1] != 0) return;
    const auto side = static_cast<std::int64_t>(std::llround(std::sqrt(static_cast<double>(wanted / image[1]))));
    if (side * side * image[1] != wanted || side > 32) return;
    const std::optional<Flattened> origin = flattened(node());
    const Network changed = with_node(open_, origin ? origin->by : found_->node,
                                      {.op = AdaptiveAvgPool2d{side, side}, .label = {}, .inputs = {}, .outputs = {}});
    advise(result, fmt::format("AdaptiveAvgPool2d({}) before the flattening, for any image size", side), changed);
  }

  /// "9216 = 256 x 6 x 6", as far as that can be told without a fitting image.
  static std::string factors(std::int64_t features, std::int64_t channels) {
    if (features % channels != 0) return std::to_string(features);
    const std::int64_t area = features / channels;
    const auto side = static_cast<std::int64_t>(std::llround(std::sqrt(static_cast<double>(area))));
    return side * side == area ? fmt::format("{} = {} x {} x {}", features, channels, side, side)
                               : fmt::format("{} = {} x {}", features, channels, area);
  }

  Network with_flatten() const {
    return with_node(open_, found_->node, {.op = Flatten{}, .label = {}, .inputs = {}, .outputs = {}});
  }

  void explain_missing_flatten(ShapeDiagnosis& result) {
    const Dims& image = in();
    result.cause = ShapeCause::dimensions;
    result.dimension = "dimension 3 (in_features)";
    const std::int64_t flat = elements({image[1], image[2], image[3]});
    result.explanation =
        fmt::format("{} receives images, {}, and looks at their last dimension, the width: a Flatten() is missing",
                    node().label, describe(image));
    if (flat < 0) return;  // more than can be counted
    Network changed = with_flatten();
    if (flat == fault().expected) return advise(result, "Flatten() before it", changed);
    std::get<Linear>(changed.nodes[found_->node + 1].op).in_features = flat;
    advise(result,
           fmt::format("Flatten() before it, and in_features = {} = {} x {} x {}", flat, image[1], image[2], image[3]),
           changed);
  }

  void explain_elements(ShapeDiagnosis& result) {
    set(result, ShapeCause::flatten, "elements");
    const Dims& from = in();
    const Dims to = shape_asked_for();
    if (to.size() >= 2 && to[0] > 1 && to[0] != batch_[0] && from[0] == batch_[0]) {
      Dims mended = to;
      mended[0] = batch_[0];
      const bool only_batch = std::ranges::count(mended, -1) == 1 || elements(mended) == elements(from);
      if (only_batch && (std::ranges::count(mended, -1) == 1 || elements(mended) > 0)) {
        blame_batch_size(result, axis_name(0, from.size()), to[0]);
        mended_batch_ = batch_;
        (*mended_batch_)[0] = to[0];
        return;
      }
    }
    if (is_image(from) && to.size() == 2 && to[1] > 0 && (to[0] == -1 || to[0] == from[0])) {
      result.dimension = "features of a row";
      explain_flattened(result, from, to[1]);
      return;
    }
    result.cause = ShapeCause::dimensions;
    result.explanation =
        fmt::format("{} has {} elements, and {} asks for {}", describe(from), fault().received, describe(to),
                    std::ranges::count(to, -1) == 0 ? std::to_string(fault().expected)
                                                    : fmt::format("a multiple of {}", fault().expected));
    if (!briefly_) find_sizes(result);
  }

  static std::int64_t elements(const Dims& dims) {
    std::int64_t product = 1;
    for (const std::int64_t dim : dims) {
      if (__builtin_mul_overflow(product, dim, &product)) return -1;
    }
    return product;
  }

  /// Of a reshaping node, before -1 and 0 are replaced.
  Dims shape_asked_for() const {
    if (const auto* reshape = std::get_if<Reshape>(&node().op)) return reshape->shape;
    Dims shape = walked_.values[node().inputs[1]].content.value_or(Dims{});
    for (std::size_t axis = 0; axis < std::min(shape.size(), in().size()); ++axis) {
      if (shape[axis] == 0) shape[axis] = in()[axis];
    }
    return shape;
  }

  void explain_mixed(ShapeDiagnosis& result) {
    set(result, ShapeCause::flatten, axis_name(0, in().size()));
    const Dims& from = in();
    const Dims to = *walked_.values[node().outputs[0]].dims;
    if (std::holds_alternative<Flatten>(node().op) || to.size() < 2) {
      result.cause = ShapeCause::dimensions;
      result.explanation =
          fmt::format("{} merges the rows of the batch: {} becomes {}", node().label, describe(from), describe(to));
      result.remedies.push_back("Flatten(), which keeps dimension 0");
      return;
    }
    if (const std::optional<std::int64_t> rows = named_rows(network_, node())) {
      return blame_batch_size(result, "batch size", *rows);
    }
    if (is_image(from)) {
      explain_flattened(result, from, to[1]);
      result.expected = std::to_string(fault().expected);
      result.received = std::to_string(fault().received);
    } else {
      result.cause = ShapeCause::dimensions;
    }
    result.explanation = fmt::format(
        "{} cuts the rows of the batch up: {} samples become {} rows, and the labels no longer "
        "match (which only the loss would notice){}{}",
        node().label, from[0], to[0], result.explanation.empty() ? "" : ". ", result.explanation);
    Network changed = open_;
    changed.nodes[found_->node].op = Flatten{};
    add(result, "x.flatten(1) instead of x.view(-1, ...): it never changes the number of rows", reach(changed), true);
  }

  void explain_join(ShapeDiagnosis& result) {
    const bool along_channels = fault().axis == 1 && fault().rank != 3;
    set(result, along_channels ? ShapeCause::channels : ShapeCause::join, axis_name(fault().axis, fault().rank));
    const Dims& other = *in(node(), fault().input);
    result.explanation = fmt::format("the branches that meet here come to {} and {}", describe(in()), describe(other));
    if (in().size() != other.size()) {
      result.explanation +=
          fmt::format(", of {} and {} dimensions, which are matched from the last one", in().size(), other.size());
      return;
    }
    if (fault().axis == 0 && (fault().expected == batch_[0] || fault().received == batch_[0])) {
      const std::int64_t wanted = fault().expected == batch_[0] ? fault().received : fault().expected;
      return blame_batch_size(result, result.dimension, wanted);
    }
    if (fault().axis < 2 || briefly_) return;
    for (std::size_t i = 0; i < found_->node; ++i) {
      const Node& pool = network_.nodes[i];
      const std::optional<Window> window = window_of(pool, 0);
      if (!window || window->transposed || !is_image(in(pool))) continue;
      const std::int64_t rows = (*in(pool))[2];
      const std::int64_t left_over = slide(*window, rows).left_over;
      if (left_over == 0) continue;
      result.explanation +=
          fmt::format("; {} rounds down: its windows leave {} of {} rows over", call(i), left_over, rows);
      break;
    }
    find_sizes(result);
  }

  void explain_rank(ShapeDiagnosis& result) {
    set(result, ShapeCause::dimensions, "number of dimensions");
    result.explanation = fmt::format("{} takes {}, and receives {}", node().label, fault().message,
                                     describe(*in(node(), fault().input)));
    if (fault().input != 0) return;
    if (fault().expected == 2 && in().size() == 4) add(result, "Flatten() before it", reach(with_flatten()), true);
    if (fault().expected == 4 && in().size() == 2) result.remedies.push_back("move it before the flattening");
  }

  void explain_shape(ShapeDiagnosis& result) {
    result.cause = ShapeCause::dimensions;
    result.dimension = "shape";
    result.expected = fault().message;
    result.received = describe(in());
    result.explanation = fmt::format("{} takes {}, and receives {}", node().label, fault().message, describe(in()));
    if (takes_images(node()) && !briefly_) find_sizes(result);
  }

  void explain_parameters(ShapeDiagnosis& result) const {
    result.cause = ShapeCause::parameters;
    result.explanation = fmt::format("{}: {}", node().label, fault().message);
  }

  void explain_foreign(ShapeDiagnosis& result) {
    result.explanation = fault().message;
    if (!briefly_) find_sizes(result);
  }

  // ---- what would fit ----

  Size image_size() const { return {batch_[axes_.height], batch_[axes_.width]}; }

  /// Pixels between the batch's images and the nearest that fit.
  std::int64_t distance(const FittingSizes& sizes) const {
    const auto to = [&](Size size) {
      return std::max(std::abs(size.height - image_size().height), std::abs(size.width - image_size().width));
    };
    return std::min(to(sizes.from), to(sizes.to));
  }
  bool near(const FittingSizes& sizes) const { return distance(sizes) <= 3; }

  static std::string end_in(Size size) {
    return fmt::format(
        "let the pipeline end in {0}: CenterCrop, RandomResizedCrop or Resize with size {{{1}, {2}}}, or LetterBox",
        to_string(size), size.height, size.width);
  }

  /// How far a walk comes that fails at found_ as things are.
  struct Reach {
    bool passes = false;  // beyond the failing layer
    std::optional<std::size_t> until = {};

    bool whole() const { return passes && !until; }
  };

  /// Nothing passes once the budget is spent.
  Reach reach(const Network& network, Size size, std::int64_t& budget) const {
    if (budget < cost_) {
      budget = 0;
      return {};
    }
    budget -= cost_;
    Dims batch = mended_batch_.value_or(batch_);
    batch[axes_.height] = size.height;
    batch[axes_.width] = size.width;
    const Walk walked = walk(network, batch, true);
    if (walked.faults.empty()) return {.passes = true};
    const std::size_t added = network.nodes.size() - network_.nodes.size();  // all before the failing layer
    const std::size_t place = walked.faults[0].node;
    if (place <= found_->node + added) return {};
    return {.passes = true, .until = place - added};
  }
  Reach reach(const Network& changed) { return reach(changed, image_size(), remedy_budget_); }

  /// What mends the whole network comes first; what another layer undoes is named only where nothing else helps, or
  /// where it is the answer `always`.
  void add(ShapeDiagnosis& result, const std::string& remedy, const Reach& reached, bool always = false) {
    if (briefly_ || (!reached.passes && !always)) return;
    if (reached.whole() || always) {
      any_whole_ = any_whole_ || reached.whole();
      result.remedies.push_back(remedy + until(reached));
    } else {
      partial_.push_back(remedy + until(reached));
    }
  }
  void advise(ShapeDiagnosis& result, const std::string& remedy, const Network& changed) {
    if (!briefly_) add(result, remedy, reach(changed));
  }
  std::string until(const Reach& reached) const {
    return reached.until ? fmt::format(" (as far as {})", call(*reached.until)) : std::string();
  }

  /// The image size nearest to the batch's that fits, among those that `at` makes of a side.
  template <class At>
  std::optional<FittingSizes> nearest(At at, std::int64_t now, bool whole) {
    const std::int64_t most = std::max(largest_side, 2 * now);
    const auto good = [&](std::int64_t side) {
      if (side < 1 || side > most) return false;
      const Reach reached = reach(open_, at(side), size_budget_);
      return whole ? reached.whole() : reached.passes;
    };
    for (std::int64_t step = 1; step < most && size_budget_ > 0; ++step) {
      const std::int64_t first = common_size(now - step) ? now - step : now + step;
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
          if (!common_size(other)) continue;
          proposed = other;
          break;
        }
        if (proposed == 227 && from <= 224) proposed = 224;  // 227 is the first AlexNet's alone
        return FittingSizes{at(proposed), at(from), at(to)};
      }
    }
    return std::nullopt;
  }

  void find_sizes(ShapeDiagnosis& result) {
    if (network_.input.height && network_.input.width) return;  // the model's own size is fixed
    const Size now = image_size();
    for (const bool whole : {true, false}) {
      if (now.height == now.width) {
        result.sizes = nearest([](std::int64_t side) { return Size{side, side}; }, now.height, whole);
      }
      if (!result.sizes)
        result.sizes = nearest([&](std::int64_t side) { return Size{side, now.width}; }, now.height, whole);
      if (!result.sizes)
        result.sizes = nearest([&](std::int64_t side) { return Size{now.height, side}; }, now.width, whole);
      if (!result.sizes && now.height != now.width) {
        result.sizes = nearest([](std::int64_t side) { return Size{side, side}; }, now.height, whole);
      }
      if (result.sizes) break;
    }
    if (!result.sizes) return;
    const auto& [size, from, to] = *result.sizes;
    const bool open_ended =
        std::max(to.height, to.width) >= std::max(largest_side, 2 * std::max(now.height, now.width));
    const std::string range = from == to   ? ""
                              : open_ended ? fmt::format(" (all from {} on fit)", to_string(from))
                                           : fmt::format(" ({} to {} fit)", to_string(from), to_string(to));
    add(result, fmt::format("images of {}{} instead of {}: {}", to_string(size), range, to_string(now), end_in(size)),
        reach(open_, size, remedy_budget_));
  }

  /// A ceil_mode or a padding that alone makes the network fit. `rounding` is set to the pooling layer that rounds
  /// down, unless a convolution before it leaves rows over as well.
  void add_paddings(ShapeDiagnosis& result, std::optional<std::size_t>* rounding) {
    int num_whole = 0;
    bool convolution_leaves_rows = false;
    for (std::size_t i = 0; i <= found_->node && i < network_.nodes.size() && num_whole < 2; ++i) {
      const Node& tried = network_.nodes[i];
      const std::optional<Window> window = window_of(tried, 0);
      if (!window || window->transposed || !is_image(in(tried)) || paddings_cost_enough()) continue;
      const std::int64_t left_over = slide(*window, (*in(tried))[2]).left_over;
      if (is_pool(tried)) {
        if (left_over == 0 || window->ceil) continue;
        Network changed = open_;
        if (auto* pool = std::get_if<MaxPool2d>(&changed.nodes[i].op)) pool->ceil_mode = true;
        if (auto* pool = std::get_if<AvgPool2d>(&changed.nodes[i].op)) pool->ceil_mode = true;
        const Reach reached = reach(changed);
        if (!reached.passes) continue;
        add(result, fmt::format("ceil_mode=True in {}, which then rounds up", call(i)), reached);
        num_whole += reached.whole() ? 1 : 0;
        if (rounding && !convolution_leaves_rows && !*rounding) *rounding = i;
        continue;
      }
      convolution_leaves_rows = convolution_leaves_rows || left_over > 0;
      const auto [padding, reached] = fitting_padding(i);
      if (!reached.passes) continue;
      const bool same = window->stride == 1 && 2 * padding == window->dilation * (window->kernel - 1);
      add(result, fmt::format("padding={}{} in {}", padding, same ? " ('same')" : "", call(i)), reached);
      num_whole += reached.whole() ? 1 : 0;
    }
  }

  /// The other half is for the remedies that are tried once.
  bool paddings_cost_enough() const { return remedy_budget_ < remedy_budget / 2; }

  struct Padding {
    std::int64_t rows = 0;
    Reach reached = {};
  };
  /// Of the convolution `index`, nearest to what it has; not one so wide that a window sees zeros alone.
  Padding fitting_padding(std::size_t index) {
    const auto& conv = std::get<Conv2d>(network_.nodes[index].op);
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

  /// One step that forward() may take where the print does not show it, and with which the whole network fits.
  std::string unseen_step() {
    struct Step {
      Layer::Kind layer;
      const char* again;
    };
    std::vector<Step> steps;
    for (const Node& printed : network_.nodes) {
      if (steps.size() >= 3) break;
      if (const auto* pool = std::get_if<MaxPool2d>(&printed.op)) steps.push_back({*pool, " once more"});
      if (const auto* pool = std::get_if<AvgPool2d>(&printed.op)) steps.push_back({*pool, " once more"});
    }
    steps.insert(steps.end(), {{MaxPool2d{2}, ""}, {AdaptiveAvgPool2d{}, " (or x.mean((2, 3)))"}, {Flatten{}, ""}});
    for (std::size_t i = found_->node + 1; i-- > 0 && remedy_budget_ > 0;) {
      if (!is_image(in(network_.nodes[i]))) continue;
      for (const Step& step : steps) {
        if (!reach(with_node(open_, i, node_of(step.layer))).whole()) continue;
        return fmt::format("forward() calls {}{} before {}", describe(step.layer), step.again, call(i));
      }
    }
    Network pooled = open_;
    for (std::size_t i = found_->node + 1; i-- > 0;) {
      const auto& inputs = network_.nodes[i].inputs;
      const std::optional<std::size_t> before = inputs.empty() ? std::nullopt : maker(inputs[0]);
      if (before && std::holds_alternative<Conv2d>(network_.nodes[*before].op)) {
        pooled = with_node(std::move(pooled), i, node_of(MaxPool2d{2}));
      }
    }
    if (pooled.nodes.size() > open_.nodes.size() && reach(pooled).whole()) {
      return fmt::format("forward() calls {} after every convolution", describe(Layer::Kind(MaxPool2d{2})));
    }
    return {};
  }

  static Node node_of(const Layer::Kind& layer) {
    Node node{.op = Flatten{}, .label = {}, .inputs = {}, .outputs = {}};
    if (const auto* pool = std::get_if<MaxPool2d>(&layer)) node.op = *pool;
    if (const auto* pool = std::get_if<AvgPool2d>(&layer)) node.op = *pool;
    if (const auto* pool = std::get_if<AdaptiveAvgPool2d>(&layer)) node.op = *pool;
    return node;
  }

  /// The nodes that lead to the failing one along first inputs, in order.
  std::vector<std::size_t> way() const {
    std::vector<std::size_t> nodes;
    std::optional<std::size_t> at = node().inputs.empty() ? std::nullopt : maker(node().inputs[0]);
    while (at) {
      nodes.push_back(*at);
      const Node& passed = network_.nodes[*at];
      at = passed.inputs.empty() ? std::nullopt : maker(passed.inputs[0]);
    }
    std::ranges::reverse(nodes);
    return nodes;
  }

  /// What convolutions without padding took away; empty if there are none.
  std::string unpadded(std::size_t axis) const {
    std::vector<std::int64_t> taken;
    for (const std::size_t index : way()) {
      const auto* conv = std::get_if<Conv2d>(&network_.nodes[index].op);
      if (conv == nullptr) continue;
      const Window window = *window_of(network_.nodes[index], axis == 2 ? 0 : 1);
      const bool padded = window.rule == WindowPadding::Rule::sides ? window.before + window.after > 0
                                                                    : window.rule != WindowPadding::Rule::valid;
      if (!padded && window.stride == 1 && window.extent() > 1) taken.push_back(window.extent() - 1);
    }
    if (taken.empty()) return {};
    return fmt::format("; convolutions without padding ('valid') take kernel_size - 1 {} each, here {}",
                       axis == 2 ? "rows" : "columns", fmt::join(taken, " + "));
  }

  /// "height on the way: 192 -> 47 -> 23 -> 11 -> 5"
  std::string path(std::size_t axis) const {
    std::string sides = std::to_string(batch_[axis == 2 ? axes_.height : axes_.width]);
    std::int64_t last = batch_[axis == 2 ? axes_.height : axes_.width];
    for (const std::size_t index : way()) {
      const auto& out = walked_.values[network_.nodes[index].outputs[0]].dims;
      if (!is_image(out) || (*out)[axis] == last) continue;
      last = (*out)[axis];
      sides += fmt::format(" -> {}", last);
    }
    return fmt::format("{} on the way: {}", axis == 2 ? "height" : "width", sides);
  }

  void add_assumption(ShapeDiagnosis& result) const {
    result.explanation +=
        fmt::format(". The print of {} does not show its forward(): layers were taken in the printed order",
                    fmt::join(network_.assumed, ", "));
    if (result.cause == ShapeCause::flatten || result.cause == ShapeCause::arithmetic ||
        result.cause == ShapeCause::rounding) {
      result.explanation += unseen_pooling(result);
    }
    result.remedies.push_back(
        "write the layers out in the order of forward(), with what it calls as a function (F.max_pool2d is MaxPool2d), "
        "or "
        "export the model to ONNX and use --model, which shows it all");
  }

  /// Where pooling by 2 once more, or more often, would explain the number, it is likely done in forward().
  std::string unseen_pooling(const ShapeDiagnosis&) const {
    const std::optional<Flattened> origin = flattened(node());
    if (fault().kind != Fault::Kind::features || !origin) return {};
    std::int64_t height = origin->image[2], width = origin->image[3];
    for (int times = 1; times <= 5 && height > 1 && width > 1; ++times) {
      height /= 2;
      width /= 2;
      if (origin->image[1] * height * width != fault().expected) continue;
      return fmt::format(
          ". {} = {} x {} x {} is what {} more pooling{} by 2 in forward() would give: then the model fits",
          fault().expected, origin->image[1], height, width, times, times == 1 ? "" : "s");
    }
    return {};
  }

  const Network& network_;
  const Dims& batch_;
  BatchFacts facts_;
  const Walk& walked_;
  std::vector<std::size_t> rows_;
  Network open_;  // takes images of any size
  Axes axes_;
  const Walk::Found* found_ = nullptr;
  bool briefly_ = false;
  std::optional<Dims> mended_batch_;
  std::vector<std::optional<std::size_t>> makers_;  // by value
  std::int64_t cost_ = 0;                           // of a walk
  std::int64_t size_budget_ = size_budget;
  std::int64_t remedy_budget_ = remedy_budget;
  bool any_whole_ = false;
  std::vector<std::string> partial_;  // remedies that help as far as they say
};

const std::optional<Dims>& in_of(const Walk& walked, const Node& node) { return walked.values[node.inputs[0]].dims; }

/// What a network that fits rests on.
std::vector<std::string> caveats_of(const Network& network, const Walk& walked,
                                    const std::vector<std::size_t>& numbers) {
  std::vector<std::string> caveats;
  if (!network.assumed.empty()) {
    const auto flatten = std::ranges::find_if(network.nodes, [](const Node& node) { return node.assumed; });
    const auto row =
        flatten == network.nodes.end() ? 0 : numbers[static_cast<std::size_t>(flatten - network.nodes.begin())];
    caveats.push_back(fmt::format(
        "the print of {} does not show its forward(): this holds if it runs the layers in the printed order{}",
        fmt::join(network.assumed, ", "), row == 0 ? "" : fmt::format(", with the Flatten() of layer {}", row)));
  }
  for (std::size_t i = 0; i < network.nodes.size(); ++i) {
    const Node& node = network.nodes[i];
    const auto* norm = std::get_if<BatchNorm2d>(&node.op);
    const bool of_batch = std::holds_alternative<BatchNorm1d>(node.op) || (norm && norm->kind == "BatchNorm2d");
    if (!node.as_pytorch || !of_batch || !in_of(walked, node) || in_of(walked, node)->front() != 1) continue;
    const Dims& in = *in_of(walked, node);
    if (!std::all_of(in.begin() + 2, in.end(), [](std::int64_t side) { return side == 1; })) continue;
    caveats.push_back(
        fmt::format("layer {} {} receives one value per channel, of which PyTorch takes no variance: fits in eval(), "
                    "not in training; a last batch of one row: --last-batch drop, pad or wrap",
                    numbers[i], node.label));
    break;
  }
  for (const Walk::Found& found : walked.warnings) {
    caveats.push_back(
        fmt::format("layer {} {} makes {} rows of {} samples: the labels must be laid out in the same way",
                    numbers[found.node], network.nodes[found.node].label, found.fault.received, found.fault.expected));
  }
  return caveats;
}

}  // namespace

std::string_view name(ShapeCause cause) noexcept {
  switch (cause) {
    case ShapeCause::batch_size:
      return "batch size";
    case ShapeCause::channels:
      return "channels";
    case ShapeCause::layout:
      return "layout";
    case ShapeCause::input_size:
      return "input size";
    case ShapeCause::arithmetic:
      return "convolution arithmetic";
    case ShapeCause::rounding:
      return "pooling rounds down";
    case ShapeCause::flatten:
      return "flatten follows the image size";
    case ShapeCause::dimensions:
      return "dimensions";
    case ShapeCause::join:
      return "branches";
    case ShapeCause::parameters:
      return "parameters";
    case ShapeCause::other:
      return "other";
  }
  return "other";
}

Trace trace(const Network& network, const Dims& batch, const BatchFacts& facts) {
  Walk walked = walk(network, batch);
  find_other_layout(network, facts, walked);
  const std::size_t num_nodes = network.nodes.size();
  const auto layer =
      std::ranges::find_if(walked.faults, [&](const Walk::Found& found) { return found.node < num_nodes; });
  const std::size_t failing = layer == walked.faults.end() ? num_nodes : layer->node;
  const bool input_fails = !walked.faults.empty() && walked.faults.front().node == num_nodes;
  Trace result;
  result.rows.push_back({.layer = network.input_name, .in = {}, .out = batch, .fits = !input_fails});
  const std::vector<std::size_t> numbers = number_rows(network, walked);
  for (std::size_t i = 0; i < num_nodes && i <= failing; ++i) {
    if (numbers[i] == 0) continue;
    const Node& node = network.nodes[i];
    const auto dims = [&](const std::vector<std::size_t>& values) {
      return values.empty() ? Dims{} : walked.values[values[0]].dims.value_or(Dims{});
    };
    const bool fits = i != failing;
    result.rows.push_back(
        {.layer = node.label, .in = dims(node.inputs), .out = fits ? dims(node.outputs) : Dims{}, .fits = fits});
  }
  if (walked.faults.empty()) {
    result.caveats = caveats_of(network, walked, numbers);
    return result;
  }
  Diagnosis diagnosis(network, batch, facts, walked);
  result.diagnosis = diagnosis.explain(walked.faults.front());
  result.diagnosis->row = input_fails ? 0 : result.rows.size() - 1;
  result.diagnosis->next = diagnosis.explain_next(*result.diagnosis);
  return result;
}

const TraceRow* Trace::first_unknown() const noexcept {
  const auto found = std::ranges::find_if(rows, [](const TraceRow& row) { return row.fits && row.out.empty(); });
  return found == rows.end() ? nullptr : &*found;
}

std::string Trace::table() const {
  const auto shape = [](const Dims& dims) { return dims.empty() ? std::string("?") : describe(dims); };
  std::size_t layer_width = 5, in_width = 2;
  for (const TraceRow& row : rows) {
    layer_width = std::max(layer_width, row.layer.size());
    in_width = std::max(in_width, shape(row.in).size());
  }
  std::string text = fmt::format("{:>3}  {:<{}}  {:<{}}  {}\n", "", "layer", layer_width, "in", in_width, "out");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const TraceRow& row = rows[i];
    const std::string failure = row.fits ? "" : undecided() ? "undecided" : "does not fit";
    const std::string in = i == 0 ? "" : shape(row.in);
    const std::string out = i == 0     ? shape(row.out) + (row.fits ? "" : "  ") + failure
                            : row.fits ? shape(row.out)
                                       : failure;
    text += fmt::format("{:>3}  {:<{}}  {:<{}}  {}\n", i == 0 ? "" : std::to_string(i), row.layer, layer_width, in,
                        in_width, out);
  }
  return text;
}

std::string Trace::to_string() const {
  std::string text = table();
  if (const TraceRow* unknown = first_unknown()) {
    text += fmt::format("\nnot known, so not held against anything: what {} gives, and what follows from that alone\n",
                        unknown->layer);
  }
  for (const std::string& caveat : caveats) text += fmt::format("\nnote: {}\n", caveat);
  if (!diagnosis) return text;
  const ShapeDiagnosis& why = *diagnosis;
  if (undecided()) text += fmt::format("\nthe print alone cannot decide: the model fits if {}\n", why.fits_if);
  text += why.row == 0 ? std::string("\nthe batch does not fit the model\n")
                       : fmt::format("\n{}layer {} {} does not fit\n", undecided() ? "as it is printed, " : "", why.row,
                                     rows[why.row].layer);
  if (!why.dimension.empty()) {
    text += fmt::format("  {}: expected {}, received {}\n", why.dimension, why.expected, why.received);
  }
  text += fmt::format("  cause: {}: {}\n", name(why.cause), why.explanation);
  if (!why.remedies.empty())
    text += why.remedies.size() == 1 ? "  what would fit:\n" : "  what would fit, each alone:\n";
  for (const std::string& remedy : why.remedies) text += fmt::format("    - {}\n", remedy);
  if (!why.next.empty()) text += fmt::format("  once that is mended, next: {}\n", why.next);
  return text;
}

}  // namespace muster
