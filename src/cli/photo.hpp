// Made photographs: what a decoder and an eye take for one, from nothing but random numbers.
#pragma once

#include <cstdint>

#include "muster/image.hpp"
#include "muster/random.hpp"

namespace muster::cli {

/// RGB of the given size: a lit ground, a few shaded bodies in the colours of the class, and texture whose spectrum
/// falls like 1/f. A function of its arguments; thread-safe.
Image make_photo(Size size, std::uint64_t seed, std::uint64_t class_index, Rng& rng);

}  // namespace muster::cli
