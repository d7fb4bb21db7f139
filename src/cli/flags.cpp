#include "flags.hpp"

#include <cctype>
#include <string_view>
#include <utility>

namespace muster::cli {
namespace {

constexpr std::pair<std::string_view, std::string_view> flags[] = {
    {"LoaderOptions::batch_size", "--batch-size"},
    {"LoaderOptions::shuffle", "--shuffle"},
    {"LoaderOptions::seed", "--seed"},
    {"LoaderOptions::last_batch", "--last-batch"},
    {"LoaderOptions::on_error", "--on-error"},
    {"LoaderOptions::dtype", "--dtype"},
    {"LoaderOptions::layout", "--layout"},
    {"LoaderOptions::shard", "--shard"},
    {"LoaderOptions::limits", "--max-pixels"},
    {"DecodeLimits::max_pixels", "--max-pixels"},
    {"LoaderOptions::integrity", "--integrity"},
    {"LoaderOptions::exclude", "--exclude"},
    {"LoaderOptions::exactly_once", "--exactly-once"},
    {"LoaderOptions::error_budget", "--max-errors"},
    {"LoaderOptions::num_threads", "--threads"},
    {"LoaderOptions::prefetch", "--prefetch"},
    {"LoaderOptions::num_io_threads", "--io-threads"},
    {"DecodeOptions::color", "--color"},
    {"DecodeOptions::mode", "--decode"},
    {"DecodeOptions::apply_orientation", "--no-orientation"},
    {"CsvListOptions::allow_outside", "--allow-outside"},
    {"ImageFolderOptions::index", "--index"},
    {"TarOptions::keep_index", "--keep-index"},
    {"TarOptions::shuffle_buffer", "--shuffle-buffer"},
    {"TarOptions::max_expansion", "--max-expansion"},
    {"HttpOptions::stall_timeout_ms", "--stall-timeout"},
    {"HttpOptions::num_retries", "--retries"},
    {"stall_timeout_ms", "--stall-timeout"},
    {"with exactly_once", "with --exactly-once"},
};
/// Flags take the names of values as they are.
constexpr std::string_view enumerations[] = {"OnError::", "LastBatch::", "DType::", "Layout::", "Color::"};

bool is_letter(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

/// Puts `flag` where `option` stands as a word of its own; where `is_prefix`, as the beginning of one.
void replace(std::string& message, std::string_view option, std::string_view flag, bool is_prefix) {
  for (std::size_t at = message.find(option); at != std::string::npos; at = message.find(option, at)) {
    const std::size_t end = at + option.size();
    const bool begins = at == 0 || (!is_letter(message[at - 1]) && message[at - 1] != ':');
    const bool ends = is_prefix || end == message.size() || !is_letter(message[end]);
    if (begins && ends) message.replace(at, option.size(), flag);
    at += begins && ends ? flag.size() : option.size();
  }
}

/// Says of every option that is left that it has no flag.
void tell_without_flag(std::string& message) {
  constexpr std::string_view ending = "Options::";
  constexpr std::string_view note = " (in C++ only)";
  for (std::size_t at = message.find(ending); at != std::string::npos; at = message.find(ending, at)) {
    at += ending.size();
    while (at < message.size() && is_letter(message[at])) ++at;
    message.insert(at, note);
  }
}

}  // namespace

std::string with_flags(std::string message) {
  for (const auto& [option, flag] : flags) replace(message, option, flag, false);
  tell_without_flag(message);
  for (const std::string_view enumeration : enumerations) replace(message, enumeration, "", true);
  return message;
}

}  // namespace muster::cli
