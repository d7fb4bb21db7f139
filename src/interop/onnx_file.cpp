#include "interop/onnx_file.hpp"

#include <algorithm>
#include <fstream>
#include <limits>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "interop/onnx_headers.hpp"

namespace muster {
namespace {

constexpr int most_nodes = 1 << 20;
constexpr int highest_rank = 16;

/// Keeps only what shapes may depend on.
void forget_weights(onnx::TensorProto& tensor) {
  if (content_of(tensor) || factors_of(tensor)) return;
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

/// What the checker sees: weights are inputs, so that their data need not be there.
onnx::ModelProto without_weights(onnx::ModelProto model, const OnnxFile& file) {
  onnx::GraphProto& graph = *model.mutable_graph();
  std::set<std::string> inputs;
  for (const onnx::ValueInfoProto& input : graph.input()) inputs.insert(input.name());
  google::protobuf::RepeatedPtrField<onnx::TensorProto> kept;
  for (const onnx::TensorProto& tensor : graph.initializer()) {
    if (tensor.dims_size() > highest_rank) {
      file.fail(fmt::format("the initialiser {} has {} dimensions", printable(tensor.name()), tensor.dims_size()));
    }
    if (content_of(tensor)) {
      *kept.Add() = tensor;
      continue;
    }
    if (!inputs.insert(tensor.name()).second) continue;
    set_dims(add_input(graph, tensor.name(), tensor.data_type()), Dims(tensor.dims().begin(), tensor.dims().end()));
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

void OnnxFile::fail(const std::string& message) const {
  throw ConfigError("onnx", fmt::format("{}: {}", path_.string(), message));
}

onnx::ModelProto OnnxFile::read() const {
  std::error_code error;
  if (!std::filesystem::exists(path_, error)) fail("there is no such file");
  if (!std::filesystem::is_regular_file(path_, error)) fail("expected a file, received something else");
  const std::uintmax_t size = std::filesystem::file_size(path_, error);
  if (error) fail(error.message());
  if (size > std::numeric_limits<std::int32_t>::max()) {
    fail(
        "the file is larger than 2 GB, which is more than an ONNX model can have: keep the weights in a file beside "
        "it (save_as_external_data)");
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
  accept_newer(model);
  return model;
}

void OnnxFile::check(const onnx::ModelProto& model) const {
  const onnx::ModelProto checked = without_weights(model, *this);
  try {
    const Quiet quiet;
    onnx::checker::check_model(checked);
  } catch (const std::exception& error) {
    fail(fmt::format("the model is not valid: {}", one_line(error.what())));
  }
}

}  // namespace muster
