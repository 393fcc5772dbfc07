"""The compose files, started: every service whose program is to be had here, with its own command, environment, user, capabilities, mounts,
networks, order and health checks, each in a root and a network of its own. In place of images there are the programs of this machine. What
is not to be had (Grafana, MediaMTX) is not started, and said.

Two nodes behind HAProxy: an upload through it is read at either node, a node is replaced under a live stream without a failed request, and a
recording goes to the store. Springhead with Prometheus: the test picture plays, the server is scraped with the key that `keys` has taken,
and with the one that docs/deploying.md has made before that ends; the alerts are known."""

import json
import os
import re
import shlex
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import yaml

from built import server
from serving import Reached
from streaming import Stream

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "deploy/compose"
TOOLS = ROOT / "target/check-tools/composed"
# What an image runs where its service says nothing else, as whom, and where our programs are in it.
IMAGES = {
    "springhead": (["springhead"], "65532:65532"),
    "valkey/valkey": ([], "0:0"),
    "haproxy": (["haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"], "99:99"),
    "chrislusf/seaweedfs": ([], "0:0"),
    "busybox": ([], "0:0"),
    "prom/prometheus": (["prometheus"], "65534:65534"),
    "jrottenberg/ffmpeg": ([], "0:0"),
}
# Docker gives a new volume to whom the image's folder belongs to.
VOLUMES = {"/data": "springhead", "/prometheus": "prom/prometheus"}


def run(*words, **more):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, **more)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}: {done.stdout}{done.stderr}")
    return done.stdout


def kind(service):
    return service["image"].rsplit(":", 1)[0]


class Names(threading.Thread):
    """The name server of the networks: a service is known to who shares a network with it."""

    def __init__(self, address, known):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 53))
        self.known = known

    def run(self):
        while True:
            asked, whom = self.socket.recvfrom(2048)
            labels, at = [], 12
            while size := asked[at]:
                labels.append(asked[at + 1:at + 1 + size].decode())
                at += size + 1
            (wanted,) = struct.unpack("!H", asked[at + 1:at + 3])
            address = self.known.get(".".join(labels).lower())
            found = [address] if address and wanted == 1 else []
            code = 0x8180 if address else 0x8183
            answer = asked[:2] + struct.pack("!HHHHH", code, 1, len(found), 0, 0) + asked[12:at + 5]
            for one in found:
                answer += b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 1, 4) + socket.inet_aton(one)
            self.socket.sendto(answer, whom)


class Composed:
    """The services of one project, as compose makes them."""

    def __init__(self, folder, files, environment, absent=(), profiles=()):
        self.folder, self.environment = folder, environment
        told = {"services": {}, "networks": {}}
        for file in files:
            one = yaml.safe_load((FOLDER / file).read_text())
            told["services"] |= one["services"]
            told["networks"] |= one.get("networks") or {}
        self.services = {name: service for name, service in told["services"].items()
                         if name not in absent and set(service.get("profiles", [])) <= set(profiles)}
        self.networks = list(told["networks"]) or ["default"]
        self.processes, self.addresses = {}, {}
        self.number = 0

    def words(self, value):
        """A word as compose resolves it: variables of the environment, and $$."""
        def resolve(found):
            if found[0] == "$$":
                return "$"
            return self.environment[found[1]]
        return re.sub(r"\$\$|\$\{(\w+)(?::\?[^}]*)?\}", resolve, str(value))

    def connect(self):
        """A bridge for each network, and a name server in it."""
        for place, network in enumerate(self.networks):
            run("ip", "link", "add", f"sh-{place}", "type", "bridge")
            run("ip", "address", "add", f"10.77.{place}.1/24", "dev", f"sh-{place}")
            run("ip", "link", "set", f"sh-{place}", "up")
            known = {}
            self.addresses[network] = known
            Names(f"10.77.{place}.1", known).start()

    def network_of(self, name, service):
        """A network name space for the service, with an address in each network that it is in."""
        space = f"sh-{name}"
        if space in run("ip", "netns", "list").split():
            return space
        run("ip", "netns", "add", space)
        run("ip", "-n", space, "link", "set", "lo", "up")
        if service.get("network_mode") == "none":
            return space
        for network in service.get("networks", ["default"]):
            place = self.networks.index(network)
            self.number += 1
            inner, outer, address = f"eth{place}", f"sh-{place}-{self.number}", f"10.77.{place}.{10 + self.number}"
            run("ip", "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", space)
            run("ip", "link", "set", outer, "master", f"sh-{place}", "up")
            run("ip", "-n", space, "address", "add", f"{address}/24", "dev", inner)
            run("ip", "-n", space, "link", "set", inner, "up")
            self.addresses[network][name] = address
        return space

    def root_of(self, name, service):
        """A root with this machine's programs, the volumes and mounted files of the service, and nothing else."""
        root = self.folder / "roots" / name
        root.mkdir(parents=True)
        run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", root)
        for shared in ("usr", "bin", "sbin", "lib", "lib64"):
            if Path("/", shared).is_symlink():
                (root / shared).symlink_to(Path("/", shared).readlink())
            elif Path("/", shared).is_dir():
                (root / shared).mkdir()
                run("mount", "--rbind", "-o", "ro", f"/{shared}", root / shared)
        for own in ("etc", "proc", "dev", "tmp", "programs", "data", "run"):
            (root / own).mkdir()
        (root / "tmp").chmod(0o1777)
        run("mount", "-t", "tmpfs", "tmpfs", root / "usr/local")
        run("mount", "--rbind", "/dev", root / "dev")
        run("mount", "--bind", self.folder / "programs", root / "programs")
        for folder in ("ssl", "alternatives"):
            shutil.copytree(f"/etc/{folder}", root / "etc" / folder, symlinks=True)
        shutil.copy("/etc/ld.so.cache", root / "etc/ld.so.cache")
        networks = [network for network in service.get("networks", ["default"]) if service.get("network_mode") != "none"]
        (root / "etc/resolv.conf").write_text("".join(f"nameserver 10.77.{self.networks.index(network)}.1\n" for network in networks[-1:]))
        (root / "etc/nsswitch.conf").write_text("hosts: files dns\n")
        (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
        (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
        for mount in service.get("volumes", []):
            place, target, *how = self.words(mount).split(":")
            inside = root / target.lstrip("/")
            if place.startswith("."):
                inside.parent.mkdir(parents=True, exist_ok=True)
                inside.touch()
                source = FOLDER / place
            else:
                inside.mkdir(parents=True, exist_ok=True)
                source = self.folder / "volumes" / place
                if not source.exists():
                    source.mkdir(parents=True)
                    owner = IMAGES[VOLUMES[target]][1] if VOLUMES.get(target) == kind(service) else "0:0"
                    os.chown(source, *map(int, owner.split(":")))
            run("mount", "--bind", source, inside)
            if how == ["ro"]:
                run("mount", "-o", "remount,ro,bind", inside)
        for place in service.get("tmpfs", []):
            inside = root / place.lstrip("/")
            inside.mkdir(exist_ok=True)
            run("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", inside)
        return root

    def command(self, name, service, words):
        """What runs `words` in the service: its network, host name, root, user, capabilities and environment."""
        space, root = self.network_of(name, service), self.folder / "roots" / name
        user, group = service.get("user", IMAGES[kind(service)][1]).split(":")
        kept = "".join(f",+{capability.lower()}" for capability in service.get("cap_add", []))
        if service.get("cap_drop") != ["ALL"]:
            raise SystemExit(f"{name} keeps capabilities")
        environment = [f"{key}={self.words(value)}" for key, value in service.get("environment", {}).items()]
        if kind(service) == "springhead":
            environment += ["SPRINGHEAD_DATA_DIR=/data", "SPRINGHEAD_ADMIN_LISTEN=0.0.0.0:8081"]
        lock = f"mount -o remount,ro,bind {root};" if service.get("read_only") else ""
        prepare = f'hostname "$0"; mount -t proc proc {root}/proc; {lock} exec "$@"'
        return ["ip", "netns", "exec", space, "unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child=TERM", "sh", "-ec", prepare,
                service.get("hostname", name), "chroot", root, "setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups",
                f"--bounding-set=-all{kept}", f"--inh-caps=-all{kept}", *([f"--ambient-caps=-all{kept}"] if kept else []), "--no-new-privs",
                "env", "-i", "PATH=/programs:/usr/sbin:/usr/bin:/sbin:/bin", *environment, *words]

    def up(self, *names):
        for name in names or self.services:
            self.begin(name)

    def begin(self, name):
        if name in self.processes:
            return
        service = self.services[name]
        needed = service.get("depends_on", [])
        for other in needed:
            if other in self.services:
                self.begin(other)
                self.waits(other, needed[other]["condition"] if isinstance(needed, dict) else "service_started")
        root = self.folder / "roots" / name
        if not root.exists():
            self.root_of(name, service)
        entry = service.get("entrypoint", IMAGES[kind(service)][0])
        words = [self.words(word) for word in [*entry, *service.get("command", [])]]
        log = open(self.folder / f"{name}.log", "a")
        self.processes[name] = subprocess.Popen(list(map(str, self.command(name, service, words))), stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def said(self, name):
        return (self.folder / f"{name}.log").read_text()[-3000:]

    def healthy(self, name):
        service = self.services[name]
        return not subprocess.run(list(map(str, self.command(name, service, service["healthcheck"]["test"][1:]))), capture_output=True).returncode

    def waits(self, name, condition):
        limit = time.monotonic() + 120
        while True:
            ended = self.processes[name].poll()
            if condition == "service_completed_successfully" and ended == 0:
                return
            if ended is not None:
                raise SystemExit(f"{name} ends with {ended}: {self.said(name)}")
            if condition == "service_started" or condition == "service_healthy" and self.healthy(name):
                return
            if time.monotonic() > limit:
                raise SystemExit(f"{name} does not come to {condition}: {self.said(name)}")
            time.sleep(0.3)

    def stop(self, name, signal="SIGTERM"):
        """As `docker stop`: the signal to the service, which has its grace to end in."""
        service, process = self.services[name], self.processes.pop(name)
        # ip execs unshare, whose child is the first process of the service.
        inner = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        run("kill", f"-{service.get('stop_signal', signal)[3:]}", *inner)
        try:
            return process.wait(int(service.get("stop_grace_period", "10s").rstrip("s")))
        except subprocess.TimeoutExpired:
            process.kill()
            return "killed"

    def at(self, name, network):
        return self.addresses[network][name]


class Elsewhere(Reached):
    """A server at an address of a container's."""

    def __init__(self, address, data):
        super().__init__(8080, data)
        self.address = address

    def ask(self, verb, path, body=None, key=None, port=None):
        request = urllib.request.Request(f"http://{self.address}:{port or self.port}{path}", data=body, method=verb)
        if key:
            request.add_header("Authorization", f"Bearer {key}")
        if body and path.startswith("/v1/"):
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return None, b""


def until(what, asked, seconds=90):
    limit = time.monotonic() + seconds
    while not (found := asked()):
        if time.monotonic() > limit:
            raise SystemExit(f"{what}: not within {seconds} s")
        time.sleep(0.3)
    return found


def several_nodes(folder):
    signing = run("sh", "-c", "openssl rand 32 | basenc --base64url | tr -d =").strip()
    project = Composed(folder, ["cluster.yaml"], {"SIGNING_KEY": signing, "S3_SECRET": "f" * 32})
    project.connect()
    # All at once, as compose does: names are known before the services are up.
    for name, service in project.services.items():
        project.network_of(name, service)
    project.up()
    for name in ("a", "b"):
        project.waits(name, "service_healthy")
    proxy = Elsewhere(project.at("proxy", "outside"), folder / "volumes/a")
    nodes = {name: Elsewhere(project.at(name, "outside"), folder / f"volumes/{name}") for name in ("a", "b")}
    until("HAProxy sends to a node", lambda: proxy.status("GET", "/readyz") == 200)
    faults = proxy.takes_an_upload()
    faults += [f"{name} does not have what went through the proxy" for name, node in nodes.items() if not until(f"{name} reads", lambda: node.status(
        "GET", "/cache/live-origin/check.ts", None, proxy.key("player")) == 200)]
    if nodes["b"].status("PUT", "/cache/live-origin/other.ts", b"x", nodes["a"].key("encoder")) != 204:
        faults.append("a key of the one node is not good at the other")
    stream = Stream(8080, proxy.key("encoder"), proxy.key("player"), host=proxy.address)
    stream.start()
    time.sleep(3)
    for name in ("a", "b"):
        began = time.monotonic()
        status = project.stop(name)
        project.begin(name)
        project.waits(name, "service_healthy")
        print(f"{name} replaced in {time.monotonic() - began:.1f} s")
        if status not in (0, 143):
            faults.append(f"{name} ends with {status}")
        time.sleep(3)
    faults += stream.end()[:20]
    print(f"{stream.counts['PUT']} uploads and {stream.counts['GET']} reads through HAProxy while both nodes were replaced")
    until("the bucket is made", lambda: project.processes["bucket"].poll() == 0)
    admin = nodes["a"].key("admin")
    ordered = json.dumps({"namespace": "live-origin", "playlist": "live.m3u8", "out": "s3://recordings/check"}).encode()
    status, answer = nodes["a"].ask("POST", "/v1/harvest", ordered, admin, 8081)
    if status not in (200, 201, 202):
        return faults + [f"a recording is not taken: {status} {answer[:600]}"]
    number = json.loads(answer)["id"]
    def recording():
        told = json.loads(nodes["a"].ask("GET", f"/v1/harvest/{number}", None, admin, 8081)[1])
        return told["state"] not in ("waiting", "running") and told

    told = until("a recording ends", recording)
    if told["state"] != "done" or told["missing"]:
        faults.append(f"a recording to the store: {told}")
    print(f"a recording of {told['files']} files to the store")
    return faults


def renews(project, reached, folder, scraped):
    """The keys without an end, as docs/deploying.md has them made: with those of the first start revoked, the server is still scraped, and the
    picture comes."""
    text = (ROOT / "docs/deploying.md").read_text()
    made = re.findall(r"^docker compose exec origin (springhead keys create .*)$", text, re.M)
    if len(made) != 2 or "docker compose up -d --force-recreate keys\n" not in text:
        return [f"docs/deploying.md has other commands: {made}"]
    origin = project.services["origin"]
    for words in made:
        run(*project.command("origin", origin, shlex.split(words)))
    project.processes.pop("keys")
    project.begin("keys")
    project.waits("keys", "service_completed_successfully")
    for name in ("admin", "encoder"):
        key = json.loads((folder / f"volumes/data/{name}_api_key.json").read_text())["key_id"]
        run(*project.command("origin", origin, ["springhead", "keys", "revoke", key]))
    def listed():
        return reached.ask("GET", "/cache/live-origin/playlist.m3u8", None, reached.key("player"))[1]

    project.stop("picture")
    last, before = listed(), time.time() + 2
    project.begin("picture")
    until("the picture comes with the new key", lambda: listed() != last)
    until("Prometheus reads the server with the new key", lambda: (found := scraped()) and found["value"][1] == "1" and found["value"][0] > before and
          time.time() > before + 12)
    return []


def with_prometheus(folder):
    project = Composed(folder, ["compose.yaml"], {}, absent=["grafana"], profiles=["demo"])
    project.connect()
    for name, service in project.services.items():
        project.network_of(name, service)
    project.up()
    origin = Elsewhere(project.at("origin", "default"), folder / "volumes/data")
    until("the picture comes", lambda: b".ts" in origin.ask("GET", "/cache/live-origin/playlist.m3u8", None, origin.key("player"))[1])
    url = f"http://{origin.address}:8080/cache/live-origin/playlist.m3u8?token={origin.key('player')}&inherit_token=1"
    probe = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", url], capture_output=True, text=True, timeout=60)
    faults = [] if {"h264", "aac"} <= set(probe.stdout.split()) else [f"the picture does not play: {probe.stdout}{probe.stderr}"]
    prometheus = Elsewhere(project.at("prometheus", "default"), None)

    def asked(path):
        status, answer = prometheus.ask("GET", path, None, None, 9090)
        return json.loads(answer)["data"] if status == 200 else None

    def scraped():
        found = asked("/api/v1/query?query=up%7Bjob%3D%22springhead%22%7D")
        return found and found["result"] and found["result"][0]

    until("Prometheus reads the server", lambda: (found := scraped()) and found["value"][1] == "1")
    alerts = [rule["name"] for group in asked("/api/v1/rules")["groups"] for rule in group["rules"] if rule["type"] == "alerting"]
    until("the stream is in its figures", lambda: (found := asked("/api/v1/query?query=springhead_streams_followed")) and found["result"], 30)
    print(f"the picture plays, Prometheus reads the server and knows {len(alerts)} alerts")
    if len(alerts) < 20:
        faults.append(f"Prometheus knows the alerts {alerts}")
    faults += renews(project, origin, folder, scraped)
    for name in ("picture", "prometheus", "origin"):
        status = project.stop(name)
        if name == "origin" and status not in (0, 143):
            faults.append(f"{name} ends with {status}: {project.said(name)}")
    return faults


def programs(folder):
    """What the images have, by the names that the services use."""
    place = folder / "programs"
    place.mkdir()
    place.chmod(0o755)
    packages = next((TOOLS / "lib").glob("python3*/site-packages"))
    weed = shutil.which("weed", path=TOOLS / "bin") or next(packages.rglob("weed"))
    valkey = next(packages.rglob("*_binaries/linux-*/valkey-server"), None) or next(packages.rglob("valkey-server"))
    for name, source in {"springhead": server(), "weed": weed, "valkey-server": valkey, "valkey-cli": shutil.which("redis-cli")}.items():
        shutil.copy(source, place / name)
        (place / name).chmod(0o755)


def main():
    if os.getuid() != 0:
        sys.exit("run it as root: it makes networks and changes its root")
    if server() is None:
        sys.exit("no server is built")
    if "--inside" not in sys.argv:
        faults = []
        for part in sys.argv[1:] or ["several_nodes", "with_prometheus"]:
            # Networks, mounts and processes of its own: all of it ends with the first process.
            done = subprocess.run(["unshare", "--mount", "--propagation", "private", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
                                   sys.executable, __file__, "--inside", part])
            faults += [part] if done.returncode else []
        sys.exit(f"failed: {', '.join(faults)}" if faults else 0)
    Path("/run/netns").mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "tmpfs", "/run/netns")
    run("ip", "link", "set", "lo", "up")
    folder = Path(tempfile.mkdtemp(prefix="springhead-composed."))
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder)
    try:
        programs(folder)
        faults = {"several_nodes": several_nodes, "with_prometheus": with_prometheus}[sys.argv[2]](folder)
    finally:
        if os.environ.get("SPRINGHEAD_CHECK_LOGS"):
            for log in folder.glob("*.log"):
                print(f"-- {log.stem}\n{log.read_text()[-3000:]}")
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
