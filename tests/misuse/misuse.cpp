// Each of the names in misuse.cmake, defined, makes this file one that must not compile; undefined, it must.
#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "muster/muster.hpp"

struct Invert {
#ifndef NO_EXTENT  // a stage that says nothing about shapes: nothing could be proved
  muster::Extent output_extent(const muster::Extent& in) const { return in; }
#endif
  muster::Image operator()(muster::Image image, muster::Rng&) const { return image; }
};

#ifdef NO_SOURCE  // has the members, but is none: the interface is a promise about threads, too
struct Numbers {
#else
struct Numbers : muster::Source {
#endif
  std::uint64_t size() const { return 1; }
  void read(std::uint64_t, muster::Sample&, std::stop_token) const {}
};

#ifdef COPY  // memory that is handed over has one owner
#define HAND_OVER(value) value
#else
#define HAND_OVER(value) std::move(value)
#endif

void hand_over(muster::Tensor& tensor, muster::Batch& batch, muster::EpochRange& epoch) {
  muster::Tensor other_tensor = HAND_OVER(tensor);
  muster::Batch other_batch = HAND_OVER(batch);
  muster::EpochRange other_epoch = HAND_OVER(epoch);
}

/// Whether a type is a stage is decided though it is assigned from one.
void collect(const std::vector<muster::Stage>& stages) {
  std::vector<muster::Stage> collected;
  std::ranges::copy(stages, std::back_inserter(collected));
}

void load() { muster::Loader loader{Numbers{}, muster::Pipeline{muster::CenterCrop{{4, 4}}, Invert{}}}; }
