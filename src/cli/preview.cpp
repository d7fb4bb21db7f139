// muster preview DIR: pictures of what the pipeline does to images.
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "commands.hpp"
#include "interrupt.hpp"
#include "muster/preview.hpp"
#include "options.hpp"
#include "output.hpp"
#include "progress.hpp"

namespace muster::cli {
namespace {

constexpr const char* default_output = "muster-preview.png";

struct SheetOptions : Options {
  std::string output;  // empty: default_output, unless there is a page
  std::string html;    // empty: no page
  std::optional<std::uint64_t> batch;
  PreviewOptions sheet;
};

/// Another source, whose reads are counted.
class CountedSource : public Source {
 public:
  explicit CountedSource(std::shared_ptr<const Source> source) : source_(std::move(source)) {}

  void show(Progress* progress) { progress_ = progress; }

  std::uint64_t size() const override { return source_->size(); }
  void read(std::uint64_t id, Sample& sample, std::stop_token stop) const override {
    source_->read(id, sample, std::move(stop));
    if (progress_ != nullptr) progress_->advance(1);
  }
  std::string name(std::uint64_t id) const override { return source_->name(id); }
  std::string metadata(std::uint64_t id) const override { return source_->metadata(id); }
  const std::vector<std::string>& classes() const override { return source_->classes(); }
  Fingerprint fingerprint() const override { return source_->fingerprint(); }
  std::uint64_t shuffle_block() const override { return source_->shuffle_block(); }
  std::vector<ListingFault> faults() const override { return source_->faults(); }

 private:
  const std::shared_ptr<const Source> source_;
  Progress* progress_ = nullptr;
};

/// Batch `number` of the epoch, as a training run gets it: those before it are loaded, too.
Image batch_sheet(Loader& loader, const SheetOptions& options) {
  if (*options.batch >= loader.num_batches()) {
    throw ConfigError("--batch",
                      fmt::format("expected a batch below {}, received {}", loader.num_batches(), *options.batch));
  }
  Progress progress("preview", (*options.batch + 1) * static_cast<std::uint64_t>(options.batch_size));
  EpochRange batches = loader.epoch(options.epoch);
  while (true) {
    const Batch batch = next_batch(batches).value();
    progress.advance(batch.rows.size(), batch.incidents.size());
    if (batch.index < *options.batch) continue;
    return contact_sheet(batch, {.layout = loader.options().layout,
                                 .pipeline = loader.pipeline(),
                                 .classes = loader.source().classes(),
                                 .cell = options.sheet.cell});
  }
}

void write_sheet(const std::string& path, const Image& sheet) {
  OutputFile file(path);
  write_png(file.written_path(), sheet.view());
  file.commit();
  print(path + '\n');
}

std::uint64_t num_shown(const PreviewOptions& sheet) {
  if (!sheet.ids.empty()) return sheet.ids.size();
  return sheet.rows.empty() ? static_cast<std::uint64_t>(sheet.num_samples) : sheet.rows.size();
}

void write_samples(const SheetOptions& options, const std::string& output) {
  const Pipeline pipeline = make_pipeline(options);  // refused before anything is listed
  const auto source = std::make_shared<CountedSource>(open_source(options));
  const Loader loader(source, pipeline, loader_options(options, *source));
  PreviewOptions sheet = options.sheet;
  sheet.first_epoch = options.epoch;
  sheet.title = shown_dir(options);
  const std::uint64_t num_pictures = (output.empty() ? 0 : 1) + (options.html.empty() ? 0 : 1);
  std::optional<Image> picture;
  std::string page;
  {
    Progress progress("preview", num_pictures * num_shown(sheet));
    source->show(&progress);
    if (!output.empty()) picture = contact_sheet(loader, sheet);
    if (!options.html.empty()) page = preview_page(loader, sheet);
    source->show(nullptr);
  }
  const CleanEnd clean_end;  // so far there is nothing to clean
  if (picture) write_sheet(output, *picture);
  if (options.html.empty()) return;
  write_whole(options.html, page);
  print(options.html + '\n');
}

void write_batch(const SheetOptions& options, const std::string& output) {
  Loader loader = make_loader(options);
  const CleanEnd clean_end;
  run_traced(loader, [&] { write_sheet(output, batch_sheet(loader, options)); });
}

void preview(const SheetOptions& options) {
  const std::string output = options.output.empty() && options.html.empty() ? default_output : options.output;
  if (options.batch) {
    write_batch(options, output);
  } else {
    write_samples(options, output);
  }
}

}  // namespace

Command add_preview(CLI::App& program) {
  const auto options = std::make_shared<SheetOptions>();
  CLI::App* parser = program.add_subcommand(
      "preview",
      "Pictures of what augmentation does: the source with the drawn windows on it, beside its variants as the trainer "
      "gets them. A PNG contact sheet, scaled to its cells; or one HTML page, larger and with every number.");
  add_options(*parser, *options);
  PreviewOptions& sheet = options->sheet;
  add_output(*parser, *options, "-o,--output", options->output, fmt::format("PNG to write [{}]", default_output),
             "FILE.png");
  CLI::Option* html = add_output(*parser, *options, "--html", options->html,
                                 "page to write, larger; it needs no other file", "FILE.html");
  CLI::Option* samples = parser
                             ->add_option("--samples", sheet.num_samples,
                                          fmt::format("the first samples of the epoch's order [{}]", sheet.num_samples))
                             ->option_text("N");
  CLI::Option* ids = parser->add_option("--ids", sheet.ids, "these samples instead, by id")
                         ->option_text("ID,...")
                         ->delimiter(',')
                         ->check(whole_number());
  CLI::Option* rows = parser->add_option("--rows", sheet.rows, "or those of these rows of the epoch")
                          ->option_text("ROW,...")
                          ->delimiter(',')
                          ->check(whole_number());
  CLI::Option* variants =
      parser
          ->add_option("--variants", sheet.num_variants,
                       fmt::format("of each sample: --epoch and those after it [{}]", sheet.num_variants))
          ->option_text("N");
  CLI::Option* columns = parser
                             ->add_option("--columns", sheet.num_columns,
                                          fmt::format("variants side by side on the sheet [{}]", sheet.num_columns))
                             ->option_text("N");
  parser
      ->add_option("--cell", sheet.cell,
                   fmt::format("longer side of a picture on the sheet, in pixels [{}]", sheet.cell))
      ->option_text("N");
  CLI::Option* batch = parser
                           ->add_option("--batch", options->batch,
                                        "the rows of this batch of the epoch instead, fillers "
                                        "and substitutes included")
                           ->option_text("B")
                           ->check(whole_number());
  ids->excludes(rows);
  for (CLI::Option* other : {ids, rows, html, samples, variants, columns}) batch->excludes(other);
  parser->get_option("--trace")->needs(batch);  // only there a loader runs
  parser->remove_option(parser->get_option("--report"));
  return {parser, [options] { preview(*options); }};
}

}  // namespace muster::cli
