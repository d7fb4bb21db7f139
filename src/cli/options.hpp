// The options that the subcommands share, and what they become: a source, a pipeline, a loader's options.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>

#include "muster/loader.hpp"

namespace muster::cli {

struct Options {
  std::string dir;

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

  int threads = 0;
  int prefetch = 2;
};

/// Adds DIR and all of the options above.
void add_options(CLI::App& parser, Options& options);
/// Adds `--json`.
void add_json_flag(CLI::App& parser, bool& json);

/// An image folder, or the list if DIR ends in .csv. Throws SourceError; also when there is no sample in it.
std::shared_ptr<const Source> open_source(const Options& options);
/// Throws ConfigError.
Pipeline make_pipeline(const Options& options);
/// Throws ConfigError.
LoaderOptions loader_options(const Options& options);

/// `threads`, or one per core where that is 0.
int num_threads(const Options& options);

}  // namespace muster::cli
