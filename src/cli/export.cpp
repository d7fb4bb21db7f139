// muster export DIR -o FILE.npy: batches exactly as the loader delivers them, and what was done to every row.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "checkpoint.hpp"
#include "commands.hpp"
#include "incident_log.hpp"
#include "interrupt.hpp"
#include "npy.hpp"
#include "options.hpp"
#include "output.hpp"
#include "progress.hpp"
#include "records.hpp"

namespace muster::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t all_batches = std::numeric_limits<std::int64_t>::max();

struct ExportOptions : Options {
  std::string output;
  std::string labels;             // empty: not written
  std::string records;            // empty: not written
  std::uint64_t num_batches = 1;  // of the epoch, whoever writes them
  std::string state;              // where the run can be resumed from; empty: nowhere
  std::string ledger;             // empty: not written
  bool json = false;
};

void replace_all(std::string& text, std::string_view placeholder, const std::string& value) {
  for (std::size_t at = text.find(placeholder); at != std::string::npos;
       at = text.find(placeholder, at + value.size())) {
    text.replace(at, placeholder.size(), value);
  }
}

/// `pattern` with every {} replaced by the batch's number, and {epoch} by its epoch's.
std::string path_of_batch(std::string pattern, std::uint64_t epoch, std::uint64_t index) {
  replace_all(pattern, "{epoch}", std::to_string(epoch));
  replace_all(pattern, "{}", std::to_string(index));
  return pattern;
}

void expect_placeholder(const char* option, const std::string& pattern, std::uint64_t num_batches) {
  if (num_batches > 1 && !pattern.empty() && pattern.find("{}") == std::string::npos) {
    throw ConfigError("export", fmt::format("{} batches need {{}} in {} for the batch's number, received {}; write "
                                            "for example batch-{{}}.npy",
                                            num_batches, option, pattern));
  }
}

/// The files of a pattern may not be others' either: `-o y-{}.npy --labels y-0.npy`.
void expect_distinct_files(const ExportOptions& options, std::uint64_t num_batches) {
  OwnFiles files = own_files(options);
  for (const auto& [flag, pattern] : {std::pair("--output", &options.output), {"--labels", &options.labels}}) {
    for (std::uint64_t index = 0; index < num_batches; ++index) {
      const std::string path = path_of_batch(*pattern, options.epoch, index);
      if (path == *pattern) break;  // no pattern
      files.add_output(flag, path);
    }
  }
}

/// What was written, for the result.
struct Written {
  std::string path;
  std::string labels;
  std::uint64_t index = 0;
  Shape shape;
};

void write_ledger(const ExportOptions& options, const Ledger& ledger) {
  if (!options.ledger.empty()) write_whole(options.ledger, ledger.to_json() + '\n');
}

/// The flags of what is written of every batch. A ledger is not: the state holds all of it.
std::vector<std::string> outputs_of(const ExportOptions& options) {
  std::vector<std::string> outputs;
  if (!options.labels.empty()) outputs.emplace_back("--labels");
  if (!options.records.empty()) outputs.emplace_back("--records");
  if (!options.report.empty()) outputs.emplace_back("--report");
  return outputs;
}

/// A file begun now would lack the batches that are written already; one left out, those that follow.
void expect_same_outputs(const ExportOptions& options, const Checkpoint& resumed) {
  const std::vector<std::string> outputs = outputs_of(options);
  if (outputs == resumed.outputs) return;
  const auto listed = [](const std::vector<std::string>& flags) {
    return flags.empty() ? std::string("none of --labels, --records, --report")
                         : fmt::format("{}", fmt::join(flags, " "));
  };
  throw ConfigError("--state",
                    fmt::format("expected the outputs that {} was written with ({}), received {}; name the same, or "
                                "remove the state to begin the epoch anew",
                                options.state, listed(resumed.outputs), listed(outputs)));
}

/// Where a run begins: with the epoch, or where the state says.
struct Beginning {
  std::optional<Checkpoint> resumed;
  EpochRange batches;  // of a later epoch than that asked for, which is done then
};

/// Refuses a state that does not fit before any file is touched.
Beginning begin(const ExportOptions& options, Loader& loader) {
  std::optional<Checkpoint> resumed = options.state.empty() ? std::nullopt : read_checkpoint(options.state);
  if (!resumed) return {std::nullopt, loader.epoch(options.epoch)};
  EpochRange batches = loader.resume(resumed->loader);
  if (batches.epoch() < options.epoch) {
    throw ConfigError("--state", fmt::format("{} stands in epoch {}, which is not finished; export it with --epoch {}, "
                                             "or remove the file to begin epoch {}",
                                             options.state, batches.epoch(), batches.epoch(), options.epoch));
  }
  expect_same_outputs(options, *resumed);
  expect_bytes("--records", options.records, resumed->records_bytes);
  expect_bytes("--report", options.report, resumed->report_bytes);
  return {std::move(resumed), std::move(batches)};
}

/// Everything that a run writes, batch after batch.
class Exporter {
 public:
  Exporter(const ExportOptions& options, Loader& loader, Beginning beginning)
      : options_(options),
        loader_(loader),
        resumed_(std::move(beginning.resumed)),
        batches_(std::move(beginning.batches)),
        records_(options.records, kept_records()),
        log_(options.report, resumed_ ? resumed_->report_bytes : 0) {
    if (!resumed_) log_.add_faults(loader.source());
  }

  std::vector<Written> run() {
    std::vector<Written> written;
    if (resumed_ && resumed_->ledger.epoch == options_.epoch) ledger_so_far_ = resumed_->ledger;
    log_undelivered(log_, loader_, [&] { write_all(written); });
    records_.commit();
    write_ledger(options_, ledger(options_.epoch));
    return written;
  }

 private:
  /// Up to batch `num_batches` of the epoch, from where an earlier run stopped on.
  void write_all(std::vector<Written>& written) {
    const std::uint64_t num_batches = std::min(options_.num_batches, batches_.num_batches());
    const std::uint64_t first = resumed_ ? resumed_->next_batch : 0;
    if (first >= num_batches) {
      return tell(
          fmt::format("{} says that the first {} batches of epoch {} were exported, which --batches {} asks for",
                      options_.state, first, options_.epoch, options_.num_batches));
    }
    Progress progress("export", (num_batches - first) * static_cast<std::uint64_t>(options_.batch_size));
    while (const std::optional<Batch> batch = next_batch(batches_)) {
      written.push_back(write(*batch));
      progress.advance(batch->rows.size(), batch->incidents.size());
      if (batch->index + 1 == num_batches) break;
    }
  }

  Written write(const Batch& batch) {
    Written entry{.path = path_of_batch(options_.output, batch.epoch, batch.index),
                  .labels = path_of_batch(options_.labels, batch.epoch, batch.index),
                  .index = batch.index,
                  .shape = batch.images.shape()};
    const bool resumable = !options_.state.empty();
    write_npy(entry.path, batch.images, resumable);
    if (!entry.labels.empty()) write_npy(entry.labels, batch.labels, resumable);
    records_.add(batch, loader_);
    log_.add(batch);
    if (resumable) {
      // A state says that all before it is there: it may not come to the disk first, or a power cut shows it wrong.
      records_.sync();
      log_.sync();
      write_checkpoint(options_.state, {.loader = loader_.state(),
                                        .ledger = ledger(batch.epoch),
                                        .next_batch = (batch.index + 1) % batches_.num_batches(),
                                        .records_bytes = records_.num_bytes(),
                                        .report_bytes = log_.num_bytes(),
                                        .outputs = outputs_of(options_)});
    }
    return entry;
  }

  /// How much of the records an earlier call wrote; nothing for a run that cannot be resumed.
  std::optional<std::uint64_t> kept_records() const {
    if (options_.state.empty()) return std::nullopt;
    return resumed_ ? resumed_->records_bytes : 0;
  }

  /// Of what was written of an epoch by this run and those before it.
  Ledger ledger(std::uint64_t epoch) const {
    if (!ledger_so_far_) return loader_.ledger(epoch);
    Ledger merged = *ledger_so_far_;
    merged.merge(loader_.ledger(epoch));
    return merged;
  }

  const ExportOptions& options_;
  Loader& loader_;
  std::optional<Checkpoint> resumed_;
  EpochRange batches_;
  RecordsFile records_;
  IncidentLog log_;
  std::optional<Ledger> ledger_so_far_;
};

Json to_json(const std::vector<Written>& written, const ExportOptions& options, const Loader& loader) {
  const Report report = loader.report();
  Json files = Json::array();
  for (const Written& entry : written) {
    Json file = {{"path", entry.path}, {"batch", entry.index}};
    file["shape"] = as_json(entry.shape);
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
  Loader loader = make_loader(options);
  if (options.num_batches > loader.num_batches() && options.num_batches != all_batches) {
    tell(fmt::format("the epoch has {} batches, fewer than the {} asked for", loader.num_batches(),
                     options.num_batches));
  }
  expect_distinct_files(options, std::min(options.num_batches, loader.num_batches()));
  const CleanEnd clean_end;
  Beginning beginning = begin(options, loader);
  std::vector<Written> written;
  if (beginning.batches.epoch() == options.epoch) {
    Exporter exporter(options, loader, std::move(beginning));
    run_traced(loader, [&] { written = exporter.run(); });
  } else {
    tell(fmt::format("{} says that epoch {} was exported", options.state, options.epoch));
    const Ledger& ledger = beginning.resumed->ledger;
    if (ledger.epoch == options.epoch) write_ledger(options, ledger);  // a kill may have come before it
  }
  const Report report = loader.report();
  if (!report.incidents.empty()) std::fputs(visible(report.to_string() + '\n').c_str(), stderr);
  print(options.json ? to_line(to_json(written, options, loader)) : for_people(written, options, loader));
}

}  // namespace

Command add_export(CLI::App& program) {
  const auto options = std::make_shared<ExportOptions>();
  CLI::App* parser = program.add_subcommand(
      "export", "The first batch of an epoch as .npy, exactly as the loader delivers it; or the first K.");
  add_options(*parser, *options);
  add_output(*parser, *options, "-o,--output", options->output,
             "where to; {} stands for the batch's number, {epoch} for its epoch's", "FILE.npy")
      ->required();
  parser
      ->add_option("--batches", options->num_batches,
                   "the first K batches of the epoch, or all; more than one need {} in FILE. With --state, those that "
                   "earlier calls wrote count [1]")
      ->option_text("K|all")
      ->transform([](const std::string& text) { return text == "all" ? std::to_string(all_batches) : text; })
      ->check(whole_number(1));
  add_output(*parser, *options, "--labels", options->labels, "write the labels, too (int64)", "FILE.npy");
  add_output(*parser, *options, "--records", options->records, "one JSON line per row: what it shows");
  add_output(*parser, *options, "--state", options->state,
             "written after every batch; where FILE is there already, the epoch goes on behind the last one: the same "
             "call again, however the first ended, leaves what one unbroken call would");
  add_output(
      *parser, *options, "--ledger", options->ledger,
      "write at the end what was delivered of the epoch, for muster ledger; a call that is cut short leaves FILE as "
      "it was");
  add_json_flag(*parser, options->json);
  return {parser, [options] { export_batches(*options); }};
}

}  // namespace muster::cli
