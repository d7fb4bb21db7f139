// A loader whose tasks all run on one thread, the test's, in an order that a seed decides: it gives what the ordinary
// one gives. There is nothing else to take turns with, so a seed is a schedule, the same whenever it is tried.
#include <doctest/doctest.h>

#include "loader/epoch_run.hpp"
#include "loader_support.hpp"

namespace muster::test {
namespace {

/// Tasks that wait, to be run on one thread in random order.
class Schedule {
 public:
  explicit Schedule(std::uint64_t seed) : draws_(seed, 0, 0, Stream::synth) {}

  /// From the thread that runs them.
  void add(std::function<void()> task) { tasks_.push_back(std::move(task)); }
  /// From another one: joins the rest at the next admit(), so that it does not matter when just it came.
  void add_later(std::function<void()> task) {
    const std::lock_guard lock(mutex_);
    arrivals_.push_back(std::move(task));
  }
  void admit() {
    const std::lock_guard lock(mutex_);
    for (auto& task : arrivals_) tasks_.push_back(std::move(task));
    arrivals_.clear();
  }

  /// Runs one of those that wait; false if none does.
  bool run_one() {
    if (tasks_.empty()) return false;
    std::swap(tasks_[draw(tasks_.size()) - 1], tasks_.back());
    const std::function<void()> task = std::move(tasks_.back());
    tasks_.pop_back();
    task();
    return true;
  }

  /// From 1 to `max`.
  std::size_t draw(std::size_t max) {
    return static_cast<std::size_t>(draws_.uniform_int(1, static_cast<std::int64_t>(max)));
  }

 private:
  Rng draws_;
  std::vector<std::function<void()>> tasks_;
  std::mutex mutex_;
  std::vector<std::function<void()>> arrivals_;
};

class ScheduledRunner : public Runner {
 public:
  explicit ScheduledRunner(std::shared_ptr<Schedule> schedule) : schedule_(std::move(schedule)) {}
  ~ScheduledRunner() override {
    while (schedule_->run_one()) continue;
  }
  int num_threads() const noexcept override { return 1; }
  void submit(std::shared_ptr<TokenTask> task, std::int64_t num_tokens) override {
    for (std::int64_t i = 0; i < num_tokens; ++i) schedule_->add([task] { task->run_one(); });
  }

 private:
  std::shared_ptr<Schedule> schedule_;
};

NoiseSource partly_bad() {
  NoiseSource source(29);
  source.bad = {4, 17};
  source.garbled = {11};
  return source;
}

/// Its reads are tasks of the schedule, too, unless it is to be read by workers: they end in any order, and so come
/// the rows to be decoded.
class ScheduledSource : public NoiseSource {
 public:
  ScheduledSource(std::shared_ptr<Schedule> schedule, bool reads_are_tasks)
      : NoiseSource(partly_bad()), schedule_(std::move(schedule)), reads_are_tasks_(reads_are_tasks) {}

  void read(std::uint64_t id, Sample& sample, std::stop_token stop) const override {
    ids_read.push_back(id);
    if (bad.contains(id) || garbled.contains(id)) ++num_failed;
    NoiseSource::read(id, sample, stop);
  }
  int num_async_reads() const override { return reads_are_tasks_ ? 1000 : 0; }
  void read_async(std::uint64_t id, Sample& sample, std::stop_token stop,
                  std::function<void(std::exception_ptr)> done) const override {
    schedule_->add_later(
        [this, id, &sample, stop, done = std::move(done)] { NoiseSource::read_async(id, sample, stop, done); });
    num_begun.add();
  }

  mutable std::vector<std::uint64_t> ids_read;  // in the order in which they were
  mutable std::int64_t num_failed = 0;
  mutable Counter num_begun;

 private:
  std::shared_ptr<Schedule> schedule_;
  bool reads_are_tasks_;
};

constexpr std::size_t num_epochs = 2;

LoaderOptions options_of(OnError on_error) {
  return {.batch_size = 4, .shuffle = true, .seed = 8, .on_error = on_error, .num_threads = 2, .prefetch = 3};
}

/// What an epoch gives and says.
struct Told {
  std::vector<RowCopy> rows;
  std::vector<std::string> incidents;  // lines of JSON
  std::string error;
  std::string ledger;

  friend bool operator==(const Told&, const Told&) = default;
};

void append(const Batch& batch, Told& told) {
  append_rows(batch, told.rows);
  for (const Incident& incident : batch.incidents) told.incidents.push_back(incident.to_json());
}

struct AllTold {
  Told epochs[num_epochs];
  std::vector<std::string> incidents;  // by epoch
  std::string report;

  void add(Report report_in) {
    std::ranges::stable_sort(report_in.incidents, {}, &Incident::epoch);
    for (const Incident& incident : report_in.incidents) incidents.push_back(incident.to_json());
    report = report_in.to_string();
  }

  friend bool operator==(const AllTold&, const AllTold&) = default;
};

/// By oneTBB, one epoch after the other.
AllTold ordinary(OnError on_error) {
  Loader loader(partly_bad(), random_pipeline(), options_of(on_error));
  AllTold told;
  for (std::size_t epoch = 0; epoch < num_epochs; ++epoch) {
    told.epochs[epoch].error = message_of<Error>([&] {
      for (const Batch& batch : loader.epoch(epoch)) append(batch, told.epochs[epoch]);
    });
    told.epochs[epoch].ledger = loader.ledger(epoch).to_json();
  }
  told.add(loader.report());
  return told;
}

/// The loader's room without the class Loader, which takes no other runner than oneTBB's.
class ScheduledLoader {
 public:
  ScheduledLoader(std::uint64_t seed, OnError on_error, bool reads_are_tasks)
      : schedule_(std::make_shared<Schedule>(seed)),
        source_(std::make_shared<const ScheduledSource>(schedule_, reads_are_tasks)),
        core_(std::make_shared<LoaderCore>(source_, random_pipeline(), options_of(on_error),
                                           std::make_unique<ScheduledRunner>(schedule_))) {}

  /// All epochs at once: some batches are issued, all tasks run, some batches taken, in turn.
  AllTold run() {
    AllTold told;
    std::vector<std::unique_ptr<EpochRun>> runs;
    for (std::size_t epoch = 0; epoch < num_epochs; ++epoch) {
      runs.push_back(std::make_unique<EpochRun>(core_, Position{.epoch = epoch}));
    }
    while (!runs.empty()) {
      for (auto& run : runs) {
        if (schedule_->draw(2) == 1) issue(*run, schedule_->draw(core_->max_in_flight()));
      }
      run_all();
      std::erase_if(runs, [&](auto& run) { return !take_some(*run, told.epochs[run->epoch()]); });
    }
    for (std::size_t epoch = 0; epoch < num_epochs; ++epoch) {
      told.epochs[epoch].ledger = core_->log.ledger(epoch).to_json();
    }
    told.add(core_->log.report());
    return told;
  }

  /// Leaves epoch 0 with tasks that wait, and takes epoch 1 while they are run.
  std::vector<RowCopy> leave_one_take_next() {
    {
      EpochRun left(core_, Position{.epoch = 0});
      issue(left, core_->max_in_flight());
      for (std::size_t i = schedule_->draw(10); i > 1; --i) schedule_->run_one();
    }
    EpochRun next(core_, Position{.epoch = 1});
    Told told;
    do {
      issue(next, core_->max_in_flight());
      run_all();
    } while (take_some(next, told));
    return told.rows;
  }

  const std::vector<std::uint64_t>& ids_read() const { return source_->ids_read; }

 private:
  void issue(EpochRun& run, std::size_t num_in_flight) {
    const std::size_t before = run.num_in_flight();
    run.fill(num_in_flight);
    for (std::size_t i = before; i < run.num_in_flight(); ++i) {
      num_rows_issued_ += core_->layout.num_rows(num_issued_[run.epoch()]++);
    }
  }

  /// Until nothing waits. Between tasks, the io stage has one thing to do: ask for a read for each row that was issued,
  /// and where a substitute is wanted.
  void run_all() {
    do {
      const bool rereads = core_->options.on_error == OnError::substitute;
      if (core_->io) {
        REQUIRE(source_->num_begun.wait_for_count(num_rows_issued_ + (rereads ? source_->num_failed : 0)));
      }
      schedule_->admit();
      if (!schedule_->run_one()) return;
      while (schedule_->run_one()) continue;
    } while (true);
  }

  /// Takes as many batches as it likes; false after the last.
  bool take_some(EpochRun& run, Told& told) {
    if (run.num_in_flight() > 0) {
      for (std::size_t i = schedule_->draw(run.num_in_flight()); i > 0; --i) {
        Batch batch;
        bool is_there = false;
        told.error = message_of<Error>([&] { is_there = run.take(batch, {}); });
        if (!told.error.empty()) return false;
        REQUIRE(is_there);
        append(batch, told);
      }
    }
    return !run.issued_all() || run.num_in_flight() > 0;
  }

  std::shared_ptr<Schedule> schedule_;
  std::shared_ptr<const ScheduledSource> source_;
  std::shared_ptr<LoaderCore> core_;
  std::uint64_t num_issued_[num_epochs] = {};  // batches
  std::int64_t num_rows_issued_ = 0;
};

constexpr std::uint64_t num_seeds = 200;

}  // namespace

TEST_CASE("schedule: tasks in any order on one thread give the bytes and reports of the ordinary loader") {
  std::uint64_t num_schedules = 0;
  for (const OnError on_error : {OnError::raise, OnError::mask, OnError::substitute}) {
    const AllTold expected = ordinary(on_error);
    for (const bool reads_are_tasks : {false, true}) {
      CAPTURE(name(on_error));
      CAPTURE(reads_are_tasks);
      std::set<std::vector<std::uint64_t>> orders;
      for (std::uint64_t seed = 0; seed < num_seeds; ++seed) {
        CAPTURE(seed);
        ScheduledLoader loader(seed, on_error, reads_are_tasks);
        const AllTold told = loader.run();
        for (std::size_t epoch = 0; epoch < num_epochs; ++epoch) {
          CHECK(told.epochs[epoch].error == expected.epochs[epoch].error);
          CHECK(told.epochs[epoch].rows == expected.epochs[epoch].rows);
          CHECK(told.epochs[epoch].incidents == expected.epochs[epoch].incidents);
          CHECK(told.epochs[epoch].ledger == expected.epochs[epoch].ledger);
        }
        CHECK(told.incidents == expected.incidents);
        CHECK(told.report == expected.report);
        orders.insert(loader.ids_read());
      }
      CHECK(orders.size() > num_seeds / 2);
      num_schedules += orders.size();
    }
  }
  MESSAGE(num_schedules << " different schedules");
}

TEST_CASE("schedule: a seed is one schedule") {
  for (const bool reads_are_tasks : {false, true}) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      ScheduledLoader first(seed, OnError::substitute, reads_are_tasks);
      ScheduledLoader second(seed, OnError::substitute, reads_are_tasks);
      CHECK(first.run() == second.run());
      CHECK(first.ids_read() == second.ids_read());
    }
  }
}

TEST_CASE("schedule: what an epoch that was left has still waiting changes nothing of the next") {
  const AllTold expected = ordinary(OnError::mask);
  for (std::uint64_t seed = 0; seed < num_seeds; ++seed) {
    CAPTURE(seed);
    CHECK(ScheduledLoader(seed, OnError::mask, false).leave_one_take_next() == expected.epochs[1].rows);
  }
}

}  // namespace muster::test
