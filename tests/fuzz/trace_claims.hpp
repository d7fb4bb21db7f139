// What holds of every trace, whoever made the network.
#pragma once

#include "fuzz.hpp"
#include "muster/trace.hpp"

namespace muster::fuzz {

inline void claim_sound(const Trace& trace) {
  claim(!trace.rows.empty(), "row 0 is the batch");
  claim(trace.fits() || trace.diagnosis->row < trace.rows.size(), "a diagnosis is that of a row");
  claim(!trace.to_string().empty(), "a trace can be shown");
  for (const TraceRow& row : trace.rows) {
    for (const std::int64_t extent : row.out) claim(extent >= 1, "a shape that is known has no empty dimension");
  }
}

/// Batches whose last is smaller.
inline BatchSpec batch_of(std::int64_t side) {
  return {.batch_size = 2, .last_batch_size = 1, .channels = 3, .height = side, .width = side};
}

}  // namespace muster::fuzz
