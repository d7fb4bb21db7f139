# Runs in the clean root, in which /try holds the packages.
set -eu

dpkg -i /try/*.deb
muster --version | grep -F "$1"
muster synth --images 8 --classes 2 --height 60 --width 80 /try/photos
muster export /try/photos --preset imagenet-eval --batch-size 4 -o /try/batch.npy
ldd /usr/bin/muster /usr/lib/*/libmuster_onnx.so.* | grep "not found" && exit 1

cmake -G Ninja -S /try/consumer -B /try/build -DMUSTER_VERSION="$1"
cmake --build /try/build
/try/build/consumer
g++ -std=c++20 /try/consumer/main.cpp -o /try/with_pkg_config $(pkg-config --cflags --libs muster)
/try/with_pkg_config

# What is removed leaves nothing behind.
dpkg --purge muster libmuster-dev libmuster-onnx0.1 libmuster0.1
find /usr -name '*muster*' | grep . && exit 1
echo "the packages hold"
