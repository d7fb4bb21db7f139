#include "source/http_client.hpp"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <new>
#include <optional>
#include <string_view>
#include <utility>

#include "muster/version.hpp"
#include "source/http_fields.hpp"
#include "source/option_range.hpp"
#include "source/url.hpp"

namespace muster {
namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(const std::string& message) { throw SourceError("http", message); }
[[noreturn]] void fail_stopped() { throw SourceError("read", "stopped"); }

/// A failure that may pass: the next try may succeed.
struct PassingFailure {
  std::string message;  // what happened
  std::string advice;   // what to do if it does not pass
  std::int64_t retry_after_s = 0;
};

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

bool may_pass(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
      return true;
    default:
      return false;
  }
}

/// The head of a response: what is known before its body.
class Head {
 public:
  explicit Head(CURL* easy) : easy_(easy) {}

  long status() const {
    long status = 0;
    curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
    return status;
  }

  std::string_view field(const char* name) const {
    curl_header* header = nullptr;
    return curl_easy_header(easy_, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK ? header->value
                                                                                    : std::string_view();
  }

  /// Without a length the body ends where the server says so, as it goes.
  std::optional<std::uint64_t> length() const {
    return field("Transfer-Encoding").empty() ? parse_number(field("Content-Length")) : std::nullopt;
  }

  std::optional<ContentRange> range() const { return ContentRange::parse(field("Content-Range")); }

  std::string validator() const {
    const std::string_view tag = field("ETag");
    return std::string(tag.empty() ? field("Last-Modified") : tag);
  }

  std::int64_t retry_after_s() const {
    curl_off_t seconds = 0;
    curl_easy_getinfo(easy_, CURLINFO_RETRY_AFTER, &seconds);
    return seconds;
  }

  /// libcurl goes on to what this one points to.
  bool is_followed() const { return status() / 100 == 3 && !field("Location").empty(); }

 private:
  CURL* easy_;
};

/// A request, and who takes the answer. What the functions throw ends the transfer, and comes out of it.
struct Request {
  const std::string& url;
  std::string range;  // "0-99", or empty
  /// Looks at a response before its body. Returns false if the body is of no interest.
  std::function<bool(const Head&)> accept;
  std::function<void(std::span<const std::uint8_t>)> take;
  std::function<void()> finish = [] {};
};

/// Whether bytes keep coming: any within each period, and enough of them on average over each.
class Patience {
 public:
  explicit Patience(const HttpOptions& options)
      : period_(options.stall_timeout_ms),
        min_bytes_(std::uint64_t{1} * static_cast<unsigned>(options.min_bytes_per_s) *
                   static_cast<unsigned>(options.stall_timeout_ms) / 1000) {
    begin();
  }

  /// The first of what follows is awaited from now on.
  void begin() noexcept {
    last_byte_ = period_begin_ = Clock::now();
    num_bytes_ = 0;
  }
  void take(std::size_t num_bytes) noexcept {
    last_byte_ = Clock::now();
    num_bytes_ += num_bytes;
  }

  /// How long it still lasts, if no more bytes come. Nothing once it is at its end.
  std::optional<std::chrono::milliseconds> left() noexcept {
    const auto now = Clock::now();
    if (is_idle(now)) return std::nullopt;
    if (now - period_begin_ >= period_) {
      if (num_bytes_ < min_bytes_) return std::nullopt;
      period_begin_ = now;
      num_bytes_ = 0;
    }
    return std::chrono::ceil<std::chrono::milliseconds>(period_ - (now - std::min(last_byte_, period_begin_)));
  }

  PassingFailure failure(const HttpOptions& options) const {
    if (is_idle(Clock::now())) {
      return {.message = fmt::format("no byte came for {} ms", options.stall_timeout_ms),
              .advice = "raise HttpOptions::stall_timeout_ms if the server is only slow"};
    }
    return {.message = fmt::format("fewer than {} bytes a second came for {} ms", options.min_bytes_per_s,
                                   options.stall_timeout_ms),
            .advice = "lower HttpOptions::min_bytes_per_s, or raise stall_timeout_ms, if the server is only slow"};
  }

 private:
  bool is_idle(Clock::time_point now) const noexcept { return now - last_byte_ >= period_; }

  std::chrono::milliseconds period_;
  std::uint64_t min_bytes_;
  Clock::time_point last_byte_;
  Clock::time_point period_begin_;
  std::uint64_t num_bytes_ = 0;
};

/// One transfer at a time, and the connections it leaves open. Not thread-safe.
class Transfer {
 public:
  Transfer() : easy_(curl_easy_init()), multi_(curl_multi_init()) {
    if (easy_ == nullptr || multi_ == nullptr) throw std::bad_alloc();
    // One connection to the server, and a few to those it redirects to.
    curl_multi_setopt(multi_.get(), CURLMOPT_MAXCONNECTS, 4L);
  }

  /// One try. Throws PassingFailure, SourceError, and what `request` throws.
  void run(const Request& request, const HttpOptions& options, const std::stop_token& stop) {
    request_ = &request;
    judged_ = accepted_ = is_connected_ = has_body_ = false;
    num_head_bytes_ = 0;
    error_ = nullptr;
    configure(request, options);
    const CURLcode code = perform(options, stop);
    if (error_) std::rethrow_exception(error_);
    if (judged_ && !accepted_) return;  // its body, which nobody wants, may have been cut off
    if (code != CURLE_OK) fail_with(code, options);
    request.finish();
  }

 private:
  void configure(const Request& request, const HttpOptions& options) {
    CURL* const easy = easy_.get();
    curl_easy_reset(easy);  // keeps the connections; forgets the credentials of the last URL
    message_[0] = '\0';
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, message_.data());
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, static_cast<long>(options.max_redirects));
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    curl_easy_setopt(easy, CURLOPT_USERAGENT, user_agent_.c_str());
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout_ms));
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, this);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, this);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, this);
    if (!request.range.empty()) curl_easy_setopt(easy, CURLOPT_RANGE, request.range.c_str());
    if (curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str()) != CURLE_OK) throw std::bad_alloc();
  }

  CURLcode perform(const HttpOptions& options, const std::stop_token& stop) {
    CURLM* const multi = multi_.get();
    if (curl_multi_add_handle(multi, easy_.get()) != CURLM_OK) throw std::bad_alloc();
    // Whatever is under way when it is removed is cut off.
    const auto remove = [this](CURLM* m) { curl_multi_remove_handle(m, easy_.get()); };
    const std::unique_ptr<CURLM, decltype(remove)> added(multi, remove);
    const std::stop_callback wake(stop, [multi] { curl_multi_wakeup(multi); });
    patience_ = Patience(options);
    while (true) {
      int num_running = 0;
      const CURLMcode status = curl_multi_perform(multi, &num_running);
      if (stop.stop_requested()) fail_stopped();
      if (status != CURLM_OK) fail(curl_multi_strerror(status));
      if (num_running == 0) break;
      if (!is_connected_) patience_.begin();  // until then libcurl's own timeout counts
      const std::optional<std::chrono::milliseconds> wait = patience_.left();
      if (!wait && judged_ && !accepted_) return CURLE_OK;
      if (!wait) throw patience_.failure(options);
      curl_multi_poll(multi, nullptr, 0, static_cast<int>(wait->count()), nullptr);
    }
    int num_left = 0;
    const CURLMsg* const done = curl_multi_info_read(multi, &num_left);
    return done == nullptr ? CURLE_FAILED_INIT : done->data.result;
  }

  [[noreturn]] void fail_with(CURLcode code, const HttpOptions& options) const {
    std::string message = message_[0] != '\0' ? message_.data() : curl_easy_strerror(code);
    if (may_pass(code)) {
      throw PassingFailure{.message = std::move(message),
                           .advice = is_connected_
                                         ? "raise HttpOptions::num_retries if the server recovers"
                                         : fmt::format("check that the server runs and can be reached, or raise "
                                                       "HttpOptions::connect_timeout_ms ({})",
                                                       options.connect_timeout_ms)};
    }
    if (code == CURLE_TOO_MANY_REDIRECTS) {
      fail(fmt::format("more than {} redirects; if they end, raise HttpOptions::max_redirects", options.max_redirects));
    }
    if (code == CURLE_UNSUPPORTED_PROTOCOL) message += "; only http and https are followed";
    if (code == CURLE_PEER_FAILED_VERIFICATION) message += "; only certificates that this system trusts are accepted";
    fail(message);
  }

  /// Runs what may throw; an exception must not cross libcurl's frames.
  template <class Call>
  bool guarded(Call call) noexcept {
    try {
      call();
      return true;
    } catch (...) {
      error_ = std::current_exception();
      return false;
    }
  }

  static int on_connected(void* self, char*, char*, int, int) {
    static_cast<Transfer*>(self)->is_connected_ = true;
    static_cast<Transfer*>(self)->patience_.begin();
    return CURL_PREREQFUNC_OK;
  }

  static std::size_t on_header(char* data, std::size_t, std::size_t num_bytes, void* self) {
    return static_cast<Transfer*>(self)->take_header({data, num_bytes}) ? num_bytes : 0;
  }

  static std::size_t on_body(char* data, std::size_t, std::size_t num_bytes, void* self) {
    const std::span bytes(reinterpret_cast<const std::uint8_t*>(data), num_bytes);
    return static_cast<Transfer*>(self)->take_body(bytes) ? num_bytes : 0;
  }

  bool take_header(std::string_view line) noexcept {
    // Every answer has time to begin; interim ones (100 Continue), of which there may be any number, have none.
    if (line.starts_with("HTTP/") && line.substr(line.find(' ') + 1).find('1') != 0) patience_.begin();
    patience_.take(line.size());
    num_head_bytes_ += line.size();
    if (num_head_bytes_ > max_head_bytes) {
      return guarded([] { fail(fmt::format("expected at most {} bytes before the content", max_head_bytes)); });
    }
    const Head head(easy_.get());
    if (judged_ || (line != "\r\n" && line != "\n") || head.status() < 200 || head.is_followed()) return true;
    judged_ = true;
    const bool went_well = guarded([&] { accepted_ = request_->accept(head); });
    patience_.begin();  // accepting may wait
    // What nobody wants is read to its end only where that is near, which saves the connection.
    constexpr std::uint64_t max_ignored = 16384;
    return (went_well && accepted_) || head.length().value_or(max_ignored + 1) <= max_ignored;
  }

  bool take_body(std::span<const std::uint8_t> bytes) noexcept {
    if (!std::exchange(has_body_, true)) patience_.begin();
    patience_.take(bytes.size());
    return !accepted_ || guarded([&] { request_->take(bytes); });
  }

  /// Of all responses of a try, redirects included.
  static constexpr std::size_t max_head_bytes = std::size_t{1} << 20;

  struct Cleanup {
    void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
  };
  struct MultiCleanup {
    void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
  };

  std::string user_agent_ = "muster/" + std::string(version);
  std::unique_ptr<CURL, Cleanup> easy_;
  std::unique_ptr<CURLM, MultiCleanup> multi_;
  std::array<char, CURL_ERROR_SIZE> message_;
  // Of the try under way.
  const Request* request_ = nullptr;
  Patience patience_{HttpOptions()};
  std::exception_ptr error_;
  std::size_t num_head_bytes_ = 0;
  bool is_connected_ = false;
  bool judged_ = false;
  bool accepted_ = false;
  bool has_body_ = false;
};

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
    if (stop.stop_requested()) fail_stopped();
    for (int num_failures = 1;; ++num_failures) {
      try {
        return transfer->run(request, options, stop);
      } catch (const PassingFailure& failure) {
        if (num_failures > options.num_retries) {
          fail(fmt::format("GET {} failed {}: {}; {}", shown,
                           num_failures == 1 ? std::string("once") : fmt::format("{} times", num_failures),
                           failure.message, failure.advice));
        }
        wait(backoff_ms(options, num_failures, failure.retry_after_s), stop);
      } catch (const SourceError& error) {
        if (error.operation() != "http") throw;
        fail(fmt::format("GET {} failed: {}", shown, error.message()));
      }
    }
  }

  static void wait(int duration_ms, const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any nothing;
    std::unique_lock lock(mutex);
    nothing.wait_for(lock, stop, std::chrono::milliseconds(duration_ms), [] { return false; });
    if (stop.stop_requested()) fail_stopped();
  }

  HttpOptions options;
  std::mutex mutex;
  std::condition_variable_any returned;
  std::vector<std::unique_ptr<Transfer>> idle;
  int num_transfers = 0;  // idle and leased
};

namespace {

[[noreturn]] void refuse_status(const Head& head) {
  const long status = head.status();
  if (may_pass(status)) {
    throw PassingFailure{.message = status_text(status),
                         .advice =
                             "the server may need more time: raise HttpOptions::num_retries or max_backoff_ms, or "
                             "read with fewer threads",
                         .retry_after_s = head.retry_after_s()};
  }
  fail(fmt::format("{}{}", status_text(status), advice_for(status)));
}

std::string describe(const ResourceInfo& info) {
  return info.validator.empty() ? fmt::format("{} bytes", info.num_bytes)
                                : fmt::format("{} bytes, {}", info.num_bytes, info.validator);
}

}  // namespace

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
  static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (initialised != CURLE_OK) fail(curl_easy_strerror(initialised));
  impl_ = std::make_unique<Impl>(options);
}

HttpClient::~HttpClient() = default;

void HttpClient::get(const std::string& url, std::vector<std::uint8_t>& bytes, std::uint64_t max_bytes,
                     const std::stop_token& stop, Sample* sample) const {
  const auto refuse_length = [&](std::string_view received) {
    fail(fmt::format("expected at most {} bytes, received {}", max_bytes, received));
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
      fail(fmt::format("it changed while it was in use: expected {}, received {}; construct the source again",
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
              fail("the server answered a range request with the whole; tar shards need one with range requests");
            }
            if (head.status() != 206) refuse_status(head);
            expect_unchanged({.num_bytes = total(), .validator = head.validator(), .has_ranges = true});
            if (!range || range->first != offset || range->last != last) {
              fail(fmt::format("expected bytes {}-{}, received \"{}\"", offset, last, head.field("Content-Range")));
            }
            return true;
          },
      .take =
          [&](std::span<const std::uint8_t> part) {
            if (part.size() > into.size() - num_bytes) {
              fail(fmt::format("expected {} bytes, received more", into.size()));
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
  impl_->run(
      {.url = url,
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
                 fail(fmt::format("expected a range of a known length, received \"{}\"", head.field("Content-Range")));
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
