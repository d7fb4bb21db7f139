#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "muster/error.hpp"
#include "muster/tar.hpp"
#include "source/text.hpp"

namespace muster {
namespace {

constexpr std::size_t max_paths = 1'000'000;

/// "007..012"
struct NumberRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::size_t num_digits = 0;  // at least so many
};

std::optional<NumberRange> parse_range(std::string_view text) {
  const std::size_t dots = text.find("..");
  if (dots == std::string_view::npos) return std::nullopt;
  const auto first = parse_number(text.substr(0, dots));
  const auto last = parse_number(text.substr(dots + 2));
  if (!first || !last || *first > *last) return std::nullopt;
  return NumberRange{*first, *last, text.starts_with('0') ? dots : 0};
}

}  // namespace

std::vector<std::string> shard_paths(std::string_view pattern) {
  const auto refuse = [&](const std::string& received) {
    throw ConfigError("shard paths", fmt::format("expected a range of numbers in braces, as {{000..146}}, received {} "
                                                 "in \"{}\"",
                                                 received, pattern));
  };
  std::vector<std::string> paths{std::string()};
  for (std::string_view rest = pattern; !rest.empty();) {
    const std::size_t open = std::min(rest.find('{'), rest.size());
    for (std::string& path : paths) path += rest.substr(0, open);
    rest.remove_prefix(open);
    if (rest.empty()) break;
    const std::size_t close = rest.find('}');
    if (close == std::string_view::npos) refuse("a brace that is never closed");
    const auto range = parse_range(rest.substr(1, close - 1));
    if (!range) refuse(fmt::format("\"{}\"", rest.substr(0, close + 1)));
    rest.remove_prefix(close + 1);
    if (range->last - range->first >= max_paths / paths.size()) {
      throw ConfigError("shard paths",
                        fmt::format("expected at most {} paths, received more from \"{}\"", max_paths, pattern));
    }
    std::vector<std::string> longer;
    for (const std::string& path : paths) {
      for (std::uint64_t i = 0; i <= range->last - range->first; ++i) {  // the last may be the largest number there is
        longer.push_back(path + fmt::format("{:0{}}", range->first + i, range->num_digits));
      }
    }
    paths = std::move(longer);
  }
  return paths;
}

}  // namespace muster
