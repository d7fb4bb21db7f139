#!/usr/bin/env bash
# Builds the fuzz targets and fuzzes them, one after the other.
set -euo pipefail

usage() {
  cat <<'END'
Usage: scripts/fuzz.sh [--minutes N] [TARGET ...]

Builds the fuzz targets with clang's libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer in build/fuzz, and runs
each TARGET (default: all) for N minutes. What was learnt stays in build/fuzz/corpus for the next time. Findings are
written to build/fuzz/findings: mend the fault, and keep the input in tests/fuzz/found/TARGET, where CTest replays it.

  --minutes N   for each target [30]
  --help        this text
END
}

minutes=30
targets=()
while (($# > 0)); do
  case $1 in
    --minutes)
      [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || { echo "fuzz.sh: --minutes needs a number of at least 1" >&2; exit 2; }
      minutes=$2; shift ;;
    -h | --help) usage; exit 0 ;;
    -*) printf 'fuzz.sh: unknown argument: %s\n' "$1" >&2; usage >&2; exit 2 ;;
    *) targets+=("$1") ;;
  esac
  shift
done

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
if command -v ccache >/dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache
fi
scripts/setup.sh --fuzz
cmake --preset fuzz
cmake --build --preset fuzz

cd build/fuzz
if ((${#targets[@]} == 0)); then
  for seeds in fuzz/seeds/*/; do targets+=("$(basename "$seeds")"); done
fi
mkdir -p findings
status=0
for target in "${targets[@]}"; do
  [[ -x fuzz/$target ]] || { printf 'fuzz.sh: no such target: %s\n' "$target" >&2; exit 2; }
  mkdir -p "corpus/$target"
  case $target in
    decode | restart_cut | optimize) dictionary=jpeg ;;
    pipeline | state | records) dictionary=json ;;
    *) dictionary= ;;
  esac
  options=(-max_total_time=$((60 * minutes)) -rss_limit_mb=2048 -timeout=30 -print_final_stats=1
    -artifact_prefix="findings/$target-")
  [[ -z $dictionary ]] || options+=(-dict="../../tests/fuzz/$dictionary.dict")
  printf '\n== %s, %d minutes\n' "$target" "$minutes"
  "fuzz/$target" "${options[@]}" "corpus/$target" "fuzz/seeds/$target" > "findings/$target.log" 2>&1 || status=1
  grep -E "ERROR|does not hold|^stat::number_of_executed|^stat::peak_rss|^Done" "findings/$target.log" || true
done
exit "$status"
