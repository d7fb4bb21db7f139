// Windows cut out of the compressed stream: the pixels of the whole image, at the cost of the window.
#include <doctest/doctest.h>

#include "decode/restart_cut.hpp"
#include "jpeg.hpp"
#include "muster/decode.hpp"
#include "muster/random.hpp"
#include "support.hpp"

using namespace muster;
using namespace muster::test;

namespace {

Rect random_window(Rng& rng, Size size) {
  const std::int64_t height = rng.uniform_int(1, size.height);
  const std::int64_t width = rng.uniform_int(1, size.width);
  return {rng.uniform_int(0, size.height - height), rng.uniform_int(0, size.width - width), height, width};
}

bool cuts(const Data& bytes, const Rect& window) {
  codec::RestartCut cut;
  return codec::cut_restarts(bytes, codec::read_jpeg_markers(bytes), window, cut);
}

/// An interval of MCUs that divides the MCUs of a row.
int random_divisor(Rng& rng, std::int64_t mcus_per_row) {
  std::int64_t divisor = rng.uniform_int(1, mcus_per_row);
  while (mcus_per_row % divisor != 0) --divisor;
  return static_cast<int>(divisor);
}

}  // namespace

TEST_CASE("restart cut: a window has the bytes of the whole image, cropped, for every sampling and interval") {
  constexpr int samplings[][2] = {{1, 1}, {2, 1}, {2, 2}, {1, 2}, {4, 1}, {4, 2}};
  int num_cut = 0;
  int num_windows = 0;
  for (std::uint64_t trial = 0; trial < 400; ++trial) {
    CAPTURE(trial);
    Rng rng(77, 0, trial, Stream::synth);
    const Size size = {rng.uniform_int(1, 150), rng.uniform_int(1, 200)};
    const bool grey = rng.bernoulli(0.15);
    const auto& [horizontal, vertical] = samplings[rng.uniform_int(0, 5)];
    const std::int64_t mcu_width = grey ? 8 : 8 * horizontal;
    const JpegStyle style{.components = grey ? 1 : 3,
                          .horizontal = grey ? 1 : horizontal,
                          .vertical = grey ? 1 : vertical,
                          .restart_interval = random_divisor(rng, (size.width + mcu_width - 1) / mcu_width)};
    const Data bytes = write_jpeg(picture(size, grey ? 1 : 3, rng()), style);
    const Image whole = decode_window(bytes, Rect::whole(size), Integrity::full);
    for (int repeat = 0; repeat < 8; ++repeat, ++num_windows) {
      const Rect window = random_window(rng, size);
      num_cut += cuts(bytes, window);
      CHECK(decode_window(bytes, window) == Image(whole.view().crop(window)));
    }
  }
  CHECK(num_cut > num_windows / 3);
}

TEST_CASE("restart cut: the cut is in proportion to the window, and leaves EXIF and profiles behind") {
  const Size size = {320, 320};
  const Data bytes = write_jpeg(picture(size, 3, 5), {.restart_interval = 4, .orientation = 6});
  codec::RestartCut cut;
  REQUIRE(codec::cut_restarts(bytes, codec::read_jpeg_markers(bytes), {160, 160, 16, 16}, cut));
  CHECK(cut.shown == Rect{152, 128, 32, 64});
  CHECK(cut.bytes.size() < bytes.size() / 20);
  CHECK(codec::read_jpeg_markers(cut.bytes).exif.empty());
  CHECK(codec::read_jpeg_markers(cut.bytes).size == cut.shown.size());
}

TEST_CASE("restart cut: whatever does not fit takes the plain path") {
  const Size size = {96, 96};
  const Rect window = {40, 40, 8, 8};
  const Image image = picture(size, 3, 6);
  CHECK(cuts(write_jpeg(image, {.restart_interval = 4}), window));
  CHECK_FALSE(cuts(write_jpeg(image, {}), window));                                               // no markers
  CHECK_FALSE(cuts(write_jpeg(image, {.restart_interval = 5}), window));                          // 12 MCUs in a row
  CHECK_FALSE(cuts(write_jpeg(image, {.progressive = true, .restart_interval = 4}), window));     // many scans
  CHECK_FALSE(cuts(write_jpeg(image, {.separate_scans = true, .restart_interval = 4}), window));  // three scans
  CHECK_FALSE(cuts(write_jpeg(image, {.arithmetic = true, .restart_interval = 4}), window));
  CHECK_FALSE(cuts(write_jpeg(image, {.restart_interval = 4}), {0, 0, 8, 96}));  // nothing to leave out
}

TEST_CASE("restart cut: markers that are missing or out of order take the plain path, where libjpeg judges them") {
  const Data bytes = write_jpeg(picture({96, 96}, 3, 7), {.restart_interval = 4});
  const Rect window = {40, 40, 8, 8};
  const codec::JpegMarkers markers = codec::read_jpeg_markers(bytes);
  REQUIRE(markers.restarts.size() == 35);
  Data swapped = bytes;
  std::swap(swapped[markers.restarts[3] + 1], swapped[markers.restarts[4] + 1]);
  CHECK_FALSE(cuts(swapped, window));
  CHECK_THROWS_AS(decode_window(swapped, window), DecodeError);
  Data missing = bytes;
  missing.erase(missing.begin() + static_cast<std::ptrdiff_t>(markers.restarts[3]),
                missing.begin() + static_cast<std::ptrdiff_t>(markers.restarts[3] + 2));
  CHECK_FALSE(cuts(missing, window));
  CHECK_THROWS_AS(decode_window(missing, window), DecodeError);
  Data endless(bytes.begin(), bytes.end() - 2);
  CHECK_FALSE(cuts(endless, window));
}

TEST_CASE("restart cut: damage in a segment that the window needs is corrupt, elsewhere it is not seen") {
  const Data bytes = write_jpeg(picture({96, 96}, 3, 8), {.restart_interval = 4});
  const codec::JpegMarkers markers = codec::read_jpeg_markers(bytes);
  const auto without_half_of_segment = [&](std::size_t index) {
    const auto begin = static_cast<std::ptrdiff_t>(markers.restarts[index - 1] + 2);
    const auto end = static_cast<std::ptrdiff_t>(markers.restarts[index]);
    Data damaged = bytes;
    damaged.erase(damaged.begin() + (begin + end) / 2, damaged.begin() + end);
    return damaged;
  };
  const Rect window = {40, 40, 8, 8};  // MCU row 5, segment 1 of 3
  const Image expected = decode_window(bytes, window);
  CHECK(decode_window(without_half_of_segment(2), window) == expected);
  CHECK_THROWS_WITH_AS(decode_window(without_half_of_segment(16), window),
                       doctest::Contains("segments that the window needs"), DecodeError);
  CHECK_THROWS_AS(decode_window(without_half_of_segment(2), window, Integrity::full), DecodeError);
}
