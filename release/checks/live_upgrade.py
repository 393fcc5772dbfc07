"""Upgrades a server in the middle of a live stream, as a service manager with a socket unit does it: the port is open all the time, the
process behind it is told to end and followed by the new one. Counts what an encoder and readers see.

    live_upgrade.py ROOT PROGRAM COMMAND...    PROGRAM serves in ROOT; each COMMAND puts another version of it in place
"""

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT, PROGRAM, *COMMANDS = sys.argv[1:]
DATA = Path(ROOT) / "var/lib/springhead"
SEGMENT = bytes([0x47]) + bytes(187)
SEGMENTS_A_SECOND = 5


class Stream:
    """An encoder that writes a segment and its playlist, and a reader that follows; every answer that is no success is a fault, and so is a
    playlist that has nothing new for three seconds."""

    def __init__(self, port, encoder, player):
        self.port, self.keys = port, {"PUT": encoder, "GET": player}
        self.faults, self.counts, self.ended = [], {"PUT": 0, "GET": 0}, False
        self.threads = [threading.Thread(target=self.guarded, args=(part,), daemon=True) for part in (self.encoder, self.reader, self.reader)]

    def guarded(self, part):
        try:
            part()
        except Exception as error:  # Whatever it is: a client has seen it.
            self.faults.append(f"{part.__name__}: {error!r}")

    def ask(self, verb, path, body=None):
        # A connection for each, as ffmpeg does without -http_persistent: none is kept over the restart.
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request(verb, f"/cache/live-origin/{path}", body, {"Authorization": f"Bearer {self.keys[verb]}"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        self.counts[verb] += 1
        if answer.status not in (200, 204):
            self.faults.append(f"{verb} {path}: {answer.status} {text[:200]!r}")
        return text

    def encoder(self):
        number = 0
        while not self.ended:
            self.ask("PUT", f"{number}.ts", SEGMENT)
            first = max(0, number - 9)
            lines = [f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n"]
            lines += [f"#EXTINF:{1 / SEGMENTS_A_SECOND},\n{n}.ts\n" for n in range(first, number + 1)]
            self.ask("PUT", "live.m3u8", "".join(lines))
            number += 1
            time.sleep(1 / SEGMENTS_A_SECOND)

    def reader(self):
        newest, since = None, time.monotonic()
        time.sleep(1)
        while not self.ended:
            last = self.ask("GET", "live.m3u8").decode().split()[-1]
            if last != newest:
                self.ask("GET", last)
                newest, since = last, time.monotonic()
            elif time.monotonic() - since > 3:
                self.faults.append(f"nothing new after {newest} for 3 s")
                since = time.monotonic()
            time.sleep(0.1)


def start(listener):
    """The server in its root, with the socket as a manager hands it over."""
    environment = {
        "PATH": "/usr/bin:/bin", "SPRINGHEAD_DATA_DIR": "/var/lib/springhead", "SPRINGHEAD_ADMIN_LISTEN": "127.0.0.1:0",
        "SPRINGHEAD_NAMESPACE": "live-origin=64MiB",
    }
    owner = DATA.stat()

    def prepare():
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(listener.fileno(), 3)
        os.set_inheritable(3, True)
        os.chroot(ROOT)
        os.chdir("/var/lib/springhead")
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)
        os.environ.clear()
        os.environ.update(environment, LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
        os.execv(PROGRAM, [PROGRAM, "serve"])

    child = os.fork()
    if child == 0:
        try:
            prepare()
        finally:
            os._exit(127)
    return child


def main():
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    port = listener.getsockname()[1]
    child = start(listener)
    limit = time.monotonic() + 60
    files = {name: DATA / f"{name}_api_key.json" for name in ("encoder", "player")}
    while not all(file.exists() and file.read_text().strip().endswith("}") for file in files.values()):
        if time.monotonic() > limit:
            sys.exit("the server does not come up")
        time.sleep(0.1)
    keys = {name: json.loads(file.read_text())["api_key"] for name, file in files.items()}
    stream = Stream(port, keys["encoder"], keys["player"])
    for thread in stream.threads:
        thread.start()
    time.sleep(4)
    for command in COMMANDS:
        done = subprocess.run(["chroot", ROOT, "/bin/sh", "-c", command], capture_output=True, text=True,
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"})
        if done.returncode:
            sys.exit(f"{command}: {done.stdout}{done.stderr}")
        began = time.monotonic()
        os.kill(child, 15)
        _, status = os.waitpid(child, 0)
        if status:
            stream.faults.append(f"SIGTERM ends the server with {os.waitstatus_to_exitcode(status)}")
        child = start(listener)
        print(f"{command}: away for {time.monotonic() - began:.1f} s")
        time.sleep(5)
    stream.ended = True
    for thread in stream.threads:
        thread.join(30)
    os.kill(child, 15)
    os.waitpid(child, 0)
    if stream.faults or min(stream.counts.values()) < 50:
        sys.exit("\n".join([f"{stream.counts}", *stream.faults[:20]]))
    print(f"{stream.counts['PUT']} uploads and {stream.counts['GET']} reads over {len(COMMANDS)} changes of version, none failed, no stall")


if __name__ == "__main__":
    main()
