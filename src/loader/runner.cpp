#include "loader/runner.hpp"

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/info.h>
#include <oneapi/tbb/task_arena.h>

#include <algorithm>
#include <mutex>
#include <utility>

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace muster {
namespace {

/// The threads of all living runners, and the one control that makes room for them.
class ProcessThreads {
 public:
  void add(int num_threads) { change(num_threads); }
  void remove(int num_threads) noexcept {
    try {
      change(-num_threads);
    } catch (...) {
      // Too many workers stay allowed until the next change; nothing depends on it.
    }
  }

 private:
  void change(int difference) {
    const std::lock_guard lock(mutex_);
    const int total = total_ + difference;
    std::unique_ptr<tbb::global_control> control;
    if (total > 0) {
      const auto limit = static_cast<std::size_t>(tbb::info::default_concurrency() + total);
      control = std::make_unique<tbb::global_control>(tbb::global_control::max_allowed_parallelism, limit);
    }
    total_ = total;
    control_.swap(control);  // the old control goes after the new one stands
  }

  std::mutex mutex_;
  int total_ = 0;
  std::unique_ptr<tbb::global_control> control_;
};

ProcessThreads& process_threads() {
  static ProcessThreads threads;
  return threads;
}

/// oneTBB's own synchronisation is invisible to ThreadSanitizer (Debian's library is not instrumented), so the
/// handover from submit() to the worker is told to it.
void hand_over([[maybe_unused]] TokenTask* task) {
#if defined(__SANITIZE_THREAD__)
  __tsan_release(task);
#endif
}

void take_over([[maybe_unused]] TokenTask* task) {
#if defined(__SANITIZE_THREAD__)
  __tsan_acquire(task);
#endif
}

/// What oneTBB carries, in its own memory: a token costs no allocation of ours.
struct Token {
  std::shared_ptr<TokenTask> owner;
  TokenTask* task;

  // Reads `task` before take_over() has told ThreadSanitizer that it may.
#if defined(__SANITIZE_THREAD__)
  __attribute__((no_sanitize("thread"), noinline))
#endif
  void
  operator()() const {
    run(task);
  }

  static void run(TokenTask* task) {
    take_over(task);
    // Isolated: a stage that uses oneTBB itself and waits is not given another row meanwhile.
    tbb::this_task_arena::isolate([task] { task->run_one(); });
  }
};

}  // namespace

struct TaskRunner::Impl {
  explicit Impl(int count) : num_threads(count), arena(count, 0) { process_threads().add(count); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { process_threads().remove(num_threads); }

  int num_threads;
  tbb::task_arena arena;
};

TaskRunner::TaskRunner(int num_threads) : impl_(std::make_unique<Impl>(num_threads)) {}

TaskRunner::~TaskRunner() = default;

int TaskRunner::num_threads() const noexcept { return impl_->num_threads; }

void TaskRunner::submit(std::shared_ptr<TokenTask> task) {
  TokenTask* const raw = task.get();
  hand_over(raw);
  impl_->arena.enqueue(Token{std::move(task), raw});
}

int TaskRunner::default_num_threads() { return tbb::info::default_concurrency(); }

int TaskRunner::max_num_threads() { return std::max(256, default_num_threads()); }

}  // namespace muster
