#include "interop/onnx_foreign.hpp"

#include <algorithm>
#include <set>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "interop/onnx_asked.hpp"
#include "interop/onnx_headers.hpp"

namespace muster {
namespace {

using Contents = std::unordered_map<std::string, onnx::TensorShapeProto>;

void declare(onnx::GraphProto& graph, const std::string& name, int type, const Value& value) {
  onnx::TypeProto_Tensor& input = add_input(graph, name, type);
  if (!value.dims) return;
  set_dims(input, *value.dims);
  if (!value.content) return;
  onnx::TensorProto& data = *graph.add_initializer();
  data.set_name(name);
  for (const std::int64_t dim : *value.dims) data.add_dims(dim);
  const bool narrow = type == onnx::TensorProto::INT32;
  data.set_data_type(narrow ? onnx::TensorProto::INT32 : onnx::TensorProto::INT64);
  for (const std::int64_t number : *value.content) {
    if (narrow) {
      data.add_int32_data(static_cast<std::int32_t>(number));
    } else {
      data.add_int64_data(number);
    }
  }
}

/// What was inferred of a value.
Value find(const onnx::GraphProto& graph, const std::string& name, const Contents& contents) {
  Value value;
  for (const onnx::ValueInfoProto& info : graph.value_info()) {
    if (info.name() != name) continue;
    value.dims = known_dims(info.type());
    if (!is_integer(info.type().tensor_type().elem_type())) return value;
  }
  const auto content = contents.find(name);
  if (content == contents.end() || static_cast<std::size_t>(content->second.dim_size()) > longest_content) return value;
  Dims numbers;
  for (const auto& dim : content->second.dim()) {
    if (!dim.has_dim_value()) return value;
    numbers.push_back(dim.dim_value());
  }
  if (!value.dims) value.dims = Dims{static_cast<std::int64_t>(numbers.size())};
  value.content = std::move(numbers);
  return value;
}

/// The input of factors that its sizes are multiplied by.
std::optional<int> factors_input(const onnx::NodeProto& node) {
  if (!node.domain().empty()) return std::nullopt;
  if (node.op_type() == "Upsample") return 1;
  // This mode also cuts, which libonnx does not know.
  if (node.op_type() != "Resize" || Attributes(node).word("coordinate_transformation_mode") == "tf_crop_and_resize") {
    return std::nullopt;
  }
  return node.input_size() == 2 ? 1 : 2;  // up to opset 10 there was nothing between
}

/// Whether all sizes can be counted: from float32 libonnx makes integers without a look.
bool are_usable(std::span<const float> factors, const std::optional<Dims>& dims) {
  constexpr float largest = 0x1p40F;
  if (!dims || dims->size() != factors.size()) return false;
  for (std::size_t i = 0; i < factors.size(); ++i) {
    if (!(static_cast<float>((*dims)[i]) * factors[i] < largest)) return false;
  }
  return true;
}

struct ForeignNode {
  onnx::NodeProto node;
  std::vector<int> types;  // of the inputs' elements
  std::vector<float> factors;
  std::shared_ptr<const onnx::ModelProto> frame;

  Applied apply(std::span<const Value> inputs) const {
    Applied result;
    result.out.resize(static_cast<std::size_t>(node.output_size()));
    if (!is_asked_about(node)) return result;
    if (std::string why = misfit(node, inputs); !why.empty()) {
      result.fault = Fault{.kind = Fault::Kind::foreign, .message = std::move(why)};
      return result;
    }
    onnx::ModelProto model = *frame;
    onnx::GraphProto& graph = *model.mutable_graph();
    *graph.add_node() = node;
    bool all_known = true;
    std::set<std::string> declared;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const std::string& name = node.input(static_cast<int>(i));
      if (name.empty() || !declared.insert(name).second) continue;
      all_known = all_known && inputs[i].dims.has_value();
      declare(graph, name, types[i], inputs[i]);
    }
    if (!factors.empty() && are_usable(factors, inputs.front().dims)) declare_factors(graph);
    Contents contents;
    try {
      const Quiet quiet;
      onnx::shape_inference::InferShapes(model, onnx::OpSchemaRegistry::Instance(),
                                         onnx::ShapeInferenceOptions(false, 1, true), &contents);
    } catch (const std::exception& error) {
      if (all_known) {
        result.fault = Fault{.kind = Fault::Kind::foreign, .message = "libonnx: " + one_line(error.what())};
      }
      return result;
    }
    for (int i = 0; i < node.output_size(); ++i) {
      result.out[static_cast<std::size_t>(i)] = find(graph, node.output(i), contents);
    }
    return result;
  }

  void declare_factors(onnx::GraphProto& graph) const {
    onnx::TensorProto& tensor = *graph.add_initializer();
    tensor.set_name(node.input(*factors_input(node)));
    tensor.set_data_type(onnx::TensorProto::FLOAT);
    tensor.add_dims(static_cast<std::int64_t>(factors.size()));
    tensor.mutable_float_data()->Add(factors.begin(), factors.end());
  }
};

}  // namespace

ForeignNodes::ForeignNodes(const onnx::ModelProto& model) {
  onnx::ModelProto frame;
  frame.set_ir_version(model.ir_version());
  *frame.mutable_opset_import() = model.opset_import();
  frame.mutable_graph()->set_name("nodes");
  frame_ = std::make_shared<const onnx::ModelProto>(std::move(frame));
  find_types(model);
  for (const onnx::TensorProto& tensor : model.graph().initializer()) add_factors(tensor.name(), tensor);
  for (const onnx::NodeProto& node : model.graph().node()) {
    if (node.op_type() != "Constant" || !node.domain().empty() || node.output_size() == 0) continue;
    const Attributes attributes(node);
    if (const auto* value = attributes.find("value"); value != nullptr) add_factors(node.output(0), value->t());
    if (const auto* list = attributes.find("value_floats"); list != nullptr) {
      onnx::TensorProto tensor;
      tensor.set_data_type(onnx::TensorProto::FLOAT);
      tensor.add_dims(list->floats_size());
      *tensor.mutable_float_data() = list->floats();
      add_factors(node.output(0), tensor);
    }
  }
}

void ForeignNodes::add_factors(const std::string& name, const onnx::TensorProto& tensor) {
  if (std::optional<std::vector<float>> factors = factors_of(tensor)) {
    factors_.insert_or_assign(name, std::move(*factors));
  }
}

/// The types of elements follow from the operators, whatever the shapes: node by node, libonnx is told none.
void ForeignNodes::find_types(const onnx::ModelProto& model) {
  for (const onnx::ValueInfoProto& input : model.graph().input()) {
    types_[input.name()] =
        input.type().has_tensor_type() ? input.type().tensor_type().elem_type() : onnx::TensorProto::FLOAT;
  }
  for (const onnx::TensorProto& tensor : model.graph().initializer()) types_[tensor.name()] = tensor.data_type();
  onnx::ModelProto asked = *frame_;
  onnx::GraphProto& graph = *asked.mutable_graph();
  for (const onnx::NodeProto& node : model.graph().node()) {
    if (!is_asked_about(node)) continue;
    graph.clear_node();
    graph.clear_input();
    graph.clear_value_info();
    *graph.add_node() = node;
    std::set<std::string> declared;
    for (const std::string& input : node.input()) {
      if (!input.empty() && declared.insert(input).second) add_input(graph, input, type_of(input));
    }
    try {
      const Quiet quiet;
      onnx::shape_inference::InferShapes(asked);
    } catch (const std::exception&) {
      continue;  // then what it gives is taken for float32
    }
    for (const onnx::ValueInfoProto& info : graph.value_info()) {
      if (info.type().has_tensor_type()) types_[info.name()] = info.type().tensor_type().elem_type();
    }
  }
}

int ForeignNodes::type_of(const std::string& value) const {
  const auto found = types_.find(value);
  return found == types_.end() ? static_cast<int>(onnx::TensorProto::FLOAT) : found->second;
}

Foreign ForeignNodes::make(const onnx::NodeProto& node) const {
  std::vector<int> types;
  for (const std::string& input : node.input()) types.push_back(type_of(input));
  std::vector<float> factors;
  if (const std::optional<int> input = factors_input(node); input && *input < node.input_size()) {
    if (const auto known = factors_.find(node.input(*input)); known != factors_.end()) factors = known->second;
  }
  // Shared, as networks are copied and changed in the search for what would fit.
  return {
      [foreign = std::make_shared<const ForeignNode>(ForeignNode{node, std::move(types), std::move(factors), frame_})](
          std::span<const Value> inputs) { return foreign->apply(inputs); }};
}

}  // namespace muster
