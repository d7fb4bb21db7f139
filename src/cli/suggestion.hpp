// What a word that nobody knows may have been meant to be.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace muster::cli {

/// The one of `known` that takes the fewest slips to become `word`: a letter too many, missing, another, or two that
/// changed places. Empty if even that takes more than one for about every three letters.
std::string nearest(std::string_view word, const std::vector<std::string>& known);

}  // namespace muster::cli
