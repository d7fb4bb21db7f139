// Pipelines as JSON: refused with a reason, or a pipeline whose own text gives it again and whose plans fit its shape.
#include <optional>

#include "fuzz.hpp"
#include "muster/pipeline.hpp"

using namespace muster;
using namespace muster::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::optional<Pipeline> pipeline;
  if (!accepts([&] { pipeline = Pipeline::from_json(text_of(data, size)); })) return 0;
  const std::string json = pipeline->to_json();
  claim(Pipeline::from_json(json).to_json() == json, "a pipeline's text gives it again");
  const Size shape = pipeline->output_size();
  for (const Size in : {Size{1, 1}, Size{1, max_side}, Size{480, 640}}) {
    accepts([&] { claim(pipeline->plan(in, {1, 2, 3}).output == shape, "a plan has the shape that was proved"); });
  }
  return 0;
}
