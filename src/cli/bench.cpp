// muster bench DIR: how many images per second the loader delivers here, and what holds it back.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <sys/resource.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "options.hpp"
#include "output.hpp"
#include "progress.hpp"

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

/// Of a list that is not empty.
double median(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::int64_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;
}

/// Holds a batch against what the loader promised before the first image was read.
void verify(const Batch& batch, const Loader& loader) {
  const BatchSpec spec = loader.spec();
  const bool last = batch.index + 1 == loader.num_batches();
  const Shape expected = spec.shape(last ? spec.last_batch_size : spec.batch_size);
  const auto rows = static_cast<std::size_t>(batch.num_rows());
  if (batch.images.shape() != expected || batch.images.dtype() != spec.dtype) {
    throw ShapeError("bench", fmt::format("batch {}: expected {} {}, received {} {}", batch.index, name(spec.dtype),
                                          expected.to_string(), name(batch.images.dtype()),
                                          batch.images.shape().to_string()));
  }
  if (batch.labels.num_rows() != batch.num_rows() || batch.valid.num_rows() != batch.num_rows() ||
      batch.ids.size() != rows || batch.rows.size() != rows || batch.plans.size() != rows) {
    throw ShapeError("bench", fmt::format("batch {}: labels, valid, ids, rows and plans do not all have {} rows",
                                          batch.index, rows));
  }
}

/// What the epochs showed.
struct Measured {
  std::vector<double> images_per_second;  // by epoch
  std::uint64_t num_images = 0;           // per epoch, fillers left out
  std::uint64_t num_batches = 0;          // per epoch
  double seconds_to_first_batch = 0;
  Shape batch_shape;                      // of the first batch, and of the last
  Shape last_batch_shape;
  std::int64_t peak_rss = 0;
};

/// One epoch, or its first batches.
void run_epoch(Loader& loader, std::uint64_t epoch, const BenchOptions& options, Measured& measured) {
  const std::uint64_t num_batches =
      options.num_batches == 0 ? loader.num_batches() : std::min(options.num_batches, loader.num_batches());
  const std::uint64_t number = epoch - options.epoch;
  Progress progress(fmt::format("epoch {} of {}", number + 1, options.num_epochs),
                    std::min(num_batches * static_cast<std::uint64_t>(options.batch_size), loader.num_rows()));

  std::uint64_t num_images = 0;
  std::uint64_t batches = 0;
  const Clock::time_point start = Clock::now();
  for (const Batch& batch : loader.epoch(epoch)) {
    verify(batch, loader);
    if (number == 0 && batches == 0) {
      measured.seconds_to_first_batch = seconds_since(start);
      measured.batch_shape = batch.images.shape();
    }
    measured.last_batch_shape = batch.images.shape();
    const auto rows = static_cast<std::uint64_t>(batch.num_rows() - batch.num_fillers);
    num_images += rows;
    progress.advance(rows, batch.incidents.size());
    if (++batches == num_batches) break;
  }
  const double seconds = seconds_since(start);
  measured.images_per_second.push_back(static_cast<double>(num_images) / seconds);
  measured.num_images = num_images;
  measured.num_batches = batches;
  if (!options.json) {
    print(fmt::format("  epoch {:<10}{:>8.0f} images/s   {} images in {:.2f} s\n", epoch,
                      measured.images_per_second.back(), num_images, seconds));
  }
}

/// Where one thread's time goes, in seconds per image, and what decoding alone would give.
struct Breakdown {
  std::uint64_t num_images = 0;
  double read = 0;
  double probe = 0;
  double plan = 0;
  double decode = 0;  // only the window
  double rest = 0;    // resample, stages, write into the slot
  double decode_images_per_second = 0;  // read, probe, plan and decode on all threads
};

/// The samples that the breakdown looks at: ids spread evenly over the source.
std::vector<std::uint64_t> spread_ids(std::uint64_t num_samples) {
  constexpr std::uint64_t most = 400;
  const std::uint64_t count = std::min(num_samples, most);
  std::vector<std::uint64_t> ids;
  for (std::uint64_t i = 0; i < count; ++i) ids.push_back(i * num_samples / count);
  return ids;
}

/// Reads and decodes windows, nothing else, with a decoder of its own.
class DecodeOnly {
 public:
  explicit DecodeOnly(const Loader& loader)
      : loader_(loader),
        decoder_(loader.pipeline().decode_options(), loader.options().limits, loader.options().integrity) {}

  /// Adds the time that each part took; false for a sample that fails.
  bool run(std::uint64_t id, std::uint64_t epoch, Breakdown& times) {
    try {
      const Clock::time_point start = Clock::now();
      sample_.clear();
      loader_.source().read(id, sample_, {});
      const double read = seconds_since(start);
      info_ = decoder_.probe(sample_.bytes);
      const double probed = seconds_since(start);
      loader_.pipeline().plan(info_.size, {loader_.options().seed, epoch, id}, plan_);
      const double planned = seconds_since(start);
      decoder_.decode(sample_.bytes, info_, plan_.window, pixels_);
      times.decode += seconds_since(start) - planned;
      times.plan += planned - probed;
      times.probe += probed - read;
      times.read += read;
      ++times.num_images;
      return true;
    } catch (const Error&) {
      return false;  // counted and told by the epochs already
    }
  }

  const Sample& sample() const { return sample_; }
  const ImageInfo& info() const { return info_; }
  const Plan& plan() const { return plan_; }

 private:
  const Loader& loader_;
  Decoder decoder_;
  Sample sample_;
  ImageInfo info_;
  Plan plan_;
  Image pixels_;
};

/// images/s of decoding alone on all the loader's threads.
double decode_limit(const Loader& loader, std::uint64_t epoch, const std::vector<std::uint64_t>& ids) {
  std::atomic<std::size_t> next = 0;
  std::atomic<std::uint64_t> num_images = 0;
  const auto work = [&] {
    DecodeOnly decoding(loader);
    Breakdown times;
    for (std::size_t i = next++; i < ids.size(); i = next++) decoding.run(ids[i], epoch, times);
    num_images += times.num_images;
  };
  const Clock::time_point start = Clock::now();
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < loader.num_threads(); ++i) threads.emplace_back(work);
  }
  return static_cast<double>(num_images) / seconds_since(start);
}

Breakdown break_down(const Loader& loader, std::uint64_t epoch) {
  const std::vector<std::uint64_t> ids = spread_ids(loader.source().size());
  const BatchSpec spec = loader.spec();
  const LoaderOptions& options = loader.options();
  Renderer renderer(loader.pipeline(), options.limits, options.integrity);
  Tensor row = Tensor::allocate(spec.dtype, spec.shape(1));
  const Slot slot{row.data(), spec.dtype, spec.layout};
  DecodeOnly decoding(loader);

  Breakdown times;
  double rendered = 0;
  for (const std::uint64_t id : ids) {
    if (!decoding.run(id, epoch, times)) continue;
    const Clock::time_point start = Clock::now();
    renderer.run(decoding.plan(), decoding.sample().bytes, decoding.info(), slot);
    rendered += seconds_since(start);
  }
  if (times.num_images == 0) return times;
  const auto count = static_cast<double>(times.num_images);
  times.rest = std::max(0.0, rendered - times.decode);
  for (double* seconds : {&times.read, &times.probe, &times.plan, &times.decode, &times.rest}) *seconds /= count;
  times.decode_images_per_second = decode_limit(loader, epoch, ids);
  return times;
}

std::vector<std::int64_t> dimensions(const Shape& shape) { return {shape.begin(), shape.end()}; }

Json to_json(const BenchOptions& options, const Loader& loader, const Measured& measured, const Breakdown& times) {
  const Report report = loader.report();
  const BatchSpec spec = loader.spec();
  return {{"images_per_second", median(measured.images_per_second)},
          {"images_per_second_by_epoch", measured.images_per_second},
          {"epochs", options.num_epochs},
          {"images", measured.num_images},
          {"batches", measured.num_batches},
          {"batch_shape", dimensions(measured.batch_shape)},
          {"last_batch_shape", dimensions(measured.last_batch_shape)},
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
          {"wrapped", report.num_wrapped},
          {"decode_images_per_second", times.decode_images_per_second},
          {"seconds_per_image",
           {{"read", times.read},
            {"probe", times.probe},
            {"plan", times.plan},
            {"decode", times.decode},
            {"rest", times.rest}}}};
}

std::string for_people(const Loader& loader, const Measured& measured, const Breakdown& times) {
  const double rate = median(measured.images_per_second);
  std::string text = fmt::format("  median          {:>8.0f} images/s on {} threads\n\n", rate, loader.num_threads());
  text += fmt::format("  first batch after   {:.3f} s\n", measured.seconds_to_first_batch);
  text += fmt::format("  batches             {} of {} {} {}", measured.num_batches, name(loader.spec().dtype),
                      name(loader.spec().layout), measured.batch_shape.to_string());
  if (measured.last_batch_shape != measured.batch_shape) {
    text += fmt::format(", the last {}", measured.last_batch_shape.to_string());
  }
  text += fmt::format("; every shape verified\n  peak memory         {:.0f} MB\n",
                      static_cast<double>(measured.peak_rss) / 1e6);
  if (times.num_images > 0) {
    text += fmt::format("  decode limit        {:.0f} images/s; the loader reaches {:.0f} % of it\n",
                        times.decode_images_per_second, 100 * rate / times.decode_images_per_second);
    const double total = times.read + times.probe + times.plan + times.decode + times.rest;
    text += fmt::format("\n  one thread, {} images    ms/image   share\n", times.num_images);
    const auto line = [&](const char* part, double seconds) {
      return fmt::format("    {:<24}{:>10.3f}{:>6.0f} %\n", part, 1e3 * seconds, 100 * seconds / total);
    };
    text += line("read", times.read) + line("probe", times.probe) + line("plan", times.plan) +
            line("decode (window)", times.decode) + line("resample, stages, write", times.rest);
  }
  const Report report = loader.report();
  if (!report.incidents.empty()) text += '\n' + report.to_string();
  if (!text.ends_with('\n')) text += '\n';
  return text;
}

void bench(const BenchOptions& options) {
  const Pipeline pipeline = make_pipeline(options);
  Loader loader(open_source(options), pipeline, loader_options(options));

  Measured measured;
  for (std::uint64_t i = 0; i < options.num_epochs; ++i) run_epoch(loader, options.epoch + i, options, measured);
  measured.peak_rss = peak_rss_bytes();
  const Breakdown times = break_down(loader, options.epoch);
  print(options.json ? to_line(to_json(options, loader, measured, times)) : for_people(loader, measured, times));
}

}  // namespace

Command add_bench(CLI::App& program) {
  const auto options = std::make_shared<BenchOptions>();
  CLI::App* parser = program.add_subcommand(
      "bench", "Images per second of the full loader, against the decode limit of this machine.");
  add_options(*parser, *options);
  parser->add_option("--epochs", options->num_epochs, "epochs to run [3]")
      ->option_text("N")
      ->check(CLI::PositiveNumber);
  parser->add_option("--batches", options->num_batches, "batches per epoch [all]")
      ->option_text("N")
      ->check(CLI::PositiveNumber);
  add_json_flag(*parser, options->json);
  return {parser, [options] { bench(*options); }};
}

}  // namespace muster::cli
