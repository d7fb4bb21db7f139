// The version: major.minor.patch, semantic versioning. No ABI promise before 1.0.
#pragma once

#include <string_view>

#define MUSTER_VERSION_MAJOR 0
#define MUSTER_VERSION_MINOR 1
#define MUSTER_VERSION_PATCH 0

namespace muster {

inline constexpr std::string_view version = "0.1.0";

}  // namespace muster
