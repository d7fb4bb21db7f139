// HTTP: how samples behind URLs are read. Connections are kept alive and shared by the reads of one source.
// Certificates are always checked, against those that the system trusts. Proxies are those of the environment
// (http_proxy, https_proxy, no_proxy). User and password may stand in a URL; names and messages leave them out.
#pragma once

#include <string>
#include <string_view>

namespace [[gnu::visibility("default")]] muster {

struct HttpOptions {
  int connect_timeout_ms = 10'000;
  /// A transfer that brings no byte for so long, or fewer than `min_bytes_per_s` on average, is given up, and tried
  /// again.
  int stall_timeout_ms = 20'000;
  /// 0: any byte is enough.
  int min_bytes_per_s = 1000;
  /// Further tries after a failure that may pass: no connection, a stall, an early end, status 408, 429, 500, 502, 503
  /// and 504. Other failures are final at once.
  int num_retries = 4;
  /// Before the first further try; doubles each time, up to `max_backoff_ms`. What Retry-After asks for is kept to, up
  /// to that.
  int backoff_ms = 200;
  int max_backoff_ms = 10'000;
  /// Redirects are followed to http and https only.
  int max_redirects = 5;
  /// Transfers under way at a time, each with a connection of its own; further reads wait.
  int max_transfers = 64;
};

/// A URL as names and messages may show it, without user and password: also one that no parser takes, as
/// http://me:pa#ss@host/. Anything else comes back as it is.
std::string without_credentials(std::string_view url);

}  // namespace muster
