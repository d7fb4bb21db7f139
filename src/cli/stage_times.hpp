// Where the time of one thread goes, stage by stage: measured on a sample of the data through the public headers. What
// the loader itself counts (LoaderStats) is of threads that share the machine, and of fewer stages.
#pragma once

#include <cstdint>

#include "muster/loader.hpp"

namespace muster::cli {

/// Seconds per image, of one thread that works alone.
struct StageTimes {
  std::uint64_t num_images = 0;  // that were measured
  double read = 0;
  double probe = 0;
  double plan = 0;
  double decode = 0;    // only the window
  double resample = 0;  // with crop, flip and pad
  double pixel = 0;     // stages that work on pixels: none that the program can be given does
  double write = 0;     // look-up, cast and layout of an output that is there already, into a slot

  double sum() const noexcept { return read + probe + plan + decode + resample + pixel + write; }
};

/// Runs samples spread evenly over the loader's source: at most 400, and no more once that took five seconds.
/// Samples that fail are left out.
///
/// Resample and write are one fused pass over the rows in the loader. That pass is timed as a whole, on decoded pixels;
/// write is timed alone on a picture of the output's size; resample is the rest.
StageTimes measure_stages(const Loader& loader, std::uint64_t epoch);

}  // namespace muster::cli
