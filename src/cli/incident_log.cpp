#include "incident_log.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "options.hpp"

namespace muster::cli {

IncidentLog::IncidentLog(const std::string& path, std::uint64_t num_bytes) {
  if (!path.empty()) file_.emplace(path, num_bytes);
}

void IncidentLog::add(const Incident& incident) {
  if (file_) file_->write(incident.to_json() + '\n');
}

void IncidentLog::add(const Batch& batch) {
  for (const Incident& incident : batch.incidents) add(incident);
}

void IncidentLog::add_faults(const Source& source) {
  if (!file_) return;
  for (const ListingFault& fault : source.faults()) {
    nlohmann::ordered_json line = {{"outcome", "left out"},  {"epoch", nullptr},        {"row", nullptr},
                                   {"id", nullptr},          {"path", fault.path},      {"stage", "list"},
                                   {"byte_offset", nullptr}, {"message", fault.message}};
    if (fault.byte_offset) line["byte_offset"] = *fault.byte_offset;
    file_->write(to_line(line));
  }
}

void log_undelivered(IncidentLog& log, const Loader& loader, const std::function<void()>& work) {
  try {
    work();
  } catch (const Error&) {
    for (const Incident& incident : loader.undelivered()) log.add(incident);
    throw;
  }
}

std::vector<std::uint64_t> read_exclusions(const std::string& path, const Source& source) {
  std::vector<std::uint64_t> ids;
  for (const Incident& incident : incidents_from_jsonl(read_text("--exclude", path))) {
    if (incident.outcome == Outcome::warned || incident.sample_id == Batch::no_sample) continue;
    if (incident.sample_id >= source.size()) {
      throw ConfigError("--exclude",
                        fmt::format("{}: expected ids below {}, received {}; the list is of another data set", path,
                                    source.size(), incident.sample_id));
    }
    const std::string name = as_utf8(source.name(incident.sample_id));
    if (!incident.path.empty() && incident.path != name) {
      throw ConfigError(
          "--exclude",
          fmt::format("{}: sample {} is {}, the list has {} under this number; the list is of another data "
                      "set, or of an older state of it",
                      path, incident.sample_id, name, incident.path));
    }
    ids.push_back(incident.sample_id);
  }
  return ids;
}

}  // namespace muster::cli
