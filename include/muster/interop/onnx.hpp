// ONNX: what a model file expects of its batches, and what its layers make of them.
//
// In a library of its own, muster::onnx, which is there where muster was built with Debian's libonnx-dev. Weights are
// not needed: data that lies beside the model file is never opened. Whatever a file holds, the answer is a result or a
// ConfigError that says what is wrong with the file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "muster/spec.hpp"
#include "muster/trace.hpp"

namespace [[gnu::visibility("default")]] muster {

/// A model file, read once. Immutable, cheap to copy, thread-safe.
class OnnxModel {
 public:
  /// `input` names the input that takes the images; without a name it is the only one, or the only one of four
  /// dimensions. Throws ConfigError: no valid model, or no such input.
  explicit OnnxModel(const std::filesystem::path& path, std::string_view input = {});

  /// For Loader::require. Dimensions that the model leaves open are `any`, and so are a layout that nothing tells, and
  /// a type of elements that no batch has, which traces note.
  const InputSpec& input() const noexcept;
  const std::string& input_name() const noexcept;

  /// Walks the model, node by node, with a batch of a loader; of `num_rows` rows where that is not 0.
  Trace trace(const BatchSpec& batch, std::int64_t num_rows = 0) const;

 private:
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

/// OnnxModel(path).input()
InputSpec from_onnx(const std::filesystem::path& path, std::string_view input = {});

}  // namespace muster
