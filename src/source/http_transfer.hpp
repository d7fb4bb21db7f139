// One HTTP transfer, by libcurl: what is asked for, who takes the answer, and why it may come to nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

#include "muster/http.hpp"
#include "source/http_fields.hpp"

namespace muster {

/// A failure that may pass: the next try may succeed.
struct PassingFailure {
  std::string message;  // what happened
  std::string advice;   // what to do if it does not pass
  std::int64_t retry_after_s = 0;
};

/// A failure that another try would meet again.
struct FinalFailure {
  std::string message;  // what happened, and what to do
};

/// The head of a response: what is known before its body.
class Head {
 public:
  /// Of the transfer that this handle of libcurl's has under way.
  explicit Head(void* easy) : easy_(easy) {}

  long status() const;
  /// Empty if there is none of this name.
  std::string_view field(const char* name) const;
  /// Without a length the body ends where the server says so, as it goes.
  std::optional<std::uint64_t> length() const;
  std::optional<ContentRange> range() const { return ContentRange::parse(field("Content-Range")); }
  /// ETag, or Last-Modified, or empty.
  std::string validator() const;
  /// 0 if it asks for no wait.
  std::int64_t retry_after_s() const;
  /// libcurl goes on to what this one points to.
  bool is_followed() const { return status() / 100 == 3 && !field("Location").empty(); }

 private:
  void* easy_;
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

/// One transfer at a time, and the connections it leaves open. Not thread-safe.
class Transfer {
 public:
  /// Throws SourceError where libcurl cannot begin, and std::bad_alloc.
  Transfer();
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;
  ~Transfer();

  /// One try. Throws PassingFailure, FinalFailure, SourceError "stopped", and what `request` throws.
  void run(const Request& request, const HttpOptions& options, const std::stop_token& stop);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster
