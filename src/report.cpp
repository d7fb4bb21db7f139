#include "muster/report.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "json.hpp"
#include "names.hpp"

namespace muster {
namespace {

constexpr std::pair<OnError, std::string_view> on_error_names[] = {
    {OnError::raise, "raise"}, {OnError::mask, "mask"}, {OnError::substitute, "substitute"}};
constexpr std::pair<Outcome, std::string_view> outcome_names[] = {{Outcome::raised, "raised"},
                                                                  {Outcome::masked, "masked"},
                                                                  {Outcome::substituted, "substituted"},
                                                                  {Outcome::warned, "warned"}};

constexpr std::string_view left_out = "left out";

std::string describe(const Incident& incident) {
  std::string what_became = std::string(name(incident.outcome));
  if (incident.outcome == Outcome::substituted) what_became += fmt::format(" by sample {}", incident.substitute_id);
  const std::string path = incident.path.empty() ? "" : fmt::format(" ({})", incident.path);
  const std::string row = incident.row == Incident::no_row ? "" : fmt::format(", row {}", incident.row);
  return fmt::format("epoch {}{}: sample {}{} {}: {}", incident.epoch, row, incident.sample_id, path, what_became,
                     incident.message);
}

/// Nothing for what a listing left out: it has no id.
std::optional<Incident> incident_from_json(std::string_view line) {
  constexpr const char* operation = "incidents";
  const Json json = Json::parse(line, operation);
  const JsonObject object(json, operation);
  const std::string outcome = object.optional_text("outcome").value_or("masked");
  if (outcome == left_out && !object.optional_number("id")) return std::nullopt;
  return Incident{.outcome = value_in(outcome_names, "outcome", outcome),
                  .epoch = object.optional_number("epoch").value_or(0),
                  .row = object.optional_number("row").value_or(Incident::no_row),
                  .sample_id = object.number("id"),
                  .path = object.optional_text("path").value_or(""),
                  .substitute_id = object.optional_number("substitute").value_or(0),
                  .message = object.optional_text("message").value_or(""),
                  .stage = object.optional_text("stage").value_or(""),
                  .byte_offset = object.optional_number("byte_offset")};
}

}  // namespace

std::string_view name(OnError policy) noexcept { return name_in(on_error_names, policy); }
OnError on_error_from_name(std::string_view name) { return value_in(on_error_names, "on error", name); }
std::string_view name(Outcome outcome) noexcept { return name_in(outcome_names, outcome); }

std::string Incident::to_json() const {
  const auto known = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
  const Json::Object object = {{"outcome", name(outcome)},
                               {"epoch", epoch},
                               {"row", row == no_row ? Json() : Json(row)},
                               {"id", sample_id},
                               {"path", known(path)},
                               {"stage", known(stage)},
                               {"byte_offset", byte_offset},
                               {"message", message},
                               {"substitute", outcome == Outcome::substituted ? Json(substitute_id) : Json()}};
  return Json(object).dump();
}

std::vector<Incident> incidents_from_jsonl(std::string_view text) {
  std::vector<Incident> incidents;
  for (std::size_t line_number = 1; !text.empty(); ++line_number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    try {
      if (auto incident = incident_from_json(line)) incidents.push_back(*std::move(incident));
    } catch (const ConfigError& error) {
      throw ConfigError("incidents", fmt::format("line {}: {}", line_number, error.message()));
    }
  }
  return incidents;
}

std::string Report::to_string() const {
  std::string text = fmt::format("delivered {} rows in {} batches, {} bytes read: {} loaded", num_rows, num_batches,
                                 num_bytes_read, num_loaded);
  const auto add = [&text](std::uint64_t count, std::string_view what) {
    if (count > 0) text += fmt::format(", {} {}", count, what);
  };
  add(num_wrapped, "of them wrapped");
  add(num_warned, "of them with warnings");
  add(num_substituted, "substituted");
  add(num_masked, "masked");
  add(num_fillers, "fillers");

  constexpr std::size_t num_shown = 5;
  for (std::size_t i = 0; i < std::min(incidents.size(), num_shown); ++i) text += "\n  " + describe(incidents[i]);
  if (incidents.size() > num_shown) text += fmt::format("\n  and {} more", incidents.size() - num_shown);
  return text;
}

}  // namespace muster
