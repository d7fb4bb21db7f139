// The contact sheet of a batch: floats become the pixels that they were.
#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "loader_support.hpp"
#include "muster/muster.hpp"
#include "preview/style.hpp"
#include "preview_support.hpp"
#include "support.hpp"

namespace {

using namespace muster;
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

void break_sample(Sample& sample) {
  sample.image = nullptr;
  sample.bytes = {'n', 'o'};
}

/// True if `picture` is picture i of the sheet's first row, below a header of some lines.
bool shows(const Image& sheet, std::int64_t i, const Image& picture) {
  const std::int64_t x = style::margin + i * (size.width + style::gap);
  for (std::int64_t num_lines = 2; num_lines < 6; ++num_lines) {
    const std::int64_t y = style::margin + num_lines * style::line_height + style::gap;
    if (Image(sheet.view().crop({y, x, size.height, size.width})) == picture) return true;
  }
  return false;
}

bool has_colour(const Image& sheet, Colour colour) {
  for (std::size_t i = 0; i < sheet.size_bytes(); i += 3) {
    const std::uint8_t* pixel = sheet.data() + i;
    if (pixel[0] == colour.red && pixel[1] == colour.green && pixel[2] == colour.blue) return true;
  }
  return false;
}

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
          CHECK(shows(sheet, i, pixels_of(loader, 0, static_cast<std::uint64_t>(i))));
        }
        if (!by_hand) continue;
        CHECK(contact_sheet(batch, {.layout = layout, .normalize = by_hand, .cell = size.width}) == sheet);
      }
    }
  }
}

TEST_CASE("batch sheet: fillers, masked and substituted rows are marked") {
  std::vector<Sample> samples = noise_samples(3);
  const auto sheet = [](std::vector<Sample> made, OnError policy, LastBatch last) {
    Loader loader(MemorySource(std::move(made)), Pipeline{RandomCrop{.size = size, .pad_if_needed = true}},
                  {.batch_size = 4, .last_batch = last, .on_error = policy});
    return contact_sheet(first_batch(loader), {.cell = 64});
  };
  const Image plain = sheet(samples, OnError::mask, LastBatch::partial);
  CHECK(!has_colour(plain, style::error_ink));
  CHECK(!has_colour(plain, style::substitute_ink));
  CHECK(sheet(samples, OnError::mask, LastBatch::pad).width() >= plain.width());
  CHECK(sheet(samples, OnError::mask, LastBatch::pad) != sheet(samples, OnError::mask, LastBatch::wrap));
  break_sample(samples[1]);
  CHECK(has_colour(sheet(samples, OnError::mask, LastBatch::partial), style::error_ink));
  CHECK(has_colour(sheet(samples, OnError::substitute, LastBatch::partial), style::substitute_ink));
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
  // Pictures alone would fit; their captions do not.
  CHECK(test::mentions(refusal({.max_rows = n, .num_columns = 1, .cell = 48}), {"sides of at most 1000000"}));
  CHECK(test::mentions(refusal({.max_rows = n, .num_columns = 100, .cell = 2000}), {"256 Mpixel"}));
  CHECK(contact_sheet(batch, {.max_rows = n, .num_columns = 100, .cell = 32}).width() > 4000);
}

TEST_CASE("batch sheet: what cannot be shown is refused with what to do") {
  const Pipeline pipeline{RandomCrop{.size = size, .pad_if_needed = true}, Normalize{imagenet_mean, imagenet_stddev}};
  Loader loader(MemorySource(noise_samples(4)), pipeline, {.batch_size = 4});
  const Batch batch = first_batch(loader);
  CHECK_THROWS_AS(contact_sheet(batch), ConfigError);  // floats of what?
  CHECK_THROWS_AS(contact_sheet(batch, {.layout = Layout::nhwc, .pipeline = pipeline}), ShapeError);
  CHECK_THROWS_AS(contact_sheet(batch, {.normalize = Normalize{0.5, 0.0}}), ConfigError);
  CHECK_THROWS_AS(contact_sheet(batch, {.pipeline = pipeline, .max_rows = 0}), ConfigError);
  CHECK_THROWS_AS(contact_sheet(batch, {.pipeline = pipeline, .num_columns = 0}), ConfigError);
  CHECK_THROWS_AS(contact_sheet(batch, {.pipeline = pipeline, .cell = 5}), ConfigError);
  CHECK_THROWS_AS(contact_sheet(Batch{}), ShapeError);
  const Pipeline grey({RandomCrop{.size = size, .pad_if_needed = true}}, {.color = Color::grey});
  CHECK_THROWS_AS(contact_sheet(batch, {.pipeline = grey}), ShapeError);
  CHECK(contact_sheet(batch, {.pipeline = pipeline, .max_rows = 1}).height() <=
        contact_sheet(batch, {.pipeline = pipeline, .num_columns = 1}).height() / 2);
}
