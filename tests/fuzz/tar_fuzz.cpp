// Archives, plain and compressed: what is listed can be read or fails with a reason, and nothing leaves its bounds.
#include <algorithm>
#include <optional>

#include "fuzz.hpp"
#include "muster/tar.hpp"

using namespace muster;
using namespace muster::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto path = file_of("archive.tar", data, size);
  const TarOptions options{.shuffle_buffer = 4, .max_bytes = 1 << 20, .max_listing_bytes = 16 << 20};
  std::optional<TarSource> archive;
  if (!accepts([&] { archive.emplace({path.string()}, options); })) return 0;
  Sample sample;
  for (std::uint64_t id = 0; id < std::min<std::uint64_t>(archive->size(), 64); ++id) {
    claim(!archive->name(id).empty(), "a sample has a name");
    accepts([&] { static_cast<void>(archive->metadata(id)); });
    sample.clear();
    if (!accepts([&] { archive->read(id, sample, {}); })) continue;
    claim(sample.bytes.size() <= static_cast<std::size_t>(options.max_bytes), "a sample is within the limits");
    claim(!archive->random_access() || sample.bytes.size() <= size, "a member of a plain archive lies in it");
  }
  for (const ListingFault& fault : archive->faults()) claim(!fault.message.empty(), "a fault says what is wrong");
  return 0;
}
