// Options that are numbers, and what they may be.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "muster/error.hpp"

namespace muster {

/// Throws ConfigError unless value ≥ min. `option` as "HttpOptions::num_retries".
inline void expect_at_least(const std::string& operation, std::string_view option, std::int64_t value,
                            std::int64_t min) {
  if (value < min) {
    throw ConfigError(operation, fmt::format("expected {} of at least {}, received {}", option, min, value));
  }
}

}  // namespace muster
