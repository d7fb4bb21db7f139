// Ctrl-C, and the signal by which a scheduler ends a program: files whole, no temporary left, exit status 128 + signal.
#pragma once

#include <exception>

namespace muster::cli {

/// Leaves a command that was interrupted; the destructors on its way do the rest.
class Interrupted : public std::exception {
 public:
  explicit Interrupted(int signal) noexcept : signal_(signal) {}
  const char* what() const noexcept override { return "interrupted"; }
  int signal() const noexcept { return signal_; }

 private:
  int signal_;
};

/// From here on SIGINT and SIGTERM end the program: at once where there is nothing to clean, and for whoever asks a
/// second time. One that was ignored from the start stays ignored.
void watch_for_interrupts();

/// While one of these lives, a signal only makes interrupted() true. Whoever holds it asks often.
class CleanEnd {
 public:
  CleanEnd() noexcept;
  CleanEnd(const CleanEnd&) = delete;
  CleanEnd& operator=(const CleanEnd&) = delete;
  ~CleanEnd();
};

/// From any thread.
bool interrupted() noexcept;
/// Throws Interrupted if so.
void end_if_interrupted();

}  // namespace muster::cli
