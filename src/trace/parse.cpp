// Layers as text: what print(model) of PyTorch shows, and what one writes by hand.
#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <map>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "muster/trace.hpp"

namespace muster {
namespace {

constexpr std::size_t longest_text = 4 << 20;
constexpr int deepest = 64;
constexpr std::size_t most_layers = 100000;

[[noreturn]] void fail(int line, const std::string& message) {
  throw ConfigError("layers", fmt::format("line {}: {}", line, message));
}

std::string_view trim(std::string_view text) {
  const auto space = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
  while (!text.empty() && space(text.front())) text.remove_prefix(1);
  while (!text.empty() && space(text.back())) text.remove_suffix(1);
  return text;
}

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

/// Splits at the commas outside of brackets and quotes.
std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> parts;
  std::size_t from = 0;
  int depth = 0;
  char quote = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    const char c = i < text.size() ? text[i] : ',';
    if (quote != 0 && i < text.size()) {
      if (c == quote) quote = 0;
    } else if (c == '\'' || c == '"') {
      quote = c;
    } else if (c == '(' || c == '[') {
      ++depth;
    } else if (c == ')' || c == ']') {
      --depth;
    } else if (c == ',' && (depth == 0 || i == text.size())) {
      if (const std::string_view part = trim(text.substr(from, i - from)); !part.empty()) parts.push_back(part);
      from = i + 1;
    }
  }
  return parts;
}

/// A layer's name and its arguments, by position or by name.
class Call {
 public:
  Call(std::string name, std::string_view arguments, int line) : name_(std::move(name)), line_(line) {
    for (const std::string_view part : split(arguments)) {
      const std::size_t equals = part.find('=');
      const std::string_view key = trim(part.substr(0, equals));
      if (equals != std::string_view::npos && std::ranges::all_of(key, is_word)) {
        named_.emplace(key, trim(part.substr(equals + 1)));
      } else {
        positional_.push_back(std::string(part));
      }
    }
  }

  const std::string& name() const { return name_; }
  int line() const { return line_; }
  const std::vector<std::string>& positional() const { return positional_; }

  /// Names the parameters in order; what is not among them or given twice is refused.
  void expect(std::initializer_list<std::string_view> parameters) {
    if (positional_.size() > parameters.size()) {
      fail(line_, fmt::format("{} takes {} arguments, received {}", name_, parameters.size(), positional_.size()));
    }
    for (std::size_t i = 0; i < positional_.size(); ++i) {
      if (!named_.emplace(parameters.begin()[i], positional_[i]).second) {
        fail(line_, fmt::format("{} receives {} twice", name_, parameters.begin()[i]));
      }
    }
    for (const auto& [key, value] : named_) {
      if (std::ranges::find(parameters, key) == parameters.end()) {
        fail(line_, fmt::format("{} has no parameter {}; it has {}", name_, key, fmt::join(parameters, ", ")));
      }
    }
  }

  bool has(std::string_view parameter) const {
    const auto found = named_.find(parameter);
    return found != named_.end() && found->second != "None";
  }

  std::int64_t number(std::string_view parameter, std::optional<std::int64_t> fallback = {}) const {
    const std::string* text = find(parameter, fallback.has_value());
    return text == nullptr ? *fallback : to_number(*text, parameter);
  }

  double real(std::string_view parameter, double fallback) const {
    const std::string* text = find(parameter, true);
    if (text == nullptr) return fallback;
    const std::vector<std::string_view> parts = elements(*text);
    double value = 0;
    const std::string_view first = parts.empty() ? std::string_view() : parts.front();
    const auto [end, error] = std::from_chars(first.data(), first.data() + first.size(), value);
    const bool alike = std::ranges::all_of(parts, [&](std::string_view part) { return part == first; });
    if (error != std::errc{} || end != first.data() + first.size() || !alike) refuse(parameter, "a number", *text);
    return value;
  }

  bool boolean(std::string_view parameter) const {
    const std::string* text = find(parameter, true);
    if (text == nullptr || *text == "False" || *text == "false" || *text == "0") return false;
    if (*text != "True" && *text != "true" && *text != "1") refuse(parameter, "True or False", *text);
    return true;
  }

  PerAxis per_axis(std::string_view parameter, std::optional<PerAxis> fallback = {}) const {
    const std::string* text = find(parameter, fallback.has_value());
    if (text == nullptr) return *fallback;
    const std::vector<std::string_view> parts = elements(*text);
    if (parts.size() == 1) return to_number(parts[0], parameter);
    if (parts.size() != 2) refuse(parameter, "a number or (height, width)", *text);
    return {to_number(parts[0], parameter), to_number(parts[1], parameter)};
  }

  WindowPadding padding() const {
    const std::string* text = find("padding", true);
    if (text == nullptr) return 0;
    std::string_view word = *text;
    while (!word.empty() && (word.front() == '\'' || word.front() == '"')) word.remove_prefix(1);
    while (!word.empty() && (word.back() == '\'' || word.back() == '"')) word.remove_suffix(1);
    if (word == "same" || word == "valid") return word;
    const PerAxis sides = per_axis("padding");
    return {sides.height, sides.width};
  }

  std::vector<std::string_view> list(std::string_view parameter) const { return elements(*find(parameter, false)); }
  std::int64_t to_number(std::string_view text, std::string_view parameter) const {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) refuse(parameter, "a whole number", text);
    return value;
  }

 private:
  [[noreturn]] void refuse(std::string_view parameter, std::string_view wanted, std::string_view received) const {
    fail(line_, fmt::format("{}: {}: expected {}, received {}", name_, parameter, wanted, received.substr(0, 80)));
  }

  const std::string* find(std::string_view parameter, bool may_be_absent) const {
    const auto found = named_.find(parameter);
    if (found != named_.end() && found->second != "None") return &found->second;
    if (!may_be_absent) fail(line_, fmt::format("{} needs {}", name_, parameter));
    return nullptr;
  }

  /// Of "(2, 3)", "[2, 3]" or "2".
  static std::vector<std::string_view> elements(std::string_view text) {
    if (text.size() >= 2 &&
        ((text.front() == '(' && text.back() == ')') || (text.front() == '[' && text.back() == ']'))) {
      text = text.substr(1, text.size() - 2);
    }
    return split(text);
  }

  std::string name_;
  int line_;
  std::vector<std::string> positional_;
  std::map<std::string, std::string, std::less<>> named_;
};

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
    fail(call.line(), "Conv2d: padding='same' goes with stride 1 only, in PyTorch: give the padding as a number");
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
    fail(call.line(), "AdaptiveAvgPool2d: output_size is a number or (height, width)");
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
    std::string_view text = argument;
    while (!text.empty() && (text.front() == '(' || text.front() == '[')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ')' || text.back() == ']')) text.remove_suffix(1);
    for (const std::string_view part : split(text)) reshape.shape.push_back(call.to_number(part, "shape"));
  }
  if (reshape.shape.empty())
    fail(call.line(), fmt::format("{} needs a shape, such as {}(-1, 400)", call.name(), call.name()));
  return reshape;
}

Layer::Kind read_pad(Call& call) {
  call.expect({"padding", "value"});
  const std::vector<std::string_view> sides = call.list("padding");
  const auto side = [&](std::size_t index) { return call.to_number(sides[sides.size() == 1 ? 0 : index], "padding"); };
  if (sides.size() != 1 && sides.size() != 4) {
    fail(call.line(), fmt::format("{}: padding is a number or (left, right, top, bottom)", call.name()));
  }
  return ZeroPad2d{.top = side(2), .bottom = side(3), .left = side(0), .right = side(1), .kind = call.name()};
}

Layer::Kind read_upsample(Call& call) {
  call.expect({"size", "scale_factor", "mode", "align_corners", "recompute_scale_factor"});
  if (call.has("size") || !call.has("scale_factor")) {
    fail(call.line(), fmt::format("{}: only a scale_factor is understood, the same for height and width", call.name()));
  }
  return Upsample{.scale_factor = call.real("scale_factor", 2)};
}

using Reader = Layer::Kind (*)(Call&);

const std::map<std::string, Reader, std::less<>>& readers() {
  static const std::map<std::string, Reader, std::less<>> all = {
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

bool is_elementwise(std::string_view name) {
  static const std::set<std::string, std::less<>> names = {"ReLU",
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

/// Containers that run their layers one after the other.
bool is_sequence(std::string_view name) {
  constexpr std::array names = {"Sequential",       "Conv2dNormActivation", "ConvNormActivation", "ConvBNReLU",
                                "ConvBNActivation", "BasicConv2d",          "InvertedResidual"};
  return std::ranges::find(names, name) != names.end();
}

/// Containers of torchvision whose branches the print does not tell apart.
bool has_hidden_branches(std::string_view name) {
  return name == "Fire" || name.starts_with("Inception") || name.find("Dense") != std::string_view::npos ||
         name.starts_with("MultiheadAttention") || name == "ModuleDict";
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  LayerList parse() {
    LayerList result;
    result.layers = read_items("", 0, nullptr);
    if (at_ < text_.size()) fail(line_, "a ')' without its '('");
    if (result.layers.empty()) {
      throw ConfigError("layers",
                        "expected layers, such as Conv2d(3, 16, 5) MaxPool2d(2) Flatten() Linear(44944, 10) or "
                        "a print(model), received nothing");
    }
    result.assumed = std::move(assumed_);
    return result;
  }

 private:
  struct Children {
    std::vector<Layer> shortcut;
    bool has_shortcut = false;
  };

  void skip_space() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '#') {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else if (std::isspace(static_cast<unsigned char>(c)) != 0 || c == ',' || c == ';') {
        line_ += c == '\n' ? 1 : 0;
        ++at_;
      } else if (text_.substr(at_, 2) == "->") {
        at_ += 2;
      } else {
        return;
      }
    }
  }

  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  /// "(features): ", or nothing.
  std::string read_key() {
    if (at_ >= text_.size() || text_[at_] != '(') return {};
    const std::size_t close = text_.find(')', at_);
    if (close == std::string_view::npos || close + 1 >= text_.size() || text_[close + 1] != ':') return {};
    const std::string key(trim(text_.substr(at_ + 1, close - at_ - 1)));
    if (key.empty() || key.size() > 100 || !std::ranges::all_of(key, [](char c) { return is_word(c) || c == '-'; }))
      return {};
    at_ = close + 2;
    skip_space();
    return key;
  }

  /// "nn.Conv2d"
  std::string read_name() {
    const std::size_t from = at_;
    while (at_ < text_.size() && (is_word(text_[at_]) || text_[at_] == '.')) ++at_;
    return std::string(text_.substr(from, at_ - from));
  }

  static std::string last_part(const std::string& name) { return name.substr(name.find_last_of('.') + 1); }

  /// What stands between brackets; `at_` is after the closing one.
  std::string_view read_arguments(const std::string& name) {
    const std::size_t from = at_;
    const int line = line_;
    int depth = 1;
    char quote = 0;
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      line_ += c == '\n' ? 1 : 0;
      if (quote != 0) {
        if (c == quote) quote = 0;
      } else if (c == '\'' || c == '"') {
        quote = c;
      } else if (c == '(' || c == '[') {
        ++depth;
      } else if (c == ')' || c == ']') {
        if (--depth == 0) return text_.substr(from, at_++ - from);
      }
    }
    fail(line, fmt::format("the brackets of {} are not closed", name));
  }

  /// "6 x ", as newer versions of PyTorch print layers that repeat; 1 where it does not stand.
  std::int64_t read_repetitions() {
    const std::size_t from = at_;
    std::size_t end = from;
    while (end < text_.size() && std::isdigit(static_cast<unsigned char>(text_[end])) != 0) ++end;
    if (end == from || text_.substr(end, 3) != " x ") return 1;
    std::int64_t times = 0;
    std::from_chars(text_.data() + from, text_.data() + end, times);
    if (times < 1 || times > 1000) fail(line_, "expected 1 to 1000 repetitions");
    at_ = end + 3;
    skip_space();
    return times;
  }

  std::vector<Layer> read_items(const std::string& path, int depth, Children* children) {
    if (depth > deepest) fail(line_, "the layers are nested too deeply");
    std::vector<Layer> layers;
    while (true) {
      skip_space();
      if (at_ >= text_.size() || text_[at_] == ')') return layers;
      std::string key = read_key();
      const std::int64_t times = read_repetitions();
      const int line = line_;
      std::string name = read_name();
      if (name.empty()) {
        fail(line, fmt::format("expected a layer, such as Conv2d(3, 16, 5), received '{}'",
                               text_.substr(at_, std::min<std::size_t>(20, text_.find('\n', at_) - at_))));
      }
      skip_blanks();
      if (take('=')) {  // self.conv1 = nn.Conv2d(...)
        key = last_part(name);
        skip_blanks();
        name = read_name();
      }
      skip_blanks();
      const std::string full = path.empty() || key.empty() ? (key.empty() ? path : key) : path + "." + key;
      std::vector<Layer> read = read_item(last_part(name), full, line, depth);
      if (layers.size() + read.size() * static_cast<std::size_t>(times) > most_layers)
        fail(line, "there are too many layers");
      if (children != nullptr && (key == "downsample" || key == "shortcut")) {
        children->shortcut = std::move(read);
        children->has_shortcut = true;
        continue;
      }
      for (std::int64_t i = 0; i < times; ++i) layers.insert(layers.end(), read.begin(), read.end());
    }
  }

  void skip_blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }

  std::vector<Layer> read_item(const std::string& name, const std::string& path, int line, int depth) {
    const bool called = take('(');
    if (is_elementwise(name)) {
      if (called) read_arguments(name);
      return {Layer(Elementwise{name}, path)};
    }
    if (const auto reader = readers().find(name); reader != readers().end()) {
      Call call(name, called ? read_arguments(name) : std::string_view(), line);
      return {Layer(std::visit([&](auto kind) { return Layer(std::move(kind), path); }, reader->second(call)))};
    }
    if (!called || !is_container()) refuse(name, line);
    if (has_hidden_branches(name)) {
      fail(line,
           fmt::format("the print of {} does not show how its branches join: export the model to ONNX and use --model",
                       name));
    }
    Children children;
    std::vector<Layer> layers = read_items(path, depth + 1, is_sequence(name) ? nullptr : &children);
    if (!take(')')) fail(line, fmt::format("the brackets of {} are not closed", name));
    if (children.has_shortcut || name == "BasicBlock" || name == "Bottleneck") {
      return {Layer(Residual{std::move(layers), std::move(children.shortcut)}, path)};
    }
    if (!is_sequence(name) && std::ranges::find(assumed_, name) == assumed_.end()) assumed_.push_back(name);
    return layers;
  }

  /// True if layers follow, and not the arguments of a layer.
  bool is_container() const {
    std::size_t i = at_;
    while (i < text_.size() && std::isspace(static_cast<unsigned char>(text_[i])) != 0) ++i;
    if (i >= text_.size() || text_[i] == ')' || text_[i] == '#') return true;
    if (text_[i] == '(') return text_.find("):", i) != std::string_view::npos;
    std::size_t end = i;
    while (end < text_.size() && (is_word(text_[end]) || text_[end] == '.')) ++end;
    return end > i && std::isalpha(static_cast<unsigned char>(text_[i])) != 0 && end < text_.size() &&
           text_[end] == '(';
  }

  [[noreturn]] static void refuse(const std::string& name, int line) {
    if (name == "class" || name == "def" || name == "import" || name == "super" || name == "return") {
      fail(line, "this is the program's text: give what print(model) shows, or the layers alone");
    }
    std::string known;
    for (const auto& [layer, reader] : readers()) known += known.empty() ? layer : ", " + layer;
    fail(line,
         fmt::format("does not know the shapes of {}; known are {}, and activations and dropout. For any other model: "
                     "export it to ONNX and use --model",
                     name, known));
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int line_ = 1;
  std::vector<std::string> assumed_;
};

}  // namespace

LayerList parse_layers(std::string_view text) {
  if (text.size() > longest_text) throw ConfigError("layers", "expected layers, received more than 4 MB of text");
  return Parser(text).parse();
}

}  // namespace muster
