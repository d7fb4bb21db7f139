// The loader's threads: how many there are, that they change no byte, and that stopping is prompt and complete.
#include <doctest/doctest.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>

#include <optional>
#include <thread>

#include "allocation_hook.hpp"
#include "loader/runner.hpp"
#include "loader_support.hpp"

namespace muster::test {
namespace {

std::unique_ptr<Loader> at_exit;  // older than anything that a loader makes

/// Lets nobody out until `num_threads` threads are in at once, and remembers the most there ever were.
class Gathering {
 public:
  explicit Gathering(int num_threads) : num_threads_(num_threads) {}

  void visit() {
    std::unique_lock lock(mutex_);
    ids_.insert(std::this_thread::get_id());
    max_inside_ = std::max(max_inside_, ++inside_);
    if (inside_ >= num_threads_) complete_ = true;
    changed_.notify_all();
    changed_.wait_until(lock, std::chrono::system_clock::now() + std::chrono::minutes(2), [&] { return complete_; });
    --inside_;
  }
  int max_inside() const { return max_inside_; }
  std::size_t num_ids() const { return ids_.size(); }
  bool met(std::thread::id id) const { return ids_.contains(id); }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::thread::id> ids_;
  int num_threads_;
  int inside_ = 0;
  int max_inside_ = 0;
  bool complete_ = false;
};

#if defined(__SANITIZE_THREAD__)
constexpr bool under_tsan = true;
#else
constexpr bool under_tsan = false;
#endif

/// Works in parallel itself, and notices when its thread is given another row's work while it waits.
struct ParallelStage {
  std::shared_ptr<std::atomic<int>> num_reentered = std::make_shared<std::atomic<int>>(0);

  ExtentResult output_extent(const Extent& in) const { return in; }
  Image operator()(Image image, Rng&) const {
    thread_local const Image* current = nullptr;
    if (current != nullptr) ++*num_reentered;
    current = &image;
    tbb::parallel_for(
        std::int64_t{0}, image.height(),
        [&](std::int64_t y) {
          if (current != nullptr && current != &image) ++*num_reentered;
          for (int odd = 0; odd < 501; ++odd) {  // long enough for others to run out of work meanwhile
            for (std::int64_t i = 0; i < image.stride_bytes(); ++i) {
              image.row(y)[i] = static_cast<std::uint8_t>(255 - image.row(y)[i]);
            }
          }
        },
        tbb::simple_partitioner());
    current = nullptr;
    return image;
  }
};

LoaderOptions shuffled(std::int64_t batch_size, int num_threads, int prefetch) {
  return {.batch_size = batch_size, .shuffle = true, .seed = 5, .num_threads = num_threads, .prefetch = prefetch};
}

}  // namespace

TEST_CASE("loader: 1, 2, 3 and 8 threads are really that many workers, and the consumer is none of them") {
  for (const int num_threads : {1, 2, 3, 8}) {
    CAPTURE(num_threads);
    auto gathering = std::make_shared<Gathering>(num_threads);
    NoiseSource source{64};
    source.before_read = [gathering](std::uint64_t, const std::stop_token&) { gathering->visit(); };
    Loader loader{source, random_pipeline(), {.batch_size = 8, .num_threads = num_threads}};
    CHECK(rows_of(loader, 0).size() == 64);
    CHECK(gathering->max_inside() == num_threads);
    CHECK(gathering->num_ids() >= static_cast<std::size_t>(num_threads));
    CHECK_FALSE(gathering->met(std::this_thread::get_id()));
  }
}

TEST_CASE("loader: the workers of two loaders add up") {
  auto gathering = std::make_shared<Gathering>(3 + 4);
  NoiseSource source{32};
  source.before_read = [gathering](std::uint64_t, const std::stop_token&) { gathering->visit(); };
  Loader first{source, random_pipeline(), {.batch_size = 4, .num_threads = 3}};
  Loader second{source, random_pipeline(), {.batch_size = 4, .num_threads = 4}};
  EpochRange a = first.epoch(0);
  EpochRange b = second.epoch(0);
  CHECK(rows_of(std::move(a)).size() == 32);
  CHECK(rows_of(std::move(b)).size() == 32);
  CHECK(gathering->max_inside() == 7);
}

TEST_CASE("runner: every token has run once the runner has gone") {
  struct Count : TokenTask {
    void run_one() noexcept override { counter.add(); }
    Counter counter;
  };
  const auto task = std::make_shared<Count>();
  {
    TaskRunner runner(3);
    for (int i = 0; i < 5; ++i) runner.submit(task, 100);
  }
  CHECK(task->counter.count() == 500);
}

TEST_CASE("runner: one that goes while there is no memory leaves no workers allowed beyond the next change") {
  const auto allowed = [] { return tbb::global_control::active_value(tbb::global_control::max_allowed_parallelism); };
  const TaskRunner stays(1);
  const std::size_t before = allowed();
  auto goes = std::make_unique<TaskRunner>(3);
  CHECK(allowed() == before + 3);
  {
    const AllocationFailure failure(1, AllocationFailure::Length::once, AllocationFailure::Threads::all);
    goes.reset();
    CHECK(failure.has_struck());
  }
  CHECK(allowed() == before + 3);
  {
    const TaskRunner next(2);
    CHECK(allowed() == before + 2);
  }
  CHECK(allowed() == before);
}

TEST_CASE("loader: batches are the same bytes for any number of threads and any prefetch") {
  Loader reference{NoiseSource{37}, random_pipeline(), shuffled(5, 1, 1)};
  const std::vector<RowCopy> expected = rows_of(reference, 2);
  REQUIRE(expected.size() == 37);
  for (const int num_threads : {1, 2, 3, 8}) {
    for (int prefetch = 1; prefetch <= 5; ++prefetch) {
      CAPTURE(num_threads);
      CAPTURE(prefetch);
      Loader loader{NoiseSource{37}, random_pipeline(), shuffled(5, num_threads, prefetch)};
      CHECK(rows_of(loader, 2) == expected);
    }
  }
}

TEST_CASE("loader: a row's bytes do not change with the batch size") {
  Loader reference{NoiseSource{37}, random_pipeline(), shuffled(1, 1, 1)};
  const std::vector<RowCopy> expected = rows_of(reference, 0);
  for (const std::int64_t batch_size : {2, 7, 37, 100}) {
    CAPTURE(batch_size);
    Loader loader{NoiseSource{37}, random_pipeline(), shuffled(batch_size, 3, 2)};
    CHECK(rows_of(loader, 0) == expected);
  }
}

// ThreadSanitizer does not see how an uninstrumented parallel_for orders what it runs.
TEST_CASE("loader: a stage that uses oneTBB itself is given no other row's work while it waits" *
          doctest::skip(under_tsan)) {
  const ParallelStage stage;
  const Pipeline pipeline{CenterCrop{.size = {16, 64}}, stage};
  Loader reference{NoiseSource{240}, Pipeline{CenterCrop{.size = {16, 64}}}, shuffled(4, 1, 1)};
  Loader loader{NoiseSource{240}, pipeline, shuffled(4, 8, 3)};
  std::vector<RowCopy> expected = rows_of(reference, 0);
  for (RowCopy& row : expected) {
    for (std::byte& byte : row.pixels) byte = ~byte;
  }
  CHECK(rows_of(loader, 0) == expected);
  CHECK(*stage.num_reentered == 0);
}

TEST_CASE("loader: seed and epoch each change the pixels") {
  Loader loader{NoiseSource{4}, random_pipeline(), {.batch_size = 4, .seed = 1}};
  Loader other{NoiseSource{4}, random_pipeline(), {.batch_size = 4, .seed = 2}};
  const auto rows = rows_of(loader, 0);
  CHECK(rows == rows_of(loader, 0));
  CHECK(rows != rows_of(loader, 1));
  CHECK(rows != rows_of(other, 0));
}

TEST_CASE("loader: rows that finish in the opposite order are delivered in order") {
  struct Turns {
    std::mutex mutex;
    std::condition_variable changed;
    std::uint64_t next = 3;
  };
  auto turns = std::make_shared<Turns>();
  NoiseSource source{4};
  source.before_read = [turns](std::uint64_t id, const std::stop_token&) {
    std::unique_lock lock(turns->mutex);
    turns->changed.wait(lock, [&] { return turns->next == id; });
    turns->next = (id + 3) % 4;
    turns->changed.notify_all();
  };
  Loader loader{source, random_pipeline(), {.batch_size = 1, .num_threads = 4, .prefetch = 4}};
  Loader reference{NoiseSource{4}, random_pipeline(), {.batch_size = 1}};
  CHECK(rows_of(loader, 0) == rows_of(reference, 0));
}

TEST_CASE("loader: work starts with epoch(), and runs no further ahead than prefetch allows") {
  auto reads = std::make_shared<Counter>();
  NoiseSource source{40};
  source.before_read = [reads](std::uint64_t, const std::stop_token&) { reads->add(); };
  Loader loader{source, random_pipeline(), {.batch_size = 4, .num_threads = 2, .prefetch = 2}};
  EpochRange range = loader.epoch(0);
  CHECK(reads->wait_for_count(12));  // the batch that will be asked for, and two ahead of it
  const std::optional<Batch> first = range.next();
  CHECK(reads->count() == 12);
  const std::optional<Batch> second = range.next();
  CHECK(reads->wait_for_count(16));
  CHECK(reads->count() == 16);
}

TEST_CASE("loader: an epoch that is broken off can be started again, with the same bytes") {
  Loader loader{NoiseSource{30}, random_pipeline(), shuffled(3, 3, 4)};
  const std::vector<RowCopy> expected = rows_of(loader, 1);
  for (std::size_t stop_after = 1; stop_after <= 9; ++stop_after) {
    std::vector<RowCopy> rows;
    for (const Batch& batch : loader.epoch(1)) {
      append_rows(batch, rows);
      if (rows.size() >= 3 * stop_after) break;
    }
    CHECK(std::equal(rows.begin(), rows.end(), expected.begin()));
  }
  CHECK(rows_of(loader, 1) == expected);
}

TEST_CASE("loader: an exception from the loop's body ends the epoch and leaves the loader usable") {
  Loader loader{NoiseSource{30}, random_pipeline(), shuffled(3, 2, 3)};
  const auto body = [&] {
    for (const Batch& batch : loader.epoch(0)) {
      if (batch.index == 2) throw std::logic_error("the consumer's own");
    }
  };
  CHECK_THROWS_AS(body(), std::logic_error);
  CHECK(rows_of(loader, 0).size() == 30);
}

TEST_CASE("loader: destroying a range asks a read in progress to stop, and waits for it") {
  auto blocked = std::make_shared<Counter>();
  auto left = std::make_shared<Counter>();
  NoiseSource source{8};
  source.before_read = [=](std::uint64_t, const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any changed;
    std::unique_lock lock(mutex);
    blocked->add();
    changed.wait(lock, stop, [] { return false; });
    left->add();
    throw SourceError("read", "stopped");
  };
  Loader loader{source, random_pipeline(), {.batch_size = 2, .num_threads = 2}};
  {
    const EpochRange range = loader.epoch(0);
    REQUIRE(blocked->wait_for_count(2));
  }
  CHECK(blocked->count() == 2);  // no further row was begun
  CHECK(left->count() == 2);
  CHECK(loader.report().incidents.empty());
}

TEST_CASE("loader: next() gives up soon after its stop is requested, also while reads are stuck") {
  for (const int num_io_threads : {0, 2}) {
    Counter stuck;
    NoiseSource source(20);
    source.before_read = [&](std::uint64_t id, const std::stop_token& stop) {
      if (id < 4) return;
      stuck.add();
      std::mutex mutex;
      std::unique_lock lock(mutex);
      std::condition_variable_any never;
      never.wait(lock, stop, [] { return false; });
      throw SourceError("read", "stopped");
    };
    Loader loader(source, random_pipeline(), {.batch_size = 4, .num_threads = 2, .num_io_threads = num_io_threads});
    EpochRange range = loader.epoch(0);
    std::stop_source stopper;
    REQUIRE(range.next(stopper.get_token()));
    const std::jthread asker([&] {
      stuck.wait_for_count(1);
      stopper.request_stop();
    });
    CHECK_FALSE(range.next(stopper.get_token()));
    CHECK_FALSE(range.next());
  }
}

TEST_CASE("loader: a global variable may hold one until the process ends") {
  static_cast<void>(rows_of(*(at_exit = std::make_unique<Loader>(NoiseSource(9), random_pipeline())), 0));
  CHECK(at_exit->num_batches() == 9);
}

TEST_CASE("loader: range and batch outlive the loader, and the source goes with the last of loader and range") {
  std::weak_ptr<const NoiseSource> watch;
  std::optional<Batch> batch;
  {
    std::optional<EpochRange> range;
    {
      auto source = std::make_shared<const NoiseSource>(12);
      watch = source;
      Loader loader{source, random_pipeline(), {.batch_size = 3, .num_threads = 2}};
      source.reset();
      range.emplace(loader.epoch(0));
      batch = range->next();
    }
    CHECK_FALSE(watch.expired());
    std::vector<RowCopy> rows;
    while (const auto more = range->next()) append_rows(*more, rows);
    CHECK(rows.size() == 9);
    range.reset();
  }
  CHECK(watch.expired());
  Loader again{NoiseSource{12}, random_pipeline(), {.batch_size = 3}};
  std::vector<RowCopy> first;
  append_rows(*batch, first);
  for (std::size_t k = 0; k < 3; ++k) CHECK(first[k] == rows_of(again, 0)[k]);
}

TEST_CASE("loader: a loader destroyed mid-epoch, unread, half read or moved, leaves nothing behind") {
  for (int num_read = 0; num_read < 4; ++num_read) {
    auto source = std::make_shared<const NoiseSource>(24);
    {
      Loader loader{source, random_pipeline(), shuffled(2, 3, 3)};
      Loader moved = std::move(loader);
      EpochRange range = moved.epoch(0);
      EpochRange elsewhere = std::move(range);
      for (int i = 0; i < num_read; ++i) CHECK(elsewhere.next().has_value());
    }
    CHECK(source.use_count() == 1);
  }
}

TEST_CASE("loader: assigning a range stops the one it replaces") {
  Loader loader{NoiseSource{24}, random_pipeline(), shuffled(2, 3, 3)};
  EpochRange range = loader.epoch(0);
  CHECK(range.next().has_value());
  range = loader.epoch(3);
  CHECK(range.epoch() == 3);
  CHECK(rows_of(std::move(range)) == rows_of(loader, 3));
}

TEST_CASE("loader: two threads iterate two epochs of one loader at once") {
  Loader loader{NoiseSource{40}, random_pipeline(), shuffled(3, 3, 2)};
  const std::vector<RowCopy> expected[] = {rows_of(loader, 0), rows_of(loader, 1)};
  std::vector<RowCopy> received[2];
  {
    std::jthread first([&] { received[0] = rows_of(loader, 0); });
    std::jthread second([&] { received[1] = rows_of(loader, 1); });
  }
  CHECK(received[0] == expected[0]);
  CHECK(received[1] == expected[1]);
  CHECK(loader.report().num_rows == 160);
}

TEST_CASE("loader: two loaders work at once, their batches interleaved") {
  Loader train{NoiseSource{20}, random_pipeline(), shuffled(2, 2, 2)};
  Loader val{NoiseSource{20}, Pipeline{CenterCrop{.size = {4, 4}}}, {.batch_size = 2, .num_threads = 3}};
  const auto expected_train = rows_of(train, 0);
  const auto expected_val = rows_of(val, 0);
  EpochRange a = train.epoch(0);
  EpochRange b = val.epoch(0);
  std::vector<RowCopy> train_rows;
  std::vector<RowCopy> val_rows;
  for (int i = 0; i < 10; ++i) {
    append_rows(*a.next(), train_rows);
    append_rows(*b.next(), val_rows);
  }
  CHECK(train_rows == expected_train);
  CHECK(val_rows == expected_val);
}

TEST_CASE("loader: in a loop of epochs the next one begins before it is asked for, and is the same") {
  auto reads = std::make_shared<Counter>();
  NoiseSource source{12};
  source.before_read = [reads](std::uint64_t, const std::stop_token&) { reads->add(); };
  Loader reference{NoiseSource{12}, random_pipeline(), shuffled(4, 2, 2)};
  Loader loader{source, random_pipeline(), shuffled(4, 2, 2)};
  CHECK(rows_of(loader, 0) == rows_of(reference, 0));
  CHECK(reads->count() == 12);  // a single epoch reads nothing beyond it
  std::vector<RowCopy> rows;
  for (const Batch& batch : loader.epoch(1)) {
    append_rows(batch, rows);
    if (batch.index == 2) CHECK(reads->wait_for_count(24 + 8));  // holding the last: two of the next are being filled
  }
  CHECK(rows == rows_of(reference, 1));
  CHECK(rows_of(loader, 2) == rows_of(reference, 2));
  CHECK(rows_of(loader, 7) == rows_of(reference, 7));  // another than the one begun
  CHECK(loader.report().num_rows == 4 * 12);
}

TEST_CASE("loader: an error in an epoch begun ahead stays there unless that epoch is asked for") {
  class TwelvePerEpoch : public Order {
   public:
    std::uint64_t num_rows() const override { return 12; }
    std::uint64_t sample_id(std::uint64_t epoch, std::uint64_t row) const override { return 12 * epoch + row; }
  };
  for (const std::uint64_t next : {std::uint64_t{3}, std::uint64_t{2}}) {
    CAPTURE(next);
    auto reads_ahead = std::make_shared<Counter>();
    NoiseSource source{48};
    for (std::uint64_t id = 24; id < 36; ++id) source.bad.insert(id);
    source.before_read = [=](std::uint64_t id, const std::stop_token&) {
      if (id >= 24 && id < 36) reads_ahead->add();
    };
    Loader loader{source,
                  random_pipeline(),
                  {.batch_size = 4, .order = std::make_shared<TwelvePerEpoch>(), .num_threads = 2, .prefetch = 1}};
    CHECK(rows_of(loader, 0).size() == 12);
    for (const Batch& batch : loader.epoch(1)) {
      if (batch.index == 2) CHECK(reads_ahead->wait_for_count(4));
    }
    CHECK(loader.report().incidents.empty());
    if (next == 2) {
      CHECK(mentions(message_of<SourceError>([&] { rows_of(loader, 2); }), {"sample 24"}));
      CHECK(loader.report().incidents.size() == 1);
    } else {
      CHECK(rows_of(loader, 3).size() == 12);
      CHECK(loader.report().incidents.empty());
      CHECK(loader.report().num_rows == 36);
    }
  }
}

}  // namespace muster::test
