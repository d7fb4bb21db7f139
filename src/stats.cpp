#include "muster/stats.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "names.hpp"

namespace muster {
namespace {

constexpr std::pair<WorkStep, std::string_view> step_names[] = {
    {WorkStep::read, "read"},     {WorkStep::probe, "probe"}, {WorkStep::plan, "plan"},
    {WorkStep::decode, "decode"}, {WorkStep::pixel, "pixel"}, {WorkStep::render, "render"}};

/// What to do when most of the work is this step.
std::string_view advice(WorkStep step) {
  switch (step) {
    case WorkStep::read:
      return "set num_io_threads so that reads overlap; tar archives or a faster disk help as well";
    case WorkStep::probe:
      return "headers are long: store images without large metadata";
    case WorkStep::plan:
      return "drawing takes longest: use fewer stages";
    case WorkStep::decode:
      return "give it more cores, rewrite the JPEGs with muster optimize, store smaller images, or decode fast "
             "(DecodeMode::fast, --decode fast)";
    case WorkStep::pixel:
      return "pixel stages take longest: use fewer, or put them behind the resize";
    case WorkStep::render:
      return "resampling takes longest: store smaller images, or decode fast (DecodeMode::fast, --decode fast)";
  }
  return {};
}

double share(double part, double whole) { return whole > 0 ? part / whole : 0; }

}  // namespace

std::string_view name(WorkStep step) noexcept { return name_in(step_names, step); }

Verdict judge(const LoaderStats& stats) {
  constexpr std::uint64_t min_batches = 10;
  if (stats.num_batches < min_batches) {
    return {"start", fmt::format("start: {} batches were delivered; from {} on the wait for the first one no longer "
                                 "hides what bounds the run",
                                 stats.num_batches, min_batches)};
  }
  const double consumed = stats.consumer_wait_seconds + stats.consumer_work_seconds;
  const double waiting = share(stats.consumer_wait_seconds, consumed);
  if (waiting < 0.1) {
    return {"consumer", fmt::format("consumer: it waits for data {:.0f} % of its time; the loader keeps up, a faster "
                                    "loader would change nothing",
                                    100 * waiting)};
  }
  std::array<double, num_work_steps> work = stats.step_seconds;
  if (stats.num_io_threads > 0) {
    work[static_cast<std::size_t>(WorkStep::read)] = 0;  // beside the work: it bounds only what waits for it
    const double worked = std::accumulate(work.begin(), work.end(), 0.0);
    const double idle = share(stats.worker_wait_seconds, stats.worker_wait_seconds + worked);
    if (idle > 0.25) {
      return {"read", fmt::format("read: the workers wait {:.0f} % of their time, and the consumer waits for data "
                                  "{:.0f} % of its; raise num_io_threads ({} now), and prefetch, which bounds how many "
                                  "rows are read ahead",
                                  100 * idle, 100 * waiting, stats.num_io_threads)};
    }
  }
  const double busy = std::accumulate(work.begin(), work.end(), 0.0);
  const auto* const longest = std::ranges::max_element(work);
  const auto step = static_cast<WorkStep>(longest - work.begin());
  return {std::string(name(step)),
          fmt::format("{}: {:.0f} % of the work, and the consumer waits for data {:.0f} % of its time; {}", name(step),
                      100 * share(*longest, busy), 100 * waiting, advice(step))};
}

std::string LoaderStats::to_string() const {
  const double num = static_cast<double>(std::max<std::uint64_t>(num_samples, 1));
  const double busy = std::accumulate(step_seconds.begin(), step_seconds.end(), 0.0);
  std::string text = fmt::format("{} samples ({} failed), {} batches, {:.1f} MB read\n", num_samples, num_errors,
                                 num_batches, 1e-6 * static_cast<double>(num_bytes_read));
  for (const auto& [step, step_name] : step_names) {
    text += fmt::format("  {:<8}{:>9.3f} ms/sample{:>5.0f} %\n", step_name, 1e3 * seconds(step) / num,
                        100 * share(seconds(step), busy));
  }
  text += fmt::format("  workers waited {:.2f} s; the consumer waited {:.2f} s, worked {:.2f} s\n", worker_wait_seconds,
                      consumer_wait_seconds, consumer_work_seconds);
  text += fmt::format("  {:.1f} batches were ready when one was asked for, none for {} of {}\n", mean_queue_depth,
                      num_waits, num_batches);
  if (max_bytes_in_flight > 0) {
    text += fmt::format("  at most {:.1f} MB in flight\n", 1e-6 * static_cast<double>(max_bytes_in_flight));
  }
  return text + "  bound by " + judge(*this).text + '\n';
}

}  // namespace muster
