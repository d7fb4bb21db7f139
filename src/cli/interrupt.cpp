#include "interrupt.hpp"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <string_view>
#include <thread>

#include <semaphore.h>
#include <unistd.h>

namespace muster::cli {
namespace {

std::atomic<int> received = 0;
std::atomic<int> num_clean_ends = 0;
static_assert(std::atomic<int>::is_always_lock_free, "a handler may use nothing else");
sem_t arrived;  // posted by the first signal: a handler may not request a stop itself

/// Requests the stop.
class Watcher {
 public:
  Watcher() {
    thread_ = std::jthread([this] {
      while (sem_wait(&arrived) != 0) continue;  // it was a handler that ran on this thread
      stop_.request_stop();
    });
  }
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;
  ~Watcher() { sem_post(&arrived); }  // the program ends: nobody listens

  std::stop_token token() const { return stop_.get_token(); }

 private:
  std::stop_source stop_;
  std::jthread thread_;
};

extern "C" void on_signal(int signal) {
  const int error = errno;
  constexpr std::string_view at_once = "\nmuster: interrupted\n";
  constexpr std::string_view soon = "\nmuster: interrupted: ending cleanly; a second time ends at once\n";
  const bool ends = num_clean_ends == 0 || received.exchange(signal) != 0;
  const std::string_view notice = ends ? at_once : soon;
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, notice.data(), notice.size());
  if (ends) {
    std::signal(signal, SIG_DFL);
    raise(signal);  // arrives when this returns
  } else {
    sem_post(&arrived);
  }
  errno = error;
}

}  // namespace

void watch_for_interrupts() {
  sem_init(&arrived, 0, 0);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
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

std::stop_token interrupt_token() {
  static const Watcher watcher;
  return watcher.token();
}

std::optional<Batch> next_batch(EpochRange& batches) {
  end_if_interrupted();
  std::optional<Batch> batch = batches.next(interrupt_token());
  if (!batch) end_if_interrupted();
  return batch;
}

void end_by(int signal) {
  std::signal(signal, SIG_DFL);
  raise(signal);
  _exit(128 + signal);
}

}  // namespace muster::cli
