#include "interop/onnx_proto.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace muster {
namespace {

template <class Number, class Value>
std::vector<Value> read_raw(const std::string& bytes) {
  static_assert(std::endian::native == std::endian::little, "ONNX stores numbers little-endian");
  std::vector<Value> values(bytes.size() / sizeof(Number));
  for (std::size_t i = 0; i < values.size(); ++i) {
    Number number;
    std::memcpy(&number, bytes.data() + i * sizeof(Number), sizeof(Number));
    values[i] = number;
  }
  return values;
}

/// Of what lies in the file itself and has one dimension or none.
std::optional<std::size_t> length_of(const onnx::TensorProto& tensor) {
  if (tensor.dims_size() > 1 || tensor.data_location() == onnx::TensorProto::EXTERNAL) return std::nullopt;
  if (tensor.dims_size() == 0) return 1;
  if (tensor.dims(0) < 0) return std::nullopt;
  return static_cast<std::size_t>(tensor.dims(0));
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
  const std::optional<std::size_t> length = length_of(tensor);
  if (!is_integer(tensor.data_type()) || !length || *length > longest_content) return std::nullopt;
  const bool wide = tensor.data_type() == onnx::TensorProto::INT64;
  Dims values;
  if (tensor.has_raw_data()) {
    values = wide ? read_raw<std::int64_t, std::int64_t>(tensor.raw_data())
                  : read_raw<std::int32_t, std::int64_t>(tensor.raw_data());
  } else if (wide) {
    values.assign(tensor.int64_data().begin(), tensor.int64_data().end());
  } else {
    values.assign(tensor.int32_data().begin(), tensor.int32_data().end());
  }
  if (values.size() != *length) return std::nullopt;
  return values;
}

std::optional<std::vector<float>> factors_of(const onnx::TensorProto& tensor) {
  constexpr std::size_t most = 16;  // one for each dimension
  constexpr float largest = 1 << 16;
  const std::optional<std::size_t> length = length_of(tensor);
  if (tensor.data_type() != onnx::TensorProto::FLOAT || !length || *length == 0 || *length > most) return std::nullopt;
  std::vector<float> values(tensor.float_data().begin(), tensor.float_data().end());
  if (tensor.has_raw_data()) values = read_raw<float, float>(tensor.raw_data());
  const bool are_factors = std::ranges::all_of(values, [](float value) { return value > 0 && value <= largest; });
  if (values.size() != *length || !are_factors) return std::nullopt;
  return values;
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
