// Bytes that can be read at any position: a file, or what lies behind a URL.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <stop_token>
#include <string>

namespace muster {

class HttpClient;

/// Thread-safe.
class ByteStore {
 public:
  ByteStore() = default;
  ByteStore(const ByteStore&) = delete;
  ByteStore& operator=(const ByteStore&) = delete;
  virtual ~ByteStore() = default;

  /// In bytes, when it was opened.
  virtual std::uint64_t size() const noexcept = 0;
  /// Tells this content from what it may become: a file's length and time of change, a URL's length and validator.
  virtual std::string version() const = 0;
  /// Fills `into` with what lies from byte `offset` on. Throws SourceError: it ends before, it changed, it cannot be
  /// read, or `stop` was requested.
  virtual void read(std::uint64_t offset, std::span<std::uint8_t> into, const std::stop_token& stop) const = 0;
};

/// Both throw SourceError naming what cannot be opened, and why.
std::shared_ptr<const ByteStore> open_file(const std::filesystem::path& path);
std::shared_ptr<const ByteStore> open_url(const std::string& url, std::shared_ptr<const HttpClient> client);

}  // namespace muster
