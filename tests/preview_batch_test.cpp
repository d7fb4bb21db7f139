// The contact sheet of a batch: floats become the pixels that they were.
#include <doctest/doctest.h>

#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "jpeg.hpp"
#include "loader_support.hpp"
#include "muster/muster.hpp"
#include "preview/style.hpp"
#include "preview_support.hpp"
#include "support.hpp"

namespace {

using namespace muster;
using muster::test::break_sample;
using muster::test::noise_image;
using muster::test::pixels_of;

constexpr Size size = {32, 32};

std::vector<Sample> noise_samples(std::size_t count) {
  std::vector<Sample> samples(count);
  for (std::size_t i = 0; i < count; ++i) {
    samples[i].image = std::make_shared<Image>(noise_image(size, 3, static_cast<std::uint32_t>(i + 1)));
  }
  return samples;
}

std::int64_t left_of(std::int64_t i) { return style::margin + i * (size.width + style::gap); }

/// Where picture i of the sheet's first row begins, below a header of some lines; nothing if it is not `picture`.
std::optional<std::int64_t> top_of(const Image& sheet, std::int64_t i, const Image& picture) {
  for (std::int64_t num_lines = 2; num_lines < 6; ++num_lines) {
    const std::int64_t y = style::margin + num_lines * style::line_height + style::gap;
    if (Image(sheet.view().crop({y, left_of(i), size.height, size.width})) == picture) return y;
  }
  return std::nullopt;
}

/// The colour just above a picture: that of its mark, or paper.
Colour above(const Image& sheet, std::int64_t i, std::int64_t top) {
  const std::uint8_t* pixel = sheet.row(top - 2) + 3 * left_of(i);
  return {pixel[0], pixel[1], pixel[2]};
}

bool same(Colour a, Colour b) { return a.red == b.red && a.green == b.green && a.blue == b.blue; }

Batch first_batch(Loader& loader) {
  EpochRange epoch = loader.epoch(0);
  return epoch.next().value();
}

}  // namespace

TEST_CASE("batch sheet: every element type and layout gives back every byte") {
  const Normalize normalize{imagenet_mean, imagenet_stddev};
  const std::vector<std::pair<Pipeline, std::optional<Normalize>>> pipelines = {
      {Pipeline{RandomCrop{.size = size, .pad_if_needed = true}, normalize}, normalize},
      {Pipeline{RandomCrop{.size = size, .pad_if_needed = true}, ToFloat{}}, Normalize{0.0, 1.0}},
      {Pipeline{RandomCrop{.size = size, .pad_if_needed = true}}, std::nullopt},
  };
  for (const auto& [pipeline, by_hand] : pipelines) {
    for (const DType dtype : {DType::uint8, DType::float16, DType::bfloat16, DType::float32}) {
      for (const Layout layout : {Layout::nchw, Layout::nhwc}) {
        CAPTURE(name(dtype));
        CAPTURE(name(layout));
        Loader loader(MemorySource(noise_samples(4)), pipeline, {.batch_size = 4, .dtype = dtype, .layout = layout});
        const Batch batch = first_batch(loader);
        const Image sheet = contact_sheet(batch, {.layout = layout, .pipeline = pipeline, .cell = size.width});
        for (std::int64_t i = 0; i < 4; ++i) {
          CHECK(top_of(sheet, i, pixels_of(loader, 0, static_cast<std::uint64_t>(i))));
        }
        if (!by_hand) continue;
        CHECK(contact_sheet(batch, {.layout = layout, .normalize = by_hand, .cell = size.width}) == sheet);
      }
    }
  }
}

TEST_CASE("batch sheet: floats that the trainer changed become the pixel values that come closest") {
  const Pipeline pipeline{RandomCrop{.size = size, .pad_if_needed = true}, ToFloat{}};
  Loader loader(MemorySource(noise_samples(2)), pipeline, {.batch_size = 2});
  const Batch batch = first_batch(loader);
  const BatchSheetOptions options{.pipeline = pipeline, .cell = size.width};
  const Image sheet = contact_sheet(batch, options);
  const auto after = [&](float change) {
    Loader again(MemorySource(noise_samples(2)), pipeline, {.batch_size = 2});
    Batch changed = first_batch(again);
    for (float& value : changed.images.as<float>()) value += change;
    return contact_sheet(changed, options);
  };
  CHECK(after(0.45F / 255) == sheet);
  CHECK(after(-0.45F / 255) == sheet);
  CHECK(after(0.55F / 255) != sheet);
  CHECK(!top_of(after(-0.55F / 255), 0, pixels_of(loader, 0, 0)));
}

TEST_CASE("batch sheet: what comes closest is asked of the values of each element type, not of their bits") {
  const Pipeline pipeline{RandomCrop{.size = size, .pad_if_needed = true}, ToFloat{}};
  for (const DType dtype : {DType::float16, DType::bfloat16, DType::float32}) {
    CAPTURE(name(dtype));
    const auto sheet_of = [&](std::uint8_t pixel, std::optional<float> changed_to) {
      Image image(size, 3);
      std::ranges::fill(std::span(image.data(), image.size_bytes()), pixel);
      Sample sample;
      sample.image = std::make_shared<Image>(std::move(image));
      Loader loader(MemorySource({sample}), pipeline, {.batch_size = 1, .dtype = dtype});
      Batch batch = first_batch(loader);
      if (changed_to && dtype == DType::float32) {
        std::ranges::fill(batch.images.as<float>(), *changed_to);
      } else if (changed_to) {
        const std::uint16_t bits = dtype == DType::float16 ? to_float16(*changed_to) : to_bfloat16(*changed_to);
        std::ranges::fill(batch.images.as<std::uint16_t>(), bits);
      }
      return contact_sheet(batch, {.pipeline = pipeline, .cell = size.width});
    };
    CHECK(sheet_of(9, 0.3F / 255) == sheet_of(0, std::nullopt));
    CHECK(sheet_of(9, 0.7F / 255) == sheet_of(1, std::nullopt));
  }
}

TEST_CASE("batch sheet: fillers, wrapped, masked, substituted and warned rows are marked, and no others") {
  const Pipeline pipeline{RandomCrop{.size = size, .pad_if_needed = true}};
  // The colour above each of the pictures, which are those of the batch.
  const auto marks = [&](std::vector<Sample> samples, LoaderOptions options) {
    options.batch_size = 4;
    options.layout = Layout::nhwc;
    Loader loader(MemorySource(std::move(samples)), pipeline, options);
    const Batch batch = first_batch(loader);
    const Image sheet = contact_sheet(batch, {.layout = Layout::nhwc, .cell = size.width});
    std::vector<Colour> colours;
    for (std::int64_t i = 0; i < batch.num_rows(); ++i) {
      const auto* pixels = reinterpret_cast<const std::uint8_t*>(batch.images.row(i).data());
      const auto top = top_of(sheet, i, Image({pixels, size, 3, 3 * size.width}));
      REQUIRE(top);
      colours.push_back(above(sheet, i, *top));
    }
    return colours;
  };
  const auto expect = [&](const std::vector<Colour>& received, const std::vector<Colour>& expected) {
    REQUIRE(received.size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) CHECK(same(received[i], expected[i]));
  };
  using namespace style;
  const std::vector<Sample> sound = noise_samples(3);
  expect(marks(sound, {}), {paper, paper, paper});
  expect(marks(sound, {.last_batch = LastBatch::pad}), {paper, paper, paper, faint_ink});
  expect(marks(sound, {.last_batch = LastBatch::wrap}), {paper, paper, paper, faint_ink});
  std::vector<Sample> broken = sound;
  break_sample(broken[1]);
  expect(marks(broken, {.on_error = OnError::mask}), {paper, error_ink, paper});
  expect(marks(broken, {.on_error = OnError::substitute}), {paper, substitute_ink, paper});
  std::vector<Sample> cut = sound;
  cut[2].image = nullptr;
  cut[2].bytes = test::write_jpeg(noise_image(size, 3, 9), {});
  cut[2].bytes.resize(cut[2].bytes.size() - 2);  // no end-of-image marker
  expect(marks(cut, {.integrity = Integrity::lenient}), {paper, paper, substitute_ink});
}

TEST_CASE("batch sheet: one that would be too large is refused with what to lower") {
  Batch batch;
  constexpr std::int64_t n = 9'000;
  batch.images = Tensor::allocate(DType::uint8, {n, 3, 8, 8});
  std::memset(batch.images.data(), 0, batch.images.size_bytes());
  batch.labels = Tensor::allocate(DType::int64, {n});
  std::memset(batch.labels.data(), 0, batch.labels.size_bytes());
  batch.valid = Tensor::allocate(DType::uint8, {n});
  std::memset(batch.valid.data(), 0, batch.valid.size_bytes());
  batch.ids.resize(n);
  batch.rows.resize(n, Batch::no_sample);
  batch.plans.resize(n);
  const auto refusal = [&](const BatchSheetOptions& options) {
    return test::message_of<ConfigError>([&] { contact_sheet(batch, options); });
  };
  CHECK(test::mentions(refusal({.max_rows = n, .num_columns = 1, .cell = 64}),
                       {"9000 rows, 1 beside each other", "sides of at most 1000000", "more columns"}));
  // Pictures alone would fit: 6000 x 76 rows of 508 pixels. Their captions do not.
  CHECK(test::mentions(refusal({.max_rows = 6000, .num_columns = 1, .cell = 48}), {"6000 rows", "256 Mpixel"}));
  CHECK(test::mentions(refusal({.max_rows = n, .num_columns = 100, .cell = 2000}), {"256 Mpixel"}));
  CHECK(contact_sheet(batch, {.max_rows = n, .num_columns = 100, .cell = 32}).width() > 4000);
}

TEST_CASE("batch sheet: what cannot be shown is refused with what to do") {
  const Pipeline pipeline{RandomCrop{.size = size, .pad_if_needed = true}, Normalize{imagenet_mean, imagenet_stddev}};
  Loader loader(MemorySource(noise_samples(4)), pipeline, {.batch_size = 4});
  const Batch batch = first_batch(loader);
  const auto refusal = [&](const BatchSheetOptions& options) {
    return test::message_of<ConfigError>([&] { contact_sheet(batch, options); });
  };
  CHECK(test::mentions(refusal({}), {"a batch of float32 needs the `pipeline` that made it"}));
  CHECK(test::mentions(
      test::message_of<ShapeError>([&] { contact_sheet(batch, {.layout = Layout::nhwc, .pipeline = pipeline}); }),
      {"of 1 or 3 channels as nhwc", "is the layout that of the loader?"}));
  CHECK_THROWS_AS(contact_sheet(batch, {.normalize = Normalize{0.5, 0.0}}), ConfigError);
  CHECK(test::mentions(refusal({.pipeline = pipeline, .max_rows = 0}), {"max_rows: expected 1"}));
  CHECK(test::mentions(refusal({.pipeline = pipeline, .num_columns = 0}), {"num_columns: expected 1"}));
  CHECK(test::mentions(refusal({.pipeline = pipeline, .cell = 5}), {"cell: expected 32"}));
  CHECK_THROWS_AS(contact_sheet(Batch{}), ShapeError);
  const auto wrong_shape = [](const Batch& shown) {
    return test::message_of<ShapeError>([&] { contact_sheet(shown); });
  };
  Batch numbers = first_batch(loader);
  numbers.images = Tensor::allocate(DType::int64, {4, 3, 32, 32});
  CHECK(test::mentions(wrong_shape(numbers), {"expected images of uint8 or floats, received int64"}));
  Batch uneven = first_batch(loader);
  uneven.ids.pop_back();
  CHECK(test::mentions(wrong_shape(uneven), {"the members of the batch do not have one number of rows"}));
  const Pipeline grey({RandomCrop{.size = size, .pad_if_needed = true}}, {.color = Color::grey});
  CHECK_THROWS_AS(contact_sheet(batch, {.pipeline = grey}), ShapeError);
  CHECK(contact_sheet(batch, {.pipeline = pipeline, .max_rows = 1, .num_columns = 1}).height() <=
        contact_sheet(batch, {.pipeline = pipeline, .num_columns = 1}).height() / 2);
}
