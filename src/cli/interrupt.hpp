// Ctrl-C, a terminal that is closed, and the signal by which a scheduler ends a program: files whole, no temporary
// left, and the end that the signal stands for.
#pragma once

#include <exception>
#include <optional>
#include <stop_token>

#include "muster/loader.hpp"

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

/// From here on SIGINT, SIGTERM and SIGHUP end the program: at once where there is nothing to clean, and for whoever
/// asks a second time. One that was ignored from the start stays ignored; one that was blocked is heeded. To be called
/// before there are other threads: all threads block these signals, and one waits for them. No handler interrupts
/// anything.
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
/// Asked to stop soon after a signal: for what waits. To be used while a CleanEnd lives.
std::stop_token interrupt_token();
/// The next batch, if there is one. Throws Interrupted: a signal ends the wait for it, too.
std::optional<Batch> next_batch(EpochRange& batches);
/// Ends the program by the signal, as if it had never been caught: only so a shell ends the loop that it runs in.
[[noreturn]] void end_by(int signal);

}  // namespace muster::cli
