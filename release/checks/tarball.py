"""The tarballs: nothing in them is missing, their program is the size it should be, serves and ends when told. The static one needs no
library, and resolves names all the same. One of another architecture is run by qemu, where it is installed."""

import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from serving import Served

ROOT = Path(__file__).resolve().parent.parent.parent
WANTED = ["springhead", "springhead.toml", "springhead.service", "springhead.socket", "LICENSE", "CHANGELOG.md", "THIRD-PARTY.txt",
          "alerts.yaml", "grafana.json", "grafana-stream.json", "grafana-fleet.json", "man/springhead.1", "man/springhead.toml.5", "completions/springhead.bash"]


CPUS = {"amd64": "x86_64", "arm64": "aarch64"}


def runner(archive):
    """What runs its program: nothing, where it is of this machine's architecture."""
    cpu = next(cpu for name, cpu in CPUS.items() if name in archive.name)
    if cpu == platform.machine():
        return []
    emulator = shutil.which(f"qemu-{cpu}-static")
    if emulator is None:
        sys.exit(f"{archive.name}: nothing runs its program: apt install qemu-user-static")
    return [emulator, "-L", f"/usr/{cpu}-linux-gnu"]


def judge(archive):
    faults, runs = [], runner(archive)
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(archive) as opened:
            if {(member.uid, member.gid) for member in opened} != {(0, 0)}:
                faults.append("its files belong to somebody")
            opened.extractall(folder, filter="data")
        (inside,) = Path(folder).iterdir()
        faults += [f"there is no {name}" for name in WANTED if not (inside / name).is_file()]
        program = inside / "springhead"
        linked = subprocess.run(["readelf", "--dynamic", program], capture_output=True, text=True).stdout
        if "static" in archive.name and "(NEEDED)" in linked:
            faults.append(f"it is not static: {linked}")
        data = Path(folder) / "data"
        with Served([*runs, program], data) as server:
            faults += server.takes_an_upload() + server.plays_a_stream()
            if server.run("health").returncode:
                faults.append("it is not healthy")
            # By name: the C library's own resolver is in it, too.
            named = server.run("doctor", f"http://localhost:{server.port}", "--key", str(data / "player_api_key.json"), "--watch", "0s")
            if "ok       connect" not in named.stdout:
                faults.append(f"it does not find localhost: {named.stdout}")
            status, took = server.end()
            if status or took > 30:
                faults.append(f"SIGTERM ends it with {status} after {took:.1f} s")
        print(f"{archive.name}: {archive.stat().st_size / 2**20:.1f} MiB, program {program.stat().st_size / 2**20:.1f} MiB")
    return [f"{archive.name}: {fault}" for fault in faults]


def main():
    archives = sorted((ROOT / "dist").glob("springhead-*-linux-*.tar.gz"))
    faults = [fault for archive in archives for fault in judge(archive)]
    if not archives:
        faults.append("there is none in dist/: release/build tarball")
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
