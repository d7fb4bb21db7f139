#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "muster/tar.hpp"
#include "source/hash.hpp"
#include "source/http_client.hpp"
#include "source/in_parallel.hpp"
#include "source/option_range.hpp"
#include "source/tar_index.hpp"
#include "source/tar_stream.hpp"
#include "source/text.hpp"
#include "source/url.hpp"

namespace muster {

struct TarSource::Impl {
  TarOptions options;
  std::vector<TarArchive> archives;
  std::uint64_t num_samples = 0;
  std::vector<ListingFault> faults;
  Fingerprint fingerprint;
  std::unique_ptr<TarStreams> streams;  // null unless an archive is compressed

  /// Where a sample is: an archive, and its number there.
  struct Place {
    const TarArchive& archive;
    std::uint64_t index;
  };

  Place place(std::uint64_t id) const {
    expect_id(id, num_samples);
    const auto next = std::upper_bound(archives.begin(), archives.end(), id,
                                       [](std::uint64_t i, const TarArchive& archive) { return i < archive.first_id; });
    const TarArchive& archive = *std::prev(next);
    return {archive, id - archive.first_id};
  }

  void open(const std::vector<std::string>& paths);
  void index(TarArchive& archive, ListingBudget& budget);
  void number_samples();
};

namespace {

void expect_valid(const std::vector<std::string>& archives, const TarOptions& options) {
  if (archives.empty()) throw ConfigError("tar source", "expected at least one archive, received none");
  expect_at_least("tar source", "TarOptions::max_bytes", options.max_bytes, 1);
  expect_at_least("tar source", "TarOptions::max_expansion", options.max_expansion, 1);
  expect_at_least("tar source", "TarOptions::max_listing_bytes", options.max_listing_bytes, 1);
  if (options.shuffle_buffer == 0) {
    throw ConfigError("tar source", "expected a shuffle_buffer of at least one sample, received 0");
  }
  for (const std::string& extension : options.extensions) {
    if (!extension.starts_with('.') || extension.find('/') != extension.npos) {
      throw ConfigError("tar source", fmt::format("expected extensions as \".jpg\", received \"{}\"", extension));
    }
  }
}

/// The last part of a path, or of a URL's path.
std::string file_name(std::string path) {
  if (is_url(path)) path.resize(std::min(path.find_first_of("?#"), path.size()));
  return path.substr(path.find_last_of('/') + 1);
}

}  // namespace

void TarSource::Impl::open(const std::vector<std::string>& paths) {
  for (std::string& extension : options.extensions) extension = lower_ascii(extension);
  std::map<std::string, int> num_archives_of_name;
  for (const std::string& path : paths) ++num_archives_of_name[file_name(path)];

  std::shared_ptr<const HttpClient> http;
  if (std::any_of(paths.begin(), paths.end(), is_url)) http = std::make_shared<const HttpClient>(options.http);
  ListingBudget budget(static_cast<std::uint64_t>(options.max_listing_bytes));
  archives.resize(paths.size());
  in_parallel(paths.size(), [&](std::size_t i) {
    TarArchive& archive = archives[i];
    if (is_foreign_url(paths[i])) resolve_url({}, paths[i]);  // says why not
    archive.path = is_url(paths[i]) ? without_credentials(paths[i]) : paths[i];
    archive.name = file_name(paths[i]);
    if (num_archives_of_name[archive.name] > 1) archive.name = archive.path;
    archive.store = is_url(paths[i]) ? open_url(paths[i], http) : open_file(paths[i]);
    index(archive, budget);
  });
}

void TarSource::Impl::index(TarArchive& archive, ListingBudget& budget) {
  const bool is_kept = options.keep_index && !is_url(archive.path);
  const std::string file = archive.path + ".index";
  if (is_kept) {
    if (auto kept = load_index(file, *archive.store, archive.path, options.extensions)) {
      if (kept->is_compressed) budget.take(listing_bytes(*kept), archive.path);
      archive.index = std::move(*kept);
      return;
    }
  }
  const TarLimits limits{.max_expansion = static_cast<std::uint64_t>(options.max_expansion), .budget = &budget};
  archive.index = index_archive(*archive.store, archive.path, options.extensions,
                                is_url(archive.path) ? BlockSizes::for_urls() : BlockSizes::for_files(), limits);
  if (!is_kept) return;
  try {
    save_index(file, archive.index, *archive.store, options.extensions);
  } catch (const SourceError& error) {
    archive.index.faults.push_back({.path = archive.path, .byte_offset = {}, .message = error.what()});
  }
}

void TarSource::Impl::number_samples() {
  ContentHash names;
  ContentHash labels;
  bool is_any_compressed = false;
  for (TarArchive& archive : archives) {
    archive.first_id = num_samples;
    num_samples += archive.index.samples.size();
    is_any_compressed = is_any_compressed || archive.index.is_compressed;
    std::move(archive.index.faults.begin(), archive.index.faults.end(), std::back_inserter(faults));
    archive.index.faults = {};
    names.add(archive.name);
    names.add(archive.index.samples.size());
    for (std::uint64_t i = 0; i < archive.index.samples.size(); ++i) {
      names.add(archive.index.samples.name(i));
      names.add(archive.index.images[i].size);
      labels.add(static_cast<std::uint64_t>(archive.index.samples.labels[i]));
    }
  }
  fingerprint = {.names = names.value(), .labels = labels.value()};
  if (num_samples == 0) {
    throw SourceError("tar source",
                      fmt::format("expected samples, received not one in {} archives; of {} faults the "
                                  "first is: {}: {}",
                                  archives.size(), faults.size(), faults.front().path, faults.front().message));
  }
  if (is_any_compressed) {
    // Two blocks, because reads go from one to the next, and what as many threads as one may want hold open.
    constexpr std::uint64_t num_more = 256;
    const std::uint64_t num_kept = 2 * std::min(options.shuffle_buffer, num_samples) + num_more;
    streams = std::make_unique<TarStreams>(num_kept, static_cast<std::uint64_t>(options.max_bytes),
                                           static_cast<std::uint64_t>(options.max_expansion));
  }
}

TarSource::TarSource(const std::vector<std::string>& archives, TarOptions options) {
  expect_valid(archives, options);
  auto impl = std::make_shared<Impl>();
  impl->options = std::move(options);
  impl->open(archives);
  impl->number_samples();
  impl_ = std::move(impl);
}

std::uint64_t TarSource::size() const { return impl_->num_samples; }

void TarSource::read(std::uint64_t id, Sample& sample, std::stop_token stop) const {
  const auto [archive, index] = impl_->place(id);
  const ByteExtent& image = archive.index.images[index];
  sample.label = archive.index.samples.labels[index];
  if (image.size > static_cast<std::uint64_t>(impl_->options.max_bytes)) {
    throw SourceError("read", fmt::format("expected at most {} bytes, received {}; see TarOptions::max_bytes",
                                          impl_->options.max_bytes, image.size));
  }
  sample.expect_bytes(image.size);  // before a stream is waited for: those who hold memory must not wait for each other
  if (archive.index.is_compressed) {
    impl_->streams->read(archive, index, sample.bytes, stop);
  } else {
    sample.bytes.resize(image.size);
    archive.store->read(image.offset, sample.bytes, stop);
  }
}

std::string TarSource::name(std::uint64_t id) const {
  const auto [archive, index] = impl_->place(id);
  return fmt::format("{}/{}", archive.name, archive.index.samples.name(index));
}

std::string TarSource::metadata(std::uint64_t id) const {
  const auto [archive, index] = impl_->place(id);
  if (archive.index.metadata.empty()) return {};
  const ByteExtent& extent = archive.index.metadata[index];
  if (archive.index.is_compressed) return archive.index.metadata_text.substr(extent.offset, extent.size);
  std::string text(extent.size, '\0');
  archive.store->read(extent.offset, {reinterpret_cast<std::uint8_t*>(text.data()), text.size()}, {});
  return text;
}

Fingerprint TarSource::fingerprint() const { return impl_->fingerprint; }

std::uint64_t TarSource::shuffle_block() const { return random_access() ? 0 : impl_->options.shuffle_buffer; }

std::vector<ListingFault> TarSource::faults() const { return impl_->faults; }

std::int64_t TarSource::label(std::uint64_t id) const {
  const auto [archive, index] = impl_->place(id);
  return archive.index.samples.labels[index];
}

bool TarSource::random_access() const noexcept { return impl_->streams == nullptr; }

}  // namespace muster
