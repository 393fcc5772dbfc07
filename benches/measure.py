#!/usr/bin/env python3
"""The real server against nginx in the same run, and what memory costs.

    benches/measure.py memory            resident memory over payload: 1 GiB stored, then turned over ten times, then expired
    benches/measure.py nginx [ROUNDS]    GET and PUT beside nginx, which serves and takes the same objects on tmpfs
    benches/measure.py growing [PIECES]  an upload that is read as it grows: from the sending of a piece to its last byte at a reader

Needs the release build (or another one, named in SPRINGHEAD_BINARY), nginx (nginx-light will do), wrk and taskset. The server under test runs on core 0, the load on core 1;
servers take turns within a round, and medians over the rounds are printed with their spread. Figures are ratios first: machines
are noisy, and a number from another run compares with nothing.
"""

import http.client
import json
import os
import re
import resource
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BINARY = Path(os.environ.get("SPRINGHEAD_BINARY", ROOT / "target/release/springhead"))
PLAYLIST, SEGMENT = 2048, 850 * 1024
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """User and system time of a process, all of its threads, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident(pid):
    """Resident memory of a process, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmRSS")


class Springhead:
    name = "springhead"

    def __init__(self, folder, settings=""):
        config = folder / "springhead.toml"
        config.write_text(settings or '[namespaces.live-origin]\nhot_capacity = "2GiB"\n')
        self.log = folder / "log.txt"
        command = ["taskset", "-c", "0", BINARY, "serve", "--config", config, "--data-dir", folder / "data"]
        command += ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=self.log.open("w"))
        self.port = int(self.logged("listening")["address"].rsplit(":", 1)[1])
        self.logged("started")
        self.pid = self.process.pid
        key = lambda name: json.loads((folder / f"data/{name}_api_key.json").read_text())["api_key"]
        self.write = {"Authorization": "Bearer " + key("encoder")}
        self.read = {"Authorization": "Bearer " + key("player")}
        self.base = "/cache/live-origin/"

    def logged(self, message):
        for _ in range(500):
            for line in self.log.read_text().splitlines():
                if json.loads(line)["message"] == message:
                    return json.loads(line)
            time.sleep(0.01)
        raise RuntimeError(self.log.read_text())

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


class Nginx:
    name = "nginx"

    def __init__(self, folder):
        tmpfs = Path(tempfile.mkdtemp(dir="/dev/shm"))
        self.tmpfs, self.port, self.base = tmpfs, 18999, "/"
        self.write = self.read = {}
        (tmpfs / "temp").mkdir()
        (tmpfs / "root").mkdir()
        user = "user root;" if os.getuid() == 0 else ""
        config = folder / "nginx.conf"
        config.write_text(f"""
            {user} worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;
            events {{ worker_connections 1024; }}
            http {{
                access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 100000000;
                open_file_cache max=1000 inactive=60s; types {{ video/mp2t ts; application/vnd.apple.mpegurl m3u8; }}
                client_max_body_size 20m; client_body_temp_path {tmpfs}/temp;
                proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
                server {{ listen 127.0.0.1:{self.port} backlog=4096; root {tmpfs}/root; location / {{ dav_methods PUT DELETE; }} }}
            }}""")
        command = ["taskset", "-c", "0", "nginx", "-p", folder, "-c", config, "-e", folder / "error.log"]
        self.process = subprocess.Popen([str(part) for part in command])
        time.sleep(0.5)
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self.pid = int(children[0])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        shutil.rmtree(self.tmpfs)


def put(server, connection, key, body, chunked=False):
    headers = dict(server.write)
    payload = body
    if chunked:
        headers["Transfer-Encoding"] = "chunked"
        payload = (body[at:at + 32768] for at in range(0, len(body), 32768))
    connection.request("PUT", server.base + key, body=payload, headers=headers, encode_chunked=chunked)
    answer = connection.getresponse()
    answer.read()
    assert answer.status in (201, 204), answer.status


def get_load(server, key, seconds):
    """wrk with 64 connections: requests a second, and the server's CPU seconds per request."""
    headers = [part for name, value in server.read.items() for part in ("-H", f"{name}: {value}")]
    url = f"http://127.0.0.1:{server.port}{server.base}{key}"
    before = cpu_seconds(server.pid)
    command = ["taskset", "-c", "1", "wrk", "-t1", "-c64", f"-d{seconds}s", *headers, url]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = cpu_seconds(server.pid) - before
    assert "Non-2xx" not in text, text
    count = int(re.search(r"(\d+) requests in", text)[1])
    return float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]), used / count


def put_load(server, body, seconds, chunked):
    """One writer: uploads a second, and the server's CPU seconds per upload."""
    os.sched_setaffinity(0, {1})
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    before, begun, count = cpu_seconds(server.pid), time.monotonic(), 0
    while time.monotonic() - begun < seconds:
        put(server, connection, f"up{count % 100}.ts", body, chunked)
        count += 1
    took = time.monotonic() - begun
    return count / took, (cpu_seconds(server.pid) - before) / count


def against_nginx(rounds):
    segment = os.urandom(SEGMENT)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        servers = [Springhead(Path(one)), Nginx(Path(other))]
        for server in servers:
            connection = http.client.HTTPConnection("127.0.0.1", server.port)
            put(server, connection, "a.m3u8", b"#EXTM3U\n" + b"#" * (PLAYLIST - 8))
            put(server, connection, "a.ts", segment)
        work = {
            "GET 2 KiB playlist": lambda server: get_load(server, "a.m3u8", 4),
            "GET 850 KiB segment": lambda server: get_load(server, "a.ts", 4),
            "PUT 850 KiB, length known": lambda server: put_load(server, segment, 3, False),
            "PUT 850 KiB, chunked": lambda server: put_load(server, segment, 3, True),
        }
        found = {(what, server.name): [] for what in work for server in servers}
        for number in range(rounds):
            # Each goes first in turn.
            for server in servers if number % 2 else servers[::-1]:
                for what, run in work.items():
                    found[what, server.name].append(run(server))
        for server in servers:
            server.stop()
    print(f"{rounds} rounds, medians (smallest-largest)\n")
    print(f"{'':27} {'springhead':>28} {'nginx':>28}  ratio")
    for what in work:
        size = PLAYLIST if "2 KiB" in what else SEGMENT
        for unit, pick, scale in [("/s", 0, 1), ("GB/s", 0, size / 1e9), ("us CPU", 1, 1e6)]:
            if unit == "GB/s" and size == PLAYLIST:
                continue
            cells, medians = [], []
            for server in servers:
                values = sorted(value[pick] * scale for value in found[what, server.name])
                medians.append(statistics.median(values))
                cells.append(f"{medians[-1]:.4g} ({values[0]:.4g}-{values[-1]:.4g})")
            print(f"{what + ', ' + unit:34} {cells[0]:>21} {cells[1]:>28}  {medians[0] / medians[1]:.2f}")


def memory():
    gib, sizes = 1 << 30, [250 << 10, 500 << 10, 850 << 10]
    settings = '[namespaces.live-origin]\nhot_capacity = "1100MiB"\n'
    noise = os.urandom(max(sizes))
    with tempfile.TemporaryDirectory() as folder:
        server = Springhead(Path(folder), settings)
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        print(f"started                         RSS {resident(server.pid) / 2**20:8.1f} MiB")
        written, number, live = 0, 0, []

        def fill(total, ttl):
            nonlocal written, number
            goal = written + total
            while written < goal:
                size = sizes[number % 3]
                put(server, connection, f"{number}.ts?ttl_seconds={ttl}", noise[:size], chunked=number % 2 == 1)
                live.append(size)
                written += size
                number += 1

        def report(what):
            # What the server still holds: the newest objects that fit.
            stored, count = 0, 0
            text = subprocess.run(["curl", "-s", f"http://{admin}/metrics"], capture_output=True, text=True, check=True).stdout
            objects = int(re.search(r'hot_objects\{[^}]*\} (\d+)', text)[1])
            payload = sum(live[-objects:]) if objects else 0
            rss = resident(server.pid)
            ratio = f"{rss / payload:.3f}" if payload else "-"
            print(f"{what:31} RSS {rss / 2**20:8.1f} MiB, payload {payload / 2**20:8.1f} MiB, {objects} objects, ratio {ratio}")

        admin = server.logged("started")["admin_address"]
        fill(gib, 3600)
        report("1 GiB stored")
        time.sleep(2)
        report("  2 s later")
        for _ in range(9):
            fill(gib, 3600)
        fill(gib, 20)
        report("turned over ten times")
        time.sleep(2)
        report("  2 s later")
        time.sleep(22)
        report("expired, within seconds")
        server.stop()


def growing(pieces):
    """One writer, many readers, all in one thread beside the server: its own receiving is a part of the delay, more so with many
    readers. A piece is a frame or two of video and is sent when every reader has the one before it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    os.sched_setaffinity(0, {1})
    size = 10_000
    print(f"{pieces} pieces of {size} bytes; milliseconds from the sending of a piece to its last byte at a reader")
    for count in (1, 100, 1000):
        with tempfile.TemporaryDirectory() as folder:
            server = Springhead(Path(folder), '[namespaces.live-origin]\nmax_object_size = "100MiB"\n')
            lines = lambda headers: "".join(f"{name}: {value}\r\n" for name, value in headers.items())

            def begin(method, headers):
                stream = socket.create_connection(("127.0.0.1", server.port))
                stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                stream.sendall(f"{method} {server.base}1.m4s HTTP/1.1\r\nHost: x\r\n{lines(headers)}\r\n".encode())
                return stream

            def send(number):
                marker = b"<%08d>" % number
                piece = os.urandom(size - len(marker)) + marker
                at = time.perf_counter()
                writer.sendall(b"%x\r\n%s\r\n" % (size, piece))
                return at, marker + b"\r\n"

            writer = begin("PUT", {**server.write, "Transfer-Encoding": "chunked"})
            send(0)
            time.sleep(0.2)
            readers = [begin("GET", server.read) for _ in range(count)]
            ready = select.epoll()
            streams = {stream.fileno(): stream for stream in readers}
            for number in streams:
                ready.register(number, select.EPOLLIN)

            def receive(at, end):
                delays, tails = [], dict.fromkeys(streams, b"")
                while len(delays) < count:
                    for number, _ in ready.poll():
                        data = streams[number].recv(1 << 20)
                        assert data, "the answer has ended"
                        # A chunk may come in parts.
                        tails[number] = (tails[number] + data)[-len(end):]
                        if tails[number] == end:
                            delays.append(time.perf_counter() - at)
                return delays

            receive(0, b"<%08d>\r\n" % 0)
            delays, before = [], cpu_seconds(server.pid)
            for number in range(1, pieces + 1):
                delays += receive(*send(number))
                time.sleep(0.02)
            used = cpu_seconds(server.pid) - before
            writer.sendall(b"0\r\n\r\n")
            assert b" 204 " in writer.recv(1000)
            delays.sort()
            at = lambda share: delays[min(int(len(delays) * share), len(delays) - 1)] * 1e3
            cost = used / pieces / count * 1e6
            print(f"{count:5} readers: p50 {at(0.5):7.3f}   p99 {at(0.99):7.3f}   most {delays[-1] * 1e3:7.3f}   "
                  f"server CPU {cost:6.1f} us per piece and reader")
            for stream in readers:
                stream.close()
            server.stop()


if __name__ == "__main__":
    if sys.argv[1:2] == ["memory"]:
        memory()
    elif sys.argv[1:2] == ["nginx"]:
        against_nginx(int(sys.argv[2]) if len(sys.argv) > 2 else 5)
    elif sys.argv[1:2] == ["growing"]:
        growing(int(sys.argv[2]) if len(sys.argv) > 2 else 100)
    else:
        sys.exit(__doc__)
