#include <doctest/doctest.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <map>
#include <thread>

#include "http_server.hpp"
#include "muster/files.hpp"
#include "muster/tar.hpp"
#include "source/byte_store.hpp"
#include "source/http_client.hpp"
#include "source/url.hpp"
#include "support.hpp"

namespace muster {
namespace {

namespace fs = std::filesystem;
using test::file_response;
using test::HttpRequest;
using test::HttpResponse;
using test::HttpServer;
using End = HttpResponse::End;

constexpr std::uint64_t no_limit = std::uint64_t{1} << 40;

/// Waits for nothing between tries, and not long for a byte.
HttpOptions hasty(int num_retries) {
  return {.stall_timeout_ms = 50, .num_retries = num_retries, .backoff_ms = 0, .max_backoff_ms = 0};
}

std::string get(const HttpClient& client, const std::string& url, std::uint64_t max_bytes = no_limit) {
  std::vector<std::uint8_t> bytes;
  client.get(url, bytes, max_bytes, {});
  return {bytes.begin(), bytes.end()};
}

/// The message of the error that `call` throws; empty if it throws none.
template <class Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

std::string refusal(const HttpClient& client, const std::string& url, std::uint64_t max_bytes = no_limit) {
  return message_of([&] { get(client, url, max_bytes); });
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// Bytes that differ from place to place.
std::string content_of(std::size_t num_bytes, std::uint32_t seed = 1) {
  std::string content(num_bytes, '\0');
  for (std::size_t i = 0; i < num_bytes; ++i) {
    content[i] = static_cast<char>((static_cast<std::uint32_t>(i) + seed) * 2654435761u >> 21);
  }
  return content;
}

std::size_t num_open_files() {
  const fs::directory_iterator files("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(files), end(files)));
}

/// Grants what it is asked for, and remembers it.
struct CountingBudget : ByteBudget {
  void reserve(std::uint64_t num_bytes) override { granted.push_back(num_bytes); }
  std::vector<std::uint64_t> granted;
};

}  // namespace

TEST_CASE("http: URLs are told from paths, and from URLs of other kinds") {
  CHECK(is_url("http://a/b"));
  CHECK(is_url("HTTPS://a/b"));
  for (const char* const path : {"", "http", "http:/a", "httpx://a", "/http://a", "ftp://a", "file:///a", "a/b.jpg"}) {
    CHECK_FALSE(is_url(path));
  }
  for (const char* const path : {"ftp://a/b", "s3://bucket/key", "file:///etc/passwd"}) CHECK(is_foreign_url(path));
  for (const char* const path : {"http://a", "a/b://c", "://a", "1a://b", "a:/b", "c:b.jpg"}) {
    CHECK_FALSE(is_foreign_url(path));
  }
}

TEST_CASE("http: a reference means what a link on the page of its base means") {
  const std::string base = "http://me:secret@Host.example/a/b/list.csv?q=1";
  const std::map<std::string, std::string> links = {
      {"x.jpg", "http://me:secret@Host.example/a/b/x.jpg"},
      {"./c/../x.jpg", "http://me:secret@Host.example/a/b/x.jpg"},
      {"../x.jpg?y=2", "http://me:secret@Host.example/a/x.jpg?y=2"},
      {"/x.jpg", "http://me:secret@Host.example/x.jpg"},
      {"//other/x.jpg", "http://other/x.jpg"},
      {"https://other:1/x.jpg", "https://other:1/x.jpg"},
      {"a b\xc3\xa4.jpg", "http://me:secret@Host.example/a/b/a%20b%c3%a4.jpg"},
      {"http://other/a b.jpg", "http://other/a%20b.jpg"},
      {"a%20b.jpg", "http://me:secret@Host.example/a/b/a%20b.jpg"},
  };
  for (const auto& [reference, url] : links) CHECK(resolve_url(base, reference) == url);
  CHECK(resolve_url({}, "http://a/./b/../c") == "http://a/c");

  const std::map<std::string, std::string> mistakes = {
      {"a\\b.jpg", "it holds a backslash"},
      {"http://a/x\\..\\y", "it holds a backslash"},
      {"a#1.jpg", "write %23"},
      {"a\nb.jpg", "it holds a control character"},
      {std::string("a\0b", 3), "it holds a con"},
      {"ftp://a/b", "other schemes are not read"},
      {"file:///etc/passwd", "other schemes"},
      {"http://a:99999/", "Port number"},
      {"http://", "No host part"},
      {"http://me:secret@", "\"http://\""},
  };
  for (const auto& [reference, expected] : mistakes) {
    const std::string message = message_of([&] { resolve_url(base, reference); });
    CAPTURE(message);
    CHECK(has(message, expected));
    CHECK(has(message, "expected an http or https URL"));
    CHECK_FALSE(has(message, "secret"));
  }
  CHECK(has(message_of([] { resolve_url({}, "x.jpg"); }), "no URL that others can be relative to"));
}

TEST_CASE("http: beneath a URL is what no server can take for something else") {
  const std::string base = "http://host.example/a/b/list.csv";
  for (const char* const url :
       {"http://host.example/a/b/x.jpg", "http://HOST.example:80/a/b/c/x.jpg", "http://me:pw@host.example/a/b/x",
        "HTTP://host.example/a/%62/x", "http://host.example/a/b/", "http://host.example/a/b/..x",
        "http://host.example/a/b/x?y=/../z", "http://host.example/a/b/%252e%252e/x"}) {
    CAPTURE(url);
    CHECK(is_beneath(base, url));
  }
  for (const char* const url :
       {"https://host.example/a/b/x", "http://host.example:81/a/b/x", "http://other/a/b/x",
        "http://host.example@other/a/b/x", "http://host.example.other/a/b/x", "http://host.example/a/bb/x",
        "http://host.example/a/b", "http://host.example/a/b/../x", "http://host.example/a/b/%2e%2e/x",
        "http://host.example/a/b/.%2E/x", "http://host.example/a/b/..%2fx", "http://host.example/a/b/%2e%2e%2fx",
        "http://host.example/a/b/..%5cx", "http://host.example/a/b/..;/x", "http://host.example/a/b/%00x",
        "http://host.example/A/b/x", "nonsense"}) {
    CAPTURE(url);
    CHECK_FALSE(is_beneath(base, url));
  }
}

TEST_CASE("http: what leads down at a glance does so for every base") {
  for (const char* const path : {"a", "a/b.jpg", "a/..b", "a../b", "a/b..", "...", "./a", "A-1_2~3/", "a//b"}) {
    CAPTURE(path);
    CHECK(leads_down(path));
    for (const std::string base : {"http://host", "https://me:pw@host:1/a/b?c", "http://host/a/b/"}) {
      CHECK(is_beneath(base, resolve_url(base, path)));
    }
  }
  for (const char* const path : {"", "/a", "//a", "..", "../a", "a/..", "a/../b", "a/../../b", "%2e%2e/a", "a b", "a:b",
                                 "a?b", "a#b", "a\\b", "http://a", "a\xc3", "a;b"}) {
    CAPTURE(path);
    CHECK_FALSE(leads_down(path));
  }
}

TEST_CASE("http: user and password are not shown") {
  CHECK(without_credentials("http://me:secret@host/a@b") == "http://host/a@b");
  CHECK(without_credentials("https://me:se@cr@et@host:1") == "https://host:1");
  CHECK(shown_reference("//me:secret@host/x") == "//host/x");
  CHECK(shown_reference("//me:se#cret@host/x") == "//host/x");
  CHECK(shown_reference("a/b@c.jpg") == "a/b@c.jpg");
  CHECK(without_credentials("http://me:se\\cret@host/x") == "http://host/x");
  CHECK(without_credentials("http://host/a@b") == "http://host/a@b");
  CHECK(without_credentials("http://host?a@b") == "http://host?a@b");
  CHECK(without_credentials("http://[::1]:80/a@b") == "http://[::1]:80/a@b");
  CHECK(without_credentials("s3://key:secret@bucket/a") == "s3://bucket/a");
}

TEST_CASE("http: user and password of what no parser takes are not shown either, and other texts stay as they are") {
  for (const char* const url :
       {"http://me:se#cret@host/", "http://me:se/cret@host/", "http://me:se?cret@host/", "http://me:123#secret@host/",
        "http://me:123456/secret@host/", "http:/me:secret@host/", "http:///me:secret@host/", "HTTP:\\\\me:secret@host/",
        "http:me:secret@host/", "http://me:se cret@host/", "http://[::1:secret@host/", " http://me:se#cret@host/",
        "httpx://me:se/cret@host/"}) {
    CAPTURE(url);
    const std::string shown = without_credentials(url);
    CAPTURE(shown);
    CHECK_FALSE(has(shown, "cret"));
    CHECK(has(shown, "host/"));
  }
  for (const char* const path : {"", "/", "//", "a@b", "/data/a@b.jpg", "//data@home/a.jpg", "a:b@c", "http:", "://a@b",
                                 "/http://me@host", "http", "ttp:/a@b"}) {
    CAPTURE(path);
    CHECK(without_credentials(path) == path);
  }
  const test::TempDir dir;
  test::write_file(dir.path() / "list.csv", "http://me:se#cret@host/a.jpg,0\n");
  const std::string url = "http://me:se#cret@host/a.csv";
  for (const std::string& message :
       {message_of([&] { CsvList{url}; }), message_of([&] { CsvList{"http:/me:secret@host/a.csv"}; }),
        message_of([&] { CsvList(dir.path() / "list.csv"); }), message_of([&] { ImageFolder{url}; }),
        message_of([&] { TarSource({url}); }), message_of([&] { TarSource({"s3://me:secret@bucket/a.tar"}); }),
        message_of([&] { TarSource({"http:/me:secret@host/a.tar"}); })}) {
    CAPTURE(message);
    CHECK_FALSE(message.empty());
    CHECK_FALSE(has(message, "cret"));
  }
  CHECK(has(message_of([&] { ImageFolder{url}; }), "CsvList reads lists and TarSource archives"));
}

TEST_CASE("http: one connection serves one read after the other") {
  const std::string content = content_of(300'000);
  const HttpServer server([&](const HttpRequest& request) { return file_response(request, content); });
  const HttpClient client;
  std::vector<std::uint8_t> bytes;
  bytes.reserve(content.size());
  const std::uint8_t* const memory = bytes.data();
  for (int i = 0; i < 20; ++i) {
    client.get(server.url("/x"), bytes, content.size(), {});
    CHECK(std::string(bytes.begin(), bytes.end()) == content);
  }
  CHECK(bytes.data() == memory);
  CHECK(server.num_connections() == 1);
  CHECK(server.num_requests("/x") == 20);
}

TEST_CASE("http: an empty resource, and one sent in chunks, are read whole") {
  const std::string content = content_of(12'345);
  const HttpServer server([&](const HttpRequest& request) -> HttpResponse {
    if (request.path == "/empty") return {};
    return {.body = content, .chunked = true};
  });
  const HttpClient client;
  CHECK(get(client, server.url("/empty")).empty());
  CHECK(get(client, server.url("/chunked")) == content);
  CHECK(server.num_connections() == 1);
}

TEST_CASE("http: requests name us, ask for no compression, and carry the credentials of their own URL alone") {
  std::map<std::string, std::map<std::string, std::string>> seen;
  const HttpServer server([&](const HttpRequest& request) -> HttpResponse {
    seen[request.path] = request.fields;
    return {};
  });
  const HttpClient client;
  get(client, "http://me:secret@" + server.host() + "/with");
  get(client, server.url("/without"));
  CHECK(seen["/with"]["authorization"] == "Basic bWU6c2VjcmV0");
  CHECK_FALSE(seen["/without"].contains("authorization"));
  CHECK_FALSE(seen["/without"].contains("accept-encoding"));
  CHECK(has(seen["/without"]["user-agent"], "muster/"));
  CHECK(server.num_connections() == 1);
}

TEST_CASE("http: a server that recovers in time is forgiven, and nothing of its failures stays") {
  const std::string content = content_of(5000);
  const HttpServer server([&](const HttpRequest& request) -> HttpResponse {
    if (request.number == 3) return file_response(request, content);
    if (request.path == "/busy") return {.status = 503, .body = "try later"};
    if (request.path == "/stalls") return {.body = content.substr(0, 100), .length = 5000, .end = End::stall};
    if (request.path == "/silent") return {.end = End::stall, .has_head = false};
    if (request.path == "/ends") return {.body = content_of(100, 7), .length = 5000, .end = End::close};
    if (request.path == "/cut") return {.body = content_of(100, 7), .chunked = true, .end = End::close};
    return {.end = End::close, .has_head = false};  // hangs up
  });
  const HttpClient client(hasty(2));
  for (const char* const path : {"/busy", "/stalls", "/silent", "/ends", "/cut", "/hangs-up"}) {
    CAPTURE(path);
    CHECK(get(client, server.url(path)) == content);
    CHECK(server.num_requests(path) == 3);
  }
}

TEST_CASE("http: statuses that may pass are tried again on the same connection, as often as asked for") {
  const HttpServer server([&](const HttpRequest& request) -> HttpResponse {
    return {.status = std::stoi(request.path.substr(1)), .body = std::string(2000, 'x')};
  });
  const HttpClient client(hasty(3));
  for (const int status : {408, 429, 500, 502, 503, 504}) {
    const std::string path = "/" + std::to_string(status);
    const std::string message = refusal(client, server.url(path));
    CAPTURE(message);
    CHECK(has(message, "[http] GET " + server.url(path) + " failed 4 times: " + std::to_string(status) + " "));
    CHECK(has(message, "raise HttpOptions::num_retries"));
    CHECK(server.num_requests(path) == 4);
  }
  CHECK(server.num_connections() == 1);
  CHECK(has(refusal(HttpClient(hasty(0)), server.url("/503")), "failed once: 503 Service Unavailable; "));
}

TEST_CASE("http: other statuses are final at once") {
  const HttpServer server([&](const HttpRequest& request) -> HttpResponse {
    return {.status = std::stoi(request.path.substr(1)), .body = "no"};
  });
  const HttpClient client(hasty(3));
  const std::map<int, std::string> messages = {
      {204, "status 204"},         {206, "status 206"},  {300, "status 300"},    {304, "status 304"},
      {400, "400 Bad Request"},    {401, "user and pa"}, {403, "403 Forbidden"}, {404, "404 Not Found; check the URL"},
      {410, "410 Gone; check th"}, {416, "416 Range "},  {501, "status 501"},
  };
  for (const auto& [status, expected] : messages) {
    const std::string path = "/" + std::to_string(status);
    const std::string message = refusal(client, server.url(path));
    CAPTURE(message);
    CHECK(has(message, "GET " + server.url(path) + " failed: "));
    CHECK(has(message, expected));
    CHECK(server.num_requests(path) == 1);
  }
}

TEST_CASE("http: waiting doubles, ends at its limit, and keeps to what the server asks for") {
  const HttpOptions options{.backoff_ms = 200, .max_backoff_ms = 1500};
  CHECK(backoff_ms(options, 1, 0) == 200);
  CHECK(backoff_ms(options, 2, 0) == 400);
  CHECK(backoff_ms(options, 3, 0) == 800);
  CHECK(backoff_ms(options, 4, 0) == 1500);
  CHECK(backoff_ms(options, 1'000'000, 0) == 1500);
  CHECK(backoff_ms(options, 1, 1) == 1000);
  CHECK(backoff_ms(options, 4, 1) == 1500);
  CHECK(backoff_ms(options, 1, std::int64_t{1} << 62) == 1500);
  CHECK(backoff_ms({.backoff_ms = 0}, 30, 0) == 0);
  CHECK(backoff_ms({.backoff_ms = 500, .max_backoff_ms = 20}, 1, 0) == 20);
  CHECK(backoff_ms({.backoff_ms = 2'000'000'000, .max_backoff_ms = 2'147'483'647}, 9, 0) == 2'147'483'647);
}

TEST_CASE("http: a server that asks for an hour is asked again after max_backoff_ms") {
  const HttpServer server([&](const HttpRequest& request) -> HttpResponse {
    if (request.number == 1) return {.status = 503, .fields = {"Retry-After: 3600"}};
    return {.body = "ok"};
  });
  CHECK(get(HttpClient(hasty(1)), server.url("/")) == "ok");
}

TEST_CASE("http: errors of connections say what to do, and name no password") {
  std::string url;
  {
    const HttpServer server([](const HttpRequest&) { return HttpResponse{}; });
    url = "http://me:secret@" + server.host() + "/x";
  }
  const std::string message = refusal(HttpClient(hasty(1)), url);
  CAPTURE(message);
  CHECK(has(message, "GET " + without_credentials(url) + " failed 2 times: "));
  CHECK(has(message, "check that the server runs and can be reached"));
  CHECK_FALSE(has(message, "secret"));

  const HttpServer server([](const HttpRequest& request) -> HttpResponse {
    if (request.path == "/short") return {.body = "abc", .length = 10, .end = End::close};
    return {.end = End::stall, .has_head = false};
  });
  CHECK(has(refusal(HttpClient(hasty(1)), server.url("/")),
            "failed 2 times: no byte came for 50 ms; raise HttpOptions::stall_timeout_ms"));
  CHECK(has(refusal(HttpClient(hasty(1)), server.url("/short")), "failed 2 times: transfer closed with 7 bytes"));
}

TEST_CASE("http: bytes that only trickle are a stall, of the head as of the body") {
  const std::string content(100, 'x');
  const HttpServer server([&](const HttpRequest& request) -> HttpResponse {
    return {.body = content, .pause_ms = 10, .slow_head = request.path == "/head"};
  });
  HttpOptions options{.stall_timeout_ms = 600, .min_bytes_per_s = 10'000, .num_retries = 1, .backoff_ms = 0};
  for (const char* const path : {"/body", "/head"}) {
    CHECK(has(refusal(HttpClient(options), server.url(path)),
              "failed 2 times: fewer than 10000 bytes a second came for 600 ms; lower HttpOptions::min_bytes_per_s"));
  }
  options.min_bytes_per_s = 0;
  CHECK(get(HttpClient(options), server.url("/body")) == content);
}

TEST_CASE("http: redirects are followed so far, and to http and https only") {
  const HttpServer server([](const HttpRequest& request) -> HttpResponse {
    const auto to = [](const std::string& place, int status = 302) {
      return HttpResponse{.status = status, .fields = {"Location: " + place}, .body = "moved"};
    };
    if (request.path == "/a") return to("/b", 301);
    if (request.path == "/b") return to("c/d?e", 307);
    if (request.path == "/c/d?e") return {.body = "there"};
    if (request.path == "/loop") return to("/loop");
    if (request.path == "/file") return to("file:///etc/passwd");
    if (request.path == "/ftp") return to("ftp://127.0.0.1/x");
    return {.status = 404};
  });
  const HttpClient client({.num_retries = 3, .max_redirects = 2});
  CHECK(get(client, server.url("/a")) == "there");
  CHECK(has(refusal(HttpClient({.max_redirects = 1}), server.url("/a")), "failed: more than 1 redirects; "));
  CHECK(has(refusal(HttpClient({.max_redirects = 0}), server.url("/a")), "HttpOptions::max_redirects"));
  CHECK(has(refusal(client, server.url("/loop")), "failed: more than 2 redirects"));
  CHECK(server.num_requests("/loop") == 3);
  CHECK(has(refusal(client, server.url("/file")), "only http and https are followed"));
  CHECK(has(refusal(client, server.url("/ftp")), "only http and https are followed"));
  CHECK(server.num_requests("/ftp") == 1);
  for (const char* const url : {"file:///etc/passwd", "ftp://127.0.0.1/"}) CHECK_FALSE(refusal(client, url).empty());
}

TEST_CASE("http: credentials do not follow a redirect to another server") {
  std::map<std::string, std::string> seen;
  const HttpServer other([&](const HttpRequest& request) -> HttpResponse {
    seen = request.fields;
    return {.body = "there"};
  });
  const HttpServer server(
      [&](const HttpRequest&) -> HttpResponse { return {.status = 302, .fields = {"Location: " + other.url("/x")}}; });
  CHECK(get(HttpClient(), "http://me:secret@" + server.host() + "/") == "there");
  CHECK_FALSE(seen.contains("authorization"));
}

TEST_CASE("http: what is too long is refused, before its body if the server says so") {
  const HttpServer server([](const HttpRequest& request) -> HttpResponse {
    if (request.path == "/huge") return {.length = std::uint64_t{1} << 62, .end = End::stall};
    if (request.path == "/chunked") return {.body = std::string(101, 'x'), .chunked = true};
    return {.body = std::string(101, 'x')};
  });
  const HttpClient client({.num_retries = 3});  // with the patience of the default, waiting would be seen
  CHECK(has(refusal(client, server.url("/huge"), 100), "expected at most 100 bytes, received 4611686018427387904"));
  CHECK(has(refusal(client, server.url("/x"), 100), "expected at most 100 bytes, received 101"));
  CHECK(has(refusal(client, server.url("/chunked"), 100), "expected at most 100 bytes, received more"));
  CHECK(get(client, server.url("/chunked"), 101).size() == 101);
  CHECK(server.num_requests("/huge") == 1);
}

TEST_CASE("http: a server that announces far too much is no reason to run out of memory") {
  const HttpServer server([](const HttpRequest&) -> HttpResponse {
    return {.body = "abc", .length = std::uint64_t{1} << 39, .end = End::close};
  });
  CHECK(has(refusal(HttpClient(hasty(0)), server.url("/")), "failed once: transfer closed with"));
}

TEST_CASE("http: what is no HTTP, or has no end before its content, is an error") {
  const HttpServer server([](const HttpRequest& request) -> HttpResponse {
    if (request.path == "/line") return {.fields = {std::string("X: ") + std::string(400'000, 'x')}};
    HttpResponse response{.fields = std::vector<std::string>(30, "X: " + std::string(50'000, 'x'))};
    if (request.path == "/garbage") response = {.body = std::string(100, 'x'), .end = End::close, .has_head = false};
    return response;
  });
  for (const char* const path : {"/line", "/many-lines", "/garbage"}) {
    CAPTURE(path);
    CHECK(has(refusal(HttpClient(hasty(0)), server.url(path)), " failed"));
  }
}

TEST_CASE("http: a range with more bytes behind it than it says is refused") {
  const HttpServer server([&](const HttpRequest& request) -> HttpResponse {
    HttpResponse response = file_response(request, std::string(1000, 'x'));
    if (request.fields.at("range") != "bytes=0-0") response.body += "y";
    return response;
  });
  const auto store = open_url(server.url("/x"), std::make_shared<const HttpClient>(hasty(0)));
  std::vector<std::uint8_t> bytes(10);
  CHECK(has(message_of([&] { store->read(100, bytes, {}); }), "expected 10 bytes, received more"));
}

TEST_CASE("http: the length is announced once, before the bytes grow, however often it is tried") {
  const std::string content = content_of(5000);
  const HttpServer server([&](const HttpRequest& request) -> HttpResponse {
    if (request.path == "/chunked") return {.body = content, .chunked = true};
    if (request.number < 3) return {.body = content.substr(0, 100), .length = 5000, .end = End::close};
    return file_response(request, content);
  });
  const HttpClient client(hasty(2));
  CountingBudget budget;
  Sample sample;
  sample.budget = &budget;
  client.get(server.url("/x"), sample.bytes, no_limit, {}, &sample);
  CHECK(budget.granted == std::vector<std::uint64_t>{5000});
  client.get(server.url("/chunked"), sample.bytes, no_limit, {}, &sample);
  CHECK(budget.granted.size() == 1);

  struct Refusing : ByteBudget {
    void reserve(std::uint64_t) override { throw SourceError("budget", "too much"); }
  } refusing;
  sample.budget = &refusing;
  CHECK_THROWS_WITH_AS(client.get(server.url("/x"), sample.bytes, no_limit, {}, &sample), "[budget] too much",
                       SourceError);
  CHECK(server.num_requests("/x") == 4);
}

TEST_CASE("http: a length that another try brings is announced again, without memory in hand") {
  const std::string content = content_of(500'000);
  const HttpServer server([&](const HttpRequest& request) -> HttpResponse {
    if (request.number == 1) return {.body = content.substr(0, 100), .length = 100'000, .end = End::close};
    return file_response(request, content);
  });
  Sample sample;
  struct Budget : ByteBudget {
    explicit Budget(const std::vector<std::uint8_t>& memory) : bytes(memory) {}
    void reserve(std::uint64_t num_bytes) override {
      granted.push_back(num_bytes);
      capacities.push_back(bytes.capacity());
    }
    const std::vector<std::uint8_t>& bytes;
    std::vector<std::uint64_t> granted;
    std::vector<std::size_t> capacities;
  } budget(sample.bytes);
  sample.budget = &budget;
  HttpClient(hasty(1)).get(server.url("/x"), sample.bytes, no_limit, {}, &sample);
  CHECK(budget.granted == std::vector<std::uint64_t>{100'000, content.size()});
  CHECK(budget.capacities == std::vector<std::size_t>{0, 0});
}

TEST_CASE("http: options out of range are refused") {
  CHECK_THROWS_WITH_AS(HttpClient({.num_retries = -1}),
                       "[http] expected HttpOptions::num_retries of at least 0, received -1", ConfigError);
  CHECK_THROWS_AS(HttpClient({.connect_timeout_ms = 0}), ConfigError);
  CHECK_THROWS_AS(HttpClient({.stall_timeout_ms = 0}), ConfigError);
  CHECK_THROWS_AS(HttpClient({.min_bytes_per_s = -1}), ConfigError);
  CHECK_THROWS_AS(HttpClient({.backoff_ms = -1}), ConfigError);
  CHECK_THROWS_AS(HttpClient({.max_backoff_ms = -1}), ConfigError);
  CHECK_THROWS_AS(HttpClient({.max_redirects = -1}), ConfigError);
  CHECK_THROWS_AS(HttpClient({.max_transfers = 0}), ConfigError);
}

TEST_CASE("http: a requested stop ends a transfer, a pause before the next try, and the wait for a connection") {
  constexpr int forever_ms = 2'000'000'000;
  const HttpOptions patient{.connect_timeout_ms = forever_ms,
                            .stall_timeout_ms = forever_ms,
                            .num_retries = 3,
                            .backoff_ms = forever_ms,
                            .max_backoff_ms = forever_ms,
                            .max_transfers = 1};
  std::mutex mutex;
  std::condition_variable_any asked;
  bool was_asked = false;
  const HttpServer server([&](const HttpRequest& request) -> HttpResponse {
    if (request.path == "/warm") return {};
    const std::lock_guard lock(mutex);
    was_asked = true;
    asked.notify_all();
    if (request.path == "/busy") return {.status = 503};
    if (request.path == "/middle") return {.body = "abc", .length = 10, .end = End::stall};
    return {.end = End::stall, .has_head = false};
  });
  for (const char* const path : {"/silent", "/middle", "/busy"}) {
    const HttpClient client(patient);
    get(client, server.url("/warm"));  // no timer of a new connection will end the waiting
    std::stop_source stop;
    std::string first, second;
    {
      const auto read = [&](std::string& message) {
        message = message_of([&] {
          std::vector<std::uint8_t> bytes;
          client.get(server.url(path), bytes, no_limit, stop.get_token());
        });
      };
      std::jthread one([&] { read(first); });
      std::jthread other([&] { read(second); });
      std::unique_lock lock(mutex);
      asked.wait(lock, [&] { return std::exchange(was_asked, false); });
      stop.request_stop();
    }
    CHECK(first == "[read] stopped");
    CHECK(second == "[read] stopped");
    CHECK(server.num_requests(path) == 1);  // the other never had a connection
    CHECK(has(message_of([&] {
                std::vector<std::uint8_t> into;
                client.get(server.url(path), into, no_limit, stop.get_token());
              }),
              "stopped"));
  }
}

TEST_CASE("http: many threads share a client, and have a connection each at most") {
  std::vector<std::string> contents;
  for (std::uint32_t i = 0; i < 50; ++i) contents.push_back(content_of(1000 + 777 * i, i));
  constexpr int num_threads = 16;
  for (const int max_transfers : {64, 3}) {
    const HttpServer server([&](const HttpRequest& request) -> HttpResponse {
      if (request.number % 7 == 3) return {.status = 503};
      if (request.number % 11 == 5) return {.body = "x", .length = 100, .end = End::keep_alive};  // and then stalls
      return file_response(request, contents[std::stoul(request.path.substr(1))]);
    });
    const HttpClient client({.stall_timeout_ms = 50,
                             .num_retries = 20,
                             .backoff_ms = 0,
                             .max_backoff_ms = 0,
                             .max_transfers = max_transfers});
    std::atomic<int> num_right = 0;
    {
      std::vector<std::jthread> threads;
      for (unsigned t = 0; t < num_threads; ++t) {
        threads.emplace_back([&, t] {
          for (std::size_t i = 0; i < contents.size(); ++i) {
            const std::size_t file = (i + 3 * t) % contents.size();
            try {
              num_right += get(client, server.url("/" + std::to_string(file))) == contents[file];
            } catch (const Error&) {
            }
          }
        });
      }
    }
    CHECK(num_right == num_threads * 50);
  }
}

TEST_CASE("http: threads open no more connections than there are transfers") {
  const HttpServer server([&](const HttpRequest&) -> HttpResponse { return {.body = "abc"}; });
  const HttpClient client({.max_transfers = 3});
  std::atomic<int> num_right = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 12; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 20; ++i) num_right += get(client, server.url("/")) == "abc";
      });
    }
  }
  CHECK(num_right == 240);
  CHECK(server.num_connections() <= 3);
  CHECK(server.num_connections() >= 1);
}

TEST_CASE("http: a thousand requests, good and bad, leave no file open") {
  get(HttpClient(), HttpServer([](const HttpRequest&) { return HttpResponse{}; }).url("/"));  // opens what stays open
  const std::size_t num_before = num_open_files();
  {
    const HttpServer server([](const HttpRequest& request) -> HttpResponse {
      if (request.number % 3 == 0) return {.body = "abc", .length = 10, .end = End::close};
      if (request.number % 3 == 1) return {.status = 404};
      return {.body = "abc"};
    });
    const HttpClient client(hasty(0));
    int num_right = 0;
    for (int i = 0; i < 1000; ++i) num_right += refusal(client, server.url("/")).empty();
    CHECK(num_right == 333);
  }
  CHECK(num_open_files() == num_before);
}

TEST_CASE("http: a byte store reads any place of a resource") {
  const std::string content = content_of(100'000);
  const HttpServer server([&](const HttpRequest& request) -> HttpResponse {
    if (request.number % 5 == 0) return {.status = 503};
    HttpResponse response = file_response(request, request.path == "/empty" ? "" : content);
    if (request.number % 7 == 0) {  // ends early, and only what was asked for tells
      response.chunked = true;
      response.body.pop_back();
    }
    return response;
  });
  const auto client = std::make_shared<const HttpClient>(hasty(9));
  const auto store = open_url(server.url("/x"), client);
  CHECK(store->size() == content.size());
  CHECK(store->version() == "100000 bytes, \"v1\"");
  for (std::size_t i = 0; i < 100; ++i) {
    const std::size_t offset = i * 997;
    std::vector<std::uint8_t> bytes(1 + i * 13);
    store->read(offset, bytes, {});
    CHECK(std::string(bytes.begin(), bytes.end()) == content.substr(offset, bytes.size()));
  }
  std::vector<std::uint8_t> bytes(10);
  CHECK(has(message_of([&] { store->read(99'991, bytes, {}); }), "expected 10 bytes from byte 99991 on"));
  CHECK_NOTHROW(store->read(99'990, bytes, {}));
  CHECK_THROWS_AS(store->read(~std::uint64_t{0}, bytes, {}), SourceError);
  CHECK_NOTHROW(store->read(100'000, {}, {}));
  CHECK(open_url(server.url("/empty"), client)->size() == 0);
  std::stop_source stop;
  stop.request_stop();
  CHECK_THROWS_WITH_AS(store->read(0, bytes, stop.get_token()), "[read] stopped", SourceError);
}

TEST_CASE("http: a resource that changed under a byte store is an error") {
  std::string content = content_of(1000), tag = "\"v1\"";
  const HttpServer server([&](const HttpRequest& request) {
    HttpResponse response = file_response(request, content, tag);
    if (request.path == "/dated") response.fields[0] = "Last-Modified: " + tag;
    if (request.path == "/bare") response.fields.erase(response.fields.begin());
    return response;
  });
  const auto client = std::make_shared<const HttpClient>(hasty(3));
  const auto tagged = open_url(server.url("/tagged"), client);
  const auto dated = open_url(server.url("/dated"), client);
  const auto bare = open_url(server.url("/bare"), client);
  std::vector<std::uint8_t> bytes(10);
  const auto change_seen = [&](const ByteStore& store, std::uint64_t offset) {
    return has(message_of([&] { store.read(offset, bytes, {}); }), "it changed while it was in use: expected 1000 by");
  };
  for (const auto& store : {tagged, dated, bare}) CHECK_FALSE(change_seen(*store, 0));
  tag = "\"v2\"";
  CHECK(change_seen(*tagged, 0));
  CHECK(change_seen(*dated, 0));
  tag = "\"v1\"";
  content = content_of(999);
  for (const auto& store : {tagged, dated, bare}) CHECK(change_seen(*store, 0));
  content = content_of(500);
  for (const auto& store : {tagged, dated, bare}) CHECK(change_seen(*store, 900));  // 416
  CHECK(server.num_requests("/tagged") == 5);                                       // none was tried again
  CHECK(open_url(server.url("/tagged"), client)->version() != tagged->version());
}

TEST_CASE("http: ranges that are not what was asked for are refused, the whole resource before its body") {
  bool has_ranges = true;
  std::string range;
  const HttpServer server([&](const HttpRequest& request) -> HttpResponse {
    if (!has_ranges) return {.fields = {"ETag: \"v1\""}, .length = std::uint64_t{1} << 40, .end = End::stall};
    if (range.empty()) return file_response(request, std::string(1000, 'x'));
    HttpResponse response{.status = 206, .fields = {"ETag: \"v1\""}, .body = std::string(10, 'x')};
    if (range != "none") response.fields.push_back("Content-Range: " + range);
    return response;
  });
  const auto client = std::make_shared<const HttpClient>();  // waiting for a body would be seen
  const auto store = open_url(server.url("/x"), client);
  std::vector<std::uint8_t> bytes(10);
  const auto read = [&] { return message_of([&] { store->read(100, bytes, {}); }); };
  CHECK(read().empty());
  for (const char* const other : {"bytes 0-9/1000", "bytes 100-108/1000", "bytes 100-110/1000", "bytes 109-100/1000",
                                  "bytes */1000", "items 100-109/1000", "bytes x-109/1000"}) {
    range = other;
    CAPTURE(range);
    CHECK(has(read(), "expected bytes 100-109, received \"" + range + "\""));
  }
  range = "none";
  CHECK(has(read(), "expected bytes 100-109, received \"\""));
  range = "bytes 100-109/*";
  CHECK(read().empty());
  has_ranges = false;
  CHECK(has(read(), "it changed while it was in use"));
  CHECK(has(message_of([&] { open_url(server.url("/x"), client); }), "expected a server with range requests"));
  range = "bytes 0-0/*";
  has_ranges = true;
  CHECK(has(message_of([&] { open_url(server.url("/x"), client); }), "a range of a known length"));
  CHECK(has(message_of([&] { open_url("ftp://a/b", client); }), "expected an http or https URL"));
}

TEST_CASE("http: a server that loses its ranges is refused before it sends the whole") {
  bool has_ranges = true;
  const HttpServer server([&](const HttpRequest& request) {
    HttpResponse response = file_response(request, std::string(1000, 'x'));
    if (!has_ranges) response = {.fields = {"ETag: \"v1\""}, .body = std::string(1000, 'x')};
    return response;
  });
  const auto store = open_url(server.url("/x"), std::make_shared<const HttpClient>());
  has_ranges = false;
  std::vector<std::uint8_t> bytes(10);
  CHECK(has(message_of([&] { store->read(0, bytes, {}); }), "answered a range request with the whole; tar shards"));
}

TEST_CASE("http: a list behind a URL names what lies beside it") {
  const std::map<std::string, std::string> files = {
      {"/d/list.csv?v=1", "path,label\na.jpg,cat\nsub/b c.jpg,dog\n\"x,y.jpg\",cat\nsub/../a.jpg?w=2,dog\n"},
      {"/d/a.jpg", "one"},
      {"/d/sub/b%20c.jpg", "two"},
      {"/d/x,y.jpg", "three"},
      {"/d/a.jpg?w=2", "four"},
  };
  const HttpServer server([&](const HttpRequest& request) -> HttpResponse {
    const auto found = files.find(request.path);
    return found == files.end() ? HttpResponse{.status = 404} : file_response(request, found->second);
  });
  const CsvList list("http://me:secret@" + server.host() + "/d/list.csv?v=1");
  REQUIRE(list.size() == 4);
  CHECK(list.classes() == std::vector<std::string>{"cat", "dog"});
  CHECK(list.name(1) == "sub/b c.jpg");
  CountingBudget budget;
  Sample sample;
  sample.budget = &budget;
  for (const std::string expected : {"one", "two", "three", "four"}) {
    const std::uint64_t id = budget.granted.size();
    sample.clear();
    list.read(id, sample, {});
    CHECK(std::string(sample.bytes.begin(), sample.bytes.end()) == expected);
    CHECK(sample.label == list.label(id));
    CHECK(budget.granted.size() == id + 1);
  }
  CHECK(server.num_connections() == 1);
  CHECK_THROWS_AS(list.read(4, sample, {}), SourceError);
  const CsvList copy = list;
  CHECK_NOTHROW(copy.read(0, sample, {}));
  const CsvList small("http://" + server.host() + "/d/list.csv?v=1", {.max_bytes = 3});
  CHECK_NOTHROW(small.read(0, sample, {}));
  CHECK(has(message_of([&] { small.read(2, sample, {}); }), "expected at most 3 bytes, received 5"));
}

TEST_CASE("http: a list longer than max_list_bytes is refused") {
  const HttpServer server([&](const HttpRequest& request) -> HttpResponse {
    if (request.path == "/huge") return {.length = std::uint64_t{1} << 39, .end = End::stall};
    return {.body = "a.jpg,0\nb.jpg,1\n"};
  });
  CHECK(CsvList(server.url("/x"), {.max_list_bytes = 16}).size() == 2);
  CHECK(has(message_of([&] { CsvList(server.url("/x"), {.max_list_bytes = 15}); }),
            "expected at most 15 bytes, received 16"));
  CHECK(has(message_of([&] { CsvList(server.url("/huge")); }), "expected at most 1073741824 bytes, received"));
}

TEST_CASE("http: a list leads outside only where it is allowed to") {
  std::string text;
  const HttpServer server([&](const HttpRequest& request) -> HttpResponse {
    if (request.path == "/d/list.csv") return {.body = text};
    return {.body = request.path};
  });
  const std::string other = "http://localhost" + server.host().substr(server.host().find(':'));
  const std::string with_password = "http://me:secret@" + server.host() + "/e.jpg";
  for (const std::string& path : {std::string("../a.jpg"), std::string("/a.jpg"), std::string("%2e%2e/a.jpg"),
                                  server.url("/a.jpg"), other + "/d/a.jpg", with_password}) {
    text = "in.jpg,0\n" + server.url("/d/in.jpg") + ",1\n" + path + ",2\n";
    CAPTURE(path);
    const std::string message = message_of([&] { CsvList(server.url("/d/list.csv")); });
    CAPTURE(message);
    CHECK(has(message, "[csv list] line 3: expected a path inside the list's folder"));
    CHECK(has(message, "(" + server.url("/d/list.csv") + ")"));
    CHECK_FALSE(has(message, "secret"));
    const CsvList allowed(server.url("/d/list.csv"), {.allow_outside = true});
    CHECK(allowed.name(2) == without_credentials(path));
  }
  text = "in.jpg,0\n/etc/passwd,1\n";
  Sample sample;
  const CsvList passwd(server.url("/d/list.csv"), {.allow_outside = true});
  passwd.read(1, sample, {});
  CHECK(std::string(sample.bytes.begin(), sample.bytes.end()) == "/etc/passwd");  // of the server
  for (const char* const path : {"file:///etc/passwd", "ftp://a/b", "a\\b.jpg", "a#b.jpg"}) {
    text = std::string("in.jpg,0\n") + path + ",1\n";
    CHECK(has(message_of([&] { CsvList(server.url("/d/list.csv"), {.allow_outside = true}); }),
              "line 2: expected an http or https URL"));
  }
}

TEST_CASE("http: a local list may name files and URLs, if it may lead outside") {
  const HttpServer server([](const HttpRequest& request) -> HttpResponse { return {.body = request.path}; });
  const test::TempDir dir;
  test::write_file(dir.path() / "a.jpg", "file");
  const fs::path path = dir.path() / "list.csv";
  test::write_file(path, "a.jpg,0\nhttp://me:secret@" + server.host() + "/b c.jpg,1\n");
  CHECK(has(message_of([&] { CsvList{path}; }),
            "line 2: expected a path inside the list's folder, received \"" + server.url("/b c.jpg") + "\""));
  const CsvList list(path, {.allow_outside = true});
  CountingBudget budget;
  Sample sample;
  sample.budget = &budget;
  list.read(0, sample, {});
  CHECK(std::string(sample.bytes.begin(), sample.bytes.end()) == "file");
  sample.clear();
  list.read(1, sample, {});
  CHECK(std::string(sample.bytes.begin(), sample.bytes.end()) == "/b%20c.jpg");
  CHECK(budget.granted == std::vector<std::uint64_t>{4, 10});
  CHECK(list.name(1) == server.url("/b c.jpg"));
  test::write_file(path, "s3://bucket/a.jpg,0\n");
  CHECK(has(message_of([&] { CsvList(path, {.allow_outside = true}); }), "line 1: expected an http or https URL"));
}

TEST_CASE("http: a list that cannot be had is an error that names it without its password") {
  const HttpServer server([](const HttpRequest& request) -> HttpResponse {
    return request.path == "/empty.csv" ? HttpResponse{} : HttpResponse{.status = 404};
  });
  const std::string missing = message_of([&] { CsvList("http://me:secret@" + server.host() + "/no.csv"); });
  CHECK(missing == "[http] GET " + server.url("/no.csv") + " failed: 404 Not Found; check the URL");
  const std::string empty = message_of([&] { CsvList("http://me:secret@" + server.host() + "/empty.csv"); });
  CHECK(empty == "[csv list] expected lines of path,label, received none (" + server.url("/empty.csv") + ")");
}

TEST_CASE("http: the fingerprint of a list tells names and labels apart, and holds no password") {
  const test::TempDir dir;
  const fs::path path = dir.path() / "list.csv";
  const auto fingerprint = [&](const std::string& text) {
    test::write_file(path, text);
    return CsvList(path, {.allow_outside = true}).fingerprint();
  };
  const Fingerprint first = fingerprint("a.jpg,0\nb.jpg,1\n");
  CHECK(fingerprint("path,label\r\n\"a.jpg\",0\r\nb.jpg,1") == first);
  const Fingerprint relabelled = fingerprint("a.jpg,0\nb.jpg,2\n");
  CHECK(relabelled.names == first.names);
  CHECK(relabelled.labels != first.labels);
  const Fingerprint renamed = fingerprint("a.jpg,0\nc.jpg,1\n");
  CHECK(renamed.names != first.names);
  CHECK(renamed.labels == first.labels);
  CHECK(fingerprint("b.jpg,0\na.jpg,1\n").names != first.names);
  CHECK(fingerprint("http://me:old@a/b,0\n") == fingerprint("http://me:new@a/b,0\n"));
  const Fingerprint cat = fingerprint("a.jpg,cat\n");
  CHECK(fingerprint("a.jpg,dog\n").names == cat.names);
  CHECK(fingerprint("a.jpg,dog\n").labels != cat.labels);
}

}  // namespace muster
