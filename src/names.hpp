// Names of enumerators: one table per enum serves name() and its inverse. And the nearest known name, for messages.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "muster/error.hpp"

namespace muster {

/// Number of single-character edits between two words (Levenshtein).
inline std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

/// The candidate nearest to `word`; `candidates` is a range of things that convert to string_view, not empty.
template <class Range>
std::string_view nearest_name(std::string_view word, const Range& candidates) {
  return *std::min_element(std::begin(candidates), std::end(candidates), [&](const auto& a, const auto& b) {
    return edit_distance(word, a) < edit_distance(word, b);
  });
}

template <class Enum, std::size_t N>
using NameTable = std::pair<Enum, std::string_view>[N];

template <class Enum, std::size_t N>
std::string_view name_in(const NameTable<Enum, N>& table, Enum value) noexcept {
  for (const auto& [known, text] : table) {
    if (known == value) return text;
  }
  return "?";
}

/// Throws ConfigError "[what] there is no 'text'; known: ..." for an unknown name.
template <class Enum, std::size_t N>
Enum value_in(const NameTable<Enum, N>& table, std::string_view what, std::string_view text) {
  std::string known_names;
  for (const auto& [known, known_name] : table) {
    if (known_name == text) return known;
    known_names += (known_names.empty() ? "" : ", ") + std::string(known_name);
  }
  throw ConfigError(std::string(what), "there is no '" + std::string(text) + "'; known: " + known_names);
}

}  // namespace muster
