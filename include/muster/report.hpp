// Reports: what went wrong with which sample, and what was done about it. Nothing is lost silently.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace [[gnu::visibility("default")]] muster {

/// What a loader does with a sample that cannot be read, decoded or transformed.
enum class OnError : std::uint8_t {
  raise,       // rethrown at the row's batch; the first bad row in epoch order wins
  mask,        // the row stays: zeros, valid = 0, the filler label
  substitute,  // another sample takes the row: up to 8 draws of the row's own random stream, then masked
};

std::string_view name(OnError policy) noexcept;
/// The inverse of name(); throws ConfigError for an unknown name.
OnError on_error_from_name(std::string_view name);

/// What became of a row that was not simply loaded.
enum class Outcome : std::uint8_t {
  raised,       // the error went to the consumer
  masked,       // zeros
  substituted,  // the row shows sample `substitute_id`
  warned,       // loaded, but the codec complained (Integrity::lenient)
};

std::string_view name(Outcome outcome) noexcept;

/// One row's trouble.
struct Incident {
  Outcome outcome = Outcome::masked;
  std::uint64_t epoch = 0;
  std::uint64_t row = 0;                          // in the epoch's order, over all shards; or `no_row`
  std::uint64_t sample_id = 0;                    // the sample that failed
  std::string path;                               // its name
  std::uint64_t substitute_id = 0;                // what stands in its place, if substituted
  std::string message;                            // of the error; or the codec's warning
  std::string stage = {};                         // "read", "decode", "stage 2 RandomCrop"; empty where unknown
  std::optional<std::uint64_t> byte_offset = {};  // in the encoded bytes, where known
  static constexpr std::uint64_t no_row = ~std::uint64_t{0};  // it failed apart from any epoch, or that is unknown

  /// One line of JSON without the line's end: outcome, epoch, row, id, path, stage, byte_offset, message, substitute.
  /// What is unknown is null. Bytes that are no UTF-8 become U+FFFD.
  std::string to_json() const;
};

/// The inverse: incidents from lines of JSON (JSONL), blank lines allowed, unknown keys ignored; a line may hold as
/// little as {"id":17}. Lines without an id and with the outcome "left out", which a listing's faults have where a
/// program writes them between the incidents, are passed over. Throws ConfigError with the line's number.
std::vector<Incident> incidents_from_jsonl(std::string_view text);

/// How much may fail in one epoch of one rank before it is given up: masked and substituted rows count. Both limits
/// hold, where set.
struct ErrorBudget {
  std::optional<std::uint64_t> count = {};  // rows
  std::optional<double> share = {};         // of the rank's rows of an epoch: 0.01 is one percent

  friend bool operator==(const ErrorBudget&, const ErrorBudget&) = default;
};

/// Everything a loader has delivered so far. A snapshot: a plain value.
struct Report {
  std::uint64_t num_batches = 0;
  std::uint64_t num_rows = 0;         // all rows of these batches
  std::uint64_t num_loaded = 0;       // rows that show their own sample
  std::uint64_t num_substituted = 0;  // rows that show another
  std::uint64_t num_masked = 0;       // rows zeroed because of an error
  std::uint64_t num_fillers = 0;      // rows zeroed because the epoch ended
  std::uint64_t num_wrapped = 0;      // loaded rows that repeat the epoch's start
  std::uint64_t num_warned = 0;       // loaded or substituted rows with a codec's warning
  std::uint64_t num_bytes_read = 0;   // encoded bytes of the delivered rows
  std::vector<Incident> incidents;    // in the order of delivery; the first `max_incidents` are kept
  static constexpr std::size_t max_incidents = 10'000;

  /// Counts and the first few incidents, for people.
  std::string to_string() const;
};

}  // namespace muster
