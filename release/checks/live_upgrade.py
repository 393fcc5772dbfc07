"""Upgrades a server in the middle of a live stream, as a service manager with a socket unit does it: the port is open all the time, the
process behind it is told to end and followed by the new one. Counts what an encoder and readers see.

    live_upgrade.py ROOT PROGRAM COMMAND...    PROGRAM serves in ROOT; each COMMAND puts another version of it in place
"""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from streaming import Stream

ROOT, PROGRAM, *COMMANDS = sys.argv[1:]
DATA = Path(ROOT) / "var/lib/springhead"


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
    stream.start()
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
    faults = stream.end()
    os.kill(child, 15)
    os.waitpid(child, 0)
    if faults:
        sys.exit("\n".join([f"{stream.counts}", *faults[:20]]))
    print(f"{stream.counts['PUT']} uploads and {stream.counts['GET']} reads over {len(COMMANDS)} changes of version, none failed, no stall")


if __name__ == "__main__":
    main()
