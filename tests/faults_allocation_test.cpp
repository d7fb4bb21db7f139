// Want of memory anywhere in a loader's life: the consumer gets an error, or every byte as ever. Each test fails the
// k-th allocation for k = 1, 2, 3, … until a life needs fewer. Counted is what muster, its allocator and the standard
// library take with operator new; libjpeg's, libpng's and oneTBB's own memory comes from malloc() and is not touched.
#include <doctest/doctest.h>

#include <functional>
#include <new>
#include <optional>
#include <utility>

#include "allocation_hook.hpp"
#include "jpeg.hpp"
#include "loader_support.hpp"
#include "preview/png.hpp"

namespace muster::test {
namespace {

using Length = AllocationFailure::Length;
using Threads = AllocationFailure::Threads;

/// Counts what it gave and did not get back; needs no memory for that.
class TalliedAllocator : public Allocator {
 public:
  void* allocate(std::size_t size_bytes) override {
    void* const memory = default_allocator()->allocate(size_bytes);
    ++num_live;
    return memory;
  }
  void deallocate(void* memory, std::size_t size_bytes) noexcept override {
    default_allocator()->deallocate(memory, size_bytes);
    --num_live;
  }

  std::atomic<std::int64_t> num_live = 0;
};

/// Says before it reads how long a sample is, and keeps reads under way by itself where it is told to.
class MixedSource : public MemorySource {
 public:
  MixedSource(bool has_bad, bool is_async) : MemorySource(samples(has_bad)), is_async_(is_async) {}
  int num_async_reads() const override { return is_async_ ? 2 : 0; }

 private:
  static std::vector<Sample> samples(bool has_bad) {
    std::vector<Sample> samples(7);
    samples[0].bytes = write_jpeg(noise_image({20, 24}, 3, 1), {.horizontal = 2, .vertical = 2});
    samples[1].bytes = encode_png(noise_image({9, 12}, 3, 2).view());
    samples[2].bytes = write_jpeg(noise_image({40, 32}, 3, 3), {.restart_interval = 1, .orientation = 6});
    samples[3].bytes = has_bad ? Data{'n', 'o', ' ', 'i', 'm', 'a', 'g', 'e'} : encoded(noise_image({7, 5}, 1, 4));
    samples[4].bytes = encode_png(noise_image({16, 8}, 1, 5).view());
    samples[5].image = std::make_shared<const Image>(noise_image({6, 11}, 3, 6));
    samples[6].bytes = write_jpeg(noise_image({10, 10}, 1, 7), {.progressive = true});
    for (std::size_t i = 0; i < samples.size(); ++i) samples[i].label = static_cast<std::int64_t>(i);
    return samples;
  }

  bool is_async_;
};

/// A pixel stage that allocates.
struct Inverted {
  ExtentResult output_extent(const Extent& in) const { return in; }
  Image operator()(Image image, Rng&) const {
    Image inverted(image.size(), image.channels());
    for (std::size_t i = 0; i < image.size_bytes(); ++i) {
      inverted.data()[i] = static_cast<std::uint8_t>(255 - image.data()[i]);
    }
    return inverted;
  }
};

struct Setup {
  OnError on_error = OnError::raise;
  int num_threads = 1;
  int num_io_threads = 0;
  bool is_async = false;
  bool has_trace = false;
};

constexpr std::uint64_t num_epochs = 2;

/// What has to come, and what tells of it, by an unbroken run.
struct Expected {
  std::vector<RowCopy> rows;  // of all epochs
  std::string report;
  std::string ledgers;
};

std::string ledgers_of(const Loader& loader) {
  std::string ledgers;
  for (std::uint64_t epoch = 0; epoch < num_epochs; ++epoch) ledgers += loader.ledger(epoch).to_json();
  return ledgers;
}

/// Whether the batch holds rows `begin` and on. Allocates nothing.
bool holds(const Batch& batch, const std::vector<RowCopy>& expected, std::size_t begin) {
  for (std::int64_t k = 0; k < batch.num_rows(); ++k) {
    const auto i = static_cast<std::size_t>(k);
    if (begin + i >= expected.size()) return false;
    const RowCopy& row = expected[begin + i];
    const auto pixels = batch.images.row(k);
    if (row.row != batch.rows[i] || row.id != batch.ids[i] || row.label != batch.labels.as<std::int64_t>()[i] ||
        row.valid != (batch.valid.as<std::uint8_t>()[i] == 1) || !std::ranges::equal(row.pixels, pixels)) {
      return false;
    }
  }
  return true;
}

/// Want of memory, as what comes from a worker says it: by itself, or as the cause of an Error that says where.
bool is_want_of_memory(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::bad_alloc&) {
    return true;
  } catch (const Error& located) {
    return located.cause() && is_want_of_memory(located.cause());
  } catch (...) {
    return false;
  }
}

class Lives {
 public:
  explicit Lives(const Setup& setup)
      : pipeline_{RandomResizedCrop{.size = {8, 6}}, Inverted{}, RandomHorizontalFlip{}},
        options_{.batch_size = 3,
                 .shuffle = true,
                 .seed = 3,
                 .last_batch = LastBatch::pad,
                 .on_error = setup.on_error,
                 .num_threads = setup.num_threads,
                 .allocator = allocator_,
                 .num_io_threads = setup.num_io_threads},
        source_(std::make_shared<const MixedSource>(setup.on_error != OnError::raise, setup.is_async)),
        has_trace_(setup.has_trace) {
    Loader loader(source_, pipeline_, options_);
    for (std::uint64_t epoch = 0; epoch < num_epochs; ++epoch) {
      for (RowCopy& row : rows_of(loader, epoch)) expected_.rows.push_back(std::move(row));
    }
    expected_.report = loader.report().to_string();
    expected_.ledgers = ledgers_of(loader);
    while (!message_of<Error>([&] { loader.plan(0, good_row_); }).empty()) ++good_row_;
  }

  /// False if the allocation that was to fail was never made.
  bool live(std::uint64_t first, Length length, Threads threads) {
    bool has_struck = false;
    bool is_right = true;
    std::size_t num_delivered = 0;
    std::exception_ptr error;
    {
      std::optional<Loader> loader;
      {
        const AllocationFailure failure(first, length, threads);
        try {
          LoaderOptions options = options_;
          if (has_trace_) options.spans = std::make_shared<ChromeTrace>("/dev/null");
          loader.emplace(source_, pipeline_, std::move(options));
          for (std::uint64_t epoch = 0; epoch < num_epochs; ++epoch) {
            for (const Batch& batch : loader->epoch(epoch)) {
              is_right = is_right && holds(batch, expected_.rows, num_delivered);
              num_delivered += static_cast<std::size_t>(batch.num_rows());
            }
            static_cast<void>(loader->state());
            static_cast<void>(loader->report());
            static_cast<void>(loader->ledger(epoch));
          }
          static_cast<void>(loader->plan(0, good_row_));
          static_cast<void>(loader->sample(0, good_row_));
        } catch (...) {
          error = std::current_exception();
        }
        has_struck = failure.has_struck();
        if (length == Length::lasting) loader.reset();  // while there is none left
      }
      if (loader) go_on(*loader, num_delivered);
    }
    CHECK(is_right);
    if (error) {
      CHECK(is_want_of_memory(error));
    } else {
      CHECK(num_delivered == expected_.rows.size());
    }
    error = nullptr;  // it may hold on to what was thrown, not to the loader
    CHECK(allocator_->num_live == 0);
    CHECK(source_.use_count() == 1);
    return has_struck;
  }

 private:
  /// Once there is memory again, the same loader delivers just the rows that are missing, and knows of no others.
  void go_on(Loader& loader, std::size_t num_delivered) {
    if (num_delivered < expected_.rows.size()) {
      bool is_right = true;
      const auto take = [&](EpochRange range) {
        for (const Batch& batch : range) {
          is_right = is_right && holds(batch, expected_.rows, num_delivered);
          num_delivered += static_cast<std::size_t>(batch.num_rows());
        }
        return range.epoch();
      };
      for (std::uint64_t epoch = take(loader.resume(loader.state())) + 1; epoch < num_epochs; ++epoch) {
        take(loader.epoch(epoch));
      }
      CHECK(is_right);
      CHECK(num_delivered == expected_.rows.size());
    }
    Report report = loader.report();
    std::erase_if(report.incidents, [](const Incident& incident) { return incident.outcome == Outcome::raised; });
    CHECK(report.to_string() == expected_.report);
    CHECK(ledgers_of(loader) == expected_.ledgers);
  }

  std::shared_ptr<TalliedAllocator> allocator_ = std::make_shared<TalliedAllocator>();
  Pipeline pipeline_;
  LoaderOptions options_;
  std::shared_ptr<const MixedSource> source_;
  bool has_trace_;
  Expected expected_;
  std::uint64_t good_row_ = 0;
};

/// Lives until one has enough; how many had not.
std::uint64_t try_all(const Setup& setup, Length length, Threads threads) {
  Lives lives(setup);
  std::uint64_t first = 1;
  for (; lives.live(first, length, threads); ++first) {
  }
  return first - 1;
}

constexpr Setup setups[] = {{.on_error = OnError::raise},
                            {.on_error = OnError::mask},
                            {.on_error = OnError::substitute},
                            {.on_error = OnError::mask, .num_threads = 2},
                            {.on_error = OnError::mask, .has_trace = true},
                            {.on_error = OnError::substitute, .num_io_threads = 1},
                            {.on_error = OnError::substitute, .is_async = true}};

void try_setups(Length length, Threads threads) {
  std::uint64_t num_failed = 0;
  for (const Setup& setup : setups) {
    CAPTURE(name(setup.on_error));
    CAPTURE(setup.num_threads);
    CAPTURE(setup.num_io_threads);
    CAPTURE(setup.is_async);
    CAPTURE(setup.has_trace);
    const std::uint64_t num = try_all(setup, length, threads);
    CHECK(num > 50);
    num_failed += num;
  }
  MESSAGE(num_failed << " allocations failed");
}

}  // namespace

TEST_CASE("faults: when any one allocation fails, the consumer has an error or all its bytes, and can resume") {
  try_setups(Length::once, Threads::all);
}

TEST_CASE("faults: when memory ends at any allocation, for good, a loader still ends in order") {
  try_setups(Length::lasting, Threads::all);
}

TEST_CASE("faults: when any one allocation of a worker fails, its row is never masked for it") {
  try_setups(Length::once, Threads::all_but_this);
}

TEST_CASE("faults: when memory ends for the workers alone, the consumer is told") {
  try_setups(Length::lasting, Threads::all_but_this);
}

TEST_CASE(
    "faults: when any one allocation fails while rows go back for substitutes, the consumer is told, or all is right") {
  NoiseSource source(40);
  for (std::uint64_t id = 0; id < 40; ++id) {
    if (id % 3 != 0) source.bad.insert(id);
  }
  const LoaderOptions options{.batch_size = 8, .on_error = OnError::substitute, .num_threads = 1, .num_io_threads = 1};
  Loader reference(source, random_pipeline(), options);
  const std::vector<RowCopy> expected = rows_of(reference, 0);
  std::uint64_t first = 1;
  for (bool has_struck = true; has_struck; ++first) {
    CAPTURE(first);
    Loader loader(source, random_pipeline(), options);
    EpochRange range = loader.epoch(0);
    bool is_right = true;
    std::size_t num_delivered = 0;
    std::exception_ptr error;
    {
      const AllocationFailure failure(first, Length::once, Threads::all_but_this);
      try {
        while (const std::optional<Batch> batch = range.next()) {
          is_right = is_right && holds(*batch, expected, num_delivered);
          num_delivered += static_cast<std::size_t>(batch->num_rows());
        }
      } catch (...) {
        error = std::current_exception();
      }
      has_struck = failure.has_struck();
    }
    CHECK(is_right);
    CHECK((error ? is_want_of_memory(error) : num_delivered == expected.size()));
  }
  CHECK(first > 50);
}

TEST_CASE("faults: when any one allocation fails, or all from there on, JSON is made and read, or there is an error") {
  const Pipeline pipeline = Pipeline::preset("imagenet-train");
  const SampleKey key{1, 2, 3};
  Loader loader{MemorySource{std::vector<Sample>(8)}, Pipeline{CenterCrop{{8, 8}}}, {.batch_size = 2, .shard = {1, 2}}};
  Ledger ledger = loader.ledger(0);
  ledger.runs = {{.first = 1, .stride = 2, .count = 3}};
  ledger.exceptions = {{.row = 3, .sample_id = 5, .substitute_id = 6}, {.row = 5, .sample_id = 1, .substitute_id = {}}};
  const Incident incident{.outcome = Outcome::masked, .path = "a/\"b\".jpg", .message = "x\xff", .byte_offset = 7};
  const std::string jsons[] = {pipeline.to_json(), ledger.to_json(), incident.to_json(), loader.state()};

  const std::pair<const char*, std::function<std::string()>> uses[] = {
      {"a pipeline", [&] { return Pipeline::from_json(jsons[0]).to_json(); }},
      {"a plan",
       [&] {
         return pipeline.to_json(pipeline.plan({123, 234}, key));
       }},
      {"a ledger", [&] { return Ledger::from_json(jsons[1]).to_json(); }},
      {"an incident", [&] { return incidents_from_jsonl(jsons[2]).front().to_json(); }},
      {"a state", [&] { return std::to_string(loader.resume(jsons[3]).epoch()) + loader.state(); }},
      {"text that is none",
       [&] { return message_of<ConfigError>([&] { Pipeline::from_json(R"({"stages":[[1,[2]])"); }); }}};
  for (const auto& [what, use] : uses) {
    CAPTURE(what);
    const std::string expected = use();
    for (const Length length : {Length::once, Length::lasting}) {
      std::uint64_t first = 0;
      for (bool has_struck = true; has_struck;) {
        std::string received;
        std::exception_ptr error;
        {
          const AllocationFailure failure(++first, length, Threads::all);
          try {
            received = use();
          } catch (...) {
            error = std::current_exception();
          }
          has_struck = failure.has_struck();
        }
        if (error) {
          CHECK(is_want_of_memory(error));
        } else {
          CHECK(received == expected);
        }
      }
      CHECK(first > 5);
    }
  }
}

}  // namespace muster::test
