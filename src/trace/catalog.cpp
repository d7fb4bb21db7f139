#include "trace/catalog.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include <fmt/format.h>

namespace muster {
namespace {

Layer::Kind read_conv(Call& call) {
  call.expect({"in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "bias",
               "padding_mode", "device", "dtype"});
  const Conv2d conv{.in_channels = call.number("in_channels"),
                    .out_channels = call.number("out_channels"),
                    .kernel_size = call.per_axis("kernel_size"),
                    .stride = call.per_axis("stride", 1),
                    .padding = call.padding(),
                    .dilation = call.per_axis("dilation", 1),
                    .groups = call.number("groups", 1)};
  if (conv.padding.rule == WindowPadding::Rule::same_upper && conv.stride != PerAxis(1)) {
    call.fail("Conv2d: padding='same' goes with stride 1 only, in PyTorch: give the padding as a number");
  }
  return conv;
}

Layer::Kind read_transposed_conv(Call& call) {
  call.expect({"in_channels", "out_channels", "kernel_size", "stride", "padding", "output_padding", "groups", "bias",
               "dilation", "padding_mode", "device", "dtype"});
  const PerAxis padding = call.per_axis("padding", 0);
  return ConvTranspose2d{.in_channels = call.number("in_channels"),
                         .out_channels = call.number("out_channels"),
                         .kernel_size = call.per_axis("kernel_size"),
                         .stride = call.per_axis("stride", 1),
                         .padding = {padding.height, padding.width},
                         .output_padding = call.per_axis("output_padding", 0),
                         .groups = call.number("groups", 1),
                         .dilation = call.per_axis("dilation", 1)};
}

std::optional<PerAxis> read_stride(const Call& call) {
  if (!call.has("stride")) return std::nullopt;
  return call.per_axis("stride");
}

Layer::Kind read_max_pool(Call& call) {
  call.expect({"kernel_size", "stride", "padding", "dilation", "return_indices", "ceil_mode"});
  const PerAxis padding = call.per_axis("padding", 0);
  return MaxPool2d{.kernel_size = call.per_axis("kernel_size"),
                   .stride = read_stride(call),
                   .padding = {padding.height, padding.width},
                   .dilation = call.per_axis("dilation", 1),
                   .ceil_mode = call.boolean("ceil_mode")};
}

Layer::Kind read_avg_pool(Call& call) {
  call.expect({"kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"});
  const PerAxis padding = call.per_axis("padding", 0);
  return AvgPool2d{.kernel_size = call.per_axis("kernel_size"),
                   .stride = read_stride(call),
                   .padding = {padding.height, padding.width},
                   .ceil_mode = call.boolean("ceil_mode")};
}

Layer::Kind read_adaptive_pool(Call& call) {
  call.expect({"output_size", "return_indices"});
  const std::vector<std::string_view> sides = call.list("output_size");
  const auto side = [&](std::size_t index) -> std::optional<std::int64_t> {
    const std::string_view text = sides[std::min(index, sides.size() - 1)];
    if (text == "None") return std::nullopt;
    return call.to_number(text, "output_size");
  };
  if (sides.empty() || sides.size() > 2)
    call.fail(fmt::format("{}: output_size is a number or (height, width)", call.name()));
  return AdaptiveAvgPool2d{.height = side(0), .width = side(1), .kind = call.name()};
}

Layer::Kind read_norm(Call& call) {
  if (call.name() == "GroupNorm") {
    call.expect({"num_groups", "num_channels", "eps", "affine", "device", "dtype"});
    return BatchNorm2d{
        .num_features = call.number("num_channels"), .kind = "GroupNorm", .num_groups = call.number("num_groups")};
  }
  call.expect({"num_features", "eps", "momentum", "affine", "track_running_stats", "process_group", "device", "dtype"});
  if (call.name() == "InstanceNorm2d" && !call.boolean("affine")) return Elementwise{call.name()};  // counts nothing
  if (call.name() == "BatchNorm1d") return BatchNorm1d{.num_features = call.number("num_features")};
  return BatchNorm2d{.num_features = call.number("num_features"), .kind = call.name()};
}

Layer::Kind read_layer_norm(Call& call) {
  call.expect({"normalized_shape", "eps", "elementwise_affine", "bias", "device", "dtype"});
  LayerNorm norm;
  for (const std::string_view side : call.list("normalized_shape")) {
    norm.normalized_shape.push_back(call.to_number(side, "normalized_shape"));
  }
  return norm;
}

Layer::Kind read_prelu(Call& call) {
  call.expect({"num_parameters", "init", "device", "dtype"});
  const std::int64_t num_parameters = call.number("num_parameters", 1);
  if (num_parameters == 1) return Elementwise{"PReLU"};
  return BatchNorm2d{.num_features = num_parameters, .kind = "PReLU"};
}

Layer::Kind read_flatten(Call& call) {
  call.expect({"start_dim", "end_dim"});
  return Flatten{.start_dim = call.number("start_dim", 1), .end_dim = call.number("end_dim", -1)};
}

Layer::Kind read_linear(Call& call) {
  call.expect({"in_features", "out_features", "bias", "device", "dtype"});
  return Linear{.in_features = call.number("in_features"), .out_features = call.number("out_features")};
}

Layer::Kind read_reshape(Call& call) {
  Reshape reshape;
  for (const std::string& argument : call.positional()) {
    for (const std::string_view side : Call::elements(argument)) {
      reshape.shape.push_back(call.to_number(side, "shape"));
    }
  }
  if (reshape.shape.empty()) call.fail(fmt::format("{} needs a shape, such as {}(-1, 400)", call.name(), call.name()));
  return reshape;
}

Layer::Kind read_pad(Call& call) {
  call.expect({"padding", "value"});
  const std::vector<std::string_view> sides = call.list("padding");
  const auto side = [&](std::size_t index) { return call.to_number(sides[sides.size() == 1 ? 0 : index], "padding"); };
  if (sides.size() != 1 && sides.size() != 4) {
    call.fail(fmt::format("{}: padding is a number or (left, right, top, bottom)", call.name()));
  }
  return ZeroPad2d{.top = side(2), .bottom = side(3), .left = side(0), .right = side(1), .kind = call.name()};
}

Layer::Kind read_upsample(Call& call) {
  call.expect({"size", "scale_factor", "mode", "align_corners", "recompute_scale_factor"});
  if (call.has("size") || !call.has("scale_factor")) {
    call.fail(fmt::format("{}: only a scale_factor is understood, the same for height and width", call.name()));
  }
  return Upsample{.scale_factor = call.real("scale_factor")};
}

const std::map<std::string_view, LayerReader>& readers() {
  static const std::map<std::string_view, LayerReader> all = {
      {"Conv2d", read_conv},
      {"ConvTranspose2d", read_transposed_conv},
      {"MaxPool2d", read_max_pool},
      {"AvgPool2d", read_avg_pool},
      {"AdaptiveAvgPool2d", read_adaptive_pool},
      {"AdaptiveMaxPool2d", read_adaptive_pool},
      {"GlobalAvgPool", [](Call&) -> Layer::Kind { return GlobalAvgPool{}; }},
      {"BatchNorm2d", read_norm},
      {"SyncBatchNorm", read_norm},
      {"GroupNorm", read_norm},
      {"BatchNorm1d", read_norm},
      {"InstanceNorm2d", read_norm},
      {"LayerNorm", read_layer_norm},
      {"PReLU", read_prelu},
      {"Flatten", read_flatten},
      {"Linear", read_linear},
      {"Reshape", read_reshape},
      {"View", read_reshape},
      {"ZeroPad2d", read_pad},
      {"ConstantPad2d", read_pad},
      {"ReflectionPad2d", read_pad},
      {"ReplicationPad2d", read_pad},
      {"Upsample", read_upsample},
  };
  return all;
}

}  // namespace

LayerReader find_layer(std::string_view name) {
  const auto found = readers().find(name);
  return found == readers().end() ? nullptr : found->second;
}

std::string known_layers() {
  std::string known;
  for (const auto& [layer, reader] : readers()) {
    if (!known.empty()) known += ", ";
    known += layer;
  }
  return known;
}

bool is_elementwise(std::string_view name) {
  static const std::set<std::string_view> names = {"ReLU",
                                                   "ReLU6",
                                                   "LeakyReLU",
                                                   "RReLU",
                                                   "ELU",
                                                   "SELU",
                                                   "CELU",
                                                   "GELU",
                                                   "SiLU",
                                                   "Mish",
                                                   "Hardswish",
                                                   "Hardsigmoid",
                                                   "Hardtanh",
                                                   "Hardshrink",
                                                   "Softshrink",
                                                   "Sigmoid",
                                                   "LogSigmoid",
                                                   "Tanh",
                                                   "Tanhshrink",
                                                   "Softplus",
                                                   "Softsign",
                                                   "Threshold",
                                                   "Softmax",
                                                   "LogSoftmax",
                                                   "Softmax2d",
                                                   "Softmin",
                                                   "Dropout",
                                                   "Dropout1d",
                                                   "Dropout2d",
                                                   "Dropout3d",
                                                   "AlphaDropout",
                                                   "FeatureAlphaDropout",
                                                   "Identity",
                                                   "LocalResponseNorm",
                                                   "StochasticDepth",
                                                   "DropPath",
                                                   "SqueezeExcitation",
                                                   "CrossEntropyLoss"};
  return names.contains(name);
}

bool is_sequence(std::string_view name) {
  constexpr std::array names = {"Sequential",       "Conv2dNormActivation", "ConvNormActivation", "ConvBNReLU",
                                "ConvBNActivation", "BasicConv2d",          "InvertedResidual"};
  return std::ranges::find(names, name) != names.end();
}

bool has_hidden_branches(std::string_view name) {
  return name == "Fire" || name.starts_with("Inception") || name.find("Dense") != std::string_view::npos ||
         name.starts_with("MultiheadAttention") || name == "ModuleDict";
}

bool is_residual(std::string_view name) { return name == "BasicBlock" || name == "Bottleneck"; }

}  // namespace muster
