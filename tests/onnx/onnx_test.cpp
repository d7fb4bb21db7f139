// Model files: what they expect, what their layers make of a batch, and what is said of files that are no models.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "models.hpp"
#include "muster/interop/onnx.hpp"
#include "muster/muster.hpp"
#include "program.hpp"
#include "support.hpp"

namespace muster {
namespace {

namespace fs = std::filesystem;
using test::Dims;
using test::lenet;
using test::Maker;
using test::TempDir;

bool says(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

struct ModelFile {
  TempDir dir;
  fs::path path = dir.path() / "net.onnx";

  explicit ModelFile(const std::string& bytes) { test::write_file(path, bytes); }
  explicit ModelFile(const Maker& maker) : ModelFile(maker.bytes()) {}
};

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

TEST_CASE("onnx: calls of functions are of unknown shape, also where they come back to themselves") {
  const auto with_functions = [](int count, const auto& callee, int calls) {
    Maker maker;
    maker.input("x", {0, 3, 8, 8}).opset(1, "my").node("F0", {"x"}, "y").output("y");
    maker.graph().mutable_node(0)->set_domain("my");
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
    const Trace trace = OnnxModel(ModelFile(maker).path).trace(batch(2, 3, 8, 8));
    CHECK(trace.fits());
    return trace.rows.back().out;
  };
  const auto next = [](int count) {
    return [count](int i) { return i + 1 == count ? std::string("Relu") : "F" + std::to_string(i + 1); };
  };
  CHECK(with_functions(3, next(3), 2).empty());
  CHECK(with_functions(
            1, [](int) { return "F0"; }, 1)
            .empty());
  CHECK(with_functions(
            2, [](int i) { return i == 0 ? "F1" : "F0"; }, 1)
            .empty());
  CHECK(with_functions(500, next(500), 1).empty());
  CHECK(with_functions(40, next(40), 2).empty());  // 2^40 nodes

  Maker hidden;  // in a list of graphs
  hidden.opset(1, "my").input("x", {0, 3, 8, 8}).node("Choose", {"x"}, "y").output("y");
  hidden.graph().mutable_node(0)->set_domain("my");
  onnx::GraphProto& branch = *hidden.attribute("branches", onnx::AttributeProto::GRAPHS).add_graphs();
  branch.set_name("branch");
  onnx::FunctionProto& function = *hidden.model().add_functions();
  function.set_domain("my");
  function.set_name("F");
  *function.mutable_opset_import() = hidden.model().opset_import();
  function.add_input("x");
  function.add_output("z");
  for (onnx::NodeProto* node : {branch.add_node(), function.add_node()}) {
    node->set_domain("my");
    node->set_op_type("F");
    node->add_input("x");
    node->add_output("z");
  }
  CHECK(OnnxModel(ModelFile(hidden).path).trace(batch(2, 3, 8, 8)).rows.back().out.empty());
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
  Maker mixed;  // 96 of the 192 features of an image a row, by way of a PReLU into a Linear
  mixed.input("x", {0, 3, 8, 8})
      .numbers("to", {-1, 96})
      .weight("s", {96})
      .weight("w", {96, 10})
      .node("Reshape", {"x", "to"}, "rows")
      .node("PRelu", {"rows", "s"}, "bent")
      .node("Gemm", {"bent", "w"}, "y")
      .output("y");
  CHECK_FALSE(trace_of(mixed).fits());
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

TEST_CASE("onnx: constants are weights, shapes and numbers, as initialisers are, and no layers") {
  Maker maker;
  maker.input("x", {0, 0, 0, 0}).weight("w", {4, 3, 3, 3}).as_constant().node("Conv", {"x", "w"}, "c");
  maker.node("Constant", {}, "zero", {}, {{"value_int", 0}});
  maker.node("Constant", {}, "axis", {{"value_ints", {0}}});
  maker.raw_numbers<std::int64_t>("minus", {-1}).as_constant();
  maker.node("Constant", {}, "half").attribute("value_float", onnx::AttributeProto::FLOAT).set_f(0.5F);
  maker.node("Mul", {"c", "half"}, "scaled")
      .node("Shape", {"x"}, "s")
      .node("Gather", {"s", "zero"}, "rows")
      .node("Unsqueeze", {"rows", "axis"}, "n")
      .node("Concat", {"n", "minus"}, "to", {}, {{"axis", 0}})
      .node("Reshape", {"scaled", "to"}, "y")
      .output("y");
  const ModelFile file(maker);
  const Trace trace = OnnxModel(file.path).trace(batch(5, 3, 8, 8));
  CAPTURE(trace.to_string());
  CHECK(trace.fits());
  REQUIRE(trace.rows.size() == 4);
  CHECK(trace.rows[1].layer == "node_c Conv2d(3, 4, kernel_size=3)");
  CHECK(trace.rows[2].layer == "node_scaled Mul");
  CHECK(trace.rows[3].out == Dims{5, 144});
  const Trace grey = OnnxModel(file.path).trace(batch(5, 1, 8, 8));
  CHECK(grey.diagnosis->row == 1);
  CHECK(grey.diagnosis->expected == "3");

  Maker negative;
  negative.input("x", {0, 3, 0, 0}).weight("w", {4, 3, 3, 3}).as_constant().node("Conv", {"x", "w"}, "y").output("y");
  negative.graph().mutable_node(0)->mutable_attribute(0)->mutable_t()->set_dims(0, -4);
  CHECK(says(refusal(ModelFile(negative).path), "the constant w has a negative dimension"));
}

TEST_CASE("onnx: shapes and axes are read raw and as lists, of 32 bits and of 64") {
  Maker maker;
  maker.input("x", {0, 3, 0, 0})
      .raw_numbers<std::int32_t>("from", {1, -5})
      .raw_numbers<std::int32_t>("to", {5, -1})
      .raw_numbers<std::int32_t>("axes", {2, 3})
      .raw_numbers<std::int64_t>("flat", {0, -1})
      .node("Slice", {"x", "from", "to", "axes"}, "a")
      .node("Reshape", {"a", "flat"}, "y")
      .output("y");
  const auto last_of = [](const Maker& made) { return OnnxModel(ModelFile(made).path).trace(batch(2, 3, 8, 8)).rows; };
  CHECK(last_of(maker)[1].out == Dims{2, 3, 4, 4});
  CHECK(last_of(maker)[2].out == Dims{2, 48});
  for (onnx::TensorProto& tensor : *maker.graph().mutable_initializer()) {
    const bool wide = tensor.data_type() == onnx::TensorProto::INT64;
    for (const std::int64_t value : wide                      ? Dims{0, -1}
                                    : tensor.name() == "from" ? Dims{1, -5}
                                    : tensor.name() == "to"   ? Dims{5, -1}
                                                              : Dims{2, 3}) {
      if (wide) tensor.add_int64_data(value);
      if (!wide) tensor.add_int32_data(static_cast<std::int32_t>(value));
    }
    tensor.clear_raw_data();
  }
  CHECK(last_of(maker)[1].out == Dims{2, 3, 4, 4});
  CHECK(last_of(maker)[2].out == Dims{2, 48});
}

TEST_CASE("onnx: inputs that are not given leave the others in their places") {
  Maker maker;
  maker.input("x", {0, 3, 0, 0})
      .weight("w", {4, 3, 1, 1})
      .weight("high", {})
      .raw_numbers<std::int64_t>("size", {2, 3, 20, 24})
      .node("Resize", {"x", "", "", "size"}, "a")
      .node("Conv", {"a", "w", ""}, "b")
      .node("Clip", {"b", "", "high"}, "y")
      .output("y");
  const Trace trace = OnnxModel(ModelFile(maker).path).trace(batch(2, 3, 8, 8));
  CAPTURE(trace.to_string());
  CHECK(trace.fits());
  CHECK(trace.rows.back().out == Dims{2, 4, 20, 24});
}

TEST_CASE("onnx: images enlarged by constant factors, wherever these stand") {
  const auto enlarged = [](const std::vector<float>& factors, bool as_node, bool raw) {
    Maker maker;
    maker.input("x", {0, 3, 0, 0}).factors("scales", factors, raw);
    if (as_node) maker.as_constant();
    maker.weight("w", {4, 3, 1, 1}).node("Resize", {"x", "", "scales"}, "a").node("Conv", {"a", "w"}, "y").output("y");
    const Trace trace = OnnxModel(ModelFile(maker).path).trace(batch(2, 3, 9, 8));
    CHECK(trace.fits());
    return trace.rows.back().out;
  };
  for (const bool raw : {false, true}) {
    CHECK(enlarged({1, 1, 2, 1.5}, false, raw) == Dims{2, 4, 18, 12});
    CHECK(enlarged({1, 1, 0.5, 2}, true, raw) == Dims{2, 4, 4, 16});
  }
  // No sizes come of these, and no shape is made up for them.
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  for (const float bad : {0.F, -1.F, nan, std::numeric_limits<float>::infinity(), 1e30F, 1e13F}) {
    CHECK(enlarged({1, 1, bad, 2}, false, true).empty());
    CHECK(enlarged({1, 1, bad, 2}, true, false).empty());
  }
  CHECK(enlarged({1, 1, 65537, 2}, false, true) == Dims{2, 4, 589833, 16});
  CHECK(enlarged({2, 2}, false, true).empty());

  Maker older;
  older.input("x", {0, 3, 0, 0})
      .opset(9)
      .factors("scales", {1, 1, 2, 2}, true)
      .node("Upsample", {"x", "scales"}, "y")
      .output("y");
  CHECK(OnnxModel(ModelFile(older).path).trace(batch(2, 3, 9, 8)).rows.back().out == Dims{2, 3, 18, 16});

  Maker cut;
  cut.input("x", {0, 3, 0, 0})
      .factors("scales", {1, 1, 2, 2}, true)
      .factors("roi", {0, 0, 0, 0, 1, 1, 0.5, 0.5}, true)
      .node("Resize", {"x", "roi", "scales"}, "y");
  cut.attribute("coordinate_transformation_mode", onnx::AttributeProto::STRING).set_s("tf_crop_and_resize");
  cut.output("y");
  CHECK(OnnxModel(ModelFile(cut).path).trace(batch(2, 3, 9, 8)).rows.back().out.empty());

  Maker listed;
  listed.input("x", {0, 3, 0, 0}).node("Constant", {}, "scales");
  for (const float factor : {1.F, 1.F, 3.F, 2.F}) {
    auto& attribute = *listed.graph().mutable_node(0);
    if (attribute.attribute_size() == 0) listed.attribute("value_floats", onnx::AttributeProto::FLOATS);
    attribute.mutable_attribute(0)->add_floats(factor);
  }
  listed.node("Resize", {"x", "", "scales"}, "y").output("y");
  CHECK(OnnxModel(ModelFile(listed).path).trace(batch(2, 3, 9, 8)).rows.back().out == Dims{2, 3, 27, 16});
}

TEST_CASE("onnx: windows whose weights have another number of dimensions do not fit, wherever they stand") {
  const auto last = [](const std::string& op, const Dims& weight, const Dims& output_shape = {}) {
    Maker maker;
    maker.input("x", {0, 3, 0, 0}).weight("w", weight).node(op, {"x", "w"}, "y");
    if (op == "MaxUnpool") {
      maker.graph().mutable_initializer(0)->set_data_type(onnx::TensorProto::INT64);
      auto& kernel = maker.attribute("kernel_shape", onnx::AttributeProto::INTS);
      for (int i = 0; i < 2; ++i) kernel.add_ints(2);
    }
    if (!output_shape.empty()) {
      auto& sizes = maker.attribute("output_shape", onnx::AttributeProto::INTS);
      for (const std::int64_t size : output_shape) sizes.add_ints(size);
    }
    const Trace trace = OnnxModel(ModelFile(maker.output("y")).path).trace(batch(2, 3, 9, 8));
    REQUIRE(trace.diagnosis);
    return trace.diagnosis->explanation;
  };
  const Dims deep(16, 1);
  CHECK(says(last("Conv", deep), "input 1 has 4 dimensions and input 2 has 16"));
  CHECK(says(last("ConvTranspose", {2}), "input 1 has 4 dimensions and input 2 has 1"));
  CHECK(says(last("ConvTranspose", deep), "input 1 has 4 dimensions and input 2 has 16"));
  CHECK(says(last("MaxUnpool", {2}), "input 1 has 4 dimensions and input 2 has 1"));
  CHECK(
      says(last("ConvTranspose", {3, 4, 2, 2}, {20, 20, 20}), "input 1 has 4 dimensions and output_shape has 3 sizes"));

  // Of another domain it is another operator, of which nothing is known.
  Maker own;
  own.input("x", {0, 3, 0, 0}).weight("w", {2}).opset(1, "own").node("ConvTranspose", {"x", "w"}, "y");
  own.graph().mutable_node(0)->set_domain("own");
  CHECK(OnnxModel(ModelFile(own.output("y")).path).trace(batch(2, 3, 9, 8)).fits());

  // Between constants it does not wait for a batch.
  Maker constants;
  constants.input("x", {0, 3, 0, 0}).node("Relu", {"x"}, "y").weight("a", {1, 1, 3, 3}).as_constant();
  constants.weight("b", {2}).as_constant().node("ConvTranspose", {"a", "b"}, "c").output("y");
  const Trace trace = OnnxModel(ModelFile(constants).path).trace(batch(2, 3, 9, 8));
  CHECK(says(trace.diagnosis->explanation, "input 2 has 1"));
}

TEST_CASE("onnx: attributes that no input can have are told, not computed with") {
  const auto last = [](const std::string& op, std::int64_t opset,
                       const std::vector<std::pair<std::string, Dims>>& lists,
                       const std::vector<std::pair<std::string, std::int64_t>>& values, const Dims& second = {}) {
    Maker maker;
    maker.opset(opset).input("x", {0, 4, 0, 0});
    std::vector<std::string> inputs = {"x"};
    if (!second.empty()) {
      maker.weight("w", second);
      inputs.emplace_back("w");
    }
    maker.node(op, inputs, "y", lists, values).output("y");
    const Trace trace = OnnxModel(ModelFile(maker).path).trace(batch(2, 4, 9, 8));
    CAPTURE(trace.to_string());
    REQUIRE(trace.diagnosis);
    return trace.diagnosis->explanation;
  };
  CHECK(says(last("LpPool", 13, {{"kernel_shape", {2, 2}}, {"strides", {0, 0}}}, {}),
             "expected strides of at least 1, received [0, 0]"));
  CHECK(says(last("Conv", 13, {{"dilations", {1, 0, 1}}}, {}, {4, 4, 3, 3, 3}), "expected dilations of at least 1"));
  CHECK(says(last("DepthToSpace", 13, {}, {{"blocksize", std::int64_t{1} << 32}}),
             "expected blocksize of 1 to 1048576, received 4294967296"));
  CHECK(says(last("LayerNormalization", 17, {}, {{"axis", -6}}, {4}), "expected axis of -4 to 3, received -6"));
  CHECK(says(last("Gemm", 13, {}, {{"transA", 1}}, {4, 4}), "input 1 has 4 dimensions, expected 2"));

  Maker gather;
  gather.input("x", {0, 4, 0, 0}).numbers("at", {0}).node("GatherND", {"x", "at"}, "y", {}, {{"batch_dims", -5000}});
  const Trace trace = OnnxModel(ModelFile(gather.output("y")).path).trace(batch(2, 4, 9, 8));
  REQUIRE(trace.diagnosis);
  CHECK(says(trace.diagnosis->explanation, "expected batch_dims of 0 to 0, received -5000"));
}

TEST_CASE("onnx: a sparse initialiser is a weight of its whole shape") {
  Maker maker;
  maker.input("x", {0, 3, 0, 0}).node("Conv", {"x", "w"}, "y").output("y");
  onnx::SparseTensorProto& sparse = *maker.graph().add_sparse_initializer();
  for (const std::int64_t dim : {4, 3, 5, 5}) sparse.add_dims(dim);
  sparse.mutable_values()->set_name("w");
  sparse.mutable_values()->set_data_type(onnx::TensorProto::FLOAT);
  sparse.mutable_values()->add_dims(1);
  sparse.mutable_values()->add_float_data(1);
  sparse.mutable_indices()->set_data_type(onnx::TensorProto::INT64);
  sparse.mutable_indices()->add_dims(1);
  sparse.mutable_indices()->add_int64_data(7);
  const OnnxModel model(ModelFile(maker).path);
  CHECK(model.trace(batch(2, 3, 8, 8)).rows.back().out == Dims{2, 4, 4, 4});
  CHECK(model.trace(batch(2, 1, 8, 8)).diagnosis->cause == ShapeCause::channels);
}

TEST_CASE("onnx: arithmetic on shapes is done, as far as its numbers are known and can be counted") {
  const auto sized = [](const std::string& kind, std::int64_t by) {
    Maker maker;
    maker.input("x", {0, 3, 0, 0})
        .numbers("low", {2})
        .numbers("by", {by})
        .numbers("channels", {3})
        .numbers("first", {0})
        .node("Shape", {"x"}, "s")
        .node("Gather", {"s", "first"}, "n")
        .node("Gather", {"s", "low"}, "h")
        .node(kind, {"h", "by"}, "side")
        .node("Concat", {"n", "channels", "side", "side"}, "size", {}, {{"axis", 0}})
        .node("Resize", {"x", "", "", "size"}, "y")
        .output("y");
    return OnnxModel(ModelFile(maker).path).trace(batch(2, 3, 9, 9)).rows.back().out;
  };
  CHECK(sized("Add", 4) == Dims{2, 3, 13, 13});
  CHECK(sized("Sub", 4) == Dims{2, 3, 5, 5});
  CHECK(sized("Mul", 4) == Dims{2, 3, 36, 36});
  CHECK(sized("Div", 4) == Dims{2, 3, 2, 2});
  CHECK(sized("Div", 0).empty());
  CHECK(sized("Div", -2).empty());
  CHECK(sized("Mul", INT64_MAX).empty());
  CHECK(sized("Sub", INT64_MIN).empty());
  CHECK(sized("Pow", 2).empty());
}

TEST_CASE("onnx: one number and none come to none") {
  for (const bool none_first : {true, false}) {
    Maker maker;
    maker.input("x", {0, 3, 0, 0})
        .numbers("none", {})
        .numbers("one", {1})
        .numbers("flat", {0, -1})
        .node("Add", {none_first ? "none" : "one", none_first ? "one" : "none"}, "sum")
        .node("Concat", {"sum", "flat"}, "to", {}, {{"axis", 0}})
        .node("Reshape", {"x", "to"}, "y")
        .output("y");
    CHECK(OnnxModel(ModelFile(maker).path).trace(batch(2, 3, 8, 8)).rows.back().out == Dims{2, 192});
  }
}

TEST_CASE("onnx: numbers in a shape that an operator changes are not taken for what they were") {
  Maker cut;  // x[:, :, :-2]
  cut.input("x", {0, 3, 0, 0})
      .numbers("from", {0})
      .numbers("two", {2})
      .node("Neg", {"two"}, "to")
      .node("Slice", {"x", "from", "to", "two"}, "y")
      .output("y");
  const Dims rest = OnnxModel(ModelFile(cut).path).trace(batch(4, 3, 8, 8)).rows.back().out;
  CHECK((rest.empty() || rest == Dims{4, 3, 6, 8}));

  // Half the side, rounded up: of 9 it is 5. Then scaled by what the sizes come to.
  Maker half;
  half.input("x", {0, 3, 0, 0})
      .numbers("low", {2})
      .numbers("lead", {2, 3})
      .node("Shape", {"x"}, "s")
      .node("Gather", {"s", "low"}, "h")
      .node("Cast", {"h"}, "real", {}, {{"to", onnx::TensorProto::FLOAT}})
      .node("Cast", {"low"}, "two", {}, {{"to", onnx::TensorProto::FLOAT}})
      .node("Div", {"real", "two"}, "part")
      .node("Ceil", {"part"}, "up")
      .node("Cast", {"up"}, "side", {}, {{"to", onnx::TensorProto::INT64}})
      .node("Concat", {"lead", "side", "side"}, "size", {}, {{"axis", 0}})
      .node("Resize", {"x", "", "", "size"}, "y")
      .output("y");
  const Dims rounded = OnnxModel(ModelFile(half).path).trace(batch(2, 3, 9, 9)).rows.back().out;
  CHECK((rounded.empty() || rounded == Dims{2, 3, 5, 5}));

  Maker scaled;
  scaled.input("x", {0, 3, 0, 0})
      .numbers("lead", {1, 1})
      .numbers("more", {2, 2})
      .node("Concat", {"lead", "more"}, "factors", {}, {{"axis", 0}})
      .node("Cast", {"factors"}, "scales", {}, {{"to", onnx::TensorProto::FLOAT}})
      .node("Resize", {"x", "", "scales"}, "y")
      .output("y");
  const Trace trace = OnnxModel(ModelFile(scaled).path).trace(batch(2, 3, 9, 9));
  CAPTURE(trace.to_string());
  CHECK(trace.fits());

  Maker kept;  // 32 bits, and by name alone
  kept.input("x", {0, 3, 0, 0})
      .numbers("flat", {0, -1})
      .node("Cast", {"flat"}, "narrow", {}, {{"to", onnx::TensorProto::INT32}})
      .node("Cast", {"narrow"}, "wide", {}, {{"to", onnx::TensorProto::INT64}})
      .node("Identity", {"wide"}, "to")
      .node("Reshape", {"x", "to"}, "y")
      .output("y");
  CHECK(OnnxModel(ModelFile(kept).path).trace(batch(2, 3, 8, 8)).rows.back().out == Dims{2, 192});
}

TEST_CASE("onnx: transposed convolutions, from weights {in, out / groups}") {
  const auto deconvolve = [](const Dims& weight, const std::vector<std::pair<std::string, Dims>>& lists,
                             std::int64_t groups, const char* rule) {
    Maker maker;
    maker.input("x", {0, 8, 0, 0}).weight("w", weight).node("ConvTranspose", {"x", "w"}, "y", lists);
    maker.attribute("group", onnx::AttributeProto::INT).set_i(groups);
    if (*rule != 0) maker.attribute("auto_pad", onnx::AttributeProto::STRING).set_s(rule);
    maker.output("y");
    return OnnxModel(ModelFile(maker).path).trace(batch(2, 8, 5, 6)).rows.back();
  };
  const Dims stride = {2, 2};
  CHECK(deconvolve({8, 4, 2, 2}, {{"strides", stride}}, 1, "").out == Dims{2, 4, 10, 12});
  CHECK(deconvolve({8, 2, 2, 2}, {{"strides", stride}}, 2, "").out == Dims{2, 4, 10, 12});
  CHECK(
      deconvolve({8, 4, 3, 3}, {{"strides", stride}, {"pads", {1, 1, 1, 1}}, {"output_padding", {1, 0}}}, 1, "").out ==
      Dims{2, 4, 10, 11});
  CHECK(deconvolve({8, 4, 3, 3}, {{"strides", stride}}, 1, "SAME_UPPER").out == Dims{2, 4, 10, 12});
  CHECK(deconvolve({8, 4, 3, 3}, {{"strides", stride}, {"output_shape", {11, 13}}}, 1, "").out == Dims{2, 4, 11, 13});
  const TraceRow wrong = deconvolve({6, 4, 2, 2}, {{"strides", stride}}, 1, "");
  CHECK_FALSE(wrong.fits);
  CHECK(wrong.layer == "node_y ConvTranspose2d(6, 4, kernel_size=2, stride=2)");
}

TEST_CASE("onnx: pooling over the whole image leaves one pixel, and takes images alone") {
  for (const char* op : {"GlobalAveragePool", "GlobalMaxPool"}) {
    Maker maker;
    maker.input("x", {0, 3, 0, 0}).node(op, {"x"}, "g").node("Flatten", {"g"}, "y").output("y");
    const Trace trace = OnnxModel(ModelFile(maker).path).trace(batch(2, 3, 9, 8));
    CHECK(trace.rows[1].layer == std::string("node_g ") + op);
    CHECK(trace.rows[1].out == Dims{2, 3, 1, 1});
    CHECK(trace.rows[2].out == Dims{2, 3});
    maker.node(op, {"y"}, "z");
    const Trace flat = OnnxModel(ModelFile(maker).path).trace(batch(2, 3, 9, 8));
    REQUIRE(flat.diagnosis);
    CHECK(says(flat.diagnosis->explanation, "takes images {n, channels, height, width}, and receives {2, 3}"));
  }
}

TEST_CASE("onnx: padding, as an attribute and as an input, by zeros, edges and reflection") {
  const auto padded = [](std::int64_t opset, const Dims& sides, const char* mode) {
    Maker maker;
    maker.opset(opset).input("x", {0, 3, 0, 0});
    if (opset < 11) {
      maker.node("Pad", {"x"}, "y", {{"pads", sides}});
    } else {
      maker.numbers("sides", sides).node("Pad", {"x", "sides"}, "y");
    }
    maker.attribute("mode", onnx::AttributeProto::STRING).set_s(mode);
    maker.output("y");
    return OnnxModel(ModelFile(maker).path).trace(batch(2, 3, 8, 9));
  };
  for (const std::int64_t opset : {10, 13}) {
    CAPTURE(opset);
    const Trace zeros = padded(opset, {0, 0, 1, 2, 0, 0, 3, 4}, "constant");
    CHECK(zeros.rows.back().out == Dims{2, 3, 12, 15});
    CHECK(zeros.rows.back().layer == "node_y ZeroPad2d(top 1, bottom 3, left 2, right 4)");
    CHECK(says(padded(opset, {0, 0, 1, 2, 0, 0, 3, 4}, "edge").rows.back().layer, "ReplicationPad2d"));
    CHECK(padded(opset, {0, 0, 7, 0, 0, 0, 0, 8}, "reflect").rows.back().out == Dims{2, 3, 15, 17});
    CHECK(says(padded(opset, {0, 0, 8, 0, 0, 0, 0, 0}, "reflect").diagnosis->explanation, "larger than its padding"));
    CHECK(padded(opset, {0, 0, -1, 0, 0, 0, 0, -2}, "constant").rows.back().out == Dims{2, 3, 7, 7});
    CHECK_FALSE(padded(opset, {0, 0, -8, 0, 0, 0, 0, 0}, "constant").fits());
    // Of channels: libonnx's to tell.
    CHECK(padded(opset, {0, 1, 0, 0, 0, 1, 0, 0}, "constant").rows.back().out == Dims{2, 5, 8, 9});
  }
}

TEST_CASE("onnx: a sum with a tensor of so many rows has its batch size built in") {
  Maker maker;
  maker.input("x", {0, 3, 0, 0})
      .weight("table", {32, 3, 8, 8})
      .weight("other", {32, 3, 8, 8})
      .weight("w", {4, 5, 3, 3})
      .node("Add", {"x", "table"}, "a")
      .node("Mul", {"other", "a"}, "b")
      .node("Conv", {"b", "w"}, "y")
      .output("y");
  const Trace trace = OnnxModel(ModelFile(maker).path).trace(batch(64, 3, 8, 8));
  REQUIRE(trace.diagnosis);
  CHECK(trace.diagnosis->cause == ShapeCause::batch_size);
  CHECK(trace.diagnosis->row == 1);
  CHECK(trace.diagnosis->expected == "32");
  CHECK(trace.diagnosis->received == "64");
  CHECK(says(trace.diagnosis->next, "node_y Conv2d"));  // with 32 rows `other` fits
  Maker empty;
  empty.input("x", {0, 3, 0, 0}).weight("table", {0, 3, 8, 8}).node("Add", {"x", "table"}, "y").output("y");
  const Trace none = OnnxModel(ModelFile(empty).path).trace(batch(64, 3, 8, 8));
  CHECK(none.diagnosis->cause == ShapeCause::join);  // a batch of no rows is none
}

TEST_CASE("onnx: the operators of old broadcast by other rules, which are libonnx's to know") {
  Maker maker;
  maker.opset(6)
      .input("x", {0, 3, 0, 0})
      .weight("bias", {3})
      .node("Add", {"x", "bias"}, "y", {}, {{"axis", 1}, {"broadcast", 1}});
  maker.output("y");
  CHECK(OnnxModel(ModelFile(maker).path).trace(batch(2, 3, 8, 8)).fits());
}

TEST_CASE("onnx: ai.onnx is the operators' own domain in branches, too") {
  const auto branch = [](onnx::GraphProto& graph, const char* op) {
    graph.set_name(op);
    onnx::NodeProto& node = *graph.add_node();
    node.set_op_type(op);
    node.set_domain("ai.onnx");
    node.add_input("x");
    node.add_output(std::string("of_") + op);
    graph.add_output()->set_name(std::string("of_") + op);
    graph.mutable_output(0)->mutable_type()->mutable_tensor_type()->set_elem_type(onnx::TensorProto::FLOAT);
  };
  Maker maker;
  maker.input("x", {0, 3, 0, 0}).weight("w", {4, 3, 3, 3});
  onnx::TensorProto& which = *maker.graph().add_initializer();
  which.set_name("which");
  which.set_data_type(onnx::TensorProto::BOOL);
  which.set_raw_data(std::string(1, '\1'));
  maker.node("If", {"which"}, "a");
  branch(*maker.attribute("then_branch", onnx::AttributeProto::GRAPH).mutable_g(), "Relu");
  branch(*maker.attribute("else_branch", onnx::AttributeProto::GRAPH).mutable_g(), "Sigmoid");
  maker.opset(1, "mine").node("Choose", {"x"}, "b");
  maker.graph().mutable_node(1)->set_domain("mine");
  branch(*maker.attribute("branches", onnx::AttributeProto::GRAPHS).add_graphs(), "Tanh");
  maker.node("Conv", {"x", "w"}, "y").output("y");
  const ModelFile file(maker);
  CHECK(refusal(file.path) == "");
  const Trace trace = OnnxModel(file.path).trace(batch(2, 3, 8, 8));
  CHECK(trace.fits());
  CHECK(trace.rows.back().out == Dims{2, 4, 6, 6});
  CHECK_FALSE(OnnxModel(file.path).trace(batch(2, 1, 8, 8)).fits());
}

TEST_CASE("onnx: a type of elements that no batch has is noted, the others are the input's dtype") {
  const auto of_type = [](int type) {
    Maker maker;
    maker.input("x", {0, 3, 0, 0}, type).node("Identity", {"x"}, "y").output("y");
    return OnnxModel(ModelFile(maker).path);
  };
  for (const auto& [type, dtype] : std::vector<std::pair<int, DType>>{{onnx::TensorProto::UINT8, DType::uint8},
                                                                      {onnx::TensorProto::FLOAT16, DType::float16},
                                                                      {onnx::TensorProto::BFLOAT16, DType::bfloat16},
                                                                      {onnx::TensorProto::FLOAT, DType::float32},
                                                                      {onnx::TensorProto::INT64, DType::int64}}) {
    CAPTURE(name(dtype));
    const OnnxModel model = of_type(type);
    CHECK(model.input().dtype == dtype);
    CHECK(model.trace(batch(2, 3, 8, 8)).caveats.empty());
  }
  for (const int type : {onnx::TensorProto::DOUBLE, onnx::TensorProto::INT8}) {
    const OnnxModel model = of_type(type);
    CHECK_FALSE(model.input().dtype);
    const Trace trace = model.trace(batch(2, 3, 8, 8));
    CHECK(trace.fits());
    REQUIRE(trace.caveats.size() == 1);
    const char* type_name = type == onnx::TensorProto::DOUBLE ? "DOUBLE" : "INT8";
    CHECK(
        says(trace.caveats[0], std::string("'x' takes elements of type ") + type_name + ", which no loader delivers"));
  }
}

TEST_CASE("onnx: parameters that do not go with what reaches the node are told") {
  const auto explanation = [](Maker& maker) {
    const Trace trace = OnnxModel(ModelFile(maker.output("y")).path).trace(batch(2, 3, 8, 8));
    REQUIRE(trace.diagnosis);
    CHECK(trace.diagnosis->cause == ShapeCause::parameters);
    return trace.diagnosis->explanation;
  };
  Maker copies, joined, turned, endless;
  copies.input("x", {0, 3, 0, 0})
      .numbers("to", {0, -1, 0})
      .node("Flatten", {"x"}, "a")
      .node("Reshape", {"a", "to"}, "y");
  CHECK(explanation(copies) ==
        "node_y Reshape(0, -1, 0): the shape {0, -1, 0} copies a dimension that {2, 192} has not");
  joined.input("x", {0, 3, 0, 0}).node("Concat", {"x", "x"}, "y", {}, {{"axis", 4}});
  CHECK(explanation(joined) == "node_y Concat: axis 4 is no dimension of {2, 3, 8, 8}");
  turned.input("x", {0, 3, 0, 0}).node("Transpose", {"x"}, "y", {{"perm", {0, 1, 1, 3}}});
  CHECK(explanation(turned) ==
        "node_y Transpose(0, 1, 1, 3): the order {0, 1, 1, 3} is none of the dimensions of {2, 3, 8, 8}");
  endless.input("x", {0, 3, 0, 0}).weight("long", {1}).node("Concat", {"long", "long"}, "y", {}, {{"axis", 0}});
  endless.graph().mutable_initializer(0)->set_dims(0, INT64_MAX);
  CHECK(explanation(endless) == "node_y Concat: what comes out is too large to count");
}

TEST_CASE("onnx: files larger, and tensors of more dimensions, than any model has are refused") {
  const ModelFile large(lenet());
  fs::resize_file(large.path, std::uintmax_t{3} << 30);  // of which nearly all is a hole
  CHECK(says(refusal(large.path), "the file is larger than 2 GB"));
  Maker deep;
  deep.input("x", {0, 3, 0, 0}).weight("w", Dims(17, 1)).node("Add", {"x", "w"}, "y").output("y");
  CHECK(says(refusal(ModelFile(deep).path), "the initialiser w has 17 dimensions"));
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
  const auto told =
      nlohmann::json::parse(check(pipeline, "32", {"--last-batch", "pad", "--dtype", "uint8", "--json"}).out);
  CHECK(told["fits"] == false);
  CHECK(told["dtype"]["expected"] == "float32");
  CHECK(told["dtype"]["received"] == "uint8");
  CHECK(told["dtype"]["advice"].get<std::string>().size() > 10);
  const ModelFile last_channels(Maker().input("x", {0, 32, 32, 3}).node("Relu", {"x"}, "y").output("y"));
  const test::Result layout =
      test::run({"check", images, "--pipeline", pipeline.string(), "--model", last_channels.path.string()});
  CHECK(says(layout.out, "takes float32 {any, 32, 32, 3} (nhwc)"));
  const test::Result unfixed = check(open, "32");
  CHECK(unfixed.status == 2);
  CHECK(says(unfixed.err, "the model takes images of one size, 32x32"));
  CHECK(says(unfixed.err, "the pipeline leaves the size open"));
  CHECK(test::run({"check", images, "--model", (dir.path() / "absent.onnx").string()}).status == 2);
}

}  // namespace muster
