// Lists of files: refused with a line number, or a listing of which every sample has a name, and none lies outside.
#include <optional>

#include "fuzz.hpp"
#include "muster/files.hpp"

using namespace muster;
using namespace muster::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto path = file_of("list.csv", data, size);
  std::optional<CsvList> list;
  if (!accepts([&] { list.emplace(path); })) return 0;
  claim(list->size() <= size, "a line is at least a byte");
  Sample sample;
  for (std::uint64_t id = 0; id < list->size(); ++id) {
    claim(!list->name(id).empty(), "a sample has a name");
    const std::int64_t label = list->label(id);
    claim(list->classes().empty() || (label >= 0 && label < static_cast<std::int64_t>(list->classes().size())),
          "a label names a class");
    if (id >= 8 || list->name(id).find("://") != std::string::npos) continue;
    // What lies in the list's folder is the list, and what other inputs left there: nothing.
    if (accepts([&] { list->read(id, sample, {}); })) claim(sample.bytes.size() == size, "only the list can be read");
  }
  claim(list->fingerprint() == CsvList(path).fingerprint(), "a list has one fingerprint");
  return 0;
}
