#include "source/tar_index.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "muster/error.hpp"
#include "source/text.hpp"

namespace muster {
namespace {

/// Of one archive; what comes after is counted.
constexpr std::size_t max_faults = 10'000;
/// More zeros than any writer pads the end with.
constexpr std::uint64_t max_end_bytes = std::uint64_t{1} << 20;
/// Where an archive that begins with damage must show its first member.
constexpr std::uint64_t max_lead_bytes = std::uint64_t{16} << 20;

/// Label, end of the name, and where image and metadata lie.
constexpr std::uint64_t bytes_per_sample = 48;

std::uint64_t bytes_of_fault(const std::string& path, const std::string& message) {
  return sizeof(ListingFault) + path.size() + message.size();
}

/// What a member is to its key.
enum class Role : std::uint8_t { none, image, label, metadata };

/// The path up to the first dot of its last part, and the rest: `a.b/c` and `.seg.png` of "a.b/c.seg.png".
struct MemberName {
  std::string_view key;
  std::string_view extension;

  explicit MemberName(std::string_view path) {
    const std::size_t slash = path.rfind('/');
    const std::size_t part = slash == path.npos ? 0 : slash + 1;
    const std::size_t dot = path.find('.', part);
    if (dot == path.npos || dot == part) return;  // no extension, or nothing else: no key
    key = path.substr(0, dot);
    extension = path.substr(dot);
  }
};

/// The members that follow each other and share a key.
struct Group {
  std::string key;
  std::uint64_t offset = 0;  // of its first header
  std::string image_name;
  std::optional<ByteExtent> image;
  std::optional<std::int64_t> label;
  std::optional<ByteExtent> metadata;
  bool is_faulty = false;       // left out; a fault says why
  bool borders_damage = false;  // a member may be missing
};

std::optional<std::int64_t> parse_label(std::string_view text) {
  constexpr std::string_view white_space = " \t\r\n\v\f";
  const std::size_t begin = text.find_first_not_of(white_space);
  if (begin == text.npos) return std::nullopt;
  text = text.substr(begin, text.find_last_not_of(white_space) + 1 - begin);
  std::int64_t label = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), label);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return label;
}

class TarWalk {
 public:
  TarWalk(const ByteStore& store, const std::string& path, const std::vector<std::string>& extensions,
          BlockSizes block_sizes, const TarLimits& limits)
      : store_(store), path_(path), extensions_(extensions), block_sizes_(block_sizes), limits_(limits) {}

  TarIndex run() {
    open();
    while (step()) {
    }
    finish_group();
    if (num_members_ == 0 && begins_with_damage_) refuse(damage_message_);
    if (index_.samples.size() == 0) {
      fault(std::nullopt, num_hidden_ == 0
                              ? fmt::format("not one sample among {} members", num_members_)
                              : fmt::format("not one sample among {} members; {} have an image's extension only behind "
                                            "another dot (a.seg.png); the image of a key has one dot",
                                            num_members_, num_hidden_));
    }
    if (num_faults_ > max_faults) {
      index_.faults.push_back(
          {.path = path_, .byte_offset = {}, .message = fmt::format("{} faults more", num_faults_ - max_faults)});
    }
    index_.samples.shrink_to_fit();
    index_.images.shrink_to_fit();
    index_.metadata.shrink_to_fit();
    index_.metadata_text.shrink_to_fit();
    return std::move(index_);
  }

 private:
  [[noreturn]] void refuse(const std::string& reason) const {
    throw SourceError("tar source",
                      fmt::format("expected a tar archive, plain or compressed once by gzip, bzip2, xz or "
                                  "zstd, received {}: {}",
                                  path_, reason));
  }

  void fault(std::optional<std::uint64_t> offset, std::string message) {
    if (++num_faults_ <= max_faults) {
      pay(bytes_of_fault(path_, message));
      index_.faults.push_back({.path = path_, .byte_offset = offset, .message = std::move(message)});
    }
  }

  /// For what stays in memory of a compressed archive, which may be short for what it holds.
  void pay(std::uint64_t num_bytes) {
    if (index_.is_compressed && limits_.budget != nullptr) limits_.budget->take(num_bytes, path_);
  }

  void open() {
    reader_ = std::make_unique<ArchiveReader>(store_, path_, ArchiveContent::tar, block_sizes_, limits_.max_expansion);
    if (!reader_->open()) {
      const std::string reason = reader_->message();
      if (reader_->num_filters() != 0) refuse(reason);
      begins_with_damage_ = true;
      reader_ = std::make_unique<ArchiveReader>(store_, path_, ArchiveContent::blank_tar, block_sizes_,
                                                limits_.max_expansion);
      if (!reader_->open() || reader_->num_filters() != 0) refuse(reason);
    }
    if (reader_->num_filters() > 1) refuse("compressed more than once");
    index_.is_compressed = reader_->num_filters() == 1;
  }

  /// False at the end, or where nothing can be read any more.
  bool step() {
    const std::uint64_t begin = reader_->position();
    archive_entry* entry = nullptr;
    const int status = reader_->checked(archive_read_next_header(reader_->get(), &entry));
    reader_->expect_no_bomb();
    switch (status) {
      case ARCHIVE_OK:
      case ARCHIVE_WARN:  // a name that the locale lacks, taken as it is
        leave_damage(begin);
        ++num_members_;
        return member(begin, entry);
      case ARCHIVE_RETRY:  // no header; libarchive went one block further
      case ARCHIVE_FAILED:
        enter_damage(begin);
        return reader_->position() > begin && (num_members_ > 0 || begin < max_lead_bytes);
      case ARCHIVE_EOF:
        leave_damage(begin);
        expect_end_mark(begin);
        return false;
      default:
        leave_damage(begin);
        group_.borders_damage = true;
        fault(begin, reader_->message() + "; what follows is left out");
        return false;
    }
  }

  void enter_damage(std::uint64_t begin) {
    group_.borders_damage = true;
    if (damage_begin_) return;
    damage_begin_ = begin;
    damage_message_ = reader_->message();
  }

  void leave_damage(std::uint64_t end) {
    if (!damage_begin_) return;
    fault(*damage_begin_, fmt::format("{}; passed over {} bytes up to the next header or the end", damage_message_,
                                      end - *damage_begin_));
    damage_begin_.reset();
    was_damaged_ = true;
  }

  /// Archives end with zeros: without them, or with too many, the rest may be missing.
  void expect_end_mark(std::uint64_t begin) {
    const std::uint64_t num_bytes = reader_->position() - begin;
    if (num_bytes == 0) {
      group_.borders_damage = true;
      fault(begin, "ends without the mark of an end, as an archive does that was cut off");
    } else if (num_bytes > max_end_bytes) {
      group_.borders_damage = true;
      fault(begin, fmt::format("ends with {} bytes of zeros, as an archive does of which a part was never written",
                               num_bytes));
    }
  }

  Role role_of(std::string_view extension) {
    const std::string lower = lower_ascii(extension);
    if (std::find(extensions_.begin(), extensions_.end(), lower) != extensions_.end()) return Role::image;
    if (lower == ".cls") return Role::label;
    if (lower == ".json") return Role::metadata;
    const std::size_t dot = lower.rfind('.');
    if (dot != lower.npos && dot > 0 &&
        std::find(extensions_.begin(), extensions_.end(), lower.substr(dot)) != extensions_.end()) {
      ++num_hidden_;
    }
    return Role::none;
  }

  /// False if its data ends too early, and the archive with it.
  bool member(std::uint64_t begin, archive_entry* entry) {
    const char* const raw_path = archive_entry_pathname(entry);
    const std::string_view path = raw_path == nullptr ? std::string_view() : raw_path;
    const MemberName name(path);
    const bool is_folder = archive_entry_filetype(entry) == AE_IFDIR;
    const ByteExtent data{.offset = reader_->position(),
                          .size = static_cast<std::uint64_t>(std::max<la_int64_t>(archive_entry_size(entry), 0))};
    const Role role = is_folder ? Role::none : role_of(name.extension);
    if (!name.key.empty() && !is_folder) {
      const bool is_after_damage = std::exchange(was_damaged_, false);
      if (!in_group_ || name.key != group_.key) {
        finish_group();
        begin_group(name.key, begin, is_after_damage);
      }
    }
    if (role == Role::none) return skip(data, path, role);

    const auto left_out = [&](const std::string& reason) {
      fault(begin, fmt::format("{}: {}", path, reason));
      if (role == Role::label) group_.is_faulty = true;  // 0 would be a guess
      return skip(data, path, role);
    };
    if (archive_entry_hardlink(entry) != nullptr) return left_out("expected a file, received a link to another member");
    if (archive_entry_filetype(entry) != AE_IFREG) return left_out("expected a file, received a link or a device");
    if (archive_entry_sparse_count(entry) > 0) return left_out("expected a file, received one with holes (sparse)");
    switch (role) {
      case Role::image:
        if (group_.image) return left_out("its key has an image already, " + group_.image_name);
        group_.image_name = path;
        group_.image = data;
        return skip(data, path, role);
      case Role::label:
        return label(begin, data, path);
      default:
        return metadata(begin, data, path);
    }
  }

  bool label(std::uint64_t begin, const ByteExtent& data, std::string_view path) {
    constexpr std::uint64_t max_bytes = 64;
    ++num_labels_;
    if (group_.label) {
      fault(begin, fmt::format("{}: its key has a label already", path));
      return skip(data, path, Role::label);
    }
    std::string text;
    if (data.size <= max_bytes && !read(data, text)) return cut_off(data, path, Role::label);
    group_.label = parse_label(text);
    if (!group_.label) {
      group_.is_faulty = true;
      fault(begin, data.size > max_bytes
                       ? fmt::format("{}: expected a decimal integer, received {} bytes", path, data.size)
                       : fmt::format("{}: expected a decimal integer of 64 bits, received \"{}\"", path, text));
    }
    return skip(data, path, Role::label);
  }

  bool metadata(std::uint64_t begin, const ByteExtent& data, std::string_view path) {
    if (group_.metadata || data.size > max_metadata_bytes) {
      fault(begin, group_.metadata ? fmt::format("{}: its key has metadata already", path)
                                   : fmt::format("{}: expected at most {} bytes of metadata, received {}; left out",
                                                 path, max_metadata_bytes, data.size));
      return skip(data, path, Role::metadata);
    }
    group_.metadata = data;
    if (!index_.is_compressed) return skip(data, path, Role::metadata);
    std::string text;
    if (!read(data, text)) return cut_off(data, path, Role::metadata);
    pay(text.size());
    group_.metadata->offset = index_.metadata_text.size();
    index_.metadata_text += text;
    return skip(data, path, Role::metadata);
  }

  /// Reads a member's data, of which there is little. False if it ends too early.
  bool read(const ByteExtent& data, std::string& text) {
    text.resize(data.size);
    return std::cmp_equal(
        reader_->checked(static_cast<int>(archive_read_data(reader_->get(), text.data(), text.size()))), data.size);
  }

  /// Goes on behind a member's data. False if there is not so much.
  bool skip(const ByteExtent& data, std::string_view path, Role role) {
    // libarchive would decompress in one go what it passes over, however much that is.
    for (int status = ARCHIVE_OK; index_.is_compressed && status != ARCHIVE_EOF;) {
      const void* block = nullptr;
      std::size_t size = 0;
      la_int64_t offset = 0;
      status = reader_->checked(archive_read_data_block(reader_->get(), &block, &size, &offset));
      if (status < ARCHIVE_WARN) return cut_off(data, path, role);
      reader_->expect_no_bomb();
    }
    if (reader_->checked(archive_read_data_skip(reader_->get())) >= ARCHIVE_WARN) return true;
    return cut_off(data, path, role);
  }

  bool cut_off(const ByteExtent& data, std::string_view path, Role role) {
    group_.borders_damage = true;
    // Of the last member's padding nothing is needed.
    const bool is_whole =
        !index_.is_compressed && data.offset <= store_.size() && data.size <= store_.size() - data.offset;
    if (!is_whole && (role == Role::image || role == Role::label)) group_.is_faulty = true;
    if (!is_whole && role == Role::metadata) group_.metadata.reset();
    fault(data.offset, fmt::format("{}: {}; what follows is left out", path, reader_->message()));
    return false;
  }

  void begin_group(std::string_view key, std::uint64_t offset, bool is_after_damage) {
    group_ = Group();
    group_.key = key;
    group_.offset = offset;
    group_.borders_damage = is_after_damage;
    in_group_ = true;
  }

  void finish_group() {
    if (!std::exchange(in_group_, false) || group_.is_faulty) return;
    if (!group_.image) {
      if (group_.label || group_.metadata) {
        fault(group_.offset,
              fmt::format("{}: expected an image beside its label or metadata, received none", group_.key));
      }
      return;
    }
    if (!group_.label && group_.borders_damage && num_labels_ > 0) {
      fault(group_.image->offset,
            fmt::format("{}: left out, because its label may be lost in the damage beside it", group_.image_name));
      return;
    }
    pay(group_.image_name.size() + bytes_per_sample);
    index_.samples.add(group_.image_name, group_.label.value_or(0));
    index_.images.push_back(*group_.image);
    if (group_.metadata && index_.metadata.empty()) index_.metadata.resize(index_.images.size() - 1);
    if (group_.metadata || !index_.metadata.empty()) {
      index_.metadata.push_back(group_.metadata.value_or(ByteExtent()));
    }
  }

  const ByteStore& store_;
  const std::string& path_;
  const std::vector<std::string>& extensions_;
  BlockSizes block_sizes_;
  const TarLimits& limits_;
  std::unique_ptr<ArchiveReader> reader_;
  TarIndex index_;

  Group group_;
  bool in_group_ = false;
  std::optional<std::uint64_t> damage_begin_;  // we are in damage that begins there
  std::string damage_message_;
  bool was_damaged_ = false;  // between the last member and the next
  bool begins_with_damage_ = false;

  std::uint64_t num_members_ = 0;
  std::uint64_t num_labels_ = 0;
  std::uint64_t num_hidden_ = 0;
  std::size_t num_faults_ = 0;
};

}  // namespace

void ListingBudget::take(std::uint64_t num_bytes, const std::string& path) {
  if (num_bytes_.fetch_add(num_bytes) + num_bytes <= max_bytes_) return;
  throw SourceError("tar source", fmt::format("expected names, labels and metadata of at most {} bytes in compressed "
                                              "archives, received more in {}; raise TarOptions::max_listing_bytes",
                                              max_bytes_, path));
}

std::uint64_t listing_bytes(const TarIndex& index) {
  std::uint64_t num_bytes =
      index.samples.names.size() + index.samples.size() * bytes_per_sample + index.metadata_text.size();
  for (const ListingFault& fault : index.faults) num_bytes += bytes_of_fault(fault.path, fault.message);
  return num_bytes;
}

TarIndex index_archive(const ByteStore& store, const std::string& path, const std::vector<std::string>& extensions,
                       BlockSizes block_sizes, const TarLimits& limits) {
  return TarWalk(store, path, extensions, block_sizes, limits).run();
}

}  // namespace muster
