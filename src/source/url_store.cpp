#include <fmt/format.h>

#include <utility>

#include "muster/error.hpp"
#include "source/byte_store.hpp"
#include "source/http_client.hpp"
#include "source/url.hpp"

namespace muster {
namespace {

class UrlStore : public ByteStore {
 public:
  UrlStore(std::string url, std::shared_ptr<const HttpClient> client, ResourceInfo info)
      : url_(std::move(url)), client_(std::move(client)), info_(std::move(info)) {}

  std::uint64_t size() const noexcept override { return info_.num_bytes; }

  std::string version() const override { return fmt::format("{} bytes, {}", info_.num_bytes, info_.validator); }

  void read(std::uint64_t offset, std::span<std::uint8_t> into, const std::stop_token& stop) const override {
    if (offset > info_.num_bytes || into.size() > info_.num_bytes - offset) {
      throw SourceError("read", fmt::format("expected {} bytes from byte {} on, received an end after {} in {}",
                                            into.size(), offset, info_.num_bytes, without_credentials(url_)));
    }
    if (!into.empty()) client_->get_range(url_, offset, into, info_, stop);
  }

 private:
  std::string url_;
  std::shared_ptr<const HttpClient> client_;
  ResourceInfo info_;
};

}  // namespace

std::shared_ptr<const ByteStore> open_url(const std::string& url, std::shared_ptr<const HttpClient> client) {
  std::string resolved = resolve_url({}, url);
  ResourceInfo info = client->info(resolved, {});
  if (!info.has_ranges) {
    throw SourceError("http", fmt::format("expected a server with range requests, which tar shards need, received the "
                                          "whole of {} for its first byte; serve it with ranges, or copy it here",
                                          without_credentials(url)));
  }
  return std::make_shared<UrlStore>(std::move(resolved), std::move(client), std::move(info));
}

}  // namespace muster
