// The classes of PyTorch and torchvision that are known by name.
#pragma once

#include <string>
#include <string_view>

#include "muster/trace.hpp"
#include "trace/call.hpp"

namespace muster {

/// Activations, dropout: what leaves the shape as it is, whatever the arguments.
bool is_elementwise(std::string_view name);

/// Throws ConfigError for arguments that the layer does not take.
using LayerReader = Layer::Kind (*)(Call& call);
/// Null for a class whose shapes are not known.
LayerReader find_layer(std::string_view name);
/// "AdaptiveAvgPool2d, AdaptiveMaxPool2d, ..."
std::string known_layers();

/// Containers that run their layers one after the other.
bool is_sequence(std::string_view name);
/// Containers of torchvision that add what they receive to what their layers make of it.
bool is_residual(std::string_view name);
/// Containers of torchvision whose branches the print does not tell apart.
bool has_hidden_branches(std::string_view name);

}  // namespace muster
