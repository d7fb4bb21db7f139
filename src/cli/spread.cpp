#include "spread.hpp"

#include <algorithm>
#include <numeric>

namespace muster::cli {

Spread spread_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  const double median = values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  return {values.front(), median, sum / static_cast<double>(values.size()), values.back()};
}

}  // namespace muster::cli
