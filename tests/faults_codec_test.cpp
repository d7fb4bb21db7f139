// Want of memory inside the codecs: libjpeg, libpng and zlib take theirs from malloc(), which this file stands before.
// libwebp's is left alone: it crashes by itself (1.2.4). It is no fault of the sample: the consumer is told under every
// policy, and no row is masked for it.
#include <doctest/doctest.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>

#include "jpeg.hpp"
#include "loader_support.hpp"
#include "preview/png.hpp"

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <link.h>

namespace {

/// Where the code of the codecs' libraries lies.
struct CodeRange {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
};
CodeRange codecs[16];
std::size_t num_codecs = 0;

std::atomic<bool> is_armed = false;
std::atomic<std::int64_t> num_left = 0;  // allocations of codecs, including the one that fails

int add_codec(dl_phdr_info* library, std::size_t, void*) {
  const auto is_named = [&](const char* name) { return std::strstr(library->dlpi_name, name) != nullptr; };
  if (!is_named("/libjpeg.") && !is_named("/libpng") && !is_named("/libz.")) return 0;
  for (int i = 0; i < library->dlpi_phnum && num_codecs < std::size(codecs); ++i) {
    const auto& part = library->dlpi_phdr[i];
    if (part.p_type != PT_LOAD || (part.p_flags & PF_X) == 0) continue;
    const std::uintptr_t begin = library->dlpi_addr + part.p_vaddr;
    codecs[num_codecs++] = {begin, begin + part.p_memsz};
  }
  return 0;
}

bool fails(const void* caller) noexcept {
  if (!is_armed) return false;
  const auto address = reinterpret_cast<std::uintptr_t>(caller);
  for (std::size_t i = 0; i < num_codecs; ++i) {
    if (address < codecs[i].begin || address >= codecs[i].end) continue;
    if (num_left.fetch_sub(1) != 1) return false;
    errno = ENOMEM;
    return true;
  }
  return false;
}

}  // namespace

extern "C" {

void* __libc_malloc(std::size_t size_bytes);
void* __libc_calloc(std::size_t count, std::size_t size_bytes);

void* malloc(std::size_t size_bytes) noexcept {
  return fails(__builtin_return_address(0)) ? nullptr : __libc_malloc(size_bytes);
}

void* calloc(std::size_t count, std::size_t size_bytes) noexcept {
  return fails(__builtin_return_address(0)) ? nullptr : __libc_calloc(count, size_bytes);
}

}  // extern "C"

namespace muster::test {

TEST_CASE("faults: when any one allocation of a codec fails, the consumer is told, or the row is right") {
  if (num_codecs == 0) dl_iterate_phdr(add_codec, nullptr);
  REQUIRE(num_codecs >= 3);
  const Image image = picture({64, 48}, 3, 1);
  std::uint64_t num_failed = 0;
  for (const Data& bytes : {write_jpeg(image, {}), write_jpeg(image, {.progressive = true}),
                            write_jpeg(image, {.restart_interval = 2}), encode_png(image.view())}) {
    std::vector<Sample> samples(1);
    samples[0].bytes = bytes;
    const MemorySource source(samples);
    for (const OnError on_error : {OnError::mask, OnError::substitute}) {
      const LoaderOptions options{.on_error = on_error, .num_threads = 1};
      Loader reference(source, random_pipeline(), options);
      const std::vector<RowCopy> expected = rows_of(reference, 0);
      std::int64_t k = 1;
      for (bool has_struck = true; has_struck; ++k) {
        CAPTURE(k);
        Loader loader(source, random_pipeline(), options);
        std::vector<RowCopy> rows;
        num_left = k;
        is_armed = true;
        const std::string error = message_of<Error>([&] { rows = rows_of(loader, 0); });
        is_armed = false;
        has_struck = num_left <= 0;
        CHECK((error.empty() ? rows == expected : mentions(error, {"bad_alloc", "sample 0"})));
        CHECK((has_struck || error.empty()));
        num_failed += has_struck ? 1 : 0;
      }
      CHECK(k > 4);
    }
  }
  MESSAGE(num_failed << " allocations of codecs failed");
}

}  // namespace muster::test

#endif
