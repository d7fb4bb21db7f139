// Model files: refused with a line, or a network that can be traced, and told about, with images of several sizes.
#include <optional>

#include "fuzz.hpp"
#include "muster/interop/onnx.hpp"
#include "trace_claims.hpp"

using namespace muster;
using namespace muster::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto path = file_of("net.onnx", data, size);
  std::optional<OnnxModel> model;
  if (!accepts([&] { model.emplace(path); })) return 0;
  for (const std::int64_t side : {1, 32, 224}) {
    accepts([&] { claim_sound(model->trace(batch_of(side))); });
    accepts([&] { claim_sound(model->trace(batch_of(side), 1)); });
  }
  return 0;
}
