#include "interop/onnx_proto.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace muster {
namespace {

/// `count` numbers, byte by byte or as a list; nothing if there are more or fewer.
template <class Number, class Value, class List>
std::optional<std::vector<Value>> numbers_of(const onnx::TensorProto& tensor, const List& list, std::size_t count) {
  static_assert(std::endian::native == std::endian::little, "ONNX stores numbers little-endian");
  if (!tensor.has_raw_data()) {
    if (static_cast<std::size_t>(list.size()) != count) return std::nullopt;
    return std::vector<Value>(list.begin(), list.end());
  }
  const std::string& bytes = tensor.raw_data();
  if (bytes.size() != count * sizeof(Number)) return std::nullopt;
  std::vector<Value> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    Number number;
    std::memcpy(&number, bytes.data() + i * sizeof(Number), sizeof(Number));
    values[i] = number;
  }
  return values;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string result(text.substr(0, 60));
  for (char& c : result) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = '?';
  }
  return result;
}

std::string one_line(std::string_view message) {
  std::string line(message.substr(0, 400));
  std::ranges::replace(line, '\n', ' ');
  return line;
}

bool is_integer(std::int64_t type) { return type == onnx::TensorProto::INT64 || type == onnx::TensorProto::INT32; }

std::optional<Dims> content_of(const onnx::TensorProto& tensor) {
  if (!is_integer(tensor.data_type()) || tensor.dims_size() > 1) return std::nullopt;
  if (tensor.data_location() == onnx::TensorProto::EXTERNAL) return std::nullopt;
  const std::int64_t length = tensor.dims_size() == 0 ? 1 : tensor.dims(0);
  if (length < 0 || static_cast<std::size_t>(length) > longest_content) return std::nullopt;
  const auto count = static_cast<std::size_t>(length);
  if (tensor.data_type() == onnx::TensorProto::INT64) {
    return numbers_of<std::int64_t, std::int64_t>(tensor, tensor.int64_data(), count);
  }
  return numbers_of<std::int32_t, std::int64_t>(tensor, tensor.int32_data(), count);
}

std::optional<std::vector<float>> factors_of(const onnx::TensorProto& tensor) {
  constexpr std::int64_t most = 16;  // one for each dimension
  if (tensor.data_type() != onnx::TensorProto::FLOAT || tensor.dims_size() != 1) return std::nullopt;
  if (tensor.data_location() == onnx::TensorProto::EXTERNAL) return std::nullopt;
  if (tensor.dims(0) < 1 || tensor.dims(0) > most) return std::nullopt;
  auto factors = numbers_of<float, float>(tensor, tensor.float_data(), static_cast<std::size_t>(tensor.dims(0)));
  if (factors && !std::ranges::all_of(*factors, [](float factor) { return factor > 0; })) factors.reset();
  return factors;
}

std::optional<std::vector<std::optional<std::int64_t>>> declared_dims(const onnx::TypeProto& type) {
  if (!type.has_tensor_type() || !type.tensor_type().has_shape()) return std::nullopt;
  std::vector<std::optional<std::int64_t>> dims;
  for (const auto& dim : type.tensor_type().shape().dim()) {
    dims.push_back(dim.has_dim_value() && dim.dim_value() > 0 ? std::optional(dim.dim_value()) : std::nullopt);
  }
  return dims;
}

std::optional<Dims> known_dims(const onnx::TypeProto& type) {
  const auto declared = declared_dims(type);
  if (!declared) return std::nullopt;
  Dims dims;
  for (const std::optional<std::int64_t>& dim : *declared) {
    if (!dim) return std::nullopt;
    dims.push_back(*dim);
  }
  return dims;
}

onnx::TypeProto_Tensor& add_input(onnx::GraphProto& graph, const std::string& name, int element_type) {
  onnx::ValueInfoProto& input = *graph.add_input();
  input.set_name(name);
  onnx::TypeProto_Tensor& type = *input.mutable_type()->mutable_tensor_type();
  type.set_elem_type(element_type);
  return type;
}

void set_dims(onnx::TypeProto_Tensor& type, std::span<const std::int64_t> dims) {
  onnx::TensorShapeProto& shape = *type.mutable_shape();
  for (const std::int64_t dim : dims) shape.add_dim()->set_dim_value(dim);
}

Attributes::Attributes(const onnx::NodeProto& node) {
  for (const onnx::AttributeProto& attribute : node.attribute()) byname_.emplace(attribute.name(), &attribute);
}

const onnx::AttributeProto* Attributes::find(const std::string& name) const {
  const auto found = byname_.find(name);
  return found == byname_.end() ? nullptr : found->second;
}

std::int64_t Attributes::number(const std::string& name, std::int64_t fallback) const {
  const onnx::AttributeProto* attribute = find(name);
  return attribute == nullptr ? fallback : attribute->i();
}

std::string Attributes::word(const std::string& name) const {
  const onnx::AttributeProto* attribute = find(name);
  return attribute == nullptr ? std::string() : attribute->s();
}

std::optional<Dims> Attributes::numbers(const std::string& name) const {
  const onnx::AttributeProto* attribute = find(name);
  if (attribute == nullptr) return std::nullopt;
  return Dims(attribute->ints().begin(), attribute->ints().end());
}

std::optional<PerAxis> Attributes::pair(const std::string& name, const PerAxis& fallback) const {
  const std::optional<Dims> values = numbers(name);
  if (!values) return fallback;
  if (values->size() != 2) return std::nullopt;
  return PerAxis((*values)[0], (*values)[1]);
}

std::optional<WindowPadding> Attributes::padding() const {
  const std::string rule = word("auto_pad");
  WindowPadding padding = 0;
  if (rule == "VALID") padding.rule = WindowPadding::Rule::valid;
  if (rule == "SAME_UPPER") padding.rule = WindowPadding::Rule::same_upper;
  if (rule == "SAME_LOWER") padding.rule = WindowPadding::Rule::same_lower;
  if (padding.rule != WindowPadding::Rule::sides) return padding;
  const std::optional<Dims> sides = numbers("pads");
  if (!sides) return padding;
  if (sides->size() != 4) return std::nullopt;
  return WindowPadding((*sides)[0], (*sides)[2], (*sides)[1], (*sides)[3]);
}

std::optional<WindowAttributes> Attributes::window(const PerAxis& default_kernel) const {
  const auto kernel = pair("kernel_shape", default_kernel);
  const auto stride = pair("strides", 1);
  const auto dilation = pair("dilations", 1);
  const auto sides = padding();
  if (!kernel || !stride || !dilation || !sides) return std::nullopt;
  return WindowAttributes{*kernel, *stride, *dilation, *sides};
}

}  // namespace muster
