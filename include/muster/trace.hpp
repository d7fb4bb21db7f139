// Tracing: which shape each layer of a network makes of a batch, and why the first that does not fit does not.
//
//   trace_shapes({Conv2d{3, 16, 5}, MaxPool2d{2}, Flatten{}, Linear{44944, 10}}, {64, 3, 224, 224})
//
// Layers have PyTorch's names, parameters and defaults. What slides a window over an image follows one formula, per
// axis (V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning", 2016, relationship 15, and
// PyTorch's documentation of Conv2d and MaxPool2d):
//   out = floor((in + padding before + padding after - dilation * (kernel - 1) - 1) / stride) + 1
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "muster/image.hpp"
#include "muster/spec.hpp"
#include "muster/tensor.hpp"

namespace [[gnu::visibility("default")]] muster {

/// A number for height and width, or one for each.
struct PerAxis {
  constexpr PerAxis(std::int64_t both) : height(both), width(both) {}  // NOLINT: as PyTorch
  constexpr PerAxis(std::int64_t height_, std::int64_t width_) : height(height_), width(width_) {}

  std::int64_t height;
  std::int64_t width;
  friend bool operator==(const PerAxis&, const PerAxis&) = default;
};

/// Zeros around an image: a number, one for height and one for width, one for each side, or a rule.
struct WindowPadding {
  enum class Rule : std::uint8_t {
    sides,       // as the numbers say
    valid,       // none
    same_upper,  // so that out = ceil(in / stride); where that is odd, one more after than before
    same_lower,  // one more before than after
  };

  template <std::integral Number>
  constexpr WindowPadding(Number all) : WindowPadding(all, all) {}  // NOLINT: as PyTorch
  constexpr WindowPadding(std::int64_t height, std::int64_t width) : WindowPadding(height, height, width, width) {}
  constexpr WindowPadding(std::int64_t top_, std::int64_t bottom_, std::int64_t left_, std::int64_t right_)
      : top(top_), bottom(bottom_), left(left_), right(right_) {}
  /// "same" or "valid"; throws ConfigError for anything else.
  WindowPadding(std::string_view name);                                       // NOLINT: as PyTorch
  WindowPadding(const char* name) : WindowPadding(std::string_view(name)) {}  // NOLINT: as PyTorch

  std::int64_t top = 0;
  std::int64_t bottom = 0;
  std::int64_t left = 0;
  std::int64_t right = 0;
  Rule rule = Rule::sides;
  friend bool operator==(const WindowPadding&, const WindowPadding&) = default;
};

/// {n, in_channels, h, w} → {n, out_channels, h', w'}, by the formula above. With "same" h' = ceil(h / stride).
struct Conv2d {
  std::int64_t in_channels = 0;
  std::int64_t out_channels = 0;
  PerAxis kernel_size = 1;
  PerAxis stride = 1;
  WindowPadding padding = 0;
  PerAxis dilation = 1;
  std::int64_t groups = 1;
};

/// out = (in - 1) * stride - padding before - padding after + dilation * (kernel - 1) + output_padding + 1
/// (Dumoulin and Visin, relationship 14; PyTorch's ConvTranspose2d).
struct ConvTranspose2d {
  std::int64_t in_channels = 0;
  std::int64_t out_channels = 0;
  PerAxis kernel_size = 1;
  PerAxis stride = 1;
  WindowPadding padding = 0;
  PerAxis output_padding = 0;
  std::int64_t groups = 1;
  PerAxis dilation = 1;
};

/// By the formula above; the stride is the kernel unless given. With ceil_mode the division rounds up, but for a last
/// window that would start in the padding after the image (PyTorch's MaxPool2d).
struct MaxPool2d {
  PerAxis kernel_size = 1;
  std::optional<PerAxis> stride = {};
  WindowPadding padding = 0;
  PerAxis dilation = 1;
  bool ceil_mode = false;
};

/// As MaxPool2d.
struct AvgPool2d {
  PerAxis kernel_size = 1;
  std::optional<PerAxis> stride = {};
  WindowPadding padding = 0;
  bool ceil_mode = false;
};

/// {n, c, h, w} → {n, c, output_size}; a dimension without a number stays as it is. `kind` is what it is called:
/// AdaptiveMaxPool2d as well.
struct AdaptiveAvgPool2d {
  std::optional<std::int64_t> height = 1;
  std::optional<std::int64_t> width = 1;
  std::string kind = "AdaptiveAvgPool2d";
};

/// {n, c, h, w} → {n, c, 1, 1}.
struct GlobalAvgPool {};

/// {n, num_features, h, w} stays. `kind` is what it is called: GroupNorm and PReLU count channels as well.
struct BatchNorm2d {
  std::int64_t num_features = 0;
  std::string kind = "BatchNorm2d";
  std::int64_t num_groups = 1;  // of GroupNorm
};

/// {n, num_features} or {n, num_features, length} stays.
struct BatchNorm1d {
  std::int64_t num_features = 0;
};

/// {…, normalized_shape} stays.
struct LayerNorm {
  std::vector<std::int64_t> normalized_shape;
};

/// Dimensions start_dim … end_dim become one; negative ones count from the end.
struct Flatten {
  std::int64_t start_dim = 1;
  std::int64_t end_dim = -1;
};

/// {…, in_features} → {…, out_features}.
struct Linear {
  std::int64_t in_features = 0;
  std::int64_t out_features = 0;
};

/// x.view(shape): one dimension may be -1, which then follows from the number of elements.
struct Reshape {
  std::vector<std::int64_t> shape;
};

/// Rows and columns of zeros around the image; negative ones crop (PyTorch's ZeroPad2d, in another order). `kind` is
/// what it is called: a ReflectionPad2d must be smaller than the image.
struct ZeroPad2d {
  std::int64_t top = 0;
  std::int64_t bottom = 0;
  std::int64_t left = 0;
  std::int64_t right = 0;
  std::string kind = "ZeroPad2d";
};

/// Repeats or interpolates to floor(h * scale_factor), floor(w * scale_factor).
struct Upsample {
  double scale_factor = 2;
};

/// Activations, dropout: whatever leaves the shape as it is, under the name `kind`.
struct Elementwise {
  std::string kind;
};

namespace detail {
template <class T, class Variant>
inline constexpr bool is_alternative = false;
template <class T, class... Ts>
inline constexpr bool is_alternative<T, std::variant<Ts...>> = (std::is_same_v<T, Ts> || ...);
}  // namespace detail

struct Layer;

/// body(x) + shortcut(x): a block of a residual network. Without layers, body or shortcut is x itself.
struct Residual {
  std::vector<Layer> body;
  std::vector<Layer> shortcut;
};

/// One layer, with a name of its own ("features.0") if it has one.
struct Layer {
  using Kind =
      std::variant<Conv2d, ConvTranspose2d, MaxPool2d, AvgPool2d, AdaptiveAvgPool2d, GlobalAvgPool, BatchNorm2d,
                   BatchNorm1d, LayerNorm, Flatten, Linear, Reshape, ZeroPad2d, Upsample, Elementwise, Residual>;

  template <class L>
  requires detail::is_alternative<L, Kind> Layer(L layer, std::string name_ = {})
      : kind(std::move(layer)), name(std::move(name_)) {}  // NOLINT: a list of layers

  Kind kind;
  std::string name;
};

/// Layers, and how much of the network they tell.
struct LayerList {
  std::vector<Layer> layers;
  /// Classes in a print(model) whose forward() it does not show ("AlexNet", "Net"). Their layers are taken in the
  /// printed order, with a Flatten where an image meets a Linear.
  std::vector<std::string> assumed;
};

/// Reads layers as people have them at hand: a print(model) of PyTorch, the lines of an nn.Sequential, or
/// "Conv2d(3, 16, 5) MaxPool2d(2) Flatten() Linear(44944, 10)". Blocks of torchvision's residual networks are known.
/// Throws ConfigError that names the line for what it cannot read, and for a class whose shapes it does not know.
LayerList parse_layers(std::string_view text);

/// Which of the usual causes of a size mismatch it is.
enum class ShapeCause : std::uint8_t {
  batch_size,  // a batch size is fixed in the model
  channels,    // of the images, or between two layers
  layout,      // NHWC where NCHW is expected, or the reverse
  input_size,  // the images are too small or have another size than the model takes
  arithmetic,  // kernel, padding ("same", "valid", explicit) and stride of a convolution
  rounding,    // a pooling layer rounds down
  flatten,     // what Flatten makes follows from the image size
  dimensions,  // a layer for images gets a flat tensor, or the reverse
  join,        // the branches of an addition or concatenation come to different sizes
  parameters,  // a layer's own parameters do not go together
  other,       // as the model's library says
};

/// "batch size", "channels", …
std::string_view name(ShapeCause cause) noexcept;

/// Image sizes with which the whole network fits: every one from `from` to `to`, of which `size` is proposed. What
/// `from` and `to` differ in changes together.
struct FittingSizes {
  Size size;
  Size from;
  Size to;
};

/// Why a layer does not fit.
struct ShapeDiagnosis {
  std::size_t row = 0;  // of Trace::rows
  ShapeCause cause = ShapeCause::other;
  std::string dimension;              // "in_features", "dimension 1 (channels)", …
  std::string expected;               // "9216 = 256 x 6 x 6"
  std::string received;               // "6400 = 256 x 5 x 5"
  std::string explanation;            // in a sentence or two
  std::vector<std::string> remedies;  // each alone mends it, or as far as it says
  std::optional<FittingSizes> sizes;  // if another image size would fit
  std::string next;                   // what is wrong further on, once this is mended; empty: nothing
  /// Of a print(model) that alone cannot decide: what its forward() would have to do for the whole network to fit.
  std::string fits_if;
};

/// What one layer does.
struct TraceRow {
  std::string layer;              // "features.0 Conv2d(3, 64, kernel_size=11, stride=4, padding=2)"
  std::vector<std::int64_t> in;   // of the first input; empty: not known
  std::vector<std::int64_t> out;  // empty: not known, or does not fit
  bool fits = true;
};

/// A network, walked with a batch. Row 0 is the batch itself; the walk ends with the first layer that does not fit. A
/// batch that the model's own input does not take is walked all the same.
struct Trace {
  std::vector<TraceRow> rows;
  std::optional<ShapeDiagnosis> diagnosis;
  std::vector<std::string> caveats;  // what fits() rests on, or leaves to the training program; a sentence each

  /// As far as shapes are known.
  bool fits() const noexcept { return !diagnosis; }
  /// True if the layers of a print(model) do not fit as they are printed, and do with one step that forward() may take.
  bool undecided() const noexcept { return diagnosis && !diagnosis->fits_if.empty(); }
  /// The first layer whose shape nothing tells, an operator of the user's own for example; null if there is none.
  const TraceRow* first_unknown() const noexcept;
  /// One line a layer.
  std::string table() const;
  /// The table, and below it the diagnosis.
  std::string to_string() const;
};

/// Walks the layers with a batch of `shape`, {n, channels, height, width}. Throws ConfigError if that is no batch
/// of images; what is wrong with the layers is told in the diagnosis.
Trace trace_shapes(const std::vector<Layer>& layers, const Shape& shape);
Trace trace_shapes(std::initializer_list<Layer> layers, const Shape& shape);
/// The same with a batch of a loader, which knows its layout; of `num_rows` rows where that is not 0.
Trace trace_shapes(const LayerList& layers, const BatchSpec& batch, std::int64_t num_rows = 0);

}  // namespace muster
