#!/usr/bin/python3
"""Runs the tests of nginx_test.cpp against an nginx of its own on the loopback.

    check_nginx.py --nginx NGINX --openssl OPENSSL --muster MUSTER --tests TESTS --work-dir DIR

Makes a data set and the configuration in DIR, starts nginx there on free ports, runs TESTS with MUSTER_TEST_URL,
MUSTER_TEST_TLS_URL and MUSTER_TEST_ROOT set, and holds the server's own log against what should have been asked.
No other nginx is touched. Behind part of its addresses a small server of this script stalls, truncates and fails, which
nginx passes on. Exit status: 0 all well, 1 a test failed, 2 a wrong call.
"""

import argparse
import collections
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

NUM_IMAGES = 60
NUM_THREADS = 16

CONFIGURATION = """
{user}
daemon off;
worker_processes 2;
pid {dir}/nginx.pid;
error_log {dir}/error.log warn;
events {{ worker_connections 512; }}
http {{
  log_format requests '$connection $status $request_uri $http_range';
  access_log {dir}/access.log requests;
  client_body_temp_path {dir}/temp/client;
  proxy_temp_path {dir}/temp/proxy;
  fastcgi_temp_path {dir}/temp/fastcgi;
  uwsgi_temp_path {dir}/temp/uwsgi;
  scgi_temp_path {dir}/temp/scgi;
  map $connection_requests $every_other {{ ~[13579]$ 1; default 0; }}
  server {{
    listen 127.0.0.1:{port};
    listen 127.0.0.1:{tls_port} ssl;
    ssl_certificate {dir}/certificate.pem;
    ssl_certificate_key {dir}/key.pem;
    location /data/ {{ alias {root}/; }}
    location /no-ranges/ {{ alias {root}/; max_ranges 0; }}
    location /busy/ {{ return 503; }}
    location /sometimes-busy/ {{
      if ($every_other) {{ return 503; }}
      alias {root}/;
    }}
    location /limited/ {{ return 429; }}
    location /private/ {{ return 403; }}
    location /moved/ {{ rewrite ^/moved/(.*) /data/$1 redirect; }}
    location /loop/ {{ rewrite ^ /loop/again redirect; }}
    location = /to-file {{ return 302 file:///etc/passwd; }}
    location ~ ^/(stall|cut)/ {{ proxy_pass http://127.0.0.1:{broken_port}; }}
  }}
}}
"""


class BrokenServer:
    """Answers the first request for each path in part, then nothing (/stall/…) or the end (/cut/…); the second whole.
    What is asked for below /stall/always/ never comes."""

    def __init__(self, root):
        self.root = root
        self.num_requests = collections.Counter()
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection):
        with connection:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                more = connection.recv(65536)
                if not more:
                    return
                head += more
            path = head.split(b" ")[1].decode()
            with self.lock:
                self.num_requests[path] += 1
                is_first = self.num_requests[path] == 1
            _, kind, rest = path.split("/", 2)
            if rest.startswith("always/"):
                connection.recv(1)  # until the proxy gives up
                return
            content = (self.root / rest).read_bytes()
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content))
            connection.sendall(content[: len(content) // 2] if is_first else content)
            if is_first and kind == "stall":
                connection.recv(1)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def check_log(text):
    """Each image below /data/ was read once, by connections that were kept."""
    requests = [line.split(" ", 3) for line in text.splitlines()]
    plain = [r for r in requests if re.fullmatch(r"/data/.*\.jpg\?once", r[2])]
    connections = {r[0] for r in plain}
    print(f"nginx: {len(requests)} requests in all; {len(plain)} for {NUM_IMAGES} images on {len(connections)} connections")
    faults = []
    if len(plain) != NUM_IMAGES or any(r[1] != "200" for r in plain):
        faults.append(f"expected {NUM_IMAGES} requests with status 200, received {[r[1:3] for r in plain]}")
    if not 1 <= len(connections) <= NUM_THREADS:
        faults.append(f"expected at most {NUM_THREADS} connections, received {len(connections)}")
    busy = [r for r in requests if r[2].startswith("/busy/")]
    if len(busy) != 3:
        faults.append(f"expected 3 requests below /busy/, received {len(busy)}")
    return faults


def check_program(muster, url, root, work):
    """The program reads lists and archives behind URLs as it reads the folder: the same bytes, failures of the server
    included."""
    environment = os.environ | {"no_proxy": "127.0.0.1"}

    def export(source, *more):
        words = [muster, "export", source, "--preset", "imagenet-eval", "--batch-size", str(NUM_IMAGES), "-o",
                 work / "batch.npy", *more]
        run = subprocess.run(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        return (work / "batch.npy").read_bytes() if run.returncode == 0 else run.stderr

    expected = export(root)
    faults = []
    for source in ("data/list.csv", "data/all.tar", "sometimes-busy/list.csv", "sometimes-busy/all.tar", "moved/all.tar",
                   "stall/list.csv", "cut/list.csv", "data/part-{0..1}.tar"):
        for io_threads in ("0", "16"):
            found = export(f"{url}/{source}", "--io-threads", io_threads)
            if found != expected:
                faults.append(f"{source} with {io_threads} io threads: {found if isinstance(found, str) else 'differs'}")
    print(f"program: {2 * 8} exports by URL compared with the folder's")
    for source, message in (("no-ranges/all.tar", "range"), ("private/all.tar", "403"), ("data/none.csv", "404")):
        found = export(f"{url}/{source}")
        if not isinstance(found, str) or message not in found:
            faults.append(f"{source}: expected an error that says {message}, received {found[:200]!r}")
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("nginx", "openssl", "muster", "tests", "work-dir"):
        parser.add_argument(f"--{name}", required=True)
    arguments = parser.parse_args()

    work = Path(arguments.work_dir).resolve()
    shutil.rmtree(work, ignore_errors=True)
    (work / "temp").mkdir(parents=True)
    root = work / "root"
    subprocess.run([arguments.muster, "synth", root, "--images", str(NUM_IMAGES), "--classes", "3"], check=True,
                   stdout=subprocess.DEVNULL)
    images = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))
    for name, query in (("list.csv", ""), ("once.csv", "?once")):
        (root / name).write_text("".join(f"{image}{query},{image.split('/')[0]}\n" for image in images))
    half = len(images) // 2
    for name, members in (("all", images), ("part-0", images[:half]), ("part-1", images[half:])):
        subprocess.run(["tar", "-C", root, "-cf", root / f"{name}.tar", *members], check=True)
    (root / "all.bin").write_bytes(b"".join((root / image).read_bytes() for image in images))
    subprocess.run([arguments.openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                    "/CN=127.0.0.1", "-keyout", work / "key.pem", "-out", work / "certificate.pem"], check=True,
                   stderr=subprocess.DEVNULL)

    broken = BrokenServer(root)
    port, tls_port = free_port(), free_port()
    # As root, its workers would otherwise be another user, who may not see this folder.
    user = "user root;" if os.geteuid() == 0 else ""
    (work / "nginx.conf").write_text(CONFIGURATION.format(
        user=user, dir=work, root=root, port=port, tls_port=tls_port, broken_port=broken.port))
    nginx = subprocess.Popen([arguments.nginx, "-p", work, "-c", work / "nginx.conf", "-e", work / "error.log"])
    try:
        environment = os.environ | {"MUSTER_TEST_URL": f"http://127.0.0.1:{port}",
                                    "MUSTER_TEST_TLS_URL": f"https://127.0.0.1:{tls_port}",
                                    "MUSTER_TEST_ROOT": str(root), "no_proxy": "127.0.0.1"}
        status = subprocess.run([arguments.tests, "--no-colors"], env=environment).returncode
        faults = check_log((work / "access.log").read_text()) if status == 0 else ["a test failed"]
        faults += check_program(arguments.muster, f"http://127.0.0.1:{port}", root, work)
    finally:
        nginx.terminate()
        nginx.wait()
    for fault in faults:
        print(f"check_nginx: {fault}", file=sys.stderr)
    if faults:
        print((work / "error.log").read_text(), file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
