// The library's messages name the options of C++; people at a shell have flags.
#pragma once

#include <string>

namespace muster::cli {

/// `message` with the program's flag for every option of the library that has one; the others are said to be in C++
/// only.
std::string with_flags(std::string message);

}  // namespace muster::cli
