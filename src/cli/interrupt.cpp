#include "interrupt.hpp"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <string_view>

#include <unistd.h>

namespace muster::cli {
namespace {

std::atomic<int> received = 0;
std::atomic<int> num_clean_ends = 0;
static_assert(std::atomic<int>::is_always_lock_free, "a handler may use nothing else");

extern "C" void on_signal(int signal) {
  const int error = errno;
  constexpr std::string_view at_once = "\nmuster: interrupted\n";
  constexpr std::string_view soon = "\nmuster: interrupted: ending cleanly; a second time ends at once\n";
  const bool ends = num_clean_ends == 0 || received.exchange(signal) != 0;
  const std::string_view notice = ends ? at_once : soon;
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, notice.data(), notice.size());
  if (ends) _exit(128 + signal);
  errno = error;
}

}  // namespace

void watch_for_interrupts() {
  for (const int signal : {SIGINT, SIGTERM}) {
    struct sigaction action {};
    if (sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN) continue;
    action = {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigaction(signal, &action, nullptr);
  }
}

CleanEnd::CleanEnd() noexcept { ++num_clean_ends; }
CleanEnd::~CleanEnd() { --num_clean_ends; }

bool interrupted() noexcept { return received != 0; }

void end_if_interrupted() {
  if (interrupted()) throw Interrupted(received);
}

}  // namespace muster::cli
