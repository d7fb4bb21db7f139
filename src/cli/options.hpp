// The options that the subcommands share, and what they become: a source, a pipeline, a loader's options.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include <CLI/CLI.hpp>

#include "muster/loader.hpp"
#include "open_source.hpp"

namespace muster::cli {

/// A check that a value is a whole number of at least `least`.
CLI::Validator whole_number(std::int64_t least = 0);

struct Options : SourceOptions {
  std::string preset = "imagenet-train";
  std::string pipeline_file;  // instead of `preset`
  std::string color;          // empty: as the pipeline says
  bool no_orientation = false;
  std::string decode;  // exact, fast; empty: as the pipeline says

  std::int64_t batch_size = 64;
  std::uint64_t epoch = 0;
  std::uint64_t seed = 0;
  bool shuffle = false;
  std::string last_batch = "partial";
  std::string on_error = "raise";
  std::string dtype;  // empty: as the pipeline says
  std::string layout = "nchw";
  std::string shard = "0/1";
  std::string integrity = "window";
  std::int64_t max_pixels = DecodeLimits{}.max_pixels;
  std::string exclude;  // a file of ids to leave out; empty: none
  bool exactly_once = false;
  std::string max_errors;  // "N" or "P%"; empty: any number
  std::string report;      // where incidents go; empty: nowhere

  int threads = 0;
  int prefetch = 0;  // 0: 2, or as many as the io threads need
  int io_threads = 0;
  std::string trace;  // a file for Perfetto; empty: none
};

/// Adds what the order of an epoch follows from, besides DIR.
void add_order_options(CLI::App& parser, Options& options);
/// Adds DIR and all of the options above.
void add_options(CLI::App& parser, Options& options);
/// Adds an option that names a file to write; refuses "-", and a file that another option names.
CLI::Option* add_output(CLI::App& parser, SourceOptions& options, const std::string& option, std::string& path,
                        const std::string& description, const std::string& text = "FILE");
/// Adds an option that names a file to read, which no other may write.
CLI::Option* add_input(CLI::App& parser, SourceOptions& options, const std::string& option, std::string& path,
                       const std::string& description, const std::string& text = "FILE");
/// The content of the file that `option` names. Throws ConfigError.
std::string read_text(const char* option, const std::string& path);
/// Adds `--json`.
void add_json_flag(CLI::App& parser, bool& json);

/// Throws ConfigError.
Pipeline make_pipeline(const Options& options);
/// Throws ConfigError.
LoaderOptions loader_options(const Options& options, const Source& source);
/// All of it together.
Loader make_loader(const Options& options);
/// Begins the trace that `--trace` asks for, if it does.
void begin_trace(const Options& options, LoaderOptions& loading);
/// Runs `work` and ends the loader's trace, however that ends. Throws what `work` throws, or that not everything could
/// be written.
void run_traced(const Loader& loader, const std::function<void()>& work);

}  // namespace muster::cli
