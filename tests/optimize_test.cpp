// Optimized JPEGs: the same coefficients and pixels, in a form that windows can be cut out of.
#include <doctest/doctest.h>

#include <new>
#include <string>
#include <string_view>

#include "allocation_hook.hpp"
#include "decode/restart_cut.hpp"
#include "jpeg.hpp"
#include "muster/optimize.hpp"
#include "muster/random.hpp"
#include "support.hpp"

using namespace muster;
using namespace muster::test;

namespace {

using Change = OptimizedJpeg::Change;

Image decode_whole(Bytes bytes) { return decode_window(bytes, Rect::whole(probe(bytes).size), Integrity::full); }

bool cuts(Bytes bytes, const Rect& window) {
  codec::RestartCut cut;
  return codec::cut_restarts(bytes, codec::read_jpeg_markers(bytes), window, cut);
}

/// Puts a segment behind SOI.
Data with_segment(const Data& jpeg, std::uint8_t marker, std::string_view content) {
  const std::size_t length = content.size() + 2;
  Data segment = {0xFF, marker, static_cast<std::uint8_t>(length >> 8), static_cast<std::uint8_t>(length & 255)};
  segment.insert(segment.end(), content.begin(), content.end());
  Data out = jpeg;
  out.insert(out.begin() + 2, segment.begin(), segment.end());
  return out;
}

/// All APPn and COM segments, in order.
std::vector<Data> segments_of(const Data& jpeg) {
  std::vector<Data> found;
  const codec::JpegMarkers markers = codec::read_jpeg_markers(jpeg);
  for (const std::size_t start : markers.segments) {
    const std::uint8_t marker = jpeg[start + 1];
    if ((marker < 0xE0 || marker > 0xEF) && marker != 0xFE) continue;
    const auto begin = jpeg.begin() + static_cast<std::ptrdiff_t>(start);
    found.emplace_back(begin, begin + 2 + jpeg[start + 2] * 256 + jpeg[start + 3]);
  }
  return found;
}

Data golden(const char* name) { return read_bytes(golden_dir() / "decode" / name); }

std::string refusal(const Data& jpeg) {
  try {
    optimize_jpeg(jpeg);
  } catch (const DecodeError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("optimize: the restart interval is the divisor in 2 ... 16 nearest to 4, else the row") {
  constexpr std::pair<std::int64_t, int> rows[] = {
      {1, 1},  {2, 2},   {3, 3},  {4, 4},  {5, 5},  {6, 3},    {7, 7},    {8, 4},    {9, 3},    {10, 5},    {11, 11},
      {12, 4}, {13, 13}, {14, 2}, {15, 5}, {16, 4}, {17, 17},  {18, 3},   {19, 19},  {22, 2},   {25, 5},    {26, 2},
      {34, 2}, {35, 5},  {49, 7}, {63, 3}, {77, 7}, {121, 11}, {143, 11}, {169, 13}, {221, 13}, {289, 289}, {8188, 4}};
  for (const auto& [mcus, interval] : rows) {
    CAPTURE(mcus);
    CHECK(choose_restart_interval(mcus) == interval);
  }
  CHECK_THROWS_AS(choose_restart_interval(0), ConfigError);
}

TEST_CASE("optimize: every kind of JPEG keeps its pixels, whole and in windows, and becomes usable") {
  constexpr int samplings[][2] = {{1, 1}, {2, 1}, {2, 2}, {1, 2}, {4, 1}};
  int num_cut = 0;
  for (std::uint64_t trial = 0; trial < 300; ++trial) {
    CAPTURE(trial);
    Rng rng(78, 0, trial, Stream::synth);
    const Size size = {rng.uniform_int(1, 120), rng.uniform_int(1, 200)};
    constexpr int channel_counts[] = {1, 3, 3, 3, 4};
    const int channels = channel_counts[rng.uniform_int(0, 4)];
    const auto& [horizontal, vertical] = samplings[rng.uniform_int(0, 4)];
    const auto kind = rng.uniform_int(0, 4);
    const JpegStyle style{.components = channels,
                          .horizontal = channels == 3 ? horizontal : 1,
                          .vertical = channels == 3 ? vertical : 1,
                          .progressive = kind == 1 || kind == 4,
                          .separate_scans = kind == 2,
                          .arithmetic = kind == 3 || kind == 4,
                          .orientation = static_cast<int>(rng.uniform_int(0, 8))};
    const Data bytes = write_jpeg(picture(size, channels, rng()), style);
    const OptimizedJpeg result = optimize_jpeg(bytes);
    const std::int64_t mcu_width = channels == 3 ? 8 * horizontal : 8;
    const codec::JpegMarkers markers = codec::read_jpeg_markers(result.bytes);
    CHECK(result.change == Change::rewritten);
    CHECK(result.size == size);
    CHECK(result.restart_interval == choose_restart_interval((size.width + mcu_width - 1) / mcu_width));
    CHECK(markers.scans.size() == 1);
    CHECK(markers.scans.front().restart_interval == result.restart_interval);
    CHECK(markers.frame_type == 0xC0);
    CHECK(segments_of(result.bytes) == segments_of(bytes));

    const Image whole = decode_whole(bytes);
    CHECK(decode_whole(result.bytes) == whole);
    for (int repeat = 0; repeat < 4; ++repeat) {
      const std::int64_t height = rng.uniform_int(1, whole.height());
      const std::int64_t width = rng.uniform_int(1, whole.width());
      const Rect window = {rng.uniform_int(0, whole.height() - height), rng.uniform_int(0, whole.width() - width),
                           height, width};
      CHECK(decode_window(result.bytes, window) == Image(whole.view().crop(window)));
    }
    if (size.height > 64) {
      ++num_cut;
      CHECK(cuts(result.bytes, {size.height - 1, size.width - 1, 1, 1}));
    }
  }
  CHECK(num_cut > 100);
}

TEST_CASE("optimize: the files of the decode goldens keep their pixels") {
  for (const char* name : {"jpeg_1x1.jpg",         "jpeg_410.jpg",
                           "jpeg_411.jpg",         "jpeg_420.jpg",
                           "jpeg_422.jpg",         "jpeg_440.jpg",
                           "jpeg_444.jpg",         "jpeg_adobe_rgb_transform_0.jpg",
                           "jpeg_arithmetic.jpg",  "jpeg_arithmetic_progressive.jpg",
                           "jpeg_cmyk.jpg",        "jpeg_exif_6.jpg",
                           "jpeg_exif_twice.jpg",  "jpeg_grey.jpg",
                           "jpeg_progressive.jpg", "jpeg_restart.jpg",
                           "jpeg_rgb.jpg",         "jpeg_thumbnail.jpg",
                           "jpeg_trailing.jpg",    "jpeg_ycck.jpg"}) {
    CAPTURE(name);
    const Data bytes = golden(name);
    const OptimizedJpeg result = optimize_jpeg(bytes);
    CHECK(decode_whole(result.bytes) == decode_whole(bytes));
    CHECK(segments_of(result.bytes) == segments_of(bytes));
    CHECK(probe(result.bytes).orientation == probe(bytes).orientation);
  }
}

TEST_CASE("optimize: a second time changes nothing") {
  const Data bytes = write_jpeg(picture({50, 90}, 3, 3), {.horizontal = 2, .vertical = 2});
  const OptimizedJpeg once = optimize_jpeg(bytes);
  const OptimizedJpeg twice = optimize_jpeg(once.bytes);
  CHECK(once.change == Change::rewritten);
  CHECK(twice.change == Change::none);
  CHECK(twice.bytes == once.bytes);
  CHECK(twice.restart_interval == once.restart_interval);
}

TEST_CASE("optimize: EXIF, profiles, comments and what follows the image stay, in order") {
  Data bytes = write_jpeg(picture({50, 90}, 3, 3), {.progressive = true, .orientation = 6});
  bytes = with_segment(bytes, 0xFE, "a comment");
  bytes = with_segment(bytes, 0xE2, std::string_view("ICC_PROFILE\0\2\2second", 20));
  bytes = with_segment(bytes, 0xE2, std::string_view("ICC_PROFILE\0\1\2first", 19));
  bytes = with_segment(bytes, 0xE0, std::string_view("JFXX\0\x13thumbnail", 15));
  bytes = with_segment(bytes, 0xED, std::string(65533, 'p'));
  bytes.insert(bytes.end(), {'t', 'r', 'a', 'i', 'l'});
  for (const OptimizeOptions& options : {OptimizeOptions{}, OptimizeOptions{.longest_side = 40}}) {
    const OptimizedJpeg result = optimize_jpeg(bytes, options);
    CHECK(segments_of(result.bytes).size() == 7);
    CHECK(segments_of(result.bytes) == segments_of(bytes));
    CHECK(probe(result.bytes).orientation == 6);
    CHECK(std::string(result.bytes.end() - 5, result.bytes.end()) == "trail");
  }
}

TEST_CASE("optimize: what is damaged, incomplete, unsupported or no JPEG is refused") {
  const Data bytes = write_jpeg(picture({96, 96}, 3, 8), {});
  Data cut(bytes.begin(), bytes.end() - 40);
  CHECK(refusal(cut).find("end-of-image") != std::string::npos);
  cut.insert(cut.end(), {0xFF, 0xD9});
  CHECK_FALSE(refusal(cut).empty());
  Data flipped = bytes;
  for (std::size_t i = bytes.size() / 2; i < bytes.size() / 2 + 40; ++i) flipped[i] = 0x55;
  flipped.erase(flipped.begin() + static_cast<std::ptrdiff_t>(bytes.size() / 2), flipped.end() - 2);
  CHECK_FALSE(refusal(flipped).empty());
  const Data incomplete = write_jpeg(picture({96, 96}, 3, 8), {.progressive = true, .num_scans = 3});
  CHECK(refusal(incomplete).find("never sent") != std::string::npos);
  for (const char* name :
       {"jpeg_12_bit.jpg", "jpeg_lossless.jpg", "jpeg_hierarchical.jpg", "jpeg_height_0.jpg", "jpeg_no_scan.jpg",
        "empty.jpg", "text.jpg", "gif.jpg", "png_rgb.png", "jpeg_many_scans.jpg"}) {
    CAPTURE(name);
    CHECK_FALSE(refusal(golden(name)).empty());
  }
  CHECK_THROWS_WITH_AS(optimize_jpeg(bytes, {.limits = {.max_pixels = 96 * 95}}), doctest::Contains("max_pixels"),
                       DecodeError);
}

TEST_CASE("optimize: truncated anywhere, a file is refused or keeps its pixels, and never harms") {
  const Data bytes = write_jpeg(picture({20, 30}, 3, 8), {.progressive = true, .orientation = 3});
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    CHECK_FALSE(refusal(Data(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length))).empty());
  }
  for (std::uint64_t trial = 0; trial < 1000; ++trial) {
    CAPTURE(trial);
    Rng rng(79, 0, trial, Stream::synth);
    Data damaged = bytes;
    damaged[static_cast<std::size_t>(rng.uniform_int(2, static_cast<std::int64_t>(bytes.size()) - 3))] =
        static_cast<std::uint8_t>(rng.uniform_int(0, 255));
    Data result;
    try {
      result = optimize_jpeg(damaged).bytes;
    } catch (const DecodeError&) {
      continue;
    }
    CHECK(decode_whole(result) == decode_whole(damaged));
  }
}

TEST_CASE("optimize: the lossy choice resizes only what is larger, and keeps sampling, components and aspect") {
  for (const int channels : {1, 3, 4}) {
    CAPTURE(channels);
    const Image image = [&] {
      Image smooth({150, 301}, channels);
      for (std::int64_t y = 0; y < 150; ++y) {
        for (std::int64_t x = 0; x < 301 * channels; ++x) {
          smooth.row(y)[x] = static_cast<std::uint8_t>((y + x / channels / 2) / 3 + 40 * (x % channels));
        }
      }
      return smooth;
    }();
    const JpegStyle style{.components = channels,
                          .horizontal = channels == 3 ? 2 : 1,
                          .vertical = channels == 3 ? 2 : 1,
                          .orientation = 8};
    const Data bytes = write_jpeg(image, style);
    const OptimizedJpeg result = optimize_jpeg(bytes, {.longest_side = 100, .quality = 95});
    CHECK(result.change == Change::resized);
    CHECK(result.size == Size{50, 100});
    CHECK(probe(result.bytes).size == Size{100, 50});
    CHECK(probe(result.bytes).num_channels == channels);
    const codec::JpegMarkers markers = codec::read_jpeg_markers(result.bytes);
    CHECK(markers.components[0].horizontal == (channels == 3 ? 2 : 1));
    CHECK(markers.components[0].vertical == (channels == 3 ? 2 : 1));
    CHECK(markers.scans.front().restart_interval == result.restart_interval);
    CHECK(cuts(result.bytes, {40, 90, 4, 4}));

    // Every pixel is near the one in the same place of the original.
    const DecodeOptions as_stored{.apply_orientation = false};
    const Image before = decode(bytes, as_stored);
    const Image after = decode(result.bytes, as_stored);
    int largest = 0;
    for (std::int64_t y = 2; y < 48; ++y) {
      for (std::int64_t x = 2; x < 98; ++x) {
        for (std::int64_t c = 0; c < 3; ++c) {
          largest =
              std::max(largest, std::abs(after.row(y)[3 * x + c] - before.row(3 * y + 1)[3 * (301 * x / 100 + 1) + c]));
        }
      }
    }
    CHECK(largest < 12);
    CHECK(optimize_jpeg(bytes, {.longest_side = 100, .quality = 20}).bytes.size() < result.bytes.size());
    CHECK(optimize_jpeg(bytes, {.longest_side = 301}).change == Change::rewritten);
    CHECK(optimize_jpeg(result.bytes, {.longest_side = 100}).change == Change::none);
    CHECK(optimize_jpeg(bytes, {.longest_side = 1}).size == Size{1, 1});
  }
}

TEST_CASE("optimize: options out of range are a configuration error") {
  const Data bytes = write_jpeg(picture({9, 9}, 3, 8), {});
  CHECK_THROWS_AS(optimize_jpeg(bytes, {.longest_side = -1}), ConfigError);
  CHECK_THROWS_AS(optimize_jpeg(bytes, {.longest_side = 65501}), ConfigError);
  CHECK_THROWS_AS(optimize_jpeg(bytes, {.quality = 0}), ConfigError);
  CHECK_THROWS_AS(optimize_jpeg(bytes, {.quality = 101}), ConfigError);
}

TEST_CASE("optimize: when any one allocation fails, it is want of memory, or the file is right") {
  const Data bytes = write_jpeg(picture({150, 301}, 3, 8), {.progressive = true});
  for (const OptimizeOptions& options : {OptimizeOptions{}, OptimizeOptions{.longest_side = 200}}) {
    const Data expected = optimize_jpeg(bytes, options).bytes;
    std::uint64_t num_failed = 0;
    std::uint64_t first = 1;
    for (bool has_struck = true; has_struck; ++first) {
      CAPTURE(first);
      Data received;
      {
        const test::AllocationFailure failure(first, test::AllocationFailure::Length::once,
                                              test::AllocationFailure::Threads::all);
        try {
          received = optimize_jpeg(bytes, options).bytes;
        } catch (const std::bad_alloc&) {
          ++num_failed;
        }
        has_struck = failure.has_struck();
      }
      CHECK((received.empty() ? has_struck : received == expected));
    }
    CHECK(num_failed > 5);
  }
}
