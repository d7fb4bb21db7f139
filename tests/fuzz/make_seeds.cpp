// Writes what the fuzz targets begin with: FOLDER/TARGET/…, small files of every kind that muster reads.
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include <archive.h>
#include <archive_entry.h>

#include "index_input.hpp"
#include "jpeg.hpp"
#include "muster/loader.hpp"
#include "muster/pipeline.hpp"
#include "source/index_file.hpp"

namespace fs = std::filesystem;
using namespace muster;
using namespace muster::test;

namespace {

std::vector<Data> jpegs() {
  std::vector<Data> jpegs;
  const auto add = [&](Size size, const JpegStyle& style) {
    jpegs.push_back(write_jpeg(picture(size, style.components, 7), style));
  };
  for (const auto& [horizontal, vertical] : {std::pair{1, 1}, {2, 1}, {2, 2}, {1, 2}}) {
    add({48, 64}, {.horizontal = horizontal, .vertical = vertical});
    add({48, 64}, {.horizontal = horizontal, .vertical = vertical, .restart_interval = 2});
    add({33, 65}, {.horizontal = horizontal, .vertical = vertical, .restart_rows = 1});
    add({33, 65}, {.horizontal = horizontal, .vertical = vertical, .progressive = true});
  }
  add({40, 40}, {.components = 1, .restart_interval = 1});
  add({40, 40}, {.components = 4});
  add({40, 40}, {.separate_scans = true, .restart_interval = 1});
  add({40, 40}, {.arithmetic = true});
  add({40, 24}, {.restart_interval = 1, .orientation = 6});
  return jpegs;
}

/// Members of an archive: three samples and what belongs to them.
void write_archive(const fs::path& path, const char* format, const char* filter, const std::string& folder) {
  archive* const out = archive_write_new();
  bool is_well = archive_write_set_format_by_name(out, format) == ARCHIVE_OK &&
                 (std::strcmp(filter, "none") == 0 || archive_write_add_filter_by_name(out, filter) == ARCHIVE_OK) &&
                 archive_write_open_filename(out, path.c_str()) == ARCHIVE_OK;
  for (const char* const name : {"a.jpg", "a.cls", "a.json", "b.b.jpg", "b.cls", "c.txt", "d.png"}) {
    const std::string content = std::strstr(name, ".cls") != nullptr ? "17" : "content of " + std::string(name);
    archive_entry* const entry = archive_entry_new();
    archive_entry_set_pathname(entry, (folder + name).c_str());
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, static_cast<la_int64_t>(content.size()));
    is_well = is_well && archive_write_header(out, entry) >= ARCHIVE_WARN &&
              archive_write_data(out, content.data(), content.size()) == static_cast<la_ssize_t>(content.size());
    archive_entry_free(entry);
  }
  is_well = is_well && archive_write_close(out) == ARCHIVE_OK;
  archive_write_free(out);
  if (!is_well) throw std::runtime_error("cannot write " + path.string());
}

/// Numbers the seeds of each target.
class Seeds {
 public:
  explicit Seeds(fs::path folder) : folder_(std::move(folder)) {}

  template <class Content>
  void add(const char* target, const Content& content) {
    write_file(next(target), content);
  }
  fs::path next(const char* target) {
    fs::create_directories(folder_ / target);
    return folder_ / target / std::to_string(count_++);
  }

 private:
  fs::path folder_;
  int count_ = 0;
};

std::string state_of_a_run() {
  std::vector<Sample> samples(10);
  for (Sample& sample : samples) sample.image = std::make_shared<Image>(Size{3, 4}, 3);
  Loader loader(MemorySource(std::move(samples)), Pipeline{Resize{Size{2, 2}}},
                {.batch_size = 3, .shuffle = true, .num_threads = 1, .prefetch = 1});
  EpochRange range = loader.epoch(4);
  range.next();
  return loader.state();
}

std::string index_input(fuzz::IndexInput kind, const std::string& body) { return static_cast<char>(kind) + body; }

std::string numbers(std::initializer_list<std::uint64_t> values) {
  IndexWriter writer;
  for (const std::uint64_t value : values) writer.number(value);
  return writer.bytes();
}

std::string texts(std::initializer_list<std::string_view> values) {
  IndexWriter writer;
  for (const std::string_view value : values) writer.text(value);
  return writer.bytes();
}

/// The index that a walk of index_fuzz.cpp's folder would write.
std::string folder_index_body() {
  const auto stamp = [](std::size_t folder) { return std::string(fuzz::stand_in) + std::to_string(folder); };
  // Of the root; then images in it, links skipped and one link, to no folder.
  std::string body = stamp(0) + numbers({0, 1, 1}) + texts({"b/broken.jpg", ""}) + numbers({0});
  body += numbers({fuzz::folders.size() - 1});
  for (std::size_t i = 1; i < fuzz::folders.size(); ++i) {
    body += texts({fuzz::folders[i]}) + stamp(i) + texts({std::string_view("\5\0", 2), "1.jpg"});
  }
  return body;
}

/// The same of its archive: of two images the second has metadata.
std::string tar_index_body(bool is_compressed) {
  const std::string samples = numbers({is_compressed, 2}) + texts({"a.jpgb.jpg"}) + numbers({5, 10, 0, 7});
  const std::string images = numbers({512, 5, 1536, 5});
  const std::string metadata =
      is_compressed ? numbers({2, 0, 0, 0, 6}) + texts({"b.json"}) : numbers({2, 0, 0, 2560, 6}) + texts({""});
  return samples + images + metadata + numbers({1, 1, 512}) + texts({"a fault"});
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "Usage: muster_fuzz_seeds GOLDENS FOLDER\n");
    return 2;
  }
  Seeds seeds(argv[2]);
  for (const auto& entry : fs::directory_iterator(fs::path(argv[1]) / "decode")) {
    if (entry.path().extension() != ".txt") seeds.add("decode", read_bytes(entry.path()));
  }
  for (const Data& jpeg : jpegs()) {
    for (const char* const target : {"decode", "restart_cut", "optimize"}) seeds.add(target, jpeg);
  }
  for (const int orientation : {1, 6, 8, 9}) seeds.add("exif", exif_block(orientation));

  for (const std::string& preset : Pipeline::preset_names()) {
    seeds.add("pipeline", std::string(Pipeline::preset_json(preset)));
  }
  for (const char* const list :
       {"path,label\na.jpg,1\nb/c.png,0\n", "a.jpg,cat\r\n\"b,\"\"c\"\".jpg\",dog\r\n", "list.csv,3\n../x.jpg,1\n",
        "http://127.0.0.1:9/a.jpg,4\nlist.csv,5\n", "\"a\nb.jpg\",1\n"}) {
    seeds.add("csv_list", std::string(list));
  }
  const std::string long_folder = std::string(90, 'd') + "/" + std::string(60, 'e') + "/";  // needs ustar's prefix
  for (const char* const format : {"ustar", "pax", "gnutar", "v7tar"}) {
    write_archive(seeds.next("tar"), format, "none", "");
    if (std::strcmp(format, "v7tar") != 0) write_archive(seeds.next("tar"), format, "none", long_folder);
    for (const char* const filter : {"gzip", "xz", "zstd", "bzip2"}) {
      write_archive(seeds.next("tar"), format, filter, "x/");
    }
  }
  seeds.add("index", index_input(fuzz::IndexInput::folder_body, folder_index_body()));
  seeds.add("index", index_input(fuzz::IndexInput::tar_body, tar_index_body(false)));
  seeds.add("index", index_input(fuzz::IndexInput::compressed_tar_body, tar_index_body(true)));
  seeds.add("index", index_input(fuzz::IndexInput::compressed_tar_body, tar_index_body(false)));
  seeds.add("index", std::string(1, '\0') + "muster folder index 1\n12345678");
  seeds.add("index", std::string(1, '\0') + "muster tar index 1\n12345678");
  for (const char* const urls :
       {"http://me:pass@host:8080/data/list.csv\na/b%20c.jpg", "HTTPS://[::1]/a/?x=1\n../b;x/./c d.jpg",
        "http://host/a/\n//me:pw@other/x#y", "http://me:pa#ss@host/\nbytes 0-9/1000", "http://h\nbytes */17",
        "https://h/%2e%2e/a\ns3://bucket/x", "http://a@b@c/d\nhttp:\\\\me:pw@host/a"}) {
    seeds.add("url", std::string(urls));
  }
  for (const char* const layers :
       {"Conv2d(3, 16, 5) MaxPool2d(2) Flatten() Linear(44944, 10)",
        "Net(\n  (0-1): 2 x Sequential((0): Conv2d(3, 3, (3, 3), padding='same')\n  (downsample): ReLU())\n"
        "  (fc): Linear(in_features=27, out_features=3, bias=True)\n)",
        "ConvTranspose2d(3, 8, 2, stride=2, output_padding=1, dilation=2)\nAvgPool2d(3, ceil_mode=True)\n"
        "AdaptiveAvgPool2d((None, 7)) GroupNorm(2, 8) ZeroPad2d((1, -2, 3, 4)) Upsample(scale_factor=1.5)\n"
        "Reshape(-1, 8) BatchNorm1d(8) GlobalAvgPool() SyncBatchNorm(3)",
        "ResNet(\n (layer1): Sequential(\n (0): BasicBlock(\n (conv1): Conv2d(3, 64, kernel_size=(3, 3), stride=(2, "
        "2), "
        "padding=(1, 1), bias=False)\n (bn1): BatchNorm2d(64)\n (relu): ReLU(inplace=True)\n (conv2): Conv2d(64, 64, "
        "kernel_size=3, padding=1)\n (downsample): Sequential((0): Conv2d(3, 64, kernel_size=1, stride=2))))\n"
        " (avgpool): AdaptiveAvgPool2d(output_size=(1, 1))\n (fc): Linear(64, 10))"}) {
    seeds.add("layers", std::string(layers));
  }
  seeds.add("state", state_of_a_run());
  seeds.add("records", Ledger{}.to_json());
  seeds.add("records",
            Incident{.outcome = Outcome::masked, .path = "a.jpg", .message = "m", .stage = "decode"}.to_json());
}
