// Consumers of every kind: they stop early, throw, hold batches, work on two epochs at once, and destroy things in any
// order. What they were given stays right, and all memory comes back.
#include <doctest/doctest.h>

#include <optional>

#include "loader_support.hpp"

namespace muster::test {
namespace {

constexpr std::uint64_t num_samples = 23;
constexpr std::uint64_t num_epochs = 4;

LoaderOptions options_of(int num_io_threads = 0) {
  return {.batch_size = 3,
          .shuffle = true,
          .seed = 4,
          .on_error = OnError::substitute,
          .num_threads = 2,
          .num_io_threads = num_io_threads};
}

NoiseSource partly_bad() {
  NoiseSource source(num_samples);
  source.bad = {5, 14};
  return source;
}

/// The rows of some epochs, each by one loop of its own.
std::vector<std::vector<RowCopy>> expected_rows() {
  std::vector<std::vector<RowCopy>> epochs;
  for (std::uint64_t epoch = 0; epoch < num_epochs; ++epoch) {
    Loader loader(partly_bad(), random_pipeline(), options_of());
    epochs.push_back(rows_of(loader, epoch));
  }
  return epochs;
}

bool is_right(const Batch& batch, const std::vector<std::vector<RowCopy>>& expected) {
  std::vector<RowCopy> rows;
  append_rows(batch, rows);
  const std::vector<RowCopy>& epoch = expected[batch.epoch];
  return std::equal(rows.begin(), rows.end(), epoch.begin() + static_cast<std::ptrdiff_t>(3 * batch.index));
}

/// Does at random what a consumer may do, and remembers what it holds.
class Consumer {
 public:
  Consumer(std::uint64_t seed, int num_io_threads, std::shared_ptr<CountingAllocator> allocator)
      : draws_(seed, 0, 0, Stream::synth), options_(options_of(num_io_threads)) {
    options_.allocator = std::move(allocator);
  }

  /// Counts what was wrong.
  int live(const std::vector<std::vector<RowCopy>>& expected) {
    constexpr int num_actions = 60;
    for (int i = 0; i < num_actions; ++i) act(expected);
    for (const Batch& batch : held_) num_wrong_ += is_right(batch, expected) ? 0 : 1;  // the loader may be gone
    num_held_ += held_.size();
    if (draw(2) == 0) held_.clear();
    if (draw(2) == 0) loader_.reset();
    if (draw(2) == 0) ranges_.clear();
    return num_wrong_;
  }

  std::size_t num_held() const { return num_held_; }

 private:
  std::size_t draw(std::size_t count) {
    return static_cast<std::size_t>(draws_.uniform_int(0, static_cast<std::int64_t>(count) - 1));
  }

  void act(const std::vector<std::vector<RowCopy>>& expected) {
    if (!loader_) loader_.emplace(source_, random_pipeline(), options_);
    switch (draw(12)) {
      case 0:
        ranges_.push_back(loader_->epoch(draw(num_epochs)));
        break;
      case 1:
        ranges_.push_back(loader_->resume(loader_->state()));
        if (ranges_.back().epoch() >= num_epochs) ranges_.pop_back();
        break;
      case 2:
        if (!ranges_.empty()) ranges_.erase(ranges_.begin() + static_cast<std::ptrdiff_t>(draw(ranges_.size())));
        break;
      case 3:
        if (!held_.empty()) held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(draw(held_.size())));
        break;
      case 4:
        if (!held_.empty()) give_away(expected);
        break;
      case 5:
        if (draw(4) == 0) loader_.reset();
        break;
      case 6:
        throw_in_loop(draw(num_epochs), draw(8));
        break;
      default:
        if (!ranges_.empty()) take(ranges_[draw(ranges_.size())], expected);
    }
  }

  void take(EpochRange& range, const std::vector<std::vector<RowCopy>>& expected) {
    std::optional<Batch> batch = range.next();
    if (!batch) return;
    num_wrong_ += is_right(*batch, expected) ? 0 : 1;
    if (draw(3) != 0) held_.push_back(*std::move(batch));
  }

  /// Another thread reads a batch, and destroys it.
  void give_away(const std::vector<std::vector<RowCopy>>& expected) {
    bool was_right = false;
    std::jthread([&, batch = std::move(held_.back())] { was_right = is_right(batch, expected); }).join();
    num_wrong_ += was_right ? 0 : 1;
    held_.pop_back();
  }

  void throw_in_loop(std::uint64_t epoch, std::uint64_t index) {
    try {
      for (const Batch& batch : loader_->epoch(epoch)) {
        if (batch.index == index) throw std::logic_error("the consumer's own");
      }
    } catch (const std::logic_error&) {
    }
  }

  Rng draws_;
  LoaderOptions options_;
  std::shared_ptr<const NoiseSource> source_ = std::make_shared<const NoiseSource>(partly_bad());
  std::vector<Batch> held_;
  std::optional<Loader> loader_;
  std::vector<EpochRange> ranges_;
  std::size_t num_held_ = 0;
  int num_wrong_ = 0;
};

/// Reads wait until they are let on.
struct Barrier {
  std::mutex mutex;
  std::condition_variable changed;
  bool is_open = false;

  void wait() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return is_open; });
  }
  void open() {
    const std::lock_guard lock(mutex);
    is_open = true;
    changed.notify_all();
  }
};

}  // namespace

TEST_CASE("faults: whatever a consumer does, its batches are right and all memory comes back") {
  const auto expected = expected_rows();
  constexpr std::uint64_t num_seeds = 150;
  std::size_t num_held = 0;
  for (const int num_io_threads : {0, 2}) {
    for (std::uint64_t seed = 0; seed < num_seeds; ++seed) {
      CAPTURE(num_io_threads);
      CAPTURE(seed);
      const auto allocator = std::make_shared<CountingAllocator>();
      {
        Consumer consumer(seed, num_io_threads, allocator);
        CHECK(consumer.live(expected) == 0);
        num_held += consumer.num_held();
      }
      CHECK(allocator->live_bytes == 0);
      CHECK(allocator->num_wrong == 0);
      CHECK(allocator.use_count() == 1);
    }
  }
  CHECK(num_held > num_seeds);
  MESSAGE((2 * num_seeds) << " consumers");
}

TEST_CASE("faults: one thread works on two epochs at once, and on one epoch twice, batch by batch") {
  const auto expected = expected_rows();
  Loader loader(partly_bad(), random_pipeline(), options_of());
  EpochRange ranges[] = {loader.epoch(0), loader.epoch(1), loader.epoch(1)};
  std::vector<RowCopy> received[3];
  for (std::uint64_t i = 0; i < ranges[0].num_batches(); ++i) {
    for (int k = 0; k < 3; ++k) {
      const std::optional<Batch> batch = ranges[k].next();
      REQUIRE(batch);
      append_rows(*batch, received[k]);
      const bool is_last = i + 1 == ranges[k].num_batches();  // then the state is the start of the next epoch
      const std::string state = "\"epoch\":" + std::to_string(ranges[k].epoch() + (is_last ? 1 : 0)) +
                                ",\"next_row\":" + std::to_string(is_last ? 0 : 3 * (i + 1)) + ",";
      CHECK(mentions(loader.state(), {state.c_str()}));  // of the range that delivered last
    }
  }
  CHECK(received[0] == expected[0]);
  CHECK(received[1] == expected[1]);
  CHECK(received[2] == expected[1]);
  CHECK(loader.report().num_rows == 3 * num_samples);
}

TEST_CASE("faults: ten batches held over epochs keep their bytes, whoever goes first: loader, range or batches") {
  const auto expected = expected_rows();
  for (const bool batches_first : {false, true}) {
    const auto allocator = std::make_shared<CountingAllocator>();
    LoaderOptions options = options_of();
    options.allocator = allocator;
    std::vector<Batch> held;
    std::optional<Loader> loader(std::in_place, partly_bad(), random_pipeline(), options);
    std::optional<EpochRange> range;
    for (std::uint64_t epoch = 0; held.size() < 10; ++epoch) {
      range.emplace(loader->epoch(epoch));
      while (std::optional<Batch> batch = range->next()) {
        held.push_back(*std::move(batch));
        if (held.size() == 10) break;
      }
    }
    if (batches_first) {
      for (const Batch& batch : held) CHECK(is_right(batch, expected));
      held.clear();
    }
    loader.reset();
    CHECK(range->next());  // it does not need its loader
    range.reset();
    for (const Batch& batch : held) CHECK(is_right(batch, expected));
    CHECK(allocator->live_bytes == held.size() * allocator->block_bytes);
    held.clear();
    CHECK(allocator->live_bytes == 0);
  }
}

TEST_CASE("faults: a loader may go, or be assigned, while another thread waits for a batch of its epoch") {
  Loader reference(NoiseSource(12), random_pipeline(), {.batch_size = 3});
  const std::vector<RowCopy> expected = rows_of(reference, 0);
  for (const int num_io_threads : {0, 2}) {
    for (const bool is_assigned : {false, true}) {
      auto barrier = std::make_shared<Barrier>();
      auto begun = std::make_shared<Counter>();
      NoiseSource source(12);
      source.before_read = [=](std::uint64_t, const std::stop_token&) {
        begun->add();
        barrier->wait();
      };
      std::optional<Loader> loader(std::in_place, source, random_pipeline(),
                                   LoaderOptions{.batch_size = 3, .num_threads = 2, .num_io_threads = num_io_threads});
      EpochRange range = loader->epoch(0);
      std::vector<RowCopy> rows;
      std::jthread consumer([&] {
        while (const auto batch = range.next()) append_rows(*batch, rows);
      });
      CHECK(begun->wait_for_count(2));
      if (is_assigned) {
        *loader = Loader(NoiseSource(3), random_pipeline());
      } else {
        loader.reset();
      }
      barrier->open();
      consumer.join();
      CHECK(rows == expected);
    }
  }
}

TEST_CASE("faults: batches given to other threads, which destroy them in another order, are right there") {
  const auto expected = expected_rows();
  const auto allocator = std::make_shared<CountingAllocator>();
  LoaderOptions options = options_of();
  options.allocator = allocator;
  std::atomic<int> num_right = 0;
  {
    Loader loader(partly_bad(), random_pipeline(), options);
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<Batch> given;
    bool is_over = false;
    std::vector<std::jthread> receivers;
    for (int i = 0; i < 3; ++i) {
      receivers.emplace_back([&] {
        while (true) {
          std::unique_lock lock(mutex);
          changed.wait(lock, [&] { return is_over || !given.empty(); });
          if (given.empty()) return;
          const Batch batch = std::move(given.back());
          given.pop_back();
          lock.unlock();
          num_right += is_right(batch, expected) ? 1 : 0;
        }
      });
    }
    for (std::uint64_t epoch = 0; epoch < num_epochs; ++epoch) {
      for (Batch& batch : loader.epoch(epoch)) {
        const std::lock_guard lock(mutex);
        given.push_back(std::move(batch));
        changed.notify_one();
      }
    }
    const std::lock_guard lock(mutex);
    is_over = true;
    changed.notify_all();
  }
  CHECK(num_right == static_cast<int>(num_epochs * ((num_samples + 2) / 3)));
  CHECK(allocator->live_bytes == 0);
}

}  // namespace muster::test
