// muster preview DIR: pictures of what the pipeline does to images.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "commands.hpp"
#include "muster/preview.hpp"
#include "options.hpp"
#include "output.hpp"

namespace muster::cli {
namespace {

constexpr const char* default_output = "muster-preview.png";

struct SheetOptions : Options {
  std::string output;  // empty: default_output, unless there is a page
  std::string html;    // empty: no page
  std::optional<std::uint64_t> batch;
  PreviewOptions sheet;
};

/// Batch `number` of the epoch, as a training run gets it: those before it are loaded, too.
Image batch_sheet(Loader& loader, const SheetOptions& options) {
  if (*options.batch >= loader.num_batches()) {
    throw ConfigError("--batch",
                      fmt::format("expected a batch below {}, received {}", loader.num_batches(), *options.batch));
  }
  for (const Batch& batch : loader.epoch(options.epoch)) {
    if (batch.index < *options.batch) continue;
    return contact_sheet(batch, {.layout = loader.options().layout,
                                 .pipeline = loader.pipeline(),
                                 .classes = loader.source().classes(),
                                 .cell = options.sheet.cell});
  }
  throw ConfigError("--batch", fmt::format("epoch {} ended before batch {}", options.epoch, *options.batch));
}

void write_sheet(const std::string& path, const Image& sheet) {
  OutputFile file(path);
  write_png(file.written_path(), sheet.view());
  file.commit();
  print(path + '\n');
}

void preview(const SheetOptions& options) {
  Loader loader = make_loader(options);
  PreviewOptions sheet = options.sheet;
  sheet.first_epoch = options.epoch;
  sheet.title = options.dir;
  const std::string output = options.output.empty() && options.html.empty() ? default_output : options.output;
  if (options.batch) {
    write_sheet(output, batch_sheet(loader, options));
    return;
  }
  if (!output.empty()) write_sheet(output, contact_sheet(loader, sheet));
  if (!options.html.empty()) {
    OutputFile file(options.html);
    file.write(preview_page(loader, sheet));
    file.commit();
    print(options.html + '\n');
  }
}

}  // namespace

Command add_preview(CLI::App& program) {
  const auto options = std::make_shared<SheetOptions>();
  CLI::App* parser = program.add_subcommand(
      "preview",
      "Pictures of what augmentation does: the source with the drawn windows on it, beside its variants pixel by pixel "
      "as the trainer gets them. A PNG contact sheet, or one HTML page with every number.");
  add_options(*parser, *options);
  PreviewOptions& sheet = options->sheet;
  parser->add_option("-o,--output", options->output, fmt::format("PNG to write [{}]", default_output))
      ->option_text("FILE.png");
  CLI::Option* html = parser->add_option("--html", options->html, "page to write, larger; it needs no other file")
                          ->option_text("FILE.html");
  parser
      ->add_option("--samples", sheet.num_samples,
                   fmt::format("the first samples of the epoch's order [{}]", sheet.num_samples))
      ->option_text("N");
  CLI::Option* ids = parser->add_option("--ids", sheet.ids, "these samples instead, by id")
                         ->option_text("ID,...")
                         ->delimiter(',')
                         ->check(CLI::NonNegativeNumber);
  CLI::Option* rows = parser->add_option("--rows", sheet.rows, "or those of these rows of the epoch")
                          ->option_text("ROW,...")
                          ->delimiter(',')
                          ->check(CLI::NonNegativeNumber);
  parser
      ->add_option("--variants", sheet.num_variants,
                   fmt::format("of each sample: --epoch and those after it [{}]", sheet.num_variants))
      ->option_text("N");
  parser->add_option("--columns", sheet.num_columns, fmt::format("variants side by side [{}]", sheet.num_columns))
      ->option_text("N");
  parser->add_option("--cell", sheet.cell, fmt::format("longer side of a picture, in pixels [{}]", sheet.cell))
      ->option_text("N");
  CLI::Option* batch = parser
                           ->add_option("--batch", options->batch,
                                        "the rows of this batch of the epoch instead, fillers "
                                        "and substitutes included")
                           ->option_text("B")
                           ->check(CLI::NonNegativeNumber);
  ids->excludes(rows);
  for (CLI::Option* other : {ids, rows, html}) batch->excludes(other);
  return {parser, [options] { preview(*options); }};
}

}  // namespace muster::cli
