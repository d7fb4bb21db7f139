// Traces of networks, whatever they were made from.
#pragma once

#include <cstdint>

#include "trace/diagnose.hpp"
#include "trace/network.hpp"

// Visible, as muster::onnx is a library of its own.
namespace [[gnu::visibility("default")]] muster {

/// The table and, if something does not fit, why.
Trace trace(const Network& network, const Dims& batch, const BatchFacts& facts = {});
/// The same with a batch of a loader; of `num_rows` rows where that is not 0. Throws ConfigError if it is none of
/// images.
Trace trace(const Network& network, const BatchSpec& batch, std::int64_t num_rows);

}  // namespace muster
