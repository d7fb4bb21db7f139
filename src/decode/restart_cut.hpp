// Restart-aware decoding: a window is cut out of the compressed stream before anything is decoded.
//
// Between two restart markers a baseline JPEG can be decoded without what comes before. Where the markers come every
// few MCUs, the segments that a window needs make a small JPEG of their own, whose pixels are those of the whole image
// and whose cost is in proportion to the window.
#pragma once

#include <cstdint>
#include <vector>

#include "jpeg_markers.hpp"

namespace muster::codec {

struct RestartCut {
  std::vector<std::uint8_t> bytes;  // a JPEG; capacity is reused
  Rect shown;                       // the part of the image that it holds: `window` and at least an MCU around it
};

/// Cuts `window` out of `bytes`, whose markers are `markers`. False, and `cut` is undefined, unless the file is usable:
/// a whole baseline JPEG of one scan that interleaves all components, with the right number of restart markers in the
/// right order, at an interval that divides the MCUs of a row; or if the cut would leave out next to nothing.
bool cut_restarts(Bytes bytes, const JpegMarkers& markers, const Rect& window, RestartCut& cut);

}  // namespace muster::codec
