// Chi-square tests against the uniform distribution. Draws are keyed, so a test's statistic never changes.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace muster::test {

/// Of counts that should all be equal.
inline double chi_square(const std::vector<std::uint64_t>& counts) {
  double total = 0;
  for (const std::uint64_t count : counts) total += static_cast<double>(count);
  const double expected = total / static_cast<double>(counts.size());
  double statistic = 0;
  for (const std::uint64_t count : counts) {
    const double difference = static_cast<double>(count) - expected;
    statistic += difference * difference / expected;
  }
  return statistic;
}

/// What a fair statistic exceeds once in 30,000: the cube of a normal variable, four deviations out (Wilson and
/// Hilferty, "The distribution of chi-square", 1931).
inline double chi_square_bound(double degrees_of_freedom) {
  const double variance = 2 / (9 * degrees_of_freedom);
  return degrees_of_freedom * std::pow(1 - variance + 4 * std::sqrt(variance), 3);
}

/// The same from below: draws that are too even are not random either.
inline double chi_square_lower_bound(double degrees_of_freedom) {
  const double variance = 2 / (9 * degrees_of_freedom);
  return degrees_of_freedom * std::pow(std::fmax(1 - variance - 4 * std::sqrt(variance), 0), 3);
}

}  // namespace muster::test
