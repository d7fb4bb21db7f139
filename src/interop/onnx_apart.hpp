// Nodes that libonnx is not asked about: in a domain of their own they are none of its business, and their shapes are
// unknown.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "interop/onnx_proto.hpp"
#include "trace/network.hpp"

namespace muster {

/// A model of a newer ONNX than this libonnx becomes one that it takes: what it does not know is set apart.
void accept_newer(onnx::ModelProto& model);

/// libonnx 1.12 reads past the end of the dimensions of some operators' inputs when their numbers disagree. These are
/// set apart wherever it would come upon them by itself: in functions and in the bodies of other nodes.
void set_apart_misread(onnx::ModelProto& model);

/// Why libonnx may not be asked about this node with these inputs; empty: it may.
std::string misread(const onnx::NodeProto& node, std::span<const Value> inputs);

}  // namespace muster
