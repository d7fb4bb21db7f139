#include "muster/interop/onnx.hpp"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "interop/onnx_file.hpp"
#include "interop/onnx_lowering.hpp"
#include "interop/onnx_proto.hpp"
#include "trace/trace.hpp"

namespace muster {
namespace {

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

/// Where the input's elements are none that a batch can have; empty: they are.
std::string caveat_of(const onnx::ValueInfoProto& input) {
  const int type = input.type().tensor_type().elem_type();
  if (dtype_of(type)) return {};
  const std::string& name = onnx::TensorProto::DataType_Name(type);
  return fmt::format("the input '{}' takes elements of type {}, which no loader delivers: convert every batch",
                     printable(input.name()), name.empty() ? std::to_string(type) : name);
}

/// The input that takes the images.
const onnx::ValueInfoProto& choose_input(const onnx::GraphProto& graph, std::string_view wanted, const OnnxFile& file) {
  std::set<std::string> fixed;
  for (const onnx::TensorProto& tensor : graph.initializer()) fixed.insert(tensor.name());
  std::vector<const onnx::ValueInfoProto*> inputs;
  std::vector<const onnx::ValueInfoProto*> images;
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

InputSpec spec_of(const onnx::GraphProto& graph, const onnx::ValueInfoProto& input, const OnnxFile& file) {
  InputSpec spec;
  if (!input.type().has_tensor_type()) file.fail(fmt::format("the input '{}' is no tensor", printable(input.name())));
  spec.dtype = dtype_of(input.type().tensor_type().elem_type());
  const auto dims = declared_dims(input.type());
  if (!dims) return spec;
  if (dims->size() != 4) {
    file.fail(fmt::format("expected an input for images, of four dimensions, received {}", describe_declared(input)));
  }
  spec.layout = layout_of(graph, input, *dims);
  const ImageAxes axes = axes_of(spec.layout);
  spec.batch_size = (*dims)[0];
  spec.channels = (*dims)[axes.channels];
  spec.height = (*dims)[axes.height];
  spec.width = (*dims)[axes.width];
  return spec;
}

}  // namespace

struct OnnxModel::Impl {
  std::string input_name;
  Network network;
};

OnnxModel::OnnxModel(const std::filesystem::path& path, std::string_view input) {
  const OnnxFile file(path);
  const onnx::ModelProto model = file.read();
  const onnx::ValueInfoProto& chosen = choose_input(model.graph(), input, file);
  const InputSpec spec = spec_of(model.graph(), chosen, file);
  file.check(model);
  auto impl = std::make_shared<Impl>(Impl{printable(chosen.name()), lower_model(model, chosen, file)});
  impl->network.input = spec;
  impl->network.input_caveat = caveat_of(chosen);
  impl_ = std::move(impl);
}

const InputSpec& OnnxModel::input() const noexcept { return impl_->network.input; }
const std::string& OnnxModel::input_name() const noexcept { return impl_->input_name; }

Trace OnnxModel::trace(const BatchSpec& batch, std::int64_t num_rows) const {
  return muster::trace(impl_->network, batch, num_rows);
}

InputSpec from_onnx(const std::filesystem::path& path, std::string_view input) {
  return OnnxModel(path, input).input();
}

}  // namespace muster
