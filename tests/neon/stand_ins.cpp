// In place of libraries that are not there: Highway's, which says what the processor can do, and those of the codecs.
#include <hwy/targets.h>

#include "decode/codec.hpp"

namespace hwy {
namespace {

std::int64_t mocked_targets = 0;

}  // namespace

std::int64_t SupportedTargets() { return mocked_targets != 0 ? mocked_targets : HWY_NEON; }

void SetSupportedTargetsForTest(std::int64_t targets) { mocked_targets = targets; }

ChosenTarget& GetChosenTarget() {
  static ChosenTarget chosen;
  return chosen;
}

}  // namespace hwy

namespace muster::codec {
namespace {

[[noreturn]] void fail_absent(Format format) { fail(format, "the library of this format is not there"); }

}  // namespace

Header probe_jpeg(Bytes, JpegMarkers&) { fail_absent(Format::jpeg); }
Header probe_png(Bytes) { fail_absent(Format::png); }
Header probe_tiff(Bytes) { fail_absent(Format::tiff); }
Header probe_webp(Bytes) { fail_absent(Format::webp); }

Decoded decode_jpeg(const Job&, Scratch&, Image&) { fail_absent(Format::jpeg); }
std::string decode_png(const Job&, Scratch&, Image&) { fail_absent(Format::png); }
std::string decode_tiff(const Job&, Scratch&, Image&) { fail_absent(Format::tiff); }
std::string decode_webp(const Job&, Scratch&, Image&) { fail_absent(Format::webp); }

}  // namespace muster::codec
