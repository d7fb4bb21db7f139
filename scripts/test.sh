#!/usr/bin/env bash
# Sets up, builds and runs the tests; CTest's summary comes last.
set -euo pipefail

usage() {
  cat <<'END'
Usage: scripts/test.sh [--full | --sanitizers]

Installs missing packages, builds into build/, and runs the test suite. Run again, it does only what changed.

  --full        with every optional part: the suite again under AddressSanitizer and UndefinedBehaviorSanitizer, what has
                threads under ThreadSanitizer, the comparison with torchvision, the shared library, Debian packages, the
                benchmarks
  --sanitizers  instead: the suite under AddressSanitizer and UndefinedBehaviorSanitizer, then all of it under
                ThreadSanitizer, too
  --help        this text
END
}

full=false
sanitizers=false
while (($# > 0)); do
  case $1 in
    --full) full=true ;;
    --sanitizers) sanitizers=true ;;
    -h | --help) usage; exit 0 ;;
    *) printf 'test.sh: unknown argument: %s\n' "$1" >&2; usage >&2; exit 2 ;;
  esac
  shift
done

if $full && $sanitizers; then
  echo "test.sh: --full and --sanitizers exclude each other" >&2
  exit 2
fi

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
if command -v ccache >/dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache
fi

# Builds the suite with sanitizers.
build_sanitized() {
  for preset in asan tsan; do
    cmake --preset "$preset" -DMUSTER_TSAN_ALL_ROOMS="$1"
    cmake --build --preset "$preset"
  done
}

if $sanitizers; then
  scripts/setup.sh
  build_sanitized ON
  ctest --preset asan
  ctest --preset tsan
  exit
fi

if $full; then
  scripts/setup.sh --full
  build_sanitized OFF
  cmake --preset release -DMUSTER_FULL_TESTS=ON -DMUSTER_BUILD_BENCH=ON -DMUSTER_INCLUDE_TEST_TREES="asan;tsan"
else
  scripts/setup.sh
  cmake --preset release -DMUSTER_FULL_TESTS=OFF -DMUSTER_BUILD_BENCH=OFF -DMUSTER_INCLUDE_TEST_TREES=
fi
cmake --build --preset release
ctest --preset release
