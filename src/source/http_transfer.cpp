#include "source/http_transfer.hpp"

#include <curl/curl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <new>
#include <utility>

#include "muster/error.hpp"
#include "muster/version.hpp"
#include "source/stop.hpp"
#include "source/text.hpp"

namespace muster {
namespace {

using Clock = std::chrono::steady_clock;

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

/// The sockets of one transfer's connections.
class Sockets {
 public:
  Sockets() { open_.fill(CURL_SOCKET_BAD); }

  void follow(CURL* easy) {
    curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_open);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, this);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, this);
  }

  /// Of what came so far, at once. A server that holds short segments back (nginx with tcp_nopush, as Debian sets it
  /// up) sends the last one of a range only then, and Linux would let it wait for 40 ms.
  void acknowledge() const noexcept {
#ifdef TCP_QUICKACK
    const int at_once = 1;
    for (const curl_socket_t socket : open_) {
      if (socket != CURL_SOCKET_BAD) ::setsockopt(socket, IPPROTO_TCP, TCP_QUICKACK, &at_once, sizeof at_once);
    }
#endif
  }

 private:
  static int on_open(void* self, curl_socket_t socket, curlsocktype) noexcept {
    static_cast<Sockets*>(self)->replace(CURL_SOCKET_BAD, socket);
    return CURL_SOCKOPT_OK;
  }
  static int on_close(void* self, curl_socket_t socket) noexcept {
    static_cast<Sockets*>(self)->replace(socket, CURL_SOCKET_BAD);
    return ::close(socket);
  }

  /// One that finds no place is not followed.
  void replace(curl_socket_t from, curl_socket_t to) noexcept {
    for (curl_socket_t& socket : open_) {
      if (socket != from) continue;
      socket = to;
      return;
    }
  }

  std::array<curl_socket_t, 8> open_{};
};

}  // namespace

long Head::status() const {
  long status = 0;
  curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
  return status;
}

std::string_view Head::field(const char* name) const {
  curl_header* header = nullptr;
  return curl_easy_header(easy_, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK ? header->value : std::string_view();
}

std::optional<std::uint64_t> Head::length() const {
  return field("Transfer-Encoding").empty() ? parse_number(field("Content-Length")) : std::nullopt;
}

std::string Head::validator() const {
  const std::string_view tag = field("ETag");
  return std::string(tag.empty() ? field("Last-Modified") : tag);
}

std::int64_t Head::retry_after_s() const {
  curl_off_t seconds = 0;
  curl_easy_getinfo(easy_, CURLINFO_RETRY_AFTER, &seconds);
  return seconds;
}

class Transfer::Impl {
 public:
  Impl() : easy_(curl_easy_init()), multi_(curl_multi_init()) {
    if (easy_ == nullptr || multi_ == nullptr) throw std::bad_alloc();
    // One connection to the server, and a few to those it redirects to.
    curl_multi_setopt(multi_.get(), CURLMOPT_MAXCONNECTS, 4L);
  }

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
    sockets_.follow(easy);
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
      expect_no_stop(stop);
      if (status != CURLM_OK) throw FinalFailure{curl_multi_strerror(status)};
      if (num_running == 0) break;
      if (!is_connected_) patience_.begin();  // until then libcurl's own timeout counts
      const std::optional<std::chrono::milliseconds> wait = patience_.left();
      if (!wait && judged_ && !accepted_) return CURLE_OK;
      if (!wait) throw patience_.failure(options);
      sockets_.acknowledge();
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
      throw FinalFailure{
          fmt::format("more than {} redirects; if they end, raise HttpOptions::max_redirects", options.max_redirects)};
    }
    if (code == CURLE_UNSUPPORTED_PROTOCOL) message += "; only http and https are followed";
    if (code == CURLE_PEER_FAILED_VERIFICATION) message += "; only certificates that this system trusts are accepted";
    throw FinalFailure{std::move(message)};
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
    static_cast<Impl*>(self)->is_connected_ = true;
    static_cast<Impl*>(self)->patience_.begin();
    return CURL_PREREQFUNC_OK;
  }

  static std::size_t on_header(char* data, std::size_t, std::size_t num_bytes, void* self) {
    return static_cast<Impl*>(self)->take_header({data, num_bytes}) ? num_bytes : 0;
  }

  static std::size_t on_body(char* data, std::size_t, std::size_t num_bytes, void* self) {
    const std::span bytes(reinterpret_cast<const std::uint8_t*>(data), num_bytes);
    return static_cast<Impl*>(self)->take_body(bytes) ? num_bytes : 0;
  }

  bool take_header(std::string_view line) noexcept {
    // Every answer has time to begin; interim ones (100 Continue), of which there may be any number, have none.
    if (line.starts_with("HTTP/") && !line.substr(line.find(' ') + 1).starts_with('1')) patience_.begin();
    patience_.take(line.size());
    num_head_bytes_ += line.size();
    if (num_head_bytes_ > max_head_bytes) {
      return guarded(
          [] { throw FinalFailure{fmt::format("expected at most {} bytes before the content", max_head_bytes)}; });
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
  Sockets sockets_;  // outlives the connections
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

Transfer::Transfer() {
  static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (initialised != CURLE_OK) throw SourceError("http", curl_easy_strerror(initialised));
  impl_ = std::make_unique<Impl>();
}

Transfer::~Transfer() = default;

void Transfer::run(const Request& request, const HttpOptions& options, const std::stop_token& stop) {
  impl_->run(request, options, stop);
}

}  // namespace muster
