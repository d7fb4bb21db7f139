#!/usr/bin/env bash
# Measures muster against other loaders that do the same job on the same files, in turn, and prints a table.
set -euo pipefail

usage() {
  cat <<'END'
Usage: bench/peers/run.sh DIR [--runs N] [--epochs N] [--threads N] [--build DIR] [--install]

RandomResizedCrop(224), flip and normalise of DIR/class/image.jpg into float32 NCHW batches of 64, in muster, in
torchvision's DataLoader, in plain OpenCV with threads, and in libtorch's C++ DataLoader with OpenCV. The loaders run
in turn (A B C D A B C D ...), each with an epoch to warm up and N that count. Peers whose packages are missing are
named and left out.

  --runs N     turns [5]
  --epochs N   epochs of each turn that count [3]
  --threads N  threads or worker processes [one per core]
  --build DIR  where to build [build/peers]
  --install    installs the missing Debian packages first
  --help       this text

PYTHON names the Python that has torchvision [/usr/bin/python3].
END
}

fail() { printf 'run.sh: %s\n' "$1" >&2; exit 2; }

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
peers=$root/bench/peers

dir=
build=$root/build/peers
runs=5
epochs=3
threads=$(nproc)
install=false
python=${PYTHON:-/usr/bin/python3}
while (($# > 0)); do
  case $1 in
    --runs | --epochs | --threads)
      [[ ${2-} =~ ^[1-9][0-9]*$ ]] || fail "$1 needs a number of at least 1, received '${2-}'"
      declare "${1#--}=$2"
      shift
      ;;
    --build)
      [[ -n ${2-} ]] || fail "--build needs a folder"
      build=$2
      shift
      ;;
    --install) install=true ;;
    -h | --help) usage; exit 0 ;;
    -*) fail "unknown option: $1" ;;
    *) [[ -z $dir ]] || fail "one DIR is enough: $1"; dir=$1 ;;
  esac
  shift
done
[[ -n $dir ]] || { usage >&2; exit 2; }
[[ -d $dir ]] || fail "no such folder: $dir"
dir=$(cd -- "$dir" && pwd)

if $install; then
  "$root/scripts/setup.sh" --full
  if ! dpkg-query -W -f '${db:Status-Status}' libtorch-dev 2>/dev/null | grep -qx installed; then
    as_root=()
    ((EUID == 0)) || as_root=(sudo)
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends libtorch-dev
  fi
fi

if command -v ccache >/dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache
fi
{
  cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DMUSTER_BUILD_TESTS=OFF \
    -DMUSTER_BUILD_SAMPLES=OFF -DMUSTER_BUILD_PEERS=ON
  cmake --build "$build" --target muster_program peers
} >&2

muster=$build/muster
results=$(mktemp)
trap 'rm -f "$results"' EXIT

export OMP_NUM_THREADS=1  # one thread for each worker of torch
loaders=(muster)
if "$python" -c 'import torchvision' 2>/dev/null; then
  loaders+=(torchvision)
else
  echo "run.sh: $python has no torchvision (python3-torchvision): left out" >&2
fi
if [[ -x $build/peers/opencv_peer ]]; then
  loaders+=(opencv)
else
  echo "run.sh: no imgcodecs (libopencv-imgcodecs-dev): OpenCV left out" >&2
fi
if [[ -x $build/peers/libtorch_peer ]]; then
  loaders+=(libtorch)
else
  echo "run.sh: no libtorch (libtorch-dev): left out" >&2
fi

measure() {
  case $1 in
    muster)
      "$muster" bench "$dir" --preset imagenet-train --batch-size 64 --shuffle --threads "$threads" \
        --epochs $((epochs + 1)) --json
      ;;
    torchvision) "$python" "$peers/torchvision_peer.py" "$dir" "$threads" "$epochs" ;;
    opencv) "$build/peers/opencv_peer" "$dir" "$threads" "$epochs" ;;
    libtorch) "$build/peers/libtorch_peer" "$dir" "$threads" "$epochs" ;;
  esac
}

for ((run = 1; run <= runs; ++run)); do
  for loader in "${loaders[@]}"; do
    printf 'turn %d of %d: %s\n' "$run" "$runs" "$loader" >&2
    measure "$loader" >>"$results"
  done
done
"$python" "$peers/table.py" "$results" "$dir" "$threads" "$muster"
