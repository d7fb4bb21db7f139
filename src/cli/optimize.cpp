// muster optimize IN OUT: a folder's JPEGs rewritten so that crops of them decode faster; everything else copied.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "folder_tree.hpp"
#include "interrupt.hpp"
#include "muster/files.hpp"
#include "muster/optimize.hpp"
#include "options.hpp"
#include "output.hpp"
#include "progress.hpp"
#include "threads.hpp"

namespace muster::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// In OUT: how its files were made. It also says that the folder is ours to write into.
constexpr const char* settings_name = ".muster-optimize.json";

struct OptimizeCall {
  std::string in;
  std::string out;
  OptimizeOptions options;
  int threads = 0;
  bool json = false;
};

std::string settings(const OptimizeOptions& options) {
  Json json;
  json["made_by"] = "muster optimize";
  json["max_side"] = options.longest_side;
  json["quality"] = options.longest_side > 0 ? Json(options.quality) : Json();
  return to_line(json);
}

void expect_apart(const fs::path& in, const fs::path& out) {
  const fs::path resolved = fs::weakly_canonical(fs::absolute(out));
  std::error_code not_there;
  if (is_within(in, resolved) || is_within(resolved, in) || fs::equivalent(in, resolved, not_there)) {
    throw ConfigError("optimize", fmt::format("{} and {} are the same folder or lie in one another, and the input is "
                                              "never overwritten; name a folder beside it",
                                              in.string(), out.string()));
  }
}

/// Refuses a folder with anything in it that was not made by an earlier call like this one.
void open_out(const fs::path& out, const OptimizeOptions& options) {
  if (fs::exists(out) && !fs::is_directory(out)) {
    throw ConfigError("optimize", fmt::format("{} is a file; name a folder", out.string()));
  }
  const fs::path path = out / settings_name;
  if (fs::exists(path)) {
    std::vector<std::uint8_t> bytes;
    read_file(path, bytes);
    const std::string made(bytes.begin(), bytes.end());
    if (made == settings(options)) return;
    throw ConfigError("optimize", fmt::format("{} was made with other options: {}expected: {}remove it, or name "
                                              "another folder",
                                              out.string(), made, settings(options)));
  }
  if (fs::exists(out) && !fs::is_empty(out)) {
    throw ConfigError("optimize", fmt::format("{} has content that is not of an earlier `muster optimize`, and nothing "
                                              "is overwritten; name a new folder",
                                              out.string()));
  }
  fs::create_directories(out);
  write_whole(path, settings(options));
}

/// Removes what a call that was killed left under a temporary name.
void remove_leftovers(const fs::path& folder) {
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.is_regular_file() && is_left_behind(entry.path())) fs::remove(entry.path());
  }
}

/// Makes the folders of `tree` in `out`. A folder that is really one of the input's would have files overwritten.
void make_folders(const fs::path& out, const FolderTree& tree) {
  for (const fs::path& folder : tree.folders) {
    fs::create_directories(out / folder);
    if (tree.ids.contains(id_of(out / folder))) {
      throw ConfigError("optimize", fmt::format("{} leads into the input, which is never overwritten; remove it",
                                                (out / folder).string()));
    }
    remove_leftovers(out / folder);
  }
}

enum class FileOutcome : std::uint8_t {
  rewritten,
  resized,
  unchanged,  // a JPEG that has the form already
  refused,    // a JPEG that cannot have it: copied
  copied,     // no JPEG
  linked,
  skipped,  // done by an earlier call
  failed,   // not in OUT
};

struct FileResult {
  FileOutcome outcome = FileOutcome::failed;
  std::string reason;  // of refused and failed
  std::uint64_t bytes_before = 0;
  std::uint64_t bytes_after = 0;
};

bool is_jpeg(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  char start[3] = {};
  return file.read(start, sizeof start) && std::string_view(start, sizeof start) == "\xFF\xD8\xFF";
}

/// Files of any length, in pieces.
void copy_content(const fs::path& from, OutputFile& to) {
  std::ifstream file(from, std::ios::binary);
  std::vector<char> piece(std::size_t{1} << 20);
  while (file) {
    file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    to.write(std::string_view(piece.data(), static_cast<std::size_t>(file.gcount())));
  }
  if (!file.eof()) throw std::runtime_error(fmt::format("cannot read {}", from.string()));
}

bool same_time(const timespec& a, const timespec& b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; }

/// Takes the name of `path` with the times of the source, which say on the next call that this file is done.
void commit(OutputFile& file, const struct stat& source) {
  const timespec times[] = {source.st_atim, source.st_mtim};
  if (utimensat(AT_FDCWD, file.written_path().c_str(), times, 0) != 0) {
    throw std::system_error(errno, std::generic_category(),
                            fmt::format("cannot set the time of {}", file.written_path().string()));
  }
  file.commit();
}

void process_link(const fs::path& out, const fs::path& target, FileResult& result) {
  result.outcome = FileOutcome::linked;
  if (fs::is_symlink(out)) {
    if (fs::read_symlink(out) == target) return;
    fs::remove(out);
  }
  fs::create_symlink(target, out);
}

/// Optimizes a JPEG or copies the file.
void process_content(const fs::path& in, OutputFile& file, const OptimizeOptions& options, FileResult& result) {
  result.outcome = FileOutcome::copied;
  if (is_jpeg(in)) {
    try {
      if (const auto size = fs::file_size(in); std::cmp_greater(size, options.limits.max_bytes)) {
        throw DecodeError("optimize",
                          fmt::format("the file has {} bytes, more than {}", size, options.limits.max_bytes));
      }
      std::vector<std::uint8_t> bytes;
      read_file(in, bytes, options.limits.max_bytes);
      const OptimizedJpeg optimized = optimize_jpeg(bytes, options);
      file.write(std::as_bytes(std::span(optimized.bytes)));
      result.outcome = optimized.change == OptimizedJpeg::Change::rewritten ? FileOutcome::rewritten
                       : optimized.change == OptimizedJpeg::Change::resized ? FileOutcome::resized
                                                                            : FileOutcome::unchanged;
      return;
    } catch (const DecodeError& error) {
      result.outcome = FileOutcome::refused;
      result.reason = error.what();
    }
  }
  copy_content(in, file);
}

void process_file(const fs::path& in, const fs::path& out, const OptimizeOptions& options, FileResult& result) {
  struct stat source {};
  if (stat(in.c_str(), &source) != 0) {
    throw std::system_error(errno, std::generic_category(), fmt::format("cannot read {}", in.string()));
  }
  result.bytes_before = static_cast<std::uint64_t>(source.st_size);
  struct stat made {};
  const bool is_there = lstat(out.c_str(), &made) == 0;
  if (is_there && !S_ISREG(made.st_mode)) {
    throw std::runtime_error(fmt::format("{} is there already and not a file; remove it", out.string()));
  }
  if (is_there && same_time(made.st_mtim, source.st_mtim)) {
    result.outcome = FileOutcome::skipped;
    result.bytes_after = static_cast<std::uint64_t>(made.st_size);
    return;
  }
  OutputFile file(out);
  process_content(in, file, options, result);
  result.bytes_after = fs::file_size(file.written_path());
  commit(file, source);
}

/// The result of each entry, in the order of the tree.
std::vector<FileResult> process(const fs::path& in, const fs::path& out, const FolderTree& tree,
                                const OptimizeCall& call) {
  std::vector<FileResult> results(tree.entries.size());
  Progress progress("optimize", tree.entries.size());
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < results.size() && !interrupted(); i = next++) {
      const FolderTree::Entry& entry = tree.entries[i];
      FileResult& result = results[i];
      try {
        if (entry.link_target.empty()) {
          process_file(in / entry.path, out / entry.path, call.options, result);
        } else {
          process_link(out / entry.path, entry.link_target, result);
        }
      } catch (const std::exception& error) {
        result = {.outcome = FileOutcome::failed, .reason = error.what()};
      }
      progress.advance(1, result.outcome == FileOutcome::failed ? 1 : 0);
    }
  };
  run_on_threads(call.threads, work);
  end_if_interrupted();
  return results;
}

std::size_t count(const std::vector<FileResult>& results, FileOutcome outcome) {
  return static_cast<std::size_t>(std::ranges::count(results, outcome, &FileResult::outcome));
}

struct ByteCounts {
  std::uint64_t before = 0;
  std::uint64_t after = 0;
  double ratio() const { return before > 0 ? static_cast<double>(after) / static_cast<double>(before) : 1; }
};

/// Of all files that are in OUT now.
ByteCounts total(const std::vector<FileResult>& results) {
  ByteCounts bytes;
  for (const FileResult& result : results) {
    if (result.outcome == FileOutcome::failed) continue;
    bytes.before += result.bytes_before;
    bytes.after += result.bytes_after;
  }
  return bytes;
}

/// The files of one outcome, by path, with the reason.
Json named(const FolderTree& tree, const std::vector<FileResult>& results, FileOutcome outcome) {
  Json list = Json::array();
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (results[i].outcome != outcome) continue;
    list.push_back({{"path", tree.entries[i].path.string()}, {"reason", results[i].reason}});
  }
  return list;
}

Json to_json(const FolderTree& tree, const std::vector<FileResult>& results) {
  const ByteCounts bytes = total(results);
  Json json;
  json["files"] = results.size();
  json["rewritten"] = count(results, FileOutcome::rewritten);
  json["resized"] = count(results, FileOutcome::resized);
  json["unchanged"] = count(results, FileOutcome::unchanged);
  json["copied"] = count(results, FileOutcome::copied);
  json["linked"] = count(results, FileOutcome::linked);
  json["skipped"] = count(results, FileOutcome::skipped);
  json["refused"] = named(tree, results, FileOutcome::refused);
  json["failed"] = named(tree, results, FileOutcome::failed);
  json["left_out"] = Json::array();
  for (const FolderTree::LeftOut& left_out : tree.left_out) {
    json["left_out"].push_back({{"path", left_out.path.string()}, {"reason", left_out.reason}});
  }
  json["bytes_before"] = bytes.before;
  json["bytes_after"] = bytes.after;
  json["ratio"] = bytes.ratio();
  return json;
}

std::string for_people(const FolderTree& tree, const std::vector<FileResult>& results, const OptimizeCall& call) {
  constexpr std::pair<FileOutcome, const char*> counts[] = {
      {FileOutcome::rewritten, "JPEGs rewritten"},
      {FileOutcome::resized, "JPEGs resized and encoded again"},
      {FileOutcome::unchanged, "JPEGs that had this form already, copied"},
      {FileOutcome::refused, "JPEGs that cannot have it, copied:"},
      {FileOutcome::copied, "other files copied"},
      {FileOutcome::linked, "links"},
      {FileOutcome::skipped, "done by an earlier call"},
      {FileOutcome::failed, "could not be processed:"},
  };
  const ByteCounts bytes = total(results);
  std::string text = fmt::format("{}: {} files, {:.1f} MB → {:.1f} MB ({:+.1f} %)\n", call.out, results.size(),
                                 static_cast<double>(bytes.before) / 1e6, static_cast<double>(bytes.after) / 1e6,
                                 100 * (bytes.ratio() - 1));
  for (const auto& [outcome, label] : counts) {
    const std::size_t num_files = count(results, outcome);
    if (num_files > 0) text += fmt::format("{:8}  {}\n", num_files, label);
    for (std::size_t i = 0; i < results.size(); ++i) {
      if (results[i].outcome != outcome || results[i].reason.empty()) continue;
      text += fmt::format("          {}: {}\n", tree.entries[i].path.string(), results[i].reason);
    }
  }
  if (!tree.left_out.empty()) text += fmt::format("{:8}  left out:\n", tree.left_out.size());
  for (const FolderTree::LeftOut& left_out : tree.left_out) {
    text += fmt::format("          {}: {}\n", left_out.path.string(), left_out.reason);
  }
  return text;
}

void optimize(const OptimizeCall& call) {
  std::error_code error;
  const fs::path in = fs::canonical(call.in, error);
  if (error || !fs::is_directory(in)) {
    throw SourceError("optimize", fmt::format("{} is no folder{}", call.in, error ? ": " + error.message() : ""));
  }
  const fs::path out = fs::absolute(call.out);
  expect_apart(in, out);
  const FolderTree tree = list_tree(in, settings_name);
  const CleanEnd clean_end;
  open_out(out, call.options);
  make_folders(out, tree);
  const std::vector<FileResult> results = process(in, out, tree, call);
  print(call.json ? to_line(to_json(tree, results)) : for_people(tree, results, call));
  if (const std::size_t num_failed = count(results, FileOutcome::failed); num_failed > 0) {
    throw std::runtime_error(fmt::format("{} of {} files could not be processed", num_failed, results.size()));
  }
}

}  // namespace

Command add_optimize(CLI::App& program) {
  const auto call = std::make_shared<OptimizeCall>();
  CLI::App* parser = program.add_subcommand("optimize",
                                            "Writes the folder IN to OUT with its JPEGs in a form of which crops "
                                            "decode faster, pixels unchanged; other files "
                                            "are copied. Called again, it goes on where it was stopped.");
  parser->add_option("IN", call->in, "a folder; nothing in it is changed")->required()->option_text(" ");
  parser->add_option("OUT", call->out, "a new folder, or that of an earlier call with the same options")
      ->required()
      ->option_text(" ");
  CLI::Option* max_side_option =
      parser->add_option("--max-side", call->options.longest_side, "lossy: resize larger JPEGs to N pixels")
          ->option_text("N")
          ->check(CLI::Range(std::int64_t{1}, max_side).description(""));
  parser->add_option("--quality", call->options.quality, "of those, 1 to 100 [90]")
      ->option_text("Q")
      ->check(CLI::Range(1, 100).description(""))
      ->needs(max_side_option);
  parser->add_option("--threads", call->threads, "workers [0: one per core]")->option_text("N")->check(whole_number());
  add_json_flag(*parser, call->json);
  return {parser, [call] { optimize(*call); }};
}

}  // namespace muster::cli
