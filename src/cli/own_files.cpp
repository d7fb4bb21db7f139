#include "own_files.hpp"

#include <filesystem>
#include <optional>
#include <system_error>

#include <sys/stat.h>

#include <fmt/format.h>

#include "muster/error.hpp"

namespace muster::cli {
namespace {

namespace fs = std::filesystem;

/// What all names of a file that is there share; nothing for what is no regular file, or not there.
std::optional<std::string> identity_of_existing(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  return fmt::format("{}:{}", status.st_dev, status.st_ino);
}

std::string canonical_folder(const fs::path& path) {
  std::error_code error;
  const fs::path folder = path.parent_path().empty() ? fs::path(".") : path.parent_path();
  const fs::path canonical = fs::weakly_canonical(folder, error);
  return error ? folder.lexically_normal().string() : canonical.string();
}

}  // namespace

void OwnFiles::add_input(const std::string& flag, const std::string& path) {
  if (const auto identity = identity_of_existing(path)) owners_.try_emplace(*identity, Owner{flag, true});
}

void OwnFiles::add_output(const std::string& flag, const std::string& path) {
  std::optional<std::string> identity = identity_of_existing(path);
  if (!identity) {
    std::error_code error;
    if (fs::exists(path, error)) return;
    const fs::path name(path);
    const auto [folder, is_new] = canonicals_.try_emplace(name.parent_path().string());
    if (is_new) folder->second = canonical_folder(name);
    identity = (fs::path(folder->second) / name.filename()).string();
  }
  const auto [owner, is_own] = owners_.try_emplace(*identity, Owner{flag, false});
  if (is_own) return;
  throw ConfigError(flag, fmt::format("expected a file of its own, received {}, which {} {}, too", path,
                                      owner->second.flag, owner->second.reads ? "reads" : "names"));
}

}  // namespace muster::cli
