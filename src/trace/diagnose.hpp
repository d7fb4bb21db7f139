// Diagnosis: why the first layer that does not fit does not.
#pragma once

#include <cstdint>
#include <optional>

#include "muster/trace.hpp"
#include "trace/walked.hpp"

namespace muster {

/// What is known about the batch besides its shape.
struct BatchFacts {
  std::optional<Layout> layout = {};
  std::int64_t full_rows = 0;  // of the batches before, if this is the partial last one; else 0
};

/// Of a walk with faults: the first is explained, with what would fit, and the one after it is announced.
ShapeDiagnosis diagnose(const WalkedNetwork& walked, const BatchFacts& facts);

}  // namespace muster
