#include "survey.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <iterator>
#include <optional>
#include <utility>

#include "../preview/words.hpp"
#include "interrupt.hpp"
#include "muster/decode.hpp"
#include "muster/files.hpp"
#include "open_source.hpp"
#include "progress.hpp"
#include "threads.hpp"

namespace muster::cli {
namespace {

constexpr double slack = 1e-9;  // of a factor that is meant to be 1

const std::vector<EnlargementBin>& enlargement_bins() {
  static const std::vector<EnlargementBin> bins = {
      {"shrunk more than 4x", 0.25, false},  {"shrunk 2x - 4x", 0.5, false},
      {"shrunk up to 2x", 1 - slack, false}, {"as it is", 1 + slack, false},
      {"enlarged up to 1.5x", 1.5, true},    {"enlarged 1.5x - 2x", 2, true},
      {"enlarged 2x - 4x", 4, true},         {"enlarged more than 4x", HUGE_VAL, true}};
  return bins;
}
constexpr std::size_t num_enlargement_bins = 8;

/// What the header of one sample says, or why it cannot be read; and what its plans do.
struct Probed {
  std::uint64_t id = 0;
  std::optional<ImageInfo> info;
  std::string error;
  std::int64_t label = 0;
  std::int64_t num_bytes = 0;
  std::array<std::uint32_t, num_enlargement_bins> draws{};
  std::uint32_t num_enlarged = 0;
  std::uint32_t num_refused = 0;
  double largest = 0;
};

void probe_sample(const Loader& loader, Sample& sample, Probed& result) {
  sample.clear();
  try {
    loader.source().read(result.id, sample, interrupt_token());
    result.info = probe(sample.bytes, loader.pipeline().decode_options(), loader.options().limits);
  } catch (const Error& error) {
    result.error = error.message();
  } catch (const std::exception& error) {
    result.error = error.what();
  }
  result.label = sample.label;
  result.num_bytes = static_cast<std::int64_t>(sample.bytes.size());
}

void draw_plan(const Loader& loader, const SampleKey& key, Plan& plan, Probed& result) {
  try {
    loader.pipeline().plan(result.info->size, key, plan);
  } catch (const Error&) {
    ++result.num_refused;
    return;
  }
  const double factor = enlargement(plan);
  const auto bin = std::ranges::upper_bound(enlargement_bins(), factor, {}, &EnlargementBin::to);
  const auto last = static_cast<std::ptrdiff_t>(num_enlargement_bins) - 1;
  ++result.draws[static_cast<std::size_t>(std::min(bin - enlargement_bins().begin(), last))];
  if (factor > 1 + slack) ++result.num_enlarged;
  result.largest = std::max(result.largest, factor);
}

/// All samples but those that are left out, by id.
std::vector<Probed> probe_all(const Loader& loader, std::uint64_t first_epoch, std::uint64_t num_epochs) {
  const std::vector<std::uint64_t>& excluded = loader.options().exclude;
  std::vector<Probed> results(loader.source().size() - excluded.size());
  std::uint64_t num_excluded = 0;
  for (std::uint64_t i = 0; i < results.size(); ++i) {
    while (num_excluded < excluded.size() && excluded[num_excluded] == i + num_excluded) ++num_excluded;
    results[i].id = i + num_excluded;
  }
  std::atomic<std::uint64_t> next = 0;
  Progress progress("inspect", results.size());
  run_on_threads(loader.num_threads(), [&] {
    Sample sample;
    Plan plan;
    for (std::uint64_t i = next++; i < results.size() && !interrupted(); i = next++) {
      Probed& result = results[i];
      probe_sample(loader, sample, result);
      for (std::uint64_t k = 0; k < num_epochs && result.info; ++k) {
        draw_plan(loader, {loader.options().seed, first_epoch + k, result.id}, plan, result);
      }
      progress.advance(1, result.info ? 0 : 1);
    }
  });
  end_if_interrupted();
  return results;
}

/// Leaves out the empty bins at both ends.
template <class Bin>
void trim(std::vector<Bin>& bins) {
  const auto filled = [](const Bin& bin) { return bin.num_images > 0; };
  bins.erase(std::find_if(bins.rbegin(), bins.rend(), filled).base(), bins.end());
  bins.erase(bins.begin(), std::ranges::find_if(bins, filled));
}

/// Powers of two and the middles between them.
std::vector<SideBin> side_bins() {
  std::vector<SideBin> bins = {{.from = 1, .to = 15}};
  for (std::int64_t power = 16; power <= max_side; power *= 2) {
    bins.push_back({.from = power, .to = power * 3 / 2 - 1});
    bins.push_back({.from = power * 3 / 2, .to = power * 2 - 1});
  }
  return bins;
}

/// Round a square, usual photographs, and what is longer and longer.
std::vector<AspectBin> aspect_bins() {
  constexpr double edges[] = {0,    0.1,  0.2, 1.0 / 3, 0.5, 0.6, 0.7, 0.8, 0.95,
                              1.05, 1.25, 1.4, 1.6,     2,   3,   5,   10,  HUGE_VAL};
  std::vector<AspectBin> bins;
  for (std::size_t i = 0; i + 1 < std::size(edges); ++i) bins.push_back({.from = edges[i], .to = edges[i + 1]});
  return bins;
}

void add(const Probed& sample, std::uint64_t num_epochs, Enlargement& enlargement) {
  const std::uint64_t num_draws = num_epochs - sample.num_refused;
  enlargement.num_draws += num_draws;
  enlargement.num_enlarged += sample.num_enlarged;
  enlargement.num_failed += sample.num_refused;
  enlargement.num_images_ever += sample.num_enlarged > 0 ? 1 : 0;
  enlargement.num_images_always += num_draws > 0 && sample.num_enlarged == num_draws ? 1 : 0;
  enlargement.max = std::max(enlargement.max, sample.largest);
  for (std::size_t i = 0; i < num_enlargement_bins; ++i) enlargement.bins[i].num_draws += sample.draws[i];
}

/// All that have a name, and all labels that came.
std::vector<ClassCount> count_classes(const std::vector<Probed>& samples, const Source& source) {
  std::map<std::int64_t, std::uint64_t> labels;
  for (const Probed& sample : samples) ++labels[sample.label];
  for (std::int64_t label = 0; label < std::ssize(source.classes()); ++label) labels.try_emplace(label, 0);
  std::vector<ClassCount> classes;
  classes.reserve(labels.size());
  for (const auto& [label, count] : labels) classes.push_back({label, class_name(source, label), count});
  return classes;
}

}  // namespace

std::uint64_t Survey::num_turned() const {
  const auto upright = orientations.find(1);
  return num_images - failures.size() - (upright == orientations.end() ? 0 : upright->second);
}

Survey survey(const Loader& loader, std::uint64_t first_epoch, std::uint64_t num_epochs) {
  const Source& source = loader.source();
  const std::vector<Probed> samples = probe_all(loader, first_epoch, num_epochs);
  Survey survey;
  survey.num_images = samples.size();
  if (const auto* folder = dynamic_cast<const ImageFolder*>(&source)) {
    survey.num_links_skipped = folder->num_links_skipped();
  }
  survey.classes = count_classes(samples, source);
  survey.shorter_sides = side_bins();
  survey.aspects = aspect_bins();
  survey.enlargement.num_epochs = num_epochs;
  survey.enlargement.bins = enlargement_bins();

  std::vector<double> heights, widths, megapixels, aspects, kilobytes;
  for (const Probed& sample : samples) {
    survey.num_bytes += sample.num_bytes;
    if (!sample.info) {
      survey.failures.push_back({sample.id, source.name(sample.id), sample.error});
      continue;
    }
    ++survey.formats[std::string(name(sample.info->format))];
    ++survey.channels[sample.info->num_channels];
    ++survey.orientations[sample.info->orientation];
    const Size size = sample.info->size;
    const auto height = static_cast<double>(size.height);
    const auto width = static_cast<double>(size.width);
    heights.push_back(height);
    widths.push_back(width);
    megapixels.push_back(height * width / 1e6);
    aspects.push_back(width / height);
    kilobytes.push_back(static_cast<double>(sample.num_bytes) / 1e3);

    SideBin& side =
        std::ranges::upper_bound(survey.shorter_sides, std::min(size.height, size.width), {}, &SideBin::from)[-1];
    ++side.num_images;
    side.num_draws += num_epochs - sample.num_refused;
    side.num_enlarged += sample.num_enlarged;
    ++std::ranges::upper_bound(survey.aspects, width / height, {}, &AspectBin::from)[-1].num_images;
    add(sample, num_epochs, survey.enlargement);
  }
  trim(survey.shorter_sides);
  trim(survey.aspects);
  survey.height = spread_of(std::move(heights));
  survey.width = spread_of(std::move(widths));
  survey.megapixels = spread_of(std::move(megapixels));
  survey.aspect = spread_of(std::move(aspects));
  survey.kilobytes = spread_of(std::move(kilobytes));
  return survey;
}

}  // namespace muster::cli
