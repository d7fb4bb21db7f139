// Which shapes layers make, held against counting and PyTorch; and what is said of a layer that does not fit.
#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "muster/trace.hpp"
#include "support.hpp"
#include "trace/network.hpp"

namespace muster {
namespace {

bool says(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

Dims numbers(const std::string& text) {
  Dims dims;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) dims.push_back(std::stoll(part));
  return dims;
}

Shape shape_of(const Dims& dims) { return {dims[0], dims[1], dims[2], dims[3]}; }

std::vector<Layer> layers_of(std::string_view text) { return parse_layers(text).layers; }

Trace trace_text(std::string_view text, const Shape& shape) { return trace_shapes(layers_of(text), shape); }

const ShapeDiagnosis& why(const Trace& trace) {
  REQUIRE(trace.diagnosis);
  return *trace.diagnosis;
}

/// True if one of the remedies says so.
bool advises(const ShapeDiagnosis& diagnosis, std::string_view part) {
  return std::ranges::any_of(diagnosis.remedies, [&](const std::string& remedy) { return says(remedy, part); });
}

/// Where windows can lie on padded rows, counted one by one.
std::int64_t count_windows(const Window& window, std::int64_t in) {
  const std::int64_t end = in + window.before + window.after;
  std::int64_t count = 0;
  for (std::int64_t start = 0; start < end; start += window.stride) {
    const std::int64_t overhang = start + window.extent() - end;
    const bool rounded_up = window.ceil && overhang < window.stride && start < in + window.before;
    count += overhang <= 0 || rounded_up ? 1 : 0;
  }
  return count;
}

constexpr std::string_view alexnet =
    "Conv2d(3, 64, 11, stride=4, padding=2) ReLU() MaxPool2d(3, 2) Conv2d(64, 192, 5, padding=2) ReLU() MaxPool2d(3, "
    "2) "
    "Conv2d(192, 256, 3, padding=1) ReLU() MaxPool2d(3, 2) Flatten() Linear(9216, 10)";
constexpr std::string_view lenet =
    "Conv2d(1, 6, 5) MaxPool2d(2) Conv2d(6, 16, 5) MaxPool2d(2) Flatten() Linear(400, 120) Linear(120, 10)";

}  // namespace

TEST_CASE("trace: a window slides to as many places as can be counted") {
  std::mt19937 random(1);
  const auto draw = [&](int low, int high) { return std::uniform_int_distribution(low, high)(random); };
  for (int i = 0; i < 20000; ++i) {
    const Window window{.kernel = draw(1, 6),
                        .stride = draw(1, 5),
                        .dilation = draw(1, 3),
                        .before = draw(0, 4),
                        .after = draw(0, 4),
                        .ceil = draw(0, 1) == 1};
    const std::int64_t in = draw(1, 40);
    CAPTURE(in);
    CAPTURE(window.kernel);
    CAPTURE(window.stride);
    REQUIRE(slide(window, in).out == count_windows(window, in));
  }
}

TEST_CASE("trace: 'same' gives ceil(in / stride) rows, 'valid' as many as no padding, a transposed window undoes it") {
  for (std::int64_t in = 1; in < 50; ++in) {
    for (std::int64_t stride = 1; stride < 5; ++stride) {
      const Window same{.kernel = 3, .stride = stride, .rule = WindowPadding::Rule::same_upper};
      CHECK(slide(same, in).out == (in + stride - 1) / stride);
      const Window valid{.kernel = 3, .stride = stride, .rule = WindowPadding::Rule::valid};
      const Slid slid = slide(valid, in);
      CHECK(slid.out == count_windows({.kernel = 3, .stride = stride}, in));
      if (slid.out == 0) continue;
      const Window back{.kernel = 3, .stride = stride, .transposed = true, .output_padding = slid.left_over};
      CHECK(slide(back, slid.out).out == in);
    }
  }
}

TEST_CASE("trace: random networks come to PyTorch's shapes, and fail where PyTorch fails") {
  std::ifstream file(test::golden_dir() / "trace.txt");
  int num_networks = 0, num_failing = 0;
  for (std::string line; std::getline(file, line); ++num_networks) {
    CAPTURE(line);
    const std::size_t first = line.find(" | "), second = line.find(" | ", first + 3);
    const Trace trace =
        trace_text(line.substr(0, first), shape_of(numbers(line.substr(first + 3, second - first - 3))));
    std::istringstream expected(line.substr(second + 3));
    std::size_t row = 1;
    bool failed = false;
    for (std::string shape; expected >> shape; ++row) {
      REQUIRE(row < trace.rows.size());
      failed = shape == "x";
      if (!failed) CHECK(trace.rows[row].out == numbers(shape));
    }
    CHECK(row == trace.rows.size());
    CHECK(trace.fits() == !failed);
    if (failed) CHECK(why(trace).row == row - 1);
    num_failing += failed ? 1 : 0;
  }
  CHECK(num_networks == 500);
  CHECK(num_failing > 100);
}

TEST_CASE("trace: the sizes that are said to fit do fit, and those beside them do not") {
  std::ifstream file(test::golden_dir() / "trace.txt");
  int num_proposals = 0;
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find(" | "), second = line.find(" | ", first + 3);
    const Dims batch = numbers(line.substr(first + 3, second - first - 3));
    const std::vector<Layer> layers = layers_of(line.substr(0, first));
    const Trace trace = trace_shapes(layers, shape_of(batch));
    if (!trace.diagnosis || !trace.diagnosis->sizes) continue;
    ++num_proposals;
    CAPTURE(line);
    const auto passes = [&](Size size) {
      const Trace again = trace_shapes(layers, {batch[0], batch[1], size.height, size.width});
      return again.fits() || again.diagnosis->row > trace.diagnosis->row;
    };
    const FittingSizes& sizes = *trace.diagnosis->sizes;
    CHECK(passes(sizes.from));
    CHECK(passes(sizes.size));
    CHECK(passes(sizes.to));
    CHECK_FALSE(passes({batch[2], batch[3]}));
  }
  CHECK(num_proposals > 30);
}

TEST_CASE("trace: the layers of C++ are those of the text") {
  const Trace made =
      trace_shapes({Conv2d{.in_channels = 3, .out_channels = 16, .kernel_size = 5, .padding = "same"},
                    Elementwise{"ReLU"}, MaxPool2d{.kernel_size = {2, 3}, .ceil_mode = true},
                    Conv2d{16, 8, 3, 2, {1, 0}}, BatchNorm2d{8}, AdaptiveAvgPool2d{4, 3}, Flatten{}, Linear{96, 10}},
                   {2, 3, 33, 34});
  CHECK(made.fits());
  CHECK(made.rows.back().out == Dims{2, 10});
  const Trace read = trace_text(
      "nn.Sequential(\n  nn.Conv2d(3, 16, 5, padding='same'),  # as above\n  nn.ReLU(inplace=True),\n"
      "  nn.MaxPool2d((2, 3), ceil_mode=True),\n  torch.nn.Conv2d(16, 8, kernel_size=3, stride=2, padding=(1, 0), "
      "bias=False),\n"
      "  nn.BatchNorm2d(8),\n  nn.AdaptiveAvgPool2d((4, 3)),\n  nn.Flatten(),\n  nn.Linear(in_features=96, "
      "out_features=10)\n)",
      {2, 3, 33, 34});
  CHECK(read.to_string() == made.to_string());
}

TEST_CASE("trace: flatten for another image size is explained in full") {
  CHECK(trace_text(alexnet, {64, 3, 224, 224}).fits());
  const Trace trace = trace_text(alexnet, {64, 3, 192, 192});
  CHECK(trace.to_string() ==
        R"(     layer                                               in                 out
     batch                                                                  {64, 3, 192, 192}
  1  Conv2d(3, 64, kernel_size=11, stride=4, padding=2)  {64, 3, 192, 192}  {64, 64, 47, 47}
  2  ReLU                                                {64, 64, 47, 47}   {64, 64, 47, 47}
  3  MaxPool2d(kernel_size=3, stride=2)                  {64, 64, 47, 47}   {64, 64, 23, 23}
  4  Conv2d(64, 192, kernel_size=5, padding=2)           {64, 64, 23, 23}   {64, 192, 23, 23}
  5  ReLU                                                {64, 192, 23, 23}  {64, 192, 23, 23}
  6  MaxPool2d(kernel_size=3, stride=2)                  {64, 192, 23, 23}  {64, 192, 11, 11}
  7  Conv2d(192, 256, kernel_size=3, padding=1)          {64, 192, 11, 11}  {64, 256, 11, 11}
  8  ReLU                                                {64, 256, 11, 11}  {64, 256, 11, 11}
  9  MaxPool2d(kernel_size=3, stride=2)                  {64, 256, 11, 11}  {64, 256, 5, 5}
 10  Flatten()                                           {64, 256, 5, 5}    {64, 6400}
 11  Linear(9216, 10)                                    {64, 6400}         does not fit

layer 11 Linear(9216, 10) does not fit
  in_features: expected 9216 = 256 x 6 x 6, received 6400 = 256 x 5 x 5
  cause: flatten follows the image size: what flattening makes follows from the image size, and in_features was computed for another; height on the way: 192 -> 47 -> 23 -> 11 -> 5
  what would fit, each alone:
    - images of 224x224 (223x223 to 254x254 fit) instead of 192x192: let the pipeline end in 224x224: CenterCrop, RandomResizedCrop or Resize with size {224, 224}, or LetterBox
    - padding=4 in layer 4 Conv2d(64, 192, kernel_size=5, padding=2)
    - padding=2 in layer 7 Conv2d(192, 256, kernel_size=3, padding=1)
    - Linear(6400, 10), for this image size
    - AdaptiveAvgPool2d(6) before the flattening, for any image size
)");
  const ShapeDiagnosis& diagnosis = why(trace);
  CHECK(diagnosis.cause == ShapeCause::flatten);
  CHECK(diagnosis.dimension == "in_features");
  CHECK(diagnosis.expected == "9216 = 256 x 6 x 6");
  CHECK(diagnosis.received == "6400 = 256 x 5 x 5");
  CHECK(says(diagnosis.explanation, "192 -> 47 -> 23 -> 11 -> 5"));
  CHECK(diagnosis.sizes->size == Size{224, 224});
  CHECK(diagnosis.sizes->from == Size{223, 223});
  CHECK(advises(diagnosis, "images of 224x224"));
  CHECK(advises(diagnosis, "Linear(6400, 10)"));
  CHECK(advises(diagnosis, "AdaptiveAvgPool2d(6)"));
}

TEST_CASE("trace: the first AlexNet needs 227 pixels or a padding of 2, which is convolution arithmetic") {
  const Trace trace = trace_text(
      "Conv2d(3,96,11,stride=4) MaxPool2d(3,2) Conv2d(96,256,5,padding=2) MaxPool2d(3,2) Conv2d(256,256,3,padding=1) "
      "MaxPool2d(3,2) Flatten() Linear(9216,4096)",
      {64, 3, 224, 224});
  CHECK(why(trace).cause == ShapeCause::arithmetic);
  CHECK(why(trace).sizes->size == Size{227, 227});
  CHECK(says(why(trace).explanation, "the image lacks 3 pixels"));
  CHECK(advises(why(trace), "padding=2 in layer 1 Conv2d(3, 96, kernel_size=11, stride=4)"));
}

TEST_CASE("trace: LeNet on 28 x 28 lacks the padding or 4 pixels") {
  CHECK(trace_text(lenet, {8, 1, 32, 32}).fits());
  const Trace trace = trace_text(lenet, {8, 1, 28, 28});
  CHECK(why(trace).sizes->size == Size{32, 32});
  CHECK(advises(why(trace), "padding=2 ('same') in layer 1 Conv2d(1, 6, kernel_size=5)"));
}

TEST_CASE("trace: a chain of 'valid' convolutions that ends one pixel short says what each takes away") {
  const Trace flat = trace_text("Conv2d(3,8,3) Conv2d(8,8,3) Conv2d(8,8,3) Flatten Linear(1800,10)", {64, 3, 20, 20});
  CHECK(why(flat).cause == ShapeCause::arithmetic);
  CHECK(says(why(flat).explanation, "the image lacks 1 pixel; height on the way: 20 -> 18 -> 16 -> 14"));
  CHECK(says(why(flat).explanation, "('valid') take kernel_size - 1 rows each, here 2 + 2 + 2"));
  CHECK(why(flat).sizes->size == Size{21, 21});

  const Trace none_left =
      trace_text("Conv2d(3,8,5) Conv2d(8,8,5) Conv2d(8,8,5,padding='valid') Conv2d(8,8,5)", {64, 3, 16, 16});
  CHECK(why(none_left).cause == ShapeCause::arithmetic);
  CHECK(why(none_left).dimension == "height");
  CHECK(why(none_left).expected == "at least 5");
  CHECK(why(none_left).received == "4");
  CHECK(says(why(none_left).explanation, "here 4 + 4 + 4"));
  CHECK(why(none_left).sizes->from == Size{17, 17});
}

TEST_CASE("trace: a pooling layer that rounds down is named, with what it leaves over") {
  const Trace trace = trace_text("MaxPool2d(2) MaxPool2d(2) MaxPool2d(2) Flatten() Linear(48, 10)", {64, 3, 28, 28});
  CHECK(why(trace).cause == ShapeCause::rounding);
  CHECK(
      says(why(trace).explanation, "layer 3 MaxPool2d(kernel_size=2) rounds down: its windows leave 1 of 7 rows over"));
  CHECK(advises(why(trace), "ceil_mode=True in layer 3"));
  CHECK(why(trace).sizes->size == Size{32, 32});
}

TEST_CASE("trace: grey images before colour, and channels that two layers disagree on") {
  const Trace grey = trace_text("Conv2d(3, 16, 3)", {64, 1, 32, 32});
  CHECK(why(grey).cause == ShapeCause::channels);
  CHECK(says(why(grey).explanation,
             "the model takes colour images (3 channels), and the batch holds grey images (1 channel)"));
  CHECK(advises(why(grey), "--color rgb"));
  CHECK(advises(why(grey), "in_channels = 1 in layer 1"));

  const Trace between = trace_text("Conv2d(3, 16, 3) ReLU() MaxPool2d(2) Conv2d(32, 8, 3)", {64, 3, 32, 32});
  CHECK(why(between).cause == ShapeCause::channels);
  CHECK(why(between).row == 4);
  CHECK(says(why(between).explanation, "layer 1 Conv2d(3, 16, kernel_size=3) gives 16 channels"));
  CHECK(advises(why(between), "in_channels = 16 in layer 4"));
  CHECK(advises(why(between), "out_channels = 32 in layer 1"));
  CHECK(why(trace_text("Conv2d(3, 16, 3) BatchNorm2d(32)", {64, 3, 32, 32})).cause == ShapeCause::channels);
}

TEST_CASE("trace: an NHWC batch is recognised, with and without a loader that says so") {
  const Trace told = trace_text("Conv2d(3, 16, 3)", {64, 224, 224, 3});
  CHECK(why(told).cause == ShapeCause::layout);
  CHECK(advises(why(told), "--layout nchw"));
  // Three rows high: only the loader can tell.
  const BatchSpec batch{
      .batch_size = 4, .last_batch_size = 4, .channels = 3, .height = 5, .width = 3, .layout = Layout::nhwc};
  CHECK(why(trace_shapes(parse_layers("Conv2d(3, 16, 3)"), batch)).cause == ShapeCause::layout);
}

TEST_CASE("trace: channels that no loader has are another layout, or the model's to change, never --color") {
  const BatchSpec given{.batch_size = 2, .last_batch_size = 2, .channels = 64, .height = 48, .width = 3};
  const LayerList rgb{{Conv2d{3, 8, 3}}, {}};
  CHECK(why(trace_shapes(rgb, given)).cause == ShapeCause::layout);
  BatchSpec odd = given;
  odd.width = 5;
  const Trace trace = trace_shapes(rgb, odd);
  CHECK(why(trace).cause == ShapeCause::channels);
  for (const std::string& remedy : why(trace).remedies) CHECK_FALSE(says(remedy, "--color"));
}

TEST_CASE("trace: of the sizes that fit a usual one is proposed, 224 before 227") {
  const auto proposed = [](std::int64_t side) {
    return why(trace_shapes({Conv2d{3, 8, 32, 32}, Flatten{}, Linear{8 * 7 * 7, 10}}, {2, 3, side, side})).sizes->size;
  };
  CHECK(proposed(256) == Size{224, 224});  // 224 to 255 fit
  CHECK(proposed(300) == Size{224, 224});
  CHECK(proposed(200) == Size{224, 224});
}

TEST_CASE("trace: two faults at once: the first is explained, the second is announced") {
  const Trace grey = trace_text("Conv2d(3, 6, 5) MaxPool2d(2) Flatten() Linear(400, 10)", {64, 1, 32, 32});
  CHECK(why(grey).cause == ShapeCause::channels);
  CHECK(why(grey).next == "layer 4 Linear(400, 10): in_features: expected 400, received 1176 = 6 x 14 x 14");
  const Trace linear = trace_text("Conv2d(3, 6, 5) Flatten() Linear(100, 50) Linear(60, 10)", {64, 3, 12, 12});
  CHECK(why(linear).row == 3);
  CHECK(why(linear).next == "layer 4 Linear(60, 10): in_features: expected 60, received 50");
  CHECK(why(trace_text("Conv2d(3, 6, 5)", {64, 1, 32, 32})).next.empty());
}

TEST_CASE("trace: a batch size that a view names fits that batch size alone") {
  const std::string net = "Conv2d(3, 16, 5) AdaptiveAvgPool2d(5) View(32, 400) Linear(400, 10)";
  CHECK(trace_text(net, {32, 3, 64, 64}).fits());
  const Trace full = trace_text(net, {64, 3, 64, 64});
  CHECK(why(full).cause == ShapeCause::batch_size);
  CHECK(why(full).expected == "32");
  CHECK(why(full).received == "64");
  CHECK(advises(why(full), "--batch-size 32"));
  CHECK(advises(why(full), "x.flatten(1)"));
  const BatchSpec batch{.batch_size = 32, .last_batch_size = 16, .channels = 3, .height = 64, .width = 64};
  CHECK(trace_shapes(parse_layers(net), batch).fits());
  const Trace last = trace_shapes(parse_layers(net), batch, 16);
  CHECK(why(last).cause == ShapeCause::batch_size);
  CHECK(says(why(last).explanation, "the last batch of an epoch has only 16 rows"));
  CHECK(advises(why(last), "--last-batch drop, pad or wrap"));
}

TEST_CASE("trace: a view that cuts the rows of the batch up is found, though every layer accepts it") {
  // 16 x 106 x 106 is no 400, but 25 of them together are a multiple of it.
  const Trace trace =
      trace_text("Conv2d(3, 16, 5) AdaptiveAvgPool2d(10) View(-1, 400) Linear(400, 10)", {64, 3, 64, 64});
  CHECK(why(trace).row == 3);
  CHECK(says(why(trace).explanation, "cuts the rows of the batch up: 64 samples become 256 rows"));
  CHECK(advises(why(trace), "x.flatten(1)"));
  const Trace merged = trace_text("Flatten(0)", {4, 3, 8, 8});
  CHECK(why(merged).cause == ShapeCause::dimensions);
  CHECK(says(why(merged).explanation, "merges the rows of the batch"));
}

TEST_CASE("trace: a missing Flatten, and layers for images after it") {
  const Trace missing = trace_text("Conv2d(3, 16, 5) MaxPool2d(2) Linear(3136, 10)", {8, 3, 32, 32});
  CHECK(why(missing).cause == ShapeCause::dimensions);
  CHECK(says(why(missing).explanation, "a Flatten() is missing"));
  CHECK(why(trace_text("Flatten() Conv2d(3, 16, 5)", {8, 3, 32, 32})).cause == ShapeCause::dimensions);
  CHECK(why(trace_text("BatchNorm1d(3)", {8, 3, 32, 32})).cause == ShapeCause::dimensions);
}

TEST_CASE("trace: branches of a block that come to different sizes") {
  const std::vector<Layer> body = {Conv2d{8, 8, 3, 2, 1}, Conv2d{8, 8, 3, 1, 1}};
  const std::vector<Layer> shortcut = {AvgPool2d{2}};
  CHECK(trace_shapes({Residual{body, shortcut}}, {4, 8, 32, 32}).fits());
  const Trace odd = trace_shapes({Residual{body, shortcut}}, {4, 8, 33, 33});
  CHECK(why(odd).cause == ShapeCause::join);
  CHECK(why(odd).dimension == "dimension 2 (height)");
  CHECK(says(why(odd).explanation, "{4, 8, 17, 17} and {4, 8, 16, 16}"));
  CHECK(why(odd).sizes->size == Size{32, 32});
}

TEST_CASE("trace: parameters that do not go together are told, however large") {
  for (const char* text :
       {"Conv2d(3, 16, 0)", "Conv2d(3, 16, 3, stride=0)", "Conv2d(3, 16, 3, groups=2)", "MaxPool2d(2, padding=2)",
        "Conv2d(3, 16, 3, padding=-1)", "Linear(0, 3)", "Upsample(scale_factor=0.001)", "AdaptiveAvgPool2d(0)",
        "Conv2d(3, 16, 3, stride=9223372036854775807)", "Upsample(scale_factor=1e300)", "View(-1, -1)",
        "ConvTranspose2d(3, 2147483647, 2147483647, 2147483647)", "Flatten(2, 1)", "Flatten(-9, 9)",
        "ZeroPad2d(9223372036854775807)", "View(9223372036854775807, 3, 7)"}) {
    CAPTURE(text);
    const Trace trace = trace_text(text, {2, 3, 32, 32});
    CHECK_FALSE(trace.fits());
    CHECK_FALSE(trace.to_string().empty());
  }
  CHECK_THROWS_AS(trace_text("Flatten()", {2, 3, 0, 4}), ConfigError);
  CHECK_THROWS_AS(trace_text("Flatten()", {2, 3, 4}), ConfigError);
  CHECK_THROWS_AS(WindowPadding("reflect"), ConfigError);
}

TEST_CASE("trace: a print(model) is read with its names, blocks, and the Flatten it does not show") {
  const LayerList list = parse_layers(R"(Net(
  (stem): Sequential(
    (0): Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)
    (1): BatchNorm2d(8, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)
    (2): ReLU(inplace=True)
  )
  (layer1): Sequential(
    (0): BasicBlock(
      (conv1): Conv2d(8, 16, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), bias=False)
      (relu): ReLU(inplace=True)
      (conv2): Conv2d(16, 16, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)
      (downsample): Sequential(
        (0): Conv2d(8, 16, kernel_size=(1, 1), stride=(2, 2), bias=False)
      )
    )
    (1-2): 2 x BasicBlock(
      (conv1): Conv2d(16, 16, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)
    )
  )
  (avgpool): AdaptiveAvgPool2d(output_size=(1, 1))
  (fc): Linear(in_features=16, out_features=10, bias=True)
))");
  CHECK(list.assumed == std::vector<std::string>{"Net"});
  const BatchSpec batch{.batch_size = 4, .last_batch_size = 4, .channels = 3, .height = 33, .width = 33};
  const Trace trace = trace_shapes(list, batch);
  CAPTURE(trace.to_string());
  CHECK(trace.fits());
  CHECK(trace.rows.back().out == Dims{4, 10});
  CHECK(says(trace.to_string(), "layer1.0.downsample.0 Conv2d(8, 16, kernel_size=1, stride=2)"));
  CHECK(says(trace.to_string(), "forward(): Flatten()"));
  // In a Sequential nothing is assumed: there a missing Flatten is the fault.
  CHECK_FALSE(trace_text("Sequential((0): Conv2d(3, 8, 3) (1): Linear(288, 10))", {4, 3, 8, 8}).fits());
}

TEST_CASE("trace: what forward() does unseen is guessed at, and said to be a guess") {
  const LayerList list = parse_layers(
      "Net(\n  (conv1): Conv2d(1, 32, kernel_size=(3, 3), stride=(1, 1))\n  (conv2): Conv2d(32, 64, kernel_size=(3, "
      "3), "
      "stride=(1, 1))\n  (fc1): Linear(in_features=9216, out_features=128, bias=True)\n)");
  const Trace trace =
      trace_shapes(list, {.batch_size = 8, .last_batch_size = 8, .channels = 1, .height = 28, .width = 28});
  CHECK(says(why(trace).explanation, "The print of Net does not show its forward()"));
  CHECK(says(why(trace).explanation, "9216 = 64 x 12 x 12 is what 1 more pooling by 2 in forward() would give"));
}

TEST_CASE("trace: text that is no layers is refused with its line") {
  for (const auto& [text, part] : std::vector<std::pair<std::string, std::string>>{
           {"", "expected layers"},
           {"Conv2d(3, 16, 5)\nLSTM(32, 64)", "line 2: does not know the shapes of LSTM"},
           {"Conv2d(3, 16)", "Conv2d needs kernel_size"},
           {"Conv2d(3, 16, five)", "kernel_size: expected a whole number, received five"},
           {"Conv2d(3, 16, 5, kernal=3)", "has no parameter kernal"},
           {"Conv2d(3, 16, 5, kernel_size=3)", "receives kernel_size twice"},
           {"Conv2d(3, 16, 5", "the brackets of Conv2d are not closed"},
           {"Conv2d(3, 16, 5, stride=2, padding='same')", "goes with stride 1 only"},
           {"Flatten())", "a ')' without its '('"},
           {"class Net(nn.Module):", "this is the program's text"},
           {"Fire((squeeze): Conv2d(3, 4, 1))", "export the model to ONNX"},
           {"Flatten() 17", "does not know the shapes of 17"},
           {"Flatten() !", "expected a layer, such as Conv2d(3, 16, 5), received '!'"},
           {"ReLU(99999999999999999999)\nLinear(99999999999999999999, 1)", "line 2"}}) {
    CAPTURE(text);
    std::string message;
    try {
      parse_layers(text);
    } catch (const ConfigError& error) {
      message = error.what();
    }
    CHECK(says(message, part));
  }
  std::string nested;
  for (int i = 0; i < 100000; ++i) nested += "Sequential(";
  CHECK_THROWS_AS(parse_layers(nested), ConfigError);
  CHECK_THROWS_AS(parse_layers(std::string(5 << 20, ' ')), ConfigError);
}

TEST_CASE("trace: damaged text is read or refused, never more") {
  const std::string text =
      "Net(\n (0-1): 2 x Sequential((0): Conv2d(3, 3, (3, 3), padding='same')\n (downsample): ReLU())\n"
      " (fc): Linear(in_features=27, out_features=3, bias=True)\n)";
  std::mt19937 random(7);
  int num_read = 0;
  for (int i = 0; i < 5000; ++i) {
    std::string damaged = text;
    for (int k = 0; k < 3; ++k) {
      const std::size_t at = random() % damaged.size();
      if (random() % 2 == 0) {
        damaged.erase(at, 1 + random() % 4);
      } else {
        damaged.insert(at, 1, "(),='x9-:# \n\xff"[random() % 13]);
      }
      if (damaged.empty()) damaged = "x";
    }
    try {
      num_read += trace_shapes(parse_layers(damaged),
                               {.batch_size = 2, .last_batch_size = 2, .channels = 3, .height = 3, .width = 3})
                          .rows.empty()
                      ? 0
                      : 1;
    } catch (const ConfigError&) {
    }
  }
  CHECK(num_read > 20);
}

}  // namespace muster
