// The HTML page of a loader: the sheet's pictures larger, and every number.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "muster/preview.hpp"
#include "preview/collect.hpp"
#include "preview/markup.hpp"
#include "preview/tiles.hpp"
#include "preview/words.hpp"

namespace muster {
namespace {

using markup::escape;
using markup::isolated;
using Fate = Variant::Fate;

constexpr Size source_box = {640, 640};
constexpr Size usual_box = {560, 420};  // of a source on most screens
constexpr Size mark_size = {16, 20};    // of a window's number

// A variant's colour is --c of its class k0 … k7.
constexpr std::string_view page_style = R"css(
.line{display:grid;grid-template-columns:minmax(240px,420px) minmax(0,1fr);gap:24px;align-items:start;
border-top:1px solid var(--line);padding-top:20px}
.source{position:sticky;top:12px}
.source figure,.variant{margin:0}
.view{position:relative;display:block;line-height:0;background:var(--card);overflow:hidden}
.view img{width:100%;height:auto;min-height:14px;display:block}
.view svg{position:absolute;inset:0;width:100%;height:100%}
.view rect{fill:transparent;stroke:var(--c);stroke-width:2.5;vector-effect:non-scaling-stroke;cursor:pointer}
.view .halo{stroke:#fff;stroke-width:5;stroke-opacity:.75;pointer-events:none}
.many rect{stroke-width:1;stroke-opacity:.15}.many .halo{display:none}
.mark{position:absolute;background:var(--c);color:#fff;font:600 11px/16px system-ui,sans-serif;min-width:16px;
padding:0 3px;text-align:center;pointer-events:none}
.view.lit rect,.view.lit .mark{opacity:.16}
.view.lit rect.on,.view.lit .mark.on{opacity:1}
.view.lit rect.on:not(.halo){fill:var(--c);fill-opacity:.14;stroke-width:4;stroke-opacity:1}
.many .lit .halo.on{display:inline}
.variants{display:grid;grid-template-columns:repeat(auto-fill,min(max(var(--w),200px),100%));gap:20px 16px}
.variant button{display:block;box-sizing:border-box;width:min(var(--w) + 6px,100% + 6px);margin:-3px;padding:0;border:3px solid transparent;
min-height:20px;border-radius:2px;background:none;font:inherit;color:inherit;text-align:left;cursor:pointer}
.variant button img{display:block;width:100%;height:auto}
.variant.on button{border-color:var(--c)}
.exact img,.times img{image-rendering:pixelated}
figcaption{margin-top:6px;font-size:13px;line-height:1.4;overflow-wrap:anywhere}
.tag{display:inline-block;min-width:20px;padding:0 5px;margin-right:6px;background:var(--c);color:#fff;
text-align:center;font-weight:600;border-radius:2px}
.notice{padding:12px;border:1px solid currentColor;border-radius:2px;color:var(--error);
background:var(--error-paper);overflow-wrap:anywhere;font-size:13px;min-height:112px}
.notice.quiet{color:var(--faint);background:none;border-style:dashed}
.badge{color:var(--warn);background:var(--warn-paper);padding:0 4px;border-radius:2px;font-weight:600}
.readout{position:absolute;left:0;right:0;top:100%;z-index:1;margin-top:8px;padding:10px 12px;font-size:13px;
background:var(--card);border:1px solid var(--line);border-radius:6px;box-shadow:0 4px 16px #0004}
.readout[hidden]{display:none}
.readout ol{margin:4px 0 0;padding-left:20px}
.facts{display:none}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(420px,100%),1fr));gap:0 32px}
.k0{--c:#d63e28}.k1{--c:#0072be}.k2{--c:#26843a}.k3{--c:#b26800}.k4{--c:#913cb4}.k5{--c:#008080}.k6{--c:#cd2882}
.k7{--c:#70542e}
@media (max-width:760px){.line{grid-template-columns:minmax(0,1fr)}.source{position:relative}}
@media print{.line{grid-template-columns:34% 1fr;gap:12px}.variants{gap:8px}
.source{position:static}.readout{display:none}}
)css";

// Variants and windows light up together; a click holds them, Escape lets go, arrow keys go from one to the next.
constexpr std::string_view page_script = R"js(
for (const line of document.querySelectorAll('.line')) {
  const buttons = [...line.querySelectorAll('.variant button')];
  const view = line.querySelector('.view');
  const readout = line.querySelector('.readout');
  let held = null;
  const light = k => {
    for (const part of line.querySelectorAll('[data-k]')) part.classList.toggle('on', part.dataset.k === k);
    if (view) view.classList.toggle('lit', k !== null && line.querySelector('rect.on') !== null);
    const facts = k === null ? null : line.querySelector('.variant.on .facts');
    readout.hidden = !facts;
    if (facts) readout.replaceChildren(...facts.cloneNode(true).childNodes);
  };
  const hold = k => {
    held = k;
    for (const button of buttons) button.setAttribute('aria-pressed', button.dataset.k === k);
    light(k);
  };
  const of = event => event.target.closest('[data-k]');
  line.addEventListener('pointerover', event => light(of(event) ? of(event).dataset.k : held));
  line.addEventListener('pointerleave', () => light(held));
  line.addEventListener('focusin', event => of(event) && light(of(event).dataset.k));
  line.addEventListener('focusout', () => light(held));
  line.addEventListener('click', event => of(event) && hold(of(event).dataset.k === held ? null : of(event).dataset.k));
  line.addEventListener('keydown', event => {
    const at = buttons.indexOf(document.activeElement);
    const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
    if (event.key === 'Escape') hold(null);
    if (at < 0 || !step || !buttons[at + step]) return;
    event.preventDefault();
    buttons[at + step].focus();
  });
}
)js";

std::string colour_class(std::size_t variant) { return fmt::format("k{}", variant % style::variant_colours.size()); }

std::string table_row(std::string_view name, const std::string& value) {
  return fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", escape(name), value);
}

std::string order_of(const Loader& loader) {
  const LoaderOptions& options = loader.options();
  if (options.shuffle) return "shuffled, anew for every epoch";
  // Only the loader's own order leaves samples out.
  const bool listed = !options.exclude.empty() || dynamic_cast<const SequentialOrder*>(options.order.get()) != nullptr;
  return listed ? "as listed" : "as the program gave it";
}

std::string options_table(const Loader& loader, const PreviewOptions& preview) {
  const LoaderOptions& options = loader.options();
  const BatchSpec spec = loader.spec();
  std::string rows;
  rows += table_row("Samples", fmt::format("{}, {} rows an epoch", loader.source().size(), loader.num_rows()));
  rows += table_row("Epochs shown",
                    fmt::format("{} … {}", preview.first_epoch,
                                preview.first_epoch + static_cast<std::uint64_t>(preview.num_variants - 1)));
  rows += table_row("Seed", std::to_string(options.seed));
  rows += table_row("Order", order_of(loader));
  rows += table_row("Batches", fmt::format("{} of {} {} {}", loader.num_batches(), name(spec.dtype), name(spec.layout),
                                           escape(spec.shape().to_string())));
  rows += table_row("Last batch", std::string(name(options.last_batch)));
  rows += table_row("On error", std::string(name(options.on_error)));
  if (options.shard.count > 1) {
    rows += table_row("Shard", fmt::format("{} of {}", options.shard.index, options.shard.count));
  }
  if (!options.exclude.empty()) rows += table_row("Excluded", fmt::format("{} samples", options.exclude.size()));
  return "<table>\n" + rows + "</table>\n";
}

std::string proof_table(const Pipeline& pipeline) {
  const ShapeProof& proof = pipeline.proof();
  const auto row = [](std::string_view number, std::string_view stage, const std::string& sizes) {
    return fmt::format("<tr><td class=\"n\">{}</td><td>{}</td><td class=\"num\">{}</td></tr>\n", number, escape(stage),
                       escape(sizes));
  };
  std::string rows = row("", "any image", to_string(proof.input));
  for (std::size_t i = 0; i < proof.rows.size(); ++i) {
    rows += row(std::to_string(i + 1), proof.rows[i].stage, to_string(proof.rows[i].out));
  }
  rows += row("", "every sample", fmt::format("{} × {}", proof.channels, to_string(proof.output)));
  return "<div class=\"scroll\"><table>\n<thead><tr><th class=\"n\" scope=\"col\">#</th><th scope=\"col\">stage</th>"
         "<th scope=\"col\">sizes that come out, height×width</th></tr></thead>\n<tbody>\n" +
         rows + "</tbody>\n</table></div>\n";
}

/// The pipeline's JSON, or why it has none: it holds a stage of the user's own.
std::string pipeline_json(const Pipeline& pipeline) {
  try {
    return markup::indent_json(pipeline.to_json());
  } catch (const ConfigError& error) {
    return error.message();
  }
}

/// How often a variant's pixel is shown beside itself: whole times, so that all are of one size.
std::int64_t times(Size output) {
  constexpr std::int64_t usual = 224;
  return std::max<std::int64_t>(1, usual / std::max(output.height, output.width));
}

std::string header(const Loader& loader, const PreviewOptions& options) {
  std::string text = "<header>\n<h1>";
  text += options.title.empty() ? "muster preview" : "Preview of " + isolated(options.title);
  const std::string values = value_stages(loader.pipeline());
  const std::int64_t k = times(loader.pipeline().output_size());
  text += fmt::format(
      "</h1>\n<p class=\"faint\">What augmentation does: each source with the drawn windows on it, beside the "
      "variants as the trainer gets them{}. {}, unless there is no room. <span class=\"screen\">Point at a variant "
      "or at a window, or reach it with Tab and the arrow keys, to see its numbers; click to keep them, Escape lets "
      "go.</span></p>\n</header>\n",
      values.empty() ? "" : ", before " + escape(values),
      k == 1 ? "They have their own size, pixel by pixel" : fmt::format("Each of their pixels is shown as {0}×{0}", k));
  text += fmt::format(
      "<div class=\"two\">\n<section>\n<h2>Shape proof</h2>\n{}</section>\n<section>\n<h2>Options</h2>\n{}</section>\n"
      "</div>\n<section><details><summary>Pipeline as JSON</summary>\n<pre>{}</pre>\n</details></section>\n",
      proof_table(loader.pipeline()), options_table(loader, options), escape(pipeline_json(loader.pipeline())));
  return text;
}

/// A rectangle of the overlay, whose units are the source's pixels.
std::string rectangle(const Rect& window, std::string_view classes, std::size_t k) {
  return fmt::format("<rect class=\"{}\" data-k=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>", classes, k,
                     window.x, window.y, window.width, window.height);
}

/// So small that its pixels are to be seen as such.
bool is_small(const Image& pixels) { return !pixels.empty() && pixels.height() < 112 && pixels.width() < 112; }

/// The source with every variant's window on it, largest first, so that none hides another.
std::string source_figure(const Line& line) {
  std::string figure = "<figure>\n";
  if (line.source.empty()) {
    figure += fmt::format("<div class=\"notice\"><strong>Cannot be shown</strong><br>{}</div>\n", isolated(line.error));
  } else {
    std::vector<std::size_t> shown;
    for (std::size_t i = 0; i < line.variants.size(); ++i) {
      if (line.variants[i].fate == Fate::shown) shown.push_back(i);
    }
    std::ranges::stable_sort(shown, std::greater{}, [&](std::size_t i) {
      const Rect& window = line.variants[i].plan.window;
      return window.height * window.width;
    });
    const auto [height, width] = line.source_size;
    // Numbers keep their size whatever the picture's: their places are found for the size that most screens give it.
    const Size usual = fit(line.source_size, usual_box, mark_size.height);
    figure += fmt::format(
        "<div class=\"view{}\" style=\"max-width:{}px\"><img alt=\"source\" width=\"{}\" height=\"{}\" src=\"{}\">",
        is_small(line.source) ? " exact" : "", usual.width, line.source.width(), line.source.height(),
        markup::png_uri(line.source.view()));
    figure +=
        fmt::format("<svg viewBox=\"0 0 {} {}\" preserveAspectRatio=\"none\" aria-hidden=\"true\">", width, height);
    TagPlaces places(Rect::whole(usual));
    std::string marks;
    for (const std::size_t i : shown) {
      const Rect& window = line.variants[i].plan.window;
      figure += rectangle(window, "halo", i);
      figure += rectangle(window, colour_class(i), i);
      if (shown.size() > most_tagged) continue;
      const Rect place = places.next(scale_window(window, line.source_size, usual), mark_size);
      const auto share = [](std::int64_t part, std::int64_t whole) {
        return 100.0 * static_cast<double>(part) / static_cast<double>(whole);
      };
      marks += fmt::format(
          "<span class=\"mark {}\" data-k=\"{}\" style=\"top:min({:.2f}%,100% - {}px);"
          "left:min({:.2f}%,100% - {}px)\" aria-hidden=\"true\">{}</span>",
          colour_class(i), i, share(place.y, usual.height), mark_size.height, share(place.x, usual.width),
          mark_size.width, i + 1);
    }
    figure += "</svg>" + marks + "</div>\n";
  }
  figure += fmt::format("<figcaption><strong>{}</strong><br>id {}, class {}<br><span class=\"faint num\">",
                        isolated(line.name), line.id, isolated(line.label));
  if (line.source_size != Size{}) figure += fmt::format("{}×{}, ", line.source_size.height, line.source_size.width);
  return figure + escape(line.detail) + "</span></figcaption>\n</figure>\n";
}

/// Every number of a variant: shown beside the source while it is lit.
std::string facts(const Variant& variant, std::size_t i, const Loader& loader) {
  const Plan& plan = variant.plan;
  const AffineMap& map = plan.output_to_source;
  const LoaderOptions& options = loader.options();
  const std::uint64_t batch = variant.row / (static_cast<std::uint64_t>(options.batch_size) * options.shard.count);
  std::string text = fmt::format("<strong>Variant {}</strong>, epoch {}, row {}, batch {}<br>", i + 1, variant.epoch,
                                 variant.row, batch);
  text += fmt::format("Window y {}, x {}, {}×{} of {}×{}{}<br>", plan.window.y, plan.window.x, plan.window.height,
                      plan.window.width, plan.source.height, plan.source.width,
                      plan.opaque ? ", not counting what opaque stages do" : "");
  text += fmt::format("A pixel shows {:.3f}×{:.3f} of the source’s<br>", std::abs(map.y_scale), std::abs(map.x_scale));
  text += fmt::format("source y = {:.4f} y + {:.3f}<br>source x = {:.4f} x + {:.3f}<ol>", map.y_scale, map.y_offset,
                      map.x_scale, map.x_offset);
  for (const std::string& stage : describe_stages(plan, loader.pipeline())) text += "<li>" + isolated(stage) + "</li>";
  return text + "</ol>";
}

std::string notice(const Variant& variant) {
  const bool quiet = variant.fate == Fate::absent;
  const std::string_view title = variant.fate == Fate::masked   ? "Masked: zeros"
                                 : variant.fate == Fate::raised ? "Raised: the epoch ends"
                                                                : "Not in this epoch";
  return fmt::format("<div class=\"notice{}\"><strong>{}</strong><br>{}</div>\n", quiet ? " quiet" : "", title,
                     isolated(variant.reason));
}

std::string variant_figure(const Variant& variant, std::size_t i, const Line& line, const Loader& loader) {
  const bool has_pixels = !variant.pixels.empty();
  std::string figure = fmt::format("<figure class=\"variant {}{}\" data-k=\"{}\">\n", colour_class(i),
                                   times(loader.pipeline().output_size()) > 1 ? " times" : "", i);
  std::string when = variant.fate == Fate::absent ? fmt::format("epoch {}", variant.epoch)
                                                  : fmt::format("epoch {}, row {}", variant.epoch, variant.row);
  if (variant.num_epochs > 1) when += fmt::format(", the same picture in all {} epochs", variant.num_epochs);
  if (has_pixels) {
    figure += fmt::format(
        "<button type=\"button\" data-k=\"{}\" aria-pressed=\"false\" aria-label=\"Variant {} of {}: {}\"><img "
        "alt=\"\" width=\"{}\" height=\"{}\" src=\"{}\"></button>\n",
        i, i + 1, escape(line.name), escape(describe_window(variant.plan)), variant.pixels.width(),
        variant.pixels.height(), markup::png_uri(variant.pixels.view()));
  } else {
    figure += notice(variant);
  }
  figure += fmt::format("<figcaption><span class=\"tag\">{}</span>", i + 1);
  if (variant.fate == Fate::substituted) {
    figure += fmt::format("<span class=\"badge\">substitute</span> id {}, {}<br>", variant.id, isolated(variant.name));
  }
  if (has_pixels) {
    const Rect& window = variant.plan.window;
    figure += fmt::format("<span class=\"num\">y {}, x {}, {}×{}</span><br>", window.y, window.x, window.height,
                          window.width);
  }
  figure += fmt::format("<span class=\"faint num\">{}", when);
  if (has_pixels) {
    for (const std::string& part : {describe_changes(variant.plan), describe_drawn(variant.plan, loader.pipeline())}) {
      if (!part.empty()) figure += ", " + isolated(part);
    }
  }
  figure += "</span>";
  if (has_pixels && !variant.reason.empty()) {
    figure += fmt::format("<br><span class=\"badge\">{}</span> {}",
                          variant.fate == Fate::substituted ? "because" : "warned", isolated(variant.reason));
  }
  figure += "</figcaption>\n";
  if (has_pixels) figure += fmt::format("<div class=\"facts\">{}</div>\n", facts(variant, i, loader));
  return figure + "</figure>\n";
}

std::string article(const Line& line, const Loader& loader) {
  const bool many = line.variants.size() > most_tagged;
  std::string text = fmt::format("<article class=\"line{}\" aria-label=\"{}\">\n<div class=\"source\">\n",
                                 many ? " many" : "", escape(line.name));
  text += source_figure(line);
  const Size output = loader.pipeline().output_size();
  text +=
      fmt::format("<div class=\"readout screen\" hidden></div>\n</div>\n<div class=\"variants\" style=\"--w:{}px\">\n",
                  output.width * times(output));
  for (std::size_t i = 0; i < line.variants.size(); ++i) text += variant_figure(line.variants[i], i, line, loader);
  return text + "</div>\n</article>\n";
}

}  // namespace

std::string preview_page(const Loader& loader, const PreviewOptions& options) {
  check(options, "preview_page");
  std::vector<Wanted> wanted = wanted_samples(loader, options, "preview_page");
  const Size output = loader.pipeline().output_size();
  const double pixels = static_cast<double>(wanted.size()) * static_cast<double>(options.num_variants) *
                        static_cast<double>(output.height) * static_cast<double>(output.width);
  if (pixels > static_cast<double>(style::most_pixels)) {
    throw ConfigError("preview_page", fmt::format("{} samples of {} variants of {} make a page of {:.0f} Mpixel, more "
                                                  "than {}; ask for fewer samples or variants",
                                                  wanted.size(), options.num_variants, to_string(output),
                                                  pixels / 1048576, style::most_pixels >> 20));
  }
  Collector collector(loader, options, std::move(wanted), source_box);
  std::string body = header(loader, options);
  for (std::size_t i = 0; i < collector.num_lines(); ++i) body += article(collector.line(i), loader);
  const std::string title = options.title.empty() ? "muster preview" : "Preview of " + options.title;
  return markup::page(title, page_style, body, page_script);
}

}  // namespace muster
