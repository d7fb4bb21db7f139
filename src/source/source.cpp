#include "muster/source.hpp"

namespace muster {

void Sample::clear() noexcept {
  bytes.clear();
  image.reset();
  label = 0;
}

const std::vector<std::string>& Source::classes() const {
  static const std::vector<std::string> no_names;
  return no_names;
}

}  // namespace muster
