// What ImageFolder and CsvList hold: names and labels of many files, without an allocation for each.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "muster/source.hpp"

namespace muster {

struct FileListing {
  std::vector<std::string> classes;      // by label; empty when labels have no names
  std::vector<std::int64_t> labels;      // one for each file
  std::vector<std::uint64_t> ends = {};  // one for each file: where its name ends in `names`
  std::string names;                     // one after the other: paths relative to the root, with '/'

  std::uint64_t size() const noexcept { return labels.size(); }
  void add(std::string_view name, std::int64_t label);
  /// Adds folder/name.
  void add(std::string_view folder, std::string_view name, std::int64_t label);
  void shrink_to_fit();

  /// Both throw SourceError unless id < size().
  std::string_view name(std::uint64_t id) const;
  std::int64_t label(std::uint64_t id) const;

  /// Goes over everything: 20 ms for a million files.
  Fingerprint fingerprint() const;
};

/// Throws SourceError unless id < size.
void expect_id(std::uint64_t id, std::uint64_t size);

}  // namespace muster
