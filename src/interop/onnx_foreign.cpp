#include "interop/onnx_foreign.hpp"

#include <algorithm>
#include <set>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "interop/onnx_headers.hpp"

namespace muster {
namespace {

using Contents = std::unordered_map<std::string, onnx::TensorShapeProto>;

bool has_graph(const onnx::NodeProto& node) {
  return std::ranges::any_of(node.attribute(), [](const auto& attribute) { return attribute.has_g(); });
}

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

/// libonnx 1.12 reads past the end of these weights' dimensions.
bool has_too_few_dims(const onnx::NodeProto& node, std::span<const Value> inputs) {
  return node.op_type() == "ConvTranspose" && inputs.size() > 1 && inputs[0].dims && inputs[1].dims &&
         inputs[1].dims->size() < inputs[0].dims->size();
}

struct ForeignNode {
  onnx::NodeProto node;
  std::vector<int> types;                  // of the inputs' elements
  std::vector<onnx::TensorProto> factors;  // inputs that sizes may be multiplied by
  std::shared_ptr<const onnx::ModelProto> frame;

  Applied apply(std::span<const Value> inputs) const {
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
    for (const onnx::TensorProto& tensor : factors) *graph.add_initializer() = tensor;
    Applied result;
    result.out.resize(static_cast<std::size_t>(node.output_size()));
    if (has_too_few_dims(node, inputs)) {
      result.fault = Fault{.kind = Fault::Kind::foreign, .message = "the weights have fewer dimensions than the input"};
      return result;
    }
    Contents contents;
    try {
      const Quiet quiet;
      onnx::shape_inference::InferShapes(model, onnx::OpSchemaRegistry::Instance(),
                                         onnx::ShapeInferenceOptions(false, 1, true), &contents);
    } catch (const std::exception& error) {
      if (all_known && !has_graph(node)) {
        result.fault = Fault{.kind = Fault::Kind::foreign, .message = "libonnx: " + one_line(error.what())};
      }
      return result;
    }
    for (int i = 0; i < node.output_size(); ++i) {
      result.out[static_cast<std::size_t>(i)] = find(graph, node.output(i), contents);
    }
    return result;
  }
};

}  // namespace

ForeignNodes::ForeignNodes(const onnx::ModelProto& model) {
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

/// Written anew, so that libonnx reads what has been looked at.
void ForeignNodes::add_factors(const std::string& name, const onnx::TensorProto& tensor) {
  const std::optional<std::vector<float>> factors = factors_of(tensor);
  if (!factors) return;
  onnx::TensorProto made;
  made.set_name(name);
  made.set_data_type(onnx::TensorProto::FLOAT);
  *made.mutable_dims() = tensor.dims();
  made.mutable_float_data()->Add(factors->begin(), factors->end());
  factors_.insert_or_assign(name, std::move(made));
}

/// The types of elements follow from the operators, whatever the shapes.
void ForeignNodes::find_types(const onnx::ModelProto& model) {
  onnx::ModelProto frame;
  frame.set_ir_version(model.ir_version());
  *frame.mutable_opset_import() = model.opset_import();
  *frame.mutable_functions() = model.functions();
  frame.mutable_graph()->set_name("nodes");
  frame_ = std::make_shared<const onnx::ModelProto>(frame);

  onnx::GraphProto& graph = *frame.mutable_graph();
  *graph.mutable_node() = model.graph().node();
  for (const onnx::ValueInfoProto& input : model.graph().input()) {
    const int type = input.type().has_tensor_type() ? input.type().tensor_type().elem_type() : onnx::TensorProto::FLOAT;
    types_[input.name()] = type;
    add_input(graph, input.name(), type);
  }
  for (const onnx::TensorProto& tensor : model.graph().initializer()) {
    const bool is_new = types_.insert_or_assign(tensor.name(), tensor.data_type()).second;
    if (is_new) add_input(graph, tensor.name(), tensor.data_type());
  }
  try {
    const Quiet quiet;
    onnx::shape_inference::InferShapes(frame);
  } catch (const std::exception&) {
    return;  // then they are taken for float32
  }
  for (const onnx::ValueInfoProto& info : graph.value_info()) {
    if (info.type().has_tensor_type()) types_[info.name()] = info.type().tensor_type().elem_type();
  }
}

Foreign ForeignNodes::make(const onnx::NodeProto& node) const {
  std::vector<int> types;
  std::vector<onnx::TensorProto> factors;
  for (const std::string& input : node.input()) {
    const auto found = types_.find(input);
    types.push_back(found == types_.end() ? static_cast<int>(onnx::TensorProto::FLOAT) : found->second);
    if (const auto known = factors_.find(input); known != factors_.end()) factors.push_back(known->second);
  }
  // Shared, as networks are copied and changed in the search for what would fit.
  return {
      [foreign = std::make_shared<const ForeignNode>(ForeignNode{node, std::move(types), std::move(factors), frame_})](
          std::span<const Value> inputs) { return foreign->apply(inputs); }};
}

}  // namespace muster
