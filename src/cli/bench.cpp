// muster bench DIR: how many images per second the loader delivers here, and what holds it back.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/resource.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "decode_limit.hpp"
#include "incident_log.hpp"
#include "interrupt.hpp"
#include "options.hpp"
#include "output.hpp"
#include "progress.hpp"
#include "spread.hpp"
#include "stage_times.hpp"
#include "threads.hpp"

namespace muster::cli {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

struct BenchOptions : Options {
  std::uint64_t num_epochs = 3;
  std::uint64_t num_batches = 0;  // per epoch; 0: all
  bool json = false;
};

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// Holds a batch against what the loader promised before the first image was read.
void verify(const Batch& batch, const Loader& loader) {
  const BatchSpec spec = loader.spec();
  const bool last = batch.index + 1 == loader.num_batches();
  const Shape expected = spec.shape(last ? spec.last_batch_size : spec.batch_size);
  const auto rows = static_cast<std::size_t>(batch.num_rows());
  if (batch.images.shape() != expected || batch.images.dtype() != spec.dtype) {
    throw ShapeError("bench",
                     fmt::format("batch {}: expected {} {}, received {} {}", batch.index, name(spec.dtype),
                                 expected.to_string(), name(batch.images.dtype()), batch.images.shape().to_string()));
  }
  if (batch.labels.num_rows() != batch.num_rows() || batch.valid.num_rows() != batch.num_rows() ||
      batch.ids.size() != rows || batch.rows.size() != rows || batch.plans.size() != rows) {
    throw ShapeError("bench", fmt::format("batch {}: labels, valid, ids, rows and plans do not all have {} rows",
                                          batch.index, rows));
  }
}

/// Counters of this process, taken before and after an epoch.
struct Usage {
  double cpu_seconds = 0;        // of all threads
  std::int64_t disk_blocks = 0;  // that had to be read from a disk

  static Usage now() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) {
      return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
    };
    return {seconds(usage.ru_utime) + seconds(usage.ru_stime), usage.ru_inblock};
  }
};

/// The most memory that was resident since the peak was last forgotten. (What getrusage calls the maximum also counts
/// the program that started this one.)
std::int64_t peak_rss_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6)) * 1024;
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;
}

void forget_peak_rss() {
  std::ofstream("/proc/self/clear_refs") << '5';  // where that is refused, the peak is that of the whole run
}

/// What the epochs showed.
struct Measured {
  std::vector<double> images_per_second;         // by epoch
  std::vector<double> decode_images_per_second;  // of decoding alone, by epoch
  std::uint64_t num_images = 0;                  // per epoch, fillers left out
  std::uint64_t num_batches = 0;                 // per epoch
  double seconds_to_first_batch = 0;
  Shape batch_shape;  // of the first batch, and of the last
  Shape last_batch_shape;
  std::int64_t peak_rss = 0;  // while the loader ran

  // Of all epochs together:
  std::uint64_t num_images_in_all = 0;
  double seconds = 0;
  double consumer_seconds = 0;  // of `seconds`: between a batch and asking for the next
  double cpu_seconds = 0;
  std::int64_t disk_blocks = 0;

  double rate() const { return spread_of(images_per_second).median; }
  std::optional<double> decode_limit() const {
    if (decode_images_per_second.empty()) return {};
    return spread_of(decode_images_per_second).median;
  }
  std::optional<double> decode_limit_ratio() const {
    const std::optional<double> limit = decode_limit();
    if (!limit) return {};
    return rate() / *limit;
  }

  /// Seconds per image that the consumer waited.
  double consumer_wait() const { return (seconds - consumer_seconds) / static_cast<double>(num_images_in_all); }
  /// Seconds per image that a thread did not run, summed over the threads: no work, no core, or a slow disk.
  double wait(int num_threads) const {
    return std::max(0.0, seconds * num_threads - cpu_seconds) / static_cast<double>(num_images_in_all);
  }
};

/// One epoch, or its first batches. What its rows show is noted for `limit`.
void run_epoch(Loader& loader, std::uint64_t epoch, const BenchOptions& options, Measured& measured, DecodeLimit& limit,
               IncidentLog& log) {
  const std::uint64_t num_batches =
      options.num_batches == 0 ? loader.num_batches() : std::min(options.num_batches, loader.num_batches());
  const std::uint64_t number = epoch - options.epoch;
  Progress progress(fmt::format("epoch {} of {}", number + 1, options.num_epochs),
                    std::min(num_batches * static_cast<std::uint64_t>(options.batch_size), loader.num_rows()));

  std::uint64_t num_images = 0;
  std::uint64_t batches = 0;
  double consumer_seconds = 0;
  forget_peak_rss();
  const Usage before = Usage::now();
  const Clock::time_point start = Clock::now();
  EpochRange epoch_batches = loader.epoch(epoch);
  while (const std::optional<Batch> next = next_batch(epoch_batches)) {
    const Batch& batch = *next;
    const Clock::time_point received = Clock::now();
    verify(batch, loader);
    if (number == 0 && batches == 0) {
      measured.seconds_to_first_batch = seconds_since(start);
      measured.batch_shape = batch.images.shape();
    }
    measured.last_batch_shape = batch.images.shape();
    const auto rows = static_cast<std::uint64_t>(batch.num_rows() - batch.num_fillers);
    num_images += rows;
    progress.advance(rows, batch.incidents.size());
    limit.add(batch);
    log.add(batch);
    consumer_seconds += seconds_since(received);
    // Leaving before the range has said that it ended keeps the loader from beginning the next epoch already, which
    // would disturb the decode limit and give that epoch a start ahead of the clock.
    if (++batches == num_batches) break;
  }
  const double seconds = seconds_since(start);
  const Usage after = Usage::now();

  measured.images_per_second.push_back(static_cast<double>(num_images) / seconds);
  measured.num_images = num_images;
  measured.num_batches = batches;
  measured.peak_rss = std::max(measured.peak_rss, peak_rss_bytes());
  measured.num_images_in_all += num_images;
  measured.seconds += seconds;
  measured.consumer_seconds += consumer_seconds;
  measured.cpu_seconds += after.cpu_seconds - before.cpu_seconds;
  measured.disk_blocks += after.disk_blocks - before.disk_blocks;
}

/// Epochs of the loader and of decoding alone in turn, so that what else the machine does meets both.
void run_epochs(Loader& loader, const BenchOptions& options, Measured& measured, DecodeLimit& limit, IncidentLog& log) {
  for (std::uint64_t i = 0; i < options.num_epochs; ++i) {
    run_epoch(loader, options.epoch + i, options, measured, limit, log);
    const std::optional<double> decoded = limit.run();
    if (decoded) measured.decode_images_per_second.push_back(*decoded);
    if (options.json) continue;
    print(fmt::format("  epoch {:<10}{:>8.0f} images/s   {} images", options.epoch + i,
                      measured.images_per_second.back(), measured.num_images));
    print(decoded ? fmt::format(";   decoding alone {:.0f}\n", *decoded) : "\n");
  }
}

/// A step of the work on an image, in every form that results have it.
struct Step {
  std::string_view name;
  std::string_view label;  // for people
  double StageTimes::*seconds;
  std::string_view advice;  // where it takes longest
};

constexpr Step steps[] = {
    {"read", "read", &StageTimes::read, "fewer or smaller files would help"},
    {"probe", "probe", &StageTimes::probe, "shorter headers would help"},
    {"plan", "plan", &StageTimes::plan, "fewer stages would help"},
    {"decode", "decode (window)", &StageTimes::decode, "more cores or smaller images would help"},
    {"resample", "resample", &StageTimes::resample, "smaller windows or another interpolation would help"},
    {"pixel", "pixel stages", &StageTimes::pixel, "fewer pixel stages would help"},
    {"write", "write", &StageTimes::write, "a smaller output or dtype would help"},
};

struct Verdict {
  std::string_view bound;  // "decode", "read", "consumer", "wait", ...
  std::string text;        // one line, `bound` included
};

/// What bounds the run, and what would help.
Verdict judge(const Loader& loader, const Measured& measured, const StageTimes& times) {
  const auto percent = [](double part, double whole) { return whole > 0 ? 100 * part / whole : 0; };
  const double consumer = percent(measured.consumer_seconds, measured.seconds);
  if (consumer > 50) {
    return {"consumer", fmt::format("consumer: it works on the batches {:.0f} % of the time", consumer)};
  }
  const double num_running = std::min(loader.num_threads(), num_cores());
  const double busy = percent(measured.cpu_seconds, measured.seconds * num_running);
  constexpr double block_bytes = 512;
  const double from_disk = block_bytes * static_cast<double>(measured.disk_blocks);
  const double idle_seconds = measured.seconds * num_running - measured.cpu_seconds;
  const LoaderStats stats = loader.stats();
  const bool wait_for_servers = stats.num_io_threads == 0 && stats.seconds(WorkStep::read) > 0.8 * idle_seconds;
  const bool wait_for_files = wait_for_servers || from_disk > 0.2 * static_cast<double>(loader.report().num_bytes_read);
  if (busy < 75 && wait_for_files) {
    return {"read", fmt::format("read: the threads wait {:.0f} % of the time for files; more threads, --io-threads, a "
                                "faster disk or a nearer server would help",
                                100 - busy)};
  }
  if (busy < 75) {
    return {"wait", fmt::format("wait: the threads stand still {:.0f} % of the time with no file to wait for; the "
                                "epochs are short, or other programs take the cores",
                                100 - busy)};
  }
  const Step& longest = *std::ranges::max_element(steps, {}, [&](const Step& step) { return times.*step.seconds; });
  std::string text =
      fmt::format("{}: {:.0f} % of the work on an image", longest.name, percent(times.*longest.seconds, times.sum()));
  if (const std::optional<double> ratio = measured.decode_limit_ratio()) {
    text += fmt::format(", and the loader reaches {:.0f} % of what decoding alone does here", 100 * *ratio);
  }
  return {longest.name, fmt::format("{}; {}", text, longest.advice)};
}

Json optional_number(const std::optional<double>& number) { return number ? Json(*number) : Json(); }

/// What the loader itself saw, all threads together.
Json to_json(const LoaderStats& stats) {
  Json seconds = Json::object();
  for (std::size_t i = 0; i < num_work_steps; ++i) {
    seconds[std::string(name(static_cast<WorkStep>(i)))] = stats.step_seconds[i];
  }
  return {{"seconds", std::move(seconds)},
          {"consumer_wait_seconds", stats.consumer_wait_seconds},
          {"consumer_work_seconds", stats.consumer_work_seconds},
          {"worker_wait_seconds", stats.worker_wait_seconds},
          {"samples", stats.num_samples},
          {"errors", stats.num_errors},
          {"waits", stats.num_waits},
          {"mean_queue_depth", stats.mean_queue_depth},
          {"max_bytes_in_flight", stats.max_bytes_in_flight}};
}

Json to_json(const BenchOptions& options, const Loader& loader, const Measured& measured, const DecodeLimit& limit,
             const StageTimes& times) {
  const Report report = loader.report();
  const BatchSpec spec = loader.spec();
  const Verdict verdict = judge(loader, measured, times);
  Json stages_ms = Json::object();
  for (const Step& step : steps) stages_ms[std::string(step.name)] = 1e3 * times.*step.seconds;
  stages_ms["wait"] = 1e3 * measured.wait(loader.num_threads());
  return {{"images_per_second", measured.rate()},
          {"images_per_second_by_epoch", measured.images_per_second},
          {"decode_limit_images_per_second", optional_number(measured.decode_limit())},
          {"decode_limit_images_per_second_by_epoch", measured.decode_images_per_second},
          {"decode_limit_ratio", optional_number(measured.decode_limit_ratio())},
          {"decode_limit_left_out", limit.num_left_out()},
          {"verdict", verdict.text},
          {"bound", verdict.bound},
          {"stages_ms", std::move(stages_ms)},
          {"stages_images", times.num_images},
          {"loader", to_json(loader.stats())},
          {"consumer_wait_ms", 1e3 * measured.consumer_wait()},
          {"cpu_seconds", measured.cpu_seconds},
          {"epochs", options.num_epochs},
          {"images", measured.num_images},
          {"batches", measured.num_batches},
          {"batch_shape", as_json(measured.batch_shape)},
          {"last_batch_shape", as_json(measured.last_batch_shape)},
          {"shapes_verified", true},
          {"dtype", name(spec.dtype)},
          {"layout", name(spec.layout)},
          {"threads", loader.num_threads()},
          {"seconds_to_first_batch", measured.seconds_to_first_batch},
          {"peak_rss_bytes", measured.peak_rss},
          {"bytes_read", report.num_bytes_read},
          {"errors", report.num_masked + report.num_substituted},
          {"masked", report.num_masked},
          {"substituted", report.num_substituted},
          {"warned", report.num_warned},
          {"fillers", report.num_fillers},
          {"wrapped", report.num_wrapped}};
}

std::string stage_table(const Loader& loader, const Measured& measured, const StageTimes& times) {
  if (times.num_images == 0) return {};
  std::string text = fmt::format("\n  {:<26}{:>10}{:>9}\n", fmt::format("one thread, {} images", times.num_images),
                                 "ms/image", "share");
  for (const Step& step : steps) {
    const double seconds = times.*step.seconds;
    text += fmt::format("    {:<24}{:>10.3f}{:>7.0f} %\n", step.label, 1e3 * seconds, 100 * seconds / times.sum());
  }
  text += fmt::format("    {:<24}{:>10.3f}   of all threads, while the loader ran\n", "wait",
                      1e3 * measured.wait(loader.num_threads()));
  return text;
}

std::string for_people(const Loader& loader, const Measured& measured, const DecodeLimit& limit,
                       const StageTimes& times) {
  const Report report = loader.report();
  std::string text =
      fmt::format("  median          {:>8.0f} images/s on {} threads\n", measured.rate(), loader.num_threads());
  if (const std::optional<double> decoded = measured.decode_limit()) {
    text +=
        fmt::format("  decode limit    {:>8.0f} images/s of libjpeg-turbo alone; the loader reaches {:.0f} % of it\n",
                    *decoded, 100 * *measured.decode_limit_ratio());
    if (limit.num_left_out() > 0) {
      text += fmt::format("                           without {} of {} images that are no whole JPEGs\n",
                          limit.num_left_out(), limit.num_left_out() + limit.num_decoded());
    }
  } else {
    text += "  decode limit           none: there is no JPEG\n";
  }
  text += fmt::format("\n  first batch after   {:.3f} s\n", measured.seconds_to_first_batch);
  text += fmt::format("  batches             {} of {} {} {}", measured.num_batches, name(loader.spec().dtype),
                      name(loader.spec().layout), measured.batch_shape.to_string());
  if (measured.last_batch_shape != measured.batch_shape) {
    text += fmt::format(", the last {}", measured.last_batch_shape.to_string());
  }
  text += fmt::format("; every shape verified\n  bytes read          {:.1f} MB\n  peak memory         {:.0f} MB\n",
                      static_cast<double>(report.num_bytes_read) / 1e6, static_cast<double>(measured.peak_rss) / 1e6);
  text += stage_table(loader, measured, times);
  text += fmt::format("\n  bound by {}\n", judge(loader, measured, times).text);
  if (!report.incidents.empty()) text += '\n' + report.to_string();
  if (!text.ends_with('\n')) text += '\n';
  return text;
}

/// What the names of samples are relative to: the folder, or the one that holds the list.
std::filesystem::path root_of(const std::filesystem::path& dir) {
  return std::filesystem::is_directory(dir) ? dir : dir.parent_path();
}

void bench(const BenchOptions& options) {
  Loader loader = make_loader(options);
  const CleanEnd clean_end;
  IncidentLog log(options.report);
  log.add_faults(loader.source());
  DecodeLimit limit(loader, root_of(options.dir));
  Measured measured;
  run_traced(loader, [&] { log_undelivered(log, loader, [&] { run_epochs(loader, options, measured, limit, log); }); });
  const StageTimes times = measure_stages(loader, options.epoch);
  print(options.json ? to_line(to_json(options, loader, measured, limit, times))
                     : for_people(loader, measured, limit, times));
}

}  // namespace

Command add_bench(CLI::App& program) {
  const auto options = std::make_shared<BenchOptions>();
  CLI::App* parser = program.add_subcommand(
      "bench", "Images per second of the full loader, against the decode limit of this machine.");
  add_options(*parser, *options);
  parser->add_option("--epochs", options->num_epochs, "epochs to run [3]")->option_text("N")->check(whole_number(1));
  parser->add_option("--batches", options->num_batches, "batches per epoch [all]")
      ->option_text("N")
      ->check(whole_number(1));
  add_json_flag(*parser, options->json);
  return {parser, [options] { bench(*options); }};
}

}  // namespace muster::cli
