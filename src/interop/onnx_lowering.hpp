// Lowering: a model's graph becomes a network.
#pragma once

#include "interop/onnx_file.hpp"
#include "interop/onnx_proto.hpp"
#include "trace/network.hpp"

namespace muster {

/// Node types whose shapes muster explains become layers, others ask libonnx. The batch comes in at `input`. Throws
/// ConfigError, as of `file`.
Network lower_model(const onnx::ModelProto& model, const onnx::ValueInfoProto& input, const OnnxFile& file);

}  // namespace muster
