// muster ledger DIR LEDGER...: merges what the ranks of a run delivered, and proves that each sample came exactly once.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "interrupt.hpp"
#include "muster/ledger.hpp"
#include "options.hpp"
#include "output.hpp"

namespace muster::cli {
namespace {

using Json = nlohmann::ordered_json;

struct LedgerOptions : Options {
  std::vector<std::string> files;
  std::string merged;  // where all of them go, as one; empty: nowhere
  bool json = false;
};

Ledger read_ledger(const std::string& path) {
  const std::string text = read_text("LEDGER", path);
  try {
    return Ledger::from_json(text);
  } catch (const ConfigError& error) {
    throw ConfigError("LEDGER",
                      fmt::format("expected a ledger, as --ledger writes it, in {}, received something else ({})", path,
                                  error.message()));
  }
}

Ledger merge_all(const std::vector<std::string>& files) {
  Ledger all = read_ledger(files.front());
  for (auto file = files.begin() + 1; file != files.end(); ++file) {
    const Ledger next = read_ledger(*file);
    try {
      all.merge(next);
    } catch (const ConfigError& error) {
      throw ConfigError("LEDGER", fmt::format("{}: {}", *file, error.message()));
    }
  }
  return all;
}

/// Throws ConfigError: the ledgers are of another order.
LedgerVerdict judge(const LedgerOptions& options, const std::shared_ptr<const Source>& source, const Ledger& all) {
  const Loader loader(source, make_pipeline(options), loader_options(options, *source));
  if (loader.num_rows() != all.num_rows) {
    throw ConfigError("ledger", fmt::format("expected ledgers of {} rows, as {} has them without what --exclude leaves "
                                            "out, received {}; are DIR and --exclude the run's?",
                                            loader.num_rows(), shown_dir(options), all.num_rows));
  }
  LedgerVerdict verdict = check(all, *loader.options().order);
  if (!verdict.ids_match) {
    throw ConfigError("ledger",
                      "these rows show other samples than the order says; are DIR, --seed, --shuffle, "
                      "--shuffle-buffer and --exclude the run's, and the files as it wrote them?");
  }
  return verdict;
}

std::string counted(std::uint64_t count, std::string_view one, std::string_view several) {
  return fmt::format("{} {}", count, count == 1 ? one : several);
}

std::string name_of(const Source& source, std::uint64_t id) {
  return id < source.size() ? as_utf8(source.name(id)) : "not in DIR";
}

/// The first of `ids`, of which there are `num_all`.
std::string list(const std::vector<std::uint64_t>& ids, std::uint64_t num_all, const Source& source) {
  constexpr std::size_t most_shown = 20;
  std::string text;
  const std::size_t num_shown = std::min(ids.size(), most_shown);
  for (std::size_t i = 0; i < num_shown; ++i) text += fmt::format("  {} ({})\n", name_of(source, ids[i]), ids[i]);
  if (num_all > num_shown) text += fmt::format("  and {} more\n", num_all - num_shown);
  return text;
}

std::string for_people(const LedgerOptions& options, const Ledger& all, const LedgerVerdict& verdict,
                       const Source& source) {
  const auto num_substituted = static_cast<std::uint64_t>(std::ranges::count_if(
      all.exceptions, [](const LedgerException& exception) { return exception.substitute_id.has_value(); }));
  std::string text = fmt::format("epoch {} of {}: {}, {} in {}", all.epoch, shown_dir(options),
                                 counted(options.files.size(), "ledger", "ledgers"),
                                 counted(all.num_shown, "showing", "showings"), counted(all.num_rows, "row", "rows"));
  if (num_substituted > 0) text += fmt::format(", {} by a substitute", num_substituted);
  if (all.num_wrapped > 0) text += fmt::format(", {} of the start again", all.num_wrapped);
  if (all.num_fillers > 0) text += ", " + counted(all.num_fillers, "filler", "fillers");
  text += '\n';
  if (verdict.exactly_once) return text + "every sample was shown exactly once\n";
  if (verdict.num_missing > 0) {
    text += counted(verdict.num_missing, "sample was never shown:\n", "samples were never shown:\n");
    text += list(verdict.missing, verdict.num_missing, source);
  }
  if (verdict.num_repeated > 0) {
    text += counted(verdict.num_repeated, "showing too many:\n", "showings too many:\n");
    text += list(verdict.repeated, verdict.num_repeated, source);
  }
  return text;
}

Json to_json(const LedgerOptions& options, const Ledger& all, const LedgerVerdict& verdict, const Source& source) {
  const auto samples = [&](const std::vector<std::uint64_t>& ids) {
    Json list = Json::array();
    for (const std::uint64_t id : ids) list.push_back({{"id", id}, {"path", name_of(source, id)}});
    return list;
  };
  return {{"path", shown_dir(options)},
          {"ledgers", options.files.size()},
          {"epoch", all.epoch},
          {"rows", all.num_rows},
          {"shown", all.num_shown},
          {"fillers", all.num_fillers},
          {"wrapped", all.num_wrapped},
          {"failed", all.exceptions.size()},
          {"exactly_once", verdict.exactly_once},
          {"num_missing", verdict.num_missing},
          {"missing", samples(verdict.missing)},
          {"num_repeated", verdict.num_repeated},
          {"repeated", samples(verdict.repeated)}};
}

void prove(const LedgerOptions& options) {
  const Ledger all = merge_all(options.files);  // refused before anything is listed
  const std::shared_ptr<const Source> source = open_source(options);
  const LedgerVerdict verdict = judge(options, source, all);
  const CleanEnd clean_end;
  end_if_interrupted();
  if (!options.merged.empty()) write_whole(options.merged, all.to_json() + '\n');
  print(options.json ? to_line(to_json(options, all, verdict, *source)) : for_people(options, all, verdict, *source));
  if (!verdict.exactly_once) throw std::runtime_error("not every sample was shown exactly once");
}

}  // namespace

Command add_ledger(CLI::App& program) {
  const auto options = std::make_shared<LedgerOptions>();
  CLI::App* parser = program.add_subcommand(
      "ledger",
      "Was every sample shown exactly once? From what the ranks' export --ledger wrote of one epoch of DIR. Compared "
      "are the number of samples and, unless all came equally often, their order; not names or files. Exit status: 0 "
      "every sample was, 1 not, or something cannot be read or written, 2 the call was wrong, or the ledgers are of "
      "another order.");
  add_source_options(*parser, *options);
  parser
      ->add_option("LEDGER", options->files,
                   "one of each rank; of one that went on with --state the last, which holds what was before")
      ->required()
      ->option_text("...");
  add_order_options(*parser, *options);
  add_output(*parser, *options, "--merged", options->merged, "write all of them as one ledger");
  add_json_flag(*parser, options->json);
  parser->callback([options = options.get()] {
    for (const std::string& path : options->files) options->inputs.push_back({"LEDGER", &path});
    own_files(*options);
  });
  return {parser, [options] { prove(*options); }};
}

}  // namespace muster::cli
