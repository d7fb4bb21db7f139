#include "source/url.hpp"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <new>
#include <optional>

#include "muster/error.hpp"
#include "source/text.hpp"

namespace muster {
namespace {

bool is_letter(char c) { return lower_ascii(c) >= 'a' && lower_ascii(c) <= 'z'; }

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool begins_with(std::string_view text, std::string_view lower) {
  return text.size() >= lower.size() &&
         std::equal(lower.begin(), lower.end(), text.begin(), [](char a, char b) { return a == lower_ascii(b); });
}

/// A URL that libcurl has parsed; the same parser serves the transfers, so that both see the same host and path.
class ParsedUrl {
 public:
  ParsedUrl() : url_(curl_url()) {
    if (url_ == nullptr) throw std::bad_alloc();
  }

  /// What is wrong with it, or null. A second call resolves a reference against the first.
  const char* set(const std::string& text) {
    const CURLUcode code = curl_url_set(url_.get(), CURLUPART_URL, text.c_str(), CURLU_URLENCODE | CURLU_ALLOW_SPACE);
    return code == CURLUE_OK ? nullptr : curl_url_strerror(code);
  }

  /// Nothing if there is no such part, or if decoding finds a control character in it.
  std::optional<std::string> part(CURLUPart what, unsigned flags = 0) const {
    char* text = nullptr;
    if (curl_url_get(url_.get(), what, &text, flags) != CURLUE_OK) return std::nullopt;
    const std::unique_ptr<char, decltype(&curl_free)> owner(text, curl_free);
    return std::string(text);
  }

  void remove(CURLUPart what) { curl_url_set(url_.get(), what, nullptr, 0); }

 private:
  struct Cleanup {
    void operator()(CURLU* url) const { curl_url_cleanup(url); }
  };
  std::unique_ptr<CURLU, Cleanup> url_;
};

bool is_control(char c) { return (c >= '\0' && c < ' ') || c == '\x7f'; }

[[noreturn]] void refuse(const std::string& reference, const std::string& reason) {
  std::string shown = shown_reference(reference);
  std::replace_if(shown.begin(), shown.end(), is_control, '?');
  throw SourceError("url", fmt::format("expected an http or https URL, or a path relative to one, received \"{}\": {}",
                                       shown, reason));
}

/// Where user, password and host of a URL begin; npos if it is none. "http:" is taken for one with any slashes, or
/// none.
std::size_t host_begin(std::string_view url) {
  for (const std::string_view scheme : {"http:", "https:"}) {
    const std::size_t begin = std::min(url.find_first_not_of("/\\", scheme.size()), url.size());
    if (begins_with(url, scheme)) return begin;
  }
  const std::size_t slash = url.find('/');
  const bool is_url = slash != std::string_view::npos && slash > 1 && url[slash - 1] == ':' &&
                      url.substr(slash, 2) == "//" && (is_letter(url[slash - 2]) || is_digit(url[slash - 2]));
  return is_url ? slash + 2 : std::string_view::npos;
}

/// True for a host, and a port if there is one, before a path, a query or the end. With a '#' nothing is read.
bool begins_with_host(std::string_view text) {
  const std::size_t end = std::min(text.find_first_of("/?#"), text.size());
  if (end < text.size() && text[end] == '#') return false;
  const std::string_view host = text.substr(0, end);
  const std::size_t colon = host.starts_with('[') ? host.find(':', host.find(']')) : host.find(':');
  if (colon == std::string_view::npos) return true;
  const std::string_view port = host.substr(colon + 1);
  return port.size() <= 5 && std::all_of(port.begin(), port.end(), is_digit);
}

/// What a server may make of the path, at worst: decoded once. Nothing if a part of it leads upwards, or if it holds
/// what some servers take for a slash.
std::optional<std::string> decoded_path(const ParsedUrl& url) {
  std::optional<std::string> path = url.part(CURLUPART_PATH, CURLU_URLDECODE);
  if (!path || path->find('\\') != std::string::npos) return std::nullopt;
  for (std::size_t begin = 0; begin < path->size();) {
    const std::size_t end = std::min(path->find('/', begin), path->size());
    const std::string_view segment = std::string_view(*path).substr(begin, end - begin);
    if (segment == ".." || segment.starts_with("..;")) return std::nullopt;
    begin = end + 1;
  }
  return path;
}

}  // namespace

bool is_url(std::string_view path) noexcept { return begins_with(path, "http://") || begins_with(path, "https://"); }

bool is_foreign_url(std::string_view path) noexcept {
  const std::size_t end = path.find("://");
  if (end == std::string_view::npos || end == 0 || !is_letter(path[0]) || is_url(path)) return false;
  return std::all_of(path.begin(), path.begin() + static_cast<std::ptrdiff_t>(end),
                     [](char c) { return is_letter(c) || is_digit(c) || c == '+' || c == '-' || c == '.'; });
}

bool leads_down(std::string_view reference) noexcept {
  const bool is_plain = std::all_of(reference.begin(), reference.end(), [](char c) {
    return is_letter(c) || is_digit(c) || c == '-' || c == '_' || c == '.' || c == '~' || c == '/';
  });
  if (!is_plain || reference.empty() || reference.starts_with('/')) return false;
  for (std::size_t at = reference.find(".."); at != std::string_view::npos; at = reference.find("..", at + 1)) {
    const bool begins = at == 0 || reference[at - 1] == '/';
    const bool ends = at + 2 == reference.size() || reference[at + 2] == '/';
    if (begins && ends) return false;
  }
  return true;
}

std::string resolve_url(const std::string& base, const std::string& reference) {
  for (const char c : reference) {
    if (c == '\\') refuse(reference, "it holds a backslash; write / between folders");
    if (c == '#') refuse(reference, "it holds a '#'; write %23 if it belongs to the name");
    if (is_control(c)) refuse(reference, "it holds a control character");
  }
  ParsedUrl url;
  if (!is_url(reference)) {
    if (is_foreign_url(reference)) refuse(reference, "other schemes are not read");
    if (url.set(base) != nullptr) refuse(base, "it is no URL that others can be relative to");
  }
  if (const char* const problem = url.set(reference)) refuse(reference, problem);
  // Parsing once more takes "." and ".." out of what was relative.
  const std::optional<std::string> joined = url.part(CURLUPART_URL);
  ParsedUrl absolute;
  if (!joined || !is_url(*joined) || absolute.set(*joined) != nullptr) refuse(reference, "it leads to no such URL");
  return absolute.part(CURLUPART_URL).value();
}

bool is_beneath(const std::string& base, const std::string& url) {
  ParsedUrl folder;
  ParsedUrl file;
  if (folder.set(base) != nullptr || file.set(url) != nullptr) return false;
  for (const CURLUPart part : {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT}) {
    const std::optional<std::string> a = folder.part(part, CURLU_DEFAULT_PORT);
    const std::optional<std::string> b = file.part(part, CURLU_DEFAULT_PORT);
    if (!a || !b || lower_ascii(*a) != lower_ascii(*b)) return false;
  }
  const std::optional<std::string> folder_path = decoded_path(folder);
  const std::optional<std::string> file_path = decoded_path(file);
  return folder_path && file_path && file_path->starts_with(folder_path->substr(0, folder_path->rfind('/') + 1));
}

std::string without_credentials(std::string_view url) {
  // By hand, because it must work on what no parser takes, too.
  const std::size_t begin = host_begin(url);
  if (begin == std::string_view::npos) return std::string(url);
  const std::size_t end = std::min(url.find_first_of("/?#", begin), url.size());
  // A user or password may hold '@' itself. Where what seems to be the host is none, the '/', '?' or '#' behind it may
  // belong to a password as well.
  std::size_t at = url.substr(0, end).rfind('@');
  const std::string_view host = url.substr(at == std::string_view::npos || at < begin ? begin : at + 1);
  if (!begins_with_host(host)) at = url.rfind('@');
  if (at == std::string_view::npos || at < begin) return std::string(url);
  return std::string(url.substr(0, begin)).append(url.substr(at + 1));
}

std::string shown_reference(const std::string& reference) {
  constexpr std::string_view scheme = "http:";
  if (!reference.starts_with("//")) return without_credentials(reference);
  return without_credentials(std::string(scheme) + reference).substr(scheme.size());
}

}  // namespace muster
