# Runs in the clean root, in which /try holds the packages, and what `cmake --install` installs.
set -eu

try_muster() {
  muster --version | grep -F "$version"
  rm -rf /try/photos /try/build
  muster synth --images 8 --classes 2 --height 60 --width 80 /try/photos
  muster export /try/photos --preset imagenet-eval --batch-size 4 -o /try/batch.npy
  for file in $(find /usr -path '*muster*' \( -path '*/bin/*' -o -name '*.so*' \)); do
    ldd "$file" > /try/needs
    grep "not found" /try/needs && exit 1
  done

  cmake -G Ninja -S /try/consumer -B /try/build -DMUSTER_VERSION="$version"
  cmake --build /try/build
  /try/build/consumer
  g++ -std=c++20 /try/consumer/main.cpp -o /try/with_pkg_config $(pkg-config --cflags --libs muster)
  /try/with_pkg_config
}

version=$1

dpkg -i /try/*.deb
try_muster

# What is removed leaves nothing behind.
dpkg --purge muster $(dpkg-query -W -f '${Package}\n' 'libmuster*')
find /usr -name '*muster*' | grep . && exit 1
echo "the packages hold"

cp -a /try/installed/. /
ldconfig
try_muster
echo "the installation holds"
