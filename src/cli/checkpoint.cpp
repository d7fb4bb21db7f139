#include "checkpoint.hpp"

#include <vector>

#include <sys/stat.h>

#include <fmt/format.h>

#include "json.hpp"
#include "muster/files.hpp"
#include "output.hpp"

namespace muster::cli {

std::optional<Checkpoint> read_checkpoint(const std::string& path) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  if (!std::filesystem::is_regular_file(path)) {
    throw ConfigError("--state", fmt::format("expected a file, to be read by the next run, received {}", path));
  }
  std::vector<std::uint8_t> bytes;
  read_file(path, bytes, std::int64_t{1} << 30);
  try {
    const Json json = Json::parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, "--state");
    const JsonObject state(json, "--state");
    return Checkpoint{.loader = state.value("loader").dump(),
                      .ledger = Ledger::from_json(state.value("ledger").dump()),
                      .next_batch = state.number("next_batch"),
                      .records_bytes = state.number("records_bytes"),
                      .report_bytes = state.number("report_bytes"),
                      .outputs = state.texts("outputs")};
  } catch (const ConfigError& error) {
    throw ConfigError("--state", fmt::format("expected a state that --state wrote in {}, received something else ({}); "
                                             "remove the file to begin anew",
                                             path, error.message()));
  }
}

void expect_bytes(const char* flag, const std::filesystem::path& path, std::uint64_t num_bytes) {
  struct stat status {};
  const bool is_there = stat(path.c_str(), &status) == 0;
  if (is_there && !S_ISREG(status.st_mode)) return;
  const std::uint64_t received = is_there ? static_cast<std::uint64_t>(status.st_size) : 0;
  if (received >= num_bytes) return;
  throw ConfigError(
      "--state",
      fmt::format("expected at least the {} bytes in {} ({}) that the state was written after, received {}; put the "
                  "file back as it was, or remove the state to begin anew",
                  num_bytes, path.string(), flag, is_there ? std::to_string(received) : "no such file"));
}

void write_checkpoint(const std::string& path, const Checkpoint& checkpoint) {
  OutputFile file(path);
  const Json::Object state = {{"loader", Json::parse(checkpoint.loader, "--state")},
                              {"ledger", Json::parse(checkpoint.ledger.to_json(), "--state")},
                              {"next_batch", checkpoint.next_batch},
                              {"records_bytes", checkpoint.records_bytes},
                              {"report_bytes", checkpoint.report_bytes},
                              {"outputs", Json::List(checkpoint.outputs.begin(), checkpoint.outputs.end())}};
  file.write(Json(state).dump() + '\n');
  file.sync();  // else a power cut could leave the name to a file without content
  file.commit();
}

}  // namespace muster::cli
