// Which shapes layers make, held against counting and PyTorch; and what is said of a layer that does not fit.
#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "muster/trace.hpp"
#include "support.hpp"
#include "trace/trace.hpp"

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

/// A random network, and what PyTorch made of a batch.
struct GoldenNetwork {
  std::string layers;
  Dims batch;
  std::string shapes;  // after each layer; "x" where it does not fit

  Trace trace() const { return trace_text(layers, shape_of(batch)); }
};

std::vector<GoldenNetwork> golden_networks() {
  std::ifstream file(test::golden_dir() / "trace.txt");
  std::vector<GoldenNetwork> networks;
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find(" | "), second = line.find(" | ", first + 3);
    networks.push_back(
        {line.substr(0, first), numbers(line.substr(first + 3, second - first - 3)), line.substr(second + 3)});
  }
  return networks;
}

constexpr std::string_view alexnet =
    "Conv2d(3, 64, 11, stride=4, padding=2) ReLU() MaxPool2d(3, 2) Conv2d(64, 192, 5, padding=2) ReLU() "
    "MaxPool2d(3, 2) Conv2d(192, 256, 3, padding=1) ReLU() MaxPool2d(3, 2) Flatten() Linear(9216, 10)";
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
  const std::vector<GoldenNetwork> networks = golden_networks();
  int num_failing = 0;
  for (const GoldenNetwork& network : networks) {
    CAPTURE(network.layers);
    const Trace trace = network.trace();
    std::istringstream expected(network.shapes);
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
  CHECK(networks.size() == 500);
  CHECK(num_failing > 100);
}

TEST_CASE("trace: the sizes that are said to fit do fit, and those beside them do not") {
  int num_proposals = 0, num_whole = 0;
  for (const GoldenNetwork& network : golden_networks()) {
    const Trace trace = network.trace();
    if (!trace.diagnosis || !trace.diagnosis->sizes) continue;
    ++num_proposals;
    CAPTURE(network.layers);
    const Dims& batch = network.batch;
    const std::vector<Layer> layers = layers_of(network.layers);
    const bool whole = !advises(*trace.diagnosis, "(as far as");
    const auto passes = [&](Size size) {
      const Trace again = trace_shapes(layers, {batch[0], batch[1], size.height, size.width});
      return again.fits() || (!whole && again.diagnosis->row > trace.diagnosis->row);
    };
    const FittingSizes& sizes = *trace.diagnosis->sizes;
    CHECK(passes(sizes.from));
    CHECK(passes(sizes.size));
    CHECK(passes(sizes.to));
    num_whole += whole ? 1 : 0;
    // One step further no longer fits; only what lies beyond the batch's own size was never tried.
    const auto beside = [&](Size size, std::int64_t step) {
      const bool along_height = sizes.from.height != batch[2] || sizes.to.height != batch[2];
      const bool along_width = sizes.from.width != batch[3] || sizes.to.width != batch[3];
      return Size{size.height + (along_height ? step : 0), size.width + (along_width ? step : 0)};
    };
    const Size below = beside(sizes.from, -1), above = beside(sizes.to, 1);
    const bool smaller = sizes.to.height < batch[2] || sizes.to.width < batch[3];
    if (smaller && below.height > 0 && below.width > 0) CHECK_FALSE(passes(below));
    if (!smaller && std::max(above.height, above.width) <= 1024) CHECK_FALSE(passes(above));
  }
  CHECK(num_proposals > 30);
  CHECK(num_whole > 20);
}

namespace {

/// The number after `word`, if the remedy has it.
std::optional<std::int64_t> number_after(const std::string& remedy, std::string_view word) {
  const std::size_t at = remedy.find(word);
  if (at == std::string::npos) return std::nullopt;
  return std::stoll(remedy.substr(at + word.size()));
}

/// The layers as the remedy says; nothing for what changes the batch or is advice in general.
std::optional<std::vector<Layer>> mended(std::vector<Layer> layers, const std::string& remedy, std::size_t failing) {
  const auto place = number_after(remedy, " layer ");
  const auto flatten =
      std::ranges::find_if(layers, [](const Layer& layer) { return std::holds_alternative<Flatten>(layer.kind); });
  if (remedy.starts_with("padding=")) {
    std::get<Conv2d>(layers[static_cast<std::size_t>(*place) - 1].kind).padding = *number_after(remedy, "padding=");
  } else if (remedy.starts_with("ceil_mode=True")) {
    Layer::Kind& pool = layers[static_cast<std::size_t>(*place) - 1].kind;
    if (auto* max = std::get_if<MaxPool2d>(&pool)) max->ceil_mode = true;
    if (auto* average = std::get_if<AvgPool2d>(&pool)) average->ceil_mode = true;
  } else if (remedy.starts_with("Linear(")) {
    std::get<Linear>(layers[failing].kind).in_features = *number_after(remedy, "Linear(");
  } else if (remedy.starts_with("AdaptiveAvgPool2d(") && flatten != layers.end()) {
    const std::int64_t side = *number_after(remedy, "AdaptiveAvgPool2d(");
    layers.insert(flatten, Layer(AdaptiveAvgPool2d{side, side}));
  } else if (remedy.starts_with("in_channels = ") || remedy.starts_with("out_channels = ")) {
    const std::int64_t channels = *number_after(remedy, "channels = ");
    const auto set = [&](auto* conv) {
      if (conv != nullptr) (remedy[0] == 'i' ? conv->in_channels : conv->out_channels) = channels;
    };
    Layer::Kind& kind = layers[static_cast<std::size_t>(*place) - 1].kind;
    set(std::get_if<Conv2d>(&kind));
    set(std::get_if<ConvTranspose2d>(&kind));
  } else if (remedy.starts_with("Flatten() before it")) {
    layers.insert(layers.begin() + static_cast<std::ptrdiff_t>(failing), Layer(Flatten{}));
    if (const auto features = number_after(remedy, "in_features = ")) {
      std::get<Linear>(layers[failing + 1].kind).in_features = *features;
    }
  } else {
    return std::nullopt;
  }
  return layers;
}

}  // namespace

TEST_CASE("trace: every remedy that is named mends the whole network, or as much of it as it says") {
  int num_whole = 0, num_partial = 0;
  for (const GoldenNetwork& network : golden_networks()) {
    CAPTURE(network.layers);
    // As it is, and with a second fault behind the first.
    for (const char* tail : {"", " Linear(77, 5)"}) {
      const std::vector<Layer> layers = layers_of(network.layers + tail);
      const Trace trace = trace_shapes(layers, shape_of(network.batch));
      if (!trace.diagnosis) continue;
      for (const std::string& remedy : trace.diagnosis->remedies) {
        CAPTURE(remedy);
        const auto changed = mended(layers, remedy, trace.diagnosis->row - 1);
        if (!changed) continue;
        const Trace again = trace_shapes(*changed, shape_of(network.batch));
        const auto until = number_after(remedy, "(as far as layer ");
        if (!until) {
          CHECK(again.fits());
        } else {
          CHECK(why(again).row == static_cast<std::size_t>(*until) + changed->size() - layers.size());
        }
        (until ? num_partial : num_whole) += 1;
      }
    }
  }
  CHECK(num_whole > 100);
  CHECK(num_partial > 20);
}

TEST_CASE("trace: a remedy that a later layer undoes, or that the layer itself cannot take, is not given") {
  // A padding of 1 would make 2 x 2 of it, which Linear(8) does not take.
  const Trace undone = trace_text("Conv2d(3, 8, 10) Flatten() Linear(8, 10)", {1, 3, 9, 9});
  CHECK(advises(why(undone), "images of 10x10"));
  CHECK_FALSE(advises(why(undone), "padding"));
  const Trace groups = trace_text("Conv2d(3, 48, 3) Conv2d(32, 64, 3, groups=32)", {1, 3, 32, 32});
  CHECK_FALSE(advises(why(groups), "in_channels = 48"));
  CHECK(advises(why(groups), "out_channels = 32 in layer 1"));
  const Trace second = trace_text("Conv2d(3, 6, 5) Flatten() Linear(100, 50) Linear(60, 10)", {64, 3, 12, 12});
  CHECK(advises(why(second), "Linear(384, 50), for this image size (as far as layer 4 Linear(60, 10))"));
}

TEST_CASE("trace: a search for what would fit ends, however large the images and however deep the network") {
  const Trace large = trace_text("Flatten() Linear(7, 10)", {1, 3, 20'000'000, 20'000'000});
  CHECK(why(large).row == 2);
  std::string chain;
  for (int i = 0; i < 3000; ++i) chain += "Conv2d(3, 3, 3, padding=1) ";
  const Trace deep = trace_text(chain + "Flatten() Linear(7, 10)", {1, 3, 32, 32});
  CHECK(why(deep).row == 3002);
  CHECK(advises(why(deep), "Linear(3072, 10)"));
  const Trace uncountable = trace_text("Conv2d(3, 2000000000, 1) Linear(7, 10)", {2, 3, 100000, 100000});
  CHECK(says(why(uncountable).explanation, "a Flatten() is missing"));
  const Trace endless = trace_text("Flatten() Linear(9223372036854775807, 10)", {2, 1, 8, 8});
  CHECK(why(endless).expected == "9223372036854775807 = 1 x 9223372036854775807");
}

TEST_CASE("trace: norms, PReLU and reflections are held against what reaches them") {
  const auto fits = [](const char* text, const Shape& shape) { return trace_text(text, shape).fits(); };
  CHECK(fits("LayerNorm((96, 8, 8))", {64, 96, 8, 8}));
  CHECK(fits("Flatten() LayerNorm(192)", {64, 3, 8, 8}));
  CHECK_FALSE(fits("LayerNorm(768)", {64, 96, 8, 8}));
  CHECK_FALSE(fits("LayerNorm((2, 64, 96, 8, 8))", {64, 96, 8, 8}));
  CHECK(fits("GroupNorm(4, 8)", {64, 8, 8, 8}));
  CHECK(fits("Flatten() GroupNorm(2, 8)", {64, 8, 1, 1}));
  CHECK_FALSE(fits("GroupNorm(3, 8)", {64, 8, 8, 8}));
  CHECK_FALSE(fits("GroupNorm(2, 6)", {64, 8, 8, 8}));
  CHECK_FALSE(fits("GroupNorm(0, 8)", {64, 8, 8, 8}));
  CHECK(fits("PReLU() PReLU(8) PReLU(num_parameters=1)", {64, 8, 8, 8}));
  CHECK_FALSE(fits("PReLU(7)", {64, 8, 8, 8}));
  CHECK(fits("InstanceNorm2d(7)", {64, 8, 8, 8}));  // without affine it counts nothing
  CHECK_FALSE(fits("InstanceNorm2d(7, affine=True)", {64, 8, 8, 8}));
  CHECK(fits("ReflectionPad2d(1)", {64, 8, 2, 2}));
  CHECK_FALSE(fits("ReflectionPad2d(2)", {64, 8, 2, 2}));
  CHECK(fits("ReplicationPad2d(50)", {64, 8, 2, 2}));
  CHECK_FALSE(fits("ZeroPad2d((-9223372036854775808, 0, 0, 0))", {64, 8, 2, 2}));
  const Trace trace = trace_text("AdaptiveMaxPool2d(2) ReflectionPad2d(1) GroupNorm(4, 8)", {64, 8, 8, 8});
  CHECK(trace.rows[1].layer == "AdaptiveMaxPool2d(2)");
  CHECK(trace.rows[2].layer.starts_with("ReflectionPad2d("));
  CHECK(trace.rows[3].layer == "GroupNorm(4, 8)");
}

TEST_CASE("trace: branches of different rank are named as they are, whichever comes first") {
  for (const bool flat_first : {true, false}) {
    Network network;
    network.values.resize(3);
    network.nodes.push_back({.op = Flatten{}, .label = "Flatten()", .inputs = {0}, .outputs = {1}});
    const std::vector<std::size_t> inputs =
        flat_first ? std::vector<std::size_t>{1, 0} : std::vector<std::size_t>{0, 1};
    network.nodes.push_back({.op = Broadcast{}, .label = "Add", .inputs = inputs, .outputs = {2}});
    const Trace sum = trace(network, {64, 3, 8, 8});
    CHECK(why(sum).cause == ShapeCause::join);
    CHECK(says(why(sum).explanation, flat_first ? "{64, 192} and {64, 3, 8, 8}" : "{64, 3, 8, 8} and {64, 192}"));
    network.nodes.back() = {.op = Concat{}, .label = "Concat", .inputs = inputs, .outputs = {2}};
    const Trace joined = trace(network, {64, 3, 8, 8});
    CHECK(why(joined).received == (flat_first ? "4" : "2"));
    CHECK(says(why(joined).explanation, flat_first ? "and receives {64, 3, 8, 8}" : "and receives {64, 192}"));
  }
}

TEST_CASE("trace: an NHWC batch that every layer would take for NCHW is told at the first that takes images") {
  const BatchSpec batch{
      .batch_size = 4, .last_batch_size = 4, .channels = 3, .height = 8, .width = 6, .layout = Layout::nhwc};
  const Trace trace = trace_shapes(parse_layers("ReLU() MaxPool2d(2) Flatten()"), batch);
  CHECK(why(trace).cause == ShapeCause::layout);
  CHECK(why(trace).row == 2);
  CHECK(why(trace).next.empty());
  CHECK(trace_shapes(parse_layers("Flatten() Linear(144, 10)"), batch).fits());  // takes no images
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

TEST_CASE("trace: brackets and commas in quotes and brackets end no argument and no layer") {
  const Trace trace = trace_text("Dropout(p=\"a), (b\") View([-1, 192]) ReLU(')') Linear(192, 10)", {2, 3, 8, 8});
  CHECK(trace.fits());
  CHECK(trace.rows.size() == 5);
  const Trace arrows = trace_text("View(-1, 192) -> ReLU -> Linear(192, 10)", {2, 3, 8, 8});
  CHECK(arrows.fits());
  CHECK(arrows.rows.size() == 4);
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

  const Trace colour = trace_text("Conv2d(1, 16, 3)", {64, 3, 32, 32});
  CHECK(says(why(colour).explanation,
             "the model takes grey images (1 channel), and the batch holds colour images (3 channels)"));
  CHECK(advises(why(colour), "--color grey"));
  CHECK_FALSE(advises(why(colour), "--color rgb"));
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
  // Through what leaves rows as they are.
  for (const std::string between : {"ReLU()", "BatchNorm1d(400) ReLU()", "Dropout(0.5) LayerNorm(400)", "PReLU(400)"}) {
    CAPTURE(between);
    const std::string text = "AdaptiveAvgPool2d(10) View(-1, 400) " + between + " Linear(400, 10)";
    CHECK(why(trace_text(text, {64, 16, 64, 64})).row == 2);
    CHECK(trace_text(text + " View(-1, 10)", {64, 4, 64, 64}).fits());
  }
  const Trace merged = trace_text("Flatten(0) Linear(768, 10)", {4, 3, 8, 8});
  CHECK(why(merged).cause == ShapeCause::dimensions);
  CHECK(says(why(merged).explanation, "merges the rows of the batch"));
  const Trace flat = trace_text("AdaptiveAvgPool2d(1) Flatten(0) Linear(1, 10)", {3, 1, 8, 8});
  CHECK(says(why(flat).explanation, "merges the rows of the batch: {3, 1, 1, 1} becomes {3}"));
  // A view that names its rows is a fault whoever reads it, and its batch size can be had.
  const BatchSpec batch{.batch_size = 64, .last_batch_size = 16, .channels = 3, .height = 8, .width = 8};
  for (const char* text : {"Reshape(64, -1)", "Reshape(64, -1) Linear(192, 10)"}) {
    CHECK(trace_shapes(parse_layers(text), batch).fits());
    const Trace last = trace_shapes(parse_layers(text), batch, 16);
    CHECK(why(last).cause == ShapeCause::batch_size);
    CHECK(advises(why(last), "--last-batch drop, pad or wrap"));
  }
}

TEST_CASE("trace: a row for each pixel or box is no fault, and is told") {
  const Trace pixels = trace_text("Conv2d(3, 1, 1) Flatten(0)", {4, 3, 8, 8});
  CHECK(pixels.fits());
  REQUIRE(pixels.caveats.size() == 1);
  CHECK(says(pixels.caveats[0], "layer 2 Flatten(start_dim=0, end_dim=-1) makes 256 rows of 4 samples"));
  CHECK(says(pixels.to_string(), "note: layer 2"));
  CHECK(trace_text("Conv2d(3, 16, 1) Flatten()", {4, 3, 8, 8}).caveats.empty());
}

TEST_CASE("trace: a batch of one row under BatchNorm is noted, as PyTorch refuses it in training") {
  const char* net = "AdaptiveAvgPool2d(1) Flatten() BatchNorm1d(3)";
  CHECK(trace_text(net, {2, 3, 8, 8}).caveats.empty());
  const Trace one = trace_text(net, {1, 3, 8, 8});
  CHECK(one.fits());
  REQUIRE(one.caveats.size() == 1);
  CHECK(says(one.caveats[0], "layer 3 BatchNorm1d(3) receives one value per channel"));
  CHECK(trace_text("BatchNorm2d(3)", {1, 3, 8, 8}).caveats.empty());
  CHECK(trace_text("BatchNorm2d(3)", {1, 3, 1, 1}).caveats.size() == 1);
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
  CHECK(
      says(why(odd).explanation, "layer 3 AvgPool2d(kernel_size=2) rounds down: its windows leave 1 of 33 rows over"));
  const Trace wide = trace_shapes({Residual{body, shortcut}}, {4, 8, 32, 33});
  CHECK(why(wide).dimension == "dimension 3 (width)");
  CHECK(says(why(wide).explanation, "layer 3 AvgPool2d(kernel_size=2) rounds down: its windows leave 1 of 33 columns"));
  const Trace lines = trace_shapes({Residual{{ZeroPad2d{.right = 1}, Flatten{2}}, {Flatten{2}}}}, {4, 8, 6, 6});
  CHECK(why(lines).dimension == "dimension 2");
  CHECK(why(lines).expected == "42");
  CHECK(why(lines).received == "36");
}

TEST_CASE("trace: every cause has a name of its own") {
  std::vector<std::string_view> names;
  for (int cause = 0; cause <= static_cast<int>(ShapeCause::other); ++cause) {
    names.push_back(name(static_cast<ShapeCause>(cause)));
    CHECK_FALSE(names.back().empty());
  }
  std::ranges::sort(names);
  CHECK(std::ranges::adjacent_find(names) == names.end());
  CHECK(name(ShapeCause::arithmetic) == "convolution arithmetic");
  CHECK(name(ShapeCause::join) == "branches");
  CHECK(name(ShapeCause::other) == "other");
}

TEST_CASE("trace: global pooling leaves one pixel of each channel, and takes images") {
  const Trace trace = trace_text("GlobalAvgPool() Flatten() Linear(3, 10)", {2, 3, 9, 8});
  CHECK(trace.fits());
  CHECK(trace.rows[1].out == Dims{2, 3, 1, 1});
  const Trace flat = trace_text("Flatten() GlobalAvgPool()", {2, 3, 9, 8});
  CHECK(
      says(why(flat).explanation, "GlobalAvgPool() takes images {n, channels, height, width}, and receives {2, 216}"));
}

TEST_CASE("trace: a view into which the elements do not go is told with both numbers") {
  const Trace fixed = trace_text("View(2, 7, 3)", {2, 3, 8, 8});
  CHECK(why(fixed).cause == ShapeCause::dimensions);
  CHECK(why(fixed).explanation == "{2, 3, 8, 8} has 384 elements, and {2, 7, 3} asks for 42");
  const Trace open = trace_text("View(-1, 7, 3)", {2, 3, 8, 8});
  CHECK(why(open).explanation == "{2, 3, 8, 8} has 384 elements, and {-1, 7, 3} asks for a multiple of 21");
  CHECK(why(open).sizes->size == Size{7, 7});
  CHECK(trace_text("View(-1, 7, 3)", {2, 3, 7, 7}).fits());
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
  CHECK(why(trace_text("Conv2d(0, 4, 3)", {2, 3, 32, 32})).explanation ==
        "Conv2d(0, 4, kernel_size=3): in_channels 0, out_channels 4, groups 1: at least 1 is needed");
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
      "Net(\n  (conv1): Conv2d(1, 32, kernel_size=(3, 3), stride=(1, 1))\n"
      "  (conv2): Conv2d(32, 64, kernel_size=(3, 3), stride=(1, 1))\n  (fc1): Linear(in_features=9216, "
      "out_features=128, bias=True)\n)");
  const Trace trace =
      trace_shapes(list, {.batch_size = 8, .last_batch_size = 8, .channels = 1, .height = 28, .width = 28});
  CHECK(says(why(trace).explanation, "The print of Net does not show its forward()"));
  // A later layer may still refuse.
  CHECK(says(why(trace).explanation,
             "9216 = 64 x 12 x 12 is what 1 more pooling by 2 in forward() would give: then this layer fits"));
}

TEST_CASE("trace: a print that one unseen step of forward() makes fit is undecided, and says with which") {
  const auto walked = [](const char* text, std::int64_t channels, std::int64_t side) {
    return trace_shapes(parse_layers(text),
                        {.batch_size = 4, .last_batch_size = 4, .channels = channels, .height = side, .width = side});
  };
  const Trace twice = walked(
      "Net((conv1): Conv2d(3, 6, 5) (pool): MaxPool2d(2, 2) (conv2): Conv2d(6, 16, 5) (fc1): Linear(400, 120))", 3, 32);
  CHECK_FALSE(twice.fits());
  CHECK(twice.undecided());
  CHECK(why(twice).fits_if == "forward() calls MaxPool2d(kernel_size=2) once more before layer 4 forward(): Flatten()");
  CHECK(says(twice.to_string(), "the print alone cannot decide: the model fits if forward() calls MaxPool2d"));
  const Trace average = walked(
      "Net((conv1): Conv2d(3, 6, 5) (pool): AvgPool2d(2, 2) (conv2): Conv2d(6, 16, 5) (fc1): Linear(400, 120))", 3, 32);
  CHECK(why(average).fits_if ==
        "forward() calls AvgPool2d(kernel_size=2) once more before layer 4 forward(): Flatten()");
  const Trace mean = walked(
      "MobileNet((features): Sequential((0): Conv2d(3, 32, 3, stride=2)) (classifier): Sequential((0): Dropout(0.2) "
      "(1): Linear(32, 10)))",
      3, 224);
  CHECK(says(why(mean).fits_if, "AdaptiveAvgPool2d(1) (or x.mean((2, 3)))"));
  const Trace each = walked("Net((conv1): Conv2d(1, 6, 5) (conv2): Conv2d(6, 16, 5) (fc): Linear(256, 10))", 1, 28);
  CHECK(says(why(each).fits_if, "after every convolution"));
  // No step mends this one, and a Sequential hides none.
  CHECK_FALSE(walked("Net((conv): Conv2d(3, 6, 5) (fc): Linear(7, 10))", 3, 32).undecided());
  CHECK_FALSE(walked("Sequential((0): Conv2d(3, 6, 5) (1): Flatten() (2): Linear(6, 10))", 3, 32).undecided());

  const Trace fits = walked("Net((conv): Conv2d(3, 6, 5) (fc): Linear(4704, 10))", 3, 32);
  CHECK(fits.fits());
  REQUIRE(fits.caveats.size() == 1);
  CHECK(says(fits.caveats[0], "if it runs the layers in the printed order, with the Flatten() of layer 2"));
  CHECK(walked("Sequential((0): Conv2d(3, 6, 5) (1): Flatten())", 3, 32).caveats.empty());
}

TEST_CASE("trace: text that is no layers is refused with its line") {
  for (const auto& [text, part] : std::vector<std::pair<std::string, std::string>>{
           {"", "expected layers"},
           {"Conv2d(3, 16, 5)\nLSTM(32, 64)", "line 2: does not know the shapes of LSTM"},
           {"Conv2d(3, 16)", "Conv2d needs kernel_size"},
           {"Conv2d(3, 16, five)", "kernel_size: expected a whole number, received five"},
           {"Conv2d(3, 16, 5, kernal=3)", "has no parameter kernal"},
           {"AdaptiveMaxPool2d((1, 2, 3))", "AdaptiveMaxPool2d: output_size is a number or (height, width)"},
           {"Upsample(scale_factor=(2.0, 3.0))", "scale_factor: expected a number, received (2.0, 3.0)"},
           {"Conv2d(3, 16, 5, kernel_size=3)", "receives kernel_size twice"},
           {"Conv2d(3, 16, kernel_size=5, kernel_size=3)", "receives kernel_size twice"},
           {"Linear(3, 16, True, None, None, 7)", "Linear takes 5 arguments, received 6"},
           {"ZeroPad2d((1, 2))", "ZeroPad2d: padding is a number or (left, right, top, bottom)"},
           {"Upsample((32, 32))", "Upsample: only a scale_factor is understood, the same for height and width"},
           {"ReLU()\nSequential((0-999): 1000 x Sequential((0-999): 1000 x ReLU()))", "line 2: there are too many"},
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
