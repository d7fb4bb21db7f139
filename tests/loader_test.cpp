// The loader's shape and order: which rows come in which batch, and how a row can be replayed alone.
#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include "loader_support.hpp"

namespace muster::test {
namespace {

std::vector<std::int64_t> batch_sizes(Loader& loader, std::uint64_t epoch = 0) {
  std::vector<std::int64_t> sizes;
  for (const Batch& batch : loader.epoch(epoch)) sizes.push_back(batch.num_rows());
  return sizes;
}

std::vector<std::uint64_t> ids_of(const std::vector<RowCopy>& rows) {
  std::vector<std::uint64_t> ids;
  for (const RowCopy& row : rows) ids.push_back(row.id);
  return ids;
}

}  // namespace

TEST_CASE("loader: every batch has the shape, dtype and numbers that its spec promises") {
  Loader loader{NoiseSource{10}, random_pipeline(), {.batch_size = 4, .num_threads = 2}};
  const BatchSpec spec = loader.spec();
  CHECK(spec.shape() == Shape{4, 3, 8, 6});
  CHECK(spec.last_batch_size == 2);
  CHECK(spec.dtype == DType::uint8);
  CHECK(loader.num_batches() == 3);
  CHECK(loader.num_rows() == 10);
  CHECK(loader.num_threads() == 2);
  EpochRange range = loader.epoch(5);
  CHECK(range.epoch() == 5);
  CHECK(range.num_batches() == 3);
  std::uint64_t index = 0;
  for (const Batch& batch : range) {
    const std::int64_t n = index == 2 ? 2 : 4;
    CHECK(batch.images.shape() == Shape{n, 3, 8, 6});
    CHECK(batch.labels.shape() == Shape{n});
    CHECK(batch.labels.dtype() == DType::int64);
    CHECK(batch.valid.shape() == Shape{n});
    CHECK(batch.valid.dtype() == DType::uint8);
    CHECK(batch.ids.size() == static_cast<std::size_t>(n));
    CHECK(batch.rows.size() == static_cast<std::size_t>(n));
    CHECK(batch.plans.size() == static_cast<std::size_t>(n));
    CHECK(batch.epoch == 5);
    CHECK(batch.index == index++);
  }
  CHECK(index == 3);
}

TEST_CASE("loader: without shuffle row k is sample k, with its label, plan and name kept together") {
  Loader loader{NoiseSource{7}, random_pipeline(), {.batch_size = 3, .num_threads = 3}};
  std::uint64_t expected = 0;
  std::int64_t num_bytes = 0;
  for (const Batch& batch : loader.epoch(2)) {
    for (std::size_t k = 0; k < batch.ids.size(); ++k, ++expected) {
      CHECK(batch.ids[k] == expected);
      CHECK(batch.rows[k] == expected);
      CHECK(batch.labels.as<std::int64_t>()[k] == static_cast<std::int64_t>(10 * expected));
      CHECK(batch.valid.as<std::uint8_t>()[k] == 1);
      CHECK(batch.plans[k].key == SampleKey{0, 2, expected});
      CHECK(batch.plans[k].source == NoiseSource::image(expected).size());
      CHECK(batch.plans[k].output == Size{8, 6});
    }
    num_bytes += batch.num_bytes_read;
  }
  CHECK(expected == 7);
  std::size_t encoded_bytes = 0;
  for (std::uint64_t id = 0; id < 7; ++id) encoded_bytes += encoded(NoiseSource::image(id)).size();
  CHECK(num_bytes == static_cast<std::int64_t>(encoded_bytes));
  CHECK(loader.report().num_bytes_read == encoded_bytes);
}

TEST_CASE("loader: shuffle gives every sample once, in the order that ShuffledOrder names, anew each epoch") {
  Loader loader{NoiseSource{23}, random_pipeline(), {.batch_size = 5, .shuffle = true, .seed = 9, .num_threads = 2}};
  const ShuffledOrder order(23, 9);
  std::vector<std::vector<std::uint64_t>> epochs;
  for (std::uint64_t epoch = 0; epoch < 2; ++epoch) {
    std::vector<std::uint64_t> ids = ids_of(rows_of(loader, epoch));
    REQUIRE(ids.size() == 23);
    for (std::uint64_t row = 0; row < 23; ++row) CHECK(ids[row] == order.sample_id(epoch, row));
    epochs.push_back(ids);
    std::sort(ids.begin(), ids.end());
    for (std::uint64_t id = 0; id < 23; ++id) CHECK(ids[id] == id);
  }
  CHECK(epochs[0] != epochs[1]);
}

TEST_CASE("loader: a source that is read in sequence is shuffled within its blocks alone, anew each epoch") {
  class Blocks : public NoiseSource {
   public:
    using NoiseSource::NoiseSource;
    std::uint64_t shuffle_block() const override { return 10; }
  };
  Loader loader{Blocks{34}, random_pipeline(), {.batch_size = 34, .shuffle = true, .seed = 5}};
  std::vector<std::uint64_t> first;
  for (std::uint64_t epoch = 0; epoch < 2; ++epoch) {
    const std::vector<RowCopy> rows = rows_of(loader, epoch);
    REQUIRE(rows.size() == 34);
    std::vector<std::uint64_t> ids;
    for (const RowCopy& row : rows) ids.push_back(row.id);
    CHECK(ids != first);
    CHECK_FALSE(std::ranges::is_sorted(ids));
    first = ids;
    for (std::size_t begin = 0; begin < 34; begin += 10) {  // one block after the other, the short one too
      const std::size_t end = std::min<std::size_t>(begin + 10, 34);
      std::ranges::sort(ids.begin() + static_cast<std::ptrdiff_t>(begin),
                        ids.begin() + static_cast<std::ptrdiff_t>(end));
    }
    std::vector<std::uint64_t> whole(34);
    std::iota(whole.begin(), whole.end(), 0);
    CHECK(ids == whole);
  }
}

TEST_CASE("loader: partial ends with size % batch_size rows") {
  Loader loader{NoiseSource{10}, random_pipeline(), {.batch_size = 4, .last_batch = LastBatch::partial}};
  CHECK(batch_sizes(loader) == std::vector<std::int64_t>{4, 4, 2});
  Loader one{NoiseSource{3}, random_pipeline(), {.batch_size = 8}};
  CHECK(batch_sizes(one) == std::vector<std::int64_t>{3});
}

TEST_CASE("loader: drop leaves out the rows that fill no batch") {
  Loader loader{NoiseSource{10}, random_pipeline(), {.batch_size = 4, .last_batch = LastBatch::drop}};
  CHECK(batch_sizes(loader) == std::vector<std::int64_t>{4, 4});
  CHECK(loader.report().num_rows == 8);
  CHECK(loader.spec().last_batch_size == 4);
}

TEST_CASE("loader: pad fills with zero rows, valid 0, the filler label and no sample") {
  Loader loader{NoiseSource{10},
                random_pipeline(),
                {.batch_size = 4, .last_batch = LastBatch::pad, .filler_label = -7, .num_threads = 2, .prefetch = 1}};
  for (std::uint64_t epoch = 0; epoch < 3; ++epoch) {  // recycled memory shows nothing of the epoch before
    std::vector<Batch> batches;
    for (Batch& batch : loader.epoch(epoch)) batches.push_back(std::move(batch));
    REQUIRE(batches.size() == 3);
    CHECK(batches[1].num_fillers == 0);
    const Batch& last = batches[2];
    CHECK(last.num_rows() == 4);
    CHECK(last.num_fillers == 2);
    std::vector<RowCopy> rows;
    append_rows(last, rows);
    CHECK(rows[1].valid);
    CHECK_FALSE(is_zero(rows[1].pixels));
    for (std::size_t k = 2; k < 4; ++k) {
      CHECK_FALSE(rows[k].valid);
      CHECK(is_zero(rows[k].pixels));
      CHECK(rows[k].label == -7);
      CHECK(rows[k].id == Batch::no_sample);
      CHECK(rows[k].row == Batch::no_sample);
      CHECK(last.plans[k].stages.empty());
    }
  }
  const Report report = loader.report();
  CHECK(report.num_rows == 36);
  CHECK(report.num_loaded == 30);
  CHECK(report.num_fillers == 6);
}

TEST_CASE("loader: wrap fills with the epoch's first rows, byte for byte, and counts them") {
  Loader loader{NoiseSource{10},
                random_pipeline(),
                {.batch_size = 4, .shuffle = true, .last_batch = LastBatch::wrap, .num_threads = 2}};
  std::vector<RowCopy> rows;
  std::vector<std::int64_t> num_wrapped;
  for (const Batch& batch : loader.epoch(1)) {
    append_rows(batch, rows);
    num_wrapped.push_back(batch.num_wrapped);
  }
  REQUIRE(rows.size() == 12);
  CHECK(num_wrapped == std::vector<std::int64_t>{0, 0, 2});
  CHECK(rows[10] == rows[0]);
  CHECK(rows[11] == rows[1]);
  CHECK(loader.report().num_wrapped == 2);
  CHECK(loader.report().num_loaded == 12);
}

TEST_CASE("loader: strict refuses a size that does not divide, and takes one that does") {
  const LoaderOptions options{.batch_size = 4, .last_batch = LastBatch::strict};
  CHECK_THROWS_AS(Loader(NoiseSource{10}, random_pipeline(), options), ConfigError);
  Loader loader{NoiseSource{8}, random_pipeline(), options};
  CHECK(batch_sizes(loader) == std::vector<std::int64_t>{4, 4});
}

TEST_CASE("loader: shards together deliver every row once, with the bytes of the unsharded epoch") {
  Loader whole{NoiseSource{11}, random_pipeline(), {.batch_size = 4, .shuffle = true, .seed = 3}};
  const std::vector<RowCopy> expected = rows_of(whole, 4);
  std::vector<RowCopy> rows(11);
  std::vector<int> seen(11);
  for (std::uint64_t rank = 0; rank < 3; ++rank) {
    Loader loader{NoiseSource{11},
                  random_pipeline(),
                  {.batch_size = 2, .shuffle = true, .seed = 3, .last_batch = LastBatch::pad, .shard = {rank, 3}}};
    CHECK(loader.num_batches() == 2);
    for (const RowCopy& row : rows_of(loader, 4)) {
      if (!row.valid) continue;
      CHECK(row.row % 3 == rank);
      rows[row.row] = row;
      ++seen[row.row];
    }
  }
  CHECK(seen == std::vector<int>(11, 1));
  CHECK(rows == expected);
}

TEST_CASE("loader: an order of one's own decides the rows; leaving samples out changes nobody's pixels") {
  class EveryThird : public Order {
   public:
    std::uint64_t num_rows() const override { return 4; }
    std::uint64_t sample_id(std::uint64_t, std::uint64_t row) const override { return 3 * row; }
  };
  Loader all{NoiseSource{12}, random_pipeline(), {.batch_size = 5}};
  Loader some{NoiseSource{12}, random_pipeline(), {.batch_size = 3, .order = std::make_shared<EveryThird>()}};
  CHECK(some.num_rows() == 4);
  const std::vector<RowCopy> expected = rows_of(all, 1);
  const std::vector<RowCopy> rows = rows_of(some, 1);
  REQUIRE(rows.size() == 4);
  for (std::size_t k = 0; k < 4; ++k) {
    CHECK(rows[k].id == 3 * k);
    CHECK(rows[k].pixels == expected[3 * k].pixels);
  }
}

TEST_CASE("loader: plan and sample replay each row alone, under every last-batch policy") {
  for (const LastBatch policy : {LastBatch::partial, LastBatch::drop, LastBatch::pad, LastBatch::wrap}) {
    Loader loader{NoiseSource{10},
                  random_pipeline(),
                  {.batch_size = 4, .shuffle = true, .seed = 6, .last_batch = policy, .num_threads = 2}};
    for (const Batch& batch : loader.epoch(3)) {
      std::vector<RowCopy> rows;
      append_rows(batch, rows);
      for (std::size_t k = 0; k < rows.size(); ++k) {
        if (!rows[k].valid) continue;
        const Batch alone = loader.sample(3, rows[k].row);
        std::vector<RowCopy> replayed;
        append_rows(alone, replayed);
        CHECK(alone.images.shape() == Shape{1, 3, 8, 6});
        CHECK(replayed.at(0) == rows[k]);
        CHECK(alone.epoch == 3);
        CHECK((batch.num_wrapped > 0 || alone.index == batch.index));
        const Plan plan = loader.plan(3, rows[k].row);
        CHECK(plan.window == batch.plans[k].window);
        CHECK(plan.output_to_source == batch.plans[k].output_to_source);
        CHECK(plan.flip_horizontal == batch.plans[k].flip_horizontal);
      }
    }
  }
}

TEST_CASE("loader: plan and sample refuse a row beyond the epoch and name the file of a bad sample") {
  NoiseSource source{5};
  source.bad = {1};
  source.garbled = {2};
  Loader loader{source, random_pipeline(), {.batch_size = 2, .on_error = OnError::mask}};
  CHECK(mentions(message_of<ConfigError>([&] { loader.plan(0, 5); }), {"below 5", "received 5"}));
  CHECK(mentions(message_of<ConfigError>([&] { loader.sample(0, 5); }), {"below 5", "received 5"}));
  CHECK(mentions(message_of<SourceError>([&] { loader.plan(0, 1); }), {"sample 1", "dir/1.ppm", "read"}));
  CHECK(mentions(message_of<DecodeError>([&] { loader.sample(0, 2); }), {"sample 2", "dir/2.ppm", "decode"}));
}

TEST_CASE("loader: require accepts what fits and says before the first batch what does not") {
  Loader loader{NoiseSource{10}, random_pipeline(), {.batch_size = 5}};
  CHECK_NOTHROW(loader.require({.batch_size = 5, .channels = 3, .height = 8, .width = 6, .dtype = {}, .layout = {}}));
  CHECK_NOTHROW(loader.require({.batch_size = any, .channels = 3, .height = 8, .width = 6, .dtype = {}, .layout = {}}));
  const std::string message = message_of<ShapeError>(
      [&] { loader.require({.batch_size = 64, .channels = 3, .height = 8, .width = 8, .dtype = {}, .layout = {}}); });
  CHECK(mentions(message, {"batch size", "64", "width", "8", "6"}));
}

TEST_CASE("loader: options that cannot work are refused when it is made, with advice") {
  const auto refusal = [](const LoaderOptions& options) {
    return message_of<ConfigError>([&] { Loader(NoiseSource{4}, random_pipeline(), options); });
  };
  CHECK(mentions(refusal({.batch_size = 0}), {"batch size", "received 0"}));
  CHECK(mentions(refusal({.batch_size = -3}), {"-3"}));
  CHECK(mentions(refusal({.prefetch = 0}), {"prefetch", "received 0"}));
  CHECK(mentions(refusal({.num_threads = -1}), {"threads", "received -1"}));
  CHECK(mentions(refusal({.num_threads = 1 << 20}), {"threads"}));
  CHECK(mentions(refusal({.dtype = DType::int64}), {"int64", "float32"}));
  CHECK(mentions(refusal({.shard = {2, 2}}), {"shard"}));
  CHECK(mentions(refusal({.limits = {.max_pixels = 0}}), {"limits", "max_pixels 0"}));
  CHECK(mentions(refusal({.limits = {.max_bytes = -1}}), {"limits", "max_bytes -1"}));
  CHECK(mentions(refusal({.batch_size = std::int64_t{1} << 60}), {"batch_size"}));
  CHECK(mentions(refusal({.shuffle = true, .order = std::make_shared<SequentialOrder>(4)}), {"shuffle", "order"}));
  CHECK(mentions(refusal({.order = std::make_shared<SequentialOrder>(0)}), {"row"}));
  CHECK(mentions(refusal({.batch_size = 5, .last_batch = LastBatch::drop}), {"drop"}));
  CHECK(mentions(message_of<ConfigError>([] { Loader(NoiseSource{0}, random_pipeline()); }), {"empty"}));
  CHECK(
      mentions(message_of<ConfigError>([] { Loader(std::shared_ptr<const Source>(), random_pipeline()); }), {"null"}));
}

TEST_CASE("loader: options() shows what was left open with its default") {
  const Loader pixels{NoiseSource{4}, random_pipeline()};
  CHECK(pixels.options().dtype == DType::uint8);
  CHECK(pixels.num_threads() >= 1);
  const Loader floats{NoiseSource{4}, Pipeline{CenterCrop{.size = {4, 4}}, ToFloat{}}};
  CHECK(floats.options().dtype == DType::float32);
  CHECK(floats.pipeline().makes_floats());
  CHECK(floats.source().size() == 4);
}

TEST_CASE("loader: the batches of an epoch come alike from a loop and from next()") {
  Loader loader{NoiseSource{9}, random_pipeline(), {.batch_size = 4, .num_threads = 2}};
  std::vector<RowCopy> rows;
  EpochRange range = loader.epoch(1);
  while (const std::optional<Batch> batch = range.next()) append_rows(*batch, rows);
  CHECK(rows == rows_of(loader, 1));
  CHECK_FALSE(range.next().has_value());  // and stays at its end
  CHECK(range.begin() == range.end());
}

}  // namespace muster::test
