#include "loader/runner.hpp"

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/info.h>
#include <oneapi/tbb/task_arena.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
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
      const std::lock_guard lock(mutex_);
      total_ -= num_threads;
    }
  }

 private:
  void change(int difference) {
    const std::lock_guard lock(mutex_);
    const int total = total_ + difference;
    std::unique_ptr<tbb::global_control> control;
    if (total > 0) {
      const auto limit = static_cast<std::size_t>(tbb::info::default_concurrency()) + static_cast<std::size_t>(total);
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
  static auto* const threads = new ProcessThreads;  // never destroyed: loaders in global variables go last
  return *threads;
}

/// oneTBB's own synchronisation is invisible to ThreadSanitizer (Debian's library is not instrumented), so the
/// handover from submit() to the worker is told to it.
void hand_over([[maybe_unused]] void* shared) {
#if defined(__SANITIZE_THREAD__)
  __tsan_release(shared);
#endif
}

void take_over([[maybe_unused]] void* shared) {
#if defined(__SANITIZE_THREAD__)
  __tsan_acquire(shared);
#endif
}

/// Counts what must end before somebody may go. Thread-safe.
class Pending {
 public:
  void add() {
    const std::lock_guard lock(mutex_);
    ++count_;
  }
  void remove() noexcept {
    const std::lock_guard lock(mutex_);
    --count_;
    ended_.notify_all();  // under the lock: who waits may destroy this next
  }
  void wait_for_none() {
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [&] { return count_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable ended_;
  std::int64_t count_ = 0;
};

/// What the tokens of one submit() share; the last one deletes it.
struct Tokens {
  Tokens(std::shared_ptr<TokenTask> task_in, std::int64_t count, Pending& pending_in)
      : task(std::move(task_in)), num_left(count), pending(pending_in) {
    pending.add();
  }
  Tokens(const Tokens&) = delete;
  Tokens& operator=(const Tokens&) = delete;
  ~Tokens() {
    task.reset();
    pending.remove();
  }

  void drop(std::int64_t count) noexcept {
    if (num_left.fetch_sub(count, std::memory_order_acq_rel) == count) delete this;
  }

  std::shared_ptr<TokenTask> task;
  std::atomic<std::int64_t> num_left;
  Pending& pending;
};

/// What oneTBB carries, in memory of its own: so reading the pointer precedes take_over().
struct TokenBody {
  Tokens* tokens;

#if defined(__SANITIZE_THREAD__)
  __attribute__((no_sanitize("thread"), noinline))
#endif
  void
  operator()() const {
    run(tokens);
  }

  static void run(Tokens* tokens) {
    take_over(tokens);
    // Isolated: a stage that uses oneTBB itself and waits is not given another row meanwhile.
    tbb::this_task_arena::isolate([tokens] { tokens->task->run_one(); });
    tokens->drop(1);
  }
};

}  // namespace

struct TaskRunner::Impl {
  explicit Impl(int count) : num_threads(count), arena(count, 0) { process_threads().add(count); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    pending.wait_for_none();  // what a stopped epoch left over does nothing, at once
    process_threads().remove(num_threads);
  }

  int num_threads;
  Pending pending;
  tbb::task_arena arena;
};

TaskRunner::TaskRunner(int num_threads) : impl_(std::make_unique<Impl>(num_threads)) {}

TaskRunner::~TaskRunner() = default;

int TaskRunner::num_threads() const noexcept { return impl_->num_threads; }

void TaskRunner::submit(std::shared_ptr<TokenTask> task, std::int64_t num_tokens) {
  if (num_tokens == 0) return;
  auto* const tokens = new Tokens(std::move(task), num_tokens, impl_->pending);
  hand_over(tokens);
  std::int64_t num_enqueued = 0;
  try {
    for (; num_enqueued < num_tokens; ++num_enqueued) impl_->arena.enqueue(TokenBody{tokens});
  } catch (...) {
    tokens->drop(num_tokens - num_enqueued);
    throw;
  }
}

int TaskRunner::default_num_threads() { return tbb::info::default_concurrency(); }

int TaskRunner::max_num_threads() { return std::max(256, default_num_threads()); }

}  // namespace muster
