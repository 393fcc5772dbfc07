"""(n): what can be switched on, each over without: two servers of one build, asked the same in turn."""

import http.client
import json
import subprocess
import threading

from . import servers
from .machine import BINARY, LOAD_CORE, which

SEGMENT = 850 * 1024
ASKS = {
    "viewers' tokens required": ("GET playlist", "GET segment"),
    "a normalised folder": ("GET playlist", "PUT playlist", "PUT segment"),
    "a console open": ("GET playlist", "PUT segment"),
    "two nodes on one engine": ("GET playlist", "GET segment", "PUT playlist", "PUT segment"),
}


class Console:
    """As much of an open console as asks something: the stream of events, and the overview every three seconds."""

    def __init__(self, admin):
        self.is_over = threading.Event()
        self.live = http.client.HTTPConnection(admin, timeout=600)
        self.live.request("GET", "/v1/events/live")
        answer = self.live.getresponse()
        if answer.status != 200:
            raise RuntimeError(f"the console's events were answered {answer.status}")
        self.looks = threading.Thread(target=self.look, args=(admin,), daemon=True)
        self.looks.start()

    def look(self, admin):
        while not self.is_over.wait(3):
            connection = http.client.HTTPConnection(admin, timeout=10)
            connection.request("GET", "/v1/overview")
            connection.getresponse().read()
            connection.close()

    def stop(self):
        self.is_over.set()
        self.looks.join()
        self.live.close()


class Engine(servers.Redis):
    """What nodes share: on the load's core, for its time is not a node's."""

    def launch(self, command, folder, environment=None):
        super().launch(command + ["--maxmemory", "4gb", "--maxmemory-policy", "noeviction"], folder, environment)
        subprocess.run(["taskset", "-acp", LOAD_CORE, str(self.process.pid)], check=True, stdout=subprocess.DEVNULL)


def playlist():
    """A media playlist of a minute and a half, as encoders write them."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:2", "#EXT-X-MEDIA-SEQUENCE:1234"]
    for number in range(1234, 1279):
        lines += ["#EXTINF:2.000000,", f"playlist_720p30_{number:08}.ts"]
    return "\n".join(lines) + "\n"


def with_tokens(place):
    server = servers.Springhead(place("springhead"), of_namespace='[namespaces.live-origin.viewers]\nmode = "required"')
    made = subprocess.run([BINARY, "token", "viewer", "--namespace", "live-origin", "--config", server.folder / "springhead.toml",
                           "--data-dir", server.data], capture_output=True, text=True)
    if made.returncode:
        server.stop()
        raise RuntimeError(f"no token could be made: {made.stderr}")
    server.read, server.read_base = {}, f"/cache/live-origin/~{json.loads(made.stdout)['token']}/"
    return server


def measure(run, load, headers):
    seconds, stops = 0.5 if run.quick else 2.0, []

    def up(server):
        stops.append(server)
        server.read_base = getattr(server, "read_base", server.base)
        for line in playlist().splitlines():
            if not line.startswith("#"):
                server.put(line, line.encode())
        server.put("a.m3u8", playlist().encode())
        server.put("a.ts", bytes(range(256)) * (SEGMENT // 256))
        return server

    def ask(server, what):
        text = run.folder / "playlist.m3u8"
        text.write_text(playlist())
        words = {"GET playlist": {"path": server.read_base + "a.m3u8"}, "GET segment": {"path": server.read_base + "a.ts"},
                 "PUT playlist": {"path": server.base + "n{}.m3u8", "names": 30, "text": text},
                 "PUT segment": {"path": server.base + "up{}.ts", "names": 100, "body": SEGMENT}}[what]
        if what.startswith("PUT"):
            words |= {"method": "PUT", "connections": 8, "expect": 204, "header": headers(server.write)}
        else:
            words |= {"header": headers(server.read)}
        found = load("load", server, seconds=seconds, **words)
        if found["failed"] or not found["requests"]:
            run.results.note("n", f"{what}: {found['failed']} requests failed ({found['complaint']})")
        return found["server_cpu"] / max(1, found["requests"]) * 1e6

    try:
        plain = up(servers.Springhead(run.place("springhead")))
        fleet = {"viewers' tokens required": up(with_tokens(run.place)),
                 "a normalised folder": up(servers.Springhead(run.place("springhead"), of_namespace='normalise = [""]')),
                 "a console open": up(servers.Springhead(run.place("springhead")))}
        stops.append(Console(fleet["a console open"].admin))
        if which("redis-server"):
            engine = Engine(run.place("engine"))
            stops.append(engine)
            nodes = [up(servers.Springhead(run.place("springhead"), settings=f'[cluster]\nengine = "valkey://127.0.0.1:{engine.port}"\nnode = "{name}"'))
                     for name in "ab"]
            fleet["two nodes on one engine"] = nodes[0]
        else:
            run.results.note("n", "left out: two nodes, whose engine (redis) is not there")
        for number in range(run.rounds):
            for feature, server in fleet.items():
                for what in ASKS[feature]:
                    pair = (server, plain) if number % 2 else (plain, server)
                    cost = {one: ask(one, what) for one in pair}
                    run.results.add("n", f"{feature}: {what}", {"with": cost[server], "without": cost[plain]})
    finally:
        for one in stops[::-1]:
            one.stop()
