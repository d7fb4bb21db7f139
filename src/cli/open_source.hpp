// DIR, whatever it is: an image folder, a list, tar archives; local or behind a URL.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>

#include "muster/source.hpp"

namespace muster::cli {

struct SourceOptions {
  std::string dir;
  std::string index;  // of a folder; empty: none
  bool keep_index = false;
  bool allow_outside = false;
  std::uint64_t shuffle_buffer = 1000;
};

/// Adds DIR and the options that say how it is opened.
void add_source_options(CLI::App& parser, SourceOptions& options);

/// DIR as it may be shown: without a URL's user and password.
std::string shown_dir(const SourceOptions& options);

/// Tells on standard error what the listing had to leave out. Throws SourceError; also when there is no sample;
/// ConfigError for an option that does not go with what DIR is.
std::shared_ptr<const Source> open_source(const SourceOptions& options);

}  // namespace muster::cli
