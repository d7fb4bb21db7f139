#include "interop/onnx_apart.hpp"

#include <algorithm>
#include <exception>
#include <functional>
#include <map>
#include <string_view>

#include <fmt/format.h>

#include "interop/onnx_headers.hpp"

namespace muster {
namespace {

using ToSetApart = std::function<bool(const onnx::NodeProto&)>;

constexpr const char* domain_apart = "muster.apart";

template <class Nodes>
void set_apart(Nodes& nodes, const ToSetApart& is_apart);

/// In the graphs that a node holds, and in theirs.
void set_apart_within(onnx::NodeProto& node, const ToSetApart& is_apart) {
  for (onnx::AttributeProto& attribute : *node.mutable_attribute()) {
    if (attribute.has_g()) set_apart(*attribute.mutable_g()->mutable_node(), is_apart);
    for (onnx::GraphProto& inner : *attribute.mutable_graphs()) set_apart(*inner.mutable_node(), is_apart);
  }
}

template <class Nodes>
void set_apart(Nodes& nodes, const ToSetApart& is_apart) {
  for (onnx::NodeProto& node : nodes) {
    if (node.domain().empty() && is_apart(node)) node.set_domain(domain_apart);
    set_apart_within(node, is_apart);
  }
}

/// Of a model or a function.
template <class Owner>
void import_domain(Owner& owner) {
  const auto is_it = [](const onnx::OperatorSetIdProto& opset) { return opset.domain() == domain_apart; };
  if (std::ranges::any_of(owner.opset_import(), is_it)) return;
  onnx::OperatorSetIdProto& opset = *owner.add_opset_import();
  opset.set_domain(domain_apart);
  opset.set_version(1);
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

/// The inputs whose numbers of dimensions have to agree with the first one's, for all that slides a window.
const std::map<std::string_view, int>& misread_operators() {
  static const std::map<std::string_view, int> second_input = {
      {"Conv", 1}, {"ConvInteger", 1}, {"ConvTranspose", 1}, {"MaxUnpool", 1}, {"QLinearConv", 3}};
  return second_input;
}

bool is_misread(const onnx::NodeProto& node) { return misread_operators().contains(node.op_type()); }

}  // namespace

void accept_newer(onnx::ModelProto& model) {
  model.set_ir_version(std::min<std::int64_t>(model.ir_version(), onnx::Version::IR_VERSION));
  const int newest = onnx::OpSchemaRegistry::DomainToVersionRange::Instance().Map().at("").second;
  const auto is_newer = [&](const auto& opset) { return opset.domain().empty() && opset.version() > newest; };
  if (std::ranges::none_of(model.opset_import(), is_newer)) return;
  set_apart(*model.mutable_graph()->mutable_node(),
            [&](const onnx::NodeProto& node) { return !is_known(node, newest); });
  import_domain(model);
}

void set_apart_misread(onnx::ModelProto& model) {
  // A function of this domain would be called by what is set apart.
  auto& functions = *model.mutable_functions();
  functions.erase(std::remove_if(functions.begin(), functions.end(),
                                 [](const onnx::FunctionProto& function) { return function.domain() == domain_apart; }),
                  functions.end());
  for (onnx::NodeProto& node : *model.mutable_graph()->mutable_node()) set_apart_within(node, is_misread);
  for (onnx::FunctionProto& function : *model.mutable_functions()) {
    set_apart(*function.mutable_node(), is_misread);
    import_domain(function);
  }
  import_domain(model);
}

std::string misread(const onnx::NodeProto& node, std::span<const Value> inputs) {
  const auto found = misread_operators().find(node.op_type());
  if (!node.domain().empty() || found == misread_operators().end()) return {};
  const auto second = static_cast<std::size_t>(found->second);
  if (second >= inputs.size() || !inputs.front().dims || !inputs[second].dims) return {};  // then it does not look
  const std::size_t rank = inputs.front().dims->size();
  if (inputs[second].dims->size() != rank) {
    return fmt::format("input 1 has {} dimensions and input {} has {}", rank, second + 1, inputs[second].dims->size());
  }
  const std::optional<Dims> sizes = Attributes(node).numbers("output_shape");
  if (!sizes || sizes->size() + 2 == rank) return {};
  return fmt::format("input 1 has {} dimensions and output_shape gives {} of the last {}", rank, sizes->size(),
                     rank < 2 ? 0 : rank - 2);
}

}  // namespace muster
