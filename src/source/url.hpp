// URLs: what is one, what a reference means, and what may be shown of it.
#pragma once

#include <string>
#include <string_view>

#include "muster/http.hpp"

namespace muster {

/// True for http:// and https://, in any case.
bool is_url(std::string_view path) noexcept;
/// True for what begins like a URL of any other kind: s3://, ftp://.
bool is_foreign_url(std::string_view path) noexcept;

/// `reference` as a link on the page `base` means it: an absolute URL, http or https, without "." and "..". What may
/// not stand in a URL (spaces, bytes above 127) is percent-encoded, but for a host's name. Throws SourceError if that
/// is none, if it holds a backslash or a control character, or a '#', which would cut a name short.
std::string resolve_url(const std::string& base, const std::string& reference);

/// True if `url` lies in the folder of `base`: same scheme, host and port, and a path below, however it is written.
bool is_beneath(const std::string& base, const std::string& url);

/// True if a look is enough to see that `reference` lies beneath every base: letters, digits, "-_.~" and '/', and no
/// step upwards. Lists of millions are made of these.
bool leads_down(std::string_view reference) noexcept;

/// A reference without the user and password that it may bring along: without_credentials(), also of "//me:pw@host/x".
std::string shown_reference(const std::string& reference);

}  // namespace muster
