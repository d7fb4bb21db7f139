// Layers as text: what print(model) of PyTorch shows, and what one writes by hand.
#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "muster/trace.hpp"
#include "trace/call.hpp"
#include "trace/catalog.hpp"

namespace muster {
namespace {

constexpr std::size_t longest_text = 4 << 20;
constexpr int deepest = 64;
constexpr std::size_t most_layers = 100000;

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  LayerList parse() {
    LayerList result;
    result.layers = read_items("", 0, nullptr);
    if (at_ < text_.size()) fail_at(line_, "a ')' without its '('");
    if (result.layers.empty()) {
      throw ConfigError("layers",
                        "expected layers, such as Conv2d(3, 16, 5) MaxPool2d(2) Flatten() Linear(44944, 10) or "
                        "a print(model), received nothing");
    }
    result.assumed = std::move(assumed_);
    return result;
  }

 private:
  /// Of a residual block, where the print shows one.
  using Shortcut = std::optional<std::vector<Layer>>;

  void skip_space() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '#') {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else if (is_space(c) || c == ',' || c == ';') {
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
    Nesting nesting;
    nesting.read('(');
    for (; at_ < text_.size(); ++at_) {
      line_ += text_[at_] == '\n' ? 1 : 0;
      nesting.read(text_[at_]);
      if (!nesting.is_open()) return text_.substr(from, at_++ - from);
    }
    fail_at(line, fmt::format("the brackets of {} are not closed", name));
  }

  /// "6 x ", as newer versions of PyTorch print layers that repeat; 1 where it does not stand.
  std::int64_t read_repetitions() {
    const std::size_t from = at_;
    std::size_t end = from;
    while (end < text_.size() && std::isdigit(static_cast<unsigned char>(text_[end])) != 0) ++end;
    if (end == from || text_.substr(end, 3) != " x ") return 1;
    std::int64_t times = 0;
    std::from_chars(text_.data() + from, text_.data() + end, times);
    if (times < 1 || times > 1000) fail_at(line_, "expected 1 to 1000 repetitions");
    at_ = end + 3;
    skip_space();
    return times;
  }

  /// Up to the end, or the bracket that closes their container; `shortcut` apart, if that may have one.
  std::vector<Layer> read_items(const std::string& path, int depth, Shortcut* shortcut) {
    if (depth > deepest) fail_at(line_, "the layers are nested too deeply");
    std::vector<Layer> layers;
    while (true) {
      skip_space();
      if (at_ >= text_.size() || text_[at_] == ')') return layers;
      std::string key = read_key();
      const std::int64_t times = read_repetitions();
      const int line = line_;
      std::string name = read_name();
      if (name.empty()) {
        fail_at(line, fmt::format("expected a layer, such as Conv2d(3, 16, 5), received '{}'",
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
        fail_at(line, "there are too many layers");
      if (shortcut != nullptr && (key == "downsample" || key == "shortcut")) {
        *shortcut = std::move(read);
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
    if (const LayerReader read = find_layer(name)) {
      Call call(name, called ? read_arguments(name) : std::string_view(), line);
      return {std::visit([&](auto kind) { return Layer(std::move(kind), path); }, read(call))};
    }
    if (!called || !is_container()) refuse(name, line);
    if (has_hidden_branches(name)) {
      fail_at(line, fmt::format(
                        "the print of {} does not show how its branches join: export the model to ONNX and use --model",
                        name));
    }
    Shortcut shortcut;
    std::vector<Layer> layers = read_items(path, depth + 1, is_sequence(name) ? nullptr : &shortcut);
    if (!take(')')) fail_at(line, fmt::format("the brackets of {} are not closed", name));
    if (shortcut || is_residual(name)) {
      return {Layer(Residual{std::move(layers), std::move(shortcut).value_or(std::vector<Layer>{})}, path)};
    }
    if (!is_sequence(name) && std::ranges::find(assumed_, name) == assumed_.end()) assumed_.push_back(name);
    return layers;
  }

  /// True if layers follow, and not the arguments of a layer.
  bool is_container() const {
    std::size_t i = at_;
    while (i < text_.size() && is_space(text_[i])) ++i;
    if (i >= text_.size() || text_[i] == ')' || text_[i] == '#') return true;
    if (text_[i] == '(') return text_.find("):", i) != std::string_view::npos;
    std::size_t end = i;
    while (end < text_.size() && (is_word(text_[end]) || text_[end] == '.')) ++end;
    return end > i && std::isalpha(static_cast<unsigned char>(text_[i])) != 0 && end < text_.size() &&
           text_[end] == '(';
  }

  [[noreturn]] static void refuse(const std::string& name, int line) {
    if (name == "class" || name == "def" || name == "import" || name == "super" || name == "return") {
      fail_at(line, "this is the program's text: give what print(model) shows, or the layers alone");
    }
    fail_at(line, fmt::format(
                      "does not know the shapes of {}; known are {}, and activations and dropout. For any other model: "
                      "export it to ONNX and use --model",
                      name, known_layers()));
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
