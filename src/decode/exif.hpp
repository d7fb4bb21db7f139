// EXIF: the orientation, and nothing else.
#pragma once

#include "muster/decode.hpp"

namespace muster::codec {

/// The orientation that Pillow's exif_transpose finds in an EXIF block (a TIFF header and its first directory, with
/// or without "Exif\0\0" before it): 1 ... 8, and 1 for anything absent, damaged or out of range.
int exif_orientation(Bytes exif) noexcept;

}  // namespace muster::codec
