// A model file: read, checked, and made into what this libonnx understands.
#pragma once

#include <filesystem>
#include <string>

#include "interop/onnx_proto.hpp"

namespace muster {

/// Whatever is wrong with the file throws ConfigError that names it.
class OnnxFile {
 public:
  explicit OnnxFile(std::filesystem::path path) : path_(std::move(path)) {}

  [[noreturn]] void fail(const std::string& message) const;
  /// The model without its weights, as far as shapes cannot depend on them.
  onnx::ModelProto read() const;
  /// Asks libonnx whether such a model is valid.
  void check(const onnx::ModelProto& model) const;

 private:
  std::filesystem::path path_;
};

}  // namespace muster
