// Runs the program as a user of a shell does.
#pragma once

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/wait.h>

#include "support.hpp"

namespace muster::test {

struct Result {
  int status = -1;
  std::string out;
  std::string err;
};

inline std::string quoted(const std::string& word) {
  std::string shell = "'";
  for (const char c : word) shell += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return shell + "'";
}

inline std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// Runs a command line of the shell.
inline Result run_shell(const std::string& command) {
  const TempDir scratch;
  const std::filesystem::path errors = scratch.path() / "stderr";
  Result result;
  std::FILE* pipe = popen(fmt::format("( {} ) 2>{}", command, quoted(errors.string())).c_str(), "r");
  REQUIRE(pipe != nullptr);
  char buffer[4096];
  for (std::size_t n = 0; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) result.out.append(buffer, n);
  const int status = pclose(pipe);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.err = text_of(errors);
  return result;
}

inline std::string command_line(const std::vector<std::string>& words) {
  std::string line = quoted(MUSTER_PROGRAM);
  for (const std::string& word : words) line += ' ' + quoted(word);
  return line;
}

inline Result run(const std::vector<std::string>& words) { return run_shell(command_line(words)); }

}  // namespace muster::test
