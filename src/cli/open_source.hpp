// DIR, whatever it is: an image folder, a list, tar archives; local or behind a URL.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "muster/source.hpp"
#include "own_files.hpp"

namespace muster::cli {

struct SourceOptions {
  std::string dir;
  std::string index;  // of a folder; empty: none
  bool keep_index = false;
  bool allow_outside = false;
  std::uint64_t shuffle_buffer = 1000;
  int max_expansion = 200;
  double stall_timeout = 20;  // seconds
  int retries = 4;

  // What the command's options name; DIR aside.
  std::vector<NamedFile> inputs;
  std::vector<NamedFile> outputs;
};

/// Adds DIR and the options that say how it is opened.
void add_source_options(CLI::App& parser, SourceOptions& options);

/// The files of a call; DIR's, too. Throws ConfigError if two options name the same and one of them writes it.
OwnFiles own_files(const SourceOptions& options);

/// DIR as it may be shown: without a URL's user and password.
std::string shown_dir(const SourceOptions& options);

/// Of the class with this label; empty where it has no name.
std::string class_name(const Source& source, std::int64_t label);

/// Tells on standard error what the listing had to leave out. Throws SourceError; also when there is no sample;
/// ConfigError for an option that does not go with what DIR is.
std::shared_ptr<const Source> open_source(const SourceOptions& options);

}  // namespace muster::cli
