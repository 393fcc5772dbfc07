"""(q): two workers over one. The load has no core of its own then: it is the server's CPU time that is compared, not what gets through."""

from . import servers
from .machine import SERVER_CORE, LOAD_CORE

SEGMENT = 850 * 1024


def measure(run, load, headers):
    one = servers.Springhead(run.place("springhead"))
    two = servers.Springhead(run.place("springhead"), cores=f"{SERVER_CORE},{LOAD_CORE}")
    try:
        for server in (one, two):
            server.put("a.m3u8", b"#EXTM3U\n" + b"#" * 2040)
            server.put("a.ts", bytes(range(256)) * (SEGMENT // 256))
        asks = {"GET playlist": {"path": one.base + "a.m3u8"}, "GET segment": {"path": one.base + "a.ts"},
                "PUT playlist": {"path": one.base + "n{}.m3u8", "names": 30, "body": 2048},
                "PUT segment": {"path": one.base + "up{}.ts", "names": 100, "body": SEGMENT}}
        for number in range(run.rounds):
            for what, words in asks.items():
                for server in (one, two) if number % 2 else (two, one):
                    if what.startswith("PUT"):
                        more = {"method": "PUT", "connections": 8, "expect": 204, "header": headers(server.write)}
                    else:
                        more = {"header": headers(server.read)}
                    found = load("load", server, seconds=run.seconds, **words, **more)
                    if found["failed"] or not found["requests"]:
                        run.results.note("q", f"{what}: {found['failed']} requests failed ({found['complaint']})")
                    run.results.add("q", f"{what}: {'two' if server is two else 'one'}",
                                    {"us/request": found["server_cpu"] / max(1, found["requests"]) * 1e6})
    finally:
        for server in (one, two):
            server.stop()
