#include "checkpoint.hpp"

#include <filesystem>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "muster/files.hpp"
#include "output.hpp"

namespace muster::cli {

using Json = nlohmann::ordered_json;

std::optional<Checkpoint> read_checkpoint(const std::string& path) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  std::vector<std::uint8_t> bytes;
  read_file(path, bytes, std::int64_t{1} << 30);
  try {
    const Json json = Json::parse(bytes.begin(), bytes.end());
    return Checkpoint{.loader = json.at("loader").dump(),
                      .ledger = Ledger::from_json(json.at("ledger").dump()),
                      .records_bytes = json.at("records_bytes").get<std::uint64_t>(),
                      .report_bytes = json.at("report_bytes").get<std::uint64_t>()};
  } catch (const Json::exception& error) {
    throw ConfigError("--state", fmt::format("expected a state that --state wrote in {}, received something else ({}); "
                                             "remove the file to begin anew",
                                             path, error.what()));
  }
}

void write_checkpoint(const std::string& path, const Checkpoint& checkpoint) {
  OutputFile file(path);
  file.write(to_line({{"loader", Json::parse(checkpoint.loader)},
                      {"ledger", Json::parse(checkpoint.ledger.to_json())},
                      {"records_bytes", checkpoint.records_bytes},
                      {"report_bytes", checkpoint.report_bytes}}));
  file.commit();
}

}  // namespace muster::cli
