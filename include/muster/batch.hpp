// Batches: one tensor of images that all have the same shape, and what belongs to its rows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "muster/pipeline.hpp"
#include "muster/report.hpp"
#include "muster/tensor.hpp"

namespace [[gnu::visibility("default")]] muster {

/// Move-only; moving it out of a loop takes its memory along. Destroying it returns the memory to the loader's
/// pool, which lives as long as any batch does. Row i of every member belongs to the same sample.
struct Batch {
  Tensor images;                    // {n, channels, height, width} or {n, height, width, channels}
  Tensor labels;                    // int64 {n}; the filler label where valid is 0
  Tensor valid;                     // uint8 {n}; 0: this row is zeros (filler, or masked by an error)
  std::vector<std::uint64_t> ids;   // sample ids; of a filler: no_sample
  std::vector<std::uint64_t> rows;  // rows in the epoch's order; of a filler: no_sample
  std::vector<Plan> plans;          // what was done to each row; empty plan where valid is 0
  std::vector<Incident> incidents;  // rows that were masked, substituted or warned about
  std::uint64_t epoch = 0;
  std::uint64_t index = 0;          // number of the batch in its epoch, counted from 0
  std::int64_t num_fillers = 0;     // rows without a sample (LastBatch::pad, uneven shards)
  std::int64_t num_wrapped = 0;     // rows that repeat the epoch's start (LastBatch::wrap)
  std::int64_t num_bytes_read = 0;  // encoded bytes behind this batch

  static constexpr std::uint64_t no_sample = ~std::uint64_t{0};

  /// n, fillers included.
  std::int64_t num_rows() const noexcept { return images.num_rows(); }

  /// What happened to row i; null where it is as it should be, or a filler.
  const Incident* incident(std::int64_t i) const noexcept {
    const std::uint64_t row = rows[static_cast<std::size_t>(i)];
    const auto found = std::ranges::find(incidents, row, &Incident::row);
    return row == no_sample || found == incidents.end() ? nullptr : &*found;
  }
};

}  // namespace muster
