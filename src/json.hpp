// JSON as the library reads and writes it. Text comes from outside: it is bounded in depth, because values lie in each
// other on the stack, members are read or refused by name, and nothing of it is printed at full length.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace muster {

/// A value, and the values in it. nlohmann's parser and number formats do the work, its value type does not: to let go
/// of one of its lists takes memory, and ends the process where there is none.
class Json {
 public:
  struct Member;
  using List = std::vector<Json>;
  using Object = std::vector<Member>;  // in the order of the text; what was parsed has no name twice

  /// Values may lie in each other at most 64 deep (muster's own do 6). Throws ConfigError of `operation`: deeper, two
  /// members of one name in an object, or not valid JSON.
  static Json parse(std::string_view text, const std::string& operation);

  Json() noexcept;  // null
  Json(bool value) noexcept;
  Json(double value) noexcept;
  template <std::integral T>
  Json(T value);
  Json(std::string text) noexcept;
  Json(std::string_view text);
  Json(const char* text);
  Json(List list) noexcept;
  Json(Object object) noexcept;
  /// Null where there is nothing.
  template <class T>
  Json(const std::optional<T>& value);

  bool is_null() const noexcept;
  bool is_integer() const noexcept;
  const bool* boolean() const noexcept;  // these are null for other kinds of values
  const std::string* text() const noexcept;
  const List* list() const noexcept;
  const Object* object() const noexcept;
  std::optional<double> number() const noexcept;
  std::optional<std::int64_t> signed_integer() const noexcept;  // nothing outside its range as well
  std::optional<std::uint64_t> unsigned_integer() const noexcept;

  /// The member's value; null for what is no object or has none.
  const Json* find(std::string_view name) const noexcept;

  /// On one line. What is not UTF-8 is replaced.
  std::string dump() const;
  /// What a message says of it: the beginning of its text, in ASCII.
  std::string shown() const;
  /// "a list", "an object", or as shown().
  std::string described() const;

  friend bool operator==(const Json& a, const Json& b);

 private:
  class Builder;

  // Not trivially copied: where all alternatives are trivial, texts or vectors, libstdc++ 12 destroys what a copy that
  // failed for want of memory had not made.
  struct Null {
    Null() noexcept = default;
    Null(const Null&) noexcept {}  // NOLINT(modernize-use-equals-default)
    Null& operator=(const Null&) noexcept = default;
    friend bool operator==(const Null&, const Null&) { return true; }
  };

  void print(std::string& text, bool ascii) const;

  // Integers are unsigned where they can be, so that equal ones compare equal.
  std::variant<Null, bool, std::int64_t, std::uint64_t, double, std::string, List, Object> value_;
};

struct Json::Member {
  std::string name;
  Json value;

  friend bool operator==(const Member&, const Member&) = default;
};

template <std::integral T>
Json::Json(T value) : value_(static_cast<std::uint64_t>(value)) {
  if (std::cmp_less(value, 0)) value_ = static_cast<std::int64_t>(value);
}

template <class T>
Json::Json(const std::optional<T>& value) {
  if (value) *this = Json(*value);
}

/// A view of an object whose members are read by name. Throws ConfigErrors of `operation`, also for what is no object.
class JsonObject {
 public:
  JsonObject(const Json& json, std::string operation);

  /// A whole number from 0 to 2^64 - 1.
  std::uint64_t number(const char* name) const;
  std::string text(const char* name) const;
  const Json::List& list(const char* name) const;
  std::vector<std::string> texts(const char* name) const;
  const Json& value(const char* name) const;

  // Nothing where the member is absent, or null.
  std::optional<std::uint64_t> optional_number(const char* name) const;
  std::optional<std::string> optional_text(const char* name) const;

 private:
  const Json* find(const char* name) const;
  [[noreturn]] void refuse(const char* name, std::string_view expected, const Json* received) const;

  const Json& json_;
  std::string operation_;
};

}  // namespace muster
