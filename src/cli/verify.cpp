// muster verify DIR: decodes everything, reports what is damaged, and shows that batches do not depend on threads.
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "incident_log.hpp"
#include "interrupt.hpp"
#include "options.hpp"
#include "output.hpp"
#include "progress.hpp"

namespace muster::cli {
namespace {

using Json = nlohmann::ordered_json;

struct VerifyOptions : Options {
  std::uint64_t num_batches = 8;  // compared across thread counts
  bool json = false;
};

/// FNV-1a over 8 bytes at a time: enough to tell batches apart.
class BatchHash {
 public:
  void add(std::span<const std::byte> bytes) {
    add(bytes.size());
    for (; bytes.size() >= sizeof(std::uint64_t); bytes = bytes.subspan(sizeof(std::uint64_t))) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes.data(), sizeof word);
      add(word);
    }
    for (const std::byte byte : bytes) add(std::to_integer<std::uint64_t>(byte));
  }
  void add(std::uint64_t word) { value_ = std::rotl((value_ ^ word) * 0x100000001b3u, 27); }
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325u;
};

std::uint64_t hash_of(const Batch& batch) {
  BatchHash hash;
  hash.add(batch.images.bytes());
  hash.add(batch.labels.bytes());
  hash.add(batch.valid.bytes());
  for (const std::uint64_t id : batch.ids) hash.add(id);
  return hash.value();
}

/// Threads, io threads and prefetch: what must not change a byte.
struct Setting {
  int num_threads = 1;
  int num_io_threads = 0;
  int prefetch = 2;
};

/// What verifying found.
struct Findings {
  std::uint64_t num_samples = 0;
  std::vector<Incident> damaged;  // in the order of the listing
  std::vector<ListingFault> left_out;
  std::vector<Setting> settings;         // that were compared
  std::uint64_t num_compared = 0;        // batches
  std::vector<std::uint64_t> differing;  // batches

  bool sound() const { return damaged.empty() && left_out.empty() && differing.empty(); }
};

/// Decodes every sample of the shard as a whole.
void decode_all(const VerifyOptions& options, const std::shared_ptr<const Source>& source, const Pipeline& pipeline,
                LoaderOptions loading, IncidentLog& log, Findings& findings) {
  loading.integrity = Integrity::full;
  loading.on_error = OnError::mask;
  loading.error_budget = {};
  loading.last_batch = LastBatch::partial;
  loading.shuffle = false;
  begin_trace(options, loading);
  Loader loader(source, pipeline, loading);
  Progress progress("verify", loader.num_rows() / loading.shard.count);
  run_traced(loader, [&] {
    EpochRange batches = loader.epoch(options.epoch);
    while (const std::optional<Batch> batch = next_batch(batches)) {
      log.add(*batch);
      for (const Incident& incident : batch->incidents) findings.damaged.push_back(incident);
      const std::uint64_t num_samples = batch->rows.size() - static_cast<std::uint64_t>(batch->num_fillers);
      findings.num_samples += num_samples;
      progress.advance(num_samples, batch->incidents.size());
    }
  });
}

/// Throws ConfigError: the options do not go with what is verified.
Loader compared_loader(const std::shared_ptr<const Source>& source, const Pipeline& pipeline, LoaderOptions loading,
                       const Setting& setting) {
  if (loading.on_error == OnError::raise) loading.on_error = OnError::mask;  // what is damaged was told already
  loading.error_budget = {};
  loading.num_threads = setting.num_threads;
  loading.num_io_threads = setting.num_io_threads;
  loading.prefetch = setting.prefetch;
  return {source, pipeline, loading};
}

std::vector<std::uint64_t> hashes(const VerifyOptions& options, Loader loader) {
  const std::uint64_t num_batches = std::min(options.num_batches, loader.num_batches());
  Progress progress(fmt::format("{} threads", loader.num_threads()),
                    num_batches * static_cast<std::uint64_t>(options.batch_size));
  std::vector<std::uint64_t> found;
  EpochRange batches = loader.epoch(options.epoch);
  while (found.size() < num_batches) {
    const std::optional<Batch> batch = next_batch(batches);
    if (!batch) break;
    found.push_back(hash_of(*batch));
    progress.advance(batch->rows.size());
  }
  return found;
}

/// What may not matter, beside as many threads as were asked for; no more than any loader takes.
std::vector<Setting> settings_of(int most) {
  constexpr int limit = 256;
  return {{1, 0, 1}, {most, 0, 2}, {std::max(most, std::min(2 * most + 1, limit)), 0, 4}, {most, 3, 2}};
}

/// The same batches under all settings.
void compare_settings(const VerifyOptions& options, const std::shared_ptr<const Source>& source,
                      const Pipeline& pipeline, const LoaderOptions& loading, Findings& findings) {
  std::vector<std::uint64_t> expected;
  std::set<std::uint64_t> differing;
  for (const Setting& setting : findings.settings) {
    const std::vector<std::uint64_t> found = hashes(options, compared_loader(source, pipeline, loading, setting));
    if (expected.empty()) expected = found;
    for (std::uint64_t index = 0; index < expected.size(); ++index) {
      if (found.at(index) != expected[index]) differing.insert(index);
    }
  }
  findings.num_compared = expected.size();
  findings.differing.assign(differing.begin(), differing.end());
}

std::string settings_line(const std::vector<Setting>& settings) {
  std::string line;
  for (const Setting& setting : settings) {
    if (!line.empty()) line += ", ";
    line += std::to_string(setting.num_threads);
    if (setting.num_io_threads > 0) line += fmt::format(" + {} io", setting.num_io_threads);
  }
  return line;
}

std::string for_people(const VerifyOptions& options, const Findings& findings) {
  std::string text = fmt::format("{}: {} samples decoded, {} damaged\n", shown_dir(options), findings.num_samples,
                                 findings.damaged.size());
  constexpr std::size_t most_shown = 20;
  for (std::size_t i = 0; i < std::min(findings.damaged.size(), most_shown); ++i) {
    text += fmt::format("  {} ({}): {}\n", findings.damaged[i].path, findings.damaged[i].sample_id,
                        findings.damaged[i].message);
  }
  if (findings.damaged.size() > most_shown) {
    text += fmt::format("  and {} more; --report FILE lists all\n", findings.damaged.size() - most_shown);
  }
  if (!findings.left_out.empty()) {
    text += fmt::format("{} entries of the listing were left out\n", findings.left_out.size());
  }
  text +=
      fmt::format("{} batches compared across {} threads: ", findings.num_compared, settings_line(findings.settings));
  return text + (findings.differing.empty()
                     ? "identical\n"
                     : fmt::format("{} differ ({})\n", findings.differing.size(), fmt::join(findings.differing, ", ")));
}

Json to_json(const VerifyOptions& options, const Findings& findings) {
  Json damaged = Json::array(), left_out = Json::array(), settings = Json::array();
  for (const Incident& incident : findings.damaged) damaged.push_back(Json::parse(incident.to_json()));
  for (const ListingFault& fault : findings.left_out) {
    left_out.push_back({{"path", fault.path}, {"message", fault.message}});
  }
  for (const Setting& setting : findings.settings) {
    settings.push_back(
        {{"threads", setting.num_threads}, {"io_threads", setting.num_io_threads}, {"prefetch", setting.prefetch}});
  }
  return {{"path", shown_dir(options)},
          {"sound", findings.sound()},
          {"samples", findings.num_samples},
          {"damaged", std::move(damaged)},
          {"left_out", std::move(left_out)},
          {"settings", std::move(settings)},
          {"batches_compared", findings.num_compared},
          {"batches_differing", findings.differing}};
}

void verify(const VerifyOptions& options) {
  const Pipeline pipeline = make_pipeline(options);
  const std::shared_ptr<const Source> source = open_source(options);
  const LoaderOptions loading = loader_options(options, *source);
  // A wrong call leaves the report as it was, and is not noticed only after everything was decoded.
  const int most_threads = Loader(source, pipeline, loading).num_threads();
  Findings findings;
  findings.settings = settings_of(most_threads);
  for (const Setting& setting : findings.settings) compared_loader(source, pipeline, loading, setting);
  const CleanEnd clean_end;
  IncidentLog log(options.report);
  log.add_faults(*source);
  findings.left_out = source->faults();
  decode_all(options, source, pipeline, loading, log, findings);
  compare_settings(options, source, pipeline, loading, findings);
  print(options.json ? to_line(to_json(options, findings)) : for_people(options, findings));
  if (!findings.differing.empty()) {
    throw std::runtime_error("batches differ between thread counts: a source, stage or order is no pure function");
  }
  if (!findings.sound()) {
    throw std::runtime_error(
        fmt::format("{} samples are damaged, {} entries were left out; --report FILE writes a list "
                    "that --exclude takes",
                    findings.damaged.size(), findings.left_out.size()));
  }
}

}  // namespace

Command add_verify(CLI::App& program) {
  const auto options = std::make_shared<VerifyOptions>();
  CLI::App* parser = program.add_subcommand(
      "verify", "Decodes everything, reports what is damaged, and compares batches across thread counts.");
  add_options(*parser, *options);
  parser->add_option("--batches", options->num_batches, "batches to compare across thread counts [8]")
      ->option_text("K")
      ->check(whole_number(1));
  add_json_flag(*parser, options->json);
  return {parser, [options] { verify(*options); }};
}

}  // namespace muster::cli
