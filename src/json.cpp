#include "json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "muster/error.hpp"

namespace muster {
namespace {

constexpr std::string_view whole_number = "a whole number from 0 to 2^64 - 1";

/// A number or a text: these two of nlohmann's values are let go of without taking memory.
template <class T>
void print_scalar(std::string& out, const T& value, bool ascii) {
  out += nlohmann::json(value).dump(-1, ' ', ascii, nlohmann::json::error_handler_t::replace);
}

/// The beginning of a text that may be of any length.
std::string begun(std::string text, std::size_t max_length) {
  if (text.size() <= max_length) return text;
  text.resize(max_length);
  return text + "...";
}

}  // namespace

/// Puts together what the parser comes across.
class Json::Builder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  Builder(Json& root, const std::string& operation) : root_(root), operation_(operation) {}

  bool null() override { return put({}); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t&) override { return put(value); }
  bool string(string_t& text) override { return put(std::move(text)); }
  bool binary(binary_t&) override { return false; }  // not in text
  bool start_object(std::size_t) override { return open(Object()); }
  bool start_array(std::size_t) override { return open(List()); }
  bool end_array() override { return close(); }

  bool end_object() override {
    std::vector<std::string_view> names;
    for (const Member& member : *open_.back()->object()) names.push_back(member.name);
    std::ranges::sort(names);
    if (const auto twice = std::ranges::adjacent_find(names); twice != names.end()) {
      throw ConfigError(operation_, Json(*twice).shown() + " stands twice in one object");
    }
    return close();
  }

  bool key(string_t& name) override {
    name_ = std::move(name);
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception& error) override {
    constexpr std::size_t max_length = 300;  // it repeats what it stumbled over
    throw ConfigError(operation_, "not valid JSON: " + begun(error.what(), max_length));
  }

 private:
  bool put(Json value) {
    place(std::move(value));
    return true;
  }

  bool open(Json container) {
    constexpr std::size_t max_depth = 64;
    if (open_.size() >= max_depth) {
      throw ConfigError(operation_, fmt::format("expected JSON at most {} levels deep, received more", max_depth));
    }
    open_.push_back(&place(std::move(container)));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  /// Where it lies it stays until what it is in is closed.
  Json& place(Json value) {
    if (open_.empty()) return root_ = std::move(value);
    Json& parent = *open_.back();
    if (auto* const list = std::get_if<List>(&parent.value_)) return list->emplace_back(std::move(value));
    auto& object = std::get<Object>(parent.value_);
    return object.emplace_back(Member{std::move(name_), std::move(value)}).value;
  }

  Json& root_;
  const std::string& operation_;
  std::vector<Json*> open_;  // from the outermost
  std::string name_;         // of the member that comes next
};

Json Json::parse(std::string_view text, const std::string& operation) {
  Json json;
  Builder builder(json, operation);
  nlohmann::json::sax_parse(text, &builder);
  return json;
}

Json::Json() noexcept = default;
Json::Json(bool value) noexcept : value_(value) {}
Json::Json(double value) noexcept : value_(value) {}
Json::Json(std::string text) noexcept : value_(std::move(text)) {}
Json::Json(std::string_view text) : value_(std::string(text)) {}
Json::Json(const char* text) : value_(std::string(text)) {}
Json::Json(List list) noexcept : value_(std::move(list)) {}
Json::Json(Object object) noexcept : value_(std::move(object)) {}

bool Json::is_null() const noexcept { return std::holds_alternative<Null>(value_); }
bool Json::is_integer() const noexcept {
  return std::holds_alternative<std::int64_t>(value_) || std::holds_alternative<std::uint64_t>(value_);
}
const bool* Json::boolean() const noexcept { return std::get_if<bool>(&value_); }
const std::string* Json::text() const noexcept { return std::get_if<std::string>(&value_); }
const Json::List* Json::list() const noexcept { return std::get_if<List>(&value_); }
const Json::Object* Json::object() const noexcept { return std::get_if<Object>(&value_); }

std::optional<double> Json::number() const noexcept {
  if (const auto* value = std::get_if<double>(&value_)) return *value;
  if (const auto* value = std::get_if<std::int64_t>(&value_)) return static_cast<double>(*value);
  if (const auto* value = std::get_if<std::uint64_t>(&value_)) return static_cast<double>(*value);
  return std::nullopt;
}

std::optional<std::int64_t> Json::signed_integer() const noexcept {
  if (const auto* value = std::get_if<std::int64_t>(&value_)) return *value;
  const auto* value = std::get_if<std::uint64_t>(&value_);
  if (value == nullptr || !std::in_range<std::int64_t>(*value)) return std::nullopt;
  return static_cast<std::int64_t>(*value);
}

std::optional<std::uint64_t> Json::unsigned_integer() const noexcept {
  const auto* value = std::get_if<std::uint64_t>(&value_);
  return value == nullptr ? std::nullopt : std::optional(*value);
}

const Json* Json::find(std::string_view name) const noexcept {
  const Object* const members = object();
  if (members == nullptr) return nullptr;
  for (const Member& member : *members) {
    if (member.name == name) return &member.value;
  }
  return nullptr;
}

std::string Json::dump() const {
  std::string text;
  print(text, false);
  return text;
}

std::string Json::shown() const {
  constexpr std::size_t max_length = 60;
  std::string text;
  print(text, true);
  return begun(std::move(text), max_length);
}

std::string Json::described() const {
  if (list() != nullptr) return "a list";
  if (object() != nullptr) return "an object";
  return shown();
}

void Json::print(std::string& text, bool ascii) const {
  const auto print_all = [&](const auto& elements, char open, char close, const auto& print_one) {
    text += open;
    for (const auto& element : elements) {
      if (&element != &elements.front()) text += ',';
      print_one(element);
    }
    text += close;
  };
  if (const List* const elements = list()) {
    print_all(*elements, '[', ']', [&](const Json& element) { element.print(text, ascii); });
  } else if (const Object* const members = object()) {
    print_all(*members, '{', '}', [&](const Member& member) {
      print_scalar(text, member.name, ascii);
      text += ':';
      member.value.print(text, ascii);
    });
  } else {
    std::visit(
        [&]<class T>(const T& value) {
          if constexpr (std::is_same_v<T, Null>) {
            text += "null";
          } else if constexpr (!std::is_same_v<T, List> && !std::is_same_v<T, Object>) {
            print_scalar(text, value, ascii);
          }
        },
        value_);
  }
}

bool operator==(const Json& a, const Json& b) { return a.value_ == b.value_; }

JsonObject::JsonObject(const Json& json, std::string operation) : json_(json), operation_(std::move(operation)) {
  if (json.object() == nullptr) {
    throw ConfigError(operation_, fmt::format("expected an object, received {}", json.described()));
  }
}

std::uint64_t JsonObject::number(const char* name) const {
  const auto number = optional_number(name);
  if (!number) refuse(name, whole_number, nullptr);
  return *number;
}

std::string JsonObject::text(const char* name) const {
  auto text = optional_text(name);
  if (!text) refuse(name, "a text", nullptr);
  return *std::move(text);
}

const Json::List& JsonObject::list(const char* name) const {
  const Json* const value = find(name);
  if (value == nullptr || value->list() == nullptr) refuse(name, "a list", value);
  return *value->list();
}

std::vector<std::string> JsonObject::texts(const char* name) const {
  std::vector<std::string> texts;
  for (const Json& element : list(name)) {
    if (element.text() == nullptr) refuse(name, "a list of texts, and no others,", &element);
    texts.push_back(*element.text());
  }
  return texts;
}

const Json& JsonObject::value(const char* name) const {
  const Json* const value = find(name);
  if (value == nullptr) refuse(name, "a value", nullptr);
  return *value;
}

std::optional<std::uint64_t> JsonObject::optional_number(const char* name) const {
  const Json* const value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->unsigned_integer()) refuse(name, whole_number, value);
  return value->unsigned_integer();
}

std::optional<std::string> JsonObject::optional_text(const char* name) const {
  const Json* const value = find(name);
  if (value == nullptr) return std::nullopt;
  if (value->text() == nullptr) refuse(name, "a text", value);
  return *value->text();
}

const Json* JsonObject::find(const char* name) const {
  const Json* const value = json_.find(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

void JsonObject::refuse(const char* name, std::string_view expected, const Json* received) const {
  throw ConfigError(operation_, fmt::format("\"{}\": expected {}, received {}", name, expected,
                                            received == nullptr ? "nothing" : received->described()));
}

}  // namespace muster
