#!/usr/bin/env bash
# Measures what it costs to read a folder's images from an HTTP server instead.
set -euo pipefail
PATH=$PATH:/usr/sbin  # where nginx is, which others than root have not in their path

usage() {
  cat <<'END'
Usage: bench/http.sh DIR [--muster PROGRAM] [--runs N] [--io-threads N]

The job of imagenet-train, batch 64, shuffled, over DIR/class/image.jpg (JPEGs alone): from the folder itself; through a
list of URLs; and out of a tar archive behind a URL, by ranges. An nginx of its own on the loopback serves both; it shares the
processor with the loader. The three run in turn; the table shows medians and the ratio to the folder.

  --muster PROGRAM  [build/release/muster]
  --runs N          turns [5]
  --io-threads N    for the URLs [16]
  --help            this text
END
}

fail() { printf 'http.sh: %s\n' "$1" >&2; exit 2; }

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
dir=
muster=$root/build/release/muster
runs=5
io_threads=16
while (($# > 0)); do
  case $1 in
    --runs | --io-threads)
      [[ ${2-} =~ ^[1-9][0-9]*$ ]] || fail "$1 needs a number of at least 1, received '${2-}'"
      name=${1#--}
      declare "${name//-/_}=$2"
      shift
      ;;
    --muster)
      [[ -n ${2-} ]] || fail "--muster needs a program"
      muster=$2
      shift
      ;;
    -h | --help) usage; exit 0 ;;
    -*) fail "unknown option: $1" ;;
    *) [[ -z $dir ]] || fail "one DIR is enough: $1"; dir=$1 ;;
  esac
  shift
done
[[ -n $dir ]] || { usage >&2; exit 2; }
[[ -d $dir ]] || fail "no such folder: $dir"
[[ -x $muster ]] || fail "no such program: $muster; scripts/test.sh builds it"
command -v nginx >/dev/null || fail "no nginx: scripts/setup.sh --full"
dir=$(cd -- "$dir" && pwd)

export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1
work=$(mktemp -d /tmp/muster-http.XXXXXX)  # a name that needs no quotes in nginx's configuration
trap 'rm -rf "$work"' EXIT
mkdir "$work/served"
ln -s "$dir" "$work/served/photos"
tar -C "$dir" -chf "$work/served/photos.tar" .
python3 - "$dir" "$work/served/list.csv" <<'END'
import csv, sys
from pathlib import Path
from urllib.parse import quote

root, path = Path(sys.argv[1]), sys.argv[2]
classes = sorted(folder.name for folder in root.iterdir() if folder.is_dir())
with open(path, "w", newline="") as file:
    rows = csv.writer(file)
    for label, name in enumerate(classes):
        for image in sorted((root / name).iterdir()):
            if image.suffix.lower() not in (".jpg", ".jpeg"):
                sys.exit(f"http.sh: expected JPEGs alone, received {image}")
            rows.writerow([quote(f"photos/{name}/{image.name}"), label])
END

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$work/nginx.conf" <<END
$( ((EUID != 0)) || echo "user root;")
daemon off;
worker_processes 2;
pid $work/nginx.pid;
error_log $work/error.log warn;
events { worker_connections 512; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  client_body_temp_path $work/body;
  proxy_temp_path $work/proxy;
  fastcgi_temp_path $work/fastcgi;
  uwsgi_temp_path $work/uwsgi;
  scgi_temp_path $work/scgi;
  server { listen 127.0.0.1:$port; root $work/served; }
}
END
nginx -c "$work/nginx.conf" -e "$work/error.log" &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" || true; rm -rf "$work"' EXIT
for ((try = 0; ; ++try)); do
  kill -0 "$server" 2>/dev/null || fail "nginx ended: $(cat "$work/error.log")"
  (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
  ((try < 100)) || fail "nginx does not answer: $(cat "$work/error.log")"
  sleep 0.1
done

url=http://127.0.0.1:$port
measure() {
  case $1 in
    folder) "$muster" bench "$dir" "${job[@]}" ;;
    list) "$muster" bench "$url/list.csv" "${job[@]}" --io-threads "$io_threads" ;;
    tar) "$muster" bench "$url/photos.tar" "${job[@]}" --io-threads "$io_threads" ;;
  esac
}
job=(--preset imagenet-train --batch-size 64 --shuffle --epochs 4 --json)
for ((run = 1; run <= runs; ++run)); do
  for reads in folder list tar; do
    printf 'turn %d of %d: %s\n' "$run" "$runs" "$reads" >&2
    measure "$reads" 2>>"$work/told" >>"$work/$reads.jsonl" || fail "$reads: $(tail -n 5 "$work/told")"
  done
done
python3 - "$work" <<'END'
import json, statistics, sys

names = {"folder": "folder", "list": "list of URLs", "tar": "tar archive behind a URL"}
rates = {}
for reads in names:
    with open(f"{sys.argv[1]}/{reads}.jsonl") as lines:
        rates[reads] = statistics.median(json.loads(line)["images_per_second"] for line in lines)
for reads, name in names.items():
    print(f"{name:<28}{rates[reads]:>8.0f} images/s   {rates[reads] / rates['folder']:.2f}")
END
