#include "interrupt.hpp"

#include <atomic>
#include <csignal>
#include <mutex>
#include <string_view>
#include <system_error>
#include <thread>

#include <poll.h>
#include <unistd.h>

namespace muster::cli {
namespace {

std::atomic<int> received = 0;  // 0: none so far. Only watch() sets it
std::mutex ends_mutex;          // guards what follows; who ends the program at once keeps it
int num_clean_ends = 0;

std::stop_source& stop() {
  static auto* const source = new std::stop_source;  // never destroyed: the watching thread runs until the program ends
  return *source;
}

/// Unless standard error takes nothing now, or nobody reads it any more: whoever watches should not wait.
void tell_if_possible(std::string_view notice) {
  pollfd screen{STDERR_FILENO, POLLOUT, 0};
  if (poll(&screen, 1, 0) != 1 || screen.revents != POLLOUT) return;
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, notice.data(), notice.size());
}

sigset_t set_of(int signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  return set;
}

[[noreturn]] void watch(const sigset_t& signals) {
  const sigset_t broken_pipe = set_of(SIGPIPE);  // from a notice to somebody who left just now
  pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
  for (;;) {
    int signal = 0;
    if (sigwait(&signals, &signal) != 0) continue;
    std::unique_lock lock(ends_mutex);
    if (num_clean_ends == 0 || received != 0) {
      tell_if_possible("\nmuster: interrupted\n");
      end_by(signal);
    }
    lock.unlock();
    tell_if_possible("\nmuster: interrupted: ending cleanly; a second time ends at once\n");
    received = signal;  // behind the notice: the program may end right here
    stop().request_stop();
  }
}

}  // namespace

void watch_for_interrupts() {
  sigset_t watched;
  sigemptyset(&watched);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction action {};
    if (sigaction(signal, nullptr, &action) != 0 || action.sa_handler != SIG_IGN) sigaddset(&watched, signal);
  }
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, &watched, &before);
  try {
    std::thread([watched] { watch(watched); }).detach();
  } catch (const std::system_error&) {  // no thread to be had: then a signal ends the program at once
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
}

CleanEnd::CleanEnd() noexcept {
  const std::lock_guard lock(ends_mutex);
  ++num_clean_ends;
}

CleanEnd::~CleanEnd() {
  const std::lock_guard lock(ends_mutex);
  --num_clean_ends;
}

bool interrupted() noexcept { return received != 0; }

void end_if_interrupted() {
  if (interrupted()) throw Interrupted(received);
}

std::stop_token interrupt_token() { return stop().get_token(); }

std::optional<Batch> next_batch(EpochRange& batches) {
  end_if_interrupted();
  std::optional<Batch> batch = batches.next(interrupt_token());
  if (!batch) end_if_interrupted();
  return batch;
}

void end_by(int signal) {
  std::signal(signal, SIG_DFL);
  const sigset_t own = set_of(signal);
  pthread_sigmask(SIG_UNBLOCK, &own, nullptr);
  raise(signal);
  _exit(128 + signal);
}

}  // namespace muster::cli
