// What some numbers have in common.
#pragma once

#include <vector>

namespace muster::cli {

/// Least, middle, greatest and mean of some numbers; zeros of none.
struct Spread {
  double min = 0;
  double median = 0;
  double mean = 0;
  double max = 0;
};

Spread spread_of(std::vector<double> values);

}  // namespace muster::cli
