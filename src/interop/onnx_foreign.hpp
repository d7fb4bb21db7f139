// Nodes whose shapes only libonnx knows.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "interop/onnx_proto.hpp"
#include "trace/network.hpp"

namespace muster {

/// Of one model. What it makes does not refer to the model.
class ForeignNodes {
 public:
  explicit ForeignNodes(const onnx::ModelProto& model);

  /// The node, asked of libonnx with the dimensions that really reach it.
  Foreign make(const onnx::NodeProto& node) const;

 private:
  void find_types(const onnx::ModelProto& model);
  int type_of(const std::string& value) const;
  void add_factors(const std::string& name, const onnx::TensorProto& tensor);

  std::shared_ptr<const onnx::ModelProto> frame_;      // the model's operators, without its nodes
  std::map<std::string, int> types_;                   // of the elements of each value
  std::map<std::string, std::vector<float>> factors_;  // by name: what sizes may be multiplied by
};

}  // namespace muster
