"""The container image, as the Dockerfile makes it but for its first stage: the program is what release/build has made. Built by buildah without
a daemon and without a registry, on a Debian root in place of the base image. Small, without a shell, not root, read-only; it serves as the
README's command has it, is healthy, unhealthy when it is told to end, and its volume is found again. The one to look around in has a shell,
and else the same."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from serving import Served

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = Path(os.environ.get("SPRINGHEAD", ROOT / "target/release-work/program/springhead"))
STORE = ROOT / "target/check-images"
BUILDAH = ["buildah", "--root", STORE / "root", "--runroot", STORE / "run", "--storage-driver", "vfs"]
BASE = "debian:bookworm-slim"
MOST = 35 * 10**6


def buildah(*arguments, **more):
    done = subprocess.run([*BUILDAH, *arguments], capture_output=True, text=True, **more)
    if done.returncode:
        sys.exit(f"buildah {' '.join(map(str, arguments))}: {done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout.strip()


def context(folder):
    """The Dockerfile with a first stage that only takes the program, and what that needs."""
    text = (ROOT / "Dockerfile").read_text()
    stage = re.compile(r"^FROM \S+ rust:\S+ AS build\n.*?(?=^FROM |^# Not part of the image)", re.M | re.S)
    text, found = stage.subn("FROM scratch AS build\nCOPY springhead springhead.debug springhead.cdx.json /out/\n\n", text, count=1)
    if not found:
        sys.exit("the Dockerfile has no stage that builds the program any more")
    (folder / "Dockerfile").write_text(text)
    shutil.copy(PROGRAM, folder / "springhead")
    (folder / "springhead.debug").write_bytes(b"")
    subprocess.run([sys.executable, ROOT / "release/notices.py", "--sbom", folder / "springhead.cdx.json"], check=True)


def build(folder):
    tar = subprocess.run([ROOT / "release/checks/root"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    base = buildah("from", "scratch")
    buildah("add", base, tar, "/")
    # Whom this machine believes, where the way to Debian's archive needs that.
    buildah("copy", base, "/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/certs/ca-certificates.crt")
    buildah("commit", "--rm", base, BASE)
    for tag, target in (("check", []), ("debug", ["--target", "debug"])):
        buildah("bud", "--layers", "--isolation", "chroot", "--network", "host", "--pull-never", "--format", "docker", "--build-arg", "VERSION=check",
                *target, "-t", f"springhead:{tag}", folder)


def judge_config(tag, faults):
    told = json.loads(buildah("inspect", "--type", "image", f"springhead:{tag}"))
    config = told["Docker"]["config"]
    wanted = {
        "User": "65532:65532", "Entrypoint": ["springhead"], "Cmd": ["serve"], "WorkingDir": "/data", "Volumes": {"/data": {}},
        "ExposedPorts": {"8080/tcp": {}, "8081/tcp": {}},
    }
    faults += [f"{tag}: {key} is {config.get(key)}" for key, value in wanted.items() if config.get(key) != value]
    if (config.get("Healthcheck") or {}).get("Test") != ["CMD", "springhead", "health"]:
        faults.append(f"{tag}: the health check is {config.get('Healthcheck')}")
    if tag == "debug":
        return
    if config.get("StopSignal") != "SIGTERM":
        faults.append(f"it is told to end by {config.get('StopSignal')}")
    for label in ("title", "licenses", "version", "revision", "created", "source", "base.name"):
        if f"org.opencontainers.image.{label}" not in config["Labels"]:
            faults.append(f"there is no label {label}")


def judge_files(root, faults):
    size = 0
    for path in root.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        size += path.stat().st_size
        if path.stat().st_mode & 0o6000:
            faults.append(f"{path} is setuid or setgid")
        if path.name in ("sh", "bash", "dash", "busybox", "dpkg", "apt", "apt-get", "env", "python3", "perl"):
            faults.append(f"there is {path}")
    # The libraries' own code is never called as a program; nothing else may be.
    programs = [path for path in root.rglob("*") if path.is_file() and os.access(path, os.X_OK) and ".so" not in path.name and "ld-linux" not in path.name]
    if [path.name for path in programs] != ["springhead"]:
        faults.append(f"it can run {programs}")
    owner = (root / "data").stat()
    if (owner.st_uid, owner.st_mode & 0o777) != (65532, 0o700):
        faults.append(f"/data belongs to {owner.st_uid}, mode {owner.st_mode & 0o777:o}")
    for package in ("libc6", "libgcc-s1"):
        if "Version:" not in (root / f"var/lib/dpkg/status.d/{package}").read_text():
            faults.append(f"no scanner finds {package}")
    if not json.loads((root / "usr/share/doc/springhead/springhead.cdx.json").read_text())["components"]:
        faults.append("its list of parts is empty")
    print(f"image: {size / 10**6:.1f} MB of files, of these {(root / 'usr/local/bin/springhead').stat().st_size / 10**6:.1f} MB the program")
    if size > MOST:
        faults.append(f"it has {size} bytes, over {MOST}")


def serves(root, data, faults):
    """In its own root, read-only, as its user, without a capability; `data` is the volume."""
    subprocess.run(["mount", "--bind", root, root], check=True)
    subprocess.run(["mount", "--bind", data, root / "data"], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", root], check=True)
    command = [shutil.which("chroot", path="/usr/sbin:/usr/bin:/sbin:/bin"), "--userspec=65532:65532", root, "/usr/local/bin/springhead"]
    server = Served(command, data, "/data")
    if "[namespaces.live-origin]" not in server.run("config", "default").stdout:
        faults.append("it does not print its settings")
    with server:
        faults += server.takes_an_upload() + server.plays_a_stream()
        if server.run("health").returncode:
            faults.append("it is not healthy")
        body = server.kept
        status, took = server.end()
        if status or took > 30:
            faults.append(f"SIGTERM ends it with {status} after {took:.1f} s")
        if server.run("health").returncode != 1:
            faults.append("it is healthy when it is gone")
    with Served(command, data, "/data") as server:
        if not server.still_has(body):
            faults.append("a second container does not find the objects of the first")
        server.end()
    try:
        (root / "written").touch()
        faults.append("its files can be written")
    except OSError:
        pass


def looks_around(faults):
    """The image with a shell: as its user, that shell finds the program."""
    container = buildah("from", "--pull-never", "springhead:debug")
    try:
        root = buildah("mount", container)
        shell = ["chroot", "--userspec=65532:65532", root, "/bin/sh", "-c", "cd /data && test -w . && springhead --version && springhead config default"]
        told = subprocess.run(shell, capture_output=True, text=True, env={"PATH": "/usr/local/bin:/usr/bin:/usr/sbin:/bin"})
        if told.returncode or "[namespaces.live-origin]" not in told.stdout:
            faults.append(f"the image with a shell: {told.stdout[-500:]}{told.stderr}")
    finally:
        buildah("rm", container)


def main():
    if os.getuid() != 0:
        sys.exit("run it as root: it mounts and changes its root")
    if not PROGRAM.is_file():
        sys.exit("there is no program: release/build first, or SPRINGHEAD names one")
    if "--inside" not in sys.argv:
        # In a namespace of its own all mounts end with it.
        sys.exit(subprocess.run(["unshare", "--mount", "--propagation", "private", sys.executable, __file__, "--inside"]).returncode)
    faults = []
    STORE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        context(Path(folder))
        build(folder)
        print(f"built by buildah in {time.monotonic() - began:.0f} s")
    for tag in ("check", "debug"):
        judge_config(tag, faults)
    looks_around(faults)
    container = buildah("from", "--pull-never", "springhead:check")
    try:
        root = Path(buildah("mount", container))
        judge_files(root, faults)
        with tempfile.TemporaryDirectory() as data:
            os.chown(data, 65532, 65532)
            serves(root, Path(data), faults)
            subprocess.run(["umount", root / "data"], check=True)
            subprocess.run(["umount", root], check=True)
    finally:
        buildah("rm", container)
    if faults:
        sys.exit("\n".join(faults))
    print("no shell, not root, read-only; served, drained, found its volume again")


if __name__ == "__main__":
    main()
