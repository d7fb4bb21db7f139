#include "checkpoint.hpp"

#include <exception>
#include <filesystem>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "json_object.hpp"
#include "muster/files.hpp"
#include "output.hpp"

namespace muster::cli {

using Json = nlohmann::ordered_json;

std::optional<Checkpoint> read_checkpoint(const std::string& path) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  if (!std::filesystem::is_regular_file(path)) {
    throw ConfigError("--state", fmt::format("expected a file, to be read by the next run, received {}", path));
  }
  std::vector<std::uint8_t> bytes;
  read_file(path, bytes, std::int64_t{1} << 30);
  try {
    const Json json = parse_json<Json>({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, "--state");
    return Checkpoint{.loader = json.at("loader").dump(),
                      .ledger = Ledger::from_json(json.at("ledger").dump()),
                      .next_batch = json.at("next_batch").get<std::uint64_t>(),
                      .records_bytes = json.at("records_bytes").get<std::uint64_t>(),
                      .report_bytes = json.at("report_bytes").get<std::uint64_t>(),
                      .outputs = json.at("outputs").get<std::vector<std::string>>()};
  } catch (const std::exception& error) {
    throw ConfigError("--state", fmt::format("expected a state that --state wrote in {}, received something else ({}); "
                                             "remove the file to begin anew",
                                             path, error.what()));
  }
}

void write_checkpoint(const std::string& path, const Checkpoint& checkpoint) {
  OutputFile file(path);
  file.write(to_line({{"loader", Json::parse(checkpoint.loader)},
                      {"ledger", Json::parse(checkpoint.ledger.to_json())},
                      {"next_batch", checkpoint.next_batch},
                      {"records_bytes", checkpoint.records_bytes},
                      {"report_bytes", checkpoint.report_bytes},
                      {"outputs", checkpoint.outputs}}));
  file.sync();  // else a power cut could leave the name to a file without content
  file.commit();
}

}  // namespace muster::cli
