// Layers as text: refused with a line, or a network that can be traced, and told about, with images of several sizes.
#include "fuzz.hpp"
#include "muster/trace.hpp"

using namespace muster;
using namespace muster::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  LayerList list;
  if (!accepts([&] { list = parse_layers(text_of(data, size)); })) return 0;
  claim(!list.layers.empty(), "a network that is accepted has a layer");
  for (const std::int64_t side : {1, 32, 1000}) {
    const BatchSpec batch{.batch_size = 2, .last_batch_size = 1, .channels = 3, .height = side, .width = side};
    accepts([&] {
      const Trace trace = trace_shapes(list, batch);
      claim(!trace.rows.empty(), "row 0 is the batch");
      claim(trace.fits() || trace.diagnosis->row < trace.rows.size(), "a diagnosis is that of a row");
      claim(!trace.to_string().empty(), "a trace can be shown");
      for (const TraceRow& row : trace.rows) {
        for (const std::int64_t extent : row.out) claim(extent >= 1, "a shape that is known has no empty dimension");
      }
    });
  }
  return 0;
}
