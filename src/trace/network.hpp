// Network: layers as a graph of values. What lists of layers and model files become.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "muster/trace.hpp"
#include "trace/window.hpp"

// Visible, as muster::onnx is a library of its own.
namespace [[gnu::visibility("default")]] muster {

using Dims = std::vector<std::int64_t>;

/// The product; nothing if it is too large to count.
std::optional<std::int64_t> product(std::span<const std::int64_t> dims);

/// {n, channels, height, width}; none of them 0, as only a model's library may make them.
bool is_image(const std::optional<Dims>& dims);

/// Something that flows between layers. Without dimensions nothing is known of it, and what depends on it goes
/// unchecked.
struct Value {
  std::optional<Dims> dims = {};
  std::optional<Dims> content = {};  // of short integer tensors: shapes, axes
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
  std::vector<Value> out = {};
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

using Operation = std::variant<Conv2d, ConvTranspose2d, MaxPool2d, AvgPool2d, AdaptiveAvgPool2d, GlobalAvgPool,
                               BatchNorm2d, BatchNorm1d, LayerNorm, Flatten, Linear, Reshape, ZeroPad2d, Upsample,
                               Elementwise, Broadcast, Concat, Transpose, ReshapeTo, Foreign>;

struct Node {
  Operation op;
  std::string label = {};
  std::vector<std::size_t> inputs = {};  // indices of values
  std::vector<std::size_t> outputs = {};
  bool assumed = false;        // a Flatten that print(model) does not show
  bool as_pytorch = true;      // PyTorch's checks of parameters hold, which other libraries do not make
  bool rows_only = false;      // a Linear that takes {n, features} alone
  bool keeps_content = false;  // an Elementwise that leaves integers as they are
};

/// Value 0 is the batch. Nodes come after what they read.
struct Network {
  std::vector<Value> values = {Value{}};  // constants are set, all else is filled in by walk()
  std::vector<Node> nodes = {};
  std::vector<std::size_t> outputs = {};  // values
  InputSpec input = {};                   // what the model's own input says
  std::string input_caveat = {};          // what `input` cannot say of it
  std::vector<std::string> assumed = {};  // as LayerList
  std::string input_name = "batch";
};

/// Appends the layers, reading value `from`; the value they end in.
std::size_t append(Network& network, std::span<const Layer> layers, std::size_t from);
Network to_network(const LayerList& layers);

/// "Conv2d(3, 64, kernel_size=11, stride=4, padding=2)"
std::string describe(const Layer::Kind& layer);
/// "{64, 3, 224, 224}"
std::string describe(const Dims& dims);

/// Where a batch of images has its axes.
struct ImageAxes {
  std::size_t channels = 1;
  std::size_t height = 2;
  std::size_t width = 3;

  Size size_of(const Dims& batch) const { return {batch[height], batch[width]}; }
  Dims resized(Dims batch, Size size) const;
};
/// Of NCHW where nothing says otherwise.
ImageAxes axes_of(std::optional<Layout> layout);

/// Of a convolution or pooling along the height (0) or width (1); nothing for other nodes.
std::optional<Window> window_of(const Node& node, int axis);

/// True for what takes {n, channels, height, width} alone.
bool takes_images(const Node& node);

/// The rows that a reshaping node names as a number, whatever the batch has; nothing if it names none.
std::optional<std::int64_t> named_rows(const Network& network, const Node& node);

/// What the node makes of its inputs.
Applied apply_node(const Node& node, std::span<const Value> inputs);

}  // namespace muster
