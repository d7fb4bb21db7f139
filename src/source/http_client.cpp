#include "source/http_client.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>

#include "source/http_transfer.hpp"
#include "source/option_range.hpp"
#include "source/stop.hpp"

namespace muster {
namespace {

/// Ends a transfer that another try would not mend. Whoever runs it adds the URL.
[[noreturn]] void refuse(const std::string& message) { throw FinalFailure{message}; }

std::string status_text(long status) {
  constexpr std::array<std::pair<long, std::string_view>, 13> names = {{{400, "Bad Request"},
                                                                        {401, "Unauthorized"},
                                                                        {403, "Forbidden"},
                                                                        {404, "Not Found"},
                                                                        {408, "Request Timeout"},
                                                                        {410, "Gone"},
                                                                        {412, "Precondition Failed"},
                                                                        {416, "Range Not Satisfiable"},
                                                                        {429, "Too Many Requests"},
                                                                        {500, "Internal Server Error"},
                                                                        {502, "Bad Gateway"},
                                                                        {503, "Service Unavailable"},
                                                                        {504, "Gateway Timeout"}}};
  const auto* const name = std::find_if(names.begin(), names.end(), [&](const auto& n) { return n.first == status; });
  return name == names.end() ? fmt::format("status {}", status) : fmt::format("{} {}", status, name->second);
}

std::string_view advice_for(long status) {
  if (status == 401) return "; give the URL a user and password, or make the data public";
  if (status == 403) return "; the server lets no one read this, or not without credentials";
  if (status == 404 || status == 410) return "; check the URL";
  return "";
}

bool may_pass(long status) {
  return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

[[noreturn]] void refuse_status(const Head& head) {
  const long status = head.status();
  if (may_pass(status)) {
    throw PassingFailure{.message = status_text(status),
                         .advice =
                             "the server may need more time: raise HttpOptions::num_retries or max_backoff_ms, or "
                             "read with fewer threads",
                         .retry_after_s = head.retry_after_s()};
  }
  refuse(fmt::format("{}{}", status_text(status), advice_for(status)));
}

std::string describe(const ResourceInfo& info) {
  return info.validator.empty() ? fmt::format("{} bytes", info.num_bytes)
                                : fmt::format("{} bytes, {}", info.num_bytes, info.validator);
}

}  // namespace

int backoff_ms(const HttpOptions& options, int num_failures, std::int64_t retry_after_s) noexcept {
  const std::int64_t max_ms = options.max_backoff_ms;
  std::int64_t wait_ms = std::min<std::int64_t>(options.backoff_ms, max_ms);
  for (int i = 1; i < num_failures && wait_ms > 0 && wait_ms < max_ms; ++i) wait_ms = std::min(2 * wait_ms, max_ms);
  const std::int64_t asked_ms = std::min(retry_after_s, max_ms / 1000 + 1) * 1000;
  return static_cast<int>(std::max(wait_ms, std::min(asked_ms, max_ms)));
}

struct HttpClient::Impl {
  /// A transfer that is ours until the end of the scope.
  class Lease {
   public:
    Lease(Impl& owner, const std::stop_token& stop) : owner_(owner) {
      std::unique_lock lock(owner.mutex);
      const bool is_mine = owner.returned.wait(
          lock, stop, [&] { return !owner.idle.empty() || owner.num_transfers < owner.options.max_transfers; });
      if (!is_mine) fail_stopped();
      if (owner.idle.empty()) {
        owner.idle.reserve(static_cast<std::size_t>(owner.num_transfers) + 1);  // so that giving back cannot throw
        transfer_ = std::make_unique<Transfer>();
        ++owner.num_transfers;
      } else {
        transfer_ = std::move(owner.idle.back());  // the last used: its connection is the most alive
        owner.idle.pop_back();
      }
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease() {
      {
        const std::lock_guard lock(owner_.mutex);
        owner_.idle.push_back(std::move(transfer_));
      }
      owner_.returned.notify_one();
    }

    Transfer* operator->() const noexcept { return transfer_.get(); }

   private:
    Impl& owner_;
    std::unique_ptr<Transfer> transfer_;
  };

  explicit Impl(HttpOptions http) : options(http) {}

  /// Tries until `request` is through, patience is at its end, or `stop` is requested. The lease is kept while waiting,
  /// too: a read that holds bytes in flight must not wait for a connection held by one that waits for bytes.
  void run(const Request& request, const std::stop_token& stop) {
    const std::string shown = without_credentials(request.url);
    const Lease transfer(*this, stop);
    expect_no_stop(stop);
    for (int num_failures = 1;; ++num_failures) {
      try {
        return transfer->run(request, options, stop);
      } catch (const PassingFailure& failure) {
        if (num_failures > options.num_retries) {
          throw SourceError("http",
                            fmt::format("GET {} failed {}: {}; {}", shown,
                                        num_failures == 1 ? std::string("once") : fmt::format("{} times", num_failures),
                                        failure.message, failure.advice));
        }
        wait(backoff_ms(options, num_failures, failure.retry_after_s), stop);
      } catch (const FinalFailure& failure) {
        throw SourceError("http", fmt::format("GET {} failed: {}", shown, failure.message));
      }
    }
  }

  static void wait(int duration_ms, const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any nothing;
    std::unique_lock lock(mutex);
    nothing.wait_for(lock, stop, std::chrono::milliseconds(duration_ms), [] { return false; });
    expect_no_stop(stop);
  }

  HttpOptions options;
  std::mutex mutex;
  std::condition_variable_any returned;
  std::vector<std::unique_ptr<Transfer>> idle;
  int num_transfers = 0;  // idle and leased
};

HttpClient::HttpClient(HttpOptions options) {
  const auto expect = [](std::string_view option, int value, int min) { expect_at_least("http", option, value, min); };
  expect("HttpOptions::connect_timeout_ms", options.connect_timeout_ms, 1);
  expect("HttpOptions::stall_timeout_ms", options.stall_timeout_ms, 1);
  expect("HttpOptions::min_bytes_per_s", options.min_bytes_per_s, 0);
  expect("HttpOptions::num_retries", options.num_retries, 0);
  expect("HttpOptions::backoff_ms", options.backoff_ms, 0);
  expect("HttpOptions::max_backoff_ms", options.max_backoff_ms, 0);
  expect("HttpOptions::max_redirects", options.max_redirects, 0);
  expect("HttpOptions::max_transfers", options.max_transfers, 1);
  impl_ = std::make_unique<Impl>(options);
}

HttpClient::~HttpClient() = default;

void HttpClient::get(const std::string& url, std::vector<std::uint8_t>& bytes, std::uint64_t max_bytes,
                     const std::stop_token& stop, Sample* sample) const {
  const auto refuse_length = [&](std::string_view received) {
    refuse(fmt::format("expected at most {} bytes, received {}", max_bytes, received));
  };
  std::optional<std::uint64_t> announced;
  impl_->run({.url = url,
              .range = {},
              .accept =
                  [&](const Head& head) {
                    bytes.clear();  // of an earlier try
                    if (head.status() != 200) refuse_status(head);
                    const std::optional<std::uint64_t> length = head.length();
                    if (length && *length > max_bytes) refuse_length(std::to_string(*length));
                    if (length && sample != nullptr && length != announced) {
                      if (announced) bytes.shrink_to_fit();  // must not wait with memory in hand
                      sample->expect_bytes(*length);
                      announced = length;
                    }
                    constexpr std::uint64_t max_trusted = std::uint64_t{256} << 20;
                    if (length) bytes.reserve(static_cast<std::size_t>(std::min(*length, max_trusted)));
                    return true;
                  },
              .take =
                  [&](std::span<const std::uint8_t> part) {
                    if (part.size() > max_bytes - bytes.size()) refuse_length("more");
                    bytes.insert(bytes.end(), part.begin(), part.end());
                  }},
             stop);
}

void HttpClient::get_range(const std::string& url, std::uint64_t offset, std::span<std::uint8_t> into,
                           const ResourceInfo& info, const std::stop_token& stop) const {
  const std::uint64_t last = offset + into.size() - 1;
  std::size_t num_bytes = 0;
  const auto expect_unchanged = [&](const ResourceInfo& now) {
    if (now.num_bytes != info.num_bytes || now.validator != info.validator) {
      refuse(fmt::format("it changed while it was in use: expected {}, received {}; construct the source again",
                         describe(info), describe(now)));
    }
  };
  const Request request{
      .url = url,
      .range = fmt::format("{}-{}", offset, last),
      .accept =
          [&](const Head& head) {
            num_bytes = 0;
            const std::optional<ContentRange> range = head.range();
            const auto total = [&] { return range && range->total ? *range->total : info.num_bytes; };
            if (head.status() == 416 && total() != info.num_bytes) {
              expect_unchanged({.num_bytes = total(), .validator = head.validator(), .has_ranges = true});
            }
            if (head.status() == 200) {
              expect_unchanged({.num_bytes = head.length().value_or(info.num_bytes),
                                .validator = head.validator(),
                                .has_ranges = false});
              refuse("the server answered a range request with the whole; tar shards need one with range requests");
            }
            if (head.status() != 206) refuse_status(head);
            expect_unchanged({.num_bytes = total(), .validator = head.validator(), .has_ranges = true});
            if (!range || range->first != offset || range->last != last) {
              refuse(fmt::format("expected bytes {}-{}, received \"{}\"", offset, last, head.field("Content-Range")));
            }
            return true;
          },
      .take =
          [&](std::span<const std::uint8_t> part) {
            if (part.size() > into.size() - num_bytes) {
              refuse(fmt::format("expected {} bytes, received more", into.size()));
            }
            std::copy(part.begin(), part.end(), into.begin() + static_cast<std::ptrdiff_t>(num_bytes));
            num_bytes += part.size();
          },
      .finish =
          [&] {
            if (num_bytes == into.size()) return;
            throw PassingFailure{
                .message = fmt::format("the answer ended after {} of {} bytes", num_bytes, into.size()),
                .advice = "raise HttpOptions::num_retries if the server recovers"};
          }};
  impl_->run(request, stop);
}

ResourceInfo HttpClient::info(const std::string& url, const std::stop_token& stop) const {
  ResourceInfo info;
  impl_->run({.url = url,
              .range = "0-0",
              .accept =
                  [&](const Head& head) {
                    const std::optional<ContentRange> range = head.range();
                    const bool is_empty = head.status() == 416 && range && range->total == 0;
                    if (head.status() != 200 && head.status() != 206 && !is_empty) refuse_status(head);
                    info = {.num_bytes = head.length().value_or(0),
                            .validator = head.validator(),
                            .has_ranges = head.status() != 200};
                    if (info.has_ranges) {
                      if (!range || !range->total) {
                        refuse(fmt::format("expected a range of a known length, received \"{}\"",
                                           head.field("Content-Range")));
                      }
                      info.num_bytes = *range->total;
                    }
                    return false;
                  },
              .take = {}},
             stop);
  return info;
}

}  // namespace muster
