// Reading what lies behind http and https URLs, with patience: kept-alive connections, timeouts, bounded retries.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "muster/http.hpp"
#include "muster/source.hpp"

namespace muster {

/// What a server says about a resource.
struct ResourceInfo {
  std::uint64_t num_bytes = 0;  // 0 also if the server says none, and has no ranges
  std::string validator;        // ETag, or Last-Modified, or empty
  bool has_ranges = false;

  friend bool operator==(const ResourceInfo&, const ResourceInfo&) = default;
};

/// How long to wait before the next try after `num_failures` failures, the last of which asked for `retry_after_s`.
int backoff_ms(const HttpOptions& options, int num_failures, std::int64_t retry_after_s) noexcept;

/// Thread-safe; connections are shared by all who use it. Errors name the URL, without user and password, what
/// happened, how often it was tried, and what to do.
///
/// Certificates are always checked. Proxies are those of the environment (http_proxy, https_proxy, no_proxy), as
/// libcurl reads it; nothing else is taken from there, and no cookie, .netrc or compression is used.
class HttpClient {
 public:
  /// Throws ConfigError for options out of range.
  explicit HttpClient(HttpOptions options = {});
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;
  ~HttpClient();

  /// Reads `url` into `bytes`, whose capacity is used again. Announces the length to `sample`, if one is given and the
  /// server says it, before `bytes` grow, and again if another try brings another length. Throws SourceError, also for
  /// a content over `max_bytes`, one that is shorter than announced, and when `stop` is requested.
  void get(const std::string& url, std::vector<std::uint8_t>& bytes, std::uint64_t max_bytes,
           const std::stop_token& stop, Sample* sample = nullptr) const;
  /// Fills `into`, which is not empty, with the bytes of `url` from `offset` on. Throws SourceError, also if the
  /// resource is no longer what `info` says, and if the server has no ranges.
  void get_range(const std::string& url, std::uint64_t offset, std::span<std::uint8_t> into, const ResourceInfo& info,
                 const std::stop_token& stop) const;
  /// Asks for the first byte alone. Throws SourceError.
  ResourceInfo info(const std::string& url, const std::stop_token& stop) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster
