#!/usr/bin/env bash
# The main job, start to end: a folder of images into verified batches of one shape.
set -euo pipefail

usage() {
  cat <<'END'
Usage: scripts/demo.sh [--out FOLDER] [DIR]

Installs missing packages, builds the program, and shows for DIR (an image folder: DIR/class/image.jpg, or a list
ending in .csv) what is in it, why every batch has one shape, how fast batches come, and, on a contact sheet, what
they look like. Without DIR it makes 400 photo-like images first, and keeps them for the next time.

  --out FOLDER   where the contact sheet goes [build/demo]
  --help         this text
END
}

fail_usage() {
  printf 'demo.sh: %s\n' "$1" >&2
  usage >&2
  exit 2
}

dir=
out=
while (($# > 0)); do
  case $1 in
    --out) (($# > 1)) && [[ -n $2 ]] || fail_usage "--out needs a folder"; out=$(realpath -m -- "$2"); shift ;;
    -h | --help) usage; exit 0 ;;
    -*) fail_usage "unknown option: $1" ;;
    *) [[ -z $dir ]] || fail_usage "more than one DIR: $1"
       [[ -e $1 ]] || fail_usage "no such folder: $1"
       dir=$(realpath -- "$1") ;;
  esac
  shift
done

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
out=${out:-$PWD/build/demo}
if command -v ccache >/dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache
fi

scripts/setup.sh
cmake --preset release
cmake --build --preset release --target muster_program
muster=build/release/muster

step() { printf '\n== %s\n' "$1"; }

if [[ -z $dir ]]; then
  dir=build/demo-data
  if [[ ! -d $dir ]]; then
    step "Making 400 photo-like images in $dir"
    "$muster" synth "$dir" --images 400
  fi
fi
options=(--preset imagenet-train --batch-size 64 --shuffle)

step "What is in $dir, and why every batch has one shape"
"$muster" inspect "$dir" "${options[@]}"

step "Three epochs of batches, every shape verified"
"$muster" bench "$dir" "${options[@]}" --epochs 3

step "What the trainer sees"
mkdir -p "$out"
"$muster" preview "$dir" "${options[@]}" -o "$out/preview.png"
printf '\nThe contact sheet: %s\n' "$out/preview.png"
