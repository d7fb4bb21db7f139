// EXIF blocks: an orientation, always.
#include "decode/exif.hpp"
#include "fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const int orientation = muster::codec::exif_orientation({data, size});
  muster::fuzz::claim(orientation >= 1 && orientation <= 8, "an orientation is 1 to 8");
  return 0;
}
