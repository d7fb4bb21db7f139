#include "preview/markup.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "preview/png.hpp"

namespace muster::markup {
namespace {

constexpr std::string_view replacement = "\xef\xbf\xbd";

/// Length of the UTF-8 sequence at the start of `text`; 0 if there is none. Overlong forms, surrogates and what lies
/// beyond U+10FFFF are none.
std::size_t sequence_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const bool overlong = (lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xf0 && byte(1) < 0x90);
  const bool surrogate = lead == 0xed && byte(1) >= 0xa0;
  const bool beyond = lead == 0xf4 && byte(1) >= 0x90;
  return overlong || surrogate || beyond ? 0 : length;
}

/// What all pages have in common: paper and ink in light and dark, tables, code, print.
constexpr std::string_view common_style = R"css(
:root{color-scheme:light dark;--paper:#fafaf8;--card:#fff;--ink:#26282c;--faint:#5c5f66;--line:#d9d9d4;--accent:#0068ad;
--error:#96200f;--error-paper:#fbe6e2;--warn:#8a4d00;--warn-paper:#fdf0dc}
@media (prefers-color-scheme:dark){:root{--paper:#17181b;--card:#202226;--ink:#e8e8e6;--faint:#a6a8ae;--line:#3a3c42;
--accent:#6cb8f0;--error:#ffa599;--error-paper:#3d1f1b;--warn:#f2bd72;--warn-paper:#38290f}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.45 system-ui,sans-serif}
main{max-width:1320px;margin:0 auto;padding:24px}
h1{font-size:24px;line-height:1.25;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:17px;margin:0 0 8px;overflow-wrap:anywhere}
p{margin:0 0 8px}
.faint{color:var(--faint)}
.num,td.n,code,pre{font-variant-numeric:tabular-nums}
code,pre{font-family:ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;font-size:13px}
pre{margin:0;padding:12px;overflow:auto;background:var(--card);border:1px solid var(--line);border-radius:6px;
white-space:pre-wrap;overflow-wrap:anywhere}
table{border-collapse:collapse;max-width:100%}
th,td{text-align:left;vertical-align:top;padding:4px 16px 4px 0;border-bottom:1px solid var(--line);
overflow-wrap:anywhere}
th{font-weight:600}
td.n,th.n{text-align:right}
section,article{margin:24px 0 0}
.scroll{overflow-x:auto}
summary{cursor:pointer;font-weight:600;padding:4px 0}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
@media print{:root{color-scheme:light;--paper:#fff;--card:#fff;--ink:#000;--faint:#444;--line:#bbb;--accent:#0068ad;
--error:#96200f;--error-paper:#fbe6e2;--warn:#8a4d00;--warn-paper:#fdf0dc}
body{font-size:11px}main{max-width:none;padding:0}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
h2{break-after:avoid}figure,tr,.keep{break-inside:avoid}.screen{display:none!important}}
)css";

}  // namespace

std::string escape(std::string_view text) {
  std::string safe;
  safe.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = sequence_length(text);
    const auto first = static_cast<unsigned char>(text.front());
    const bool is_control = (first < 0x20 && first != '\t' && first != '\n') || first == 0x7f ||
                            (length == 2 && first == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0);
    if (length == 0 || is_control) {
      safe += replacement;
    } else if (first == '&') {
      safe += "&amp;";
    } else if (first == '<') {
      safe += "&lt;";
    } else if (first == '>') {
      safe += "&gt;";
    } else if (first == '"') {
      safe += "&quot;";
    } else if (first == '\'') {
      safe += "&#39;";
    } else {
      safe += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return safe;
}

std::string isolated(std::string_view text) { return "<bdi>" + escape(text) + "</bdi>"; }

std::string base64(std::span<const std::uint8_t> bytes) {
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t bits = 0;
    for (std::size_t k = 0; k < 3; ++k) bits = bits << 8 | (k < count ? bytes[i + k] : 0u);
    for (std::size_t k = 0; k < 4; ++k) text += k <= count ? letters[bits >> (18 - 6 * k) & 63] : '=';
  }
  return text;
}

std::string png_uri(const ImageView& image) { return "data:image/png;base64," + base64(encode_png(image)); }

std::string indent_json(std::string_view json) {
  constexpr int outermost = 2;
  std::string text;
  int depth = 0;
  bool in_string = false;
  const auto new_line = [&] { text += '\n' + std::string(static_cast<std::size_t>(2 * depth), ' '); };
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string) {
      text += c;
      if (c == '\\' && i + 1 < json.size()) text += json[++i];
      if (c == '"') in_string = false;
    } else if (c == '{' || c == '[') {
      text += c;
      if (++depth <= outermost) new_line();
    } else if (c == '}' || c == ']') {
      if (depth-- <= outermost) new_line();
      text += c;
    } else {
      text += c;
      in_string = c == '"';
      if (c == ',' && depth <= outermost) new_line();
      if ((c == ',' && depth > outermost) || c == ':') text += ' ';
    }
  }
  return text;
}

std::string page(std::string_view title, std::string_view style, std::string_view body, std::string_view script) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src "
      "'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n"
      "<style>{}{}</style>\n</head>\n<body>\n<main>\n{}</main>\n{}{}{}</body>\n</html>\n",
      escape(title), common_style, style, body, script.empty() ? "" : "<script>", script,
      script.empty() ? "" : "</script>\n");
}

}  // namespace muster::markup
