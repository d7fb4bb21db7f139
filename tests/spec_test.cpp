#include "muster/spec.hpp"

#include <doctest/doctest.h>

#include <string>

namespace muster {
namespace {

constexpr BatchSpec delivered = {.batch_size = 64,
                                 .last_batch_size = 64,
                                 .channels = 3,
                                 .height = 224,
                                 .width = 200,
                                 .dtype = DType::float32,
                                 .layout = Layout::nchw};

constexpr InputSpec fitting = {
    .batch_size = 64, .channels = 3, .height = 224, .width = 200, .dtype = DType::float32, .layout = Layout::nchw};

/// The one disagreement there is.
Mismatch only(const InputSpec& expected, const BatchSpec& received) {
  const std::vector<Mismatch> mismatches = compare(expected, received);
  REQUIRE(mismatches.size() == 1);
  return mismatches[0];
}

bool mentions(const Mismatch& mismatch, const std::string& text) {
  return mismatch.advice.find(text) != std::string::npos;
}

}  // namespace

TEST_CASE("spec: shapes follow the layout") {
  BatchSpec spec = delivered;
  CHECK(spec.shape() == Shape{64, 3, 224, 200});
  CHECK(spec.shape(16) == Shape{16, 3, 224, 200});
  spec.layout = Layout::nhwc;
  CHECK(spec.shape() == Shape{64, 224, 200, 3});
}

TEST_CASE("spec: batches that fit have no mismatch, and dimensions left open fit anything") {
  CHECK(compare(fitting, delivered).empty());
  CHECK(compare({any, 3, 224, 200, {}, {}}, delivered).empty());
  CHECK(compare({}, delivered).empty());
  BatchSpec partial = delivered;
  partial.last_batch_size = 16;
  CHECK(compare({any, 3, 224, 200, {}, {}}, partial).empty());
  CHECK_NOTHROW(require(fitting, delivered));
}

TEST_CASE("spec: another batch size names the option and the dynamic dimension") {
  InputSpec expected = fitting;
  expected.batch_size = 32;
  const Mismatch mismatch = only(expected, delivered);
  CHECK(mismatch.dimension == "batch size");
  CHECK(mismatch.expected == "32");
  CHECK(mismatch.received == "64");
  CHECK(mismatch.advice == "set LoaderOptions::batch_size to 32, or give the model a dynamic batch dimension");
}

TEST_CASE("spec: a short last batch names the policies that fill or drop it") {
  BatchSpec partial = delivered;
  partial.last_batch_size = 16;
  const Mismatch mismatch = only(fitting, partial);
  CHECK(mismatch.dimension == "last batch");
  CHECK(mismatch.expected == "64");
  CHECK(mismatch.received == "16");
  CHECK(mentions(mismatch, "LastBatch::drop, pad or wrap"));
}

TEST_CASE("spec: another number of channels names the colour option") {
  InputSpec expected = fitting;
  expected.channels = 1;
  CHECK(only(expected, delivered).dimension == "channels");
  CHECK(mentions(only(expected, delivered), "DecodeOptions::color of the pipeline to Color::grey"));
  BatchSpec grey = delivered;
  grey.channels = 1;
  CHECK(mentions(only(fitting, grey), "DecodeOptions::color of the pipeline to Color::rgb"));
  expected.channels = 4;
  CHECK(mentions(only(expected, delivered), "1 or 3 channels"));
}

TEST_CASE("spec: another height or width names stages that give the size") {
  InputSpec expected = fitting;
  expected.height = 256;
  const Mismatch height = only(expected, delivered);
  CHECK(height.dimension == "height");
  CHECK(mentions(height, "256 x 200: CenterCrop, RandomResizedCrop or Resize with size {256, 200}"));
  expected = fitting;
  expected.width = 224;
  CHECK(only(expected, delivered).dimension == "width");
  expected.height = 200;
  const std::vector<Mismatch> exchanged = compare(expected, delivered);
  REQUIRE(exchanged.size() == 2);
  CHECK(mentions(exchanged[0], "are height and width exchanged?"));
}

TEST_CASE("spec: another element type names the option") {
  InputSpec expected = fitting;
  expected.dtype = DType::float16;
  const Mismatch mismatch = only(expected, delivered);
  CHECK(mismatch.dimension == "dtype");
  CHECK(mismatch.expected == "float16");
  CHECK(mismatch.received == "float32");
  CHECK(mismatch.advice == "set LoaderOptions::dtype to DType::float16");
  BatchSpec bytes = delivered;
  bytes.dtype = DType::uint8;
  CHECK(mentions(only(fitting, bytes), "Normalize or ToFloat"));
  expected.dtype = DType::int64;
  CHECK(mentions(only(expected, delivered), "never int64"));
}

TEST_CASE("spec: another layout names the option") {
  InputSpec expected = fitting;
  expected.layout = Layout::nhwc;
  const Mismatch mismatch = only(expected, delivered);
  CHECK(mismatch.dimension == "layout");
  CHECK(mismatch.advice == "set LoaderOptions::layout to Layout::nhwc");
}

TEST_CASE("spec: sizes written down in NHWC order are recognised as the cause") {
  const InputSpec expected = {64, 224, 200, 3, {}, {}};
  const Mismatch mismatch = only(expected, delivered);
  CHECK(mismatch.dimension == "layout");
  CHECK(mismatch.received == "nchw {64, 3, 224, 200}");
  CHECK(mentions(mismatch, "set LoaderOptions::layout to Layout::nhwc"));
  CHECK(mentions(mismatch, "channels 3, height 224, width 200"));
  BatchSpec turned = delivered;
  turned.layout = Layout::nhwc;
  const Mismatch spelled = only(expected, turned);
  CHECK_FALSE(mentions(spelled, "LoaderOptions::layout"));
  CHECK(mentions(spelled, "channels 3, height 224, width 200"));
}

TEST_CASE("spec: a dimension below 1 is how others write an open one") {
  InputSpec expected = fitting;
  expected.batch_size = -1;
  CHECK(mentions(only(expected, delivered), "muster::any"));
}

TEST_CASE("spec: require lists every mismatch, one a line, with its advice") {
  BatchSpec partial = delivered;
  partial.last_batch_size = 16;
  CHECK_THROWS_WITH_AS(
      require({32, 1, any, any, DType::uint8, {}}, partial),
      "[require] the batches, {64, 3, 224, 200} of nchw float32, do not fit the model:\n"
      "  batch size: expected 32, received 64; set LoaderOptions::batch_size to 32, or give the model a dynamic batch "
      "dimension\n"
      "  last batch: expected 32, received 16; set LoaderOptions::last_batch to LastBatch::drop, pad or wrap, or give "
      "the model a dynamic batch dimension\n"
      "  channels: expected 1, received 3; set DecodeOptions::color of the pipeline to Color::grey\n"
      "  dtype: expected uint8, received float32; set LoaderOptions::dtype to DType::uint8 (the pixels before "
      "Normalize or ToFloat)",
      ShapeError);
}

}  // namespace muster
