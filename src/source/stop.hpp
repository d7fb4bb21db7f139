// Reads that are told to stop: all of them end in the same error.
#pragma once

#include <stop_token>

#include "muster/error.hpp"

namespace muster {

[[noreturn]] inline void fail_stopped() { throw SourceError("read", "stopped"); }

/// Throws SourceError if `stop` was requested.
inline void expect_no_stop(const std::stop_token& stop) {
  if (stop.stop_requested()) fail_stopped();
}

}  // namespace muster
