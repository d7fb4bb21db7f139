option(BUILD_SHARED_LIBS "Build muster as a shared library" OFF)
option(MUSTER_BUILD_PROGRAM "Build the program `muster`" ${PROJECT_IS_TOP_LEVEL})
option(MUSTER_BUILD_TESTS "Build the tests (and the program, which they run)" ${PROJECT_IS_TOP_LEVEL})
option(MUSTER_BUILD_SAMPLES "Build the samples" ${PROJECT_IS_TOP_LEVEL})
option(MUSTER_BUILD_BENCH "Build the benchmarks (Google Benchmark)" OFF)
option(MUSTER_BUILD_PEERS "Build the loaders of others that bench/peers/run.sh compares with" OFF)
option(MUSTER_INSTALL "Generate install rules" ${PROJECT_IS_TOP_LEVEL})
option(MUSTER_WARNINGS_AS_ERRORS "Warnings are errors; for our own builds" OFF)
option(MUSTER_FULL_TESTS "Also the tests that need much time or optional packages; missing packages are an error" OFF)
set(MUSTER_SANITIZE "" CACHE STRING "Sanitizers for everything we build: address,undefined or thread")
option(MUSTER_BUILD_FUZZERS "Build the fuzz targets with libFuzzer, which clang has" OFF)
set(MUSTER_TEST_PREFIX "" CACHE STRING "What the names of tests begin with")
option(MUSTER_TSAN_ALL_ROOMS "Under ThreadSanitizer also the tests of what has one thread" OFF)
set(MUSTER_INCLUDE_TEST_TREES "" CACHE STRING "Other build trees whose tests CTest runs along with this one's")

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_CXX_EXTENSIONS OFF)
# A shared muster shows what its public headers declare, and of src/trace what muster::onnx needs; nothing else.
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)

# What every target of ours is built with; consumers get none of it.
add_library(muster_build_flags INTERFACE)
target_compile_features(muster_build_flags INTERFACE cxx_std_20)
target_compile_options(muster_build_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow
  # No fused multiply-add unless written: floats must not differ between CPUs.
  -ffp-contract=off)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # With optimisation g++ 12 sees overlaps and overflows inside std::string and std::vector that are not there (GCC
  # bug 105651 and its kin); the sanitizers look for the real ones.
  target_compile_options(muster_build_flags INTERFACE -Wno-restrict -Wno-array-bounds -Wno-stringop-overflow
    -Wno-stringop-overread)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND MUSTER_SANITIZE)
  # Its manual warns of these: what sanitizers put in looks like uses before initialisation.
  target_compile_options(muster_build_flags INTERFACE -Wno-maybe-uninitialized)
endif()
if(MUSTER_WARNINGS_AS_ERRORS)
  target_compile_options(muster_build_flags INTERFACE -Werror)
endif()
if(MUSTER_SANITIZE)
  target_compile_options(muster_build_flags INTERFACE -fsanitize=${MUSTER_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(muster_build_flags INTERFACE -fsanitize=${MUSTER_SANITIZE})
endif()
if(MUSTER_BUILD_FUZZERS)
  target_compile_options(muster_build_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
