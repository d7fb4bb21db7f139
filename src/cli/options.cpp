#include "options.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "incident_log.hpp"
#include "muster/files.hpp"
#include "trace_file.hpp"

namespace muster::cli {
namespace {

constexpr const char* pixels_group = "What happens to the pixels";
constexpr const char* batches_group = "What the batches hold";
constexpr const char* speed_group = "Speed (never changes a byte)";

/// The values of an enumeration from 0 to `last`, by name.
template <class Enum>
std::vector<std::string> names_up_to(Enum last) {
  std::vector<std::string> names;
  for (int i = 0; i <= static_cast<int>(last); ++i) names.emplace_back(name(static_cast<Enum>(i)));
  return names;
}

/// An option that takes one of some words.
CLI::Option* add_choice(CLI::App& parser, const std::string& option, std::string& value,
                        const std::vector<std::string>& words, const std::string& description) {
  return parser.add_option(option, value, description)
      ->check(CLI::IsMember(words).description(""))
      ->option_text(fmt::format("{}", fmt::join(words, "|")));
}

/// "I/N" → rank I of N.
std::optional<Shard> parse_shard(std::string_view text) {
  Shard shard;
  const char* end = text.data() + text.size();
  const auto [slash, index_error] = std::from_chars(text.data(), end, shard.index);
  if (index_error != std::errc{} || slash == end || *slash != '/') return std::nullopt;
  const auto [rest, count_error] = std::from_chars(slash + 1, end, shard.count);
  if (count_error != std::errc{} || rest != end || shard.index >= shard.count) return std::nullopt;
  return shard;
}

/// "20" rows, or "0.5%" of them.
std::optional<ErrorBudget> parse_budget(std::string_view text) {
  if (text.empty()) return ErrorBudget{};
  const char* const end = text.data() + text.size();
  if (!text.ends_with('%')) {
    std::uint64_t count = 0;
    const auto [rest, error] = std::from_chars(text.data(), end, count);
    if (error != std::errc{} || rest != end) return std::nullopt;
    return ErrorBudget{.count = count, .share = {}};
  }
  double percent = 0;
  const auto [rest, error] = std::from_chars(text.data(), end - 1, percent);
  if (error != std::errc{} || rest != end - 1 || !(percent >= 0 && percent <= 100)) return std::nullopt;
  return ErrorBudget{.count = {}, .share = percent / 100};
}

/// Batches filled ahead: twice as many rows as io threads, so that none of them idles.
int prefetch_of(const Options& options) {
  constexpr int usual = 2;
  if (options.prefetch != 0) return options.prefetch;
  if (options.batch_size < 1) return usual;  // the loader will refuse it
  const std::int64_t wanted = std::int64_t{2} * options.io_threads / options.batch_size;
  return static_cast<int>(std::clamp<std::int64_t>(wanted, usual, std::numeric_limits<int>::max()));
}

Integrity integrity_from_name(std::string_view name) {
  if (name == "lenient") return Integrity::lenient;
  return name == "full" ? Integrity::full : Integrity::window;
}

}  // namespace

CLI::Validator whole_number(std::int64_t least) {
  const auto check = [least](std::string& text) -> std::string {
    std::uint64_t value = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, value);
    if (error == std::errc() && rest == end && value >= static_cast<std::uint64_t>(least)) return {};
    return fmt::format("expected a whole number of at least {}, received {}", least, text);
  };
  return CLI::Validator(check, "");
}

void add_order_options(CLI::App& parser, Options& options) {
  parser.add_option("--seed", options.seed, "of order and draws [0]")
      ->option_text("N")
      ->check(whole_number())
      ->group(batches_group);
  parser.add_flag("--shuffle", options.shuffle, "a fresh order for every epoch")->group(batches_group);
  add_input(parser, options, "--exclude", options.exclude,
            "leave out the samples of these JSON lines, as --report writes them")
      ->group(batches_group);
}

void add_options(CLI::App& parser, Options& options) {
  add_source_options(parser, options);
  parser.callback([&options] { own_files(options); });  // before anything is opened

  auto* const preset = add_choice(parser, "--preset", options.preset, Pipeline::preset_names(),
                                  fmt::format("pipeline by name [{}]", options.preset))
                           ->group(pixels_group);
  add_input(parser, options, "--pipeline", options.pipeline_file, "pipeline from a JSON file, instead of a preset")
      ->excludes(preset)
      ->group(pixels_group);
  add_choice(parser, "--color", options.color, {"rgb", "grey"}, "channels of the batches [as the pipeline says]")
      ->group(pixels_group);
  add_choice(parser, "--decode", options.decode, {"exact", "fast"},
             "fast shrinks large JPEGs while decoding [as the pipeline says]")
      ->group(pixels_group);
  parser.add_flag("--no-orientation", options.no_orientation, "do not turn images as EXIF says")->group(pixels_group);

  parser.add_option("--batch-size", options.batch_size, "rows per batch [64]")->option_text("N")->group(batches_group);
  parser.add_option("--epoch", options.epoch, "first epoch; order and draws depend on it [0]")
      ->option_text("N")
      ->check(whole_number())
      ->group(batches_group);
  add_order_options(parser, options);
  add_choice(parser, "--last-batch", options.last_batch, names_up_to(LastBatch::strict),
             "when the batch size does not divide [partial]")
      ->group(batches_group);
  add_choice(parser, "--on-error", options.on_error, names_up_to(OnError::substitute),
             "what becomes of a sample that fails [raise]")
      ->group(batches_group);
  add_choice(parser, "--dtype", options.dtype, names_up_to(DType::float32),
             "element type; uint8 is the pixels before Normalize [as the pipeline makes them]")
      ->group(batches_group);
  add_choice(parser, "--layout", options.layout, names_up_to(Layout::nhwc), "order of the axes [nchw]")
      ->group(batches_group);
  parser.add_option("--shard", options.shard, "be rank I of N, counted from 0 [0/1]")
      ->option_text("I/N")
      ->check(CLI::Validator(
          [](std::string& text) {
            return parse_shard(text) ? std::string{} : "expected I/N with 0 <= I < N, received " + text;
          },
          ""))
      ->group(batches_group);
  add_choice(parser, "--integrity", options.integrity, {"lenient", "window", "full"},
             "how much of a file must be sound: what libjpeg does not refuse, what is shown, everything [window]")
      ->group(batches_group);
  parser.add_option("--max-pixels", options.max_pixels, fmt::format("refuse larger images [{}]", options.max_pixels))
      ->option_text("N")
      ->check(CLI::Range(std::int64_t{1}, std::numeric_limits<std::int64_t>::max()).description(""))
      ->group(batches_group);

  parser
      .add_option("--max-errors", options.max_errors,
                  "with mask or substitute: stop an epoch when more rows fail than N, or P% of them [any number]")
      ->option_text("N|P%")
      ->check(CLI::Validator(
          [](std::string& text) {
            return !text.empty() && parse_budget(text) ? std::string{}
                                                       : "expected a number or a percentage, received " + text;
          },
          ""))
      ->group(batches_group);
  parser
      .add_flag("--exactly-once", options.exactly_once,
                "refuse what could show a sample twice or not at all; for evaluation")
      ->group(batches_group);
  add_output(parser, options, "--report", options.report, "write every row that fails as a JSON line")
      ->group(batches_group);

  parser.add_option("--threads", options.threads, "workers [0: one per core]")->option_text("N")->group(speed_group);
  parser.add_option("--prefetch", options.prefetch, "batches filled ahead [2, or as many as --io-threads needs]")
      ->option_text("N")
      ->check(whole_number(1))
      ->group(speed_group);
  parser.add_option("--io-threads", options.io_threads, "threads that only read, for slow storage [0: workers read]")
      ->option_text("N")
      ->group(speed_group);
  add_output(parser, options, "--trace", options.trace,
             "write what every thread did when, for Perfetto or chrome://tracing")
      ->group(speed_group);
}

CLI::Option* add_output(CLI::App& parser, SourceOptions& options, const std::string& option, std::string& path,
                        const std::string& description, const std::string& text) {
  CLI::Option* added =
      parser.add_option(option, path, description)
          ->option_text(text)
          ->check(CLI::Validator(
              [](std::string& name) {
                return name == "-"
                           ? "expected a file, received -: standard output is for the result; name a file or a pipe "
                             "(or ./- for a file of that name)"
                           : std::string{};
              },
              ""));
  options.outputs.push_back({added->get_name(), &path});
  return added;
}

CLI::Option* add_input(CLI::App& parser, SourceOptions& options, const std::string& option, std::string& path,
                       const std::string& description, const std::string& text) {
  CLI::Option* added = parser.add_option(option, path, description)->option_text(text);
  options.inputs.push_back({added->get_name(), &path});
  return added;
}

std::string read_text(const char* option, const std::string& path) {
  std::vector<std::uint8_t> bytes;
  try {
    read_file(path, bytes, std::int64_t{1} << 30);
  } catch (const SourceError& error) {
    throw ConfigError(option, error.what());
  }
  return {bytes.begin(), bytes.end()};
}

void add_json_flag(CLI::App& parser, bool& json) {
  parser.add_flag("--json", json, "print the result as one JSON object");
}

Pipeline make_pipeline(const Options& options) {
  const Pipeline pipeline = options.pipeline_file.empty()
                                ? Pipeline::preset(options.preset)
                                : Pipeline::from_json(read_text("--pipeline", options.pipeline_file));
  DecodeOptions decode = pipeline.decode_options();
  if (!options.color.empty()) decode.color = options.color == "grey" ? Color::grey : Color::rgb;
  if (options.no_orientation) decode.apply_orientation = false;
  if (!options.decode.empty()) decode.mode = options.decode == "fast" ? DecodeMode::fast : DecodeMode::exact;
  return decode == pipeline.decode_options() ? pipeline : Pipeline(pipeline.stages(), decode);
}

LoaderOptions loader_options(const Options& options, const Source& source) {
  LoaderOptions result;
  result.batch_size = options.batch_size;
  result.shuffle = options.shuffle;
  result.seed = options.seed;
  result.last_batch = last_batch_from_name(options.last_batch);
  result.on_error = on_error_from_name(options.on_error);
  result.num_threads = options.threads;
  result.prefetch = prefetch_of(options);
  result.num_io_threads = options.io_threads;
  if (!options.dtype.empty()) result.dtype = dtype_from_name(options.dtype);
  result.layout = layout_from_name(options.layout);
  result.shard = parse_shard(options.shard).value();
  result.limits.max_pixels = options.max_pixels;
  result.integrity = integrity_from_name(options.integrity);
  result.exactly_once = options.exactly_once;
  result.error_budget = parse_budget(options.max_errors).value();
  if (!options.exclude.empty()) result.exclude = read_exclusions(options.exclude, source);
  return result;
}

Loader make_loader(const Options& options) {
  const Pipeline pipeline = make_pipeline(options);  // refused before anything is listed
  const std::shared_ptr<const Source> source = open_source(options);
  LoaderOptions loading = loader_options(options, *source);
  begin_trace(options, loading);
  return {source, pipeline, loading};
}

void begin_trace(const Options& options, LoaderOptions& loading) {
  if (!options.trace.empty()) loading.spans = std::make_shared<TraceFile>(options.trace);
}

void run_traced(const Loader& loader, const std::function<void()>& work) {
  auto* const trace = dynamic_cast<TraceFile*>(loader.options().spans.get());
  try {
    work();
  } catch (...) {
    try {
      if (trace != nullptr) trace->finish();
    } catch (...) {
      // The first error is the one to tell.
    }
    throw;
  }
  if (trace != nullptr) trace->finish();
}

}  // namespace muster::cli
