#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "muster/stats.hpp"

namespace muster {
namespace {

/// What a thread was seen to do, by which it is named. One that did several of them is the last.
enum class Role : std::uint8_t { other, io, worker, consumer };

constexpr std::array<std::string_view, 4> role_names = {"thread", "io", "worker", "consumer"};

/// Workers read, too, where no io threads do.
Role role_of(std::string_view span) {
  if (span == "wait for batch" || span == "consume batch") return Role::consumer;
  if (span == name(WorkStep::read)) return Role::io;
  for (std::size_t i = 0; i < num_work_steps; ++i) {
    if (span == name(static_cast<WorkStep>(i))) return Role::worker;
  }
  return Role::other;
}

struct Thread {
  int number = 0;
  Role role = Role::other;
};

}  // namespace

struct ChromeTrace::Impl {
  explicit Impl(const std::filesystem::path& file_path) : path(file_path), file(std::fopen(file_path.c_str(), "wb")) {
    if (file == nullptr) fail(errno);
    put("{\"traceEvents\":[\n");
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    if (file != nullptr) std::fclose(file);
  }

  [[noreturn]] void fail(int error) const {
    throw SourceError("trace", "cannot be written: " + std::generic_category().message(error),
                      {.sample_id = {}, .path = path.string(), .stage = {}});
  }
  void put(std::string_view text) noexcept {
    if (std::fwrite(text.data(), 1, text.size(), file) != text.size()) keep(errno);
  }
  /// The first error is the one that tells: those that follow from it, and calls that succeed, say something else.
  void keep(int error) noexcept {
    if (first_error == 0) first_error = error == 0 ? EIO : error;
  }
  /// Puts what goes before an event.
  void begin_event() noexcept { put(std::exchange(is_first, false) ? "" : ",\n"); }
  /// This thread, which did `span`. Threads count from 1 in the order in which they are first seen.
  int number_of_thread(std::string_view span) {
    const auto number = static_cast<int>(threads.size()) + 1;
    Thread& thread = threads.try_emplace(std::this_thread::get_id(), Thread{.number = number}).first->second;
    thread.role = std::max(thread.role, role_of(span));
    return thread.number;
  }
  /// Workers and io threads count from 1, each for themselves; the consumer too, where several threads consumed.
  void put_names() {
    std::map<int, Role> roles;
    for (const auto& [id, thread] : threads) roles.emplace(thread.number, thread.role);
    std::array<int, role_names.size()> counts{};
    for (const auto& [number, role] : roles) {
      const auto k = static_cast<std::size_t>(role);
      ++counts[k];
      const bool alone = role == Role::consumer && counts[k] == 1;
      const std::string suffix = alone ? "" : fmt::format(" {}", counts[k]);
      begin_event();
      put(fmt::format("{{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":{},\"args\":{{\"name\":\"{}{}\"}}}}",
                      number, role_names[k], suffix));
    }
  }

  const std::filesystem::path path;
  const Span::Time start = std::chrono::steady_clock::now();
  std::mutex mutex;
  std::FILE* file;
  int first_error = 0;  // why something could not be written: told by finish()
  bool is_first = true;
  std::map<std::thread::id, Thread> threads;
};

ChromeTrace::ChromeTrace(const std::filesystem::path& path) : impl_(std::make_unique<Impl>(path)) {}

ChromeTrace::~ChromeTrace() {
  try {
    finish();
  } catch (...) {
    // A trace is for looking at; who needs to know calls finish().
  }
}

void ChromeTrace::add(const Span& span) noexcept {
  const std::lock_guard lock(impl_->mutex);
  if (impl_->file == nullptr) return;
  try {
    const auto microseconds = [](auto duration) { return std::chrono::duration<double, std::micro>(duration).count(); };
    const int thread = impl_->number_of_thread(span.name);
    const std::string event = fmt::format(
        "{{\"name\":\"{}\",\"ph\":\"X\",\"pid\":1,\"tid\":{},\"ts\":{:.3f},\"dur\":{:.3f},\"args\":{{\"epoch\":{},"
        "\"id\":{}}}}}",
        span.name, thread, microseconds(span.begin - impl_->start), microseconds(span.end - span.begin), span.epoch,
        span.id);
    impl_->begin_event();
    impl_->put(event);
  } catch (...) {
    impl_->keep(ENOMEM);
  }
}

void ChromeTrace::finish() {
  const std::lock_guard lock(impl_->mutex);
  if (impl_->file == nullptr) return;
  try {
    impl_->put_names();
  } catch (...) {
    impl_->keep(ENOMEM);
  }
  impl_->put("\n]}\n");
  if (std::fclose(std::exchange(impl_->file, nullptr)) != 0) impl_->keep(errno);
  if (impl_->first_error != 0) impl_->fail(impl_->first_error);
}

}  // namespace muster
