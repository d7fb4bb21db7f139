#include "trace/diagnose.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "trace/remedies.hpp"

namespace muster {
namespace {

std::string axis_name(std::int64_t axis, std::size_t rank) {
  if (axis == 0) return "dimension 0 (batch size)";
  if (axis == 1) return rank == 2 ? "dimension 1 (features)" : "dimension 1 (channels)";
  if (rank == 4 && axis == 2) return "dimension 2 (height)";
  if (rank == 4 && axis == 3) return "dimension 3 (width)";
  return fmt::format("dimension {}", axis);
}

/// As loaders have them.
bool could_be_channels(std::int64_t count) { return count == 1 || count == 3; }

std::string describe_images(std::int64_t channels) {
  if (channels == 1) return "grey images (1 channel)";
  if (channels == 3) return "colour images (3 channels)";
  return fmt::format("images of {} channels", channels);
}

/// Of each row of a batch of images, flattened; -1 if they are more than can be counted.
std::int64_t num_features(const Dims& images) { return product(std::span(images).subspan(1)).value_or(-1); }

/// "9216 = 256 x 6 x 6"
std::string factored(std::int64_t features, const Dims& images) {
  return fmt::format("{} = {} x {} x {}", features, images[1], images[2], images[3]);
}

/// The side of the square image that flattens to so many features; nothing if there is none.
std::optional<std::int64_t> square_side(std::int64_t features, std::int64_t channels) {
  const auto side = static_cast<std::int64_t>(std::llround(std::sqrt(static_cast<double>(features / channels))));
  return product(Dims{side, side, channels}) == features ? std::optional(side) : std::nullopt;
}

/// The same, as far as that can be told without an image that fits.
std::string factored(std::int64_t features, std::int64_t channels) {
  if (features % channels != 0) return std::to_string(features);
  if (const auto side = square_side(features, channels)) return factored(features, {1, channels, *side, *side});
  return fmt::format("{} = {} x {}", features, channels, features / channels);
}

/// Sets how many channels the layer takes; the name of the parameter.
std::string_view take_channels(Operation& op, std::int64_t channels) {
  if (auto* conv = std::get_if<Conv2d>(&op)) {
    conv->in_channels = channels;
    return "in_channels";
  }
  if (auto* conv = std::get_if<ConvTranspose2d>(&op)) {
    conv->in_channels = channels;
    return "in_channels";
  }
  if (auto* norm = std::get_if<BatchNorm2d>(&op)) {
    norm->num_features = channels;
    return norm->kind == "GroupNorm" ? "num_channels" : norm->kind == "PReLU" ? "num_parameters" : "num_features";
  }
  if (auto* norm = std::get_if<BatchNorm1d>(&op)) norm->num_features = channels;
  return "num_features";
}

/// Sets how many channels the layer gives; false if that is no parameter of it.
bool give_channels(Operation& op, std::int64_t channels) {
  auto* conv = std::get_if<Conv2d>(&op);
  auto* transposed = std::get_if<ConvTranspose2d>(&op);
  if (conv != nullptr) conv->out_channels = channels;
  if (transposed != nullptr) transposed->out_channels = channels;
  return conv != nullptr || transposed != nullptr;
}

class Diagnosis {
 public:
  Diagnosis(const WalkedNetwork& walked, const BatchFacts& facts, const Walk::Found& found, SearchBudget budget)
      : walked_(walked),
        network_(walked.network()),
        batch_(walked.batch()),
        axes_(axes_of(network_.input.layout)),
        facts_(facts),
        found_(found),
        remedies_(walked, found.node, budget) {}

  ShapeDiagnosis in_full() {
    result_.row = walked_.row(found_.node);
    explain();
    result_.remedies = remedies_.list();
    if (!network_.assumed.empty() && !is_of_input()) {
      if (fault().kind != Fault::Kind::layout) result_.fits_if = remedies_.unseen_step();
      add_assumption();
    }
    result_.next = next();
    return result_;
  }

  /// "layer 4 Linear(60, 10): in_features: expected 60, received 50"
  std::string in_brief() {
    explain();
    const std::string where = is_of_input() ? "the model's input" : walked_.call(found_.node);
    return result_.dimension.empty() ? fmt::format("{}: {}", where, result_.explanation)
                                     : fmt::format("{}: {}: expected {}, received {}", where, result_.dimension,
                                                   result_.expected, result_.received);
  }

 private:
  void explain() {
    switch (fault().kind) {
      case Fault::Kind::model_batch:
        return explain_model_batch();
      case Fault::Kind::model_channels:
        return explain_model_channels();
      case Fault::Kind::model_size:
        return explain_model_size();
      case Fault::Kind::channels:
        return explain_channels();
      case Fault::Kind::window:
        return explain_window();
      case Fault::Kind::features:
        return explain_features();
      case Fault::Kind::elements:
        return explain_elements();
      case Fault::Kind::batch_mixed:
        return explain_mixed();
      case Fault::Kind::join:
        return explain_join();
      case Fault::Kind::rank:
        return explain_rank();
      case Fault::Kind::shape:
        return explain_shape();
      case Fault::Kind::layout:
        return explain_layout(true);
      case Fault::Kind::parameters:
        return explain_parameters();
      case Fault::Kind::foreign:
        return explain_foreign();
    }
  }

  /// What is wrong after this fault is mended.
  std::string next() const {
    if (remedies_.mended_batch() || result_.sizes) {
      Dims batch = remedies_.mended_batch().value_or(batch_);
      if (result_.sizes) batch = axes_.resized(std::move(batch), result_.sizes->size);
      Network network = network_;
      // What the model's input says of the other dimensions stays.
      if (fault().kind == Fault::Kind::model_size) network.input.height = network.input.width = std::nullopt;
      const Walk again = walk(network, batch);
      for (const Walk::Found& found : again.faults) {
        if (!is_of_input() && found.node < found_.node) continue;
        return announce(WalkedNetwork(network, again), found);
      }
      return {};
    }
    for (const Walk::Found& found : walked_.walk().faults) {
      if (found.node > found_.node && found.node < network_.nodes.size()) return announce(walked_, found);
    }
    return {};
  }

  std::string announce(const WalkedNetwork& walked, const Walk::Found& found) const {
    return Diagnosis(walked, {.full_rows = facts_.full_rows}, found, no_search).in_brief();
  }

  const Fault& fault() const { return found_.fault; }
  bool is_of_input() const { return found_.node == network_.nodes.size(); }
  const Node& node() const { return network_.nodes[found_.node]; }
  const Dims& in() const { return *walked_.in(node()); }

  void set(ShapeCause cause, std::string dimension) {
    result_.cause = cause;
    result_.dimension = std::move(dimension);
    set_numbers(fault().expected, fault().received);
  }
  void set_numbers(std::int64_t expected, std::int64_t received) {
    result_.expected = std::to_string(expected);
    result_.received = std::to_string(received);
  }

  // ---- causes that lie in the batch ----

  void explain_model_batch() {
    set(ShapeCause::batch_size, "batch size");
    explain_fixed_batch(fault().expected);
    mend_batch_size(fault().expected);
  }

  void explain_fixed_batch(std::int64_t wanted) {
    if (facts_.full_rows != 0) {
      result_.explanation = fmt::format(
          "the model has a batch size of {} built in, and the last batch of an epoch has only {} rows, because {} does "
          "not divide the number of samples",
          wanted, batch_[0], facts_.full_rows);
      if (facts_.full_rows == wanted) {
        remedies_.add(
            "--last-batch drop, pad or wrap (LoaderOptions::last_batch): the last batch is left out, or has all rows");
      }
    } else {
      result_.explanation =
          fmt::format("the model has a batch size of {} built in, and the loader delivers {} rows", wanted, batch_[0]);
      remedies_.add(fmt::format("--batch-size {} (LoaderOptions::batch_size)", wanted));
    }
    remedies_.add(
        "leave the batch size open in the model: export it with dynamic_axes={'input': {0: 'batch'}}, write "
        "x.flatten(1) or x.view(x.size(0), -1) where a shape names it");
  }

  void blame_batch_size(std::string dimension, std::int64_t wanted) {
    result_.cause = ShapeCause::batch_size;
    result_.dimension = std::move(dimension);
    set_numbers(wanted, batch_[0]);
    explain_fixed_batch(wanted);
  }

  void mend_batch_size(std::int64_t rows) {
    Dims mended = batch_;
    mended[0] = rows;
    remedies_.mend_batch(std::move(mended));
  }

  void explain_layout(bool wants_nchw) {
    result_.cause = ShapeCause::layout;
    result_.explanation =
        fmt::format("the batch is {}, {{n, {}}}, and the model takes {}, {{n, {}}}", wants_nchw ? "NHWC" : "NCHW",
                    wants_nchw ? "height, width, channels" : "channels, height, width", wants_nchw ? "NCHW" : "NHWC",
                    wants_nchw ? "channels, height, width" : "height, width, channels");
    remedies_.add(fmt::format("--layout {0} (LoaderOptions::layout = Layout::{0})", wants_nchw ? "nchw" : "nhwc"));
    const Dims& b = batch_;
    remedies_.mend_batch(wants_nchw ? Dims{b[0], b[3], b[1], b[2]} : Dims{b[0], b[2], b[3], b[1]});
  }

  /// True if the model's channels are found at the other end of the batch's shape.
  bool layout_is_other(std::int64_t channels, bool wants_nchw) const {
    const std::size_t here = wants_nchw ? 1 : 3;
    if (facts_.layout == (wants_nchw ? Layout::nhwc : Layout::nchw)) return true;
    if (facts_.layout && could_be_channels(batch_[here])) return false;
    return batch_[4 - here] == channels && batch_[here] != channels;
  }

  void explain_model_channels() {
    const bool wants_nchw = network_.input.layout != Layout::nhwc;
    set(ShapeCause::channels, "channels");
    if (layout_is_other(fault().expected, wants_nchw)) return explain_layout(wants_nchw);
    explain_image_channels(axes_.channels);
  }

  void explain_image_channels(std::size_t axis) {
    const std::int64_t expected = fault().expected;
    const std::int64_t received = fault().received;
    if (!is_of_input() && network_.input.channels == received) {
      result_.explanation =
          fmt::format("the model's own input has {} channels, and {} takes {}", received, node().label, expected);
      return advise_in_channels();
    }
    result_.explanation =
        fmt::format("the model takes {}, and the batch holds {}", describe_images(expected), describe_images(received));
    if (could_be_channels(received) && expected == 3) {
      remedies_.add("--color rgb (DecodeOptions::color = Color::rgb): grey is repeated");
    }
    if (could_be_channels(received) && expected == 1) {
      remedies_.add("--color grey (DecodeOptions::color = Color::grey)");
    }
    if (!is_of_input()) advise_in_channels();
    Dims mended = batch_;
    mended[axis] = expected;
    remedies_.mend_batch(std::move(mended));
  }

  void explain_model_size() {
    const bool along_height = fault().axis == static_cast<std::int64_t>(axes_.height);
    set(ShapeCause::input_size, along_height ? "height" : "width");
    const Layout layout = network_.input.layout.value_or(Layout::nchw);
    if (facts_.layout && facts_.layout != layout) return explain_layout(layout == Layout::nchw);
    const Size now = walked_.image_size();
    const Size wanted = {network_.input.height.value_or(now.height), network_.input.width.value_or(now.width)};
    result_.explanation =
        fmt::format("the model takes images of {}, and the batch holds {}", to_string(wanted), to_string(now));
    remedies_.add(end_in(wanted));
    remedies_.add("leave height and width open in the model, if its layers allow that");
    remedies_.mend_batch(axes_.resized(batch_, wanted));
  }

  // ---- causes that lie between layers ----

  /// As many channels as the layer receives.
  void advise_in_channels() {
    Network changed = remedies_.network();
    const std::string_view parameter = take_channels(changed.nodes[found_.node].op, fault().received);
    remedies_.add_if_passes(fmt::format("{} = {} in {}", parameter, fault().received, walked_.call(found_.node)),
                            changed);
  }

  void explain_channels() {
    set(ShapeCause::channels, axis_name(1, in().size()));
    const auto keeps_channels = [&](const Node& passed) {
      const auto& before = walked_.in(passed);
      const auto& after = walked_.out(passed);
      return passed.inputs.size() == 1 && is_image(before) && is_image(after) && (*before)[1] == (*after)[1] &&
             !std::holds_alternative<Conv2d>(passed.op) && !std::holds_alternative<ConvTranspose2d>(passed.op);
    };
    const std::optional<std::size_t> origin = walked_.back_to(node(), keeps_channels);
    if (!origin) return layout_is_other(fault().expected, true) ? explain_layout(true) : explain_image_channels(1);
    result_.explanation = fmt::format("{} gives {} channels, and {} takes {}", walked_.call(*origin), fault().received,
                                      node().label, fault().expected);
    advise_in_channels();
    Network changed = remedies_.network();
    if (!give_channels(changed.nodes[*origin].op, fault().expected)) return;
    remedies_.add_if_passes(fmt::format("out_channels = {} in {}", fault().expected, walked_.call(*origin)), changed);
  }

  void explain_window() {
    const bool along_height = fault().axis == 2;
    const std::size_t axis = along_height ? 2 : 3;
    set(ShapeCause::input_size, along_height ? "height" : "width");
    result_.expected = fmt::format("at least {}", fault().expected);
    const std::int64_t reached = in()[axis];
    result_.explanation =
        fmt::format("the window of {} is {} {}, and {} reach it{}; {}{}", node().label,
                    window_of(node(), along_height ? 0 : 1)->extent(), along_height ? "rows high" : "columns wide",
                    reached, fault().received == reached ? "" : fmt::format(" ({} with padding)", fault().received),
                    walked_.path(node(), axis), walked_.unpadded(node(), axis));
    result_.sizes = remedies_.add_sizes();
    if (is_near(result_.sizes)) result_.cause = ShapeCause::arithmetic;
    remedies_.add_paddings();
  }

  void explain_features() {
    set(ShapeCause::flatten, "in_features");
    if (in().size() == 4) return explain_missing_flatten();
    const std::optional<Flattened> origin = walked_.flattened(node());
    if (!origin) return explain_rows();
    const Node& flattening = network_.nodes[origin->by];
    const std::optional<std::int64_t> rows = named_rows(network_, flattening);
    if (rows && *rows != batch_[0]) {
      blame_batch_size(axis_name(0, 2), *rows);
      return mend_batch_size(*rows);
    }
    if (fault().received == num_features(origin->image)) {
      return explain_flattened(flattening, origin->image, fault().expected);
    }
    const bool keeps_rows = in().size() == 2 && in().front() == origin->image.front();
    if (keeps_rows) return explain_rows();  // a mean over the image, for example
    explain_merged_rows(walked_.call(origin->by), origin->image, in());
  }

  void explain_rows() {
    result_.cause = ShapeCause::channels;
    result_.explanation = fmt::format("the layers before give rows of {}, and {} takes rows of {}", fault().received,
                                      node().label, fault().expected);
    advise_features("");
  }

  /// As many features as the failing Linear receives.
  void advise_features(std::string_view reason) {
    if (!std::holds_alternative<Linear>(node().op)) return;
    Network changed = remedies_.network();
    auto& linear = std::get<Linear>(changed.nodes[found_.node].op);
    linear.in_features = fault().received;
    remedies_.add_if_passes(fmt::format("Linear({}, {}){}", linear.in_features, linear.out_features, reason), changed);
  }

  void explain_merged_rows(const std::string& by, const Dims& from, const Dims& to) {
    result_.cause = ShapeCause::dimensions;
    result_.explanation =
        fmt::format("{} merges the rows of the batch: {} becomes {}", by, describe(from), describe(to));
    remedies_.add("Flatten(), which keeps dimension 0");
  }

  /// `wanted` features of a row, where `flattening` makes another number of `image`.
  void explain_flattened(const Node& flattening, const Dims& image, std::int64_t wanted) {
    result_.received = factored(num_features(image), image);
    result_.expected = factored(wanted, image[1]);
    result_.sizes = remedies_.add_sizes();
    if (result_.sizes) {
      const Walk fitting = walk(remedies_.network(), axes_.resized(batch_, result_.sizes->size));
      const std::optional<Dims>& whole = fitting.values[flattening.inputs[0]].dims;
      if (is_image(whole)) result_.expected = factored(wanted, *whole);
    }
    const std::optional<std::size_t> rounding = remedies_.add_paddings();
    blame_flattened(rounding, image[1], wanted);
    advise_features(", for this image size");
    const std::optional<std::int64_t> side = square_side(wanted, image[1]);
    if (!side || *side > 32) return;
    const auto index = static_cast<std::size_t>(&flattening - network_.nodes.data());
    remedies_.add_if_passes(fmt::format("AdaptiveAvgPool2d({}) before the flattening, for any image size", *side),
                            with_node(remedies_.network(), index, AdaptiveAvgPool2d{*side, *side}));
  }

  void blame_flattened(std::optional<std::size_t> rounding, std::int64_t channels, std::int64_t wanted) {
    const std::string way = walked_.path(node(), 2);
    if (rounding) {
      result_.cause = ShapeCause::rounding;
      result_.explanation =
          fmt::format("{}, and in_features was computed as if they counted; {}", describe_rounding(*rounding, 2), way);
    } else if (is_near(result_.sizes)) {
      result_.cause = ShapeCause::arithmetic;
      const Size now = walked_.image_size();
      const bool lacks = result_.sizes->size.height > now.height || result_.sizes->size.width > now.width;
      const std::int64_t pixels = distance(*result_.sizes);
      result_.explanation = fmt::format("with these kernels, strides and paddings the image {} {} pixel{}; {}{}",
                                        lacks ? "lacks" : "is too large by", pixels, pixels == 1 ? "" : "s", way,
                                        walked_.unpadded(node(), 2));
    } else if (wanted % channels != 0 && !result_.sizes) {
      result_.explanation = fmt::format(
          "{0} channels reach the flattening, so that in_features must be a multiple of {0} whatever the image size; "
          "{1}",
          channels, way);
    } else {
      result_.explanation = fmt::format(
          "what flattening makes follows from the image size, and in_features was computed for another; {}", way);
    }
  }

  /// "layer 3 MaxPool2d(2) rounds down: its windows leave 1 of 7 rows over"; empty where none are left along the axis.
  std::string describe_rounding(std::size_t index, std::size_t axis) const {
    const Node& pool = network_.nodes[index];
    const std::optional<Window> window = window_of(pool, axis == 2 ? 0 : 1);
    if (!window || window->transposed || !is_image(walked_.in(pool))) return {};
    const std::int64_t side = (*walked_.in(pool))[axis];
    const std::int64_t left_over = slide(*window, side).left_over;
    if (left_over == 0) return {};
    return fmt::format("{} rounds down: its windows leave {} of {} {} over", walked_.call(index), left_over, side,
                       axis == 2 ? "rows" : "columns");
  }

  Network with_flatten() const { return with_node(remedies_.network(), found_.node, Flatten{}); }

  void explain_missing_flatten() {
    const Dims& image = in();
    result_.cause = ShapeCause::dimensions;
    result_.dimension = "dimension 3 (in_features)";
    result_.explanation =
        fmt::format("{} receives images, {}, and looks at their last dimension, the width: a Flatten() is missing",
                    node().label, describe(image));
    const std::int64_t flat = num_features(image);
    if (flat < 0) return;
    Network changed = with_flatten();
    if (flat == fault().expected) return remedies_.add_if_passes("Flatten() before it", changed);
    std::get<Linear>(changed.nodes[found_.node + 1].op).in_features = flat;
    remedies_.add_if_passes(fmt::format("Flatten() before it, and in_features = {}", factored(flat, image)), changed);
  }

  void explain_elements() {
    set(ShapeCause::flatten, "elements");
    const Dims& from = in();
    const Dims to = shape_asked_for();
    const bool is_open = std::ranges::count(to, -1) == 1;
    if (to.size() >= 2 && to[0] > 1 && to[0] != batch_[0] && from[0] == batch_[0]) {
      Dims mended = to;
      mended[0] = batch_[0];
      if (is_open || (product(mended) == product(from) && product(mended) > 0)) {
        blame_batch_size(axis_name(0, from.size()), to[0]);
        return mend_batch_size(to[0]);
      }
    }
    if (is_image(from) && to.size() == 2 && to[1] > 0 && (to[0] == -1 || to[0] == from[0])) {
      result_.dimension = "features of a row";
      return explain_flattened(node(), from, to[1]);
    }
    result_.cause = ShapeCause::dimensions;
    result_.explanation = fmt::format("{} has {} elements, and {} asks for {}{}", describe(from), fault().received,
                                      describe(to), is_open ? "a multiple of " : "", fault().expected);
    result_.sizes = remedies_.add_sizes();
  }

  /// Of a reshaping node, before -1 and 0 are replaced.
  Dims shape_asked_for() const {
    if (const auto* reshape = std::get_if<Reshape>(&node().op)) return reshape->shape;
    Dims shape = walked_.walk().values[node().inputs[1]].content.value_or(Dims{});
    for (std::size_t axis = 0; axis < std::min(shape.size(), in().size()); ++axis) {
      if (shape[axis] == 0) shape[axis] = in()[axis];
    }
    return shape;
  }

  void explain_mixed() {
    set(ShapeCause::flatten, axis_name(0, in().size()));
    const Dims& from = in();
    const Dims& to = *walked_.out(node());
    if (std::holds_alternative<Flatten>(node().op) || to.size() < 2) {
      return explain_merged_rows(node().label, from, to);
    }
    if (const auto rows = named_rows(network_, node())) return blame_batch_size("batch size", *rows);
    if (is_image(from)) {
      explain_flattened(node(), from, to[1]);
      set_numbers(fault().expected, fault().received);
    } else {
      result_.cause = ShapeCause::dimensions;
    }
    result_.explanation = fmt::format(
        "{} cuts the rows of the batch up: {} samples become {} rows, and the labels no longer match (which only the "
        "loss would notice){}{}",
        node().label, from[0], to[0], result_.explanation.empty() ? "" : ". ", result_.explanation);
    Network changed = remedies_.network();
    changed.nodes[found_.node].op = Flatten{};
    remedies_.add_always("x.flatten(1) instead of x.view(-1, ...): it never changes the number of rows", changed);
  }

  void explain_join() {
    const bool along_channels = fault().axis == 1 && fault().rank != 3;
    set(along_channels ? ShapeCause::channels : ShapeCause::join, axis_name(fault().axis, fault().rank));
    const Dims& other = *walked_.in(node(), fault().input);
    result_.explanation = fmt::format("the branches that meet here come to {} and {}", describe(in()), describe(other));
    if (in().size() != other.size()) {
      result_.explanation +=
          fmt::format(", of {} and {} dimensions, which are matched from the last one", in().size(), other.size());
      return;
    }
    const std::int64_t wanted = fault().expected == batch_[0] ? fault().received : fault().expected;
    if (fault().axis == 0 && wanted > 0 && (fault().expected == batch_[0] || fault().received == batch_[0])) {
      blame_batch_size(result_.dimension, wanted);
      return mend_batch_size(wanted);
    }
    if (fault().axis < 2) return;
    for (std::size_t i = 0; i < found_.node; ++i) {
      const std::string rounding = describe_rounding(i, fault().axis == 3 ? 3 : 2);
      if (rounding.empty()) continue;
      result_.explanation += "; " + rounding;
      break;
    }
    result_.sizes = remedies_.add_sizes();
  }

  void explain_rank() {
    set(ShapeCause::dimensions, "number of dimensions");
    result_.explanation = fmt::format("{} takes {}, and receives {}", node().label, fault().message,
                                      describe(*walked_.in(node(), fault().input)));
    if (fault().input != 0) return;
    if (fault().expected == 2 && in().size() == 4) remedies_.add_always("Flatten() before it", with_flatten());
    if (fault().expected == 4 && in().size() == 2) remedies_.add("move it before the flattening");
  }

  void explain_shape() {
    result_.cause = ShapeCause::dimensions;
    result_.dimension = "shape";
    result_.expected = fault().message;
    result_.received = describe(in());
    result_.explanation = fmt::format("{} takes {}, and receives {}", node().label, fault().message, describe(in()));
    if (takes_images(node())) result_.sizes = remedies_.add_sizes();
  }

  void explain_parameters() {
    result_.cause = ShapeCause::parameters;
    result_.explanation = fmt::format("{}: {}", node().label, fault().message);
  }

  void explain_foreign() {
    result_.explanation = fault().message;
    result_.sizes = remedies_.add_sizes();
  }

  /// Pixels between the batch's images and the nearest that fit.
  std::int64_t distance(const FittingSizes& sizes) const {
    const Size now = walked_.image_size();
    const auto to = [&](Size size) {
      return std::max(std::abs(size.height - now.height), std::abs(size.width - now.width));
    };
    return std::min(to(sizes.from), to(sizes.to));
  }
  bool is_near(const std::optional<FittingSizes>& sizes) const { return sizes && distance(*sizes) <= 3; }

  // ---- what a print does not show ----

  void add_assumption() {
    result_.explanation +=
        fmt::format(". The print of {} does not show its forward(): layers were taken in the printed order",
                    fmt::join(network_.assumed, ", "));
    if (fault().kind == Fault::Kind::features) result_.explanation += unseen_pooling();
    result_.remedies.push_back(
        "write the layers out in the order of forward(), with what it calls as a function (F.max_pool2d is MaxPool2d), "
        "or export the model to ONNX and use --model, which shows it all");
  }

  /// Where pooling by 2 once more, or more often, would explain the number, it is likely done in forward().
  std::string unseen_pooling() const {
    const std::optional<Flattened> origin = walked_.flattened(node());
    if (!origin || fault().received != num_features(origin->image)) return {};
    Dims image = origin->image;
    for (int times = 1; times <= 5 && image[2] > 1 && image[3] > 1; ++times) {
      image[2] /= 2;
      image[3] /= 2;
      if (num_features(image) != fault().expected) continue;
      return fmt::format(". {} is what {} more pooling{} by 2 in forward() would give: then this layer fits",
                         factored(fault().expected, image), times, times == 1 ? "" : "s");
    }
    return {};
  }

  const WalkedNetwork& walked_;
  const Network& network_;
  const Dims& batch_;
  ImageAxes axes_;
  BatchFacts facts_;
  const Walk::Found& found_;
  Remedies remedies_;
  ShapeDiagnosis result_;
};

}  // namespace

ShapeDiagnosis diagnose(const WalkedNetwork& walked, const BatchFacts& facts) {
  return Diagnosis(walked, facts, walked.walk().faults.front(), {}).in_full();
}

}  // namespace muster
