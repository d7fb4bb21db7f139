// The state of a loop as text: where it stands, and what it was reading, so that only the same thing goes on.
#pragma once

#include <string>
#include <string_view>

#include "loader/core.hpp"

namespace muster {

/// One line of JSON.
std::string state_of(const LoaderCore& core, const Position& position);
/// Where the state that is `text` goes on. Throws ConfigError: no state, or one of another data set, pipeline, order or
/// batch.
Position position_of(const LoaderCore& core, std::string_view text);

}  // namespace muster
