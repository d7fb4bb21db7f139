// Slow storage: how much of its throughput the loader keeps when every read takes 20 ms, with and without io threads.
//
//   slow_storage_bench [DIR]      (without DIR: made pictures)
//
// Runs of five epochs, of the unslowed loader and of the slowed ones, take turns; the table shows medians, the ratio
// within the run, and the most bytes that were in flight against their limit.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "muster/muster.hpp"
#include "tests/jpeg.hpp"

namespace {

using namespace muster;
using Clock = std::chrono::steady_clock;

/// Every read of another source takes `latency` longer.
class SlowSource : public Source {
 public:
  SlowSource(std::shared_ptr<const Source> source, std::chrono::milliseconds latency)
      : source_(std::move(source)), latency_(latency) {}

  std::uint64_t size() const override { return source_->size(); }
  void read(std::uint64_t id, Sample& sample, std::stop_token stop) const override {
    std::this_thread::sleep_for(latency_);
    source_->read(id, sample, stop);
  }
  std::string name(std::uint64_t id) const override { return source_->name(id); }

 private:
  std::shared_ptr<const Source> source_;
  std::chrono::milliseconds latency_;
};

std::shared_ptr<const Source> made_source(int num_images) {
  std::vector<Sample> samples(static_cast<std::size_t>(num_images));
  for (std::size_t i = 0; i < samples.size(); ++i) {
    samples[i].bytes = test::write_jpeg(test::picture({375, 500}, 3, static_cast<std::uint32_t>(i)), {});
  }
  return std::make_shared<MemorySource>(std::move(samples));
}

struct Setting {
  std::string name;
  std::chrono::milliseconds latency{0};
  int num_io_threads = 0;
  std::vector<double> images_per_second = {};
  std::uint64_t max_bytes_in_flight = 0;
};

constexpr std::int64_t max_bytes_in_flight = std::int64_t{16} << 20;

/// Several epochs in a loop, as training has them: the next is begun before one ends.
void run_epochs(const std::shared_ptr<const Source>& source, std::uint64_t num_epochs, Setting& setting) {
  Loader loader(std::make_shared<SlowSource>(source, setting.latency), Pipeline::preset("imagenet-train"),
                {.batch_size = 64,
                 .shuffle = true,
                 .num_io_threads = setting.num_io_threads,
                 .max_bytes_in_flight = max_bytes_in_flight});
  const auto start = Clock::now();
  std::int64_t num_images = 0;
  for (std::uint64_t epoch = 0; epoch < num_epochs; ++epoch) {
    for (const Batch& batch : loader.epoch(epoch)) num_images += batch.num_rows();
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  setting.images_per_second.push_back(static_cast<double>(num_images) / seconds);
  setting.max_bytes_in_flight = std::max(setting.max_bytes_in_flight, loader.stats().max_bytes_in_flight);
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  // As a test it runs once, briefly.
  const bool brief = argc > 1 && std::strncmp(argv[1], "--benchmark", 11) == 0;
  const std::shared_ptr<const Source> source =
      argc > 1 && !brief ? std::make_shared<ImageFolder>(argv[1]) : made_source(brief ? 70 : 512);
  const std::chrono::milliseconds latency(20);
  Setting settings[] = {{.name = "no latency, no io threads"},
                        {.name = "20 ms, no io threads", .latency = latency},
                        {.name = "20 ms, 16 io threads", .latency = latency, .num_io_threads = 16},
                        {.name = "20 ms, 64 io threads", .latency = latency, .num_io_threads = 64},
                        {.name = "20 ms, 96 io threads", .latency = latency, .num_io_threads = 96}};
  const int num_turns = brief ? 1 : 5;
  for (int turn = 0; turn < num_turns; ++turn) {
    for (Setting& setting : settings) run_epochs(source, brief ? 1 : 5, setting);
  }
  const double unslowed = median(settings[0].images_per_second);
  for (const Setting& setting : settings) {
    const double rate = median(setting.images_per_second);
    fmt::print("{:<28}{:>8.0f} images/s   {:.2f}   {:>5.1f} of {} MiB in flight at most\n", setting.name, rate,
               rate / unslowed, static_cast<double>(setting.max_bytes_in_flight) / (1 << 20),
               max_bytes_in_flight >> 20);
    if (static_cast<std::int64_t>(setting.max_bytes_in_flight) > max_bytes_in_flight) return 1;
  }
}
