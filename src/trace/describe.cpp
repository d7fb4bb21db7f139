// Layers in words, as PyTorch prints them.
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <fmt/format.h>

#include "trace/network.hpp"

namespace muster {
namespace {

std::string describe(const PerAxis& value) {
  return value.height == value.width ? fmt::format("{}", value.height)
                                     : fmt::format("({}, {})", value.height, value.width);
}

/// What differs from its default, as PyTorch writes it.
class Arguments {
 public:
  explicit Arguments(std::string positional) : text_(std::move(positional)) {}
  void add(std::string_view name, const PerAxis& value, const PerAxis& unless) {
    if (value != unless) add(fmt::format("{}={}", name, describe(value)));
  }
  void add_padding(const WindowPadding& padding) {
    using Rule = WindowPadding::Rule;
    if (padding.rule == Rule::valid) return add("padding='valid'");
    if (padding.rule == Rule::same_upper) return add("padding='same'");
    if (padding.rule == Rule::same_lower) return add("padding='same', more before than after");
    if (padding == WindowPadding(0)) return;
    if (padding.top == padding.bottom && padding.left == padding.right) {
      return add(fmt::format("padding={}", describe(PerAxis(padding.top, padding.left))));
    }
    add(fmt::format("padding top {} bottom {} left {} right {}", padding.top, padding.bottom, padding.left,
                    padding.right));
  }
  void add(const std::string& argument) { text_ += (text_.empty() ? "" : ", ") + argument; }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

/// What both kinds of convolutions begin with.
template <class Convolution>
Arguments convolution(const Convolution& layer) {
  Arguments arguments(
      fmt::format("{}, {}, kernel_size={}", layer.in_channels, layer.out_channels, describe(layer.kernel_size)));
  arguments.add("stride", layer.stride, 1);
  arguments.add_padding(layer.padding);
  return arguments;
}

std::string describe_layer(const Conv2d& layer) {
  Arguments arguments = convolution(layer);
  arguments.add("dilation", layer.dilation, 1);
  if (layer.groups != 1) arguments.add(fmt::format("groups={}", layer.groups));
  return fmt::format("Conv2d({})", arguments.text());
}

std::string describe_layer(const ConvTranspose2d& layer) {
  Arguments arguments = convolution(layer);
  arguments.add("output_padding", layer.output_padding, 0);
  if (layer.groups != 1) arguments.add(fmt::format("groups={}", layer.groups));
  arguments.add("dilation", layer.dilation, 1);
  return fmt::format("ConvTranspose2d({})", arguments.text());
}

template <class Pool>
std::string describe_pool(std::string_view name, const Pool& layer) {
  Arguments arguments(fmt::format("kernel_size={}", describe(layer.kernel_size)));
  arguments.add("stride", layer.stride.value_or(layer.kernel_size), layer.kernel_size);
  arguments.add_padding(layer.padding);
  if constexpr (std::is_same_v<Pool, MaxPool2d>) arguments.add("dilation", layer.dilation, 1);
  if (layer.ceil_mode) arguments.add("ceil_mode=True");
  return fmt::format("{}({})", name, arguments.text());
}

std::string describe_layer(const MaxPool2d& layer) { return describe_pool("MaxPool2d", layer); }
std::string describe_layer(const AvgPool2d& layer) { return describe_pool("AvgPool2d", layer); }

std::string describe_layer(const AdaptiveAvgPool2d& layer) {
  const auto side = [](const std::optional<std::int64_t>& value) { return value ? std::to_string(*value) : "None"; };
  if (layer.height == layer.width) return fmt::format("{}({})", layer.kind, side(layer.height));
  return fmt::format("{}(({}, {}))", layer.kind, side(layer.height), side(layer.width));
}

std::string describe_layer(const GlobalAvgPool&) { return "GlobalAvgPool()"; }
std::string describe_layer(const BatchNorm2d& layer) {
  if (layer.kind == "GroupNorm") return fmt::format("GroupNorm({}, {})", layer.num_groups, layer.num_features);
  return fmt::format("{}({})", layer.kind, layer.num_features);
}
std::string describe_layer(const BatchNorm1d& layer) { return fmt::format("BatchNorm1d({})", layer.num_features); }

std::string describe_layer(const LayerNorm& layer) {
  const Dims& shape = layer.normalized_shape;
  return shape.size() == 1 ? fmt::format("LayerNorm({})", shape[0])
                           : fmt::format("LayerNorm(({}))", fmt::join(shape, ", "));
}

std::string describe_layer(const Flatten& layer) {
  if (layer.start_dim == 1 && layer.end_dim == -1) return "Flatten()";
  return fmt::format("Flatten(start_dim={}, end_dim={})", layer.start_dim, layer.end_dim);
}

std::string describe_layer(const Linear& layer) {
  return fmt::format("Linear({}, {})", layer.in_features, layer.out_features);
}

std::string describe_layer(const Reshape& layer) { return fmt::format("Reshape({})", fmt::join(layer.shape, ", ")); }

std::string describe_layer(const ZeroPad2d& layer) {
  return fmt::format("{}(top {}, bottom {}, left {}, right {})", layer.kind, layer.top, layer.bottom, layer.left,
                     layer.right);
}

std::string describe_layer(const Upsample& layer) {
  return fmt::format("Upsample(scale_factor={})", layer.scale_factor);
}
std::string describe_layer(const Elementwise& layer) { return layer.kind; }
std::string describe_layer(const Residual&) { return "Residual"; }

}  // namespace

std::string describe(const Layer::Kind& layer) {
  return std::visit([](const auto& kind) { return describe_layer(kind); }, layer);
}

std::string describe(const Dims& dims) { return fmt::format("{{{}}}", fmt::join(dims, ", ")); }

}  // namespace muster
