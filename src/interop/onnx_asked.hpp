// What libonnx 1.12 is asked about.
//
// Its shape inference trusts a model that its own checker has passed, and that is too much: of many operators it
// divides by an attribute that may be 0, or reads past the end of dimensions whose number it takes for granted.
#pragma once

#include <span>
#include <string>

#include "interop/onnx_proto.hpp"
#include "trace/network.hpp"

namespace muster {

/// True for operators that only pass shapes on, or were tried with wrong ranks and attributes. Of others the shapes are
/// unknown; so they are of calls of the model's functions, and of nodes with graphs of their own, into which libonnx
/// would follow.
bool is_asked_about(const onnx::NodeProto& node);

/// Why the operator cannot take these inputs, or its own attributes, which libonnx would not notice; empty: it can.
std::string misfit(const onnx::NodeProto& node, std::span<const Value> inputs);

}  // namespace muster
