// Runs the program as a user of a shell does, on made data.
#pragma once

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "muster/preview.hpp"
#include "support.hpp"

namespace muster::test {

using Words = std::vector<std::string>;

inline bool says(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

/// A PNG of colour noise, in a folder that is made if need be.
inline void write_noise(const std::filesystem::path& path, Size size, std::uint32_t seed) {
  std::filesystem::create_directories(path.parent_path());
  write_png(path, noise_image(size, 3, seed).view());
}

/// Ten images in two classes: cat/00.png to dog/09.png. Image i has 40 + i rows and 70 - 2i columns.
inline void write_ten_images(const std::filesystem::path& root) {
  for (std::uint32_t i = 0; i < 10; ++i) {
    write_noise(root / (i < 6 ? "cat" : "dog") / fmt::format("{:02}.png", i), {40 + i, 70 - 2 * i}, i + 1);
  }
}

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

inline std::string command_line(const Words& words) {
  std::string line = quoted(MUSTER_PROGRAM);
  for (const std::string& word : words) line += ' ' + quoted(word);
  return line;
}

inline Result run(const Words& words) { return run_shell(command_line(words)); }

/// Runs the program, whose files may have `max_bytes` each; a longer one fails to grow, as on a full disk. Its standard
/// output and error are in `out`.
inline Result run_limited(const Words& words, std::uintmax_t max_bytes) {
  Words copies = words;
  copies.insert(copies.begin(), MUSTER_PROGRAM);
  std::vector<char*> arguments;
  for (std::string& word : copies) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  int ends[2];
  REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
  const rlimit limit{.rlim_cur = max_bytes, .rlim_max = max_bytes};
  const pid_t child = fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    setenv("GCOV_PREFIX", "/dev/null", 1);  // what gcov has counted so far must not be cut off
    setrlimit(RLIMIT_FSIZE, &limit);
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    execv(MUSTER_PROGRAM, arguments.data());
    _exit(127);
  }
  close(ends[1]);
  Result result;
  char buffer[4096];
  for (ssize_t n = 0; (n = ::read(ends[0], buffer, sizeof buffer)) > 0;) {
    result.out.append(buffer, static_cast<std::size_t>(n));
  }
  close(ends[0]);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

/// The program with a terminal for its standard error; standard output goes nowhere.
class OnTerminal {
 public:
  explicit OnTerminal(const Words& words) {
    terminal_ = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    REQUIRE(terminal_ >= 0);
    char name[128];
    REQUIRE(grantpt(terminal_) == 0);
    REQUIRE(unlockpt(terminal_) == 0);
    REQUIRE(ptsname_r(terminal_, name, sizeof name) == 0);
    const winsize size{.ws_row = 24, .ws_col = 120, .ws_xpixel = 0, .ws_ypixel = 0};
    REQUIRE(ioctl(terminal_, TIOCSWINSZ, &size) == 0);
    const int screen = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    const int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    REQUIRE(screen >= 0);
    Words copies = words;
    copies.insert(copies.begin(), MUSTER_PROGRAM);
    std::vector<char*> arguments;
    for (std::string& word : copies) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    child_ = fork();
    if (child_ == 0) {
      for (const int number : {SIGINT, SIGTERM, SIGHUP}) std::signal(number, SIG_DFL);  // a shell may have them ignored
      dup2(nowhere, STDIN_FILENO);
      dup2(nowhere, STDOUT_FILENO);
      dup2(screen, STDERR_FILENO);
      execv(MUSTER_PROGRAM, arguments.data());
      _exit(127);
    }
    close(screen);
    close(nowhere);
    REQUIRE(child_ > 0);
  }
  OnTerminal(const OnTerminal&) = delete;
  OnTerminal& operator=(const OnTerminal&) = delete;
  ~OnTerminal() { close(terminal_); }

  /// False if the program ends without having shown it.
  bool wait_for(std::string_view text) {
    while (shown_.find(text) == std::string::npos) {
      if (!read_some()) return false;
    }
    return true;
  }
  void signal(int number) const { kill(child_, number); }

  /// Waits for the end. The exit status, or 1000 + the signal that ended it: unlike a shell, this tells them apart.
  int end() {
    while (read_some()) continue;
    int status = 0;
    REQUIRE(waitpid(child_, &status, 0) == child_);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
  /// All that was on the terminal so far.
  const std::string& shown() const { return shown_; }

 private:
  bool read_some() {
    char buffer[4096];
    ssize_t length = 0;
    do length = ::read(terminal_, buffer, sizeof buffer);
    while (length < 0 && errno == EINTR);
    if (length <= 0) return false;  // EIO: nobody holds the other end any more
    shown_.append(buffer, static_cast<std::size_t>(length));
    return true;
  }

  int terminal_ = -1;
  pid_t child_ = -1;
  std::string shown_;
};

}  // namespace muster::test
