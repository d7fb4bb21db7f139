#include "open_source.hpp"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "muster/files.hpp"
#include "muster/http.hpp"
#include "muster/tar.hpp"
#include "options.hpp"
#include "output.hpp"

namespace muster::cli {
namespace {

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

/// The file name of a path or URL, in lower case, without what follows '?' or '#' in a URL.
std::string file_name(std::string_view dir) {
  const std::string text = lower(dir);
  const bool url = text.starts_with("http://") || text.starts_with("https://");
  const std::string path = url ? text.substr(0, text.find_first_of("?#")) : text;
  return path.substr(path.find_last_of('/') + 1);
}

bool is_tar(std::string_view name) {
  constexpr std::string_view endings[] = {".tar",  ".tgz",     ".tbz2",   ".txz",    ".tar.gz",
                                          ".tzst", ".tar.bz2", ".tar.xz", ".tar.zst"};
  return std::ranges::any_of(endings, [&](std::string_view ending) { return name.ends_with(ending); });
}

void expect_folder_only(const SourceOptions& options, std::string_view what) {
  if (options.index.empty()) return;
  throw ConfigError("--index", fmt::format("expected an image folder as DIR, received {}; an archive's index is kept "
                                           "beside it by --keep-index",
                                           what));
}

HttpOptions http_options(const SourceOptions& options) {
  HttpOptions http;
  http.stall_timeout_ms = static_cast<int>(1000 * options.stall_timeout);
  http.num_retries = options.retries;
  return http;
}

std::shared_ptr<const Source> open_listing(const SourceOptions& options) {
  const std::string name = file_name(options.dir);
  if (is_tar(name)) {
    expect_folder_only(options, "a tar archive");
    return std::make_shared<TarSource>(shard_paths(options.dir), TarOptions{.keep_index = options.keep_index,
                                                                            .shuffle_buffer = options.shuffle_buffer,
                                                                            .max_expansion = options.max_expansion,
                                                                            .http = http_options(options)});
  }
  if (options.keep_index) {
    throw ConfigError("--keep-index",
                      fmt::format("expected a tar archive as DIR, received {}; a folder's listing is kept "
                                  "by --index FILE",
                                  shown_dir(options)));
  }
  if (name.ends_with(".csv")) {
    expect_folder_only(options, "a list");
    return std::make_shared<CsvList>(
        options.dir, CsvListOptions{.allow_outside = options.allow_outside, .http = http_options(options)});
  }
  return std::make_shared<ImageFolder>(options.dir, ImageFolderOptions{.index = options.index});
}

/// What could not be listed, for people: the first few.
void tell_faults(const Source& source) {
  constexpr std::size_t num_shown = 5;
  const std::vector<ListingFault> faults = source.faults();
  for (std::size_t i = 0; i < std::min(faults.size(), num_shown); ++i) {
    const std::string place = faults[i].byte_offset ? fmt::format(" at byte {}", *faults[i].byte_offset) : "";
    tell(fmt::format("left out: {}{}: {}", faults[i].path, place, faults[i].message));
  }
  if (faults.size() > num_shown) {
    tell(fmt::format("and {} more left out", faults.size() - num_shown));
  }
}

}  // namespace

void add_source_options(CLI::App& parser, SourceOptions& options) {
  constexpr const char* group = "Where samples come from";
  parser
      .add_option("DIR", options.dir,
                  "image folder (DIR/class/image.jpg), list (path,label) ending in .csv, or tar archives "
                  "(shard.tar, or \"shard-{000..146}.tar\"); lists and archives may be http or https URLs")
      ->required()
      ->option_text(" ");
  add_output(parser, options, "--index", options.index,
             "keep a folder's listing in FILE, and use it while it is current")
      ->group(group);
  parser.add_flag("--keep-index", options.keep_index, "keep an archive's index beside it")->group(group);
  parser
      .add_option("--shuffle-buffer", options.shuffle_buffer,
                  "of compressed archives, which are read in sequence: samples to shuffle among [1000]")
      ->option_text("N")
      ->check(whole_number(1))
      ->group(group);
  parser
      .add_flag("--allow-outside", options.allow_outside,
                "let a list name files outside its folder, and URLs of other places")
      ->group(group);
  parser
      .add_option("--max-expansion", options.max_expansion,
                  "refuse a compressed archive of more than N bytes for each compressed one: a bomb [200]")
      ->option_text("N")
      ->check(whole_number(1))
      ->group(group);
  parser
      .add_option("--stall-timeout", options.stall_timeout,
                  "of URLs: give a transfer up that brings nothing for so long, and try again [20]")
      ->option_text("SECONDS")
      ->check(CLI::Range(0.001, 86400.0).description(""))
      ->group(group);
  parser.add_option("--retries", options.retries, "of URLs: further tries after a failure that may pass [4]")
      ->option_text("N")
      ->check(CLI::Range(0, 1000).description(""))
      ->group(group);
}

OwnFiles own_files(const SourceOptions& options) {
  OwnFiles files;
  const bool tar = is_tar(file_name(options.dir));
  for (const std::string& path : tar ? shard_paths(options.dir) : std::vector<std::string>{options.dir}) {
    files.add_input("DIR", path);
    if (tar && options.keep_index) files.add_output("--keep-index", path + ".index");
  }
  for (const NamedFile& input : options.inputs) files.add_input(input.flag, *input.path);
  for (const NamedFile& output : options.outputs) {
    if (!output.path->empty()) files.add_output(output.flag, *output.path);
  }
  return files;
}

std::string shown_dir(const SourceOptions& options) { return without_credentials(options.dir); }

std::string class_name(const Source& source, std::int64_t label) {
  const std::vector<std::string>& names = source.classes();
  return std::cmp_less(label, names.size()) && label >= 0 ? names[static_cast<std::size_t>(label)] : "";
}

std::shared_ptr<const Source> open_source(const SourceOptions& options) {
  std::shared_ptr<const Source> source = open_listing(options);
  tell_faults(*source);
  if (source->size() == 0) throw SourceError("open", fmt::format("{} holds no samples", shown_dir(options)));
  return source;
}

}  // namespace muster::cli
