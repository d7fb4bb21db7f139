// Walks: a network gone through with the shape of a real batch.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "trace/network.hpp"

namespace muster {

/// A fault does not end a walk: it goes on with what would have come out.
struct Walk {
  std::vector<Value> values = {};  // of the network; 0 is the batch
  struct Found {
    std::size_t node = 0;  // index; nodes.size() for the model's input
    Fault fault;
  };
  std::vector<Found> faults = {};    // of the input first, then in the order of nodes
  std::vector<Found> warnings = {};  // rows that are cut up or merged, as the training program may want it
};
/// With `only_first` it ends at the first fault.
Walk walk(const Network& network, const Dims& batch, bool only_first = false);

/// An NHWC batch can pass for NCHW all the way: the first layer that takes images as NCHW is at fault, unless something
/// before it is.
void find_other_layout(const Network& network, std::optional<Layout> of_batch, Walk& walked);

}  // namespace muster
