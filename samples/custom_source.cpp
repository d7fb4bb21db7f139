// A source of your own: where samples come from. This one keeps all its images in a single file, one after the
// other, with a table of where each begins; so could a database, an archive or a network store.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>

#include "made_images.hpp"

class PackedFile : public muster::Source {
 public:
  struct Entry {
    std::string name;
    std::int64_t label = 0;
    std::int64_t offset = 0;
    std::size_t size_bytes = 0;
  };

  PackedFile(const std::filesystem::path& path, std::vector<Entry> entries) : entries_(std::move(entries)) {
    file_ = std::shared_ptr<std::FILE>(std::fopen(path.c_str(), "rb"), [](std::FILE* file) {
      if (file != nullptr) std::fclose(file);
    });
    if (!file_) throw muster::SourceError("open", "cannot read " + path.string());
  }

  std::uint64_t size() const override { return entries_.size(); }
  std::string name(std::uint64_t id) const override { return entries_[id].name; }

  // Called by many threads at once: pread() needs no position that they would have to share.
  void read(std::uint64_t id, muster::Sample& sample, std::stop_token) const override {
    const Entry& entry = entries_[id];
    sample.label = entry.label;
    sample.expect_bytes(entry.size_bytes);  // waits while as many are in flight as may be
    sample.bytes.resize(entry.size_bytes);
    const ssize_t received = pread(fileno(file_.get()), sample.bytes.data(), sample.bytes.size(), entry.offset);
    if (received != static_cast<ssize_t>(entry.size_bytes)) {
      throw muster::SourceError(
          "read", "expected " + std::to_string(entry.size_bytes) + " bytes, received " + std::to_string(received));
    }
  }

 private:
  std::vector<Entry> entries_;
  std::shared_ptr<std::FILE> file_;
};

/// Packs every image of a folder into one file; returns the table.
std::vector<PackedFile::Entry> pack(const muster::Source& folder, const std::filesystem::path& path) {
  std::ofstream out(path, std::ios::binary);
  std::vector<PackedFile::Entry> entries;
  muster::Sample sample;
  std::int64_t offset = 0;
  for (std::uint64_t id = 0; id < folder.size(); ++id) {
    sample.clear();
    folder.read(id, sample, {});
    out.write(reinterpret_cast<const char*>(sample.bytes.data()), static_cast<std::streamsize>(sample.bytes.size()));
    entries.push_back({folder.name(id), sample.label, offset, sample.bytes.size()});
    offset += static_cast<std::int64_t>(sample.bytes.size());
  }
  if (!out.flush()) throw std::runtime_error("cannot write " + path.string());
  return entries;
}

int main() {
  const MadeFolder made(10);
  const muster::ImageFolder folder{made.path()};
  const std::filesystem::path packed_path = std::filesystem::path(made.path()) / "packed.bin";
  std::vector<PackedFile::Entry> entries = pack(folder, packed_path);

  const muster::Pipeline pipeline = muster::Pipeline::preset("imagenet-train");
  const muster::LoaderOptions options = {.batch_size = 4, .shuffle = true, .seed = 1};
  muster::Loader from_folder{folder, pipeline, options};
  muster::Loader from_packed{PackedFile{packed_path, entries}, pipeline, options};

  // The same ids hold the same images, so every batch is the same, byte for byte.
  muster::EpochRange expected = from_folder.epoch(0);
  for (const muster::Batch& batch : from_packed.epoch(0)) {
    const std::optional<muster::Batch> other = expected.next();
    if (!other || !std::ranges::equal(batch.images.bytes(), other->images.bytes()) || batch.ids != other->ids) {
      std::fputs("the packed file gives other batches than the folder\n", stderr);
      return 1;
    }
    std::printf("batch %d  %s  same bytes from both sources\n", static_cast<int>(batch.index),
                batch.images.shape().to_string().c_str());
  }

  // What the source throws reaches the consumer, with the sample named.
  entries[3].size_bytes += 1 << 20;
  muster::Loader broken{PackedFile{packed_path, entries}, pipeline, {.batch_size = 4}};
  try {
    for ([[maybe_unused]] const muster::Batch& batch : broken.epoch(0)) {
    }
  } catch (const muster::SourceError& error) {
    std::printf("a read that fails: %s\n", error.what());
    return error.where().sample_id == 3u && error.where().path == entries[3].name ? 0 : 1;
  }
  std::fputs("a read that fails was not noticed\n", stderr);
  return 1;
}
