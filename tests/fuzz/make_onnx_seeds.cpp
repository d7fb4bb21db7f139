// Writes what the fuzz target for model files begins with: FOLDER/onnx/…
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "onnx/models.hpp"
#include "support.hpp"

using muster::test::Dims;
using muster::test::lenet;
using muster::test::Maker;

namespace {

/// What takes a feature map, in the ways that shapes follow from.
Maker operators() {
  Maker maker;
  maker.input("x", {0, 3, 32, 32})
      .weight("w", {3, 8, 2, 2})
      .weight("scale", {8})
      .numbers("pads", {0, 0, 1, 1, 0, 0, 1, 1})
      .numbers("sizes", {2, 8, 40, 40})
      .numbers("axes", {2, 3})
      .numbers("begin", {0, 0})
      .numbers("end", {-2, 30})
      .node("ConvTranspose", {"x", "w"}, "up", {{"strides", {2, 2}}, {"output_padding", {1, 1}}})
      .node("BatchNormalization", {"up", "scale", "scale", "scale", "scale"}, "normal")
      .node("Pad", {"normal", "pads"}, "padded")
      .node("AveragePool", {"padded"}, "pooled", {{"kernel_shape", {3, 3}}}, {{"ceil_mode", 1}})
      .node("Slice", {"pooled", "begin", "end", "axes"}, "part")
      .node("Resize", {"part", "", "", "sizes"}, "resized")
      .node("Add", {"resized", "resized"}, "sum")
      .node("Concat", {"sum", "sum"}, "both", {}, {{"axis", 1}})
      .node("ReduceMean", {"both"}, "mean", {{"axes", {2, 3}}}, {{"keepdims", 0}})
      .output("mean");
  return maker;
}

/// x.view(x.shape[0], x.shape[1] * x.shape[2] * x.shape[3]), by arithmetic on shapes.
Maker arithmetic() {
  Maker maker;
  maker.input("x", {0, 3, 8, 8})
      .numbers("zero", {0})
      .numbers("rest", {1, 2, 3})
      .node("Shape", {"x"}, "s")
      .node("Gather", {"s", "zero"}, "n")
      .node("Gather", {"s", "rest"}, "extents")
      .node("ReduceProd", {"extents"}, "count", {{"axes", {0}}}, {{"keepdims", 1}})
      .node("Mul", {"count", "n"}, "all")
      .node("Div", {"all", "n"}, "columns")
      .node("Concat", {"n", "columns"}, "to", {}, {{"axis", 0}})
      .node("Reshape", {"x", "to"}, "flat")
      .node("Flatten", {"flat"}, "y")
      .output("y");
  return maker;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "Usage: muster_onnx_fuzz_seeds FOLDER\n");
    return 2;
  }
  const auto folder = std::filesystem::path(argv[1]) / "onnx";
  std::filesystem::create_directories(folder);
  const std::vector<Maker> models = {lenet(), lenet({32, 3, 28, 30}), operators(), arithmetic()};
  for (std::size_t i = 0; i < models.size(); ++i) {
    muster::test::write_file(folder / std::to_string(i), models[i].bytes());
  }
}
