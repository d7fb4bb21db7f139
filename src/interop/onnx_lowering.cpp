#include "interop/onnx_lowering.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "interop/onnx_foreign.hpp"

namespace muster {
namespace {

Value value_of(const onnx::TensorProto& tensor, const std::string& called, const OnnxFile& file) {
  const Dims dims(tensor.dims().begin(), tensor.dims().end());
  if (std::ranges::any_of(dims, [](std::int64_t dim) { return dim < 0; })) {
    file.fail(called + " has a negative dimension");
  }
  return {dims, content_of(tensor)};
}

class Lowering {
 public:
  Lowering(const onnx::ModelProto& model, const OnnxFile& file) : model_(model), file_(file), foreign_(model) {
    for (const auto& opset : model.opset_import()) {
      if (opset.domain().empty()) opset_ = opset.version();
    }
  }

  /// The checker has seen the model: what a node reads is there before it, and no name is given twice.
  Network run(const onnx::ValueInfoProto& input) {
    network_.input_name = "input " + printable(input.name());
    values_[input.name()] = 0;
    for (const onnx::TensorProto& tensor : model_.graph().initializer()) {
      values_.emplace(tensor.name(), network_.values.size());
      network_.values.push_back(value_of(tensor, "the initialiser " + printable(tensor.name()), file_));
    }
    for (const onnx::ValueInfoProto& other : model_.graph().input()) add_other_input(other);
    for (const onnx::SparseTensorProto& tensor : model_.graph().sparse_initializer()) {
      values_.emplace(tensor.values().name(), network_.values.size());
      network_.values.push_back({Dims(tensor.dims().begin(), tensor.dims().end()), {}});
    }
    for (const onnx::NodeProto& node : model_.graph().node()) add(node);
    for (const onnx::ValueInfoProto& output : model_.graph().output()) {
      if (const auto found = values_.find(output.name()); found != values_.end()) {
        network_.outputs.push_back(found->second);
      }
    }
    return std::move(network_);
  }

 private:
  void add_other_input(const onnx::ValueInfoProto& input) {
    if (!values_.emplace(input.name(), network_.values.size()).second) return;
    network_.values.push_back({.dims = known_dims(input.type())});
  }

  void add(const onnx::NodeProto& proto) {
    Node node{.op = Elementwise{}, .as_pytorch = false};
    for (const std::string& input : proto.input()) {
      node.inputs.push_back(input.empty() ? no_value() : values_.at(input));
    }
    std::optional<Value> constant;
    if (proto.domain().empty() && proto.op_type() == "Constant") constant = constant_of(proto);
    for (const std::string& output : proto.output()) {
      node.outputs.push_back(network_.values.size());
      network_.values.push_back(constant.value_or(Value{}));
      if (!output.empty()) values_.emplace(output, node.outputs.back());
    }
    if (constant) return;
    if (!proto.domain().empty() || !lower(proto, node)) {
      node.op = foreign_.make(proto);
      node.label = label(proto, printable(proto.op_type()));
    }
    network_.nodes.push_back(std::move(node));
  }

  /// An optional input that is not given.
  std::size_t no_value() {
    if (!no_value_) {
      no_value_ = network_.values.size();
      network_.values.emplace_back();
    }
    return *no_value_;
  }

  static std::string label(const onnx::NodeProto& proto, const std::string& description) {
    const std::string name = printable(proto.name());
    if (name.empty()) return description;
    const bool says_so = description == proto.op_type() && name.find(description) != std::string::npos;
    return says_so ? name : name + " " + description;
  }

  std::optional<Value> constant_of(const onnx::NodeProto& proto) const {
    const Attributes attributes(proto);
    if (const auto* tensor = attributes.find("value"); tensor != nullptr && tensor->has_t()) {
      return value_of(tensor->t(), "the constant " + printable(proto.output(0)), file_);
    }
    if (const std::optional<Dims> numbers = attributes.numbers("value_ints");
        numbers && numbers->size() <= longest_content) {
      return Value{Dims{static_cast<std::int64_t>(numbers->size())}, numbers};
    }
    if (attributes.find("value_int") != nullptr) return Value{Dims{}, Dims{attributes.number("value_int", 0)}};
    return std::nullopt;
  }

  /// The dimensions of an initialiser or constant; nothing for what depends on the batch.
  std::optional<Dims> fixed(const onnx::NodeProto& proto, int input) const {
    if (input >= proto.input_size() || proto.input(input).empty()) return std::nullopt;
    const std::size_t value = values_.at(proto.input(input));
    return value == 0 ? std::nullopt : network_.values[value].dims;
  }

  /// Node and label, if the node's shapes are muster's to explain.
  bool lower(const onnx::NodeProto& proto, Node& node) const {
    static const std::map<std::string, bool (Lowering::*)(const onnx::NodeProto&, const Attributes&, Node&) const,
                          std::less<>>
        rules = {{"Conv", &Lowering::lower_conv},
                 {"ConvTranspose", &Lowering::lower_transposed_conv},
                 {"MaxPool", &Lowering::lower_max_pool},
                 {"AveragePool", &Lowering::lower_average_pool},
                 {"GlobalAveragePool", &Lowering::lower_global_pool},
                 {"GlobalMaxPool", &Lowering::lower_global_pool},
                 {"BatchNormalization", &Lowering::lower_norm},
                 {"InstanceNormalization", &Lowering::lower_norm},
                 {"PRelu", &Lowering::lower_prelu},
                 {"Flatten", &Lowering::lower_flatten},
                 {"Reshape", &Lowering::lower_reshape},
                 {"Gemm", &Lowering::lower_gemm},
                 {"MatMul", &Lowering::lower_matmul},
                 {"Concat", &Lowering::lower_concat},
                 {"Transpose", &Lowering::lower_transpose},
                 {"Pad", &Lowering::lower_pad}};
    if (proto.input_size() == 0 || proto.input(0).empty() || proto.output_size() == 0) return false;
    const Attributes attributes(proto);
    if (const auto rule = rules.find(proto.op_type()); rule != rules.end())
      return (this->*rule->second)(proto, attributes, node);
    if (is_elementwise(proto.op_type()) && proto.output_size() == 1) {
      node.op = Elementwise{proto.op_type()};
      node.keeps_content = leaves_integers(proto.op_type(), attributes);
      node.label = label(proto, proto.op_type());
      return true;
    }
    if (is_broadcast(proto.op_type()) && opset_ >= 7) {
      node.op = Broadcast{proto.op_type()};
      node.label = label(proto, proto.op_type());
      return true;
    }
    return false;
  }

  static bool is_elementwise(const std::string& op) {
    static const std::set<std::string> names = {
        "Relu",    "LeakyRelu",  "Sigmoid",   "Tanh",        "Elu",      "Selu",     "Celu",
        "Clip",    "Erf",        "Exp",       "Log",         "Sqrt",     "Neg",      "Abs",
        "Softmax", "LogSoftmax", "LRN",       "Dropout",     "Identity", "Cast",     "Round",
        "Floor",   "Ceil",       "HardSwish", "HardSigmoid", "Softplus", "Softsign", "ThresholdedRelu",
        "Mish",    "Reciprocal", "Not",       "Sign"};
    return names.contains(op);
  }

  /// Of a number in a shape, other operators make another one.
  static bool leaves_integers(const std::string& op, const Attributes& attributes) {
    return op == "Identity" || (op == "Cast" && is_integer(attributes.number("to", 0)));
  }

  static bool is_broadcast(const std::string& op) {
    static const std::set<std::string> names = {"Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Mean"};
    return names.contains(op);
  }

  template <class L>
  bool take(const onnx::NodeProto& proto, Node& node, L layer) const {
    node.label = label(proto, describe(Layer::Kind(layer)));
    node.op = std::move(layer);
    return true;
  }

  /// A convolution's weights: {first, second / groups, height, width}.
  struct Weight {
    std::int64_t first;
    std::int64_t second;
    std::int64_t groups;
    WindowAttributes window;
  };
  std::optional<Weight> weight_of(const onnx::NodeProto& proto, const Attributes& attributes) const {
    const std::optional<Dims> dims = fixed(proto, 1);
    if (!dims || dims->size() != 4) return std::nullopt;
    const std::int64_t groups = attributes.number("group", 1);
    const std::optional<std::int64_t> second = product(Dims{(*dims)[1], groups});
    const auto window = attributes.window({(*dims)[2], (*dims)[3]});
    if (!second || !window) return std::nullopt;
    return Weight{(*dims)[0], *second, groups, *window};
  }

  bool lower_conv(const onnx::NodeProto& proto, const Attributes& attributes, Node& node) const {
    const std::optional<Weight> weight = weight_of(proto, attributes);
    if (!weight) return false;
    const auto& [out_channels, in_channels, groups, window] = *weight;
    return take(
        proto, node,
        Conv2d{in_channels, out_channels, window.kernel, window.stride, window.padding, window.dilation, groups});
  }

  bool lower_transposed_conv(const onnx::NodeProto& proto, const Attributes& attributes, Node& node) const {
    const std::optional<Weight> weight = weight_of(proto, attributes);
    const auto extra = attributes.pair("output_padding", 0);
    if (!weight || !extra || attributes.find("output_shape") != nullptr) return false;
    const auto& [in_channels, out_channels, groups, window] = *weight;
    return take(proto, node,
                ConvTranspose2d{in_channels, out_channels, window.kernel, window.stride, window.padding, *extra, groups,
                                window.dilation});
  }

  bool lower_max_pool(const onnx::NodeProto& proto, const Attributes& attributes, Node& node) const {
    const auto window = attributes.window(0);
    if (!window || window->kernel == PerAxis(0) || proto.output_size() != 1) return false;
    return take(proto, node,
                MaxPool2d{window->kernel, window->stride, window->padding, window->dilation,
                          attributes.number("ceil_mode", 0) != 0});
  }

  bool lower_average_pool(const onnx::NodeProto& proto, const Attributes& attributes, Node& node) const {
    const auto window = attributes.window(0);
    if (!window || window->kernel == PerAxis(0) || attributes.find("dilations") != nullptr) return false;
    return take(proto, node,
                AvgPool2d{window->kernel, window->stride, window->padding, attributes.number("ceil_mode", 0) != 0});
  }

  bool lower_global_pool(const onnx::NodeProto& proto, const Attributes&, Node& node) const {
    node.op = GlobalAvgPool{};
    node.label = label(proto, proto.op_type());
    return true;
  }

  bool lower_norm(const onnx::NodeProto& proto, const Attributes&, Node& node) const {
    const std::optional<Dims> scale = fixed(proto, 1);
    if (!scale || scale->size() != 1) return false;
    return take(proto, node, BatchNorm2d{(*scale)[0], proto.op_type()});
  }

  bool lower_prelu(const onnx::NodeProto& proto, const Attributes&, Node& node) const {
    if (!fixed(proto, 1) || opset_ < 7) return false;
    node.op = Broadcast{.kind = "PRelu", .into_first = true};
    node.label = label(proto, proto.op_type());
    return true;
  }

  bool lower_flatten(const onnx::NodeProto& proto, const Attributes& attributes, Node& node) const {
    if (attributes.number("axis", 1) != 1) return false;
    return take(proto, node, Flatten{});
  }

  bool lower_reshape(const onnx::NodeProto& proto, const Attributes& attributes, Node& node) const {
    if (proto.input_size() != 2) return false;
    node.op = ReshapeTo{attributes.number("allowzero", 0) != 0};
    const std::size_t shape = values_.at(proto.input(1));
    const std::optional<Dims>& content = network_.values[shape].content;
    node.label = label(proto, content ? fmt::format("Reshape({})", fmt::join(*content, ", ")) : proto.op_type());
    return true;
  }

  bool lower_gemm(const onnx::NodeProto& proto, const Attributes& attributes, Node& node) const {
    const std::optional<Dims> weight = fixed(proto, 1);
    if (!weight || weight->size() != 2 || attributes.number("transA", 0) != 0) return false;
    const bool transposed = attributes.number("transB", 0) != 0;
    node.rows_only = true;
    return take(proto, node, Linear{(*weight)[transposed ? 1 : 0], (*weight)[transposed ? 0 : 1]});
  }

  bool lower_matmul(const onnx::NodeProto& proto, const Attributes&, Node& node) const {
    const std::optional<Dims> weight = fixed(proto, 1);
    if (!weight || weight->size() != 2) return false;
    return take(proto, node, Linear{(*weight)[0], (*weight)[1]});
  }

  bool lower_concat(const onnx::NodeProto& proto, const Attributes& attributes, Node& node) const {
    node.op = Concat{attributes.number("axis", 1)};
    node.label = label(proto, proto.op_type());
    return true;
  }

  bool lower_transpose(const onnx::NodeProto& proto, const Attributes& attributes, Node& node) const {
    const std::optional<Dims> order = attributes.numbers("perm");
    if (!order) return false;
    node.op = Transpose{*order};
    node.label = label(proto, fmt::format("Transpose({})", fmt::join(*order, ", ")));
    return true;
  }

  bool lower_pad(const onnx::NodeProto& proto, const Attributes& attributes, Node& node) const {
    std::optional<Dims> sides = attributes.numbers("pads");
    if (!sides && proto.input_size() > 1) sides = network_.values[values_.at(proto.input(1))].content;
    if (!sides || sides->size() != 8 || proto.input_size() > 3) return false;
    const Dims& s = *sides;
    if (s[0] != 0 || s[1] != 0 || s[4] != 0 || s[5] != 0) return false;
    const std::string mode = attributes.word("mode");
    const std::string kind = mode == "reflect" ? "ReflectionPad2d" : mode == "edge" ? "ReplicationPad2d" : "ZeroPad2d";
    return take(proto, node, ZeroPad2d{s[2], s[6], s[3], s[7], kind});
  }

  const onnx::ModelProto& model_;
  const OnnxFile& file_;
  std::int64_t opset_ = 1;
  Network network_;
  std::map<std::string, std::size_t> values_;
  ForeignNodes foreign_;
  std::optional<std::size_t> no_value_;
};

}  // namespace

Network lower_model(const onnx::ModelProto& model, const onnx::ValueInfoProto& input, const OnnxFile& file) {
  return Lowering(model, file).run(input);
}

}  // namespace muster
