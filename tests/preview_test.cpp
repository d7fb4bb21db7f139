#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "muster/muster.hpp"
#include "support.hpp"

namespace {

using namespace muster;
using muster::test::noise_image;
using muster::test::read_bytes;
using muster::test::TempDir;

Sample one_colour(Size size, std::uint8_t red, std::uint8_t green, std::uint8_t blue) {
  auto image = std::make_shared<Image>(size, 3);
  for (std::size_t i = 0; i < image->size_bytes(); i += 3) {
    image->data()[i] = red;
    image->data()[i + 1] = green;
    image->data()[i + 2] = blue;
  }
  Sample sample;
  sample.image = std::move(image);
  return sample;
}

Sample text_sample(const std::string& text) {
  Sample sample;
  sample.bytes.assign(text.begin(), text.end());
  return sample;
}

Sample png_sample(const Image& image) {
  const TempDir dir;
  write_png(dir.path() / "image.png", image.view());
  Sample sample;
  sample.bytes = read_bytes(dir.path() / "image.png");
  return sample;
}

Loader make_loader(std::vector<Sample> samples, Pipeline pipeline, LoaderOptions options = {}) {
  return Loader(MemorySource(std::move(samples)), std::move(pipeline), std::move(options));
}

/// How many pixels have exactly this colour.
std::int64_t count_pixels(const Image& sheet, std::uint8_t red, std::uint8_t green, std::uint8_t blue) {
  std::int64_t count = 0;
  for (std::size_t i = 0; i < sheet.size_bytes(); i += 3) {
    const std::uint8_t* pixel = sheet.data() + i;
    count += pixel[0] == red && pixel[1] == green && pixel[2] == blue;
  }
  return count;
}

const Pipeline& crop() {
  static const Pipeline pipeline{RandomResizedCrop{.size = {32, 32}}, Normalize{imagenet_mean, imagenet_stddev}};
  return pipeline;
}

}  // namespace

TEST_CASE("preview: the sheet grows with samples, variants and the cell") {
  const auto sheet = [](std::int64_t samples, std::int64_t variants, std::int64_t cell) {
    std::vector<Sample> noise(4);
    for (Sample& sample : noise) sample.image = std::make_shared<Image>(noise_image({50, 60}, 3, 1));
    const Loader loader = make_loader(std::move(noise), crop());
    return contact_sheet(loader, {.num_samples = samples, .num_variants = variants, .first_epoch = 0, .cell = cell});
  };
  const Image small = sheet(1, 1, 64);
  CHECK(small.channels() == 3);
  CHECK(sheet(2, 1, 64).height() > small.height());
  CHECK(sheet(2, 1, 64).width() == small.width());
  CHECK(sheet(1, 2, 64).width() > small.width());
  CHECK(sheet(1, 1, 96).width() > small.width());
  CHECK(sheet(4, 1, 64) == sheet(9, 1, 64));  // no more lines than samples
}

TEST_CASE("preview: variants show the pixels before Normalize, in the size of the cell") {
  const Loader loader = make_loader({one_colour({50, 60}, 10, 200, 30)}, crop());
  const Image sheet = contact_sheet(loader, {.num_samples = 1, .num_variants = 3, .first_epoch = 0, .cell = 64});
  // Three variants of 64 x 64; the source has this colour, too, where no window is drawn on it.
  CHECK(count_pixels(sheet, 10, 200, 30) > 3 * 64 * 64);
  CHECK(count_pixels(sheet, 10, 200, 30) <= 3 * 64 * 64 + 64 * 77);
}

TEST_CASE("preview: the sheet depends on seed and epoch and on nothing else") {
  const auto sheet = [](std::uint64_t seed, std::uint64_t epoch, int threads) {
    std::vector<Sample> noise(3);
    for (std::size_t i = 0; i < 3; ++i) noise[i] = png_sample(noise_image({50, 60}, 3, static_cast<std::uint32_t>(i)));
    const Loader loader =
        make_loader(std::move(noise), crop(), {.batch_size = threads, .seed = seed, .num_threads = threads});
    return contact_sheet(loader, {.num_samples = 3, .num_variants = 2, .first_epoch = epoch, .cell = 64});
  };
  CHECK(sheet(1, 0, 1) == sheet(1, 0, 2));
  CHECK(sheet(1, 0, 1) != sheet(2, 0, 1));
  CHECK(sheet(1, 0, 1) != sheet(1, 1, 1));
}

TEST_CASE("preview: the samples are the first rows of the epoch's order") {
  std::vector<Sample> samples;
  for (int i = 0; i < 20; ++i) samples.push_back(one_colour({40, 40}, static_cast<std::uint8_t>(10 * i), 3, 5));
  const Loader loader = make_loader(std::move(samples), crop(), {.shuffle = true, .seed = 8});
  const Image sheet = contact_sheet(loader, {.num_samples = 2, .num_variants = 1, .first_epoch = 3, .cell = 64});
  const ShuffledOrder order(20, 8);
  const std::uint64_t shown[] = {order.sample_id(3, 0), order.sample_id(3, 1)};
  for (std::uint64_t id = 0; id < 20; ++id) {
    const bool expected = id == shown[0] || id == shown[1];
    CAPTURE(id);
    CHECK((count_pixels(sheet, static_cast<std::uint8_t>(10 * id), 3, 5) >= 64 * 64) == expected);
  }
}

TEST_CASE("preview: a sample that fails shows its error and leaves the others as they are") {
  std::vector<Sample> samples;
  samples.push_back(one_colour({40, 40}, 1, 2, 3));
  samples.push_back(text_sample("this is no image"));
  samples.push_back(text_sample(""));
  const Loader loader = make_loader(std::move(samples), crop());
  const Image sheet = contact_sheet(loader, {.num_samples = 3, .num_variants = 2, .first_epoch = 0, .cell = 96});
  CHECK(count_pixels(sheet, 1, 2, 3) >= 2 * 96 * 96);
  CHECK(count_pixels(sheet, 250, 228, 224) > 2 * 96 * 40);  // two tiles in the colour of errors
}

TEST_CASE("preview: a stage that throws shows its error in the variant's place") {
  struct Throwing {
    Extent output_extent(const Extent& in) const { return in; }
    Image operator()(Image, Rng&) const { throw std::runtime_error("no luck today"); }
  };
  std::vector<Sample> samples;
  samples.push_back(one_colour({40, 40}, 1, 2, 3));
  const Loader loader = make_loader(std::move(samples), Pipeline{Resize{Size{32, 32}}, Throwing{}});
  const Image sheet = contact_sheet(loader, {.num_samples = 1, .num_variants = 1, .first_epoch = 0, .cell = 96});
  CHECK(count_pixels(sheet, 250, 228, 224) > 96 * 40);
  CHECK(count_pixels(sheet, 1, 2, 3) > 0);  // the source is shown
}

TEST_CASE("preview: extreme shapes and grey pipelines are drawn") {
  const Pipeline grey({Resize{Size{32, 48}}}, {.color = Color::grey, .apply_orientation = true});
  for (const Size size : {Size{1, 1}, Size{1, 5000}, Size{5000, 1}, Size{3, 2}}) {
    CAPTURE(to_string(size));
    std::vector<Sample> samples;
    samples.push_back(png_sample(noise_image(size, 3, 4)));
    const Loader loader = make_loader(std::move(samples), grey);
    const Image sheet = contact_sheet(loader, {.num_samples = 1, .num_variants = 2, .first_epoch = 0, .cell = 48});
    CHECK(sheet.channels() == 3);
    CHECK(count_pixels(sheet, 250, 228, 224) == 0);  // no error
  }
}

TEST_CASE("preview: options out of range are refused") {
  std::vector<Sample> samples;
  samples.push_back(one_colour({40, 40}, 1, 2, 3));
  const Loader loader = make_loader(std::move(samples), crop());
  const auto sheet = [&](std::int64_t num_samples, std::int64_t num_variants, std::int64_t cell) {
    return contact_sheet(loader, {num_samples, num_variants, 0, cell});
  };
  CHECK_THROWS_AS(sheet(0, 1, 64), ConfigError);
  CHECK_THROWS_AS(sheet(1, 0, 64), ConfigError);
  CHECK_THROWS_AS(sheet(1, 1, 0), ConfigError);
  CHECK_THROWS_AS(sheet(-1, 1, 64), ConfigError);
  CHECK_THROWS_AS(sheet(1000, 100, 4096), ConfigError);
}

TEST_CASE("preview: a PNG that is written reads back as it was, colour and grey, gaps between the rows or none") {
  const TempDir dir;
  const auto path = dir.path() / "image.png";
  for (const int channels : {1, 3}) {
    const DecodeOptions options{.color = channels == 1 ? Color::grey : Color::rgb, .apply_orientation = true};
    const Image whole = noise_image({40, 90}, channels, 5);
    for (std::int64_t width = 1; width <= 67; ++width) {
      CAPTURE(channels);
      CAPTURE(width);
      const ImageView part = whole.view().crop({3, 5, 1 + width % 13, width});
      write_png(path, part);
      const std::vector<std::uint8_t> bytes = read_bytes(path);
      CHECK(bytes[25] == (channels == 1 ? 0 : 2));  // stored as what it is: PNG's colour type grey or RGB
      CHECK(decode(bytes, options) == Image(part));
    }
  }
}

TEST_CASE("preview: a PNG of what PNG cannot hold is refused, and nothing is written") {
  const TempDir dir;
  const auto path = dir.path() / "image.png";
  const Image image = noise_image({4, 4}, 3, 5);
  CHECK_THROWS_WITH_AS(write_png(path, noise_image({4, 4}, 2, 5).view()),
                       "[write_png] expected 1 or 3 channels, received 2", ShapeError);
  CHECK_THROWS_AS(write_png(path, Image().view()), ShapeError);
  for (const Size size : {Size{0, 4}, Size{4, 0}, Size{-1, 4}, Size{1'000'001, 4}, Size{4, (1LL << 32) + 4}}) {
    CAPTURE(to_string(size));
    CHECK_THROWS_AS(write_png(path, {image.data(), size, 3, 0}), ShapeError);
  }
  CHECK(!std::filesystem::exists(path));
}

TEST_CASE("preview: a PNG that cannot be written is an error that names the path and the cause") {
  const auto message_of = [](const std::filesystem::path& path, const Image& image) -> std::string {
    try {
      write_png(path, image.view());
    } catch (const SourceError& error) {
      return error.what();
    }
    return "written";
  };
  const Image image = noise_image({4, 4}, 3, 5);
  CHECK(message_of("/no/such/folder/image.png", image) ==
        "[write_png] cannot be written: No such file or directory (/no/such/folder/image.png)");
  const TempDir dir;
  CHECK(message_of(dir.path(), image) == "[write_png] cannot be written: Is a directory (" + dir.path().string() + ")");
  // A full disk is noticed while writing, or of a small file only when it is closed.
  if (std::filesystem::exists("/dev/full")) {
    const std::string full = "[write_png] cannot be written: No space left on device (/dev/full)";
    CHECK(message_of("/dev/full", image) == full);
    CHECK(message_of("/dev/full", noise_image({300, 300}, 3, 5)) == full);
  }
}
