// What the program loads when a model is to be checked, so that it starts without libonnx and protobuf.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "muster/spec.hpp"
#include "muster/trace.hpp"

namespace muster {

/// OnnxModel, behind a table of functions.
class CheckedModel {
 public:
  virtual ~CheckedModel() = default;
  virtual const InputSpec& input() const = 0;
  virtual const std::string& input_name() const = 0;
  virtual Trace trace(const BatchSpec& batch, std::int64_t num_rows) const = 0;
};

struct OnnxPlugin {
  std::string_view version;  // of muster; another one's plugin is not used
  /// Throws ConfigError. `input` may be empty.
  std::unique_ptr<CheckedModel> (*open)(const std::string& path, const std::string& input);
};

/// extern "C" const OnnxPlugin* muster_onnx_plugin()
inline constexpr const char* onnx_plugin_entry = "muster_onnx_plugin";
inline constexpr const char* onnx_plugin_file = "muster_onnx.so";

}  // namespace muster
