// libjpeg and libpng report errors by longjmp, which must not cross a C++ frame that has something to destroy.
#pragma once

#include <csetjmp>
#include <type_traits>

namespace muster::codec {

/// Runs `step`; false if it left through std::longjmp(jump, 1). A step captures references only and keeps no
/// object with a destructor while it calls into the library.
template <class Step>
bool run_guarded(std::jmp_buf& jump, const Step& step) {
  static_assert(std::is_trivially_destructible_v<Step>);
  if (setjmp(jump) != 0) return false;
  step();
  return true;
}

}  // namespace muster::codec
