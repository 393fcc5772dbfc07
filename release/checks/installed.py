"""A package that has been installed in a root: serves there as its user with the settings it came with, takes an upload, and a stream plays.

    installed.py ROOT
"""

import sys
from pathlib import Path

from serving import Served

ROOT = Path(sys.argv[1])
DATA = ROOT / "var/lib/springhead"


def main():
    owner = DATA.stat()
    command = ["/usr/sbin/chroot", f"--userspec={owner.st_uid}:{owner.st_gid}", ROOT, "/usr/bin/springhead"]
    settings = {"SPRINGHEAD_CONFIG": "/etc/springhead/springhead.toml"}
    with Served(command, DATA, "/var/lib/springhead", settings) as server:
        faults = server.takes_an_upload() + server.plays_a_stream()
        if server.run("health").returncode:
            faults.append("it is not healthy")
        status, took = server.end()
        if status or took > 30:
            faults.append(f"SIGTERM ends it with {status} after {took:.1f} s")
    if faults:
        sys.exit("\n".join(faults))
    print("installed: takes an upload, and a first stream plays")


if __name__ == "__main__":
    main()
