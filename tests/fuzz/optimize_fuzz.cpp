// Optimized JPEGs: refused, or the same pixels in a file that is as good as done.
#include "fuzz.hpp"
#include "muster/optimize.hpp"

using namespace muster;
using namespace muster::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes bytes(data, size);
  OptimizedJpeg optimized;
  if (!accepts([&] { optimized = optimize_jpeg(bytes, {.limits = limits}); })) return 0;
  Image before;
  Image after;
  claim(accepts([&] { before = decode(bytes, {}, limits); }), "what can be optimized decodes");
  claim(accepts([&] { after = decode(optimized.bytes, {}, {.max_pixels = limits.max_pixels}); }),
        "what was optimized decodes");
  claim(before == after, "optimizing changes no pixel");
  return 0;
}
