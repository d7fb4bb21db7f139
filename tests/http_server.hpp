// A small HTTP server on the loopback that behaves as a test scripts it, and counts.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace muster::test {

struct HttpRequest {
  std::string path;                           // with the query
  std::map<std::string, std::string> fields;  // names in lower case
  int number = 1;                             // how many asked for this path so far
};

struct HttpResponse {
  enum class End { keep_alive, close, stall };

  int status = 200;
  std::vector<std::string> fields = {};  // "Name: value"
  std::string body = {};
  std::optional<std::uint64_t> length = {};  // announced instead of the body's
  bool chunked = false;
  End end = End::keep_alive;  // stall: the connection is held until the client or the server goes
  bool has_head = true;       // otherwise the body alone is sent
  int pause_ms = 0;           // before each byte of the body; with `slow_head`, of the head as well
  bool slow_head = false;
};

/// `content` as a server of files gives it: whole, or the range that was asked for.
inline HttpResponse file_response(const HttpRequest& request, const std::string& content,
                                  const std::string& tag = "\"v1\"") {
  HttpResponse response{.fields = {"ETag: " + tag}, .body = content};
  const auto range = request.fields.find("range");
  if (range == request.fields.end()) return response;
  std::uint64_t first = 0, last = 0;
  const char* const begin = range->second.data() + std::string_view("bytes=").size();
  const char* const end = range->second.data() + range->second.size();
  std::from_chars(std::from_chars(begin, end, first).ptr + 1, end, last);
  const std::string total = std::to_string(content.size());
  if (first >= content.size()) {
    return {.status = 416, .fields = {"ETag: " + tag, "Content-Range: bytes */" + total}};
  }
  last = std::min<std::uint64_t>(last, content.size() - 1);
  response.status = 206;
  response.body = content.substr(first, last - first + 1);
  response.fields.push_back("Content-Range: bytes " + std::to_string(first) + "-" + std::to_string(last) + "/" + total);
  return response;
}

class HttpServer {
 public:
  /// `respond` is called by the threads of the connections, one call at a time.
  explicit HttpServer(std::function<HttpResponse(const HttpRequest&)> respond) : respond_(std::move(respond)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    if (listener_ < 0 || ::bind(listener_, generic, size) != 0 || ::listen(listener_, 256) != 0 ||
        ::getsockname(listener_, generic, &size) != 0) {
      throw std::system_error(errno, std::generic_category(), "loopback server");
    }
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_all(); });
  }
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  ~HttpServer() {
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    {
      const std::lock_guard lock(mutex_);
      for (const int socket : open_) ::shutdown(socket, SHUT_RDWR);
    }
    for (std::thread& thread : connections_) thread.join();
    ::close(listener_);
  }

  std::string host() const { return "127.0.0.1:" + std::to_string(port_); }
  std::string url(const std::string& path) const { return "http://" + host() + path; }

  int num_connections() const {
    const std::lock_guard lock(mutex_);
    return num_connections_;
  }
  int num_requests(const std::string& path) const {
    const std::lock_guard lock(mutex_);
    const auto found = num_requests_.find(path);
    return found == num_requests_.end() ? 0 : found->second;
  }

 private:
  void accept_all() {
    while (true) {
      const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (socket < 0 && errno == ECONNABORTED) continue;
      if (socket < 0) return;
      const std::lock_guard lock(mutex_);
      ++num_connections_;
      open_.push_back(socket);
      connections_.emplace_back([this, socket] {
        while (serve_one(socket)) {
        }
        const std::lock_guard closing(mutex_);
        open_.erase(std::find(open_.begin(), open_.end(), socket));
        ::close(socket);
      });
    }
  }

  /// False when the connection is at its end.
  bool serve_one(int socket) {
    std::string head;
    while (!head.ends_with("\r\n\r\n")) {
      char c = 0;
      if (::recv(socket, &c, 1, 0) <= 0) return false;
      head += c;
    }
    HttpRequest request = parse(head);
    HttpResponse response;
    {
      const std::lock_guard lock(mutex_);
      request.number = ++num_requests_[request.path];
    }
    {
      const std::lock_guard lock(respond_mutex_);
      response = respond_(request);
    }
    const std::string text = text_of(response);
    const std::size_t body_begin = response.pause_ms == 0 ? text.size() : text.find("\r\n\r\n") + 4;
    const std::size_t num_at_once = response.slow_head ? 0 : body_begin;
    if (!send_all(socket, std::string_view(text).substr(0, num_at_once))) return false;
    for (const char& c : std::string_view(text).substr(num_at_once)) {
      pollfd hangup{.fd = socket, .events = POLLRDHUP, .revents = 0};
      if (::poll(&hangup, 1, response.pause_ms) != 0 || !send_all(socket, {&c, 1})) return false;
    }
    if (response.end == HttpResponse::End::stall) {
      char c = 0;
      while (::recv(socket, &c, 1, 0) > 0) {
      }
    }
    return response.end == HttpResponse::End::keep_alive;
  }

  static HttpRequest parse(const std::string& head) {
    HttpRequest request;
    const std::size_t begin = head.find(' ') + 1;
    request.path = head.substr(begin, head.find(' ', begin) - begin);
    for (std::size_t line = head.find("\r\n") + 2; line < head.size() - 2;) {
      const std::size_t end = head.find("\r\n", line);
      const std::size_t colon = head.find(':', line);
      std::string name = head.substr(line, colon - line);
      std::transform(name.begin(), name.end(), name.begin(),
                     [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      request.fields[name] = head.substr(colon + 2, end - colon - 2);
      line = end + 2;
    }
    return request;
  }

  static std::string text_of(const HttpResponse& response) {
    if (!response.has_head) return response.body;
    std::string text = "HTTP/1.1 " + std::to_string(response.status) + " Scripted\r\n";
    for (const std::string& field : response.fields) text += field + "\r\n";
    if (!response.chunked) {
      return text + "Content-Length: " + std::to_string(response.length.value_or(response.body.size())) + "\r\n\r\n" +
             response.body;
    }
    text += "Transfer-Encoding: chunked\r\n\r\n";
    constexpr std::size_t chunk_bytes = 10;
    for (std::size_t i = 0; i < response.body.size(); i += chunk_bytes) {
      const std::string chunk = response.body.substr(i, chunk_bytes);
      text += (chunk.size() == chunk_bytes ? "a" : std::to_string(chunk.size())) + "\r\n" + chunk + "\r\n";
    }
    return response.end == HttpResponse::End::keep_alive ? text + "0\r\n\r\n" : text;
  }

  static bool send_all(int socket, std::string_view text) {
    while (!text.empty()) {
      const ssize_t num_sent = ::send(socket, text.data(), text.size(), MSG_NOSIGNAL);
      if (num_sent <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(num_sent));
    }
    return true;
  }

  std::function<HttpResponse(const HttpRequest&)> respond_;
  int listener_ = -1;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::mutex respond_mutex_;
  int num_connections_ = 0;
  std::map<std::string, int> num_requests_;
  std::vector<int> open_;
  std::thread acceptor_;
  std::vector<std::thread> connections_;
};

}  // namespace muster::test
