#!/usr/bin/env bash
# Which lines of the library and the program the tests run.
set -euo pipefail

usage() {
  cat <<'END'
Usage: scripts/coverage.sh

Builds with coverage in build/coverage, runs the tests, and prints the share of lines run per file, with the numbers of
those that were not; the same with the source goes to build/coverage/report/index.html.

  --help   this text
END
}

case ${1:-} in
  "") ;;
  -h | --help) usage; exit 0 ;;
  *) printf 'coverage.sh: unknown argument: %s\n' "$1" >&2; usage >&2; exit 2 ;;
esac

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
scripts/setup.sh --coverage
cmake --preset coverage
cmake --build --preset coverage
find build/coverage -name '*.gcda' -delete
# Tests read what the program says; what a killed one left of its counts is told elsewhere.
export GCOV_ERROR_FILE=$PWD/build/coverage/gcov.log
ctest --preset coverage -E '^package'  # whose consumer is linked without coverage
mkdir -p build/coverage/report
gcovr --root . --filter src/ --filter include/ --exclude-throw-branches --gcov-ignore-parse-errors \
  -j "$(nproc)" --html-details build/coverage/report/index.html --txt --object-directory build/coverage
