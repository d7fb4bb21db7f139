// The version: major.minor.patch, semantic versioning. No ABI promise before 1.0.
#pragma once

#include <string_view>

#define MUSTER_VERSION_MAJOR 0
#define MUSTER_VERSION_MINOR 1
#define MUSTER_VERSION_PATCH 0

namespace [[gnu::visibility("default")]] muster {

#define MUSTER_VERSION_TEXT_OF(major, minor, patch) #major "." #minor "." #patch
#define MUSTER_VERSION_TEXT(major, minor, patch) MUSTER_VERSION_TEXT_OF(major, minor, patch)
inline constexpr std::string_view version =
    MUSTER_VERSION_TEXT(MUSTER_VERSION_MAJOR, MUSTER_VERSION_MINOR, MUSTER_VERSION_PATCH);
#undef MUSTER_VERSION_TEXT
#undef MUSTER_VERSION_TEXT_OF

}  // namespace muster
