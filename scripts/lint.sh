#!/usr/bin/env bash
# What compilers do not see: formatting, clang-tidy, cppcheck.
set -euo pipefail

usage() {
  cat <<'END'
Usage: scripts/lint.sh [FILE ...]

Checks formatting (clang-format), then runs clang-tidy and cppcheck on the library and the program (or on FILEs below
src/). Anything found is an error. Takes half an hour of a core for everything.

  --help   this text
END
}

files=()
while (($# > 0)); do
  case $1 in
    -h | --help) usage; exit 0 ;;
    -*) printf 'lint.sh: unknown argument: %s\n' "$1" >&2; usage >&2; exit 2 ;;
    *) files+=("$1") ;;
  esac
  shift
done

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
scripts/setup.sh --lint
cmake --preset lint

git ls-files '*.cpp' '*.hpp' | xargs clang-format --dry-run --Werror

((${#files[@]} > 0)) || mapfile -t files < <(git ls-files 'src/*.cpp')
printf '%s\n' "${files[@]}" | xargs -P "$(nproc)" -n 1 clang-tidy --quiet --warnings-as-errors='*' -p build/lint

cppcheck --quiet --error-exitcode=1 --language=c++ --std=c++20 --enable=warning,performance,portability \
  --suppressions-list=.cppcheck --inline-suppr -I include -I src "${files[@]}"
echo "lint: ${#files[@]} files, nothing found"
