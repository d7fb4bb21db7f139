#include <algorithm>
#include <cstdio>
#include <iterator>
#include <map>
#include <random>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <jpeglib.h>

#include "decode/exif.hpp"
#include "decode/jpeg_markers.hpp"
#include "decode/orient.hpp"
#include "jpeg.hpp"
#include "muster/decode.hpp"
#include "support.hpp"

namespace {

using namespace muster;
using test::Data;
using test::exif_block;
using test::JpegStyle;
using test::write_jpeg;

std::filesystem::path folder() { return test::golden_dir() / "decode"; }

Data load(const std::string& name) { return test::read_bytes(folder() / name); }

struct Golden {
  std::string name;
  Size stored;
  Size turned;
  std::uint32_t crc_stored = 0;
  std::uint32_t crc_turned = 0;
  std::uint32_t crc_grey = 0;
};

std::vector<Golden> goldens() {
  std::ifstream file(folder() / "goldens.txt");
  std::vector<Golden> all;
  for (Golden g; file >> g.name >> std::dec >> g.stored.height >> g.stored.width >> g.turned.height >> g.turned.width >>
                 std::hex >> g.crc_stored >> g.crc_turned >> g.crc_grey;) {
    all.push_back(g);
  }
  return all;
}

/// Name and expected words of files that must be refused.
std::vector<std::pair<std::string, std::string>> refusals() {
  std::ifstream file(folder() / "refused.txt");
  std::vector<std::pair<std::string, std::string>> all;
  for (std::string name, words; file >> name && std::getline(file >> std::ws, words);) all.emplace_back(name, words);
  return all;
}

/// What came of decoding: an image or an error, comparable.
struct Outcome {
  Image image;
  std::string error;
  std::string warnings;

  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome attempt(Decoder& decoder, Bytes bytes) {
  Outcome outcome;
  try {
    const ImageInfo info = decoder.probe(bytes);
    outcome.warnings = decoder.decode(bytes, info, Rect::whole(info.size), outcome.image);
    if (outcome.image.size() != info.size) outcome.error = "the image does not have the size that the probe said";
  } catch (const DecodeError& error) {
    outcome.image = Image();
    outcome.error = error.what();
  }
  return outcome;
}

Outcome attempt(Bytes bytes, Integrity integrity = Integrity::window) {
  Decoder decoder({}, {}, integrity);
  return attempt(decoder, bytes);
}

Image cropped(const Image& image, const Rect& window) { return Image(image.view().crop(window)); }

/// Smooth, with edges and noise: every block has coefficients, and neighbours differ.
Image scene(Size size, int channels, std::uint32_t seed) {
  Image image = test::noise_image(size, channels, seed);
  for (std::int64_t y = 0; y < size.height; ++y) {
    for (std::int64_t x = 0; x < size.width; ++x) {
      for (int c = 0; c < channels; ++c) {
        std::uint8_t& value = image.row(y)[x * channels + c];
        const std::int64_t smooth = 3 * x * (c + 1) + 5 * y + ((x + y) % 13 < 5 ? 90 : 0);
        value = static_cast<std::uint8_t>((smooth + value / 4) % 256);
      }
    }
  }
  return image;
}

class Random {
 public:
  explicit Random(std::uint32_t seed) : engine_(seed) {}
  /// Uniform in [low, high]; the same on every platform.
  std::int64_t operator()(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(engine_() % static_cast<std::uint32_t>(high - low + 1));
  }
  Rect window(Size size) {
    Rect window;
    window.height = (*this)(1, (*this)(0, 2) == 0 ? std::min<std::int64_t>(size.height, 3) : size.height);
    window.width = (*this)(1, (*this)(0, 2) == 0 ? std::min<std::int64_t>(size.width, 3) : size.width);
    window.y = (*this)(0, size.height - window.height);
    window.x = (*this)(0, size.width - window.width);
    return window;
  }

 private:
  std::mt19937 engine_;
};

struct Sampling {
  int horizontal;
  int vertical;
};

JpegStyle random_style(Random& random) {
  static constexpr Sampling samplings[] = {{1, 1}, {2, 1}, {2, 2}, {1, 2}, {4, 1}, {4, 2}, {1, 4}, {3, 1}};
  JpegStyle style;
  const Sampling sampling = samplings[random(0, std::ssize(samplings) - 1)];
  style.horizontal = sampling.horizontal;
  style.vertical = sampling.vertical;
  const std::int64_t kind = random(0, 9);
  style.components = kind == 0 ? 1 : kind == 1 ? 4 : 3;
  if (kind == 1) {
    style.stored = random(0, 1) == 0 ? JCS_CMYK : JCS_YCCK;
    style.horizontal = std::min(style.horizontal, 2);  // at most 10 blocks in an MCU
    style.vertical = style.horizontal == 2 ? 1 : std::min(style.vertical, 2);
  }
  if (kind == 2) style.stored = JCS_RGB;
  style.progressive = random(0, 3) == 0;
  style.separate_scans = random(0, 4) == 0;
  style.arithmetic = random(0, 5) == 0;
  if (random(0, 3) == 0) style.restart_rows = static_cast<int>(random(1, 3));
  if (random(0, 3) == 0) style.restart_interval = static_cast<int>(random(1, 5));
  if (style.progressive && random(0, 1) == 0) style.num_scans = static_cast<int>(random(1, 9));
  style.orientation = static_cast<int>(random(0, 8));
  return style;
}

void check_windows(const Data& data, DecodeOptions options, Random& random, int num_windows) {
  Decoder decoder(options);
  const ImageInfo info = decoder.probe(data);
  const Image whole = decode(data, options);
  REQUIRE(whole.size() == info.size);
  Image part;
  for (int i = 0; i < num_windows; ++i) {
    const Rect window = random.window(info.size);
    decoder.decode(data, info, window, part);
    CAPTURE(window.y);
    CAPTURE(window.x);
    CAPTURE(to_string(window.size()));
    CAPTURE(to_string(info.size));
    REQUIRE(part == cropped(whole, window));
  }
}

/// A TIFF of one page: the values of each tag as 32-bit numbers, and the strips or tiles.
Data write_tiff(std::map<std::uint16_t, std::vector<std::uint32_t>> fields, const std::vector<Data>& segments) {
  Data file = {'I', 'I', 42, 0, 0, 0, 0, 0};
  const auto put = [](Data& to, std::uint64_t value, std::size_t num_bytes) {
    for (std::size_t i = 0; i < num_bytes; ++i) to.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  };
  const bool is_tiled = fields.contains(322);
  for (const Data& segment : segments) {
    fields[is_tiled ? 324 : 273].push_back(static_cast<std::uint32_t>(file.size()));
    fields[is_tiled ? 325 : 279].push_back(static_cast<std::uint32_t>(segment.size()));
    file.insert(file.end(), segment.begin(), segment.end());
  }
  Data directory;
  Data values;
  const std::size_t values_begin = file.size() + 2 + 12 * fields.size() + 4;
  put(directory, fields.size(), 2);
  for (const auto& [tag, numbers] : fields) {
    put(directory, tag, 2);
    put(directory, 4, 2);
    put(directory, numbers.size(), 4);
    put(directory, numbers.size() == 1 ? numbers[0] : values_begin + values.size(), 4);
    if (numbers.size() == 1) continue;
    for (const std::uint32_t number : numbers) put(values, number, 4);
  }
  put(directory, 0, 4);
  for (std::size_t i = 0; i < 4; ++i) file[4 + i] = static_cast<std::uint8_t>(file.size() >> (8 * i));
  file.insert(file.end(), directory.begin(), directory.end());
  file.insert(file.end(), values.begin(), values.end());
  return file;
}

/// Standard error goes to a file as long as this lives.
class CapturedStandardError {
 public:
  explicit CapturedStandardError(const std::filesystem::path& path) : path_(path), saved_(dup(2)) {
    const int file = open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
    dup2(file, 2);
    close(file);
  }
  CapturedStandardError(const CapturedStandardError&) = delete;
  CapturedStandardError& operator=(const CapturedStandardError&) = delete;
  ~CapturedStandardError() {
    std::fflush(stderr);
    dup2(saved_, 2);
    close(saved_);
  }
  std::string text() const {
    std::fflush(stderr);
    const Data bytes = test::read_bytes(path_);
    return {bytes.begin(), bytes.end()};
  }

 private:
  std::filesystem::path path_;
  int saved_;
};

/// The smallest good file of each kind of codec path.
std::vector<std::string> small_files() {
  return {"jpeg_1x1.jpg",     "jpeg_exif_6.jpg",   "jpeg_progressive.jpg",   "jpeg_arithmetic.jpg", "jpeg_cmyk.jpg",
          "png_exif_6.png",   "png_palette_2.png", "png_interlaced_1x1.png", "png_animated.png",    "webp_1x1.webp",
          "webp_exif.webp",   "webp_lossy.webp",   "webp_lossless.webp",     "bmp_24_top_down.bmp", "bmp_4.bmp",
          "bmp_16_565.bmp",   "tiff_grey_2.tif",   "tiff_lzw.tif",           "tiff_deflate.tif",    "tiff_packbits.tif",
          "tiff_group4.tif",  "tiff_jpeg.tif",     "tiff_tiled.tif",         "tiff_strips.tif",     "tiff_planar.tif",
          "pnm_comments.pgm", "pnm_rgb_16.ppm"};
}

}  // namespace

TEST_CASE("decode: pixels of every format and variant are Pillow's") {
  const std::vector<Golden> all = goldens();
  REQUIRE(all.size() > 100);
  for (const Golden& golden : all) {
    CAPTURE(golden.name);
    const Data data = load(golden.name);
    const Image stored = decode(data, {.apply_orientation = false});
    CHECK(stored.channels() == 3);
    CHECK(to_string(stored.size()) == to_string(golden.stored));
    CHECK(test::crc32(stored) == golden.crc_stored);
    const Image turned = decode(data);
    CHECK(to_string(turned.size()) == to_string(golden.turned));
    CHECK(test::crc32(turned) == golden.crc_turned);
    const Image grey = decode(data, {.color = Color::grey, .apply_orientation = false});
    CHECK(grey.channels() == 1);
    CHECK(test::crc32(grey) == golden.crc_grey);
  }
}

TEST_CASE("decode: unsupported and damaged files are refused by name") {
  const auto all = refusals();
  REQUIRE(all.size() > 30);
  for (const auto& [name, words] : all) {
    CAPTURE(name);
    const Outcome outcome = attempt(load(name), Integrity::full);
    CAPTURE(outcome.error);
    CHECK(outcome.error.find(words) != std::string::npos);
    CHECK(outcome.error.rfind("[decode] ", 0) == 0);
  }
}

TEST_CASE("decode: a TIFF of JPEG-compressed YCbCr shows what its JPEGs show, strip by strip and in windows") {
  Random random(6);
  for (const Sampling& sampling : {Sampling{1, 1}, Sampling{2, 1}, Sampling{2, 2}}) {
    CAPTURE(sampling.horizontal);
    CAPTURE(sampling.vertical);
    const Image picture = scene({40, 27}, 3, 8);
    Image expected(picture.size(), 3);
    std::vector<Data> strips;
    for (std::int64_t y = 0; y < 40; y += 16) {
      const Rect rows{y, 0, std::min<std::int64_t>(16, 40 - y), 27};
      strips.push_back(
          write_jpeg(cropped(picture, rows), {.horizontal = sampling.horizontal, .vertical = sampling.vertical}));
      const Image strip = decode(strips.back());
      std::copy_n(strip.data(), strip.size_bytes(), expected.row(y));
    }
    const Data tiff = write_tiff(
        {{256, {27}},
         {257, {40}},
         {258, {8, 8, 8}},
         {259, {7}},
         {262, {6}},
         {277, {3}},
         {278, {16}},
         {530, {static_cast<std::uint32_t>(sampling.horizontal), static_cast<std::uint32_t>(sampling.vertical)}}},
        strips);
    CHECK(probe(tiff).num_channels == 3);
    CHECK(decode(tiff) == expected);
    check_windows(tiff, {}, random, 20);
  }
}

TEST_CASE("decode: a TIFF whose strips or tiles cannot be read is refused by what is wrong with them") {
  const auto refusal = [](const std::map<std::uint16_t, std::vector<std::uint32_t>>& changes) {
    std::map<std::uint16_t, std::vector<std::uint32_t>> fields = {{256, {6}}, {257, {4}}, {258, {8, 8, 8}},
                                                                  {259, {1}}, {262, {2}}, {277, {3}}};
    for (const auto& [tag, numbers] : changes) fields[tag] = numbers;
    return attempt(write_tiff(fields, {Data(72, 9)})).error;
  };
  const auto has = [](const std::string& text, const char* words) { return text.find(words) != std::string::npos; };
  CHECK(refusal({{278, {4}}}) == "");
  CHECK(has(refusal({{262, {6}}}), "YCbCr is supported only in JPEG-compressed pixels"));
  CHECK(has(refusal({{259, {7}}, {262, {6}}, {284, {2}}}), "YCbCr is supported only in JPEG-compressed pixels"));
  CHECK(has(refusal({{322, {2048}}, {323, {16}}}), "a tile of 16x2048 is larger than the image of 4x6"));
  CHECK(has(refusal({{322, {16}}, {323, {1040}}}), "a tile of 1040x16 is larger than the image of 4x6"));
  for (const auto& changes : {std::map<std::uint16_t, std::vector<std::uint32_t>>{{278, {0}}},
                              {{322, {0}}, {323, {16}}},
                              {{322, {16}}, {323, {0}}}}) {
    const std::string message = refusal(changes);
    CAPTURE(message);
    CHECK(has(message, "[decode] TIFF: "));
  }
}

TEST_CASE("decode: the compression of a BMP that is not supported is named") {
  Data data = load("bmp_24.bmp");
  for (const auto& [number, words] :
       std::map<std::uint8_t, std::string>{{1, "RLE8"}, {2, "RLE4"}, {4, "JPEG"}, {5, "PNG"}, {9, "unknown"}}) {
    data[30] = number;
    const std::string message = attempt(data).error;
    CAPTURE(message);
    CHECK(message.find(words) != std::string::npos);
  }
}

TEST_CASE("decode: a window has the bytes of the whole image, cropped, in every format") {
  Random random(1);
  for (const Golden& golden : goldens()) {
    CAPTURE(golden.name);
    const Data data = load(golden.name);
    check_windows(data, {}, random, 12);
    check_windows(data, {.color = Color::grey, .apply_orientation = false}, random, 4);
  }
}

TEST_CASE("decode: a window of a JPEG has the bytes of the whole, whatever its sampling, scans, restarts and turn") {
  Random random(2);
  for (int i = 0; i < 1500; ++i) {
    const JpegStyle style = random_style(random);
    const Size size{random(1, i % 3 == 0 ? 20 : 90), random(1, i % 3 == 1 ? 20 : 90)};
    CAPTURE(style.components);
    CAPTURE(style.horizontal);
    CAPTURE(style.vertical);
    CAPTURE(style.progressive);
    CAPTURE(style.separate_scans);
    CAPTURE(style.arithmetic);
    CAPTURE(style.restart_rows);
    CAPTURE(style.restart_interval);
    CAPTURE(style.num_scans);
    CAPTURE(style.orientation);
    const Data data = write_jpeg(scene(size, style.components, static_cast<std::uint32_t>(i)), style);
    const Color color = random(0, 3) == 0 ? Color::grey : Color::rgb;
    check_windows(data, {.color = color}, random, 8);
  }
}

TEST_CASE("decode: full integrity gives the same pixels as window integrity") {
  Random random(3);
  for (int i = 0; i < 100; ++i) {
    const JpegStyle style = random_style(random);
    const Data data = write_jpeg(scene({random(1, 60), random(1, 60)}, style.components, 7), style);
    Decoder lazy;
    Decoder thorough({}, {}, Integrity::full);
    const ImageInfo info = lazy.probe(data);
    const Rect window = random.window(info.size);
    Image expected;
    Image received;
    lazy.decode(data, info, window, expected);
    thorough.decode(data, info, window, received);
    CHECK(received == expected);
  }
}

TEST_CASE("decode: the window of a turned image is the window of that image turned whole") {
  const Image stored = scene({7, 11}, 3, 5);
  for (int orientation = 1; orientation <= 8; ++orientation) {
    Image turned;
    codec::turn(stored.view(), orientation, turned);
    REQUIRE(turned.size() == codec::oriented_size(stored.size(), orientation));
    Random random(static_cast<std::uint32_t>(orientation));
    for (int i = 0; i < 50; ++i) {
      const Rect window = random.window(turned.size());
      const Rect source = codec::stored_window(stored.size(), window, orientation);
      REQUIRE(contains(stored.size(), source));
      Image part;
      codec::turn(stored.view().crop(source), orientation, part);
      CHECK(part == cropped(turned, window));
    }
  }
}

TEST_CASE("decode: a window outside the image is a ShapeError") {
  const Data data = load("png_rgb.png");
  Decoder decoder;
  const ImageInfo info = decoder.probe(data);
  Image out;
  CHECK_THROWS_AS(decoder.decode(data, info, {0, 0, info.size.height + 1, 1}, out), ShapeError);
  CHECK_THROWS_AS(decoder.decode(data, info, {0, 0, 0, 1}, out), ShapeError);
  CHECK_THROWS_AS(decoder.decode(data, info, {-1, 0, 1, 1}, out), ShapeError);
  ImageInfo invented = info;
  invented.size.height *= 2;
  CHECK_THROWS_AS(decoder.decode(data, invented, {info.size.height, 0, 1, 1}, out), ShapeError);
}

TEST_CASE("probe: format, channels and bits are as stored; the orientation only if it is applied") {
  const ImageInfo jpeg = probe(load("jpeg_exif_6.jpg"));
  CHECK(jpeg.format == Format::jpeg);
  CHECK(jpeg.orientation == 6);
  CHECK(jpeg.stored == Size{8, 13});
  CHECK(jpeg.size == Size{13, 8});
  const ImageInfo off = probe(load("jpeg_exif_6.jpg"), {.apply_orientation = false});
  CHECK(off.orientation == 1);
  CHECK(off.size == Size{8, 13});
  CHECK(probe(load("jpeg_cmyk.jpg")).num_channels == 4);
  CHECK(probe(load("jpeg_grey.jpg")).num_channels == 1);
  CHECK(probe(load("png_grey_alpha_16.png")).num_channels == 2);
  CHECK(probe(load("png_grey_alpha_16.png")).bits_per_channel == 16);
  CHECK(probe(load("png_palette_2.png")).num_channels == 3);
  CHECK(probe(load("webp_lossy_alpha.webp")).format == Format::webp);
  CHECK(probe(load("webp_lossy_alpha.webp")).num_channels == 4);
  CHECK(probe(load("bmp_24.bmp")).format == Format::bmp);
  CHECK(probe(load("tiff_cmyk.tif")).num_channels == 4);
  CHECK(probe(load("tiff_rgb_16_big.tif")).bits_per_channel == 16);
  CHECK(probe(load("pnm_grey.pgm")).format == Format::pnm);
  CHECK(name(Format::webp) == "WebP");
}

TEST_CASE("probe: the limits are checked before anything is decoded") {
  const Data data = load("png_rgb.png");  // 22 x 27
  CHECK_NOTHROW(probe(data, {}, {.max_pixels = 22 * 27}));
  CHECK_THROWS_WITH_AS(probe(data, {}, {.max_pixels = 22 * 27 - 1}), doctest::Contains("max_pixels 593"), DecodeError);
  const auto size = static_cast<std::int64_t>(data.size());
  CHECK_NOTHROW(probe(data, {}, {.max_bytes = size}));
  CHECK_THROWS_WITH_AS(probe(data, {}, {.max_bytes = size - 1}), doctest::Contains("max_bytes"), DecodeError);
  // Bytes come first: this is not even an image.
  CHECK_THROWS_WITH_AS(probe(load("text.jpg"), {}, {.max_bytes = 3}), doctest::Contains("max_bytes"), DecodeError);
}

TEST_CASE("decode: a file cut at every tenth of its length is an error, never part of an image") {
  for (const Golden& golden : goldens()) {
    CAPTURE(golden.name);
    const Data data = load(golden.name);
    if (golden.name.find("trailing") != std::string::npos) continue;
    for (std::size_t tenth = 0; tenth < 10; ++tenth) {
      const Bytes part(data.data(), data.size() * tenth / 10);
      const Outcome outcome = attempt(part);
      // A file may end in bytes that no pixel needs: padding, another page, tables.
      if (!outcome.error.empty()) continue;
      CAPTURE(part.size());
      CHECK_MESSAGE(golden.name.rfind("tiff", 0) == 0, golden.name);
      CHECK(outcome == attempt(data));
    }
  }
}

TEST_CASE("decode: a JPEG without its end is corrupt; lenient takes it and says so") {
  for (const char* name :
       {"jpeg_420.jpg", "jpeg_progressive.jpg", "jpeg_grey.jpg", "jpeg_restart.jpg", "jpeg_cmyk.jpg"}) {
    CAPTURE(std::string(name));
    const Data data = load(name);
    const Bytes no_end(data.data(), data.size() - 2);
    CHECK(attempt(no_end).error.find("end-of-image") != std::string::npos);
    const Outcome outcome = attempt(no_end, Integrity::lenient);
    CHECK(outcome.error == "");
    CHECK(outcome.warnings.find("end-of-image") != std::string::npos);
    CHECK(outcome.image == decode(data));
    // Pixels are missing: padded, and libjpeg's own words are passed on.
    const codec::JpegMarkers::Scan last = codec::read_jpeg_markers(data).scans.back();
    const Bytes cut(data.data(), (last.data_begin + last.data_end) / 2);
    const Outcome padded = attempt(cut, Integrity::lenient);
    CHECK(padded.error == "");
    CHECK(padded.warnings.find("Premature end of JPEG file") != std::string::npos);
    CHECK(padded.image.size() == outcome.image.size());
  }
}

TEST_CASE("decode: a window of a lenient, padded image is that of the whole one") {
  Random random(4);
  for (int i = 0; i < 200; ++i) {
    JpegStyle style = random_style(random);
    style.arithmetic = false;
    const Data data = write_jpeg(scene({random(9, 60), random(9, 60)}, style.components, 9), style);
    const codec::JpegMarkers markers = codec::read_jpeg_markers(data);
    const auto start = static_cast<std::int64_t>(markers.scans.front().data_begin);
    const Bytes part(data.data(), static_cast<std::size_t>(random(start, std::ssize(data))));
    Decoder decoder({}, {}, Integrity::lenient);
    ImageInfo info;
    Image whole;
    try {
      info = decoder.probe(part);
      decoder.decode(part, info, Rect::whole(info.size), whole);
    } catch (const DecodeError&) {
      continue;  // cut inside a header between two scans
    }
    Image shown;
    const Rect window = random.window(info.size);
    decoder.decode(part, info, window, shown);
    CAPTURE(style.progressive);
    CAPTURE(style.restart_interval);
    REQUIRE(shown == cropped(whole, window));
  }
}

TEST_CASE("decode: damage below the window is seen only by full integrity") {
  JpegStyle style;
  style.restart_rows = 1;
  Data data = write_jpeg(scene({64, 48}, 3, 3), style);
  const codec::JpegMarkers markers = codec::read_jpeg_markers(data);
  const auto last = data.begin() + static_cast<std::ptrdiff_t>(markers.scans.front().data_end - 40);
  data.insert(last, {0xFF, 0xD3});  // a restart where none is due
  Image out;
  Decoder decoder;
  const ImageInfo info = decoder.probe(data);
  CHECK_NOTHROW(decoder.decode(data, info, {0, 0, 20, 20}, out));
  CHECK_THROWS_AS(decoder.decode(data, info, Rect::whole(info.size), out), DecodeError);
  CHECK_THROWS_AS(Decoder({}, {}, Integrity::full).decode(data, info, {0, 0, 20, 20}, out), DecodeError);
}

TEST_CASE("decode: full integrity reads to the end of the image") {
  Data data = load("jpeg_420.jpg");
  data.insert(data.end() - 2, 40, 1);  // between the last block and the end marker
  CHECK(attempt(data, Integrity::window).error == "");
  CHECK(attempt(data, Integrity::full).error.find("extraneous bytes") != std::string::npos);
}

TEST_CASE("decode: errors of libjpeg come with its words and the byte") {
  Data data = load("jpeg_444.jpg");
  const codec::JpegMarkers markers = codec::read_jpeg_markers(data);
  const std::size_t middle = (markers.scans.front().data_begin + markers.scans.front().data_end) / 2;
  data.insert(data.begin() + static_cast<std::ptrdiff_t>(middle), {0xFF, 0xD3});
  const Outcome outcome = attempt(data);
  CHECK(outcome.error.find("Corrupt JPEG data") != std::string::npos);
  CHECK(outcome.error.find("near byte") != std::string::npos);
}

TEST_CASE("decode: a damaged image leaves no trace in the next one") {
  // Without its own quantisation tables an image must fail even if the one before had some.
  const Data good = load("jpeg_420.jpg");
  const Data bad = load("jpeg_no_quantisation.jpg");
  Decoder decoder;
  const Outcome first = attempt(decoder, bad);
  CHECK(first.error != "");
  CHECK(attempt(decoder, good).image == decode(good));
  CHECK(attempt(decoder, bad) == first);

  // Any order of good and damaged files gives what each gives alone.
  std::vector<Data> files;
  std::vector<Outcome> alone;
  Random random(5);
  for (const std::string& name : small_files()) {
    files.push_back(load(name));
    files.push_back(files.back());
    files.back()[static_cast<std::size_t>(random(12, std::ssize(files.back()) - 1))] ^= 0x55;
  }
  for (const Data& file : files) alone.push_back(attempt(file));
  for (int i = 0; i < 400; ++i) {
    const auto k = static_cast<std::size_t>(random(0, std::ssize(files) - 1));
    REQUIRE(attempt(decoder, files[k]) == alone[k]);
  }
}

TEST_CASE("decode: a flipped byte anywhere gives one verdict, twice the same, and the probed shape") {
  const DecodeLimits limits{.max_pixels = 1 << 16};
  for (const std::string& name : small_files()) {
    CAPTURE(name);
    const Data data = load(name);
    for (std::size_t at = 0; at < data.size(); ++at) {
      for (const int flip : {0xFF, 0x01, 0x80}) {
        Data flipped = data;
        flipped[at] = static_cast<std::uint8_t>(flipped[at] ^ flip);
        Decoder fresh({}, limits);
        Decoder again({}, limits, Integrity::window);
        const Outcome outcome = attempt(fresh, flipped);
        REQUIRE(outcome.error.find("does not have the size") == std::string::npos);
        REQUIRE(outcome == attempt(again, flipped));
        if (!outcome.error.empty()) continue;
        REQUIRE(outcome.image.channels() == 3);
      }
    }
  }
}

TEST_CASE("decode: nothing is printed, whatever the damage") {
  const test::TempDir dir;
  std::string printed;
  {
    CapturedStandardError captured(dir.path() / "stderr");
    for (const auto& [name, words] : refusals()) attempt(load(name));
    for (const std::string& name : small_files()) {
      const Data data = load(name);
      for (const Integrity integrity : {Integrity::lenient, Integrity::full}) {
        Decoder decoder({}, {.max_pixels = 1 << 16}, integrity);
        for (std::size_t at = 0; at < data.size(); ++at) {
          Data flipped = data;
          flipped[at] ^= 0xA5;
          attempt(decoder, flipped);
          attempt(decoder, Bytes(data).first(at));
        }
      }
    }
    printed = captured.text();
  }
  CHECK(printed == "");
}

TEST_CASE("decode: bytes of another image than the probed one are refused") {
  Decoder decoder;
  const ImageInfo info = decoder.probe(load("png_rgb.png"));
  Image out;
  CHECK_THROWS_AS(decoder.decode(load("png_grey_1.png"), info, {0, 0, 1, 1}, out), DecodeError);
  const ImageInfo jpeg = decoder.probe(load("jpeg_420.jpg"));
  CHECK_THROWS_AS(decoder.decode(load("jpeg_1x1.jpg"), jpeg, {0, 0, 1, 1}, out), DecodeError);
  const std::pair<const char*, const char*> others[] = {{"webp_lossy.webp", "webp_1x1.webp"},
                                                        {"bmp_24.bmp", "bmp_65500.bmp"},
                                                        {"tiff_lzw.tif", "tiff_1x1.tif"},
                                                        {"pnm_comments.pgm", "pnm_rgb_16.ppm"}};
  for (const auto& [probed, other] : others) {
    CAPTURE(std::string(other));
    CHECK_THROWS_WITH_AS(decoder.decode(load(other), decoder.probe(load(probed)), {0, 0, 1, 1}, out),
                         doctest::Contains("the header is not the one that was probed"), DecodeError);
  }
}

TEST_CASE("decode: a format that there is not is a ConfigError") {
  const Data data = load("png_rgb.png");
  Decoder decoder;
  ImageInfo info = decoder.probe(data);
  info.format = static_cast<Format>(99);
  Image out;
  CHECK_THROWS_WITH_AS(decoder.decode(data, info, {0, 0, 1, 1}, out), doctest::Contains("unknown format 99"),
                       ConfigError);
  CHECK_THROWS_WITH_AS(decoder.decode_view(data, info, 2, {0, 0, 1, 1}),
                       doctest::Contains("unknown cannot be reduced by 2"), ConfigError);
}

TEST_CASE("decode: a decoder can be moved") {
  Decoder first({.color = Color::grey});
  Decoder second = std::move(first);
  const Data data = load("jpeg_420.jpg");
  CHECK(attempt(second, data).image.channels() == 1);
  Decoder third;
  third = std::move(second);
  CHECK(attempt(third, data).image.channels() == 1);
}

TEST_CASE("jpeg markers: scans, restarts, sampling and the real end are found") {
  JpegStyle style;
  style.horizontal = 2;
  style.separate_scans = true;
  style.restart_interval = 2;
  Data data = write_jpeg(scene({24, 40}, 3, 1), style);
  const std::size_t size = data.size();
  data.insert(data.end(), {0xFF, 0xD9, 0, 1, 2});
  const codec::JpegMarkers markers = codec::read_jpeg_markers(data);
  CHECK(markers.fault == "");
  CHECK(markers.frame_type == 0xC0);
  CHECK(markers.size == Size{24, 40});
  CHECK(markers.num_components == 3);
  CHECK(markers.components[0].horizontal == 2);
  CHECK(markers.components[1].horizontal == 1);
  REQUIRE(markers.scans.size() == 3);
  for (const auto& scan : markers.scans) {
    CHECK(scan.restart_interval == 2);
    CHECK(data[scan.header + 1] == 0xDA);
    CHECK(scan.data_begin < scan.data_end);
    CHECK(data[scan.data_end] == 0xFF);
  }
  CHECK(markers.end_of_image == size - 2);
  codec::JpegMarkers header;
  codec::read_jpeg_header(data, header);
  CHECK(header.scans.size() == 1);
}

TEST_CASE("jpeg markers: the end of a thumbnail is not the end of the image") {
  const Data data = load("jpeg_thumbnail.jpg");
  CHECK(codec::read_jpeg_markers(data).end_of_image == data.size() - 2);
  CHECK_FALSE(codec::read_jpeg_markers(Bytes(data).first(data.size() - 2)).end_of_image);
  CHECK(codec::exif_orientation(codec::read_jpeg_markers(data).exif) == 6);
}

TEST_CASE("exif: anything damaged means no turn") {
  const Data block = exif_block(6);
  CHECK(codec::exif_orientation(block) == 6);
  CHECK(codec::exif_orientation(Bytes(block).subspan(6)) == 6);
  for (std::size_t size = 0; size < 28; ++size) CHECK(codec::exif_orientation(Bytes(block).first(size)) == 1);
  Data far = block;
  far[6 + 4] = 0xFF;  // the directory lies outside
  CHECK(codec::exif_orientation(far) == 1);
  Data long_value = block;
  long_value[6 + 14] = 100;  // of 100 numbers, the first of which would be 42
  long_value[6 + 18] = 2;
  CHECK(codec::exif_orientation(long_value) == 1);
  Data many = block;
  many[6 + 8] = many[6 + 9] = 0xFF;  // more entries than there are bytes
  CHECK(codec::exif_orientation(many) == 6);
}

TEST_CASE("convert_color: luma is Pillow's, replication is exact") {
  Image image({1, 3}, 3);
  const std::uint8_t pixels[] = {255, 0, 0, 0, 255, 0, 0, 52, 184};  // the last is 51.5
  std::copy(std::begin(pixels), std::end(pixels), image.data());
  Image grey;
  convert_color(image.view(), Color::grey, grey);
  REQUIRE(grey.channels() == 1);
  CHECK(static_cast<int>(grey.data()[0]) == 76);
  CHECK(static_cast<int>(grey.data()[1]) == 150);
  CHECK(static_cast<int>(grey.data()[2]) == 52);
  Image rgb;
  convert_color(grey.view(), Color::rgb, rgb);
  REQUIRE(rgb.channels() == 3);
  CHECK(static_cast<int>(rgb.data()[3]) == 150);
  CHECK(static_cast<int>(rgb.data()[5]) == 150);
  Image same;
  convert_color(image.view().crop({0, 1, 1, 2}), Color::rgb, same);
  CHECK(same == cropped(image, {0, 1, 1, 2}));
  CHECK_THROWS_AS(convert_color(Image({1, 1}, 2).view(), Color::rgb, rgb), ShapeError);
}
