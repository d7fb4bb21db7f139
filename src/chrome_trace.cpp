#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>

#include "muster/stats.hpp"

namespace muster {

struct ChromeTrace::Impl {
  explicit Impl(const std::filesystem::path& file_path) : path(file_path), file(std::fopen(file_path.c_str(), "wb")) {
    if (file == nullptr) fail();
    put("{\"traceEvents\":[\n");
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    if (file != nullptr) std::fclose(file);
  }

  [[noreturn]] void fail() const {
    throw SourceError("trace", "cannot be written: " + std::generic_category().message(errno),
                      {.sample_id = {}, .path = path.string(), .stage = {}});
  }
  void put(std::string_view text) noexcept {
    if (std::fwrite(text.data(), 1, text.size(), file) != text.size()) failed = true;
  }
  /// Threads count from 1 in the order in which they are first seen.
  int number_of(std::thread::id thread) {
    return threads.try_emplace(thread, static_cast<int>(threads.size()) + 1).first->second;
  }

  const std::filesystem::path path;
  const Span::Time start = std::chrono::steady_clock::now();
  std::mutex mutex;
  std::FILE* file;
  bool failed = false;  // something could not be written: told by finish()
  bool is_first = true;
  std::map<std::thread::id, int> threads;
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
    impl_->put(
        fmt::format("{}{{\"name\":\"{}\",\"ph\":\"X\",\"pid\":1,\"tid\":{},\"ts\":{:.3f},\"dur\":{:.3f},"
                    "\"args\":{{\"epoch\":{},\"id\":{}}}}}",
                    impl_->is_first ? "" : ",\n", span.name, impl_->number_of(std::this_thread::get_id()),
                    microseconds(span.begin - impl_->start), microseconds(span.end - span.begin), span.epoch, span.id));
    impl_->is_first = false;
  } catch (...) {
    impl_->failed = true;
  }
}

void ChromeTrace::finish() {
  const std::lock_guard lock(impl_->mutex);
  if (impl_->file == nullptr) return;
  impl_->put("\n]}\n");
  const bool closed = std::fclose(std::exchange(impl_->file, nullptr)) == 0;
  if (!closed || impl_->failed) impl_->fail();
}

}  // namespace muster
