// exp and log that give the same bits on every CPU. The C library picks variants with and without fused
// multiply-add at run time, which may differ in the last bit and so, rarely, in a drawn window. These use only
// IEEE operations that are exactly rounded everywhere; their relative error stays below 1e-13 for |x| ≤ 4.
#pragma once

#include <cmath>

namespace muster {

/// e^x for |x| up to some hundreds: Taylor's series on x / 2^k, squared k times.
inline double portable_exp(double x) {
  int halvings = 0;
  while (std::abs(x) > 0.03125) {
    x *= 0.5;
    ++halvings;
  }
  double sum = 1;
  for (int n = 12; n >= 1; --n) sum = 1 + sum * x / n;
  for (; halvings > 0; --halvings) sum *= sum;
  return sum;
}

/// ln x for x > 0: x = m · 2^e with m near 1, ln m = 2 artanh((m − 1) / (m + 1)) as a series.
inline double portable_log(double x) {
  constexpr double ln2 = 0.693147180559945309417232121458;
  int exponent = 0;
  double mantissa = std::frexp(x, &exponent);  // exact, in [0.5, 1)
  if (mantissa < 0.70710678118654752) {
    mantissa *= 2;
    --exponent;
  }
  const double t = (mantissa - 1) / (mantissa + 1);
  double sum = 0;
  for (int n = 41; n >= 1; n -= 2) sum = sum * t * t + 1.0 / n;
  return exponent * ln2 + 2 * t * sum;
}

}  // namespace muster
