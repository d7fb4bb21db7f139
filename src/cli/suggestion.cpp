#include "suggestion.hpp"

#include <algorithm>
#include <utility>

namespace muster::cli {
namespace {

/// Row by row of the table whose entry (i, k) is the distance of the first i letters of `a` from the first k of `b`.
std::size_t num_slips(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  for (std::size_t k = 0; k <= b.size(); ++k) row[k] = k;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::swap(before, above);
    std::swap(above, row);
    row[0] = i;
    for (std::size_t k = 1; k <= b.size(); ++k) {
      row[k] = std::min({above[k] + 1, row[k - 1] + 1, above[k - 1] + (a[i - 1] == b[k - 1] ? 0 : 1)});
      const bool changed_places = i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1];
      if (changed_places) row[k] = std::min(row[k], before[k - 2] + 1);
    }
  }
  return row[b.size()];
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string>& known) {
  const std::size_t num_letters = word.size() - std::min(word.find_first_not_of('-'), word.size());
  std::size_t fewest = std::max<std::size_t>(1, (num_letters + 1) / 3);
  std::string found;
  for (const std::string& candidate : known) {
    const std::size_t slips = num_slips(word, candidate);
    if (slips > fewest || (slips == fewest && !found.empty())) continue;
    found = candidate;
    fewest = slips;
  }
  return found;
}

}  // namespace muster::cli
