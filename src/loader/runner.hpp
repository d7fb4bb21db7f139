// Runs tasks on oneTBB: the one place in muster that names it.
//
// A TaskRunner owns an arena of `num_threads` workers and really gets that many, also on fewer cores. oneTBB limits the
// workers of the whole process, and the lowest living tbb::global_control wins; so all runners together hold one
// control, raised above the process's default by the threads of all living runners. This is muster's one exception
// to "no global state"; it takes no worker from anybody else's arenas.
#pragma once

#include <cstdint>
#include <memory>

namespace muster {

/// Work that comes in equal pieces, one per submitted token.
class TokenTask {
 public:
  TokenTask() = default;
  TokenTask(const TokenTask&) = delete;
  TokenTask& operator=(const TokenTask&) = delete;
  virtual ~TokenTask() = default;

  /// Does one piece, or nothing when there is none left. Called on a worker, by several at once.
  virtual void run_one() noexcept = 0;
};

/// Who runs tokens, in any order. Thread-safe. Waits for all of them to have run before it goes; must not be destroyed
/// by one.
class Runner {
 public:
  Runner() = default;
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;
  virtual ~Runner() = default;

  virtual int num_threads() const noexcept = 0;
  /// Workers will call task->run_one() `num_tokens` times. Throws std::bad_alloc; some of the calls may come then.
  virtual void submit(std::shared_ptr<TokenTask> task, std::int64_t num_tokens) = 0;
};

/// The workers of every loader.
class TaskRunner final : public Runner {
 public:
  explicit TaskRunner(int num_threads);
  ~TaskRunner() override;

  int num_threads() const noexcept override;
  void submit(std::shared_ptr<TokenTask> task, std::int64_t num_tokens) override;

  /// One per core that this process may use.
  static int default_num_threads();
  /// More cannot be had from oneTBB without a warning on stderr.
  static int max_num_threads();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster
