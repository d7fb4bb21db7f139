// A layer as text: its name and its arguments, as Python calls it.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "muster/trace.hpp"

namespace muster {

/// Throws ConfigError, "[layers] line 3: ...".
[[noreturn]] void fail_at(int line, const std::string& message);

bool is_space(char c);
bool is_word(char c);
std::string_view trim(std::string_view text);

/// The brackets and the quotes that are open where text was read so far.
class Nesting {
 public:
  void read(char c);
  bool is_open() const { return depth_ != 0 || quote_ != 0; }

 private:
  int depth_ = 0;
  char quote_ = 0;
};

/// Arguments by position or by name. Whatever cannot be read as asked for throws ConfigError with the line.
class Call {
 public:
  Call(std::string name, std::string_view arguments, int line);

  const std::string& name() const { return name_; }
  const std::vector<std::string>& positional() const { return positional_; }
  [[noreturn]] void fail(const std::string& message) const { fail_at(line_, message); }

  /// Names the parameters in order; what is not among them or given twice is refused.
  void expect(std::initializer_list<std::string_view> parameters);

  bool has(std::string_view parameter) const { return find(parameter) != nullptr; }
  /// Without a fallback the parameter must be given.
  std::int64_t number(std::string_view parameter, std::optional<std::int64_t> fallback = {}) const;
  PerAxis per_axis(std::string_view parameter, std::optional<PerAxis> fallback = {}) const;
  /// A number, or the same one for height and width.
  double real(std::string_view parameter) const;
  /// False where it is not given.
  bool boolean(std::string_view parameter) const;
  /// None where it is not given.
  WindowPadding padding() const;

  /// The elements of "(2, 3)", "[2, 3]" or "2".
  static std::vector<std::string_view> elements(std::string_view text);
  std::vector<std::string_view> list(std::string_view parameter) const { return elements(get(parameter)); }
  std::int64_t to_number(std::string_view text, std::string_view parameter) const;

 private:
  [[noreturn]] void refuse(std::string_view parameter, std::string_view wanted, std::string_view received) const;
  /// Null where it is not given, or None.
  const std::string* find(std::string_view parameter) const;
  const std::string& get(std::string_view parameter) const;

  std::string name_;
  int line_;
  std::vector<std::string> positional_;
  std::map<std::string, std::string, std::less<>> named_;
};

}  // namespace muster
