// --state FILE: where a run stands, written after every batch, so that the next run of the same command goes on there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "muster/loader.hpp"

namespace muster::cli {

/// What the file holds: every batch before it was consumed; what was written after it is to be replaced.
struct Checkpoint {
  std::string loader;               // Loader::state()
  Ledger ledger;                    // of the epoch so far
  std::uint64_t next_batch = 0;     // of the epoch that goes on
  std::uint64_t records_bytes = 0;  // how much of the other files belongs to it
  std::uint64_t report_bytes = 0;
  std::vector<std::string> outputs;  // the flags of what was written of each batch
};

/// Nothing if there is no such file. Throws ConfigError if it holds something else.
std::optional<Checkpoint> read_checkpoint(const std::string& path);
/// Holds a file that grew against the state: throws ConfigError if it is shorter than `num_bytes`, or gone. `flag` is
/// the option that names it.
void expect_bytes(const char* flag, const std::filesystem::path& path, std::uint64_t num_bytes);
/// The file is replaced as a whole, or not at all.
void write_checkpoint(const std::string& path, const Checkpoint& checkpoint);

}  // namespace muster::cli
