// muster synth DIR: a photo-like data set, for trials.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <vector>

#include <unistd.h>

#include <fmt/format.h>

#include "commands.hpp"
#include "interrupt.hpp"
#include "jpeg_writer.hpp"
#include "muster/decode.hpp"
#include "muster/error.hpp"
#include "options.hpp"
#include "output.hpp"
#include "photo.hpp"
#include "progress.hpp"
#include "threads.hpp"

namespace muster::cli {
namespace {

namespace fs = std::filesystem;

struct SynthOptions {
  std::string dir;
  std::uint64_t num_images = 400;
  std::uint64_t num_classes = 10;
  std::uint64_t seed = 0;
  Size typical = {400, 500};
  int threads = 0;
};

/// Roughly normal: the sum of twelve uniforms.
double normal(Rng& rng) {
  double sum = -6;
  for (int i = 0; i < 12; ++i) sum += rng.uniform();
  return sum;
}

/// Sizes as people's photos have them: some upright, most near the typical size, a few far from it.
Size draw_size(Size typical, Rng& rng) {
  const double spread = 0.3;
  const double scale = std::exp(spread * normal(rng) - spread * spread);  // areas keep their mean
  const double aspect = std::exp(0.12 * normal(rng));
  Size size{std::llround(static_cast<double>(typical.height) * scale / aspect),
            std::llround(static_cast<double>(typical.width) * scale * aspect)};
  if (rng.bernoulli(0.25)) std::swap(size.height, size.width);
  size.height = std::clamp<std::int64_t>(size.height, 1, max_side);
  size.width = std::clamp<std::int64_t>(size.width, 1, max_side);
  return size;
}

/// Encoded in the ways that photo collections are; mostly 4:4:4, as ImageNet.
JpegSettings draw_settings(Rng& rng) {
  const double kind = rng.uniform();
  JpegSettings settings;
  settings.subsampling = kind < 0.76   ? Subsampling::s444
                         : kind < 0.95 ? Subsampling::s420
                         : kind < 0.98 ? Subsampling::s422
                                       : Subsampling::grey;
  settings.quality = static_cast<int>(rng.uniform_int(84, 98));
  settings.progressive = rng.bernoulli(0.03);
  return settings;
}

std::string path_of(std::uint64_t index, const SynthOptions& options) {
  return fmt::format("class{:03}/{:06}.jpg", index % options.num_classes, index);
}

/// Image `index` of the data set: a function of the options and the index alone.
std::vector<std::uint8_t> make_file(std::uint64_t index, const SynthOptions& options) {
  Rng rng(options.seed, 0, index, Stream::synth);
  const Size size = draw_size(options.typical, rng);
  const JpegSettings settings = draw_settings(rng);
  return encode_jpeg(make_photo(size, options.seed, index % options.num_classes, rng), settings);
}

/// Makes all files below `root` on several threads; returns their bytes in total. The first error is thrown.
std::uint64_t make_files(const fs::path& root, const SynthOptions& options) {
  std::atomic<std::uint64_t> next = 0;
  std::atomic<std::uint64_t> num_bytes = 0;
  std::mutex error_mutex;
  std::exception_ptr first_error;
  Progress progress("synth", options.num_images);
  const auto work = [&] {
    try {
      for (std::uint64_t i = next++; i < options.num_images && !interrupted(); i = next++) {
        const std::vector<std::uint8_t> bytes = make_file(i, options);
        OutputFile file(root / path_of(i, options));
        file.write(std::as_bytes(std::span(bytes)));
        file.commit();
        num_bytes += bytes.size();
        progress.advance(1);
      }
    } catch (...) {
      next = options.num_images;
      const std::lock_guard lock(error_mutex);
      if (!first_error) first_error = std::current_exception();
    }
  };
  run_on_threads(options.threads, work);
  if (first_error) std::rethrow_exception(first_error);
  end_if_interrupted();
  return num_bytes;
}

/// A folder that is removed again unless it was given its name.
class NewFolder {
 public:
  explicit NewFolder(const fs::path& path) : path_(fs::absolute(path).lexically_normal()) {
    if (!path_.has_filename()) path_ = path_.parent_path();
    if (fs::exists(path_) && !(fs::is_directory(path_) && fs::is_empty(path_))) {
      throw ConfigError("synth", fmt::format("{} is there already and not empty, and nothing is overwritten; name a "
                                             "new folder or remove it first",
                                             path.string()));
    }
    fs::create_directories(path_.parent_path());
    const fs::path growing = temporary_path(path_);
    if (!fs::create_directory(growing)) {
      throw std::runtime_error(fmt::format("{} is there already, and not this program's", growing.string()));
    }
    growing_ = growing;
  }
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;
  ~NewFolder() {
    std::error_code ignored;
    if (!growing_.empty()) fs::remove_all(growing_, ignored);
  }

  /// Where the content grows.
  const fs::path& growing() const { return growing_; }
  void commit() {
    fs::rename(growing_, path_);
    growing_.clear();
  }

 private:
  fs::path path_;
  fs::path growing_;
};

void synth(const SynthOptions& options) {
  if (options.num_images < options.num_classes) {
    throw ConfigError("synth", fmt::format("{} images do not fill {} classes; every class needs one",
                                           options.num_images, options.num_classes));
  }
  const CleanEnd clean_end;
  NewFolder folder(options.dir);
  for (std::uint64_t i = 0; i < options.num_classes; ++i) {
    fs::create_directory((folder.growing() / path_of(i, options)).parent_path());
  }
  const std::uint64_t num_bytes = make_files(folder.growing(), options);
  folder.commit();
  print(fmt::format("{}: {} images, {} classes, {:.1f} MB, {:.0f} kB each\n", options.dir, options.num_images,
                    options.num_classes, static_cast<double>(num_bytes) / 1e6,
                    static_cast<double>(num_bytes) / 1e3 / static_cast<double>(options.num_images)));
}

}  // namespace

Command add_synth(CLI::App& program) {
  const auto options = std::make_shared<SynthOptions>();
  const auto sides = CLI::Range(std::int64_t{8}, std::int64_t{16384}).description("");
  CLI::App* parser = program.add_subcommand(
      "synth", "Makes a photo-like data set in a new folder DIR: DIR/class000/000000.jpg and so on.");
  parser->add_option("DIR", options->dir, "a folder that is not there yet, or empty")->required()->option_text(" ");
  parser->add_option("--images", options->num_images, "[400]")->option_text("N")->check(whole_number(1));
  parser->add_option("--classes", options->num_classes, "[10]")->option_text("K")->check(CLI::Range(1, 1000));
  parser->add_option("--seed", options->seed, "the same seed makes the same files [0]")
      ->option_text("S")
      ->check(whole_number());
  parser->add_option("--height", options->typical.height, "typical height; single images vary [400]")
      ->option_text("PIXELS")
      ->check(sides);
  parser->add_option("--width", options->typical.width, "typical width; single images vary [500]")
      ->option_text("PIXELS")
      ->check(sides);
  parser->add_option("--threads", options->threads, "workers [0: one per core]")
      ->option_text("N")
      ->check(whole_number());
  return {parser, [options] { synth(*options); }};
}

}  // namespace muster::cli
