// muster inspect DIR: what is in DIR, how the pipeline comes to its shape, and where it will enlarge.
#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "../preview/markup.hpp"
#include "commands.hpp"
#include "incident_log.hpp"
#include "interrupt.hpp"
#include "muster/preview.hpp"
#include "options.hpp"
#include "output.hpp"
#include "survey.hpp"
#include "survey_charts.hpp"

namespace muster::cli {
namespace {

using Json = nlohmann::ordered_json;
using markup::escape;
using markup::isolated;

struct InspectOptions : Options {
  bool json = false;
  std::string png;   // empty: none
  std::string html;  // empty: none
  std::uint64_t num_draws = 10;
};

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

std::string headline(const Survey& survey) {
  return fmt::format("{} images, {} classes, {:.1f} MB", survey.num_images, survey.classes.size(),
                     static_cast<double>(survey.num_bytes) / 1e6);
}

/// "float32 nchw: 6 x {64, 3, 224, 224}, then 1 x {16, 3, 224, 224}"
std::string describe_batches(const Loader& loader) {
  const BatchSpec spec = loader.spec();
  const bool partial = spec.last_batch_size != spec.batch_size;
  const std::uint64_t num_full = loader.num_batches() - (partial ? 1 : 0);
  std::string text = fmt::format("{} {}: ", name(spec.dtype), name(spec.layout));
  if (num_full > 0) text += fmt::format("{} x {}{}", num_full, spec.shape().to_string(), partial ? ", then " : "");
  if (partial) text += fmt::format("1 x {}", spec.shape(spec.last_batch_size).to_string());
  return text;
}

/// A word on folders that hold other data sets instead of classes, as their names tell; empty otherwise.
std::string splits_note(const Survey& survey) {
  constexpr std::string_view splits[] = {"train", "training", "val", "valid", "validation", "test", "testing"};
  const auto is_split = [&](const ClassCount& entry) {
    return std::ranges::find(splits, entry.name) != std::end(splits);
  };
  if (survey.classes.empty() || !std::ranges::all_of(survey.classes, is_split)) return {};
  return fmt::format("\n  note: the classes are called like parts of a data set; for those of one part give DIR/{}\n",
                     survey.classes.front().name);
}

std::string spread_line(const char* name, const Spread& values, int decimals) {
  return fmt::format("  {:<16}{:>10.{}f}{:>10.{}f}{:>10.{}f}{:>10.{}f}\n", name, values.min, decimals, values.median,
                     decimals, values.mean, decimals, values.max, decimals);
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

std::string for_people(const std::string& dir, const Survey& survey, const Loader& loader) {
  std::string text = fmt::format("{}: {}\n\n", dir, headline(survey));
  text += fmt::format("  formats         {}\n", counts_line(survey.formats));
  text += fmt::format("  channels        {}\n", describe_channels(survey.channels));
  text += fmt::format("  turned by EXIF  {}\n", survey.num_turned());
  if (survey.num_links_skipped > 0) {
    text += fmt::format("  links left out  {} that lead out of the folder, or nowhere\n", survey.num_links_skipped);
  }
  text += splits_note(survey);
  text += fmt::format("\n  {:<16}{:>10}{:>10}{:>10}{:>10}\n", "", "min", "median", "mean", "max");
  text += spread_line("height", survey.height, 0);
  text += spread_line("width", survey.width, 0);
  text += spread_line("width / height", survey.aspect, 2);
  text += spread_line("Mpixel", survey.megapixels, 3);
  text += spread_line("kB", survey.kilobytes, 1);
  for (const BarChart& chart :
       {side_chart(survey), aspect_chart(survey), class_chart(survey, 20), enlargement_chart(survey)}) {
    text += to_text(chart);
  }
  if (!survey.failures.empty()) text += failure_lines(survey.failures);
  text += fmt::format("\nshape proof\n{}", loader.pipeline().proof().to_string());
  if (!text.ends_with('\n')) text += '\n';
  return text + fmt::format("\nbatches of {}\n", describe_batches(loader));
}

void write_png_file(const std::string& path, const InspectOptions& options, const Survey& survey,
                    const Loader& loader) {
  const std::vector<std::string> lines = {
      fmt::format("channels: {}   turned by EXIF: {}   unreadable: {}", describe_channels(survey.channels),
                  survey.num_turned(), survey.failures.size()),
      fmt::format("height {:.0f} ... {:.0f}, median {:.0f}   width {:.0f} ... {:.0f}, median {:.0f}", survey.height.min,
                  survey.height.max, survey.height.median, survey.width.min, survey.width.max, survey.width.median),
      fmt::format("batches of {}", describe_batches(loader))};
  OutputFile file(path);
  write_png(
      file.written_path(),
      draw_charts(fmt::format("{}: {}", shown_dir(options), headline(survey)), lines, all_charts(survey, 40)).view());
  file.commit();
}

std::string spread_row(const char* name, const Spread& values, int decimals) {
  return fmt::format(
      "<tr><th scope=\"row\">{}</th><td class=\"n\">{:.{}f}</td><td class=\"n\">{:.{}f}</td><td "
      "class=\"n\">{:.{}f}</td>"
      "<td class=\"n\">{:.{}f}</td></tr>\n",
      name, values.min, decimals, values.median, decimals, values.mean, decimals, values.max, decimals);
}

std::string page(const InspectOptions& options, const Survey& survey, const Loader& loader) {
  std::string body = fmt::format(
      "<header>\n<h1>{}</h1>\n<p class=\"faint\">{}; {}; turned by EXIF {}; unreadable {}</p>"
      "\n</header>\n",
      isolated(shown_dir(options)), headline(survey), describe_channels(survey.channels), survey.num_turned(),
      survey.failures.size());
  body +=
      "<div class=\"charts\">\n<section>\n<h2>Sizes</h2>\n<table>\n<thead><tr><th></th><th class=\"n\">min</th><th "
      "class=\"n\">median</th><th class=\"n\">mean</th><th class=\"n\">max</th></tr></thead>\n<tbody>\n";
  body += spread_row("height", survey.height, 0) + spread_row("width", survey.width, 0);
  body += spread_row("width / height", survey.aspect, 2) + spread_row("Mpixel", survey.megapixels, 3);
  body += spread_row("kB", survey.kilobytes, 1) + "</tbody>\n</table>\n</section>\n";
  for (const BarChart& chart : all_charts(survey, 100)) body += to_html(chart);
  body += "</div>\n";
  const ShapeProof& proof = loader.pipeline().proof();
  body +=
      "<section>\n<h2>Shape proof</h2>\n<table>\n<thead><tr><th class=\"n\">#</th><th>stage</th><th>sizes that come "
      "out, height × width</th></tr></thead>\n<tbody>\n";
  for (std::size_t i = 0; i < proof.rows.size(); ++i) {
    body += fmt::format("<tr><td class=\"n\">{}</td><td>{}</td><td class=\"num\">{}</td></tr>\n", i + 1,
                        escape(proof.rows[i].stage), escape(to_string(proof.rows[i].out)));
  }
  body += fmt::format("</tbody>\n</table>\n<p>Batches of {}</p>\n</section>\n", escape(describe_batches(loader)));
  body += fmt::format("<section><details><summary>Pipeline as JSON</summary>\n<pre>{}</pre>\n</details></section>\n",
                      escape(markup::indent_json(loader.pipeline().to_json())));
  if (!survey.failures.empty()) {
    constexpr std::size_t most_shown = 200;
    body += fmt::format("<section>\n<h2>{} cannot be read</h2>\n<table>\n", survey.failures.size());
    for (std::size_t i = 0; i < std::min(survey.failures.size(), most_shown); ++i) {
      body += fmt::format("<tr><td class=\"n\">{}</td><td>{}</td><td>{}</td></tr>\n", survey.failures[i].id,
                          isolated(survey.failures[i].path), isolated(survey.failures[i].error));
    }
    body += "</table>\n";
    if (survey.failures.size() > most_shown) {
      body += fmt::format("<p>and {} more; --json lists all</p>\n", survey.failures.size() - most_shown);
    }
    body += "</section>\n";
  }
  return markup::page("Inspection of " + shown_dir(options), chart_style, body, {});
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

/// What is infinite is null.
Json bound(double value) { return value > 1e300 ? Json() : Json(value); }

Json to_json(const Enlargement& enlargement) {
  Json bins = Json::array();
  for (const EnlargementBin& bin : enlargement.bins) {
    bins.push_back({{"label", bin.label}, {"below", bound(bin.to)}, {"samples", bin.num_draws}});
  }
  return {{"epochs", enlargement.num_epochs},
          {"samples", enlargement.num_draws},
          {"enlarged", enlargement.num_enlarged},
          {"share", enlargement.share()},
          {"refused", enlargement.num_failed},
          {"images_ever", enlargement.num_images_ever},
          {"images_always", enlargement.num_images_always},
          {"max", enlargement.max},
          {"bins", std::move(bins)}};
}

Json to_json(const std::string& dir, const Survey& survey, const Loader& loader) {
  Json json = {{"path", dir},
               {"images", survey.num_images},
               {"bytes", survey.num_bytes},
               {"unreadable", survey.failures.size()},
               {"turned", survey.num_turned()},
               {"links_skipped", survey.num_links_skipped},
               {"formats", to_json(survey.formats)},
               {"channels", to_json(survey.channels)},
               {"orientations", to_json(survey.orientations)},
               {"height", to_json(survey.height)},
               {"width", to_json(survey.width)},
               {"aspect", to_json(survey.aspect)},
               {"megapixels", to_json(survey.megapixels)},
               {"kilobytes", to_json(survey.kilobytes)}};
  Json sides = Json::array(), aspects = Json::array(), classes = Json::array(), errors = Json::array();
  for (const SideBin& bin : survey.shorter_sides) {
    sides.push_back({{"from", bin.from},
                     {"to", bin.to},
                     {"images", bin.num_images},
                     {"samples", bin.num_draws},
                     {"enlarged", bin.num_enlarged}});
  }
  for (const AspectBin& bin : survey.aspects) {
    aspects.push_back({{"from", bin.from}, {"below", bound(bin.to)}, {"images", bin.num_images}});
  }
  for (const ClassCount& entry : survey.classes) {
    classes.push_back({{"label", entry.label}, {"name", entry.name}, {"images", entry.num_images}});
  }
  for (const Failure& failure : survey.failures) {
    errors.push_back({{"id", failure.id}, {"path", failure.path}, {"error", failure.error}});
  }
  json["shorter_side"] = std::move(sides);
  json["aspects"] = std::move(aspects);
  json["enlargement"] = to_json(survey.enlargement);
  json["classes"] = std::move(classes);
  json["errors"] = std::move(errors);

  const ShapeProof& proof = loader.pipeline().proof();
  const BatchSpec spec = loader.spec();
  json["pipeline"] = Json::parse(loader.pipeline().to_json());
  json["proof"] = Json::array();
  for (const ShapeProof::Row& row : proof.rows) {
    json["proof"].push_back({{"stage", row.stage}, {"min", as_json(row.out.min)}, {"max", as_json(row.out.max)}});
  }
  json["output"] = as_json(proof.output);
  json["batches"] = loader.num_batches();
  json["batch_shape"] = as_json(spec.shape());
  json["last_batch_shape"] = as_json(spec.shape(spec.last_batch_size));
  json["dtype"] = name(spec.dtype);
  json["layout"] = name(spec.layout);
  return json;
}

void inspect(const InspectOptions& options) {
  const Loader loader = make_loader(options);
  const CleanEnd clean_end;
  IncidentLog log(options.report);
  log.add_faults(loader.source());
  const Survey counted = survey(loader, options.epoch, options.num_draws);
  for (const Failure& failure : counted.failures) {
    log.add({.row = Incident::no_row,
             .sample_id = failure.id,
             .path = failure.path,
             .message = failure.error,
             .stage = "probe"});
  }
  if (!options.png.empty()) write_png_file(options.png, options, counted, loader);
  if (!options.html.empty()) write_whole(options.html, page(options, counted, loader));
  const std::string dir = shown_dir(options);
  print(options.json ? to_line(to_json(dir, counted, loader)) : for_people(dir, counted, loader));
}

}  // namespace

Command add_inspect(CLI::App& program) {
  const auto options = std::make_shared<InspectOptions>();
  CLI::App* parser = program.add_subcommand(
      "inspect",
      "What is in DIR: sizes, aspect ratios, classes, formats; the shape proof, stage by stage; and how much the "
      "pipeline will enlarge. Files that cannot be read are listed.");
  add_options(*parser, *options);
  parser->remove_option(parser->get_option("--trace"));  // no loader runs
  add_json_flag(*parser, options->json);
  add_output(*parser, *options, "--png", options->png, "draw the counts as charts, too", "FILE.png");
  add_output(*parser, *options, "--html", options->html, "and as a page that needs no other file", "FILE.html");
  parser
      ->add_option("--draws", options->num_draws,
                   fmt::format("epochs, from --epoch on, whose draws are counted [{}]", options->num_draws))
      ->option_text("N")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{10'000}).description(""));
  return {parser, [options] { inspect(*options); }};
}

}  // namespace muster::cli
