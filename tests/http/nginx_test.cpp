// Run by check_nginx.py, which starts the server and says where it is.
#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <span>
#include <string>
#include <thread>

#include "muster/files.hpp"
#include "source/byte_store.hpp"
#include "source/http_client.hpp"
#include "support.hpp"

namespace muster {
namespace {

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  REQUIRE_MESSAGE(value != nullptr, name << " is not set: run check_nginx.py");
  return value;
}

std::string url(const std::string& path) { return variable("MUSTER_TEST_URL") + path; }

std::vector<std::uint8_t> local(const std::string& path) {
  return test::read_bytes(std::filesystem::path(variable("MUSTER_TEST_ROOT")) / path);
}

template <class Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string refusal(const HttpOptions& options, const std::string& address) {
  return message_of([&] {
    std::vector<std::uint8_t> bytes;
    HttpClient(options).get(address, bytes, std::uint64_t{1} << 30, {});
  });
}

/// Reads all samples with so many threads; how many were those of the local files.
int num_equal(const CsvList& list, int num_threads) {
  std::atomic<std::uint64_t> next = 0;
  std::atomic<int> num = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < num_threads; ++t) {
    threads.emplace_back([&] {
      Sample sample;
      for (std::uint64_t id = next++; id < list.size(); id = next++) {
        sample.clear();
        try {
          list.read(id, sample, {});
          const std::string name = list.name(id);
          num += sample.bytes == local(name.substr(0, name.find('?')));
        } catch (const Error&) {
        }
      }
    });
  }
  threads.clear();
  return num;
}

// The first request may come before the server does.
constexpr HttpOptions patient{.stall_timeout_ms = 300, .num_retries = 30, .backoff_ms = 10, .max_backoff_ms = 500};
constexpr HttpOptions hasty{.stall_timeout_ms = 100, .num_retries = 2, .backoff_ms = 1, .max_backoff_ms = 1};

}  // namespace

TEST_CASE("nginx: a list behind a URL gives the bytes of the files, each asked for once") {
  const CsvList list(url("/data/once.csv"), {.http = {.num_retries = 30, .backoff_ms = 10, .max_backoff_ms = 500}});
  REQUIRE(list.size() == 60);
  CHECK(list.classes().size() == 3);
  CHECK(num_equal(list, 16) == 60);
}

TEST_CASE("nginx: samples come whole from a server that is busy, stalls, truncates or redirects") {
  for (const char* const path : {"/sometimes-busy/", "/stall/", "/cut/", "/moved/"}) {
    CAPTURE(path);
    const CsvList list(url(path) + "list.csv", {.http = patient});
    CHECK(num_equal(list, 16) == 60);
  }
}

TEST_CASE("nginx: what does not pass is an error that says what happened, and how often it was tried") {
  CHECK(has(refusal(hasty, url("/busy/x.jpg")), "/busy/x.jpg failed 3 times: 503 Service Unavailable; "));
  CHECK(has(refusal(hasty, url("/limited/x.jpg")), "failed 3 times: 429 Too Many Requests; "));
  CHECK(has(refusal(hasty, url("/stall/always/x.jpg")), "failed 3 times: no byte came for 100 ms; "));
  CHECK(has(refusal(hasty, url("/data/none.jpg")), "failed: 404 Not Found; check the URL"));
  CHECK(has(refusal(hasty, url("/private/x.jpg")), "failed: 403 Forbidden"));
  CHECK(has(refusal(hasty, url("/loop/x")), "failed: more than 5 redirects"));
  CHECK(has(refusal(hasty, url("/to-file")), "only http and https are followed"));
}

TEST_CASE("nginx: a certificate that nobody vouches for is refused at once") {
  const std::string message = refusal(hasty, variable("MUSTER_TEST_TLS_URL") + "/data/list.csv");
  CAPTURE(message);
  CHECK(has(message, "/data/list.csv failed: SSL certificate problem"));
}

TEST_CASE("nginx: ranges are those of the file, also where the server is sometimes busy") {
  const std::vector<std::uint8_t> all = local("all.bin");
  const auto client = std::make_shared<const HttpClient>(patient);
  for (const char* const path : {"/data/all.bin", "/sometimes-busy/all.bin", "/moved/all.bin"}) {
    CAPTURE(path);
    const auto store = open_url(url(path), client);
    REQUIRE(store->size() == all.size());
    for (std::size_t i = 0; i < 50; ++i) {
      const std::size_t offset = (i * 7919 * 101) % all.size();
      std::vector<std::uint8_t> bytes(std::min<std::size_t>(1 + i * 997, all.size() - offset));
      store->read(offset, bytes, {});
      CHECK(std::equal(bytes.begin(), bytes.end(), all.begin() + static_cast<std::ptrdiff_t>(offset)));
    }
  }
  CHECK(has(message_of([&] { open_url(url("/no-ranges/all.bin"), client); }), "a server with range requests"));
}

TEST_CASE("nginx: a file that is replaced while a byte store reads it is an error") {
  const std::filesystem::path path = std::filesystem::path(variable("MUSTER_TEST_ROOT")) / "changing.bin";
  test::write_file(path, std::string(1000, 'a'));
  const auto store = open_url(url("/data/changing.bin"), std::make_shared<const HttpClient>(patient));
  std::vector<std::uint8_t> bytes(100);
  CHECK_NOTHROW(store->read(500, bytes, {}));
  test::write_file(path, std::string(1001, 'b'));
  CHECK(has(message_of([&] { store->read(500, bytes, {}); }), "it changed while it was in use"));
}

}  // namespace muster
