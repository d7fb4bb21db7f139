// muster export DIR -o FILE.npy: batches exactly as the loader delivers them, and what was done to every row.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "npy.hpp"
#include "options.hpp"
#include "output.hpp"
#include "progress.hpp"

namespace muster::cli {
namespace {

using Json = nlohmann::ordered_json;

struct ExportOptions : Options {
  std::string output;
  std::string labels;   // empty: not written
  std::string records;  // empty: not written
  std::uint64_t num_batches = 1;
  bool json = false;
};

/// `pattern` with every {} replaced by the batch's number.
std::string path_of_batch(std::string pattern, std::uint64_t index) {
  const std::string number = std::to_string(index);
  for (std::size_t at = pattern.find("{}"); at != std::string::npos; at = pattern.find("{}", at + number.size())) {
    pattern.replace(at, 2, number);
  }
  return pattern;
}

void expect_placeholder(const char* option, const std::string& pattern, std::uint64_t num_batches) {
  if (num_batches > 1 && !pattern.empty() && pattern.find("{}") == std::string::npos) {
    throw ConfigError("export", fmt::format("{} batches need {{}} in {} for the batch's number, received {}; write "
                                            "for example batch-{{}}.npy",
                                            num_batches, option, pattern));
  }
}

Json to_json(Size size) { return {size.height, size.width}; }

Json to_json(const Rect& rect) {
  return {{"y", rect.y}, {"x", rect.x}, {"height", rect.height}, {"width", rect.width}};
}

/// The stages as the plan tells them.
Json stages_of(const Plan& plan, const Pipeline& pipeline) {
  Json told = Json::parse(pipeline.to_json(plan));
  return told.is_object() && told.contains("stages") ? told["stages"] : told;
}

const Incident* incident_of(const Batch& batch, std::size_t i) {
  const auto found = std::ranges::find(batch.incidents, batch.rows[i], &Incident::row);
  return found == batch.incidents.end() ? nullptr : &*found;
}

/// What is known about row `i` of a batch.
Json record(const Batch& batch, std::size_t i, const Loader& loader) {
  const bool filler = batch.rows[i] == Batch::no_sample;
  const bool valid = batch.valid.as<std::uint8_t>()[i] != 0;
  const std::int64_t label = batch.labels.as<std::int64_t>()[i];
  const std::vector<std::string>& classes = loader.source().classes();

  Json json;
  json["row"] = filler ? Json() : Json(batch.rows[i]);
  json["id"] = filler ? Json() : Json(batch.ids[i]);
  json["path"] = filler ? Json() : Json(loader.source().name(batch.ids[i]));
  json["label"] = label;
  json["valid"] = valid;
  if (valid) {
    const Plan& plan = batch.plans[i];
    json["source"] = to_json(plan.source);
    json["window"] = to_json(plan.window);
    json["flip"] = plan.flip_horizontal;
    json["output"] = to_json(plan.output);
    json["flip_vertical"] = plan.flip_vertical;
    const AffineMap& map = plan.output_to_source;
    json["output_to_source"] = {
        {"y_scale", map.y_scale}, {"y_offset", map.y_offset}, {"x_scale", map.x_scale}, {"x_offset", map.x_offset}};
    json["stages"] = stages_of(plan, loader.pipeline());
    if (label >= 0 && static_cast<std::size_t>(label) < classes.size()) {
      json["class"] = classes[static_cast<std::size_t>(label)];
    }
  }
  if (const Incident* incident = filler ? nullptr : incident_of(batch, i)) {
    json["outcome"] = name(incident->outcome);
    json["error"] = incident->message;
    if (incident->outcome == Outcome::substituted) {
      json["substitute_for"] = {{"id", incident->sample_id}, {"path", incident->path}};
    }
  }
  json["epoch"] = batch.epoch;
  json["batch"] = batch.index;
  json["index"] = i;
  return json;
}

/// What was written, for the result.
struct Written {
  std::string path;
  std::string labels;
  std::uint64_t index = 0;
  Shape shape;
};

std::vector<Written> write_batches(Loader& loader, const ExportOptions& options) {
  std::optional<OutputFile> records;
  if (!options.records.empty()) records.emplace(options.records);
  const std::uint64_t num_batches = std::min(options.num_batches, loader.num_batches());
  Progress progress("export", num_batches * static_cast<std::uint64_t>(options.batch_size));

  std::vector<Written> written;
  for (const Batch& batch : loader.epoch(options.epoch)) {
    Written& entry = written.emplace_back();
    entry.index = batch.index;
    entry.shape = batch.images.shape();
    entry.path = path_of_batch(options.output, batch.index);
    write_npy(entry.path, batch.images);
    if (!options.labels.empty()) {
      entry.labels = path_of_batch(options.labels, batch.index);
      write_npy(entry.labels, batch.labels);
    }
    if (records) {
      for (std::size_t i = 0; i < batch.rows.size(); ++i) records->write(to_line(record(batch, i, loader)));
    }
    progress.advance(batch.rows.size(), batch.incidents.size());
    if (written.size() == num_batches) break;
  }
  if (records) records->commit();
  return written;
}

Json to_json(const std::vector<Written>& written, const ExportOptions& options, const Loader& loader) {
  const Report report = loader.report();
  Json files = Json::array();
  for (const Written& entry : written) {
    Json file = {{"path", entry.path}, {"batch", entry.index}};
    file["shape"] = std::vector<std::int64_t>(entry.shape.begin(), entry.shape.end());
    if (!entry.labels.empty()) file["labels"] = entry.labels;
    files.push_back(std::move(file));
  }
  return {{"files", std::move(files)},
          {"records", options.records.empty() ? Json() : Json(options.records)},
          {"dtype", name(loader.spec().dtype)},
          {"layout", name(loader.spec().layout)},
          {"epoch", options.epoch},
          {"seed", options.seed},
          {"rows", report.num_rows},
          {"masked", report.num_masked},
          {"substituted", report.num_substituted},
          {"fillers", report.num_fillers},
          {"wrapped", report.num_wrapped},
          {"warned", report.num_warned}};
}

std::string for_people(const std::vector<Written>& written, const ExportOptions& options, const Loader& loader) {
  std::string text;
  for (const Written& entry : written) {
    text += fmt::format("{}  {} {} {}\n", entry.path, name(loader.spec().dtype), name(loader.spec().layout),
                        entry.shape.to_string());
    if (!entry.labels.empty()) text += fmt::format("{}  int64 {{{}}}\n", entry.labels, entry.shape[0]);
  }
  if (!options.records.empty()) text += fmt::format("{}  one line a row\n", options.records);
  return text;
}

void export_batches(const ExportOptions& options) {
  expect_placeholder("--output", options.output, options.num_batches);
  expect_placeholder("--labels", options.labels, options.num_batches);
  const Pipeline pipeline = make_pipeline(options);
  Loader loader(open_source(options), pipeline, loader_options(options));
  if (options.num_batches > loader.num_batches()) {
    std::fputs(fmt::format("muster: the epoch has {} batches, fewer than the {} asked for\n", loader.num_batches(),
                           options.num_batches)
                   .c_str(),
               stderr);
  }
  const std::vector<Written> written = write_batches(loader, options);
  const Report report = loader.report();
  if (!report.incidents.empty()) std::fputs((report.to_string() + '\n').c_str(), stderr);
  print(options.json ? to_line(to_json(written, options, loader)) : for_people(written, options, loader));
}

}  // namespace

Command add_export(CLI::App& program) {
  const auto options = std::make_shared<ExportOptions>();
  CLI::App* parser = program.add_subcommand(
      "export", "The first batch of an epoch as .npy, exactly as the loader delivers it; or the first K.");
  add_options(*parser, *options);
  parser->add_option("-o,--output", options->output, "where to; {} stands for the batch's number")
      ->option_text("FILE.npy")
      ->required();
  parser->add_option("--batches", options->num_batches, "batches to write; more than one need {} in FILE [1]")
      ->option_text("K")
      ->check(CLI::PositiveNumber);
  parser->add_option("--labels", options->labels, "write the labels, too (int64)")->option_text("FILE.npy");
  parser->add_option("--records", options->records, "one JSON line per row: what it shows")->option_text("FILE");
  add_json_flag(*parser, options->json);
  return {parser, [options] { export_batches(*options); }};
}

}  // namespace muster::cli
