// JSON that came from outside: members are read, or refused by name. It is bounded in depth, because copying and
// printing values takes stack for every level, and nothing of it is printed at full length.
#pragma once

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "muster/error.hpp"

namespace muster {

/// Parses text whose values lie in each other at most 64 deep; muster's own do 6. Calls watch(event, value) as
/// nlohmann's parser_callback_t, without the depth. Throws ConfigError: deeper, or not valid JSON; and what `watch`
/// throws.
template <class Json, class Watch>
Json parse_json(std::string_view text, const std::string& operation, Watch watch) {
  constexpr int max_depth = 64;
  using Event = typename Json::parse_event_t;
  const auto bounded = [&](int depth, Event event, Json& value) {
    if (depth >= max_depth && (event == Event::object_start || event == Event::array_start)) {
      throw ConfigError(operation, fmt::format("expected JSON at most {} levels deep, received more", max_depth));
    }
    watch(event, value);
    return true;
  };
  try {
    return Json::parse(text, bounded);
  } catch (const typename Json::exception& error) {
    throw ConfigError(operation, std::string("not valid JSON: ") + error.what());
  }
}

template <class Json>
Json parse_json(std::string_view text, const std::string& operation) {
  return parse_json<Json>(text, operation, [](auto, const Json&) {});
}

/// What a message says of a value: the beginning of its text, in ASCII.
template <class Json>
std::string shown_json(const Json& json) {
  constexpr std::size_t max_length = 60;
  const std::string text = json.dump(-1, ' ', true, Json::error_handler_t::replace);
  return text.size() <= max_length ? text : text.substr(0, max_length) + "...";
}

/// A view of an object; `operation` is that of the ConfigErrors.
class JsonObject {
 public:
  using Json = nlohmann::json;

  /// As parse_json().
  static Json parse(std::string_view text, const std::string& operation) { return parse_json<Json>(text, operation); }

  JsonObject(const Json& json, std::string operation) : json_(json), operation_(std::move(operation)) {
    if (!json.is_object()) {
      throw ConfigError(operation_, fmt::format("expected an object, received {}", describe(json)));
    }
  }

  /// A whole number from 0 to 2^64 - 1.
  std::uint64_t number(const char* name) const {
    return required(name, optional_number(name), "a whole number from 0 to 2^64 - 1");
  }
  std::string text(const char* name) const { return required(name, optional_text(name), "a text"); }
  const Json& list(const char* name) const {
    const Json* value = find(name);
    if (value == nullptr || !value->is_array()) refuse(name, "a list", value);
    return *value;
  }

  // Nothing where the member is absent, or null.
  std::optional<std::uint64_t> optional_number(const char* name) const {
    const Json* value = find(name);
    if (value == nullptr) return std::nullopt;
    if (!value->is_number_unsigned()) refuse(name, "a whole number from 0 to 2^64 - 1", value);
    return value->get<std::uint64_t>();
  }
  std::optional<std::string> optional_text(const char* name) const {
    const Json* value = find(name);
    if (value == nullptr) return std::nullopt;
    if (!value->is_string()) refuse(name, "a text", value);
    return value->get<std::string>();
  }

 private:
  const Json* find(const char* name) const {
    const auto member = json_.find(name);
    return member == json_.end() || member->is_null() ? nullptr : &*member;
  }

  template <class T>
  T required(const char* name, std::optional<T> value, std::string_view expected) const {
    if (!value) refuse(name, expected, nullptr);
    return *std::move(value);
  }

  [[noreturn]] void refuse(const char* name, std::string_view expected, const Json* received) const {
    throw ConfigError(operation_, fmt::format("\"{}\": expected {}, received {}", name, expected,
                                              received == nullptr ? "nothing" : describe(*received)));
  }

  static std::string describe(const Json& json) {
    if (json.is_array()) return "a list";
    if (json.is_object()) return "an object";
    return shown_json(json);
  }

  const Json& json_;
  std::string operation_;
};

}  // namespace muster
