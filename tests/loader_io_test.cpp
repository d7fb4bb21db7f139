// The io stage: reads ahead of the workers, within a budget of bytes, and never changes a byte.
#include <doctest/doctest.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <numeric>
#include <optional>
#include <thread>

#include "loader/io_stage.hpp"
#include "loader_support.hpp"

namespace muster::test {
namespace {

/// Says before it reads how long a sample is.
class AnnouncingSource : public NoiseSource {
 public:
  using NoiseSource::NoiseSource;
  void read(std::uint64_t id, Sample& sample, std::stop_token stop) const override {
    NoiseSource::read(id, sample, stop);
    const std::vector<std::uint8_t> bytes = std::move(sample.bytes);
    sample.expect_bytes(bytes.size());
    sample.bytes = bytes;
  }
};

/// Answers reads from a thread of its own, the latest first, once `num_reads` are waiting or none come any more.
class AsyncSource : public NoiseSource {
 public:
  AsyncSource(std::uint64_t num_samples, int num_reads)
      : NoiseSource(num_samples), num_reads_(num_reads), state_(std::make_shared<State>()) {}

  int num_async_reads() const override { return num_reads_; }
  void read_async(std::uint64_t id, Sample& sample, std::stop_token,
                  std::function<void(std::exception_ptr)> done) const override {
    const std::lock_guard lock(state_->mutex);
    state_->waiting.push_back({id, &sample, std::move(done)});
    state_->max_waiting = std::max(state_->max_waiting, state_->waiting.size());
    if (!state_->thread.joinable()) {
      state_->thread =
          std::jthread([this, state = state_.get()](const std::stop_token& stop) { answer(*state, stop); });
    }
    state_->changed.notify_all();
  }
  std::size_t max_waiting() const {
    const std::lock_guard lock(state_->mutex);
    return state_->max_waiting;
  }

 private:
  struct Waiting {
    std::uint64_t id;
    Sample* sample;
    std::function<void(std::exception_ptr)> done;
  };
  struct State {
    std::mutex mutex;
    std::condition_variable_any changed;
    std::deque<Waiting> waiting;
    std::size_t max_waiting = 0;
    std::jthread thread;
  };

  void answer(State& state, const std::stop_token& stop) const {
    std::unique_lock lock(state.mutex);
    while (state.changed.wait(lock, stop, [&] { return !state.waiting.empty(); })) {
      Waiting read = std::move(state.waiting.back());
      state.waiting.pop_back();
      lock.unlock();
      std::exception_ptr error;
      try {
        NoiseSource::read(read.id, *read.sample, {});
      } catch (...) {
        error = std::current_exception();
      }
      read.done(error);
      read = {};
      lock.lock();
    }
  }

  int num_reads_;
  std::shared_ptr<State> state_;
};

std::vector<RowCopy> delivered(const NoiseSource& source, LoaderOptions options) {
  Loader loader(std::shared_ptr<const Source>(&source, [](const Source*) {}), random_pipeline(), options);
  std::vector<RowCopy> rows = rows_of(loader, 0);
  for (RowCopy& row : rows_of(loader, 1)) rows.push_back(std::move(row));
  return rows;
}

LoaderOptions shuffled(OnError on_error = OnError::raise) {
  return {.batch_size = 7, .shuffle = true, .seed = 3, .last_batch = LastBatch::pad, .on_error = on_error};
}

}  // namespace

TEST_CASE("loader: io threads change no byte, whatever their number, the workers' and the prefetch") {
  NoiseSource source(60);
  source.bad = {3, 17, 18};
  source.garbled = {5, 40};
  for (const OnError on_error : {OnError::mask, OnError::substitute}) {
    LoaderOptions options = shuffled(on_error);
    const std::vector<RowCopy> expected = delivered(source, options);
    for (const int num_io_threads : {1, 2, 5, 16}) {
      for (const int num_threads : {1, 3}) {
        for (const int prefetch : {1, 4}) {
          options.num_io_threads = num_io_threads;
          options.num_threads = num_threads;
          options.prefetch = prefetch;
          CHECK(delivered(source, options) == expected);
        }
      }
    }
  }
}

TEST_CASE("loader: with io threads only they read, and as many at once as there are") {
  constexpr int num_io_threads = 6;
  NoiseSource source(48);
  Counter arrived;
  std::mutex mutex;
  std::set<std::thread::id> readers;
  source.before_read = [&](std::uint64_t, const std::stop_token&) {
    {
      const std::lock_guard lock(mutex);
      readers.insert(std::this_thread::get_id());
    }
    arrived.add();
    arrived.wait_for_count(num_io_threads);  // the first reads end only when all threads read
  };
  LoaderOptions options = shuffled();
  options.num_threads = 1;
  options.num_io_threads = num_io_threads;
  CHECK(delivered(source, options).size() == 2 * 49);
  CHECK(readers.size() == num_io_threads);
}

TEST_CASE("loader: bytes in flight never exceed their limit") {
  AnnouncingSource source(64);
  std::vector<std::uint64_t> sizes(64);
  for (std::uint64_t id = 0; id < sizes.size(); ++id) sizes[id] = encoded(NoiseSource::image(id)).size();
  const std::uint64_t limit = 3 * *std::ranges::max_element(sizes);

  auto shared = std::make_shared<AnnouncingSource>(source);
  std::mutex mutex;
  std::uint64_t num_bytes = 0;
  Counter read;
  IoStage stage(shared, 8, limit);  // its threads end before what they count in
  std::vector<std::unique_ptr<ReadBuffer>> buffers;

  class Reader : public ReadTask {
   public:
    explicit Reader(std::function<void()> work) : work_(std::move(work)) {}
    void read_one() noexcept override { work_(); }

   private:
    std::function<void()> work_;
  };
  std::atomic<std::uint64_t> next_id{0};
  const auto task = std::make_shared<Reader>([&] {
    auto buffer = stage.read(next_id++, {});
    CHECK(stage.gate().num_held() <= limit);
    {
      const std::lock_guard lock(mutex);
      num_bytes += buffer->sample.bytes.size();
      buffers.push_back(std::move(buffer));
    }
    read.add();
  });
  stage.submit(task, 64);
  for (std::int64_t num_taken = 0; num_taken < 64;) {
    REQUIRE(read.wait_for_count(num_taken + 1));
    std::vector<std::unique_ptr<ReadBuffer>> taken;
    {
      const std::lock_guard lock(mutex);
      taken.swap(buffers);
    }
    CHECK(stage.gate().num_held() <= limit);
    num_taken += static_cast<std::int64_t>(taken.size());
    for (auto& buffer : taken) stage.recycle(std::move(buffer));
  }
  CHECK(stage.gate().num_held() == 0);
  CHECK(num_bytes == std::accumulate(sizes.begin(), sizes.end(), std::uint64_t{0}));
}

TEST_CASE("loader: a budget of one sample is slow, but gives every byte") {
  AnnouncingSource source(40);
  LoaderOptions options = shuffled();
  const std::vector<RowCopy> expected = delivered(source, options);
  options.num_io_threads = 4;
  options.max_bytes_in_flight = 0;
  for (std::uint64_t id = 0; id < source.size(); ++id) {
    options.max_bytes_in_flight =
        std::max(options.max_bytes_in_flight, static_cast<std::int64_t>(encoded(NoiseSource::image(id)).size()));
  }
  CHECK(delivered(source, options) == expected);
}

TEST_CASE("loader: samples over the limit of bytes in flight pass alone: the limit changes no byte") {
  AnnouncingSource announcing(40);
  NoiseSource silent(40);
  LoaderOptions options = shuffled();
  const std::vector<RowCopy> expected = delivered(announcing, options);
  for (const int num_io_threads : {1, 2, 5}) {
    options.num_io_threads = num_io_threads;
    options.max_bytes_in_flight = 1;
    CHECK(delivered(announcing, options) == expected);
    CHECK(delivered(silent, options) == expected);
    CHECK(delivered(AsyncSource(40, num_io_threads), options) == expected);
  }
}

/// Says nothing of how long its samples are.
class SilentSource : public NoiseSource {
 public:
  SilentSource(std::uint64_t num_samples, std::size_t size) : NoiseSource(num_samples), size_(size) {}
  void read(std::uint64_t, Sample& sample, std::stop_token) const override { sample.bytes.assign(size_, 7); }

 private:
  std::size_t size_;
};

TEST_CASE("loader: a read that does not know its length waits until one like those before it has room") {
  ByteGate gate(2500);
  const SilentSource source(9, 1000);
  ReadBuffer first(gate);
  std::optional<ReadBuffer> second(gate);
  ReadBuffer third(gate);
  first.read(source, 0, {});
  SUBCASE("with threads") { second->read(source, 1, {}); }
  SUBCASE("asynchronously") {
    second->read_async(source, 1, {}, [&](const std::exception_ptr& error) { second->settle(error); });
  }
  REQUIRE(gate.num_held() == 2000);
  std::stop_source stopped;
  stopped.request_stop();
  third.read(source, 2, stopped.get_token());
  CHECK(third.error != nullptr);  // it had to wait, and was told to stop
  second.reset();
  third.read(source, 2, stopped.get_token());
  CHECK(third.error == nullptr);  // it had not
  CHECK(gate.max_held() == 2000);
}

TEST_CASE("loader: one long sample does not keep short ones apart for long") {
  ByteGate gate(2500);
  ReadBuffer buffer(gate);
  buffer.read(SilentSource(1, 100'000), 0, {});
  for (int i = 0; i < 200; ++i) buffer.read(SilentSource(1, 10), 0, {});
  ReadBuffer held(gate);
  held.read(SilentSource(1, 10), 0, {});
  std::stop_source stopped;
  stopped.request_stop();
  buffer.read(SilentSource(1, 10), 0, stopped.get_token());
  CHECK(buffer.error == nullptr);
}

TEST_CASE("loader: a source whose reads wait for each other is never waited for at the gate") {
  class OneAtATime : public NoiseSource {
   public:
    using NoiseSource::NoiseSource;
    void read(std::uint64_t id, Sample& sample, std::stop_token stop) const override {
      const std::lock_guard lock(*mutex_);
      NoiseSource::read(id, sample, stop);
      if (id % 3 == 0) return;  // these do not know
      const std::vector<std::uint8_t> bytes = std::move(sample.bytes);
      sample.expect_bytes(bytes.size());
      sample.bytes = bytes;
    }

   private:
    std::shared_ptr<std::mutex> mutex_ = std::make_shared<std::mutex>();
  };
  LoaderOptions options = shuffled();
  const std::vector<RowCopy> expected = delivered(NoiseSource(60), options);
  for (const std::int64_t limit : {1, 200, 1000}) {
    options.num_io_threads = 6;
    options.max_bytes_in_flight = limit;
    CHECK(delivered(OneAtATime(60), options) == expected);
  }
}

TEST_CASE("loader: a buffer does not keep the memory of a sample much longer than the last") {
  class LongThenShort : public NoiseSource {
   public:
    using NoiseSource::NoiseSource;
    void read(std::uint64_t id, Sample& sample, std::stop_token) const override {
      const std::size_t size = id == 0 ? 8 << 20 : 100;
      sample.expect_bytes(size);
      sample.bytes.assign(size, 7);
    }
  };
  ByteGate gate(64 << 20);
  ReadBuffer buffer(gate);
  buffer.read(LongThenShort(2), 0, {});
  CHECK(buffer.sample.bytes.capacity() >= 8 << 20);
  buffer.read(LongThenShort(2), 1, {});
  CHECK(buffer.sample.bytes.size() == 100);
  CHECK(buffer.sample.bytes.capacity() < 128 << 10);
}

TEST_CASE("loader: leaving an epoch while io threads read and wait for bytes waits for neither") {
  AnnouncingSource source(200);
  source.before_read = [](std::uint64_t id, const std::stop_token& stop) {
    if (id < 10) return;
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any never;
    never.wait(lock, stop, [] { return false; });
    throw SourceError("read", "stopped");
  };
  Loader loader(source, random_pipeline(), {.batch_size = 4, .prefetch = 8, .num_io_threads = 6});
  EpochRange range = loader.epoch(0);
  const auto batch = range.next();
  REQUIRE(batch);
  CHECK(batch->num_rows() == 4);
}

TEST_CASE("loader: an asynchronous source is asked for as many reads at once as it wants, and changes no byte") {
  NoiseSource plain(60);
  plain.bad = {7, 21};
  for (const OnError on_error : {OnError::mask, OnError::substitute}) {
    LoaderOptions options = shuffled(on_error);
    const std::vector<RowCopy> expected = delivered(plain, options);
    for (const int num_reads : {1, 4, 32}) {
      AsyncSource source(60, num_reads);
      source.bad = plain.bad;
      CHECK(delivered(source, options) == expected);
      CHECK(source.max_waiting() <= static_cast<std::size_t>(num_reads));
    }
  }
}

TEST_CASE("loader: an asynchronous source that answers before it returns works as well") {
  class Immediate : public NoiseSource {
   public:
    using NoiseSource::NoiseSource;
    int num_async_reads() const override { return 3; }
  };
  LoaderOptions options = shuffled();
  CHECK(delivered(Immediate(40), options) == delivered(NoiseSource(40), options));
}

TEST_CASE("loader: an asynchronous read that ends before it begins is not waited for, and holds no room") {
  const AsyncSource source(4, 2);
  IoStage stage(std::shared_ptr<const Source>(&source, [](const Source*) {}), 1, 10);
  std::unique_ptr<ReadBuffer> held = stage.read(0, {});  // more than the limit: the next one has to wait
  std::stop_source stop;
  stop.request_stop();
  CHECK_THROWS_WITH_AS(stage.begin_read(1, stop.get_token(), [](std::unique_ptr<ReadBuffer>) { FAIL("it was read"); }),
                       doctest::Contains("stopped"), SourceError);
  stage.recycle(std::move(held));
  CHECK(stage.gate().num_held() == 0);
  CHECK(source.max_waiting() == 0);
}

TEST_CASE("loader: what an io thread's read throws has the sample's name") {
  NoiseSource source(12);
  source.bad = {4};
  Loader loader(source, random_pipeline(), {.batch_size = 5, .num_io_threads = 3});
  CHECK(mentions(message_of<SourceError>([&] { rows_of(loader, 0); }), {"made to fail", "sample 4", "dir/4.ppm"}));
}

TEST_CASE("loader: io options out of range are refused with what to set") {
  const auto refusal = [](LoaderOptions options) {
    return message_of<ConfigError>([&] { Loader(NoiseSource(4), random_pipeline(), options); });
  };
  CHECK(mentions(refusal({.num_io_threads = -1}), {"num_io_threads", "-1"}));
  CHECK(mentions(refusal({.num_io_threads = 100'000}), {"num_io_threads", "100000"}));
  CHECK(mentions(refusal({.num_io_threads = 2, .max_bytes_in_flight = 0}), {"max_bytes_in_flight"}));
}

}  // namespace muster::test
