#include "muster/interop/onnx.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <unordered_map>

#include <fmt/format.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl.h>
#include <google/protobuf/stubs/logging.h>
#include <onnx/checker.h>
#include <onnx/onnx_pb.h>
#include <onnx/shape_inference/implementation.h>
#pragma GCC diagnostic pop

#include "trace/network.hpp"

namespace muster {
namespace {

constexpr std::size_t longest_content = 1024;  // elements; shapes and axes are far shorter
constexpr int most_nodes = 1 << 20;
constexpr int highest_rank = 16;

/// protobuf would print what is wrong with a file to standard error.
class Quiet {
 public:
  Quiet() : silencer_() {}

 private:
  google::protobuf::LogSilencer silencer_;
};

/// A name of the file's, as a table can show it.
std::string printable(std::string_view text) {
  std::string result(text.substr(0, 60));
  for (char& c : result) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = '?';
  }
  return result;
}

template <class Number>
Dims read_raw(const std::string& bytes) {
  static_assert(std::endian::native == std::endian::little, "ONNX stores numbers little-endian");
  Dims values(bytes.size() / sizeof(Number));
  for (std::size_t i = 0; i < values.size(); ++i) {
    Number number;
    std::memcpy(&number, bytes.data() + i * sizeof(Number), sizeof(Number));
    values[i] = number;
  }
  return values;
}

/// The numbers of a short integer tensor that lies in the file itself.
std::optional<Dims> content_of(const onnx::TensorProto& tensor) {
  const bool wide = tensor.data_type() == onnx::TensorProto::INT64;
  if ((!wide && tensor.data_type() != onnx::TensorProto::INT32) || tensor.dims_size() > 1) return std::nullopt;
  if (tensor.data_location() == onnx::TensorProto::EXTERNAL) return std::nullopt;
  const std::int64_t length = tensor.dims_size() == 0 ? 1 : tensor.dims(0);
  if (length < 0 || static_cast<std::size_t>(length) > longest_content) return std::nullopt;
  Dims values;
  if (tensor.has_raw_data()) {
    values = wide ? read_raw<std::int64_t>(tensor.raw_data()) : read_raw<std::int32_t>(tensor.raw_data());
  } else if (wide) {
    values.assign(tensor.int64_data().begin(), tensor.int64_data().end());
  } else {
    values.assign(tensor.int32_data().begin(), tensor.int32_data().end());
  }
  if (values.size() != static_cast<std::size_t>(length)) return std::nullopt;
  return values;
}

/// Keeps only what shapes may depend on: short integer tensors.
void forget_weights(onnx::TensorProto& tensor) {
  if (content_of(tensor)) return;
  onnx::TensorProto rest;
  rest.set_name(tensor.name());
  rest.set_data_type(tensor.data_type());
  *rest.mutable_dims() = tensor.dims();
  tensor = std::move(rest);
}

/// "ai.onnx" is another name of the operators without a domain.
void unite_domains(onnx::NodeProto& node) {
  if (node.domain() == "ai.onnx") node.clear_domain();
  for (onnx::AttributeProto& attribute : *node.mutable_attribute()) {
    if (attribute.has_g()) {
      for (onnx::NodeProto& inner : *attribute.mutable_g()->mutable_node()) unite_domains(inner);
    }
    for (onnx::GraphProto& graph : *attribute.mutable_graphs()) {
      for (onnx::NodeProto& inner : *graph.mutable_node()) unite_domains(inner);
    }
  }
}

void unite_domains(onnx::ModelProto& model) {
  const auto unite = [](auto& opsets) {
    for (auto& opset : opsets) {
      if (opset.domain() == "ai.onnx") opset.clear_domain();
    }
  };
  unite(*model.mutable_opset_import());
  for (onnx::NodeProto& node : *model.mutable_graph()->mutable_node()) unite_domains(node);
  for (onnx::FunctionProto& function : *model.mutable_functions()) {
    unite(*function.mutable_opset_import());
    for (onnx::NodeProto& node : *function.mutable_node()) unite_domains(node);
  }
}

/// What the model's functions come to when each call is replaced by what it calls, as libonnx does. It would follow
/// one that calls itself without end.
class CallGraph {
 public:
  explicit CallGraph(const onnx::ModelProto& model) {
    for (const onnx::FunctionProto& function : model.functions()) {
      functions_.emplace(std::pair(function.domain(), function.name()), &function);
    }
  }

  /// What is wrong; empty: nothing.
  std::string check(const onnx::GraphProto& graph) {
    Extent whole;
    for (const onnx::NodeProto& node : graph.node()) add(whole, node, 0);
    if (!circle_.empty()) return fmt::format("the function '{}' calls itself, or others too deeply", circle_);
    return whole.nodes > most_nodes ? "its functions come to more nodes than any model has" : "";
  }

 private:
  static constexpr int deepest = 50;

  struct Extent {
    std::int64_t nodes = 0;
    int depth = 0;  // of calls
  };

  void add(Extent& sum, const onnx::NodeProto& node, int depth) {
    sum.nodes = std::min<std::int64_t>(sum.nodes + 1, most_nodes + 1);
    for (const onnx::AttributeProto& attribute : node.attribute()) {
      for (const onnx::NodeProto& inner : attribute.g().node()) add(sum, inner, depth);
      for (const onnx::GraphProto& graph : attribute.graphs()) {
        for (const onnx::NodeProto& inner : graph.node()) add(sum, inner, depth);
      }
    }
    const auto found = functions_.find({node.domain(), node.op_type()});
    if (found == functions_.end() || !circle_.empty()) return;
    const Extent called = extent_of(*found->second, depth + 1);
    sum.nodes = std::min<std::int64_t>(sum.nodes + called.nodes, most_nodes + 1);
    sum.depth = std::max(sum.depth, called.depth + 1);
    if (depth + sum.depth > deepest) circle_ = printable(node.op_type());
  }

  Extent extent_of(const onnx::FunctionProto& function, int depth) {
    if (const auto known = extents_.find(&function); known != extents_.end()) return known->second;
    Extent extent;
    if (depth > deepest) {
      circle_ = printable(function.name());
      return extent;
    }
    for (const onnx::NodeProto& inner : function.node()) add(extent, inner, depth);
    return extents_.emplace(&function, extent).first->second;
  }

  std::map<std::pair<std::string, std::string>, const onnx::FunctionProto*> functions_;
  std::map<const onnx::FunctionProto*, Extent> extents_;
  std::string circle_;
};

/// True if this libonnx has such an operator, with these inputs and attributes.
bool is_known(const onnx::NodeProto& node, int opset) {
  const onnx::OpSchema* schema = onnx::OpSchemaRegistry::Schema(node.op_type(), opset, node.domain());
  if (schema == nullptr) return false;
  try {
    schema->Verify(node);
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

/// Gives operators that came after this libonnx a domain of their own, where they are none of its business.
void set_apart_newer(onnx::GraphProto& graph, int opset, const std::string& domain) {
  for (onnx::NodeProto& node : *graph.mutable_node()) {
    if (node.domain().empty() && !is_known(node, opset)) node.set_domain(domain);
    for (onnx::AttributeProto& attribute : *node.mutable_attribute()) {
      if (attribute.has_g()) set_apart_newer(*attribute.mutable_g(), opset, domain);
      for (onnx::GraphProto& inner : *attribute.mutable_graphs()) set_apart_newer(inner, opset, domain);
    }
  }
}

/// A model of a newer ONNX than this libonnx becomes one that it takes: what it does not know gives unknown shapes.
void accept_newer(onnx::ModelProto& model) {
  model.set_ir_version(std::min<std::int64_t>(model.ir_version(), onnx::Version::IR_VERSION));
  const int newest = onnx::OpSchemaRegistry::DomainToVersionRange::Instance().Map().at("").second;
  const auto is_newer = [&](const auto& opset) { return opset.domain().empty() && opset.version() > newest; };
  if (std::ranges::none_of(model.opset_import(), is_newer)) return;
  const std::string domain = "newer";
  set_apart_newer(*model.mutable_graph(), newest, domain);
  onnx::OperatorSetIdProto& opset = *model.add_opset_import();
  opset.set_domain(domain);
  opset.set_version(1);
}

class File {
 public:
  explicit File(const std::filesystem::path& path) : path_(path) {}

  [[noreturn]] void fail(const std::string& message) const {
    throw ConfigError("onnx", fmt::format("{}: {}", path_.string(), message));
  }

  onnx::ModelProto read() const {
    std::error_code error;
    if (!std::filesystem::exists(path_, error)) fail("there is no such file");
    if (!std::filesystem::is_regular_file(path_, error)) fail("expected a file, received something else");
    const std::uintmax_t size = std::filesystem::file_size(path_, error);
    if (error) fail(error.message());
    if (size > std::numeric_limits<std::int32_t>::max()) {
      fail(
          "the file is larger than 2 GB, which is more than an ONNX model can have: keep the weights in a file beside "
          "it "
          "(save_as_external_data)");
    }
    std::ifstream stream(path_, std::ios::binary);
    if (!stream) fail("the file cannot be opened");
    const Quiet quiet;
    onnx::ModelProto model;
    google::protobuf::io::IstreamInputStream input(&stream);
    google::protobuf::io::CodedInputStream coded(&input);
    if (!model.ParseFromCodedStream(&coded) || !coded.ConsumedEntireMessage()) {
      fail("expected an ONNX model, received something else, or a file that was cut short");
    }
    if (!model.has_graph() || model.graph().node_size() == 0) fail("the model has no nodes: is it an ONNX model?");
    if (model.graph().node_size() > most_nodes) fail("the model has more nodes than any model");
    for (onnx::TensorProto& tensor : *model.mutable_graph()->mutable_initializer()) forget_weights(tensor);
    unite_domains(model);
    if (const std::string wrong = CallGraph(model).check(model.graph()); !wrong.empty()) fail(wrong);
    accept_newer(model);
    return model;
  }

 private:
  std::filesystem::path path_;
};

/// Attributes of a node, with their defaults.
class Attributes {
 public:
  explicit Attributes(const onnx::NodeProto& node) {
    for (const onnx::AttributeProto& attribute : node.attribute()) byname_.emplace(attribute.name(), &attribute);
  }

  const onnx::AttributeProto* find(const std::string& name) const {
    const auto found = byname_.find(name);
    return found == byname_.end() ? nullptr : found->second;
  }
  std::int64_t number(const std::string& name, std::int64_t fallback) const {
    const onnx::AttributeProto* attribute = find(name);
    return attribute == nullptr ? fallback : attribute->i();
  }
  std::string word(const std::string& name) const {
    const onnx::AttributeProto* attribute = find(name);
    return attribute == nullptr ? std::string() : attribute->s();
  }
  std::optional<Dims> numbers(const std::string& name) const {
    const onnx::AttributeProto* attribute = find(name);
    if (attribute == nullptr) return std::nullopt;
    return Dims(attribute->ints().begin(), attribute->ints().end());
  }
  /// Two numbers, height and width; nothing if there are others than two.
  std::optional<PerAxis> pair(const std::string& name, const PerAxis& fallback) const {
    const std::optional<Dims> values = numbers(name);
    if (!values) return fallback;
    if (values->size() != 2) return std::nullopt;
    return PerAxis((*values)[0], (*values)[1]);
  }
  std::optional<WindowPadding> padding() const {
    const std::string rule = word("auto_pad");
    WindowPadding padding = 0;
    if (rule == "VALID") padding.rule = WindowPadding::Rule::valid;
    if (rule == "SAME_UPPER") padding.rule = WindowPadding::Rule::same_upper;
    if (rule == "SAME_LOWER") padding.rule = WindowPadding::Rule::same_lower;
    if (padding.rule != WindowPadding::Rule::sides) return padding;
    if (const std::optional<Dims> sides = numbers("pads")) {
      if (sides->size() != 4) return std::nullopt;
      padding = WindowPadding((*sides)[0], (*sides)[2], (*sides)[1], (*sides)[3]);
    }
    return padding;
  }

 private:
  std::map<std::string, const onnx::AttributeProto*> byname_;
};

Value value_of(const onnx::TensorProto& tensor, const File& file) {
  const Dims dims(tensor.dims().begin(), tensor.dims().end());
  if (std::ranges::any_of(dims, [](std::int64_t dim) { return dim < 0; })) {
    file.fail(fmt::format("the initialiser {} has a negative dimension", printable(tensor.name())));
  }
  return {dims, content_of(tensor)};
}

/// Dimensions as far as they are numbers; nothing without a shape.
std::optional<std::vector<std::optional<std::int64_t>>> declared_dims(const onnx::TypeProto& type) {
  if (!type.has_tensor_type() || !type.tensor_type().has_shape()) return std::nullopt;
  std::vector<std::optional<std::int64_t>> dims;
  for (const auto& dim : type.tensor_type().shape().dim()) {
    dims.push_back(dim.has_dim_value() && dim.dim_value() > 0 ? std::optional(dim.dim_value()) : std::nullopt);
  }
  return dims;
}

std::string describe_declared(const onnx::ValueInfoProto& input) {
  const auto dims = declared_dims(input.type());
  if (!dims) return fmt::format("'{}' (no shape)", printable(input.name()));
  std::string text;
  for (const auto& dim : *dims) text += (text.empty() ? "" : ", ") + (dim ? std::to_string(*dim) : std::string("any"));
  return fmt::format("'{}' {{{}}}", printable(input.name()), text);
}

std::optional<DType> dtype_of(int type) {
  switch (type) {
    case onnx::TensorProto::UINT8:
      return DType::uint8;
    case onnx::TensorProto::FLOAT16:
      return DType::float16;
    case onnx::TensorProto::BFLOAT16:
      return DType::bfloat16;
    case onnx::TensorProto::FLOAT:
      return DType::float32;
    case onnx::TensorProto::INT64:
      return DType::int64;
    default:
      return std::nullopt;
  }
}

/// One node, asked of libonnx with the dimensions that really reach it.
class ForeignNode {
 public:
  ForeignNode(const onnx::NodeProto& node, std::vector<int> types, const onnx::ModelProto& model)
      : types_(std::move(types)) {
    model_.set_ir_version(model.ir_version());
    *model_.mutable_opset_import() = model.opset_import();
    *model_.mutable_functions() = model.functions();
    model_.mutable_graph()->set_name("node");
    *model_.mutable_graph()->add_node() = node;
    for (const onnx::AttributeProto& attribute : node.attribute()) has_graph_ = has_graph_ || attribute.has_g();
  }

  Applied operator()(std::span<const Value> inputs) const {
    const onnx::NodeProto& node = model_.graph().node(0);
    Applied result;
    result.out.resize(static_cast<std::size_t>(node.output_size()));
    onnx::ModelProto model = model_;
    bool all_known = true;
    std::set<std::string> declared;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const std::string& name = node.input(static_cast<int>(i));
      if (name.empty() || !declared.insert(name).second) continue;
      all_known = all_known && inputs[i].dims.has_value();
      declare(*model.mutable_graph(), name, types_[i], inputs[i]);
    }
    std::unordered_map<std::string, onnx::TensorShapeProto> contents;
    try {
      const Quiet quiet;
      onnx::shape_inference::InferShapes(model, onnx::OpSchemaRegistry::Instance(),
                                         onnx::ShapeInferenceOptions(false, 1, true), &contents);
    } catch (const std::exception& error) {
      if (all_known && !has_graph_) result.fault = Fault{.kind = Fault::Kind::foreign, .message = message_of(error)};
      return result;
    }
    for (int i = 0; i < node.output_size(); ++i) {
      result.out[static_cast<std::size_t>(i)] = find(model.graph(), node.output(i), contents);
    }
    return result;
  }

 private:
  static void declare(onnx::GraphProto& graph, const std::string& name, int type, const Value& value) {
    onnx::ValueInfoProto& input = *graph.add_input();
    input.set_name(name);
    auto& tensor = *input.mutable_type()->mutable_tensor_type();
    tensor.set_elem_type(type);
    if (value.dims) {
      tensor.mutable_shape();
      for (const std::int64_t dim : *value.dims) tensor.mutable_shape()->add_dim()->set_dim_value(dim);
    }
    if (!value.content || !value.dims) return;
    onnx::TensorProto& data = *graph.add_initializer();
    data.set_name(name);
    const bool narrow = type == onnx::TensorProto::INT32;
    data.set_data_type(narrow ? onnx::TensorProto::INT32 : onnx::TensorProto::INT64);
    for (const std::int64_t dim : *value.dims) data.add_dims(dim);
    for (const std::int64_t number : *value.content) {
      if (narrow) {
        data.add_int32_data(static_cast<std::int32_t>(number));
      } else {
        data.add_int64_data(number);
      }
    }
  }

  static Value find(const onnx::GraphProto& graph, const std::string& name,
                    const std::unordered_map<std::string, onnx::TensorShapeProto>& contents) {
    Value value;
    for (const onnx::ValueInfoProto& info : graph.value_info()) {
      if (info.name() != name) continue;
      const auto dims = declared_dims(info.type());
      if (!dims || std::ranges::any_of(*dims, [](const auto& dim) { return !dim; })) continue;
      value.dims.emplace();
      for (const auto& dim : *dims) value.dims->push_back(*dim);
    }
    if (const auto content = contents.find(name); content != contents.end()) {
      Dims numbers;
      for (const auto& dim : content->second.dim()) {
        if (!dim.has_dim_value()) return value;
        numbers.push_back(dim.dim_value());
      }
      if (numbers.size() > longest_content) return value;
      if (!value.dims) value.dims = Dims{static_cast<std::int64_t>(numbers.size())};
      value.content = std::move(numbers);
    }
    return value;
  }

  static std::string message_of(const std::exception& error) {
    std::string text;
    for (const char c : std::string_view(error.what()).substr(0, 400)) text += c == '\n' ? ' ' : c;
    return "libonnx: " + text;
  }

  onnx::ModelProto model_;  // of this node alone
  std::vector<int> types_;  // of the inputs' elements
  bool has_graph_ = false;
};

/// Turns the graph into a network: node types whose shapes muster explains become layers, others ask libonnx.
class Lowering {
 public:
  Lowering(const onnx::ModelProto& model, const File& file) : model_(model), file_(file) {
    for (const auto& opset : model.opset_import()) {
      if (opset.domain().empty()) opset_ = opset.version();
    }
    find_types();
  }

  Network run(const onnx::ValueInfoProto& input) {
    network_.input_name = "input " + printable(input.name());
    values_[input.name()] = 0;
    for (const onnx::TensorProto& tensor : model_.graph().initializer()) {
      types_[tensor.name()] = tensor.data_type();
      if (!values_.emplace(tensor.name(), network_.values.size()).second && tensor.name() == input.name()) {
        file_.fail(fmt::format("the input '{}' has a fixed value", printable(tensor.name())));
      }
      network_.values.push_back(value_of(tensor, file_));
    }
    for (const onnx::ValueInfoProto& other : model_.graph().input()) add_input(other);
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
  /// The types of elements follow from the operators, whatever the shapes.
  void find_types() {
    onnx::ModelProto copy;
    copy.set_ir_version(model_.ir_version());
    *copy.mutable_opset_import() = model_.opset_import();
    *copy.mutable_functions() = model_.functions();
    onnx::GraphProto& graph = *copy.mutable_graph();
    graph.set_name("types");
    *graph.mutable_node() = model_.graph().node();
    for (const onnx::ValueInfoProto& input : model_.graph().input()) {
      onnx::ValueInfoProto& typed = *graph.add_input();
      typed.set_name(input.name());
      const int type =
          input.type().has_tensor_type() ? input.type().tensor_type().elem_type() : onnx::TensorProto::FLOAT;
      typed.mutable_type()->mutable_tensor_type()->set_elem_type(type);
      types_[input.name()] = type;
    }
    for (const onnx::TensorProto& tensor : model_.graph().initializer()) {
      if (types_.contains(tensor.name())) continue;
      onnx::ValueInfoProto& typed = *graph.add_input();
      typed.set_name(tensor.name());
      typed.mutable_type()->mutable_tensor_type()->set_elem_type(tensor.data_type());
    }
    try {
      const Quiet quiet;
      onnx::shape_inference::InferShapes(copy);
    } catch (const std::exception&) {
      return;  // then they are taken for float32
    }
    for (const onnx::ValueInfoProto& info : copy.graph().value_info()) {
      if (info.type().has_tensor_type()) types_[info.name()] = info.type().tensor_type().elem_type();
    }
  }

  void add_input(const onnx::ValueInfoProto& input) {
    if (!values_.emplace(input.name(), network_.values.size()).second) return;
    Value value;
    const auto dims = declared_dims(input.type());
    if (dims && std::ranges::all_of(*dims, [](const auto& dim) { return dim.has_value(); })) {
      value.dims.emplace();
      for (const auto& dim : *dims) value.dims->push_back(*dim);
    }
    network_.values.push_back(std::move(value));
  }

  void add(const onnx::NodeProto& proto) {
    const std::string called = printable(proto.name().empty() ? proto.op_type() : proto.name());
    for (const std::string& input : proto.input()) {
      if (input.empty() || values_.contains(input)) continue;
      file_.fail(fmt::format(
          "node {} reads '{}', which neither a node before it, an initialiser nor an input gives: nodes are "
          "out of order, go in a circle, or are missing",
          called, printable(input)));
    }
    Node node{.op = Elementwise{}, .label = {}, .inputs = {}, .outputs = {}};
    for (const std::string& input : proto.input())
      node.inputs.push_back(input.empty() ? no_value() : values_.at(input));
    std::optional<Value> constant;
    if (proto.op_type() == "Constant") constant = constant_of(proto);
    for (const std::string& output : proto.output()) {
      node.outputs.push_back(network_.values.size());
      network_.values.push_back(constant.value_or(Value{}));
      if (output.empty()) continue;
      if (!values_.emplace(output, node.outputs.back()).second) {
        file_.fail(fmt::format("node {} gives '{}', which is given already", called, printable(output)));
      }
    }
    if (constant) return;
    node.as_pytorch = false;
    if (!proto.domain().empty()) {
      node.op = foreign(proto);
      node.label = label(proto, printable(proto.op_type()));
    } else if (!lower(proto, node)) {
      node.op = foreign(proto);
      node.label = label(proto, printable(proto.op_type()));
    }
    network_.nodes.push_back(std::move(node));
  }

  std::size_t no_value() {
    if (!no_value_) {
      no_value_ = network_.values.size();
      network_.values.emplace_back();
    }
    return *no_value_;
  }

  Foreign foreign(const onnx::NodeProto& proto) const {
    std::vector<int> types;
    for (const std::string& input : proto.input()) {
      const auto found = types_.find(input);
      types.push_back(found == types_.end() ? static_cast<int>(onnx::TensorProto::FLOAT) : found->second);
    }
    return {ForeignNode(proto, std::move(types), model_)};
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
      return value_of(tensor->t(), file_);
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

  bool lower_conv(const onnx::NodeProto& proto, const Attributes& attributes, Node& node) const {
    const std::optional<Dims> weight = fixed(proto, 1);
    if (!weight || weight->size() != 4) return false;
    const std::int64_t groups = attributes.number("group", 1);
    std::int64_t in_channels = 0;
    if (__builtin_mul_overflow((*weight)[1], groups, &in_channels)) return false;
    const auto kernel = attributes.pair("kernel_shape", {(*weight)[2], (*weight)[3]});
    const auto stride = attributes.pair("strides", 1);
    const auto dilation = attributes.pair("dilations", 1);
    const auto padding = attributes.padding();
    if (!kernel || !stride || !dilation || !padding) return false;
    return take(proto, node, Conv2d{in_channels, (*weight)[0], *kernel, *stride, *padding, *dilation, groups});
  }

  bool lower_transposed_conv(const onnx::NodeProto& proto, const Attributes& attributes, Node& node) const {
    const std::optional<Dims> weight = fixed(proto, 1);
    if (!weight || weight->size() != 4 || attributes.find("output_shape") != nullptr) return false;
    const std::int64_t groups = attributes.number("group", 1);
    std::int64_t out_channels = 0;
    if (__builtin_mul_overflow((*weight)[1], groups, &out_channels)) return false;
    const auto kernel = attributes.pair("kernel_shape", {(*weight)[2], (*weight)[3]});
    const auto stride = attributes.pair("strides", 1);
    const auto dilation = attributes.pair("dilations", 1);
    const auto extra = attributes.pair("output_padding", 0);
    const auto padding = attributes.padding();
    if (!kernel || !stride || !dilation || !extra || !padding) return false;
    return take(proto, node,
                ConvTranspose2d{(*weight)[0], out_channels, *kernel, *stride, *padding, *extra, groups, *dilation});
  }

  bool lower_max_pool(const onnx::NodeProto& proto, const Attributes& attributes, Node& node) const {
    const auto kernel = attributes.pair("kernel_shape", 0);
    const auto stride = attributes.pair("strides", 1);
    const auto dilation = attributes.pair("dilations", 1);
    const auto padding = attributes.padding();
    if (!kernel || *kernel == PerAxis(0) || !stride || !dilation || !padding || proto.output_size() != 1) return false;
    return take(proto, node, MaxPool2d{*kernel, *stride, *padding, *dilation, attributes.number("ceil_mode", 0) != 0});
  }

  bool lower_average_pool(const onnx::NodeProto& proto, const Attributes& attributes, Node& node) const {
    const auto kernel = attributes.pair("kernel_shape", 0);
    const auto stride = attributes.pair("strides", 1);
    const auto padding = attributes.padding();
    if (!kernel || *kernel == PerAxis(0) || !stride || !padding || attributes.find("dilations") != nullptr)
      return false;
    return take(proto, node, AvgPool2d{*kernel, *stride, *padding, attributes.number("ceil_mode", 0) != 0});
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
  const File& file_;
  std::int64_t opset_ = 1;
  Network network_;
  std::map<std::string, std::size_t> values_;
  std::map<std::string, int> types_;
  std::optional<std::size_t> no_value_;
};

/// The input that takes the images.
const onnx::ValueInfoProto& choose_input(const onnx::GraphProto& graph, std::string_view wanted, const File& file) {
  std::set<std::string> fixed;
  for (const onnx::TensorProto& tensor : graph.initializer()) fixed.insert(tensor.name());
  std::vector<const onnx::ValueInfoProto*> inputs, images;
  for (const onnx::ValueInfoProto& input : graph.input()) {
    if (fixed.contains(input.name())) continue;
    if (!wanted.empty() && input.name() == wanted) return input;
    inputs.push_back(&input);
    const auto dims = declared_dims(input.type());
    if (dims && dims->size() == 4) images.push_back(&input);
  }
  if (wanted.empty() && inputs.size() == 1) return *inputs.front();
  if (wanted.empty() && images.size() == 1) return *images.front();
  std::string names;
  for (const onnx::ValueInfoProto* input : inputs) names += (names.empty() ? "" : ", ") + describe_declared(*input);
  if (inputs.empty()) file.fail("the model has no input");
  if (!wanted.empty()) file.fail(fmt::format("the model has no input '{}'; it has {}", printable(wanted), names));
  file.fail(fmt::format("the model has several inputs, {}: name the one that takes the images", names));
}

/// Which axis holds the channels, where the sizes or the first node that reads the input tell.
std::optional<Layout> layout_of(const onnx::GraphProto& graph, const onnx::ValueInfoProto& input,
                                const std::vector<std::optional<std::int64_t>>& dims) {
  for (const onnx::NodeProto& node : graph.node()) {
    if (node.input_size() == 0 || node.input(0) != input.name()) continue;
    if (node.op_type() == "Conv") return Layout::nchw;
    if (node.op_type() == "Transpose") {
      const std::optional<Dims> order = Attributes(node).numbers("perm");
      if (order == Dims{0, 3, 1, 2}) return Layout::nhwc;
    }
    break;
  }
  const auto few = [](const std::optional<std::int64_t>& dim) { return dim && (*dim == 1 || *dim == 3 || *dim == 4); };
  if (few(dims[1]) == few(dims[3])) return std::nullopt;
  return few(dims[1]) ? Layout::nchw : Layout::nhwc;
}

InputSpec spec_of(const onnx::GraphProto& graph, const onnx::ValueInfoProto& input, const File& file) {
  InputSpec spec;
  if (!input.type().has_tensor_type()) file.fail(fmt::format("the input '{}' is no tensor", printable(input.name())));
  spec.dtype = dtype_of(input.type().tensor_type().elem_type());
  const auto dims = declared_dims(input.type());
  if (!dims) return spec;
  if (dims->size() != 4) {
    file.fail(fmt::format("expected an input for images, of four dimensions, received {}", describe_declared(input)));
  }
  spec.layout = layout_of(graph, input, *dims);
  const bool channels_last = spec.layout == Layout::nhwc;
  spec.batch_size = (*dims)[0];
  spec.channels = (*dims)[channels_last ? 3 : 1];
  spec.height = (*dims)[channels_last ? 1 : 2];
  spec.width = (*dims)[channels_last ? 2 : 3];
  return spec;
}

/// What the checker and shape inference see: weights are inputs, so that their data need not be there.
onnx::ModelProto without_weights(onnx::ModelProto model, const File& file) {
  onnx::GraphProto& graph = *model.mutable_graph();
  std::set<std::string> inputs;
  for (const onnx::ValueInfoProto& input : graph.input()) inputs.insert(input.name());
  google::protobuf::RepeatedPtrField<onnx::TensorProto> kept;
  for (const onnx::TensorProto& tensor : graph.initializer()) {
    if (tensor.dims_size() > highest_rank) {
      file.fail(fmt::format("the initialiser {} has {} dimensions", printable(tensor.name()), tensor.dims_size()));
    }
    if (content_of(tensor)) *kept.Add() = tensor;
    if (content_of(tensor) || !inputs.insert(tensor.name()).second) continue;
    onnx::ValueInfoProto& input = *graph.add_input();
    input.set_name(tensor.name());
    input.mutable_type()->mutable_tensor_type()->set_elem_type(tensor.data_type());
    input.mutable_type()->mutable_tensor_type()->mutable_shape();
    for (const std::int64_t dim : tensor.dims()) {
      input.mutable_type()->mutable_tensor_type()->mutable_shape()->add_dim()->set_dim_value(dim);
    }
  }
  graph.mutable_initializer()->Swap(&kept);
  // What the file says of shapes further on does not matter: they follow from the batch.
  graph.clear_value_info();
  graph.clear_output();
  for (onnx::ValueInfoProto& input : *graph.mutable_input()) {
    if (input.type().has_tensor_type()) input.mutable_type()->mutable_tensor_type()->mutable_shape();
  }
  return model;
}

}  // namespace

struct OnnxModel::Impl {
  InputSpec input;
  std::string input_name;
  Network network;
};

OnnxModel::OnnxModel(const std::filesystem::path& path, std::string_view input) {
  const File file(path);
  onnx::ModelProto model = file.read();
  auto impl = std::make_shared<Impl>();
  const onnx::ValueInfoProto& chosen = choose_input(model.graph(), input, file);
  impl->input = spec_of(model.graph(), chosen, file);
  impl->input_name = printable(chosen.name());
  try {
    const Quiet quiet;
    onnx::checker::check_model(without_weights(model, file));
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    std::string message = std::string(error.what()).substr(0, 400);
    std::ranges::replace(message, '\n', ' ');
    file.fail(fmt::format("the model is not valid: {}", message));
  }
  impl->network = Lowering(model, file).run(chosen);
  impl->network.input = impl->input;
  impl_ = std::move(impl);
}

const InputSpec& OnnxModel::input() const noexcept { return impl_->input; }
const std::string& OnnxModel::input_name() const noexcept { return impl_->input_name; }

Trace OnnxModel::trace(const BatchSpec& batch, std::int64_t num_rows) const {
  const std::int64_t rows = num_rows == 0 ? batch.batch_size : num_rows;
  const Shape shape = batch.shape(rows);
  expect_images(shape);
  return muster::trace(impl_->network, Dims(shape.begin(), shape.end()),
                       {.layout = batch.layout, .full_rows = rows == batch.batch_size ? 0 : batch.batch_size});
}

InputSpec from_onnx(const std::filesystem::path& path, std::string_view input) {
  return OnnxModel(path, input).input();
}

}  // namespace muster
