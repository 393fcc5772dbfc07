"""The Debian package under a real systemd, booted in a fresh Debian root. Installed by apt it serves at once, and a first stream plays; the
unit is ready when the server is, strict, reloaded, started again after a crash; with the socket unit an upgrade and the way back go on under
a live stream without a failed request; bad settings keep the old process, and with it the port; removed and purged it leaves nothing."""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from serving import Reached
from streaming import Stream

ROOT = Path(__file__).resolve().parent.parent.parent
CHECKS = ROOT / "release/checks"


class Machine:
    """A booted Debian."""

    def __init__(self, root, process):
        self.root, self.process = root, process
        self.data = root / "var/lib/springhead"

    def run(self, *words):
        """A command on it, as root."""
        environment = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LANG=C.UTF-8"]
        done = subprocess.run(["nsenter", f"--target={self.process}", "--mount", "--uts", "--ipc", "--pid", "--net", "--cgroup", *environment, *words],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout.strip()

    def does(self, *words):
        """A command that has to succeed: what it says."""
        status, said = self.run(*words)
        if status:
            journal = self.run("journalctl", "-u", "springhead", "-u", "springhead.socket", "-n", "40", "--no-pager")[1]
            sys.exit(f"{' '.join(words)} ends with {status}: {said}\n{journal}")
        return said

    def shows(self, name):
        return self.does("systemctl", "show", "springhead", "--property", name, "--value")

    def waits(self, what, *words):
        limit = time.monotonic() + 60
        while self.run(*words)[1] != what:
            if time.monotonic() > limit:
                sys.exit(f"{' '.join(words)} does not become {what}")
            time.sleep(0.2)


def installs(machine, faults):
    """The two commands: the package, and an encoder's."""
    began = time.monotonic()
    machine.does("apt-get", "install", "-y", "--no-install-recommends", "/first.deb")
    print(f"installed by apt and ready after {time.monotonic() - began:.1f} s")
    server = Reached(8080, machine.data)
    # Ready when apt is: nothing is waited for here.
    faults += server.takes_an_upload() + server.plays_a_stream()
    wanted = {"ActiveState": "active", "SubState": "running", "Type": "notify", "UnitFileState": "enabled", "User": "springhead", "NRestarts": "0"}
    faults += [f"{name} is {machine.shows(name)}" for name, value in wanted.items() if machine.shows(name) != value]
    exposure = machine.does("systemd-analyze", "security", "springhead", "--no-pager", "--threshold=20").splitlines()[-1]
    print(exposure.strip("→ "))
    return server


def reloads(machine, faults):
    before = machine.shows("MainPID")
    settings = machine.root / "etc/springhead/springhead.toml"
    shipped = settings.read_text()
    settings.write_text(re.sub(r'^max_object_size = "\w+"$', 'max_object_size = "50KiB"', shipped, count=1, flags=re.M))
    machine.does("systemctl", "reload", "springhead")
    server = Reached(8080, machine.data)
    limit = time.monotonic() + 30
    while server.status("PUT", "/cache/live-origin/large.ts", bytes(60_000), server.key("encoder")) != 413:
        if time.monotonic() > limit:
            faults.append("a reload changes nothing")
            break
        time.sleep(0.2)
    if machine.shows("MainPID") != before or machine.shows("ActiveState") != "active":
        faults.append("a reload makes it another process, or none")
    settings.write_text(shipped)
    machine.does("systemctl", "reload", "springhead")


def comes_again(machine, faults):
    """After a crash, by itself."""
    before = machine.shows("MainPID")
    machine.does("kill", "-9", before)
    machine.waits("1", "systemctl", "show", "springhead", "--property", "NRestarts", "--value")
    machine.waits("active", "systemctl", "show", "springhead", "--property", "ActiveState", "--value")
    if Reached(8080, machine.data).status("GET", "/readyz") != 200:
        faults.append("it is active again before it is ready")


def documented(words):
    """Commands as README.Debian has them."""
    text = (ROOT / "release/deb/README.Debian").read_text()
    if f"  {words}\n" not in text:
        sys.exit(f"README.Debian does not have: {words}")
    return words.split()


def makes_keys(machine, faults):
    """By README.Debian's line."""
    made = json.loads(machine.does(*documented("springhead keys create --data-dir /var/lib/springhead --namespace live-origin --role readwrite --label encoder")))
    if Reached(8080, machine.data).status("PUT", "/cache/live-origin/made.ts", b"x", made["api_key"]) != 204:
        faults.append("a key that root makes beside the server is not good")


def upgrades(machine, faults):
    """With the socket unit, there and back under a live stream; beside it ffmpeg on one connection, as the README has it."""
    for words in ("systemctl stop springhead", "systemctl enable --now springhead.socket", "systemctl start springhead"):
        machine.does(*documented(words))
    server = Reached(8080, machine.data)
    keys = [server.key(name) for name in ("encoder", "player")]
    stream = Stream(8080, *keys)
    stream.start()
    url = "http://127.0.0.1:8080/cache/live-origin/over/playlist.m3u8"
    push = "ffmpeg -v error -nostdin -re -f lavfi -i testsrc2=size=320x180:rate=30 -t 24 -c:v libx264 -preset ultrafast -tune zerolatency -g 60 " \
           "-pix_fmt yuv420p -f hls -method PUT -http_persistent 1 -hls_time 2 -hls_list_size 0 -headers"
    encoder = subprocess.Popen([*push.split(), f"Authorization: Bearer {keys[0]}\r\n", url], stderr=subprocess.PIPE, text=True)
    time.sleep(4)
    processes = [machine.shows("MainPID")]
    for command in ("dpkg -i --force-confold /next.deb", "dpkg -i --force-confold --force-downgrade /first.deb"):
        began = time.monotonic()
        machine.does(*command.split())
        print(f"{command}: {time.monotonic() - began:.1f} s")
        processes.append(machine.shows("MainPID"))
        time.sleep(4)
    if len(set(processes)) != 3:
        faults.append(f"a change of version does not change the process: {processes}")
    _, said = encoder.communicate(timeout=120)
    listed = [line for line in server.ask("GET", "/cache/live-origin/over/playlist.m3u8", key=keys[1])[1].decode().split() if line[0] != "#"]
    missing = [name for name in listed if server.status("GET", f"/cache/live-origin/over/{name}", None, keys[1]) != 200]
    # It may say that its connection was closed between two uploads, as happens when a server ends; it opens another, and nothing is lost.
    if encoder.returncode or len(listed) != 12 or missing:
        faults.append(f"ffmpeg's stream: {said}{len(listed)} segments, of these {missing} are missing")
    faults += stream.end()[:20]
    print(f"{stream.counts['PUT']} uploads and {stream.counts['GET']} reads over two changes of version, none failed, no stall; ffmpeg's {len(listed)} segments all there")


class Asking(threading.Thread):
    """Somebody who keeps connecting, and waits for each answer."""

    def __init__(self):
        super().__init__(daemon=True)
        self.over, self.refused = threading.Event(), 0

    def run(self):
        while not self.over.is_set():
            try:
                with socket.create_connection(("127.0.0.1", 8080), timeout=30) as wire:
                    wire.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    wire.recv(1)
            except ConnectionRefusedError:
                self.refused += 1
            except OSError:
                pass
            time.sleep(0.02)


def keeps_the_old_process(machine, faults):
    """Where what the unit adds to the settings file is wrong, and where that is."""
    settings, variables = machine.root / "etc/springhead/springhead.toml", machine.root / "etc/default/springhead"
    made = machine.data / "namespaces/made.toml"
    made.parent.mkdir(exist_ok=True)
    before = machine.shows("MainPID")
    for file, text, part in [
        (variables, "SPRINGHEAD_DRAIN_TIMEOUT='soon'\n", "SPRINGHEAD_DRAIN_TIMEOUT"),
        (made, "no_such_rule = 1\n", "no_such_rule"),
        (settings, "no_such_setting = 1\n", "no_such_setting"),
    ]:
        good = file.read_text() if file.exists() else None
        file.write_text(text + (good or ""))
        said = machine.does("dpkg", "-i", "--force-confold", "/next.deb")
        if machine.shows("MainPID") != before or Reached(8080, machine.data).status("GET", "/readyz") != 200:
            faults.append(f"an upgrade with {part} does not keep the old process")
        if part not in said or "the old process goes on" not in said:
            faults.append(f"an upgrade does not say what is wrong with {part}: {said}")
        if file is settings:
            mends_itself(machine, faults, lambda: settings.write_text(good))
        elif good is None:
            file.unlink()
        else:
            file.write_text(good)


def mends_itself(machine, faults, mend):
    """Restarted with wrong settings it is away; the port stays, whoever connects meanwhile, and when they are mended it comes by itself."""
    asking = [Asking() for _ in range(8)]
    for one in asking:
        one.start()
    began = time.time()
    machine.run("systemctl", "restart", "springhead")
    # Longer than systemd's limit on how often a socket may start its service, 20 times in 2 s: a fast machine comes to that where each
    # connection starts it.
    time.sleep(6)
    said = machine.does("journalctl", "-u", "springhead", "-o", "cat", "--no-pager", "--since", f"@{began:.0f}")
    if (starts := sum(line.startswith("Starting ") for line in said.splitlines())) > 10:
        faults.append(f"with wrong settings it is started {starts} times in 6 s")
    if (state := machine.does("systemctl", "show", "springhead.socket", "--property", "ActiveState", "--value")) != "active":
        faults.append(f"wrong settings and somebody who connects: the socket is {state}")
    mend()
    machine.waits("active", "systemctl", "show", "springhead", "--property", "ActiveState", "--value")
    for one in asking:
        one.over.set()
    if Reached(8080, machine.data).status("GET", "/readyz") != 200:
        faults.append("mended, it does not come again")
    if refused := sum(one.refused for one in asking):
        faults.append(f"{refused} connections were refused while the settings were wrong")


def leaves(machine, faults):
    machine.does("dpkg", "-r", "springhead")
    if Reached(8080, machine.data).status("GET", "/readyz") is not None or not (machine.data / "signing.key").is_file():
        faults.append("removing leaves the server there, or takes its key")
    machine.does("dpkg", "-P", "springhead")
    left = [path for path in machine.root.rglob("*springhead*") if not re.search(r"/(proc|sys|tmp|var/(cache|log|lib/(dpkg|apt)))/|^/\w+\.deb", f"/{path.relative_to(machine.root)}")]
    if left:
        faults.append(f"purging leaves {left}")
    if failed := machine.does("systemctl", "--failed", "--no-legend", "--plain"):
        faults.append(f"units that failed: {failed}")


def inside(root, process):
    """In the network of the machine: its 127.0.0.1 is ours."""
    machine, faults = Machine(root, process), []
    installs(machine, faults)
    reloads(machine, faults)
    comes_again(machine, faults)
    makes_keys(machine, faults)
    upgrades(machine, faults)
    keeps_the_old_process(machine, faults)
    leaves(machine, faults)
    if faults:
        sys.exit("\n".join(faults))
    print("installed, reloaded, crashed, upgraded and taken back under a live stream, removed, purged under a real systemd")


def packages(root):
    architecture = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True).stdout.strip()
    (package,) = (ROOT / "dist").glob(f"springhead_*_{architecture}.deb")
    (root / "first.deb").write_bytes(package.read_bytes())
    # The next version: the same program under a higher number.
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["dpkg-deb", "--raw-extract", package, f"{folder}/tree"], check=True)
        control = Path(folder) / "tree/DEBIAN/control"
        control.write_text(re.sub(r"^(Version: .*)$", r"\1+next", control.read_text(), flags=re.M))
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", f"{folder}/tree", root / "next.deb"], check=True, stdout=subprocess.DEVNULL)


def first_process(outer):
    """Process 1 of the machine, as it is called here: the child of what `boot` becomes."""
    proc = Path(f"/proc/{outer.pid}")
    while outer.poll() is None:
        if (proc / "comm").read_text() == "unshare\n" and (child := (proc / f"task/{outer.pid}/children").read_text().strip()):
            return child
        time.sleep(0.05)
    sys.exit("it does not boot")


def main():
    if os.getuid() != 0:
        sys.exit("run it as root: it boots a system")
    if sys.argv[1:2] == ["--inside"]:
        inside(Path(sys.argv[2]), int(sys.argv[3]))
        return
    tar = subprocess.run([CHECKS / "root", "booted"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="springhead-booted.", dir=os.environ.get("SPRINGHEAD_CHECK_DIR", "/var/tmp")) as folder:
        root = Path(folder)
        subprocess.run(["tar", "-xf", tar, "-C", root], check=True)
        packages(root)
        outer = subprocess.Popen([CHECKS / "boot", root])
        try:
            process = first_process(outer)
            machine = Machine(root, process)
            limit = time.monotonic() + 60
            while machine.run("systemctl", "is-system-running")[1] != "running":
                if time.monotonic() > limit:
                    sys.exit(f"it does not come up: {machine.run('systemctl', '--failed', '--no-legend')[1]}")
                time.sleep(0.5)
            print(f"booted: {machine.does('systemctl', '--version').splitlines()[0]}")
            status = subprocess.run(["nsenter", f"--target={process}", "--net", sys.executable, __file__, "--inside", root, process]).returncode
        finally:
            # The machine's process 1 goes with it, and everything with that.
            outer.kill()
            outer.wait()
            time.sleep(0.5)
            subprocess.run(["sh", "-c", "find $(findmnt -n -t cgroup2 -o TARGET | head -n 1)/springhead-check -depth -type d -exec rmdir {} +"], stderr=subprocess.DEVNULL)
    sys.exit(status)


if __name__ == "__main__":
    main()
