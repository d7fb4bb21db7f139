#include "muster/source.hpp"

#include <algorithm>

#include "source/hash.hpp"

namespace muster {

void Sample::clear() noexcept {
  bytes.clear();
  image.reset();
  label = 0;
}

void Sample::expect_bytes(std::uint64_t num_bytes) {
  if (budget != nullptr) budget->reserve(num_bytes);
}

void Source::read_async(std::uint64_t id, Sample& sample, std::stop_token stop,
                        // Others keep it. NOLINTNEXTLINE(performance-unnecessary-value-param)
                        std::function<void(std::exception_ptr)> done) const {
  std::exception_ptr error;
  try {
    read(id, sample, std::move(stop));
  } catch (...) {
    error = std::current_exception();
  }
  done(error);
}

const std::vector<std::string>& Source::classes() const {
  static const std::vector<std::string> no_names;
  return no_names;
}

Fingerprint Source::fingerprint() const {
  constexpr std::uint64_t max_names = 1024;
  const std::uint64_t num_samples = size();
  const std::uint64_t num_names = std::min(num_samples, max_names);
  ContentHash names;
  names.add(num_samples);
  for (std::uint64_t i = 0; i < num_names; ++i) {
    names.add(name(i * (num_samples / num_names)));  // evenly spread
  }
  return {.names = names.value(), .labels = 0};
}

}  // namespace muster
