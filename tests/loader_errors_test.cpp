// The loader's errors: what each policy makes of bad samples, and how foreign exceptions reach the consumer.
#include <doctest/doctest.h>

#include <functional>
#include <new>

#include "loader_support.hpp"

namespace muster::test {
namespace {

const std::set<std::uint64_t> some_bad = {2, 3, 9, 13};

NoiseSource source_with(std::set<std::uint64_t> bad, std::uint64_t num_samples = 16) {
  NoiseSource source{num_samples};
  source.bad = std::move(bad);
  return source;
}

LoaderOptions with(OnError policy, int num_threads = 2) {
  return {.batch_size = 4, .shuffle = true, .seed = 8, .on_error = policy, .num_threads = num_threads};
}

/// A stage that throws, or returns another size than it declared, for an image that is white.
struct Picky {
  enum class Fault { standard, foreign, memory, size };
  Fault fault;

  ExtentResult output_extent(const Extent& in) const { return in; }
  Image operator()(Image image, Rng&) const {
    if (image.data()[0] != 255) return image;
    switch (fault) {
      case Fault::standard:
        throw std::runtime_error("too white");
      case Fault::foreign:
        throw 42;
      case Fault::memory:
        throw std::bad_alloc();
      case Fault::size:
        return Image({3, 5}, 3);
    }
    return image;
  }
};

/// Eight black images, but the sixth is white.
MemorySource one_white() {
  std::vector<Sample> samples(8);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    Image image({4, 4}, 3);
    std::fill_n(image.data(), image.size_bytes(), i == 5 ? std::uint8_t{255} : std::uint8_t{0});
    samples[i].image = std::make_shared<const Image>(std::move(image));
    names.push_back("n" + std::to_string(i) + ".png");
  }
  return MemorySource(std::move(samples), names);
}

Pipeline picky(Picky::Fault fault) { return {CenterCrop{.size = {4, 4}}, Picky{fault}}; }

/// The rows delivered before the error, and the error.
struct Failure {
  std::vector<RowCopy> rows;
  std::exception_ptr error;
};

Failure fail(Loader& loader, std::uint64_t epoch = 0) {
  Failure failure;
  EpochRange range = loader.epoch(epoch);
  try {
    while (const auto batch = range.next()) append_rows(*batch, failure.rows);
  } catch (...) {
    failure.error = std::current_exception();
  }
  CHECK_FALSE(range.next().has_value());  // an error ends the epoch
  return failure;
}

template <class E>
std::string what_of(const std::exception_ptr& error) {
  return message_of<E>([&] {
    if (error) std::rethrow_exception(error);
  });
}

}  // namespace

TEST_CASE("loader: raise rethrows the first bad row in epoch order, after the batches before it, for any threads") {
  const ShuffledOrder order(16, 8);
  std::uint64_t first_bad = 0;
  while (!some_bad.contains(order.sample_id(0, first_bad))) ++first_bad;
  const std::string id = std::to_string(order.sample_id(0, first_bad));
  for (const int num_threads : {1, 2, 3, 8}) {
    CAPTURE(num_threads);
    Loader loader{source_with(some_bad), random_pipeline(), with(OnError::raise, num_threads)};
    const Failure failure = fail(loader);
    CHECK(failure.rows.size() == first_bad / 4 * 4);
    CHECK(what_of<SourceError>(failure.error) == "[read] made to fail (sample " + id + ", dir/" + id + ".ppm, read)");
    const Report report = loader.report();
    REQUIRE(report.incidents.size() == 1);
    CHECK(report.incidents[0].outcome == Outcome::raised);
    CHECK(report.incidents[0].row == first_bad);
    CHECK(report.incidents[0].path == "dir/" + id + ".ppm");
    CHECK(report.num_rows == failure.rows.size());
  }
}

TEST_CASE("loader: raise reaches a range-based loop, and the next epoch can be tried") {
  NoiseSource source = source_with({});
  auto failing = std::make_shared<std::atomic<bool>>(true);
  source.before_read = [failing](std::uint64_t id, const std::stop_token&) {
    if (*failing && id == 6) throw SourceError("read", "not yet");
  };
  Loader loader{source, random_pipeline(), with(OnError::raise)};
  CHECK_THROWS_AS(rows_of(loader, 0), SourceError);
  *failing = false;
  CHECK(rows_of(loader, 0).size() == 16);
}

TEST_CASE("loader: mask keeps bad rows in place as zeros with valid 0, and changes no other row") {
  Loader good{source_with({}), random_pipeline(), with(OnError::raise)};
  const std::vector<RowCopy> expected = rows_of(good, 0);
  for (const int num_threads : {1, 3}) {
    NoiseSource source = source_with(some_bad);
    source.garbled = {0};
    Loader loader{source, random_pipeline(), with(OnError::mask, num_threads)};
    std::vector<RowCopy> rows;
    std::size_t num_incidents = 0;
    for (const Batch& batch : loader.epoch(0)) {
      append_rows(batch, rows);
      for (const Incident& incident : batch.incidents) {
        ++num_incidents;
        CHECK(incident.outcome == Outcome::masked);
        CHECK((some_bad.contains(incident.sample_id) || incident.sample_id == 0));
        CHECK(batch.ids[incident.row % 4] == incident.sample_id);
        CHECK(incident.path == source.name(incident.sample_id));
        CHECK(mentions(incident.message, {incident.sample_id == 0 ? "decode: " : "read: made to fail"}));
        CHECK(batch.plans[incident.row % 4].stages.empty());
      }
    }
    REQUIRE(rows.size() == 16);
    CHECK(num_incidents == 5);
    for (std::size_t k = 0; k < 16; ++k) {
      if (some_bad.contains(rows[k].id) || rows[k].id == 0) {
        CHECK_FALSE(rows[k].valid);
        CHECK(rows[k].label == -1);
        CHECK(rows[k].id == expected[k].id);
        CHECK(rows[k].row == k);
        CHECK(is_zero(rows[k].pixels));
      } else {
        CHECK(rows[k] == expected[k]);
      }
    }
    const Report report = loader.report();
    CHECK(report.num_rows == 16);
    CHECK(report.num_masked == 5);
    CHECK(report.num_loaded == 11);
    CHECK(report.incidents.size() == 5);
  }
}

TEST_CASE("loader: a row that fails after it was half written is zeros when masked") {
  const Pipeline pipeline{CenterCrop{.size = {4, 4}}, Picky{Picky::Fault::standard}};
  Loader loader{one_white(), pipeline, {.batch_size = 8, .on_error = OnError::mask}};
  for (int epoch = 0; epoch < 4; ++epoch) {  // memory of the epochs before is used again
    const std::vector<RowCopy> rows = rows_of(loader, 0);
    CHECK_FALSE(rows[5].valid);
    CHECK(is_zero(rows[5].pixels));
  }
}

TEST_CASE("loader: substitute shows the first good draw of the row's own stream, and changes no other row") {
  Loader good{source_with({}), random_pipeline(), with(OnError::raise)};
  const ShuffledOrder order(16, 8);
  for (std::uint64_t epoch = 0; epoch < 3; ++epoch) {
    const std::vector<RowCopy> expected = rows_of(good, epoch);
    for (const int num_threads : {1, 2, 8}) {
      Loader loader{source_with(some_bad), random_pipeline(), with(OnError::substitute, num_threads)};
      const std::vector<RowCopy> rows = rows_of(loader, epoch);
      const Report report = loader.report();
      CHECK(report.num_substituted == 4);
      CHECK(report.num_loaded == 12);
      REQUIRE(report.incidents.size() == 4);
      std::size_t incident = 0;
      for (std::size_t k = 0; k < 16; ++k) {
        const std::uint64_t own_id = order.sample_id(epoch, k);
        if (!some_bad.contains(own_id)) {
          CHECK(rows[k] == expected[k]);
          continue;
        }
        Rng rng(8, epoch, k, Stream::substitute);
        std::uint64_t drawn = 0;
        do drawn = static_cast<std::uint64_t>(rng.uniform_int(0, 15));
        while (some_bad.contains(order.sample_id(epoch, drawn)));
        CHECK(rows[k].row == k);
        CHECK(rows[k].id == order.sample_id(epoch, drawn));
        CHECK(rows[k].label == static_cast<std::int64_t>(10 * rows[k].id));
        CHECK(rows[k].valid);
        CHECK(rows[k].pixels == expected[drawn].pixels);  // its pixels are those of its own id
        CHECK(report.incidents[incident].outcome == Outcome::substituted);
        CHECK(report.incidents[incident].sample_id == own_id);
        CHECK(report.incidents[incident].substitute_id == rows[k].id);
        ++incident;
      }
    }
  }
}

TEST_CASE("loader: only substitutes that were read are said to have failed") {
  Loader loader{source_with({0}, 1), random_pipeline(), {.batch_size = 1, .on_error = OnError::substitute}};
  rows_of(loader, 0);
  CHECK(mentions(loader.report().incidents.front().message, {"; 0 substitutes failed"}));
}

TEST_CASE("loader: when every sample is bad, substitute tries eight draws a row, then masks") {
  std::set<std::uint64_t> all;
  for (std::uint64_t id = 0; id < 1000; ++id) all.insert(id);
  auto reads = std::make_shared<Counter>();
  NoiseSource source = source_with(all, 1000);
  source.before_read = [reads](std::uint64_t, const std::stop_token&) { reads->add(); };
  Loader loader{source, random_pipeline(), {.batch_size = 4, .on_error = OnError::substitute, .num_threads = 2}};
  EpochRange range = loader.epoch(0);
  const std::optional<Batch> batch = range.next();
  std::vector<RowCopy> rows;
  append_rows(*batch, rows);
  REQUIRE(rows.size() == 4);
  for (std::uint64_t k = 0; k < 4; ++k) {
    CHECK_FALSE(rows[k].valid);
    CHECK(is_zero(rows[k].pixels));
    CHECK(rows[k].id == k);
    CHECK(batch->incidents[k].outcome == Outcome::masked);
    CHECK(mentions(batch->incidents[k].message, {"made to fail", "8 substitutes failed"}));
  }
  while (range.next()) {
  }
  std::int64_t expected_reads = 0;
  for (std::uint64_t row = 0; row < 1000; ++row) {
    Rng rng(0, 0, row, Stream::substitute);
    ++expected_reads;
    for (int draw = 0; draw < 8; ++draw) {
      // Drawing the failed sample itself is a try that reads nothing.
      if (static_cast<std::uint64_t>(rng.uniform_int(0, 999)) != row) ++expected_reads;
    }
  }
  CHECK(reads->count() == expected_reads);
  CHECK(loader.report().num_masked == 1000);
}

TEST_CASE("loader: when every sample is bad, mask delivers the whole epoch as zeros, raise its first row's error") {
  const std::set<std::uint64_t> all = {0, 1, 2, 3, 4};
  Loader mask{source_with(all, 5), random_pipeline(), {.batch_size = 2, .on_error = OnError::mask}};
  const std::vector<RowCopy> rows = rows_of(mask, 0);
  CHECK(rows.size() == 5);
  for (const RowCopy& row : rows) CHECK((!row.valid && is_zero(row.pixels)));
  Loader raise{source_with(all, 5), random_pipeline(), {.batch_size = 2}};
  CHECK(mentions(what_of<SourceError>(fail(raise).error), {"sample 0"}));
}

TEST_CASE("loader: a user's stage that throws is named, with sample and path, and its exception is the cause") {
  Loader standard{one_white(), picky(Picky::Fault::standard), {.batch_size = 2, .num_threads = 2}};
  const Failure failure = fail(standard);
  CHECK(failure.rows.size() == 4);
  CHECK(mentions(what_of<StageError>(failure.error), {"too white", "sample 5", "n5.png", "Picky"}));
  try {
    std::rethrow_exception(failure.error);
  } catch (const Error& error) {
    CHECK_THROWS_AS(std::rethrow_exception(error.cause()), std::runtime_error);
  }
  Loader foreign{one_white(), picky(Picky::Fault::foreign), {.batch_size = 2, .num_threads = 2}};
  CHECK(mentions(what_of<StageError>(fail(foreign).error), {"sample 5", "n5.png", "Picky"}));
}

TEST_CASE("loader: a stage that lies about its size raises a ShapeError under every policy") {
  for (const OnError policy : {OnError::raise, OnError::mask, OnError::substitute}) {
    Loader loader{one_white(), picky(Picky::Fault::size), {.batch_size = 4, .on_error = policy, .num_threads = 2}};
    const Failure failure = fail(loader);
    CHECK(failure.rows.size() == 4);
    CHECK(mentions(what_of<ShapeError>(failure.error), {"4x4", "3x5", "sample 5", "n5.png", "Picky"}));
    REQUIRE(loader.report().incidents.size() == 1);
    CHECK(loader.report().incidents[0].outcome == Outcome::raised);
  }
}

TEST_CASE("loader: want of memory in a worker raises under every policy") {
  for (const OnError policy : {OnError::raise, OnError::mask, OnError::substitute}) {
    Loader loader{one_white(), picky(Picky::Fault::memory), {.batch_size = 4, .on_error = policy, .num_threads = 2}};
    CHECK(mentions(what_of<StageError>(fail(loader).error), {"sample 5", "n5.png"}));
  }
}

TEST_CASE("loader: what a source throws becomes a SourceError that names the sample, whatever it was") {
  const auto failure_of = [](auto thrown, OnError policy) {
    NoiseSource source{4};
    source.before_read = [thrown](std::uint64_t id, const std::stop_token&) {
      if (id == 2) throw thrown;
    };
    Loader loader{source, random_pipeline(), {.batch_size = 2, .on_error = policy, .num_threads = 2}};
    return fail(loader);
  };
  const Failure standard = failure_of(std::runtime_error("the disk is on fire"), OnError::raise);
  CHECK(what_of<SourceError>(standard.error) == "[read] the disk is on fire (sample 2, dir/2.ppm, read)");
  try {
    std::rethrow_exception(standard.error);
  } catch (const Error& error) {
    CHECK(message_of<std::runtime_error>([&] { std::rethrow_exception(error.cause()); }) == "the disk is on fire");
  }
  CHECK(mentions(what_of<SourceError>(failure_of(7, OnError::raise).error), {"sample 2", "dir/2.ppm"}));
  CHECK_FALSE(failure_of(7, OnError::mask).error);
  CHECK(failure_of(7, OnError::substitute).rows.size() == 4);
  CHECK(mentions(what_of<ConfigError>(failure_of(ConfigError("read", "no password"), OnError::mask).error),
                 {"no password", "sample 2"}));
}

TEST_CASE("loader: a source whose name() throws still has its errors reported") {
  class Nameless : public NoiseSource {
   public:
    using NoiseSource::NoiseSource;
    std::string name(std::uint64_t) const override { throw std::runtime_error("no names"); }
  };
  Nameless source{4};
  source.bad = {1};
  Loader loader{source, random_pipeline(), {.batch_size = 2}};
  CHECK(what_of<SourceError>(fail(loader).error) == "[read] made to fail (sample 1, read)");
}

TEST_CASE("loader: an order that throws, or names a sample that is not there, raises under every policy") {
  class Broken : public Order {
   public:
    explicit Broken(std::function<void()> act) : act_(std::move(act)) {}
    std::uint64_t num_rows() const override { return 6; }
    std::uint64_t sample_id(std::uint64_t, std::uint64_t row) const override {
      if (row == 4) act_();
      return row == 4 ? 99 : row;
    }

   private:
    std::function<void()> act_;
  };
  struct Act {
    std::function<void()> now;
    const char* words;
    const char* where;
  };
  const Act acts[] = {{[] {}, "received 99", "row 4 of epoch 0"},
                      {[] { throw std::out_of_range("weights"); }, "weights", "row 4 of epoch 0"},
                      {[] { throw 7; }, "unknown exception", "row 4 of epoch 0"},
                      {[] { throw ConfigError("mine", "made up"); }, "made up", "[mine]"}};
  for (const OnError policy : {OnError::raise, OnError::mask, OnError::substitute}) {
    for (const Act& act : acts) {
      Loader loader{NoiseSource{6},
                    random_pipeline(),
                    {.batch_size = 2, .on_error = policy, .order = std::make_shared<Broken>(act.now)}};
      const Failure failure = fail(loader);
      CHECK(failure.rows.size() == 4);
      CHECK(mentions(what_of<ConfigError>(failure.error), {act.words, act.where}));
    }
  }
}

TEST_CASE("loader: an allocator that throws is raised at its batch, after the batches before it") {
  for (std::int64_t fail_at = 1; fail_at <= 3; ++fail_at) {
    CAPTURE(fail_at);
    auto allocator = std::make_shared<CountingAllocator>();
    allocator->fail_at = fail_at;
    Loader loader{
        NoiseSource{16}, random_pipeline(), {.batch_size = 4, .num_threads = 2, .prefetch = 2, .allocator = allocator}};
    const Failure failure = fail(loader);
    CHECK(failure.rows.size() == static_cast<std::size_t>(4 * (fail_at - 1)));
    const std::string what = what_of<StageError>(failure.error);
    CHECK(mentions(what, {"[allocate]", "no pinned memory left"}));
    const std::string batch = "batch " + std::to_string(fail_at - 1) + " of epoch 0, rows " +
                              std::to_string(4 * (fail_at - 1)) + "..." + std::to_string(4 * fail_at - 1);
    CHECK(mentions(what, {batch.c_str()}));
    CHECK(rows_of(loader, 0).size() == 16);  // memory came back
  }
}

TEST_CASE("loader: an allocator that throws while the consumer holds its batches is raised all the same") {
  for (std::int64_t fail_at = 4; fail_at <= 6; ++fail_at) {
    CAPTURE(fail_at);
    auto allocator = std::make_shared<CountingAllocator>();
    allocator->fail_at = fail_at;
    Loader loader{
        NoiseSource{32}, random_pipeline(), {.batch_size = 4, .num_threads = 2, .prefetch = 2, .allocator = allocator}};
    std::vector<Batch> held;
    EpochRange range = loader.epoch(0);
    const auto hold_all = [&] {
      for (Batch& batch : range) held.push_back(std::move(batch));
    };
    CHECK_THROWS_AS(hold_all(), StageError);
    CHECK(held.size() == static_cast<std::size_t>(fail_at - 1));
  }
}

TEST_CASE("loader: an allocator that gives null or misaligned memory is refused by name") {
  class Bad : public Allocator {
   public:
    explicit Bad(bool null) : null_(null) {}
    void* allocate(std::size_t size_bytes) override {
      if (null_) return nullptr;
      return static_cast<std::byte*>(default_allocator()->allocate(size_bytes + 64)) + 8;
    }
    void deallocate(void* memory, std::size_t size_bytes) noexcept override {
      default_allocator()->deallocate(static_cast<std::byte*>(memory) - 8, size_bytes + 64);
    }

   private:
    bool null_;
  };
  for (const bool null : {true, false}) {
    Loader loader{NoiseSource{4}, random_pipeline(), {.batch_size = 2, .allocator = std::make_shared<Bad>(null)}};
    CHECK(mentions(what_of<StageError>(fail(loader).error), {"[allocate]", null ? "bad_alloc" : "aligned"}));
  }
}

TEST_CASE("loader: a decoded image that no pipeline takes is an error of its sample") {
  class OneImage : public Source {
   public:
    explicit OneImage(Image image) : image_(std::make_shared<const Image>(std::move(image))) {}
    std::uint64_t size() const override { return 1; }
    void read(std::uint64_t, Sample& sample, std::stop_token) const override { sample.image = image_; }

   private:
    std::shared_ptr<const Image> image_;
  };
  const auto failure_of = [](Image image, DecodeLimits limits = {}) {
    Loader loader{OneImage(std::move(image)), Pipeline{CenterCrop{.size = {2, 2}}}, {.limits = limits}};
    return fail(loader).error;
  };
  CHECK(mentions(what_of<SourceError>(failure_of(Image{})), {"channels", "sample 0"}));
  CHECK(mentions(what_of<SourceError>(failure_of(Image({4, 4}, 2))), {"1 or 3 channels", "with 2"}));
  CHECK(mentions(what_of<DecodeError>(failure_of(Image({1, max_side + 1}, 1))), {"65501"}));
  CHECK(mentions(what_of<DecodeError>(failure_of(Image({4, 4}, 1), {.max_pixels = 15})), {"15 pixels", "4x4"}));
  CHECK_FALSE(failure_of(Image({4, 4}, 1), {.max_pixels = 16}));
}

TEST_CASE("loader: an empty file and one over the limit are errors of their sample") {
  std::vector<Sample> samples(2);
  samples[1].bytes = encoded(NoiseSource::image(0));
  Loader loader{MemorySource(samples),
                Pipeline{CenterCrop{.size = {2, 2}}},
                {.batch_size = 2, .on_error = OnError::mask, .limits = {.max_bytes = 20}}};
  CHECK(rows_of(loader, 0).size() == 2);
  const Report report = loader.report();
  REQUIRE(report.num_masked == 2);
  CHECK(report.incidents[0].message != report.incidents[1].message);
}

}  // namespace muster::test
