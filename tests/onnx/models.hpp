// Models made through ONNX's own classes.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include <onnx/onnx_pb.h>
#pragma GCC diagnostic pop

namespace muster::test {

using Dims = std::vector<std::int64_t>;

/// A model, written down node by node. Dimension 0 of an input is open.
class Maker {
 public:
  Maker() {
    model_.set_ir_version(8);
    model_.add_opset_import()->set_version(13);
    graph().set_name("test");
  }

  Maker& input(const std::string& name, const Dims& dims, int type = onnx::TensorProto::FLOAT) {
    onnx::ValueInfoProto& info = *graph().add_input();
    info.set_name(name);
    auto& tensor = *info.mutable_type()->mutable_tensor_type();
    tensor.set_elem_type(type);
    for (const std::int64_t dim : dims) {
      auto& made = *tensor.mutable_shape()->add_dim();
      if (dim > 0) {
        made.set_dim_value(dim);
      } else {
        made.set_dim_param("open");
      }
    }
    return *this;
  }

  Maker& weight(const std::string& name, const Dims& dims) {
    onnx::TensorProto& tensor = *graph().add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(onnx::TensorProto::FLOAT);
    std::size_t count = 1;
    for (const std::int64_t dim : dims) {
      tensor.add_dims(dim);
      count *= static_cast<std::size_t>(dim);
    }
    tensor.set_raw_data(std::string(count * 4, '\0'));
    return *this;
  }

  Maker& numbers(const std::string& name, const Dims& values) {
    onnx::TensorProto& tensor = *graph().add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(onnx::TensorProto::INT64);
    tensor.add_dims(static_cast<std::int64_t>(values.size()));
    for (const std::int64_t value : values) tensor.add_int64_data(value);
    return *this;
  }

  /// As exporters write them, byte by byte.
  template <class Number>
  Maker& raw_numbers(const std::string& name, const std::vector<Number>& values) {
    onnx::TensorProto& tensor = *graph().add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(sizeof(Number) == 8 ? onnx::TensorProto::INT64 : onnx::TensorProto::INT32);
    tensor.add_dims(static_cast<std::int64_t>(values.size()));
    tensor.set_raw_data(std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(Number)));
    return *this;
  }

  /// float32, in the one form or the other.
  Maker& factors(const std::string& name, const std::vector<float>& values, bool raw) {
    onnx::TensorProto& tensor = *graph().add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(onnx::TensorProto::FLOAT);
    tensor.add_dims(static_cast<std::int64_t>(values.size()));
    if (raw) {
      tensor.set_raw_data(std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)));
    } else {
      for (const float value : values) tensor.add_float_data(value);
    }
    return *this;
  }

  /// Of the node that was made last.
  onnx::AttributeProto& attribute(const std::string& name, onnx::AttributeProto::AttributeType type) {
    onnx::AttributeProto& made = *graph().mutable_node(graph().node_size() - 1)->add_attribute();
    made.set_name(name);
    made.set_type(type);
    return made;
  }

  /// Makes the initialiser that was made last a node's.
  Maker& as_constant() {
    const onnx::TensorProto tensor = graph().initializer(graph().initializer_size() - 1);
    graph().mutable_initializer()->RemoveLast();
    node("Constant", {}, tensor.name());
    *attribute("value", onnx::AttributeProto::TENSOR).mutable_t() = tensor;
    return *this;
  }

  Maker& opset(std::int64_t version, const std::string& domain = {}) {
    if (domain.empty()) {
      model_.mutable_opset_import(0)->set_version(version);
    } else {
      onnx::OperatorSetIdProto& made = *model_.add_opset_import();
      made.set_domain(domain);
      made.set_version(version);
    }
    return *this;
  }

  Maker& node(const std::string& op, const std::vector<std::string>& inputs, const std::string& output,
              const std::vector<std::pair<std::string, Dims>>& lists = {},
              const std::vector<std::pair<std::string, std::int64_t>>& values = {}) {
    onnx::NodeProto& made = *graph().add_node();
    made.set_op_type(op);
    made.set_name("node_" + output);
    for (const std::string& name : inputs) made.add_input(name);
    made.add_output(output);
    for (const auto& [name, list] : lists) {
      onnx::AttributeProto& attribute = *made.add_attribute();
      attribute.set_name(name);
      attribute.set_type(onnx::AttributeProto::INTS);
      for (const std::int64_t value : list) attribute.add_ints(value);
    }
    for (const auto& [name, value] : values) {
      onnx::AttributeProto& attribute = *made.add_attribute();
      attribute.set_name(name);
      attribute.set_type(onnx::AttributeProto::INT);
      attribute.set_i(value);
    }
    return *this;
  }

  Maker& output(const std::string& name) {
    onnx::ValueInfoProto& info = *graph().add_output();
    info.set_name(name);
    info.mutable_type()->mutable_tensor_type()->set_elem_type(onnx::TensorProto::FLOAT);
    return *this;
  }

  onnx::ModelProto& model() { return model_; }
  onnx::GraphProto& graph() { return *model_.mutable_graph(); }
  std::string bytes() const { return model_.SerializeAsString(); }

 private:
  onnx::ModelProto model_;
};

/// LeNet with {16, 5, 5} flattened by x.view(x.size(0), -1), as exporters of PyTorch write it.
inline Maker lenet(const Dims& input = {0, 3, 0, 0}) {
  Maker maker;
  maker.input("x", input)
      .weight("w1", {6, 3, 5, 5})
      .weight("w2", {16, 6, 5, 5})
      .weight("w3", {10, 400})
      .weight("b3", {10})
      .numbers("zero", {0})
      .numbers("minus", {-1})
      .node("Conv", {"x", "w1"}, "c1", {{"kernel_shape", {5, 5}}})
      .node("Relu", {"c1"}, "r1")
      .node("MaxPool", {"r1"}, "p1", {{"kernel_shape", {2, 2}}, {"strides", {2, 2}}})
      .node("Conv", {"p1", "w2"}, "c2", {{"kernel_shape", {5, 5}}})
      .node("MaxPool", {"c2"}, "p2", {{"kernel_shape", {2, 2}}, {"strides", {2, 2}}})
      .node("Shape", {"p2"}, "s")
      .node("Gather", {"s", "zero"}, "n", {}, {{"axis", 0}})
      .node("Concat", {"n", "minus"}, "to", {}, {{"axis", 0}})
      .node("Reshape", {"p2", "to"}, "flat")
      .node("Gemm", {"flat", "w3", "b3"}, "y", {}, {{"transB", 1}})
      .output("y");
  return maker;
}

}  // namespace muster::test
