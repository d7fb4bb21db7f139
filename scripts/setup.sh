#!/usr/bin/env bash
# Installs what muster is built from: Debian 12 packages, only those that are missing.
set -euo pipefail

usage() {
  cat <<'END'
Usage: scripts/setup.sh [--full] [--fuzz] [--lint] [--coverage]

Installs the missing Debian packages that muster needs, as root or through sudo.

  --full   also what the benchmarks, the comparison with torchvision and the tests for Arm, nginx, MPI, libtorch,
           ONNX, OpenCV's dnn, clang++ and Debian packages need
  --fuzz   also what scripts/fuzz.sh needs
  --lint   also what scripts/lint.sh needs
  --coverage
           also what scripts/coverage.sh needs
  --help   this text
END
}

full=false
fuzz=false
lint=false
coverage=false
while (($# > 0)); do
  case $1 in
    --full) full=true ;;
    --fuzz) fuzz=true ;;
    --lint) lint=true ;;
    --coverage) coverage=true ;;
    -h | --help) usage; exit 0 ;;
    *) printf 'setup.sh: unknown argument: %s\n' "$1" >&2; usage >&2; exit 2 ;;
  esac
  shift
done

packages=(
  ca-certificates g++ cmake ninja-build pkg-config
  libjpeg62-turbo-dev libpng-dev libtiff-dev libwebp-dev libcurl4-openssl-dev libarchive-dev libtbb-dev
  libopencv-core-dev libopencv-imgproc-dev
  libfmt-dev libcli11-dev nlohmann-json3-dev libhwy-dev doctest-dev
)
if $full; then
  packages+=(libbenchmark-dev libopencv-imgcodecs-dev libjpeg-turbo-progs python3-numpy python3-pil python3-torchvision
    g++-aarch64-linux-gnu qemu-user nginx-light openssl doxygen libopenmpi-dev openmpi-bin
    libtorch-dev libopencv-dnn-dev libonnx-dev clang
    dpkg-dev file mmdebstrap)
fi
if $fuzz; then
  packages+=(clang libclang-rt-dev libonnx-dev)
fi
if $lint; then
  packages+=(git clang clang-format clang-tidy cppcheck libonnx-dev)
fi
if $coverage; then
  packages+=(gcovr)
fi

if ! command -v apt-get >/dev/null; then
  echo "setup.sh: apt-get not found; install these yourself (Debian's names): ${packages[*]}" >&2
  exit 1
fi

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [[ $status == installed ]] || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
  echo "setup: all ${#packages[@]} packages are installed"
  exit 0
fi

as_root=()
if ((EUID != 0)); then
  if ! command -v sudo >/dev/null; then
    echo "setup.sh: packages are missing, and this is neither root nor is there a sudo." >&2
    echo "Run as root: apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi

echo "setup: installing ${missing[*]}"
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
