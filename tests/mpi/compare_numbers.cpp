// compare_numbers A B TOLERANCE: two texts are the same, but for numbers that differ by no more than the tolerance.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

std::vector<std::string> words_of(const char* path) {
  std::ifstream in(path);
  if (!in) {
    std::fprintf(stderr, "cannot read %s\n", path);
    std::exit(2);
  }
  return {std::istream_iterator<std::string>(in), {}};
}

/// A whole word as a number: decimal, or hexadecimal as std::hexfloat writes it. NaN for other words.
double number(const std::string& word) {
  char* end = nullptr;
  const double value = std::strtod(word.c_str(), &end);
  return *end == '\0' ? value : std::nan("");
}

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: compare_numbers A B TOLERANCE\n", stderr);
    return 2;
  }
  const std::vector<std::string> a = words_of(argv[1]);
  const std::vector<std::string> b = words_of(argv[2]);
  const double tolerance = number(argv[3]);
  if (a.empty() || a.size() != b.size()) {
    std::fprintf(stderr, "%zu words in %s, %zu in %s\n", a.size(), argv[1], b.size(), argv[2]);
    return 1;
  }
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i]) continue;
    const double difference = std::abs(number(a[i]) - number(b[i]));
    if (!(difference <= tolerance)) {
      std::fprintf(stderr, "word %zu: %s in %s, %s in %s\n", i, a[i].c_str(), argv[1], b[i].c_str(), argv[2]);
      return 1;
    }
    most = std::max(most, difference);
  }
  std::printf("%zu words; numbers differ by %g at most\n", a.size(), most);
  return 0;
}
