// Layers as text: refused with a line, or a network that can be traced, and told about, with images of several sizes.
#include "fuzz.hpp"
#include "muster/trace.hpp"
#include "trace_claims.hpp"

using namespace muster;
using namespace muster::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  LayerList list;
  if (!accepts([&] { list = parse_layers(text_of(data, size)); })) return 0;
  claim(!list.layers.empty(), "a network that is accepted has a layer");
  for (const std::int64_t side : {1, 32, 1000}) accepts([&] { claim_sound(trace_shapes(list, batch_of(side))); });
  return 0;
}
