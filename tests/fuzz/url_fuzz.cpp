// URLs: two lines, a base and a reference. What is accepted has one meaning, shows no password, and lies where it is
// said to lie. The reference is read as a Content-Range, too.
#include <algorithm>
#include <optional>
#include <string>

#include "fuzz.hpp"
#include "source/http_fields.hpp"
#include "source/url.hpp"

using namespace muster;
using namespace muster::fuzz;

namespace {

/// User, password, host and port of an absolute URL.
std::string_view authority(std::string_view url) {
  const std::size_t begin = url.find("://") + 3;
  return url.substr(begin, url.find_first_of("/?#", begin) - begin);
}

std::string_view behind_authority(std::string_view url) {
  const std::string_view host = authority(url);
  return url.substr(static_cast<std::size_t>(host.data() + host.size() - url.data()));
}

/// Resolves; claims what holds of everything that is accepted.
std::optional<std::string> resolved(const std::string& base, const std::string& reference) {
  std::optional<std::string> url;
  try {
    url = resolve_url(base, reference);
  } catch (const SourceError& error) {
    const std::string_view message = error.what();
    claim(std::none_of(message.begin(), message.end(), [](char c) { return (c >= 0 && c < ' ') || c == '\x7f'; }),
          "a message is one line");
    return url;
  }
  claim(is_url(*url), "what is resolved is a URL");
  const std::string_view rest = behind_authority(*url);
  claim(std::all_of(rest.begin(), rest.end(), [](char c) { return c > ' ' && c < '\x7f'; }),
        "paths and queries of URLs are printable ASCII");
  const std::string_view path = rest.substr(0, rest.find('?'));
  claim(path.find("/../") == path.npos && !path.ends_with("/.."), "no step of a URL leads upwards");
  claim(resolve_url({}, *url) == *url, "a URL that was resolved stays as it is");
  const std::string shown = without_credentials(*url);
  claim(authority(shown).find('@') == std::string_view::npos, "no user and password are shown");
  claim(without_credentials(shown) == shown, "what may be shown stays as it is");
  return url;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(text_of(data, size));
  const std::size_t end = std::min(text.find('\n'), text.size());
  const std::string base_text = text.substr(0, end);
  const std::string reference = text.substr(std::min(end + 1, text.size()));

  claim(without_credentials(text).size() <= text.size(), "nothing is added to what is shown");
  claim(shown_reference(reference).size() <= reference.size(), "nothing is added to what is shown");
  const std::optional<std::string> base = resolved({}, base_text);
  if (base) {
    const std::optional<std::string> url = resolved(*base, reference);
    // Beneath a base with an encoded control character or ".." lies nothing. Of a path that begins with two slashes
    // libcurl takes one away.
    const bool is_plain = is_beneath(*base, *base) && !behind_authority(*base).starts_with("//");
    if (is_plain && leads_down(reference))
      claim(url && is_beneath(*base, *url), "what leads down lies beneath every base");
    if (url && is_beneath(*base, *url)) {
      const std::string folder = without_credentials(*base);
      claim(is_beneath(folder, without_credentials(*url)), "user and password do not matter to where it lies");
    }
  }
  resolved({}, reference);

  if (const auto range = ContentRange::parse(reference)) {
    claim(range->first <= range->last, "a range is not empty");
    const std::string total = range->total ? std::to_string(*range->total) : "*";
    const auto again =
        ContentRange::parse("bytes " + std::to_string(range->first) + '-' + std::to_string(range->last) + '/' + total);
    claim(again && again->first == range->first && again->last == range->last && again->total == range->total,
          "a range's text gives it again");
  }
  return 0;
}
