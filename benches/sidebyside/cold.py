"""(o) and (p): what lies on the disk, and not in the server's memory."""

import http.client
import os
import signal
import time

from . import servers
from .machine import BINARY, LOAD_CORE, SERVER_CORE, cpu_seconds

SEGMENT = 850 * 1024
GIB = 1 << 30
# Memory for hardly one in ten of them: what is asked for again is kept for longer than what was asked for last.
HOT, SEGMENTS, LEAST = "16MiB", 240, 0.9


def read_cold(run, load, headers):
    """(o): each segment is asked for once. In the first half of a round the kernel has the files in its page cache, in the second it has let go of them."""
    fleet = [servers.Springhead(run.place("springhead"), capacity=HOT, durable=True), servers.Nginx(servers.on_disk("nginx"))]
    fleet[0].name = "Springhead"
    count = 200 if run.quick else SEGMENTS
    try:
        for server in fleet:
            found = load("load", server, method="PUT", path=server.base + "o{}.ts", names=count, count=count, body=SEGMENT, connections=4,
                         header=headers(server.write), expect="201,204")
            given_up = server.flushed() if isinstance(server, servers.Springhead) else 0
            if found["failed"] or given_up:
                raise RuntimeError(f"{server.name}: {found['failed']} uploads failed, {given_up} were given up")
        os.sync()
        for number in range(run.rounds):
            for workload in ("o", "o2"):
                for server in fleet if number % 2 else fleet[::-1]:
                    if workload == "o2":
                        let_go(server)
                    ask_each(run, load, headers, workload, server, count)
    finally:
        for server in fleet:
            server.stop()


def let_go(server):
    """Has the kernel forget what it has of a server's files."""
    for folder, _, names in os.walk(server.data if isinstance(server, servers.Springhead) else server.folder / "root"):
        for name in names:
            file = os.open(os.path.join(folder, name), os.O_RDONLY)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)


def ask_each(run, load, headers, workload, server, count):
    is_ours = isinstance(server, servers.Springhead)
    pattern = r'springhead_durable_reads_total\{[^}]*outcome="read"[^}]*\}'
    before = is_ours and (server.metric(pattern) or 0)
    found = load("load", server, path=server.base + "o{}.ts", names=count, count=count, connections=8, header=headers(server.read))
    if found["failed"]:
        run.results.note(workload, f"{server.name}: {found['failed']} requests failed ({found['complaint']})")
    if is_ours and (read := server.metric(pattern) - before) < count * LEAST:
        run.results.note(workload, f"{server.name}: {count - read:.0f} of {count} segments were still in memory")
    size, seconds = count * SEGMENT, found["seconds"]
    state = "its page cache" if workload == "o" else "not in its page cache"
    run.results.add(workload, server.name, {
        "per second": count / seconds, "GiB/s": size / GIB / seconds, "ms/GiB": found["server_cpu"] / size * GIB * 1e3,
        "core": found["server_cpu"] / seconds, "load core": found["own_cpu"] / seconds, "latency": found["latency"]},
        f"{server.bytes_in.split()[-1]}, {state}")


def start_with(run, load, headers):
    """(p): from the start of the process to the first `/readyz` that says yes, with what lies on disk; and to the first playlist."""
    for count in (10_000,) if run.quick else (100_000, 1_000_000):
        server = servers.Springhead(run.place("springhead"), capacity="2GiB", durable=True)
        try:
            server.put("first.m3u8", b"#EXTM3U\n")
            # As many at a time as may wait to be written.
            for first in range(0, count, 10_000):
                found = load("load", server, method="PUT", path=server.base + "p{}.ts", names=count, first=first, count=first + 10_000,
                             body=64, connections=16, header=headers(server.write), expect="204")
                if found["failed"] or server.flushed():
                    raise RuntimeError(f"{found['failed']} uploads failed, or were given up")
            for number in range(run.rounds):
                for how, number_of in (("after SIGTERM", signal.SIGTERM), ("after kill -9", signal.SIGKILL)):
                    server.process.send_signal(number_of)
                    server.process.wait(60)
                    begun = time.monotonic()
                    # On all cores, as it is on a machine of its own.
                    server.cores = f"{SERVER_CORE},{LOAD_CORE}"
                    server.begin(BINARY, server.folder)
                    ready = server.until(lambda: is_ready(server) and time.monotonic())
                    answer = server.ask("GET", server.base + "first.m3u8", headers=server.read)
                    if answer.status != 200:
                        raise RuntimeError(f"the playlist was answered {answer.status}")
                    run.results.add("p", f"{count} {how}", {
                        "ready": ready - begun, "first": time.monotonic() - begun, "cpu": cpu_seconds(server.pids)}, server.bytes_in.split()[-1])
        finally:
            server.stop()


def is_ready(server):
    connection = http.client.HTTPConnection(server.admin, timeout=10)
    connection.request("GET", "/readyz")
    return connection.getresponse().status == 200
