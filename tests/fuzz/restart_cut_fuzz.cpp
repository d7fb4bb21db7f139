// JPEGs cut at their restart markers: where the whole decodes without a complaint, the cut has its pixels.
#include "decode/jpeg_markers.hpp"
#include "decode/restart_cut.hpp"
#include "fuzz.hpp"

using namespace muster;
using namespace muster::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes bytes(data, size);
  const DecodeOptions as_stored{.apply_orientation = false};
  ImageInfo info;
  if (!accepts([&] { info = probe(bytes, as_stored, limits); }) || info.format != Format::jpeg) return 0;
  const Rect window = window_of(bytes, info.stored);
  codec::RestartCut cut;
  if (!codec::cut_restarts(bytes, codec::read_jpeg_markers(bytes), window, cut)) return 0;

  const Rect& shown = cut.shown;
  claim(shown.y >= 0 && shown.x >= 0 && shown.y + shown.height <= info.stored.height &&
            shown.x + shown.width <= info.stored.width,
        "a cut shows a part of the image");
  claim(window.y >= shown.y && window.x >= shown.x && window.y + window.height <= shown.y + shown.height &&
            window.x + window.width <= shown.x + shown.width,
        "a cut holds the window");
  claim(cut.bytes.size() <= 2 * bytes.size() + 1024, "a cut is not much longer than what it is cut from");

  Image whole;
  Decoder decoder(as_stored, limits, Integrity::full);
  if (!accepts([&] { decoder.decode(bytes, info, Rect::whole(info.stored), whole); })) return 0;
  Image part;
  claim(accepts([&] { Decoder(as_stored, limits).decode(bytes, info, window, part); }),
        "of an undamaged image every window decodes");
  claim(part == Image(whole.view().crop(window)), "a cut decodes to the pixels of the whole image");
  return 0;
}
