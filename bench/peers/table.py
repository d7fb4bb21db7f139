"""Reads what run.sh collected, one line of JSON per run, and prints the table and what it was measured on."""
import json
import os
import platform
import statistics
import subprocess
import sys

OURS = "muster"
PACKAGES = ["libjpeg62-turbo", "libtbb12", "libhwy1", "libopencv-core406", "libopencv-imgcodecs406", "libtorch1.13",
            "python3-torch", "python3-torchvision", "python3-pil"]


def runs(lines):
    """(peer, rates of its epochs) of every run."""
    for line in lines:
        run = json.loads(line)
        if "peer" in run:
            yield run["peer"], run["images_per_second"]
            continue
        # `muster bench`: its first epoch warms up.
        yield OURS, run["images_per_second_by_epoch"][1:]
        yield "decode limit (libjpeg-turbo alone)", run["decode_limit_images_per_second_by_epoch"][1:]


def first_line(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return None


def fields(path, separator):
    try:
        with open(path, encoding="utf-8") as file:
            return dict(map(str.strip, line.split(separator, 1)) for line in file if separator in line)
    except OSError:
        return {}


def package_versions():
    for package in PACKAGES:
        version = first_line(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}\n", package])
        if version and version.startswith("installed "):
            yield f"{package} {version.split()[1]}"


def main():
    results, directory, num_threads, muster = sys.argv[1:]
    rates = {}
    num_runs = {}
    with open(results, encoding="utf-8") as file:
        for peer, images_per_second in runs(file):
            rates.setdefault(peer, []).extend(images_per_second)
            num_runs[peer] = num_runs.get(peer, 0) + 1

    ours = statistics.median(rates[OURS])
    print("| loader | median images/s | min | max | muster / it |")
    print("|---|---:|---:|---:|---:|")
    for peer, values in sorted(rates.items(), key=lambda item: -statistics.median(item[1])):
        if not values:
            continue
        median = statistics.median(values)
        print(f"| {peer} | {median:.0f} | {min(values):.0f} | {max(values):.0f} | {ours / median:.2f} |")

    sizes = [os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(directory) for name in names]
    cpu = fields("/proc/cpuinfo", ":").get("model name", platform.processor())
    memory = fields("/proc/meminfo", ":").get("MemTotal", "?")
    system = fields("/etc/os-release", "=").get("PRETTY_NAME", platform.system()).strip('"')
    print()
    print(f"- {num_runs[OURS]} turns, {len(rates[OURS])} epochs in all, after one in each turn to warm up;"
          f" {num_threads} threads or workers")
    print(f"- {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB")
    print(f"- {cpu}, {len(os.sched_getaffinity(0))} cores, {memory} of memory; load in the end {os.getloadavg()[0]:.1f}")
    print(f"- {system}, Linux {platform.release()}, {first_line(['c++', '--version'])}, Python"
          f" {platform.python_version()}, {first_line([muster, '--version'])}")
    print(f"- {', '.join(package_versions())}")


if __name__ == "__main__":
    main()
