// muster preview DIR: a picture of what the pipeline does to images.
#include <memory>
#include <string>

#include <fmt/format.h>

#include "commands.hpp"
#include "muster/preview.hpp"
#include "options.hpp"
#include "output.hpp"

namespace muster::cli {
namespace {

struct SheetOptions : Options {
  std::string output = "muster-preview.png";
  PreviewOptions sheet;
};

void preview(const SheetOptions& options) {
  const Loader loader = make_loader(options);
  PreviewOptions sheet_options = options.sheet;
  sheet_options.first_epoch = options.epoch;
  const Image sheet = contact_sheet(loader, sheet_options);
  OutputFile file(options.output);
  write_png(file.written_path(), sheet.view());
  file.commit();
  print(options.output + '\n');
}

}  // namespace

Command add_preview(CLI::App& program) {
  const auto options = std::make_shared<SheetOptions>();
  CLI::App* parser = program.add_subcommand(
      "preview", "A PNG contact sheet: the source with the drawn windows on it, beside its augmented versions.");
  add_options(*parser, *options);
  const PreviewOptions& defaults = options->sheet;
  parser->add_option("-o,--output", options->output, fmt::format("PNG to write [{}]", options->output))
      ->option_text("FILE");
  parser
      ->add_option("--samples", options->sheet.num_samples,
                   fmt::format("lines of the sheet [{}]", defaults.num_samples))
      ->option_text("N");
  parser
      ->add_option("--variants", options->sheet.num_variants,
                   fmt::format("versions of each, by epoch [{}]", defaults.num_variants))
      ->option_text("N");
  parser
      ->add_option("--cell", options->sheet.cell,
                   fmt::format("longer side of a picture, in pixels [{}]", defaults.cell))
      ->option_text("N");
  return {parser, [options] { preview(*options); }};
}

}  // namespace muster::cli
