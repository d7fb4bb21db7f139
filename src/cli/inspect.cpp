// muster inspect DIR: what is in DIR, and how the pipeline comes to its shape.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "incident_log.hpp"
#include "muster/decode.hpp"
#include "muster/files.hpp"
#include "options.hpp"
#include "output.hpp"
#include "progress.hpp"
#include "threads.hpp"

namespace muster::cli {
namespace {

using Json = nlohmann::ordered_json;

struct InspectOptions : Options {
  bool json = false;
};

/// What the header of one sample says, or why it cannot be read.
struct Probed {
  std::optional<ImageInfo> info;
  std::string error;
  std::int64_t label = 0;
  std::int64_t num_bytes = 0;
};

Probed probe_sample(const Source& source, std::uint64_t id, Sample& sample, const Pipeline& pipeline,
                    const DecodeLimits& limits) {
  Probed result;
  sample.clear();
  try {
    source.read(id, sample, {});
    result.info = probe(sample.bytes, pipeline.decode_options(), limits);
  } catch (const Error& error) {
    result.error = error.message();
  } catch (const std::exception& error) {
    result.error = error.what();
  }
  result.label = sample.label;
  result.num_bytes = static_cast<std::int64_t>(sample.bytes.size());
  return result;
}

/// Reads every header, on several threads. Element i belongs to sample i.
std::vector<Probed> probe_all(const Source& source, const Pipeline& pipeline, const DecodeLimits& limits,
                              int num_threads) {
  std::vector<Probed> results(source.size());
  std::atomic<std::uint64_t> next = 0;
  Progress progress("inspect", source.size());
  const auto work = [&] {
    Sample sample;
    for (std::uint64_t id = next++; id < results.size(); id = next++) {
      results[id] = probe_sample(source, id, sample, pipeline, limits);
      progress.advance(1, results[id].info ? 0 : 1);
    }
  };
  run_on_threads(num_threads, work);
  return results;
}

/// Least, middle, greatest and mean of some numbers.
struct Spread {
  double min = 0;
  double median = 0;
  double mean = 0;
  double max = 0;
};

Spread spread(std::vector<double> values) {
  if (values.empty()) return {};
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  const double median = values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  return {values.front(), median, sum / static_cast<double>(values.size()), values.back()};
}

/// Sides from `from` up to the next bin's.
struct Bin {
  std::int64_t from = 0;
  std::int64_t to = 0;  // the last one inside
  std::uint64_t num_images = 0;
};

/// How many images have a shorter side of how many pixels: powers of two and the middles between them. From the
/// first bin that is not empty to the last.
std::vector<Bin> histogram(const std::vector<std::int64_t>& sides) {
  std::vector<Bin> bins = {{1, 15, 0}};
  for (std::int64_t power = 16; power <= max_side; power *= 2) {
    bins.push_back({power, power * 3 / 2 - 1, 0});
    bins.push_back({power * 3 / 2, power * 2 - 1, 0});
  }
  for (const std::int64_t side : sides) {
    ++std::ranges::upper_bound(bins, side, {}, &Bin::from)[-1].num_images;
  }
  const auto filled = [](const Bin& bin) { return bin.num_images > 0; };
  bins.erase(std::find_if(bins.rbegin(), bins.rend(), filled).base(), bins.end());
  bins.erase(bins.begin(), std::ranges::find_if(bins, filled));
  return bins;
}

struct Class {
  std::int64_t label = 0;
  std::string name;  // empty when labels have no names
  std::uint64_t num_images = 0;
};

struct Failure {
  std::uint64_t id = 0;
  std::string path;
  std::string error;
};

struct Summary {
  std::uint64_t num_images = 0;
  std::uint64_t num_links_skipped = 0;
  std::int64_t num_bytes = 0;
  std::vector<Class> classes;
  std::map<std::string, std::uint64_t> formats;
  std::map<int, std::uint64_t> channels;
  std::map<int, std::uint64_t> orientations;
  Spread height, width, megapixels, aspect, kilobytes;
  std::vector<Bin> shorter_sides;
  std::vector<Failure> failures;

  std::uint64_t num_turned() const {
    const auto upright = orientations.find(1);
    return num_images - failures.size() - (upright == orientations.end() ? 0 : upright->second);
  }
};

Summary summarise(const Source& source, const std::vector<Probed>& samples) {
  Summary summary;
  summary.num_images = samples.size();
  if (const auto* folder = dynamic_cast<const ImageFolder*>(&source)) {
    summary.num_links_skipped = folder->num_links_skipped();
  }

  std::map<std::int64_t, std::uint64_t> labels;
  std::vector<double> heights, widths, megapixels, aspects, kilobytes;
  std::vector<std::int64_t> shorter_sides;
  for (std::uint64_t id = 0; id < samples.size(); ++id) {
    const Probed& sample = samples[id];
    summary.num_bytes += sample.num_bytes;
    ++labels[sample.label];
    if (!sample.info) {
      summary.failures.push_back({id, source.name(id), sample.error});
      continue;
    }
    ++summary.formats[std::string(name(sample.info->format))];
    ++summary.channels[sample.info->num_channels];
    ++summary.orientations[sample.info->orientation];
    const auto height = static_cast<double>(sample.info->size.height);
    const auto width = static_cast<double>(sample.info->size.width);
    heights.push_back(height);
    widths.push_back(width);
    megapixels.push_back(height * width / 1e6);
    aspects.push_back(width / height);
    kilobytes.push_back(static_cast<double>(sample.num_bytes) / 1e3);
    shorter_sides.push_back(std::min(sample.info->size.height, sample.info->size.width));
  }
  summary.height = spread(std::move(heights));
  summary.width = spread(std::move(widths));
  summary.megapixels = spread(std::move(megapixels));
  summary.aspect = spread(std::move(aspects));
  summary.kilobytes = spread(std::move(kilobytes));
  summary.shorter_sides = histogram(shorter_sides);

  const std::vector<std::string>& names = source.classes();
  for (std::size_t label = 0; label < names.size(); ++label) labels[static_cast<std::int64_t>(label)] += 0;
  for (const auto& [label, count] : labels) {
    const bool named = label >= 0 && static_cast<std::size_t>(label) < names.size();
    summary.classes.push_back({label, named ? names[static_cast<std::size_t>(label)] : "", count});
  }
  return summary;
}

template <class Key>
std::string counts_line(const std::map<Key, std::uint64_t>& counts) {
  std::string line;
  for (const auto& [key, count] : counts) line += fmt::format("{}{} {}", line.empty() ? "" : ", ", key, count);
  return line;
}

std::string describe_channels(const std::map<int, std::uint64_t>& channels) {
  static const std::map<int, std::string> names = {
      {1, "grey"}, {2, "grey + alpha"}, {3, "colour"}, {4, "colour + alpha or CMYK"}};
  std::map<std::string, std::uint64_t> named;
  for (const auto& [count, images] : channels) {
    const auto found = names.find(count);
    named[found == names.end() ? fmt::format("{} channels", count) : found->second] += images;
  }
  return counts_line(named);
}

std::string spread_line(const char* name, const Spread& values, int decimals) {
  return fmt::format("  {:<16}{:>10.{}f}{:>10.{}f}{:>10.{}f}{:>10.{}f}\n", name, values.min, decimals, values.median,
                     decimals, values.mean, decimals, values.max, decimals);
}

std::string histogram_lines(const std::vector<Bin>& bins) {
  constexpr std::uint64_t bar_width = 40;
  std::uint64_t most = 1;
  for (const Bin& bin : bins) most = std::max(most, bin.num_images);
  std::string lines = fmt::format("\n  {:<16}{:>10}\n", "shorter side", "images");
  for (const Bin& bin : bins) {
    const std::uint64_t bar = (bin.num_images * bar_width + most - 1) / most;
    lines += fmt::format("  {:<16}{:>10}", fmt::format("{} - {}", bin.from, bin.to), bin.num_images);
    lines += bar == 0 ? "\n" : fmt::format("  {}\n", std::string(bar, '#'));
  }
  return lines;
}

std::string class_lines(const std::vector<Class>& classes) {
  constexpr std::size_t most_shown = 20;
  std::string lines = fmt::format("\n  {:<6}  {:>8}  {}\n", "label", "images", "class");
  for (std::size_t i = 0; i < std::min(classes.size(), most_shown); ++i) {
    lines += fmt::format("  {:<6}  {:>8}  {}\n", classes[i].label, classes[i].num_images, classes[i].name);
  }
  if (classes.size() > most_shown)
    lines += fmt::format("  and {} more; --json lists all\n", classes.size() - most_shown);
  return lines;
}

std::string failure_lines(const std::vector<Failure>& failures) {
  constexpr std::size_t most_shown = 20;
  std::string lines = fmt::format("\n{} cannot be read\n", failures.size());
  for (std::size_t i = 0; i < std::min(failures.size(), most_shown); ++i) {
    lines += fmt::format("  {}: {}\n", failures[i].path, failures[i].error);
  }
  if (failures.size() > most_shown)
    lines += fmt::format("  and {} more; --json lists all\n", failures.size() - most_shown);
  return lines;
}

std::string for_people(const std::string& dir, const Summary& summary) {
  std::string text = fmt::format("{}: {} images, {} classes, {:.1f} MB\n\n", dir, summary.num_images,
                                 summary.classes.size(), static_cast<double>(summary.num_bytes) / 1e6);
  text += fmt::format("  formats         {}\n", counts_line(summary.formats));
  text += fmt::format("  channels        {}\n", describe_channels(summary.channels));
  text += fmt::format("  turned by EXIF  {}\n", summary.num_turned());
  if (summary.num_links_skipped > 0) {
    text += fmt::format("  links left out  {} that lead out of the folder, or nowhere\n", summary.num_links_skipped);
  }
  text += fmt::format("\n  {:<16}{:>10}{:>10}{:>10}{:>10}\n", "", "min", "median", "mean", "max");
  text += spread_line("height", summary.height, 0);
  text += spread_line("width", summary.width, 0);
  text += spread_line("width / height", summary.aspect, 2);
  text += spread_line("Mpixel", summary.megapixels, 3);
  text += spread_line("kB", summary.kilobytes, 1);
  text += histogram_lines(summary.shorter_sides);
  text += class_lines(summary.classes);
  if (!summary.failures.empty()) text += failure_lines(summary.failures);
  return text;
}

std::string for_people(const Loader& loader) {
  const BatchSpec spec = loader.spec();
  std::string text = fmt::format("\nshape proof\n{}", loader.pipeline().proof().to_string());
  if (!text.ends_with('\n')) text += '\n';
  const bool partial = spec.last_batch_size != spec.batch_size;
  const std::uint64_t num_full = loader.num_batches() - (partial ? 1 : 0);
  text += fmt::format("\nbatches of {} {}: ", name(spec.dtype), name(spec.layout));
  if (num_full > 0) text += fmt::format("{} x {}{}", num_full, spec.shape().to_string(), partial ? ", then " : "");
  if (partial) text += fmt::format("1 x {}", spec.shape(spec.last_batch_size).to_string());
  return text + '\n';
}

Json to_json(const Spread& values) {
  return {{"min", values.min}, {"median", values.median}, {"mean", values.mean}, {"max", values.max}};
}

template <class Key>
Json to_json(const std::map<Key, std::uint64_t>& counts) {
  Json object = Json::object();
  for (const auto& [key, count] : counts) object[fmt::format("{}", key)] = count;
  return object;
}

Json to_json(Size size) { return {size.height, size.width}; }

Json to_json(const Shape& shape) { return std::vector<std::int64_t>(shape.begin(), shape.end()); }

Json to_json(const std::string& dir, const Summary& summary, const Loader& loader) {
  Json json = {{"path", dir},
               {"images", summary.num_images},
               {"bytes", summary.num_bytes},
               {"unreadable", summary.failures.size()},
               {"turned", summary.num_turned()},
               {"links_skipped", summary.num_links_skipped},
               {"formats", to_json(summary.formats)},
               {"channels", to_json(summary.channels)},
               {"orientations", to_json(summary.orientations)},
               {"height", to_json(summary.height)},
               {"width", to_json(summary.width)},
               {"aspect", to_json(summary.aspect)},
               {"megapixels", to_json(summary.megapixels)},
               {"kilobytes", to_json(summary.kilobytes)}};
  Json bins = Json::array(), classes = Json::array(), errors = Json::array();
  for (const Bin& bin : summary.shorter_sides) {
    bins.push_back({{"from", bin.from}, {"to", bin.to}, {"images", bin.num_images}});
  }
  for (const Class& entry : summary.classes) {
    classes.push_back({{"label", entry.label}, {"name", entry.name}, {"images", entry.num_images}});
  }
  for (const Failure& failure : summary.failures) {
    errors.push_back({{"id", failure.id}, {"path", failure.path}, {"error", failure.error}});
  }
  json["shorter_side"] = std::move(bins);
  json["classes"] = std::move(classes);
  json["errors"] = std::move(errors);

  const ShapeProof& proof = loader.pipeline().proof();
  const BatchSpec spec = loader.spec();
  json["pipeline"] = Json::parse(loader.pipeline().to_json());
  json["proof"] = Json::array();
  for (const ShapeProof::Row& row : proof.rows) {
    json["proof"].push_back({{"stage", row.stage}, {"min", to_json(row.out.min)}, {"max", to_json(row.out.max)}});
  }
  json["output"] = to_json(proof.output);
  json["batches"] = loader.num_batches();
  json["batch_shape"] = to_json(spec.shape());
  json["last_batch_shape"] = to_json(spec.shape(spec.last_batch_size));
  json["dtype"] = name(spec.dtype);
  json["layout"] = name(spec.layout);
  return json;
}

void inspect(const InspectOptions& options) {
  const Loader loader = make_loader(options);
  const Source& source = loader.source();
  IncidentLog log(options.report);
  log.add_faults(source);
  const Summary summary =
      summarise(source, probe_all(source, loader.pipeline(), loader.options().limits, num_threads(options)));
  for (const Failure& failure : summary.failures) {
    log.add({.sample_id = failure.id, .path = failure.path, .message = failure.error, .stage = "probe"});
  }
  if (options.json) {
    print(to_line(to_json(options.dir, summary, loader)));
  } else {
    print(for_people(options.dir, summary) + for_people(loader));
  }
}

}  // namespace

Command add_inspect(CLI::App& program) {
  const auto options = std::make_shared<InspectOptions>();
  CLI::App* parser = program.add_subcommand(
      "inspect", "What is in DIR, and the shape proof, stage by stage. Files that cannot be read are listed.");
  add_options(*parser, *options);
  add_json_flag(*parser, options->json);
  return {parser, [options] { inspect(*options); }};
}

}  // namespace muster::cli
