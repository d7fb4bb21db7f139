// Every format: what decodes whole decodes by window to the same pixels, whatever the bytes are.
#include "fuzz.hpp"

using namespace muster;
using namespace muster::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes bytes(data, size);
  const DecodeOptions options{.color = size % 2 == 0 ? Color::rgb : Color::grey, .apply_orientation = size % 3 != 0};
  ImageInfo info;
  if (!accepts([&] { info = probe(bytes, options, limits); })) return 0;
  claim(info.size.height >= 1 && info.size.width >= 1, "a header that is accepted has a size");
  claim(info.size.height * info.size.width <= limits.max_pixels, "a header that is accepted is within the limits");

  const Rect window = window_of(bytes, info.size);
  Image part;
  Decoder decoder(options, limits, Integrity::window);
  const bool part_decodes = accepts([&] { decoder.decode(bytes, info, window, part); });
  Image lenient;
  accepts([&] { Decoder(options, limits, Integrity::lenient).decode(bytes, info, window, lenient); });
  Image whole;
  if (!accepts([&] { Decoder(options, limits, Integrity::full).decode(bytes, info, Rect::whole(info.size), whole); })) {
    return 0;
  }
  claim(part_decodes, "of an undamaged image every window decodes");
  claim(part == Image(whole.view().crop(window)), "a window has the pixels of the whole image");
  claim(lenient == part, "an undamaged image has the same pixels under every integrity");
  return 0;
}
