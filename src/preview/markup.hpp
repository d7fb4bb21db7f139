// HTML: text made harmless, pictures as data URIs, and the frame that all pages have.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "muster/image.hpp"

namespace muster::markup {

/// Text for elements and for quoted attributes: & < > " ' are escaped; what is no UTF-8, and control characters other
/// than tab and newline, become U+FFFD.
std::string escape(std::string_view text);
/// The same in an element of its own, so that letters written right to left move nothing around them.
std::string isolated(std::string_view text);

std::string base64(std::span<const std::uint8_t> bytes);
/// "data:image/png;base64,…": 1 or 3 channels.
std::string png_uri(const ImageView& image);

/// JSON with a line for every member of its two outermost levels.
std::string indent_json(std::string_view json);

/// A whole page. `title` is text; `style`, `body` and `script` are markup, put in as they are. The page forbids the
/// browser to load anything.
std::string page(std::string_view title, std::string_view style, std::string_view body, std::string_view script);

}  // namespace muster::markup
