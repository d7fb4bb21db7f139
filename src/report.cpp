#include "muster/report.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "names.hpp"

namespace muster {
namespace {

constexpr std::pair<OnError, std::string_view> on_error_names[] = {
    {OnError::raise, "raise"}, {OnError::mask, "mask"}, {OnError::substitute, "substitute"}};
constexpr std::pair<Outcome, std::string_view> outcome_names[] = {{Outcome::raised, "raised"},
                                                                  {Outcome::masked, "masked"},
                                                                  {Outcome::substituted, "substituted"},
                                                                  {Outcome::warned, "warned"}};

std::string describe(const Incident& incident) {
  std::string what_became = std::string(name(incident.outcome));
  if (incident.outcome == Outcome::substituted) what_became += fmt::format(" by sample {}", incident.substitute_id);
  const std::string path = incident.path.empty() ? "" : fmt::format(" ({})", incident.path);
  return fmt::format("epoch {}, row {}: sample {}{} {}: {}", incident.epoch, incident.row, incident.sample_id, path,
                     what_became, incident.message);
}

}  // namespace

std::string_view name(OnError policy) noexcept { return name_in(on_error_names, policy); }
OnError on_error_from_name(std::string_view name) { return value_in(on_error_names, "on error", name); }
std::string_view name(Outcome outcome) noexcept { return name_in(outcome_names, outcome); }

std::string Report::to_string() const {
  std::string text =
      fmt::format("{} rows in {} batches, {} bytes read: {} loaded", num_rows, num_batches, num_bytes_read, num_loaded);
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
