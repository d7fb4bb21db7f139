// Orientation: EXIF's eight ways to hold a camera, on windows and on pixels.
#pragma once

#include "muster/image.hpp"

namespace muster::codec {

/// The size after turning an image of size `stored`.
Size oriented_size(Size stored, int orientation) noexcept;

/// The part of the stored image that `window` of the turned image shows.
Rect stored_window(Size stored, const Rect& window, int orientation) noexcept;

/// `out` becomes `in` turned and mirrored, as PIL.ImageOps.exif_transpose does.
void turn(const ImageView& in, int orientation, Image& out);

}  // namespace muster::codec
