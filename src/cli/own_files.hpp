// Every option that names a file names one of its own: what a call reads, it does not write, and nothing twice.
#pragma once

#include <map>
#include <string>

namespace muster::cli {

/// What an option names; empty: it was not given.
struct NamedFile {
  std::string flag;
  const std::string* path = nullptr;
};

/// The files of one call, however their paths are spelled. Devices and pipes may be shared.
class OwnFiles {
 public:
  void add_input(const std::string& flag, const std::string& path);
  /// Throws ConfigError: another option reads or writes it.
  void add_output(const std::string& flag, const std::string& path);

 private:
  struct Owner {
    std::string flag;
    bool reads = false;
  };
  std::map<std::string, Owner> owners_;            // by identity
  std::map<std::string, std::string> canonicals_;  // of folders, which are many files' own
};

}  // namespace muster::cli
