#include "muster/report.hpp"

#include <doctest/doctest.h>

#include "muster/error.hpp"

namespace muster {

TEST_CASE("report: names of policies lead back to them") {
  for (const OnError policy : {OnError::raise, OnError::mask, OnError::substitute}) {
    CHECK(on_error_from_name(name(policy)) == policy);
  }
  CHECK(name(OnError::substitute) == "substitute");
  CHECK_THROWS_WITH_AS(on_error_from_name("skip"), "[on error] there is no 'skip'; known: raise, mask, substitute",
                       ConfigError);
  CHECK(name(Outcome::raised) == "raised");
  CHECK(name(Outcome::masked) == "masked");
  CHECK(name(Outcome::substituted) == "substituted");
  CHECK(name(Outcome::warned) == "warned");
}

TEST_CASE("report: text of a clean run is one line") {
  const Report report{.num_batches = 7, .num_rows = 400, .num_loaded = 400, .num_bytes_read = 1000, .incidents = {}};
  CHECK(report.to_string() == "400 rows in 7 batches, 1000 bytes read: 400 loaded");
}

TEST_CASE("report: text counts what happened and shows the first incidents") {
  Report report{.num_batches = 2,
                .num_rows = 20,
                .num_loaded = 10,
                .num_substituted = 1,
                .num_masked = 6,
                .num_fillers = 3,
                .num_wrapped = 2,
                .num_warned = 4,
                .num_bytes_read = 5,
                .incidents = {}};
  report.incidents.push_back({.outcome = Outcome::substituted,
                              .epoch = 1,
                              .row = 4,
                              .sample_id = 17,
                              .path = "n02/b.jpg",
                              .substitute_id = 3,
                              .message = "truncated"});
  for (std::uint64_t row = 5; row < 11; ++row) {
    report.incidents.push_back(
        {.outcome = Outcome::masked, .epoch = 1, .row = row, .sample_id = 9, .path = {}, .message = "gone"});
  }
  CHECK(report.to_string() ==
        "20 rows in 2 batches, 5 bytes read: 10 loaded, 2 of them wrapped, 4 of them with warnings, 1 substituted, "
        "6 masked, 3 fillers\n"
        "  epoch 1, row 4: sample 17 (n02/b.jpg) substituted by sample 3: truncated\n"
        "  epoch 1, row 5: sample 9 masked: gone\n"
        "  epoch 1, row 6: sample 9 masked: gone\n"
        "  epoch 1, row 7: sample 9 masked: gone\n"
        "  epoch 1, row 8: sample 9 masked: gone\n"
        "  and 2 more");
}

}  // namespace muster
