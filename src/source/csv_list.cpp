#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "muster/files.hpp"
#include "source/file_listing.hpp"
#include "source/hash.hpp"
#include "source/http_client.hpp"
#include "source/option_range.hpp"
#include "source/read_file.hpp"
#include "source/root_folder.hpp"
#include "source/url.hpp"

namespace muster {
namespace {

namespace fs = std::filesystem;

/// One record, and the line on which it began.
struct Record {
  std::vector<std::string> fields;
  std::uint64_t line = 0;
};

/// Reads records as RFC 4180 writes them; ends lines at LF, CRLF, or the end of the text.
class CsvReader {
 public:
  CsvReader(std::string_view text, fs::path file) : text_(text), file_(std::move(file)) {}

  [[noreturn]] void fail(std::uint64_t line, const std::string& message) const {
    throw SourceError("csv list", fmt::format("line {}: {}", line, message),
                      {.sample_id = {}, .path = file_, .stage = {}});
  }

  /// The next record that is not a blank line, or nothing at the end.
  std::optional<Record> next() {
    while (skip_line_end()) {
    }
    if (at_end()) return std::nullopt;
    Record record{.fields = {}, .line = line_};
    do {
      record.fields.push_back(peek() == '"' ? quoted_field(record.line) : plain_field());
    } while (skip(','));
    if (!skip_line_end() && !at_end()) fail(line_, "expected a comma or the end of the line after a closing quote");
    return record;
  }

 private:
  bool at_end() const { return position_ == text_.size(); }
  char peek() const { return at_end() ? '\0' : text_[position_]; }

  bool skip(char wanted) {
    if (at_end() || text_[position_] != wanted) return false;
    ++position_;
    return true;
  }

  bool skip_line_end() {
    const std::size_t begin = position_;
    const bool carriage_return = skip('\r');
    if (skip('\n')) {
      ++line_;
      return true;
    }
    if (carriage_return && at_end()) return true;
    if (carriage_return) {
      position_ = begin;
      fail(line_, "found a carriage return without a line feed; quote the field, or end lines with LF or CRLF");
    }
    return false;
  }

  std::string plain_field() {
    const std::size_t end = std::min(text_.find_first_of(",\"\r\n", position_), text_.size());
    if (end < text_.size() && text_[end] == '"') {
      fail(line_, "found a quote inside a field; put the whole field into quotes and double those inside");
    }
    const std::string_view field = text_.substr(position_, end - position_);
    position_ = end;
    return std::string(field);
  }

  std::string quoted_field(std::uint64_t first_line) {
    std::string field;
    skip('"');
    while (true) {
      const std::size_t end = text_.find('"', position_);
      if (end == std::string_view::npos) fail(first_line, "found a quote that is never closed");
      const std::string_view part = text_.substr(position_, end - position_);
      field += part;
      line_ += static_cast<std::uint64_t>(std::count(part.begin(), part.end(), '\n'));
      position_ = end + 1;
      if (!skip('"')) return field;
      field += '"';
    }
  }

  std::string_view text_;
  fs::path file_;
  std::size_t position_ = 0;
  std::uint64_t line_ = 1;
};

/// The text without a byte order mark; only that of UTF-8 is one we read.
std::string_view without_byte_order_mark(std::string_view text, const CsvReader& reader) {
  if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff")) {
    reader.fail(1, "expected UTF-8, received UTF-16; save the list as UTF-8");
  }
  return text.starts_with("\xef\xbb\xbf") ? text.substr(3) : text;
}

bool is_integer(std::string_view label) {
  if (label.starts_with('-')) label.remove_prefix(1);
  return !label.empty() && std::all_of(label.begin(), label.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool leads_outside(const fs::path& path) { return path.is_absolute() || *path.lexically_normal().begin() == ".."; }

/// Throws SourceError unless `path`, as the list at `root` (its folder, or its URL) gives it, may be read.
void expect_readable(const fs::path& root, const std::string& path, bool allow_outside) {
  const auto fail = [](const std::string& message) { throw SourceError("csv list", message); };
  if (path.empty()) fail("expected a path, received nothing");
  if (path.find('\0') != std::string::npos) fail("expected a path, received one with a zero byte");
  const bool root_is_url = is_url(root.native());
  bool is_outside = false;
  if (root_is_url && leads_down(path)) return;
  if (root_is_url || is_url(path)) {
    const std::string url = resolve_url(root_is_url ? root.native() : std::string(), path);
    is_outside = !root_is_url || !is_beneath(root.native(), url);
  } else if (is_foreign_url(path)) {
    resolve_url({}, path);  // says why not
  } else {
    is_outside = leads_outside(path);
  }
  if (is_outside && !allow_outside) {
    fail(
        fmt::format("expected a path inside the list's folder, received \"{}\"; move the list, or set "
                    "CsvListOptions::allow_outside",
                    shown_reference(path)));
  }
}

/// The labels of a list: integers throughout, or names throughout.
class LabelColumn {
 public:
  /// The label of a record, or of a name how many others came before it. Throws SourceError.
  std::int64_t number_of(const Record& record, const CsvReader& reader) {
    const auto fail = [&](const std::string& message) { reader.fail(record.line, message); };
    const std::string& label = record.fields[1];
    if (label.empty()) fail("expected a label, received nothing");
    if (label.find_first_of(" \t") == 0 || label.find_last_of(" \t") == label.size() - 1) {
      fail(fmt::format("expected a label without spaces around it, received \"{}\"", label));
    }
    if (!first_line_) {
      first_line_ = record.line;
      are_names_ = !is_integer(label);
    } else if (are_names_ == is_integer(label)) {
      fail(
          fmt::format("expected {} as on line {}, received \"{}\"; labels are integers throughout or names throughout "
                      "(and a header line reads path,label)",
                      are_names_ ? "a class name" : "an integer label", *first_line_, label));
    }
    if (are_names_) {
      return name_numbers_.try_emplace(label, static_cast<std::int64_t>(name_numbers_.size())).first->second;
    }
    std::int64_t number = 0;
    if (std::from_chars(label.data(), label.data() + label.size(), number).ec != std::errc()) {
      fail(fmt::format("expected a label of 64 bits, received {}", label));
    }
    return number;
  }

  /// Classes are the names in sorted order, and labels count in that.
  void sort_classes(FileListing& listing) const {
    if (!are_names_) return;
    std::vector<std::int64_t> sorted_labels(name_numbers_.size());
    for (const auto& [class_name, number] : name_numbers_) {
      sorted_labels[static_cast<std::size_t>(number)] = static_cast<std::int64_t>(listing.classes.size());
      listing.classes.push_back(class_name);
    }
    for (std::int64_t& label : listing.labels) label = sorted_labels[static_cast<std::size_t>(label)];
  }

 private:
  std::map<std::string, std::int64_t> name_numbers_;  // as they come
  std::optional<std::uint64_t> first_line_;           // with a label
  bool are_names_ = false;
};

}  // namespace

CsvList::CsvList(const std::filesystem::path& list, CsvListOptions options) : options_(options) {
  expect_at_least("csv list", "CsvListOptions::max_bytes", options.max_bytes, 1);
  expect_at_least("csv list", "CsvListOptions::max_list_bytes", options.max_list_bytes, 1);
  std::vector<std::uint8_t> bytes;
  const bool is_remote = is_url(list.native());
  const fs::path shown = without_credentials(list.native());
  if (is_remote) {
    http_ = std::make_shared<const HttpClient>(options.http);
    root_ = resolve_url({}, list.native());
    http_->get(root_.native(), bytes, static_cast<std::uint64_t>(options.max_list_bytes), {});
  } else {
    std::error_code error;
    read_file(list, bytes);
    root_ = fs::canonical(list.has_parent_path() ? list.parent_path() : ".", error);
    if (error) {
      throw SourceError("csv list", fmt::format("cannot open the folder of {}: {}", list.native(), error.message()));
    }
    if (!options.allow_outside) {
      folder_ = std::make_shared<const RootFolder>(root_, "the list's folder",
                                                   "move the list, or set CsvListOptions::allow_outside");
    }
  }
  const std::string_view whole(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  CsvReader reader(without_byte_order_mark(whole, CsvReader({}, shown)), shown);

  auto listing = std::make_shared<FileListing>();
  LabelColumn labels;
  bool may_be_header = true;
  while (const std::optional<Record> record = reader.next()) {
    if (record->fields.size() != 2) {
      reader.fail(record->line, fmt::format("expected path,label, received {} fields; a path with a comma needs quotes",
                                            record->fields.size()));
    }
    const std::string& path = record->fields[0];
    if (std::exchange(may_be_header, false) && path == "path" && record->fields[1] == "label") continue;
    try {
      expect_readable(root_, path, options.allow_outside);
    } catch (const SourceError& error) {
      reader.fail(record->line, error.message());
    }
    if (!http_ && is_url(path)) http_ = std::make_shared<const HttpClient>(options.http);
    listing->add(path, labels.number_of(*record, reader));
  }
  if (listing->size() == 0) {
    throw SourceError("csv list", "expected lines of path,label, received none",
                      {.sample_id = {}, .path = shown, .stage = {}});
  }

  labels.sort_classes(*listing);
  listing->shrink_to_fit();
  listing_ = std::move(listing);
  fingerprint_ = hash_listing();
}

std::uint64_t CsvList::size() const { return listing_->size(); }

void CsvList::read(std::uint64_t id, Sample& sample, std::stop_token stop) const {
  sample.label = listing_->label(id);
  const std::string name(listing_->name(id));
  const bool is_remote = is_url(root_.native());
  if (is_remote || is_url(name)) {
    http_->get(resolve_url(is_remote ? root_.native() : std::string(), name), sample.bytes,
               static_cast<std::uint64_t>(options_.max_bytes), stop, &sample);
    return;
  }
  const fs::path path = root_ / name;
  read_file(folder_ ? folder_->open(name) : open_to_read(path), path, sample, options_.max_bytes, stop);
}

std::string CsvList::name(std::uint64_t id) const {
  std::string name(listing_->name(id));
  return is_url(root_.native()) || is_url(name) ? shown_reference(name) : name;
}

const std::vector<std::string>& CsvList::classes() const { return listing_->classes; }

std::int64_t CsvList::label(std::uint64_t id) const { return listing_->label(id); }

/// Goes over everything, so that fingerprint() need not. Passwords are no part of it.
Fingerprint CsvList::hash_listing() const {
  ContentHash names;
  ContentHash labels;
  for (std::uint64_t id = 0; id < CsvList::size(); ++id) {
    names.add(CsvList::name(id));
    labels.add(static_cast<std::uint64_t>(listing_->label(id)));
  }
  for (const std::string& class_name : listing_->classes) labels.add(class_name);
  return {.names = names.value(), .labels = labels.value()};
}

Fingerprint CsvList::fingerprint() const { return fingerprint_; }

}  // namespace muster
