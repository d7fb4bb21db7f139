#include "muster/report.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "muster/error.hpp"
#include "muster/random.hpp"

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
  CHECK(report.to_string() == "delivered 400 rows in 7 batches, 1000 bytes read: 400 loaded");
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
        "delivered 20 rows in 2 batches, 5 bytes read: 10 loaded, 2 of them wrapped, 4 of them with warnings, 1 "
        "substituted, "
        "6 masked, 3 fillers\n"
        "  epoch 1, row 4: sample 17 (n02/b.jpg) substituted by sample 3: truncated\n"
        "  epoch 1, row 5: sample 9 masked: gone\n"
        "  epoch 1, row 6: sample 9 masked: gone\n"
        "  epoch 1, row 7: sample 9 masked: gone\n"
        "  epoch 1, row 8: sample 9 masked: gone\n"
        "  and 2 more");
}

TEST_CASE("report: an incident is one line of JSON, null for what is unknown") {
  const Incident incident{.outcome = Outcome::substituted,
                          .epoch = 1,
                          .row = 4,
                          .sample_id = ~std::uint64_t{0},
                          .path = "n02/\"b\".jpg",
                          .substitute_id = 3,
                          .message = "line 1\nline 2",
                          .stage = "decode",
                          .byte_offset = 4096};
  CHECK(incident.to_json() ==
        R"({"outcome":"substituted","epoch":1,"row":4,"id":18446744073709551615,"path":"n02/\"b\".jpg",)"
        R"("stage":"decode","byte_offset":4096,"message":"line 1\nline 2","substitute":3})");
  CHECK(Incident{.sample_id = 9, .path = {}, .message = {}}.to_json() ==
        R"({"outcome":"masked","epoch":0,"row":0,"id":9,"path":null,"stage":null,"byte_offset":null,"message":"",)"
        R"("substitute":null})");
}

TEST_CASE("report: bytes that are no UTF-8 are replaced, and the line can be read") {
  const Incident incident{.sample_id = 9, .path = "caf\xe9/\xf0\x9f.jpg", .message = "a\xff"};
  const std::vector<Incident> read = incidents_from_jsonl(incident.to_json());
  REQUIRE(read.size() == 1);
  CHECK(read[0].path == "caf\xef\xbf\xbd/\xef\xbf\xbd.jpg");
  CHECK(read[0].message == "a\xef\xbf\xbd");
}

TEST_CASE("report: incidents come back from their lines") {
  std::string text;
  std::vector<Incident> incidents;
  Rng rng(1, 0, 0, Stream::shuffle);
  const auto random_text = [&rng] {
    std::string letters;
    for (std::uint32_t i = rng() % 20; i > 0; --i) letters += static_cast<char>(rng() % 128);
    return letters;
  };
  for (int i = 0; i < 500; ++i) {
    Incident incident{.outcome = static_cast<Outcome>(rng() % 4),
                      .epoch = rng(),
                      .row = std::uint64_t{rng()} << 32 | rng(),
                      .sample_id = rng(),
                      .path = random_text(),
                      .message = random_text(),
                      .stage = random_text()};
    if (incident.outcome == Outcome::substituted) incident.substitute_id = rng();
    if (rng() % 2 == 0) incident.byte_offset = rng();
    text += incident.to_json() + (rng() % 3 == 0 ? "\r\n \t\n" : "\n");
    incidents.push_back(std::move(incident));
  }
  CHECK(std::count(text.begin(), text.end(), '\n') < 1001);
  const std::vector<Incident> read = incidents_from_jsonl(text);
  REQUIRE(read.size() == incidents.size());
  for (std::size_t i = 0; i < read.size(); ++i) {
    CHECK(read[i].to_json() == incidents[i].to_json());
    CHECK(read[i].outcome == incidents[i].outcome);
    CHECK(read[i].row == incidents[i].row);
    CHECK(read[i].sample_id == incidents[i].sample_id);
    CHECK(read[i].path == incidents[i].path);
    CHECK(read[i].stage == incidents[i].stage);
    CHECK(read[i].message == incidents[i].message);
    CHECK(read[i].byte_offset == incidents[i].byte_offset);
    CHECK(read[i].substitute_id == incidents[i].substitute_id);
  }
}

TEST_CASE("report: a list of ids is enough, whatever else stands in it") {
  const std::vector<Incident> read =
      incidents_from_jsonl("\n{\"id\":17}\n\n  {\"id\": 3, \"why\": [1, {}], \"path\": null}");
  REQUIRE(read.size() == 2);
  CHECK(read[0].sample_id == 17);
  CHECK(read[0].outcome == Outcome::masked);
  CHECK(read[1].sample_id == 3);
  CHECK_FALSE(read[1].byte_offset);
  CHECK(incidents_from_jsonl("").empty());
  CHECK(incidents_from_jsonl(" \r\n\n").empty());
}

TEST_CASE("report: a row that is not known is null, and stays unknown") {
  const Incident incident{.row = Incident::no_row, .sample_id = 9, .path = {}, .message = "gone"};
  CHECK(incident.to_json().find("\"row\":null") != std::string::npos);
  CHECK(incidents_from_jsonl(incident.to_json()).at(0).row == Incident::no_row);
  CHECK(incidents_from_jsonl("{\"id\":9}").at(0).row == Incident::no_row);
  const Report report{.incidents = {incident}};
  CHECK(report.to_string().ends_with("\n  epoch 0: sample 9 masked: gone"));
}

TEST_CASE("report: what a listing left out is passed over, an id is not") {
  const std::string fault =
      R"({"outcome":"left out","epoch":null,"row":null,"id":null,"path":"a.tar","stage":"list","byte_offset":512,)"
      R"("message":"cut off"})";
  const std::vector<Incident> read = incidents_from_jsonl(fault + "\n{\"id\":17}\n" + fault);
  REQUIRE(read.size() == 1);
  CHECK(read[0].sample_id == 17);
  CHECK_THROWS_AS(incidents_from_jsonl(R"({"outcome":"left out","id":3})"), ConfigError);
  CHECK_THROWS_AS(incidents_from_jsonl(R"({"outcome":"left out","id":"x"})"), ConfigError);
}

TEST_CASE("report: lines that are no incidents are refused with their number") {
  const auto refusal = [](const std::string& text) {
    try {
      incidents_from_jsonl(text);
    } catch (const ConfigError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(refusal("{\"id\":1}\n\n{\"row\":1}\n") ==
        "[incidents] line 3: \"id\": expected a whole number from 0 to 2^64 - 1, received nothing");
  CHECK(refusal("{\"id\":-1}") ==
        "[incidents] line 1: \"id\": expected a whole number from 0 to 2^64 - 1, received -1");
  CHECK(refusal("{\"id\":1,\"path\":7}") == "[incidents] line 1: \"path\": expected a text, received 7");
  CHECK(refusal("{\"id\":1,\"outcome\":\"lost\"}") ==
        "[incidents] line 1: there is no 'lost'; known: raised, masked, substituted, warned");
  CHECK(refusal("{\"id\":1}\n[1]") == "[incidents] line 2: expected an object, received a list");
  CHECK(refusal("17").find("[incidents] line 1: expected an object, received 17") == 0);
  CHECK(refusal("{\"id\":1}\n{\"id\":").find("[incidents] line 2: not valid JSON: ") == 0);
  for (const char* line :
       {"{\"id\":1.0}", "{\"id\":\"1\"}", "{\"id\":null}", "{\"id\":18446744073709551616}", "{\"id\":1}{\"id\":2}",
        "{\"id\":1,\"epoch\":true}", "{\"id\":1,\"substitute\":{}}", "\xff"}) {
    CAPTURE(line);
    CHECK_FALSE(refusal(line).empty());
  }
}

TEST_CASE("report: hostile lines are refused or read, whatever they hold") {
  const std::string line = Incident{.outcome = Outcome::substituted,
                                    .row = 7,
                                    .sample_id = 9,
                                    .path = "n02/b.jpg",
                                    .message = "cut off",
                                    .stage = "read",
                                    .byte_offset = 12}
                               .to_json();
  const auto is_refused = [](const std::string& text) {
    try {
      incidents_from_jsonl(text);
    } catch (const ConfigError&) {
      return true;
    }
    return false;
  };
  for (std::size_t length = 1; length < line.size(); ++length) CHECK(is_refused(line.substr(0, length)));
  Rng rng(2, 0, 0, Stream::shuffle);
  std::uint64_t num_refused = 0;
  for (int trial = 0; trial < 5000; ++trial) {
    std::string text = trial % 2 == 0 ? line : std::string(rng() % 100 + 1, ' ');
    for (std::uint32_t i = 1 + rng() % 50; i > 0; --i) text[rng() % text.size()] = static_cast<char>(rng());
    num_refused += is_refused(text);
  }
  CHECK(num_refused > 4000);
  CHECK(is_refused("{\"id\":" + std::string(200'000, '[') + std::string(200'000, ']') + "}"));
  CHECK(is_refused(std::string(200'000, '[') + std::string(200'000, ']')));
}

}  // namespace muster
