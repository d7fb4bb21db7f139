#include "trace/call.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <system_error>
#include <utility>

#include <fmt/format.h>

namespace muster {
namespace {

/// Splits at the commas outside of brackets and quotes.
std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> parts;
  Nesting nesting;
  std::size_t from = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size()) nesting.read(text[i]);
    if (i < text.size() && (text[i] != ',' || nesting.is_open())) continue;
    if (const std::string_view part = trim(text.substr(from, i - from)); !part.empty()) parts.push_back(part);
    from = i + 1;
  }
  return parts;
}

/// The whole text as a number; nothing if it is none.
template <class Number>
std::optional<Number> read_number(std::string_view text) {
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

}  // namespace

void fail_at(int line, const std::string& message) {
  throw ConfigError("layers", fmt::format("line {}: {}", line, message));
}

bool is_space(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }
bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

void Nesting::read(char c) {
  if (quote_ != 0) {
    if (c == quote_) quote_ = 0;
  } else if (c == '\'' || c == '"') {
    quote_ = c;
  } else if (c == '(' || c == '[') {
    ++depth_;
  } else if (c == ')' || c == ']') {
    --depth_;
  }
}

Call::Call(std::string name, std::string_view arguments, int line) : name_(std::move(name)), line_(line) {
  for (const std::string_view part : split(arguments)) {
    const std::size_t equals = part.find('=');
    const std::string_view key = trim(part.substr(0, equals));
    if (equals != std::string_view::npos && std::ranges::all_of(key, is_word)) {
      if (!named_.emplace(key, trim(part.substr(equals + 1))).second)
        fail(fmt::format("{} receives {} twice", name_, key));
    } else {
      positional_.emplace_back(part);
    }
  }
}

void Call::expect(std::initializer_list<std::string_view> parameters) {
  if (positional_.size() > parameters.size()) {
    fail(fmt::format("{} takes {} arguments, received {}", name_, parameters.size(), positional_.size()));
  }
  for (std::size_t i = 0; i < positional_.size(); ++i) {
    if (!named_.emplace(parameters.begin()[i], positional_[i]).second) {
      fail(fmt::format("{} receives {} twice", name_, parameters.begin()[i]));
    }
  }
  for (const auto& [key, value] : named_) {
    if (std::ranges::find(parameters, key) == parameters.end()) {
      fail(fmt::format("{} has no parameter {}; it has {}", name_, key, fmt::join(parameters, ", ")));
    }
  }
}

std::int64_t Call::number(std::string_view parameter, std::optional<std::int64_t> fallback) const {
  return fallback && !has(parameter) ? *fallback : to_number(get(parameter), parameter);
}

PerAxis Call::per_axis(std::string_view parameter, std::optional<PerAxis> fallback) const {
  if (fallback && !has(parameter)) return *fallback;
  const std::vector<std::string_view> parts = list(parameter);
  if (parts.size() == 1) return to_number(parts[0], parameter);
  if (parts.size() != 2) refuse(parameter, "a number or (height, width)", get(parameter));
  return {to_number(parts[0], parameter), to_number(parts[1], parameter)};
}

double Call::real(std::string_view parameter) const {
  const std::vector<std::string_view> parts = list(parameter);
  const std::optional<double> value = parts.empty() ? std::nullopt : read_number<double>(parts.front());
  const bool alike = std::ranges::all_of(parts, [&](std::string_view part) { return part == parts.front(); });
  if (!value || !alike) refuse(parameter, "a number", get(parameter));
  return *value;
}

bool Call::boolean(std::string_view parameter) const {
  const std::string* text = find(parameter);
  if (text == nullptr || *text == "False" || *text == "false" || *text == "0") return false;
  if (*text != "True" && *text != "true" && *text != "1") refuse(parameter, "True or False", *text);
  return true;
}

WindowPadding Call::padding() const {
  if (!has("padding")) return 0;
  std::string_view word = get("padding");
  while (!word.empty() && (word.front() == '\'' || word.front() == '"')) word.remove_prefix(1);
  while (!word.empty() && (word.back() == '\'' || word.back() == '"')) word.remove_suffix(1);
  if (word == "same" || word == "valid") return word;
  const PerAxis sides = per_axis("padding");
  return {sides.height, sides.width};
}

std::vector<std::string_view> Call::elements(std::string_view text) {
  if (text.size() >= 2 &&
      ((text.front() == '(' && text.back() == ')') || (text.front() == '[' && text.back() == ']'))) {
    text = text.substr(1, text.size() - 2);
  }
  return split(text);
}

std::int64_t Call::to_number(std::string_view text, std::string_view parameter) const {
  const std::optional<std::int64_t> value = read_number<std::int64_t>(text);
  if (!value) refuse(parameter, "a whole number", text);
  return *value;
}

void Call::refuse(std::string_view parameter, std::string_view wanted, std::string_view received) const {
  fail(fmt::format("{}: {}: expected {}, received {}", name_, parameter, wanted, received.substr(0, 80)));
}

const std::string* Call::find(std::string_view parameter) const {
  const auto found = named_.find(parameter);
  return found == named_.end() || found->second == "None" ? nullptr : &found->second;
}

const std::string& Call::get(std::string_view parameter) const {
  const std::string* text = find(parameter);
  if (text == nullptr) fail(fmt::format("{} needs {}", name_, parameter));
  return *text;
}

}  // namespace muster
