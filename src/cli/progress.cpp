#include "progress.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

#include <sys/ioctl.h>
#include <unistd.h>

#include <fmt/format.h>

namespace muster::cli {
namespace {

constexpr std::chrono::milliseconds redraw_interval{100};
constexpr const char* erase_line = "\r\x1b[K";

std::size_t terminal_columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

Progress::Progress(std::string label, std::uint64_t num_images)
    : label_(std::move(label)), num_images_(num_images), visible_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (visible_ && drawn_ != Clock::time_point{}) std::fputs(erase_line, stderr);
}

void Progress::advance(std::uint64_t num_images, std::uint64_t num_errors) {
  if (!visible_) return;
  const std::lock_guard lock(mutex_);
  num_done_ += num_images;
  num_errors_ += num_errors;
  const Clock::time_point now = Clock::now();
  if (now - drawn_ >= redraw_interval) draw(now);
}

void Progress::draw(Clock::time_point now) {
  drawn_ = now;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double rate = seconds > 0 ? static_cast<double>(num_done_) / seconds : 0;
  const double share =
      num_images_ > 0 ? std::min(1.0, static_cast<double>(num_done_) / static_cast<double>(num_images_)) : 0;
  const auto left = static_cast<std::int64_t>(share > 0 ? seconds / share - seconds + 0.5 : 0);

  constexpr std::size_t bar_width = 24;
  const auto filled = static_cast<std::size_t>(share * bar_width);
  std::string line = fmt::format("{}  [{:-<{}}]  {:3.0f} %  {:6.0f} images/s  {:2}:{:02} left", label_,
                                 std::string(filled, '#'), bar_width, 100 * share, rate, left / 60, left % 60);
  if (num_errors_ > 0) line += fmt::format("  {} errors", num_errors_);
  line.resize(std::min(line.size(), terminal_columns() - 1));
  std::fputs((erase_line + line).c_str(), stderr);
  std::fflush(stderr);
}

}  // namespace muster::cli
