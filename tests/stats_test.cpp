// Statistics and traces: where the time goes, what that says, and a file that Perfetto opens.
#include <doctest/doctest.h>

#include <atomic>
#include <barrier>
#include <cerrno>
#include <numeric>
#include <thread>

#include <nlohmann/json.hpp>

#include "loader_support.hpp"

namespace muster::test {
namespace {

/// Collects spans.
class Spans : public SpanSink {
 public:
  void add(const Span& span) noexcept override {
    const std::lock_guard lock(mutex_);
    spans_.push_back(span);
  }
  std::vector<Span> of(std::string_view name) const {
    const std::lock_guard lock(mutex_);
    std::vector<Span> found;
    std::ranges::copy_if(spans_, std::back_inserter(found), [&](const Span& span) { return span.name == name; });
    return found;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Span> spans_;
};

LoaderStats stats_with(double consumer_wait, double consumer_work, double read, double decode) {
  LoaderStats stats;
  stats.num_batches = 10;
  stats.consumer_wait_seconds = consumer_wait;
  stats.consumer_work_seconds = consumer_work;
  stats.step_seconds[static_cast<std::size_t>(WorkStep::read)] = read;
  stats.step_seconds[static_cast<std::size_t>(WorkStep::decode)] = decode;
  return stats;
}

}  // namespace

TEST_CASE("stats: count every sample, error, batch and byte") {
  NoiseSource source(30);
  source.bad = {4};
  source.garbled = {9};
  for (const int num_io_threads : {0, 3}) {
    Loader loader(source, random_pipeline(),
                  {.batch_size = 7, .on_error = OnError::mask, .num_io_threads = num_io_threads});
    CHECK(loader.stats().num_samples == 0);
    rows_of(loader, 0);
    const LoaderStats stats = loader.stats();
    CHECK(stats.num_samples == 30);
    CHECK(stats.num_errors == 2);
    CHECK(stats.num_batches == 5);
    CHECK(stats.num_bytes_read >= loader.report().num_bytes_read);
    CHECK(stats.num_bytes_in_flight == 0);
    CHECK((stats.max_bytes_in_flight > 0) == (num_io_threads > 0));
    CHECK(stats.num_waits <= stats.num_batches);
    CHECK(stats.mean_queue_depth >= 0);
  }
}

TEST_CASE("stats: every step that runs takes time, and a pixel stage only where there is one") {
  Loader plain(NoiseSource(20), random_pipeline(), {.batch_size = 5});
  rows_of(plain, 0);
  const LoaderStats stats = plain.stats();
  for (const WorkStep step : {WorkStep::read, WorkStep::probe, WorkStep::plan, WorkStep::decode, WorkStep::render}) {
    CHECK(stats.seconds(step) > 0);
  }
  CHECK(stats.seconds(WorkStep::pixel) == 0);

  struct Brighten {
    Extent output_extent(Extent in) const { return in; }
    Image operator()(Image image, Rng&) const { return image; }
  };
  Loader staged(NoiseSource(20), {Resize{Size{8, 6}}, Brighten{}}, {.batch_size = 5});
  rows_of(staged, 0);
  CHECK(staged.stats().seconds(WorkStep::pixel) > 0);
}

TEST_CASE("stats: spans name the step, the epoch and the sample, and lie within the run") {
  const auto sink = std::make_shared<Spans>();
  const auto begin = std::chrono::steady_clock::now();
  {
    Loader loader(NoiseSource(12), random_pipeline(), {.batch_size = 5, .spans = sink});
    for (const Batch& batch : loader.epoch(3)) CHECK(batch.epoch == 3);
  }
  const auto end = std::chrono::steady_clock::now();
  for (const char* step : {"read", "probe", "plan", "decode", "render"}) {
    std::set<std::uint64_t> ids;
    for (const Span& span : sink->of(step)) {
      CHECK(span.epoch == 3);
      CHECK(span.begin <= span.end);
      CHECK(begin <= span.begin);
      CHECK(span.end <= end);
      ids.insert(span.id);
    }
    CHECK(ids.size() == 12);
  }
  CHECK(sink->of("wait for batch").size() == 3);
  CHECK(sink->of("consume batch").size() == 2);  // the last is consumed when the range has ended
}

TEST_CASE("stats: the verdict is the consumer when it hardly waits, else what takes longest, with advice") {
  CHECK(judge(LoaderStats{}).bound == "start");
  LoaderStats short_run = stats_with(1, 8, 1, 5);  // it waited for the first batch only
  short_run.num_batches = 9;
  CHECK(judge(short_run).bound == "start");
  CHECK(mentions(judge(short_run).text, {"9 batches", "10"}));
  CHECK(judge(stats_with(0.1, 9, 1, 5)).bound == "consumer");
  const Verdict reading = judge(stats_with(5, 1, 9, 3));
  CHECK(reading.bound == "read");
  CHECK(mentions(reading.text, {"75 %", "num_io_threads", "83 %"}));
  CHECK(judge(stats_with(5, 1, 1, 3)).bound == "decode");
}

TEST_CASE("stats: whatever step takes longest, the verdict names it and says what to do about it") {
  const std::pair<WorkStep, const char*> advice[] = {
      {WorkStep::read, "num_io_threads"},     {WorkStep::probe, "without large metadata"},
      {WorkStep::plan, "fewer stages"},       {WorkStep::decode, "muster optimize"},
      {WorkStep::pixel, "behind the resize"}, {WorkStep::render, "store smaller images"}};
  CHECK(std::size(advice) == num_work_steps);
  for (const auto& [step, words] : advice) {
    CAPTURE(name(step));
    LoaderStats stats = stats_with(5, 1, 1, 1);
    stats.step_seconds[static_cast<std::size_t>(step)] = 20;
    const Verdict verdict = judge(stats);
    CHECK(verdict.bound == name(step));
    CHECK(verdict.text.starts_with(std::string(name(step)) + ": 9"));
    CHECK(mentions(verdict.text, {words}));
  }
  CHECK(name(static_cast<WorkStep>(num_work_steps)) == "?");
}

TEST_CASE("stats: with io threads the verdict is reading only when the workers wait for it") {
  LoaderStats stats = stats_with(5, 1, 90, 3);
  stats.num_io_threads = 8;
  stats.worker_wait_seconds = 0.1;
  CHECK(judge(stats).bound == "decode");
  CHECK(mentions(judge(stats).text, {"decode: 100 % of the work"}));
  stats.worker_wait_seconds = 9;
  CHECK(judge(stats).bound == "read");
  CHECK(mentions(judge(stats).text, {"wait 75 %", "83 %", "num_io_threads (8 now)"}));
}

TEST_CASE("stats: the table names every step") {
  Loader loader(NoiseSource(20), random_pipeline(), {.batch_size = 5});
  rows_of(loader, 0);
  CHECK(mentions(loader.stats().to_string(),
                 {"20 samples", "read", "probe", "plan", "decode", "pixel", "render", "bound by"}));
}

TEST_CASE("stats: bytes in flight are told where there are io threads, which bound them") {
  LoaderStats stats = stats_with(5, 1, 1, 3);
  CHECK_FALSE(mentions(stats.to_string(), {"in flight"}));
  stats.max_bytes_in_flight = 2'500'000;
  CHECK(mentions(stats.to_string(), {"at most 2.5 MB in flight"}));
}

TEST_CASE("trace: the file is JSON in which every sample's steps lie on the thread that did them") {
  const TempDir folder;
  const auto path = folder.path() / "trace.json";
  {
    const auto trace = std::make_shared<ChromeTrace>(path);
    Loader loader(NoiseSource(12), random_pipeline(), {.batch_size = 5, .num_threads = 3, .spans = trace});
    rows_of(loader, 0);
    trace->finish();
    trace->finish();  // once is enough, twice does no harm
  }
  const auto bytes = read_bytes(path);
  const auto json = nlohmann::json::parse(bytes.begin(), bytes.end());
  std::map<std::string, int> counts;
  std::map<int, std::string> names;
  for (const auto& event : json.at("traceEvents")) {
    if (event.at("ph") == "M") {
      CHECK(event.at("name") == "thread_name");
      names[event.at("tid").get<int>()] = event.at("args").at("name").get<std::string>();
    }
  }
  for (const auto& event : json.at("traceEvents")) {
    if (event.at("ph") == "M") continue;
    const auto span = event.at("name").get<std::string>();
    ++counts[span];
    CHECK(names[event.at("tid").get<int>()].starts_with(span.ends_with("batch") ? "consumer" : "worker "));
    CHECK(event.at("ph") == "X");
    CHECK(event.at("ts").get<double>() >= 0);
    CHECK(event.at("dur").get<double>() >= 0);
    CHECK(event.at("tid").get<int>() >= 1);
  }
  CHECK(counts["decode"] == 12);
  CHECK(counts["wait for batch"] == 3);
}

TEST_CASE("trace: threads are named by what they did, each kind counted from 1") {
  const TempDir folder;
  const auto path = folder.path() / "trace.json";
  ChromeTrace trace(path);
  const auto do_all = [&](const std::vector<std::string_view>& spans) {
    for (const std::string_view span : spans) trace.add({.name = span, .begin = {}, .end = {}});
  };
  do_all({"wait for batch", "consume batch"});
  {
    const std::vector<std::vector<std::string_view>> work = {
        {"read"}, {"read", "probe"}, {"read"}, {"decode"}, {"something else"}};
    std::barrier all_seen(5);  // they live at once, so that none has the id of another
    std::vector<std::jthread> threads;
    for (const auto& spans : work) {
      threads.emplace_back([&] {
        do_all(spans);
        all_seen.arrive_and_wait();
      });
    }
  }
  trace.finish();
  const auto bytes = read_bytes(path);
  const auto json = nlohmann::json::parse(bytes.begin(), bytes.end());
  std::multiset<std::string> names;
  for (const auto& event : json.at("traceEvents")) {
    if (event.at("ph") == "M") names.insert(event.at("args").at("name").get<std::string>());
  }
  CHECK(names == std::multiset<std::string>{"consumer", "io 1", "io 2", "thread 1", "worker 1", "worker 2"});
}

TEST_CASE("trace: a file that cannot be written is an error that names it") {
  CHECK(mentions(message_of<SourceError>([] { ChromeTrace("/no/such/folder/trace.json"); }), {"/no/such/folder"}));
  ChromeTrace full("/dev/full");
  for (int i = 0; i < 10'000; ++i) full.add({.name = "decode", .begin = {}, .end = {}});
  errno = 0;  // as after calls that went well
  CHECK(mentions(message_of<SourceError>([&] { full.finish(); }), {"No space left on device", "/dev/full"}));
}

}  // namespace muster::test
