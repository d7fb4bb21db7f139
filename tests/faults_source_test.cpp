// Sources that misbehave: they throw anything, block, stop short, and show something else at every read. The shape of a
// batch never changes, the policy decides about the row, and whatever was begun comes to its end.
#include <doctest/doctest.h>

#include <filesystem>
#include <new>
#include <optional>
#include <system_error>
#include <thread>

#include <pthread.h>

#include "jpeg.hpp"
#include "loader/io_stage.hpp"
#include "loader_support.hpp"
#include "preview/png.hpp"

namespace muster::test {
namespace {

namespace fs = std::filesystem;

constexpr OnError policies[] = {OnError::raise, OnError::mask, OnError::substitute};

/// Who reads.
enum class Way { workers, io_threads, async };
constexpr Way ways[] = {Way::workers, Way::io_threads, Way::async};

/// Reads in its own threads where it is to be read asynchronously.
class ThreadedSource : public NoiseSource {
 public:
  ThreadedSource(std::uint64_t num_samples, Way way) : NoiseSource(num_samples), way_(way) {}
  int num_async_reads() const override { return way_ == Way::async ? 3 : 0; }
  void read_async(std::uint64_t id, Sample& sample, std::stop_token stop,
                  std::function<void(std::exception_ptr)> done) const override {
    const std::lock_guard lock(*mutex_);
    threads_->emplace_back(
        [this, id, &sample, stop, done = std::move(done)] { NoiseSource::read_async(id, sample, stop, done); });
  }

 private:
  Way way_;
  std::shared_ptr<std::mutex> mutex_ = std::make_shared<std::mutex>();
  std::shared_ptr<std::vector<std::jthread>> threads_ = std::make_shared<std::vector<std::jthread>>();
};

LoaderOptions options_of(Way way, OnError on_error = OnError::raise) {
  return {.batch_size = 3, .on_error = on_error, .num_threads = 2, .num_io_threads = way == Way::io_threads ? 2 : 0};
}

/// An error of muster's in a kind of the user's own.
class QuotaError : public SourceError {
 public:
  using SourceError::SourceError;
};

struct Thrown {
  const char* name;
  std::function<void()> now;
  bool is_the_samples;  // fault: left to the policy
};

const Thrown all_thrown[] = {
    {"runtime_error", [] { throw std::runtime_error("made up"); }, true},
    {"SourceError", [] { throw SourceError("read", "made up"); }, true},
    {"DecodeError", [] { throw DecodeError("read", "made up"); }, true},
    {"StageError", [] { throw StageError("read", "made up"); }, true},
    {"BudgetError", [] { throw BudgetError("read", "made up"); }, true},
    {"a kind of its own", [] { throw QuotaError("read", "made up"); }, true},
    {"an Error with its cause",
     [] { throw SourceError("read", "made up", {}, std::make_exception_ptr(std::runtime_error("deeper"))); }, true},
    {"int", [] { throw 7; }, true},
    {"null pointer", [] { throw static_cast<const char*>(nullptr); }, true},
    {"bad_alloc", [] { throw std::bad_alloc(); }, false},
    {"ShapeError", [] { throw ShapeError("read", "made up"); }, false},
    {"ConfigError", [] { throw ConfigError("read", "made up"); }, false},
};

/// Threads wait until it is opened, whatever they are told.
class Barrier {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    is_open_ = true;
    changed_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return is_open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_open_ = false;
};

/// Reads that block until they are let go on, and what becomes of them.
struct Blocked {
  Counter begun, told_to_stop, ended;
  Barrier barrier;

  /// Does not heed its stop token.
  void read(const std::stop_token& stop) {
    begun.add();
    {
      const std::stop_callback told(stop, [&] { told_to_stop.add(); });
      barrier.wait();
    }
    ended.add();
  }
  void read_until_stopped(const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any changed;
    std::unique_lock lock(mutex);
    begun.add();
    changed.wait(lock, stop, [] { return false; });
    ended.add();
    throw SourceError("read", "stopped");
  }
};

/// Every sample is the first `id` bytes of one file, although it announces all of them.
class ShortReads : public Source {
 public:
  ShortReads(Data file, bool is_short) : file_(std::move(file)), is_short_(is_short) {}
  std::uint64_t size() const override { return file_.size() + 1; }
  void read(std::uint64_t id, Sample& sample, std::stop_token) const override {
    sample.expect_bytes(file_.size());
    sample.bytes.assign(file_.begin(), is_short_ ? file_.begin() + static_cast<std::ptrdiff_t>(id) : file_.end());
  }

 private:
  Data file_;
  bool is_short_;
};

/// Image `version`: its size tells which it is, and so does every pixel.
Image versioned(std::int64_t version) {
  Image image({8 + version, 30 - version}, 3);
  std::fill_n(image.data(), image.size_bytes(), static_cast<std::uint8_t>(10 * version + 1));
  return image;
}

constexpr std::int64_t num_versions = 20;

/// Whether the row shows one version of its sample alone, and was planned for that.
bool is_of_one_version(const Batch& batch, std::int64_t k) {
  const Size size = batch.plans[static_cast<std::size_t>(k)].source;
  const std::int64_t version = size.height - 8;
  const auto pixels = batch.images.row(k);
  return size == versioned(version).size() &&
         std::ranges::all_of(pixels, [&](std::byte pixel) { return pixel == std::byte(10 * version + 1); });
}

/// 6 × 5 of random windows: a plan made for another size than that of the image would show.
Pipeline window_pipeline() { return {RandomCrop{.size = {6, 5}, .pad_if_needed = true}, RandomHorizontalFlip{}}; }

/// While it lives, the system has no memory for the stack of another thread.
class NoThreads {
 public:
  NoThreads() {
    pthread_getattr_default_np(&saved_);
    pthread_attr_t huge;
    pthread_attr_init(&huge);
    pthread_attr_setstacksize(&huge, std::size_t{1} << 48);
    pthread_setattr_default_np(&huge);
    pthread_attr_destroy(&huge);
  }
  NoThreads(const NoThreads&) = delete;
  NoThreads& operator=(const NoThreads&) = delete;
  ~NoThreads() {
    pthread_setattr_default_np(&saved_);
    pthread_attr_destroy(&saved_);
  }

 private:
  pthread_attr_t saved_;
};

bool is_in_shape(const Batch& batch, std::int64_t num_rows) {
  return batch.images.shape() == Shape{num_rows, 3, 6, 5} && batch.labels.shape() == Shape{num_rows} &&
         batch.valid.shape() == Shape{num_rows};
}

bool is_valid(const Batch& batch, std::int64_t k) {
  return batch.valid.as<std::uint8_t>()[static_cast<std::size_t>(k)] == 1;
}

}  // namespace

TEST_CASE("faults: whatever a read throws, whoever reads, the policy decides, and no other row changes") {
  Loader reference(NoiseSource(12), random_pipeline(), {.batch_size = 3});
  const std::vector<RowCopy> expected = rows_of(reference, 0);
  for (const Thrown& thrown : all_thrown) {
    for (const Way way : ways) {
      for (const OnError on_error : policies) {
        CAPTURE(thrown.name);
        CAPTURE(static_cast<int>(way));
        CAPTURE(name(on_error));
        ThreadedSource source(12, way);
        source.before_read = [&](std::uint64_t id, const std::stop_token&) {
          if (id == 7) thrown.now();
        };
        Loader loader(source, random_pipeline(), options_of(way, on_error));
        std::vector<RowCopy> rows;
        const std::string error = message_of<Error>([&] {
          for (const Batch& batch : loader.epoch(0)) append_rows(batch, rows);
        });
        const bool is_raised = on_error == OnError::raise || !thrown.is_the_samples;
        CHECK(rows.size() == (is_raised ? 6 : 12));
        CHECK(mentions(error, {"sample 7", "dir/7.ppm"}) == is_raised);
        for (std::size_t k = 0; k < rows.size(); ++k) {
          if (k != 7) CHECK(rows[k] == expected[k]);
        }
        if (!is_raised) {
          CHECK(rows[7].valid == (on_error == OnError::substitute));
          CHECK(rows[7].pixels.size() == expected[7].pixels.size());
          CHECK((rows[7].valid || is_zero(rows[7].pixels)));
        }
        const Report report = loader.report();
        REQUIRE(report.incidents.size() == 1);
        CHECK(report.incidents[0].sample_id == 7);
      }
    }
  }
}

TEST_CASE(
    "faults: an asynchronous read that throws, although it may not, is raised as its sample's, and nothing waits") {
  class Thrower : public NoiseSource {
   public:
    using NoiseSource::NoiseSource;
    int num_async_reads() const override { return 2; }
    void read_async(std::uint64_t id, Sample& sample, std::stop_token stop,
                    std::function<void(std::exception_ptr)> done) const override {
      if (id == 7) throw std::runtime_error("made up");
      NoiseSource::read_async(id, sample, stop, std::move(done));
    }
  };
  for (const OnError on_error : policies) {
    CAPTURE(name(on_error));
    Loader loader(Thrower(12), random_pipeline(), options_of(Way::async, on_error));
    std::vector<RowCopy> rows;
    const std::string error = message_of<Error>([&] {
      for (const Batch& batch : loader.epoch(0)) append_rows(batch, rows);
    });
    CHECK(rows.size() == 6);
    CHECK(mentions(error, {"made up", "sample 7", "dir/7.ppm"}));
  }
}

TEST_CASE(
    "faults: where the system gives no more threads, one lists a folder, and io threads are refused with advice") {
  const TempDir dir;
  for (char c = 'a'; c < 'm'; ++c) write_file(dir.path() / std::string(1, c) / "x.jpg", std::string(1, c));
  const auto names = [&] {
    const ImageFolder folder(dir.path());
    std::string all;
    for (std::uint64_t id = 0; id < folder.size(); ++id) all += folder.name(id) + " ";
    return all;
  };
  const std::string expected = names();
  const auto refusal = [](const std::shared_ptr<const Source>& source) {
    return message_of<ConfigError>([&] { const IoStage stage(source, 2, 100); });
  };
  const auto by_threads = std::make_shared<ThreadedSource>(4, Way::io_threads);
  const auto by_itself = std::make_shared<ThreadedSource>(4, Way::async);
  {
    const NoThreads no_threads;
    REQUIRE_THROWS_AS(std::jthread([] {}), std::system_error);
    CHECK(names() == expected);
    CHECK(
        mentions(refusal(by_threads), {"the system gives 0 of 2 io threads", "raise its limit, or set LoaderOptions"}));
    CHECK(mentions(refusal(by_itself), {"the system gives 0 of 1 io threads", "raise its limit"}));
    CHECK_FALSE(mentions(refusal(by_itself), {"LoaderOptions"}));
  }
  CHECK(refusal(by_threads) == "");
}

TEST_CASE("faults: what the source throws when a loader asks about it leaves the constructor as it is") {
  class Unsure : public NoiseSource {
   public:
    Unsure(int call, bool is_foreign) : NoiseSource(4), call_(call), is_foreign_(is_foreign) {}
    std::uint64_t size() const override { return count(), NoiseSource::size(); }
    int num_async_reads() const override { return count(), 0; }
    std::uint64_t shuffle_block() const override { return count(), 0; }
    mutable int num_calls = 0;

   private:
    void count() const {
      if (++num_calls != call_) return;
      if (is_foreign_) throw 7;
      throw SourceError("list", "made up");
    }
    int call_;
    bool is_foreign_;
  };
  const LoaderOptions options{.shuffle = true};
  const auto counting = std::make_shared<const Unsure>(0, false);
  Loader(counting, random_pipeline(), options);
  REQUIRE(counting->num_calls >= 3);
  for (int call = 1; call <= counting->num_calls; ++call) {
    CAPTURE(call);
    const auto ours = std::make_shared<const Unsure>(call, false);
    CHECK_THROWS_AS(Loader(ours, random_pipeline(), options), SourceError);
    CHECK(ours.use_count() == 1);
    const auto foreign = std::make_shared<const Unsure>(call, true);
    CHECK_THROWS_AS(Loader(foreign, random_pipeline(), options), int);
    CHECK(foreign.use_count() == 1);
  }
}

TEST_CASE("faults: a source that answers with another size at every call is asked for no sample beyond its answers") {
  class Unsteady : public NoiseSource {
   public:
    explicit Unsteady(std::int64_t step) : NoiseSource(0), step_(step) {}
    std::uint64_t size() const override {
      const auto answer = static_cast<std::uint64_t>(std::max<std::int64_t>(1, 12 + step_ * num_calls_++));
      largest_ = std::max(largest_, answer);
      return answer;
    }
    void read(std::uint64_t id, Sample& sample, std::stop_token stop) const override {
      if (id >= largest_) ++num_outside;
      NoiseSource::read(id, sample, stop);
    }
    mutable std::atomic<int> num_outside = 0;

   private:
    std::int64_t step_;
    mutable std::int64_t num_calls_ = 0;  // by the constructor
    mutable std::uint64_t largest_ = 0;
  };
  for (const std::int64_t step : {5, -3, -20}) {
    CAPTURE(step);
    const auto source = std::make_shared<const Unsteady>(step);
    std::uint64_t num_delivered = 0;
    const std::string refusal = message_of<ConfigError>([&] {
      Loader loader(source, random_pipeline(), {.batch_size = 5, .on_error = OnError::substitute});
      for (const Batch& batch : loader.epoch(0)) num_delivered += static_cast<std::uint64_t>(batch.num_rows());
      CHECK(num_delivered == loader.num_rows());
    });
    CAPTURE(refusal);
    CHECK((refusal.empty() || mentions(refusal, {"expected a sample id below"})));
    CHECK(source->num_outside == 0);
  }
}

TEST_CASE("faults: a read that heeds its stop token ends with the epoch, and with the loader that began it ahead") {
  for (const Way way : ways) {
    CAPTURE(static_cast<int>(way));
    Blocked blocked;
    Counter free_reads;
    std::atomic<bool> is_blocking = false;
    ThreadedSource source(6, way);
    source.before_read = [&](std::uint64_t, const std::stop_token& stop) {
      if (is_blocking) blocked.read_until_stopped(stop);
      free_reads.add();
    };
    LoaderOptions options = options_of(way);
    options.prefetch = 1;
    {
      Loader loader(source, random_pipeline(), options);
      CHECK(rows_of(loader, 0).size() == 6);
      EpochRange range = loader.epoch(1);
      REQUIRE(range.next());
      REQUIRE(free_reads.wait_for_count(12));
      is_blocking = true;
      REQUIRE(range.next());
      CHECK(blocked.begun.wait_for_count(1));  // for epoch 2, which nobody asked for
      CHECK_FALSE(range.next());
    }
    CHECK(blocked.ended.count() == blocked.begun.count());

    Loader loader(source, random_pipeline(), options);
    {
      const std::int64_t before = blocked.begun.count();
      const EpochRange range = loader.epoch(0);
      CHECK(blocked.begun.wait_for_count(before + 2));
    }
    CHECK(blocked.ended.count() == blocked.begun.count());
  }
}

TEST_CASE("faults: a read that does not heed its stop token is waited for, and nothing else is begun") {
  for (const Way way : ways) {
    CAPTURE(static_cast<int>(way));
    Blocked blocked;
    ThreadedSource source(40, way);
    source.before_read = [&](std::uint64_t, const std::stop_token& stop) { blocked.read(stop); };
    std::optional<Loader> loader(std::in_place, source, random_pipeline(), options_of(way));
    std::optional<EpochRange> range(loader->epoch(0));
    CHECK(blocked.begun.wait_for_count(2));
    std::atomic<std::int64_t> num_left_behind = -1;
    std::jthread leaving([&] {
      loader.reset();  // waits for nothing: the range still wants its workers
      range.reset();
      num_left_behind = blocked.begun.count() - blocked.ended.count();
    });
    CHECK(blocked.told_to_stop.wait_for_count(2));
    CHECK(num_left_behind == -1);
    CHECK(blocked.ended.count() == 0);
    const std::int64_t num_begun = blocked.begun.count();
    blocked.barrier.open();
    leaving.join();
    CHECK(num_left_behind == 0);
    CHECK(blocked.begun.count() <= num_begun + (way == Way::async ? 1 : 0));  // a thread of the source's own
  }
}

TEST_CASE("faults: of a file that is cut at any length a row is right, or masked; the shape stays") {
  const Data files[] = {write_jpeg(picture({24, 28}, 3, 1), {.horizontal = 2, .vertical = 2}),
                        write_jpeg(picture({24, 28}, 3, 2), {.restart_interval = 2}),
                        write_jpeg(picture({18, 16}, 3, 3), {.progressive = true}),
                        encode_png(noise_image({10, 9}, 3, 4).view())};
  std::uint64_t num_cut = 0;
  for (const Data& file : files) {
    CAPTURE(file.size());
    const auto num_rows = static_cast<std::int64_t>(file.size()) + 1;
    Loader whole(ShortReads(file, false), window_pipeline(), {.batch_size = num_rows});
    const std::vector<RowCopy> expected = rows_of(whole, 0);
    for (const Integrity integrity : {Integrity::lenient, Integrity::window, Integrity::full}) {
      for (const Way way : {Way::workers, Way::io_threads}) {
        CAPTURE(static_cast<int>(integrity));
        LoaderOptions options = options_of(way, OnError::mask);
        options.batch_size = num_rows;
        options.integrity = integrity;
        options.max_bytes_in_flight = static_cast<std::int64_t>(2 * file.size());
        Loader loader(ShortReads(file, true), window_pipeline(), options);
        EpochRange range = loader.epoch(0);
        const std::optional<Batch> batch = range.next();
        REQUIRE(batch);
        CHECK(is_in_shape(*batch, num_rows));
        std::vector<RowCopy> rows;
        append_rows(*batch, rows);
        std::int64_t num_wrong = 0;
        for (std::size_t k = 0; k < rows.size(); ++k) {
          const bool is_right = rows[k] == expected[k];
          const bool is_masked = !rows[k].valid && is_zero(rows[k].pixels);
          const bool is_warned = std::ranges::any_of(batch->incidents, [&](const Incident& incident) {
            return incident.row == k && incident.outcome == Outcome::warned;
          });
          num_wrong += is_right || is_masked || (is_warned && integrity == Integrity::lenient) ? 0 : 1;
        }
        CHECK(num_wrong == 0);
        CHECK(rows.back() == expected.back());
        CHECK_FALSE(rows.front().valid);
        const Report report = loader.report();
        CHECK(report.num_loaded + report.num_masked == file.size() + 1);
        CHECK(report.incidents.size() == report.num_masked + report.num_warned);
        num_cut += file.size();
      }
    }
  }
  MESSAGE(num_cut << " short reads");
}

TEST_CASE("faults: a source that shows another image at every read is planned for the one that is decoded") {
  class Changing : public Source {
   public:
    std::uint64_t size() const override { return 50; }
    void read(std::uint64_t, Sample& sample, std::stop_token) const override {
      const std::int64_t read = num_reads++;
      const Image image = versioned(read % num_versions);
      if (read % 7 == 3) throw SourceError("read", "not this time");
      if (read % 7 == 4) return sample.bytes.assign({0xff, 0xd8, 0xff});
      if (read % 2 == 0) {
        sample.bytes = encode_png(image.view());
      } else {
        sample.image = std::make_shared<const Image>(image);
      }
    }
    mutable std::atomic<std::int64_t> num_reads = 0;
  };
  const auto source = std::make_shared<const Changing>();
  for (const OnError on_error : {OnError::mask, OnError::substitute}) {
    for (const Way way : {Way::workers, Way::io_threads}) {
      LoaderOptions options = options_of(way, on_error);
      options.shuffle = true;
      options.batch_size = 10;
      options.num_threads = 3;
      Loader loader(source, window_pipeline(), options);
      for (std::uint64_t epoch = 0; epoch < 5; ++epoch) {
        for (const Batch& batch : loader.epoch(epoch)) {
          REQUIRE(is_in_shape(batch, 10));
          for (std::int64_t k = 0; k < 10; ++k) {
            CHECK((is_valid(batch, k) ? is_of_one_version(batch, k) : on_error == OnError::mask));
          }
        }
      }
      const Report report = loader.report();
      CHECK(report.num_loaded + report.num_substituted + report.num_masked == 250);
      CHECK(report.num_loaded < 250);
      CHECK(report.num_loaded > 0);
    }
  }
  MESSAGE(source->num_reads.load() << " reads");
}

TEST_CASE("faults: files that were listed and are gone, cut, replaced or no files any more are told one by one") {
  const TempDir root;
  const fs::path folder = root.path() / "data" / "a";
  const auto path = [&](int i) { return folder / (std::to_string(i) + ".png"); };
  for (int i = 0; i < 8; ++i) write_file(path(i), encode_png(versioned(i).view()));
  Loader loader(ImageFolder(root.path() / "data"), window_pipeline(), {.batch_size = 8, .on_error = OnError::mask});
  for (const Batch& batch : loader.epoch(0)) CHECK(batch.incidents.empty());

  fs::remove(path(1));
  fs::resize_file(path(2), fs::file_size(path(2)) / 2);
  fs::resize_file(path(3), 0);
  write_file(path(4), encode_png(versioned(15).view()));
  fs::remove(path(5));
  fs::create_directory(path(5));
  write_file(root.path() / "elsewhere.png", encode_png(versioned(16).view()));
  fs::remove(path(6));
  fs::create_symlink(root.path() / "elsewhere.png", path(6));
  write_file(path(7), "no image");
  EpochRange range = loader.epoch(1);
  const std::optional<Batch> batch = range.next();
  REQUIRE(batch);
  REQUIRE(is_in_shape(*batch, 8));
  CHECK(is_of_one_version(*batch, 0));
  CHECK(is_of_one_version(*batch, 4));
  CHECK(batch->plans[4].source == versioned(15).size());
  const std::vector<std::pair<std::size_t, const char*>> causes = {
      {1, "No such file"}, {2, "truncated"}, {3, "empty"}, {5, "folder"}, {6, "outside"}, {7, "not an image"}};
  REQUIRE(batch->incidents.size() == causes.size());
  for (std::size_t i = 0; i < causes.size(); ++i) {
    CAPTURE(batch->incidents[i].message);
    CHECK(batch->incidents[i].row == causes[i].first);
    CHECK(batch->incidents[i].path == "a/" + std::to_string(causes[i].first) + ".png");
    CHECK(mentions(batch->incidents[i].message, {causes[i].second}));
    CHECK_FALSE(is_valid(*batch, static_cast<std::int64_t>(causes[i].first)));
  }
}

TEST_CASE("faults: while files are replaced, cut, emptied and deleted, a loader shows one version of each or none") {
  const TempDir root;
  constexpr int num_files = 12;
  const auto path = [&](int i) { return root.path() / "data" / "a" / (std::to_string(i) + ".png"); };
  for (int i = 0; i < num_files; ++i) write_file(path(i), encode_png(versioned(i).view()));
  std::vector<Data> versions;
  for (std::int64_t version = 0; version < num_versions; ++version) {
    versions.push_back(encode_png(versioned(version).view()));
  }
  Loader loader(ImageFolder(root.path() / "data"), window_pipeline(),
                {.batch_size = 4, .shuffle = true, .on_error = OnError::mask, .num_threads = 3});
  std::atomic<std::int64_t> num_changes = 0;
  const std::jthread vandal([&](const std::stop_token& stop) {
    Rng draws(1, 0, 0, Stream::synth);
    while (!stop.stop_requested()) {
      const fs::path file = path(static_cast<int>(draws.uniform_int(0, num_files - 1)));
      const Data& bytes = versions[static_cast<std::size_t>(draws.uniform_int(0, num_versions - 1))];
      std::error_code ignored;  // it may be gone
      switch (draws.uniform_int(0, 4)) {
        case 0:
          fs::remove(file, ignored);
          break;
        case 1:
          fs::resize_file(file, static_cast<std::uintmax_t>(draws.uniform_int(0, 60)), ignored);
          break;
        case 2:
          write_file(file, bytes);
          break;
        default:
          write_file(root.path() / "new", bytes);
          fs::rename(root.path() / "new", file, ignored);
      }
      ++num_changes;
    }
  });
  std::int64_t num_shown = 0;
  std::int64_t num_masked = 0;
  for (std::uint64_t epoch = 0; num_shown < 200 || num_masked < 200 || num_changes < 500; ++epoch) {
    for (const Batch& batch : loader.epoch(epoch)) {
      REQUIRE(is_in_shape(batch, 4));
      for (std::int64_t k = 0; k < 4; ++k) {
        ++(is_valid(batch, k) ? num_shown : num_masked);
        if (is_valid(batch, k)) REQUIRE(is_of_one_version(batch, k));
      }
    }
  }
  MESSAGE(num_changes.load() << " changes, " << num_shown << " rows shown, " << num_masked << " masked");
}

}  // namespace muster::test
