// Records that runs exchange: incidents as JSON lines, ledgers as JSON.
#include "fuzz.hpp"
#include "muster/ledger.hpp"
#include "muster/report.hpp"

using namespace muster;
using namespace muster::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = text_of(data, size);
  accepts([&] { static_cast<void>(incidents_from_jsonl(text)); });
  accepts([&] {
    const Ledger ledger = Ledger::from_json(text);
    claim(Ledger::from_json(ledger.to_json()).to_json() == ledger.to_json(), "a ledger's text gives it again");
  });
  return 0;
}
