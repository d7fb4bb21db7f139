#!/usr/bin/env bash
# Makes Debian packages of the shared build in BUILD_DIR and tries them in a clean root, and after them what `cmake
# --install` installs: what the packages name as dependencies is all that is there, besides a compiler, and nothing of
# this environment is known there. Exit status 77: no root can be made here.
set -euo pipefail

build=$1 work=$2 tests=$3 version=$4

rm -rf "$work"
mkdir -p "$work/try"
chmod 777 "$work"  # mmdebstrap may be another user in a namespace of its own
(cd "$build" && cpack -G DEB -B "$work/debs")
cp "$work"/debs/*.deb "$work/try"
DESTDIR=$work/try/installed cmake --install "$build"
cp -r "$tests/consumer" "$tests/try_debian.sh" "$work/try"

# Of Debian's packages those that ours depend on, without versions: dpkg compares these when it installs ours.
depends=$(for deb in "$work"/try/*.deb; do dpkg-deb -f "$deb" Depends; done |
  tr ',' '\n' | sed 's/(.*//; s/|.*//; s/ //g' | grep -v '^libmuster' | sort -u | paste -sd,)
echo "ours depend on $depends"

if ! mmdebstrap --variant=minbase --include="$depends,g++,cmake,ninja-build,pkg-config" \
  --customize-hook="touch '$work/stands'" \
  --customize-hook="copy-in '$work/try' /" \
  --customize-hook="chroot \"\$1\" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin sh /try/try_debian.sh $version" \
  --format=null bookworm; then
  [[ -e $work/stands ]] && exit 1
  echo "No clean root could be made here: the packages were made, but not tried." >&2
  exit 77
fi
