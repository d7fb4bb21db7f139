// Model files: what they expect, what their layers make of a batch, and what is said of files that are no models.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include <onnx/onnx_pb.h>
#pragma GCC diagnostic pop

#include "muster/interop/onnx.hpp"
#include "muster/muster.hpp"
#include "program.hpp"
#include "support.hpp"

namespace muster {
namespace {

namespace fs = std::filesystem;
using Dims = std::vector<std::int64_t>;
using test::TempDir;

bool says(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

/// A model, written down node by node. Dimension 0 of an input is open.
class Maker {
 public:
  Maker() {
    model_.set_ir_version(8);
    model_.add_opset_import()->set_version(13);
    graph().set_name("test");
  }

  Maker& input(const std::string& name, const Dims& dims, int type = onnx::TensorProto::FLOAT) {
    onnx::ValueInfoProto& info = *graph().add_input();
    info.set_name(name);
    auto& tensor = *info.mutable_type()->mutable_tensor_type();
    tensor.set_elem_type(type);
    for (const std::int64_t dim : dims) {
      auto& made = *tensor.mutable_shape()->add_dim();
      if (dim > 0) {
        made.set_dim_value(dim);
      } else {
        made.set_dim_param("open");
      }
    }
    return *this;
  }

  Maker& weight(const std::string& name, const Dims& dims) {
    onnx::TensorProto& tensor = *graph().add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(onnx::TensorProto::FLOAT);
    std::size_t count = 1;
    for (const std::int64_t dim : dims) {
      tensor.add_dims(dim);
      count *= static_cast<std::size_t>(dim);
    }
    tensor.set_raw_data(std::string(count * 4, '\0'));
    return *this;
  }

  Maker& numbers(const std::string& name, const Dims& values) {
    onnx::TensorProto& tensor = *graph().add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(onnx::TensorProto::INT64);
    tensor.add_dims(static_cast<std::int64_t>(values.size()));
    for (const std::int64_t value : values) tensor.add_int64_data(value);
    return *this;
  }

  Maker& node(const std::string& op, const std::vector<std::string>& inputs, const std::string& output,
              const std::vector<std::pair<std::string, Dims>>& lists = {},
              const std::vector<std::pair<std::string, std::int64_t>>& values = {}) {
    onnx::NodeProto& made = *graph().add_node();
    made.set_op_type(op);
    made.set_name("node_" + output);
    for (const std::string& name : inputs) made.add_input(name);
    made.add_output(output);
    for (const auto& [name, list] : lists) {
      onnx::AttributeProto& attribute = *made.add_attribute();
      attribute.set_name(name);
      attribute.set_type(onnx::AttributeProto::INTS);
      for (const std::int64_t value : list) attribute.add_ints(value);
    }
    for (const auto& [name, value] : values) {
      onnx::AttributeProto& attribute = *made.add_attribute();
      attribute.set_name(name);
      attribute.set_type(onnx::AttributeProto::INT);
      attribute.set_i(value);
    }
    return *this;
  }

  Maker& output(const std::string& name) {
    onnx::ValueInfoProto& info = *graph().add_output();
    info.set_name(name);
    info.mutable_type()->mutable_tensor_type()->set_elem_type(onnx::TensorProto::FLOAT);
    return *this;
  }

  onnx::ModelProto& model() { return model_; }
  onnx::GraphProto& graph() { return *model_.mutable_graph(); }
  std::string bytes() const { return model_.SerializeAsString(); }

 private:
  onnx::ModelProto model_;
};

struct ModelFile {
  TempDir dir;
  fs::path path = dir.path() / "net.onnx";

  explicit ModelFile(const std::string& bytes) { test::write_file(path, bytes); }
  explicit ModelFile(const Maker& maker) : ModelFile(maker.bytes()) {}
};

/// LeNet with {16, 5, 5} flattened by x.view(x.size(0), -1), as exporters of PyTorch write it.
Maker lenet(const Dims& input = {0, 3, 0, 0}) {
  Maker maker;
  maker.input("x", input)
      .weight("w1", {6, 3, 5, 5})
      .weight("w2", {16, 6, 5, 5})
      .weight("w3", {10, 400})
      .weight("b3", {10})
      .numbers("zero", {0})
      .numbers("minus", {-1})
      .node("Conv", {"x", "w1"}, "c1", {{"kernel_shape", {5, 5}}})
      .node("Relu", {"c1"}, "r1")
      .node("MaxPool", {"r1"}, "p1", {{"kernel_shape", {2, 2}}, {"strides", {2, 2}}})
      .node("Conv", {"p1", "w2"}, "c2", {{"kernel_shape", {5, 5}}})
      .node("MaxPool", {"c2"}, "p2", {{"kernel_shape", {2, 2}}, {"strides", {2, 2}}})
      .node("Shape", {"p2"}, "s")
      .node("Gather", {"s", "zero"}, "n", {}, {{"axis", 0}})
      .node("Concat", {"n", "minus"}, "to", {}, {{"axis", 0}})
      .node("Reshape", {"p2", "to"}, "flat")
      .node("Gemm", {"flat", "w3", "b3"}, "y", {}, {{"transB", 1}})
      .output("y");
  return maker;
}

BatchSpec batch(std::int64_t rows, std::int64_t channels, std::int64_t height, std::int64_t width) {
  return {.batch_size = rows, .last_batch_size = rows, .channels = channels, .height = height, .width = width};
}

std::string refusal(const fs::path& path, std::string_view input = {}) {
  try {
    OnnxModel(path, input);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return {};
}

}  // namespace

TEST_CASE("onnx: the spec of an input: numbers, open dimensions, type and layout") {
  const ModelFile open(lenet());
  const InputSpec spec = from_onnx(open.path);
  CHECK_FALSE(spec.batch_size);
  CHECK(spec.channels == 3);
  CHECK_FALSE(spec.height);
  CHECK(spec.dtype == DType::float32);
  CHECK(spec.layout == Layout::nchw);
  CHECK(from_onnx(ModelFile(lenet({32, 3, 28, 30})).path).width == 30);

  Maker channels_last;
  channels_last.input("x", {0, 224, 200, 3}, onnx::TensorProto::UINT8)
      .node("Transpose", {"x"}, "y", {{"perm", {0, 3, 1, 2}}})
      .output("y");
  const ModelFile file(channels_last);
  const InputSpec last = from_onnx(file.path);
  CHECK(last.layout == Layout::nhwc);
  CHECK(last.channels == 3);
  CHECK(last.height == 224);
  CHECK(last.width == 200);
  CHECK(last.dtype == DType::uint8);
  CHECK(OnnxModel(file.path)
            .trace({.batch_size = 2, .channels = 3, .height = 224, .width = 200, .layout = Layout::nhwc})
            .fits());
  const Trace other = OnnxModel(file.path).trace({.batch_size = 2, .channels = 3, .height = 224, .width = 200});
  CHECK(other.diagnosis->cause == ShapeCause::layout);
}

TEST_CASE("onnx: a loader is held against the model") {
  const ModelFile file(lenet({32, 3, 32, 32}));
  std::vector<Sample> samples(80);
  for (Sample& sample : samples) sample.image = std::make_shared<Image>(Size{40, 40}, 3);
  const Pipeline pipeline{CenterCrop{.size = {32, 32}}, ToFloat{}};
  const Loader wrong(MemorySource(samples), pipeline, {.batch_size = 64});
  CHECK_THROWS_AS(wrong.require(from_onnx(file.path)), ShapeError);
  const Loader right(MemorySource(samples), pipeline, {.batch_size = 32, .last_batch = LastBatch::drop});
  right.require(from_onnx(file.path));
  CHECK(OnnxModel(file.path).trace(right.spec()).fits());
}

TEST_CASE("onnx: the walk shows the layers, not the arithmetic on shapes, and finds the layer that does not fit") {
  const ModelFile file(lenet());
  const OnnxModel model(file.path);
  const Trace fits = model.trace(batch(8, 3, 32, 32));
  CAPTURE(fits.to_string());
  CHECK(fits.fits());
  CHECK(fits.rows.size() == 8);
  CHECK(fits.rows.back().out == Dims{8, 10});
  const Trace trace = model.trace(batch(8, 3, 28, 28));
  REQUIRE(trace.diagnosis);
  CHECK(trace.diagnosis->cause == ShapeCause::flatten);
  CHECK(trace.diagnosis->expected == "400 = 16 x 5 x 5");
  CHECK(trace.diagnosis->received == "256 = 16 x 4 x 4");
  CHECK(trace.diagnosis->sizes->size == Size{32, 32});
  CHECK(says(trace.to_string(), "node_y Linear(400, 10)"));
}

TEST_CASE("onnx: a batch size built into the model, against a full and a partial last batch") {
  const ModelFile file(lenet({32, 3, 32, 32}));
  const OnnxModel model(file.path);
  BatchSpec spec{
      .batch_size = 64, .last_batch_size = 16, .channels = 3, .height = 32, .width = 32, .dtype = DType::float32};
  const Trace full = model.trace(spec);
  REQUIRE(full.diagnosis);
  CHECK(full.diagnosis->cause == ShapeCause::batch_size);
  CHECK(full.diagnosis->row == 0);
  CHECK(full.diagnosis->explanation == "the model has a batch size of 32 built in, and the loader delivers 64 rows");
  spec.batch_size = 32;
  CHECK(model.trace(spec).fits());
  const Trace last = model.trace(spec, 16);
  REQUIRE(last.diagnosis);
  CHECK(says(last.diagnosis->explanation, "the last batch of an epoch has only 16 rows"));
  spec.batch_size = 64;
  spec.channels = 1;
  CHECK(says(model.trace(spec).diagnosis->next, "channels: expected 3, received 1"));
}

TEST_CASE("onnx: padding by rule, additions, concatenations, unknown operators") {
  Maker maker;
  maker.input("x", {0, 3, 0, 0})
      .weight("w", {8, 3, 3, 3})
      .node("Conv", {"x", "w"}, "a", {{"strides", {2, 2}}, {"pads", {1, 1, 1, 1}}})
      .node("AveragePool", {"x"}, "pooled", {{"kernel_shape", {2, 2}}, {"strides", {2, 2}}})
      .node("Concat", {"a", "pooled"}, "joined", {}, {{"axis", 1}})
      .node("Sigmoid", {"joined"}, "y")
      .output("y");
  const ModelFile file(maker);
  const OnnxModel model(file.path);
  CHECK(model.trace(batch(2, 3, 32, 32)).rows.back().out == Dims{2, 11, 16, 16});
  const Trace odd = model.trace(batch(2, 3, 33, 32));
  REQUIRE(odd.diagnosis);
  CHECK(odd.diagnosis->cause == ShapeCause::join);
  CHECK(odd.diagnosis->dimension == "dimension 2 (height)");

  Maker resized;  // of operators that libonnx alone knows
  resized.input("x", {0, 3, 0, 0})
      .weight("w", {4, 3, 1, 1})
      .numbers("axes", {2, 3})
      .node("SpaceToDepth", {"x"}, "deep", {}, {{"blocksize", 2}})
      .node("DepthToSpace", {"deep"}, "back", {}, {{"blocksize", 2}})
      .node("Conv", {"back", "w"}, "y")
      .output("y");
  const ModelFile foreign(resized);
  CHECK(OnnxModel(foreign.path).trace(batch(2, 3, 8, 8)).rows.back().out == Dims{2, 4, 8, 8});
}

TEST_CASE("onnx: weights beside the file are not needed") {
  Maker maker = lenet();
  for (onnx::TensorProto& tensor : *maker.graph().mutable_initializer()) {
    if (tensor.data_type() != onnx::TensorProto::FLOAT) continue;
    tensor.clear_raw_data();
    tensor.set_data_location(onnx::TensorProto::EXTERNAL);
    onnx::StringStringEntryProto& entry = *tensor.add_external_data();
    entry.set_key("location");
    entry.set_value("/there/is/no/such/file");
  }
  const ModelFile file(maker);
  CHECK(OnnxModel(file.path).trace(batch(8, 3, 32, 32)).fits());
}

TEST_CASE("onnx: files that are no models are refused with what is wrong") {
  const TempDir dir;
  CHECK(says(refusal(dir.path() / "absent.onnx"), "there is no such file"));
  CHECK(says(refusal(dir.path()), "expected a file"));
  CHECK(says(refusal(ModelFile(std::string()).path), "the model has no nodes"));
  CHECK(says(refusal(ModelFile(std::string("this is no model")).path), "expected an ONNX model"));
  const std::string whole = lenet().bytes();
  CHECK(says(refusal(ModelFile(whole.substr(0, whole.size() / 2)).path), "cut short"));

  Maker circle;
  circle.input("x", {0, 3, 0, 0}).node("Add", {"x", "b"}, "a").node("Relu", {"a"}, "b").output("b");
  CHECK(says(refusal(ModelFile(circle).path), "net.onnx: "));
  Maker missing;
  missing.input("x", {0, 3, 0, 0}).node("Conv", {"x", "nowhere"}, "y").output("y");
  CHECK(says(refusal(ModelFile(missing).path), "nowhere"));
  Maker twice;
  twice.input("x", {0, 3, 0, 0}).node("Relu", {"x"}, "y").node("Relu", {"x"}, "y").output("y");
  CHECK_FALSE(refusal(ModelFile(twice).path).empty());
  Maker negative = lenet();
  negative.graph().mutable_initializer(0)->set_dims(0, -6);
  CHECK(says(refusal(ModelFile(negative).path), "negative dimension"));
  Maker flat;
  flat.input("x", {0, 784}).node("Relu", {"x"}, "y").output("y");
  CHECK(says(refusal(ModelFile(flat).path), "'x' {any, 784}"));
}

TEST_CASE("onnx: of several inputs the one for images is found, or must be named") {
  Maker maker;
  maker.input("mask", {0, 10}).input("x", {0, 3, 8, 8}).node("Relu", {"x"}, "y").output("y");
  CHECK(OnnxModel(ModelFile(maker).path).input_name() == "x");
  maker.input("z", {0, 3, 8, 8});
  const ModelFile file(maker);
  CHECK(says(refusal(file.path), "name the one that takes the images"));
  CHECK(OnnxModel(file.path, "z").input_name() == "z");
  CHECK(says(refusal(file.path, "absent"), "no input 'absent'"));
}

TEST_CASE("onnx: numbers that no model has are told, not computed with") {
  for (const auto& [name, value] : std::vector<std::pair<std::string, std::int64_t>>{{"strides", 0},
                                                                                     {"strides", -1},
                                                                                     {"pads", -5},
                                                                                     {"pads", INT64_MAX},
                                                                                     {"dilations", INT64_MAX},
                                                                                     {"kernel_shape", INT64_MIN}}) {
    Maker maker;
    maker.input("x", {0, 3, 0, 0})
        .weight("w", {8, 3, 3, 3})
        .node("Conv", {"x", "w"}, "y", {{name, name == "pads" ? Dims(4, value) : Dims(2, value)}})
        .output("y");
    const ModelFile file(maker);
    CAPTURE(name);
    if (refusal(file.path).empty()) CHECK_FALSE(OnnxModel(file.path).trace(batch(2, 3, 32, 32)).fits());
  }
}

TEST_CASE("onnx: a model of a newer ONNX is walked; what this one does not know gives unknown shapes") {
  Maker newer = lenet();
  newer.model().set_ir_version(12);
  newer.model().mutable_opset_import(0)->set_version(30);
  const ModelFile file(newer);
  CHECK(OnnxModel(file.path).trace(batch(8, 3, 32, 32)).fits());
  CHECK_FALSE(OnnxModel(file.path).trace(batch(8, 3, 33, 40)).fits());
  CHECK(OnnxModel(file.path).trace(batch(8, 3, 32, 32)).first_unknown() == nullptr);

  // An operator, and an operator's attribute, of later days.
  Maker later;
  later.input("x", {0, 3, 0, 0})
      .weight("w", {4, 3, 3, 3})
      .node("Conv", {"x", "w"}, "a")
      .node("FlipTwice", {"a"}, "b")
      .node("DepthToSpace", {"a"}, "c", {}, {{"blocksize", 2}, {"spin", 3}})
      .node("Conv", {"x", "w"}, "y")
      .output("y");
  CHECK(says(refusal(ModelFile(later).path), "FlipTwice"));  // opset 13 has none
  later.model().mutable_opset_import(0)->set_version(30);
  const Trace trace = OnnxModel(ModelFile(later).path).trace(batch(2, 3, 8, 8));
  CHECK(trace.fits());
  REQUIRE(trace.rows.size() == 5);
  CHECK(trace.rows[2].out.empty());
  CHECK(trace.rows[3].out.empty());
  CHECK(trace.rows[4].out == Dims{2, 4, 6, 6});
  REQUIRE(trace.first_unknown() != nullptr);
  CHECK(trace.first_unknown()->layer == "node_b FlipTwice");
  CHECK(says(trace.to_string(), "not held against anything: what node_b FlipTwice gives"));
}

TEST_CASE("onnx: an operator of the user's own gives unknown shapes, and hides no fault") {
  Maker maker;
  maker.input("x", {0, 3, 0, 0}).weight("w", {4, 3, 3, 3}).node("Mine", {"x"}, "m").node("Conv", {"m", "w"}, "y");
  maker.graph().mutable_node(0)->set_domain("com.mine");
  maker.output("y");
  onnx::OperatorSetIdProto& opset = *maker.model().add_opset_import();
  opset.set_domain("com.mine");
  opset.set_version(1);
  const Trace open = OnnxModel(ModelFile(maker).path).trace(batch(2, 3, 8, 8));
  CHECK(open.fits());
  REQUIRE(open.first_unknown() != nullptr);
  CHECK(open.first_unknown()->layer == "node_m Mine");
  maker.weight("large", {4, 3, 9, 9}).node("Conv", {"x", "large"}, "z");
  CHECK(OnnxModel(ModelFile(maker).path).trace(batch(2, 3, 9, 9)).fits());
  const Trace wrong = OnnxModel(ModelFile(maker).path).trace(batch(2, 3, 8, 8));
  REQUIRE(wrong.diagnosis);  // of what is known further on
  CHECK(wrong.diagnosis->row == 3);
  const Trace reached = OnnxModel(ModelFile(lenet()).path).trace(batch(2, 3, 33, 40));
  CHECK_FALSE(reached.fits());
  CHECK(reached.first_unknown() == nullptr);  // the layer that does not fit is none, either
}

TEST_CASE("onnx: nodes without inputs are walked past, also where the cause is looked for") {
  for (const char* op : {"Gemm", "Conv"}) {
    const bool flat = op == std::string("Gemm");
    Maker maker;
    maker.input("x", {0, 3, 8, 8})
        .weight("w", flat ? Dims{3, 192} : Dims{2, 3, 1, 1})
        .node("RandomNormal", {}, "noise", {{"shape", flat ? Dims{64, 5} : Dims{64, 4, 8, 8}}})
        .node(op, {"noise", "w"}, "y")
        .output("y");
    const Trace trace = OnnxModel(ModelFile(maker).path).trace(batch(64, 3, 8, 8));
    REQUIRE(trace.diagnosis);
    CHECK(trace.diagnosis->cause == ShapeCause::channels);
  }
}

TEST_CASE("onnx: rows that are a mean over the image are no flattened image") {
  Maker maker;
  maker.input("x", {0, 3, 0, 0})
      .weight("w", {16, 3, 3, 3})
      .weight("v", {32, 10})
      .node("Conv", {"x", "w"}, "c")
      .node("ReduceMean", {"c"}, "m", {{"axes", {2, 3}}}, {{"keepdims", 0}})
      .node("Gemm", {"m", "v"}, "y")
      .output("y");
  const Trace trace = OnnxModel(ModelFile(maker).path).trace(batch(8, 3, 32, 32));
  REQUIRE(trace.diagnosis);
  CHECK(trace.diagnosis->cause == ShapeCause::channels);
  CHECK(trace.diagnosis->expected == "32");
  CHECK(trace.diagnosis->received == "16");
}

TEST_CASE("onnx: an image without channels is told, not divided by") {
  Maker maker;
  maker.input("x", {0, 3, 8, 8})
      .weight("nothing", {2, 0, 4, 4})
      .weight("v", {32, 10})
      .node("Relu", {"nothing"}, "r")
      .node("Flatten", {"r"}, "f")
      .node("Gemm", {"f", "v"}, "y")
      .output("y");
  const Trace trace = OnnxModel(ModelFile(maker).path).trace(batch(8, 3, 8, 8));
  REQUIRE(trace.diagnosis);
  CHECK(trace.diagnosis->received == "0");
}

TEST_CASE("onnx: functions that call themselves, or without end, are refused") {
  const auto with_functions = [](int count, const auto& callee, int calls) {
    Maker maker;
    maker.input("x", {0, 3, 8, 8}).node("F0", {"x"}, "y").output("y");
    maker.graph().mutable_node(0)->set_domain("my");
    onnx::OperatorSetIdProto& opset = *maker.model().add_opset_import();
    opset.set_domain("my");
    opset.set_version(1);
    for (int i = 0; i < count; ++i) {
      onnx::FunctionProto& function = *maker.model().add_functions();
      function.set_domain("my");
      function.set_name("F" + std::to_string(i));
      function.add_input("a0");
      function.add_output("a" + std::to_string(calls));
      *function.mutable_opset_import() = maker.model().opset_import();
      for (int k = 0; k < calls; ++k) {
        onnx::NodeProto& node = *function.add_node();
        node.set_op_type(callee(i));
        if (node.op_type()[0] == 'F') node.set_domain("my");
        node.add_input("a" + std::to_string(k));
        node.add_output("a" + std::to_string(k + 1));
      }
    }
    return refusal(ModelFile(maker).path);
  };
  CHECK(says(with_functions(
                 1, [](int) { return "F0"; }, 1),
             "the function 'F0' calls itself"));
  CHECK(says(with_functions(
                 2, [](int i) { return i == 0 ? "F1" : "F0"; }, 1),
             "calls itself"));
  const auto next = [](int count) {
    return [count](int i) { return i + 1 == count ? std::string("Relu") : "F" + std::to_string(i + 1); };
  };
  CHECK(says(with_functions(500, next(500), 1), "too deeply"));
  CHECK(says(with_functions(40, next(40), 2), "more nodes than any model"));  // 2^40
  CHECK(with_functions(3, next(3), 2).empty());
}

TEST_CASE("onnx: rows for pixels and boxes fit, those that a Linear takes for samples do not") {
  Maker boxes;
  boxes.input("x", {0, 3, 0, 0})
      .weight("w", {21, 3, 1, 1})
      .numbers("to", {-1, 21})
      .node("Conv", {"x", "w"}, "a")
      .node("Transpose", {"a"}, "b", {{"perm", {0, 2, 3, 1}}})
      .node("Reshape", {"b", "to"}, "c")
      .node("Softmax", {"c"}, "y")
      .output("y");
  const Trace fits = OnnxModel(ModelFile(boxes).path).trace(batch(4, 3, 8, 8));
  CHECK(fits.fits());
  REQUIRE(fits.caveats.size() == 1);
  CHECK(says(fits.caveats[0], "makes 256 rows of 4 samples"));
  boxes.weight("v", {21, 5}).node("MatMul", {"y", "v"}, "z").output("z");  // of each pixel, still
  CHECK(OnnxModel(ModelFile(boxes).path).trace(batch(4, 3, 8, 8)).fits());

  Maker cut;
  cut.input("x", {0, 3, 0, 0})
      .weight("v", {96, 5})
      .numbers("to", {-1, 96})
      .node("Flatten", {"x"}, "a")
      .node("Reshape", {"a", "to"}, "b")
      .node("MatMul", {"b", "v"}, "y")
      .node("Shape", {"x"}, "last")  // the last node is no output
      .output("y");
  const Trace trace = OnnxModel(ModelFile(cut).path).trace(batch(4, 3, 8, 8));
  REQUIRE(trace.diagnosis);
  CHECK(says(trace.diagnosis->explanation, "4 samples become 8 rows"));
}

TEST_CASE("onnx: operators are held to ONNX's own rules") {
  const auto trace_of = [](Maker& maker) { return OnnxModel(ModelFile(maker).path).trace(batch(4, 3, 8, 8)); };
  Maker gemm, matmul, norm, slope, flatten;
  gemm.input("x", {0, 3, 8, 8}).weight("w", {8, 10}).node("Gemm", {"x", "w"}, "y").output("y");
  CHECK(says(trace_of(gemm).diagnosis->explanation, "takes rows {n, features}"));
  matmul.input("x", {0, 3, 8, 8}).weight("w", {8, 10}).node("MatMul", {"x", "w"}, "y").output("y");
  CHECK(trace_of(matmul).rows.back().out == Dims{4, 3, 8, 10});
  norm.input("x", {0, 3, 8, 8}).weight("s", {5}).node("InstanceNormalization", {"x", "s", "s"}, "y").output("y");
  const Trace normed = trace_of(norm);
  CHECK(normed.diagnosis->expected == "5");
  CHECK(normed.diagnosis->next.empty());
  slope.input("x", {0, 3, 8, 8}).weight("s", {9, 1, 1}).node("PRelu", {"x", "s"}, "y").output("y");
  CHECK_FALSE(trace_of(slope).fits());
  Maker wider;
  wider.input("x", {0, 3, 8, 8}).weight("s", {2, 4, 3, 8, 8}).node("PRelu", {"x", "s"}, "y").output("y");
  CHECK_FALSE(trace_of(wider).fits());
  flatten.input("x", {0, 3, 8, 8})
      .node("Flatten", {"x"}, "a")
      .node("ReduceMean", {"a"}, "b", {{"axes", {1}}}, {{"keepdims", 0}})
      .node("Flatten", {"b"}, "y")
      .output("y");
  CHECK(trace_of(flatten).rows.back().out == Dims{4, 1});
  Maker named = lenet();
  for (onnx::NodeProto& node : *named.graph().mutable_node()) node.set_domain("ai.onnx");
  named.model().mutable_opset_import(0)->set_domain("ai.onnx");
  const Trace same = OnnxModel(ModelFile(named).path).trace(batch(8, 3, 32, 32));
  CHECK(same.rows.back().out == Dims{8, 10});
  named.model().mutable_opset_import(0)->set_version(30);
  CHECK(OnnxModel(ModelFile(named).path).trace(batch(8, 3, 32, 32)).rows.back().out == Dims{8, 10});
}

TEST_CASE("onnx: a batch that the model's input does not take is walked through the layers all the same") {
  const OnnxModel model(ModelFile(lenet({32, 3, 32, 32})).path);
  const Trace trace = model.trace(batch(64, 3, 32, 32));
  REQUIRE(trace.diagnosis);
  CHECK(trace.diagnosis->row == 0);
  CHECK_FALSE(trace.rows.front().fits);
  REQUIRE(trace.rows.size() == 8);
  CHECK(trace.rows.back().out == Dims{64, 10});
  const Trace small = model.trace(batch(32, 3, 28, 28));
  CHECK(small.diagnosis->row == 0);
  CHECK_FALSE(small.rows.back().fits);
  CHECK(small.rows.back().in == Dims{32, 256});
}

TEST_CASE("onnx: initialisers that are listed as inputs, as files of old have them, are weights") {
  Maker old = lenet();
  old.model().set_ir_version(3);
  for (const onnx::TensorProto& tensor : old.graph().initializer()) {
    old.input(tensor.name(), Dims(tensor.dims().begin(), tensor.dims().end()), tensor.data_type());
  }
  const OnnxModel model(ModelFile(old).path);
  CHECK(model.input_name() == "x");
  CHECK(model.trace(batch(8, 3, 32, 32)).rows.back().out == Dims{8, 10});
}

TEST_CASE("onnx: a 'valid' chain that ends one pixel short, and every remedy that is named mends it") {
  const auto chain = [](std::int64_t padding, std::int64_t ceil_mode) {
    Maker maker;
    maker.input("x", {0, 3, 0, 0})
        .weight("w1", {8, 3, 3, 3})
        .weight("w2", {8, 8, 3, 3})
        .weight("w3", {10, 8, 10, 10})
        .node("Conv", {"x", "w1"}, "a", {{"pads", Dims(4, padding)}})
        .node("MaxPool", {"a"}, "p", {{"kernel_shape", {2, 2}}, {"strides", {2, 2}}}, {{"ceil_mode", ceil_mode}})
        .node("Conv", {"p", "w2"}, "b")
        .node("Conv", {"b", "w3"}, "y")
        .output("y");
    return OnnxModel(ModelFile(maker).path);
  };
  const OnnxModel model = chain(0, 0);
  CHECK(model.trace(batch(2, 3, 26, 26)).rows.back().out == Dims{2, 10, 1, 1});
  const Trace trace = model.trace(batch(2, 3, 25, 25));  // 25 -> 23 -> 11 -> 9, and a kernel of 10
  REQUIRE(trace.diagnosis);
  CAPTURE(trace.to_string());
  CHECK(trace.diagnosis->row == 4);
  CHECK(says(trace.diagnosis->expected, "10"));
  CHECK(says(trace.diagnosis->received, "9"));
  REQUIRE(trace.diagnosis->sizes);
  const Size proposed = trace.diagnosis->sizes->size;
  CHECK(trace.diagnosis->sizes->from == Size{26, 26});
  CHECK(model.trace(batch(2, 3, 26, 26)).fits());
  CHECK(model.trace(batch(2, 3, proposed.height, proposed.width)).fits());
  std::string remedies;
  for (const std::string& remedy : trace.diagnosis->remedies) remedies += remedy + '\n';
  CHECK(says(remedies, "26x26"));
  CHECK(says(remedies, "padding=1"));
  CHECK(chain(1, 0).trace(batch(2, 3, 25, 25)).fits());
  CHECK(says(remedies, "ceil_mode=True"));
  CHECK(chain(0, 1).trace(batch(2, 3, 25, 25)).fits());
}

TEST_CASE("onnx: a file that ends anywhere is refused as cut short") {
  const std::string whole = lenet().bytes();
  const TempDir dir;
  const fs::path path = dir.path() / "net.onnx";
  for (std::size_t length = 0; length < whole.size(); length += length < 400 ? 1 : 97) {
    test::write_file(path, whole.substr(0, length));
    CAPTURE(length);
    CHECK_FALSE(refusal(path).empty());
  }
}

TEST_CASE("onnx: damaged files are read or refused, never more") {
  std::string whole;
  {
    Maker small;
    small.input("x", {0, 1, 0, 0})
        .weight("w", {2, 1, 3, 3})
        .weight("v", {3, 8})
        .numbers("to", {-1, 8})
        .node("Conv", {"x", "w"}, "c", {{"pads", {1, 1, 1, 1}}})
        .node("MaxPool", {"c"}, "p", {{"kernel_shape", {2, 2}}, {"strides", {2, 2}}})
        .node("Reshape", {"p", "to"}, "f")
        .node("Gemm", {"f", "v"}, "y", {}, {{"transB", 1}})
        .output("y");
    whole = small.bytes();
  }
  const TempDir dir;
  const fs::path path = dir.path() / "net.onnx";
  std::mt19937 random(3);
  int num_read = 0;
  for (int i = 0; i < 1500; ++i) {
    std::string damaged = whole;
    for (int k = 0; k < 1 + i % 3; ++k) damaged[random() % damaged.size()] = static_cast<char>(random());
    test::write_file(path, damaged);
    try {
      (void)OnnxModel(path).trace(batch(2, 1, 4, 4));
      ++num_read;
    } catch (const ConfigError&) {
    }
  }
  CHECK(num_read > 50);
  CHECK(num_read < 1450);
}

TEST_CASE("onnx: muster check walks the model for the full and the last batch") {
  const TempDir dir;
  for (int i = 0; i < 80; ++i) {
    const fs::path path = dir.path() / "images" / (i % 2 == 0 ? "a" : "b") / (std::to_string(i) + ".png");
    fs::create_directories(path.parent_path());
    write_png(path, test::noise_image({40, 40}, 3, static_cast<std::uint32_t>(i)).view());
  }
  const std::string images = (dir.path() / "images").string();
  const fs::path pipeline = dir.path() / "small.json", open = dir.path() / "open.json";
  test::write_file(pipeline, std::string(R"({"stages":[{"CenterCrop":{"size":[32,32]}},{"ToFloat":{}}]})"));
  test::write_file(open, std::string(R"({"stages":[{"Resize":{"size":32}},{"ToFloat":{}}]})"));
  const ModelFile fixed(lenet({32, 3, 32, 32}));
  const auto check = [&](const fs::path& with, const std::string& batch_size,
                         const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {"check",        images,     "--pipeline", with.string(),
                                      "--batch-size", batch_size, "--model",    fixed.path.string()};
    words.insert(words.end(), more.begin(), more.end());
    return test::run(words);
  };

  const test::Result wrong = check(pipeline, "64");
  CHECK(wrong.status == 1);
  CHECK(says(wrong.out, "full batch {64, 3, 32, 32} last batch {16, 3, 32, 32}"));
  CHECK(says(wrong.out, "batch size: expected 32, received 64"));
  const test::Result last = check(pipeline, "32", {"--json"});
  CHECK(last.status == 1);
  const auto json = nlohmann::json::parse(last.out);
  CHECK(json["batches"][0]["fits"] == true);
  CHECK(json["batches"][1]["diagnosis"]["cause"] == "batch size");
  CHECK(check(pipeline, "32", {"--last-batch", "pad"}).status == 0);
  const test::Result type = check(pipeline, "32", {"--last-batch", "pad", "--dtype", "uint8"});
  CHECK(type.status == 1);
  CHECK(says(type.out, "dtype: expected float32, received uint8"));
  const test::Result unfixed = check(open, "32");
  CHECK(unfixed.status == 2);
  CHECK(says(unfixed.err, "the model takes images of one size, 32x32"));
  CHECK(says(unfixed.err, "the pipeline leaves the size open"));
  CHECK(test::run({"check", images, "--model", (dir.path() / "absent.onnx").string()}).status == 2);
}

}  // namespace muster
