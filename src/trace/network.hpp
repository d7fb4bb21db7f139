// Network: layers as a graph of values, walked with real shapes. What lists of layers and model files become.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "muster/trace.hpp"

namespace muster {

using Dims = std::vector<std::int64_t>;

/// Something that flows between layers. Without dimensions nothing is known of it, and what depends on it goes
/// unchecked.
struct Value {
  std::optional<Dims> dims;
  std::optional<Dims> content;  // of short integer tensors: shapes, axes
};

/// What does not fit, as the layer sees it; diagnose() says why.
struct Fault {
  enum class Kind : std::uint8_t {
    parameters,   // `message` says which
    rank,         // of `input`: expected and received are numbers of dimensions; `message` says what is taken
    shape,        // `message` says what is taken
    layout,       // NHWC where images are NCHW
    channels,     // along `axis`
    window,       // the window (expected) is larger than the padded input (received), along `axis`
    features,     // of a Linear
    elements,     // a reshape to expected elements receives another number
    join,         // of `input` with those before it, along `axis` of `rank`
    batch_mixed,  // the first dimension is no longer the batch's
    model_batch,  // what the model's own input fixes
    model_channels,
    model_size,  // along `axis`
    foreign,     // `message` of the model's library
  };
  Kind kind = Kind::foreign;
  std::int64_t axis = -1;
  std::int64_t expected = 0;
  std::int64_t received = 0;
  std::string message = {};
  std::size_t input = 0;
  std::size_t rank = 0;
};

/// Values, and what did not fit; then the values are what would have come out.
struct Applied {
  std::vector<Value> out;
  std::optional<Fault> fault = {};
};

/// The sum, or whatever else is done element by element to several inputs, broadcast as NumPy does.
struct Broadcast {
  std::string kind = "Add";
  bool into_first = false;  // the first input must not grow
};

struct Concat {
  std::int64_t axis = 1;
};

struct Transpose {
  std::vector<std::int64_t> order;
};

/// Reshape with ONNX's rules: the second input is the shape, in which 0 means "as it was".
struct ReshapeTo {
  bool allow_zero = false;
};

/// What only the model's library knows.
struct Foreign {
  std::function<Applied(std::span<const Value> inputs)> apply;
};

struct Node {
  std::variant<Conv2d, ConvTranspose2d, MaxPool2d, AvgPool2d, AdaptiveAvgPool2d, GlobalAvgPool, BatchNorm2d,
               BatchNorm1d, LayerNorm, Flatten, Linear, Reshape, ZeroPad2d, Upsample, Elementwise, Broadcast, Concat,
               Transpose, ReshapeTo, Foreign>
      op;
  std::string label;
  std::vector<std::size_t> inputs;  // indices of values
  std::vector<std::size_t> outputs;
  bool assumed = false;    // a Flatten that print(model) does not show
  bool as_pytorch = true;  // PyTorch's checks of parameters hold, which other libraries do not make
  bool rows_only = false;  // a Linear that takes {n, features} alone
};

/// Value 0 is the batch. Nodes come after what they read.
struct Network {
  std::vector<Value> values = {Value{}};  // constants are set, all else is filled in by walk()
  std::vector<Node> nodes;
  std::vector<std::size_t> outputs;  // values
  InputSpec input;                   // what the model's own input says
  std::vector<std::string> assumed;  // as LayerList
  std::string input_name = "batch";
};

/// Appends the layers, reading value `from`; the value they end in.
std::size_t append(Network& network, const std::vector<Layer>& layers, std::size_t from);
Network to_network(const LayerList& layers);

/// "Conv2d(3, 64, kernel_size=11, stride=4, padding=2)"
std::string describe(const Layer::Kind& layer);
std::string describe(const Dims& dims);

/// The rows, columns or whatever a window comes to lie on, and what its last step leaves over.
struct Slid {
  std::int64_t out = 0;        // 0: the window is larger than the input
  std::int64_t left_over = 0;  // rows at the end that no window covers
};
struct Window {
  std::int64_t kernel = 1;
  std::int64_t stride = 1;
  std::int64_t dilation = 1;
  std::int64_t before = 0;
  std::int64_t after = 0;
  WindowPadding::Rule rule = WindowPadding::Rule::sides;
  bool ceil = false;
  bool transposed = false;
  std::int64_t output_padding = 0;

  std::int64_t extent() const { return dilation * (kernel - 1) + 1; }
};
Slid slide(const Window& window, std::int64_t in);
/// Of a convolution or pooling along the height (0) or width (1); nothing for other nodes.
std::optional<Window> window_of(const Node& node, int axis);

/// The rows that a reshaping node names as a number, whatever the batch has; nothing if it names none.
std::optional<std::int64_t> named_rows(const Network& network, const Node& node);

Applied apply_node(const Node& node, std::span<const Value> inputs);

/// A walk through the network. A fault does not end it: it goes on with what would have come out.
struct Walk {
  std::vector<Value> values;
  struct Found {
    std::size_t node;  // index; nodes.size() for the model's input
    Fault fault;
  };
  std::vector<Found> faults;
  std::vector<Found> warnings;  // rows that are cut up or merged, as the training program may want it
};
/// With `only_first` it ends at the first fault.
Walk walk(const Network& network, const Dims& batch, bool only_first = false);

/// What is known about the batch besides its shape.
struct BatchFacts {
  std::optional<Layout> layout = {};
  std::int64_t full_rows = 0;  // of the batches before, if this is the partial last one; else 0
};

/// The table and, if something does not fit, why.
Trace trace(const Network& network, const Dims& batch, const BatchFacts& facts = {});

/// Throws ConfigError unless `shape` is {n, channels, height, width}, all at least 1.
void expect_images(const Shape& shape);

}  // namespace muster
