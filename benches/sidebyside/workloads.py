"""The workloads (a) to (q): what is asked of whom, and what is taken down of it.

Each measurement is one dict; `Results` keeps them by workload and server, one per round.
"""

import http.client
import json
import os
import statistics
import subprocess
import time

from . import cold, features, servers, workers
from .machine import LOAD, LOAD_CORE, ROOT, cpu_seconds, file_system, free_port, processor, resident, say
from .servers import GET, PUT, TLS_GET, TLS_PUT

PLAYLIST, SEGMENT = 2048, 850 * 1024
GIB = 1 << 30
NAMES = {
    "a": "GET 850 KiB segment, 64 connections",
    "b": "GET 2 KiB playlist, 64 connections, key checked",
    "c": "PUT 850 KiB segment, 8 writers, length known",
    "c2": "PUT 850 KiB segment, 8 writers, chunked",
    "d": "GET 850 KiB segment over TLS 1.3, 64 connections",
    "d2": "PUT 850 KiB segment over TLS 1.3, 8 writers, chunked",
    "e": "live mix: 30 renditions written, readers take 90 % of the core",
    "f": "304 revalidation of a playlist, 64 connections",
    "g": "1 k to 1 M objects of 64 bytes, at random",
    "h": "500 k objects expire in one second while reads go on",
    "i": "memory",
    "j": "one growing object, 1,000 readers",
    "k": "herd: 1,000 connections ask at once for an evicted segment",
    "l": "PUT 850 KiB segment, 8 writers slower than the server, length known",
    "l2": "PUT 850 KiB segment, 8 writers slower than the server, chunked",
    "m": "PUT 850 KiB segment onto a disk, length known",
    "m2": "PUT 850 KiB segment onto a disk, chunked",
    "n": "what can be switched on, each over without",
    "o": "GET 850 KiB segments that lie on a disk, each once, 8 connections",
    "o2": "the same, and the kernel has not read them",
    "p": "start with what lies on a disk",
    "q": "two workers over one",
}
# Who is asked in which workload, beside Springhead and what a workload can't be without: rivals by the names that '--without' takes.
ASKED = {"a": "varnish ats s3 redis iperf3", "b": "varnish ats s3 redis", "c": "s3 redis", "d": "ats", "f": "varnish ats s3",
         "l": "s3 redis"}
# A sender slower than the server: so many bytes each millisecond, as they come from an encoder over a network.
SLICE = 8 << 10


class Results:
    def __init__(self):
        self.rounds, self.notes, self.faults, self.where, self.about, self.abouts = {}, {}, [], {}, {}, {}

    def add(self, workload, server, found, where="memory"):
        """`where`: in what its bytes lie."""
        self.rounds.setdefault(workload, {}).setdefault(server, []).append(found)
        self.where[f"{workload} {server}"] = where

    def note(self, workload, text, is_fault=True):
        """Says something beside the figures. A fault is what makes them less than was asked for."""
        if text not in self.notes.setdefault(workload, []):
            self.notes[workload].append(text)
            say(f"  ({workload}) {text}")
            if is_fault:
                self.faults.append(f"({workload}) {text}")

    def to_json(self):
        abouts = {letter: self.about for letter in {workload[0] for workload in self.rounds}} | self.abouts
        return {"rounds": self.rounds, "notes": self.notes, "where": self.where, "about": self.about, "abouts": abouts}

    @classmethod
    def of(cls, found):
        made = cls()
        made.rounds, made.notes, made.where = found["rounds"], found["notes"], found["where"]
        made.about, made.abouts = found["about"], found["abouts"]
        return made

    def with_newer(self, newer):
        """These, and in place of what both have measured the newer one's."""
        letters = {workload[0] for workload in newer.rounds}
        for mine, its in ((self.rounds, newer.rounds), (self.notes, newer.notes), (self.where, newer.where)):
            for name in [name for name in mine if name[0] in letters]:
                del mine[name]
            mine.update(its)
        self.abouts.update({letter: newer.about for letter in letters})
        self.about = newer.about
        return self


def not_measured(results, letters, without):
    """What was asked for and is not there, each as one line."""
    rivals = {"varnish": servers.Varnish.name, "ats": servers.TrafficServer.name, "s3": servers.S3.name, "redis": servers.Redis.name,
              "iperf3": "iperf3"}
    found = []
    for letter in letters:
        asked = ["Springhead", *(rivals[name] for name in ASKED.get(letter, "").split() if name not in without)]
        asked += ["nginx"] if letter in "abcdefglmo" else []
        there = " ".join(name for workload, by_name in results.rounds.items() if workload[0] == letter for name in by_name)
        if letter in "knpq":
            asked = [] if there else ["Springhead"]
        found += [f"({letter}) has no figure of {name}" for name in asked if name not in there]
    return found


def load(command, server, **words):
    """Runs the load on its core and hands back what it measured."""
    to = server.tls_port if words.get("tls") else server.port
    words |= {"to": f"127.0.0.1:{to}", "pids": ",".join(map(str, server.pids))}
    if server.is_redis:
        words["redis"] = 1
    line = ["taskset", "-c", LOAD_CORE, str(LOAD), command]
    for name, value in words.items():
        line += [f"{name}={one}" for one in (value if isinstance(value, list) else [value])]
    done = subprocess.run(line, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise RuntimeError(f"{server.name}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def headers(of):
    return [f"{name}: {value}" for name, value in of.items()]


def percentile(histogram, share):
    """Of [[microseconds, count]…]."""
    total = sum(count for _, count in histogram)
    seen = 0
    for value, count in histogram:
        seen += count
        if seen >= share * total:
            return value
    return float("nan")


def added(histograms):
    """Several rounds' as one."""
    all_of = {}
    for histogram in histograms:
        for value, count in histogram:
            all_of[value] = all_of.get(value, 0) + count
    return sorted(all_of.items())


class Run:
    """One run of everything: `seconds` per measurement, `rounds` of each."""

    def __init__(self, folder, only, rounds, quick, also=None, without=()):
        self.folder, self.only, self.quick, self.also, self.without = folder, only, quick, also, without
        self.rounds = rounds
        self.seconds = 0.7 if quick else 3.0
        self.results = Results()
        self.certificate = servers.certificate(folder)
        self.count = 0

    def place(self, name):
        self.count += 1
        return self.folder / f"{self.count}-{name}"

    def wants(self, *letters):
        return any(letter in self.only for letter in letters)

    def all(self):
        for letters, part in ((("a", "b", "c", "d", "f", "l"), self.plain), (("e",), self.live_mix), (("g",), self.many_objects),
                              (("h",), self.expiry), (("i",), self.memory), (("j",), self.growing), (("k",), self.herd),
                              (("m",), self.onto_disk), (("n",), self.each_feature), (("o",), self.read_cold),
                              (("p",), self.start_with), (("q",), self.two_workers)):
            if self.wants(*letters):
                begun = time.monotonic()
                try:
                    part()
                except (RuntimeError, OSError, ValueError, subprocess.SubprocessError) as error:
                    # Half an hour's other figures are not lost for it.
                    self.results.note(letters[0], f"broke off: {str(error).strip() or repr(error)}")
                say(f"== {','.join(letters)}: {time.monotonic() - begun:.0f} s")
        return self.results

    def try_start(self, name, kind, *arguments, **more):
        """A rival that does not start is missing in the figures, which is a fault; one that is not wanted is said to be."""
        letters = [letter for letter in self.only if name in ASKED.get(letter, "").split()]
        if name in self.without:
            for letter in letters:
                self.results.note(letter, f"left out by --without: {kind.name}", is_fault=False)
            return None
        if not letters:
            return None
        try:
            return kind(*arguments, **more)
        except (RuntimeError, OSError, TypeError, subprocess.CalledProcessError) as error:
            for letter in letters:
                self.results.note(letter, f"left out: {kind.name} did not start here ({str(error).splitlines()[0]})")
            return None

    def other_build(self, **more):
        other = servers.Springhead(self.place("springhead"), binary=self.also, **more)
        other.name = "the other build"
        return other

    def plain(self):
        """(a) to (d), (f) and (l): all servers up at once, each asked in turn."""
        nginx = servers.Nginx(self.place("nginx"), self.certificate)
        fleet = [servers.Springhead(self.place("springhead"), certificate=self.certificate), nginx]
        if self.also:
            fleet.append(self.other_build(certificate=self.certificate))
        if servers.has_durable_tier():
            durable = servers.Springhead(self.place("springhead"), certificate=self.certificate, durable=True)
            durable.does = (PUT,)
            fleet.append(durable)
        fleet += [server for server in (
            self.try_start("varnish", servers.Varnish, self.place("varnish"), nginx),
            self.try_start("ats", servers.TrafficServer, self.place("ats"), nginx, self.certificate),
            self.try_start("s3", servers.S3, self.place("s3")),
            self.try_start("redis", servers.Redis, self.place("redis"))) if server]
        writers = {size: servers.Writer(self.place("writer"), size) for size in (PLAYLIST, SEGMENT)}
        segment, playlist = os.urandom(SEGMENT), b"#EXTM3U\n" + b"#" * (PLAYLIST - 8)
        try:
            for server in fleet:
                server.prepare("a.m3u8", playlist)
                server.prepare("a.ts", segment)
            for number in range(self.rounds):
                say(f"round {number + 1} of {self.rounds}")
                # Each goes first in turn.
                turn = number % len(fleet)
                for letter in self.only:
                    if letter in "abcdfl":
                        self.plain_round(letter, fleet[turn:] + fleet[:turn], writers)
        finally:
            for server in [*fleet[::-1], *writers.values()]:
                server.stop()

    def plain_round(self, letter, fleet, writers):
        def measure(workload, does, key, **words):
            for server in fleet:
                if does not in server.does or (server.is_redis and (workload == "f" or words.get("chunked"))):
                    continue
                sent = headers(server.write if words.get("method") == "PUT" else server.read)
                if workload == "f":
                    sent.append(f"If-None-Match: {server.etag(key)}")
                found = load("load", server, seconds=self.seconds, path=server.base + key, header=sent, **words)
                self.keep(workload, server, found)

        if letter == "a":
            measure("a", GET, key="a.ts")
            self.keep("a", writers[SEGMENT], load("load", writers[SEGMENT], seconds=self.seconds, path="/a.ts"))
            self.iperf("a")
        elif letter == "b":
            measure("b", GET, key="a.m3u8")
            self.keep("b", writers[PLAYLIST], load("load", writers[PLAYLIST], seconds=self.seconds, path="/a.m3u8"))
        elif letter == "c":
            put = {"method": "PUT", "names": 100, "body": SEGMENT, "connections": 8, "expect": "200,201,204"}
            measure("c", PUT, key="up{}.ts", **put)
            measure("c2", PUT, key="up{}.ts", chunked=1, **put)
        elif letter == "d":
            measure("d", TLS_GET, key="a.ts", tls=1)
            measure("d2", TLS_PUT, key="up{}.ts", tls=1, method="PUT", names=100, body=SEGMENT, connections=8, chunked=1,
                    expect="200,201,204")
        elif letter == "f":
            measure("f", GET, key="a.m3u8", expect=304)
        elif letter == "l":
            put = {"method": "PUT", "names": 100, "body": SEGMENT, "connections": 8, "expect": "200,201,204", "slice": SLICE}
            measure("l", PUT, key="up{}.ts", **put)
            measure("l2", PUT, key="up{}.ts", chunked=1, **put)

    def keep(self, workload, server, found):
        if found["failed"] or not found["requests"]:
            self.results.note(workload, f"{server.name}: {found['failed']} requests failed ({found['complaint']})")
        if not found["requests"]:
            return
        size = found["requests"] * SEGMENT if workload[0] in "cl" or workload == "d2" else found["received"]
        seconds, latency = found["seconds"], found["latency"]
        self.results.add(workload, server.name, {
            "per second": found["requests"] / seconds,
            "GiB/s": size / GIB / seconds,
            "us/request": found["server_cpu"] / found["requests"] * 1e6,
            "ms/GiB": found["server_cpu"] / size * GIB * 1e3,
            "core": found["server_cpu"] / seconds,
            "load core": found["own_cpu"] / seconds,
            "latency": latency,
        }, server.bytes_in)

    def iperf(self, workload):
        if "iperf3" in self.without:
            self.results.note(workload, "left out by --without: iperf3", is_fault=False)
            return
        port = free_port()
        server = subprocess.Popen(["taskset", "-c", "0", "iperf3", "-s", "-1", "-p", str(port), "-B", "127.0.0.1"],
                                  stdout=subprocess.DEVNULL)
        time.sleep(0.3)
        done = subprocess.run(["taskset", "-c", LOAD_CORE, "iperf3", "-c", "127.0.0.1", "-p", str(port), "-R", "-J", "-P", "8",
                               "-t", str(max(1, round(self.seconds)))], capture_output=True, text=True)
        server.wait()
        if done.returncode:
            self.results.note(workload, f"iperf3 failed ({(done.stderr or done.stdout).strip().splitlines()[-1:]})")
            return
        end = json.loads(done.stdout)["end"]
        size, seconds = end["sum_sent"]["bytes"], end["sum_sent"]["seconds"]
        cpu = end["cpu_utilization_percent"]["remote_total"] / 100 * seconds
        self.results.add(workload, "iperf3", {"GiB/s": size / GIB / seconds, "ms/GiB": cpu / size * GIB * 1e3,
                                              "core": cpu / seconds})

    def live_mix(self):
        """(e): each at the rate of reads that takes 90 % of its core, and Springhead at nginx's rate beside that."""
        ours, nginx = servers.Springhead(self.place("springhead")), servers.Nginx(self.place("nginx"), live=True)
        other = self.other_build() if self.also else None
        words = {"renditions": 30, "every": 1.0 if self.quick else 2.0, "segment": SEGMENT, "playlist": PLAYLIST}

        def mix(server, rate, seconds):
            return load("mix", server, base=server.base, rate=rate, seconds=seconds, read_header=headers(server.read),
                        write_header=headers(server.write), **words)

        def calibrated(server):
            trial = 0.7 if self.quick else 2.0
            rate = 0
            for _ in range(2 if self.quick else 3):
                found = mix(server, round(rate, 1), trial)
                busy = found["server_cpu"] / found["seconds"]
                rate = found["reads"] / found["seconds"] * min(2.0, 0.9 / busy)
            say(f"  (e) {server.name}: {rate:.0f} reads a second")
            return rate
        try:
            rates = {server: calibrated(server) for server in (ours, nginx)}
            turns = [("Springhead", ours, rates[ours]), ("nginx", nginx, rates[nginx]),
                     ("Springhead at nginx's rate", ours, rates[nginx])]
            if other:
                turns.append((other.name, other, rates[ours]))
            for number in range(self.rounds):
                for name, server, rate in turns if number % 2 else turns[::-1]:
                    found = mix(server, round(rate, 1), 1.5 if self.quick else 8.0)
                    if found["failed"]:
                        self.results.note("e", f"{name}: {found['failed']} requests failed ({found['complaint']})")
                    self.results.add("e", name, {
                        "per second": found["reads"] / found["seconds"],
                        "core": found["server_cpu"] / found["seconds"],
                        "load core": found["own_cpu"] / found["seconds"],
                        "reads": found["read_latency"],
                        "answered": found["answer_latency"],
                        "late": found["timer_latency"],
                        "writes": found["write_latency"],
                    }, server.bytes_in)
        finally:
            for server in (ours, nginx, other):
                if server:
                    server.stop()

    def many_objects(self):
        """(g): one server for each number of objects, all up at once, asked in turn; nginx where a folder of files allows it."""
        sizes = [1_000, 100_000] if self.quick else [1_000, 100_000, 1_000_000]
        fleet = []
        try:
            for size in sizes:
                fleet.append((size, servers.Springhead(self.place("springhead"), capacity="2GiB")))
                if size <= 100_000:
                    fleet.append((size, servers.Nginx(self.place("nginx"), live=True)))
            for size, server in fleet:
                found = load("load", server, method="PUT", path=server.base + "k{}.ts", names=size, count=size, body=64,
                             header=headers(server.write), expect="201,204")
                if found["failed"]:
                    raise RuntimeError(f"{server.name}: {found['complaint']}")
            for number in range(self.rounds):
                first = number * 10_000_000
                for size, server in fleet if number % 2 else fleet[::-1]:
                    found = load("load", server, path=server.base + "k{}.ts", names=size, random=1, first=first,
                                 seconds=self.seconds, header=headers(server.read))
                    put = load("load", server, method="PUT", path=server.base + "k{}.ts", names=size, random=1, first=first,
                               body=64, seconds=self.seconds, header=headers(server.write), expect="201,204")
                    for what, one in (("GET", found), ("PUT", put)):
                        if one["failed"]:
                            self.results.note("g", f"{server.name}, {size:,} objects: {one['complaint']}")
                        self.results.add("g", f"{server.name} {what} {size}",
                                         {"us/request": one["server_cpu"] / max(1, one["requests"]) * 1e6}, server.bytes_in)
        finally:
            for _, server in fleet:
                server.stop()
        if not self.quick:
            self.store_in_process()

    def store_in_process(self):
        """The store alone, without HTTP: what cargo bench finds."""
        done = subprocess.run(["taskset", "-c", "0,1", "cargo", "bench", "--locked", "--bench", "store", "--", "--noplot"], cwd=ROOT,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if done.returncode:
            self.results.note("g", "cargo bench --bench store failed")
            return
        for size in (1_000, 100_000, 1_000_000):
            for what in ("get", "put over another", "put and evict"):
                path = ROOT / f"target/criterion/{what}/{size}/new/estimates.json"
                if path.exists():
                    found = json.loads(path.read_text())["median"]["point_estimate"]
                    self.results.add("g", f"store {what} {size}", {"us/request": found / 1e3})

    def expiry(self):
        """(h)"""
        count = 50_000 if self.quick else 500_000
        for number in range(1 if self.quick else min(3, self.rounds)):
            server = servers.Springhead(self.place("springhead"))
            try:
                server.put("quiet.m3u8", b"#EXTM3U\n" + b"#" * (PLAYLIST - 8))
                trial = load("load", server, method="PUT", path=server.base + "e0.ts", body=64, seconds=1, expect="204",
                             header=headers(server.write))
                # Time to write them all, and a few seconds of quiet.
                after = count / trial["requests"] * 2 + 6
                found = load("expire", server, base=server.base, path=server.base + "quiet.m3u8", count=count, rate=10_000,
                             after=round(after, 1), write_header=headers(server.write), read_header=headers(server.read))
                left = server.metric(r"springhead_hot_objects\{[^}]*\}")
                if found["failed"] or left != 1:
                    self.results.note("h", f"{found['failed']} requests failed, {left} objects left")
                self.results.add("h", "Springhead", found)
            finally:
                server.stop()

    def memory(self):
        """(i): what is resident over what is stored, and what an idle connection takes."""
        total = GIB // 8 if self.quick else GIB
        server = servers.Springhead(self.place("springhead"), capacity="137MiB" if self.quick else "1100MiB")
        try:
            self.turn_over(server, total)
        finally:
            server.stop()
        for start in (lambda: servers.Springhead(self.place("springhead")), lambda: servers.Nginx(self.place("nginx"))):
            server = start()
            try:
                self.idle(server)
            finally:
                server.stop()

    def turn_over(self, server, total):
        sizes, noise = [250 << 10, 500 << 10, 850 << 10], os.urandom(850 << 10)
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        written, number, live = 0, 0, []

        def put(size, chunked):
            words = dict(server.write)
            body = noise[:size]
            if chunked:
                words["Transfer-Encoding"] = "chunked"
                body = (noise[at:min(size, at + 32768)] for at in range(0, size, 32768))
            connection.request("PUT", f"{server.base}m{number}.ts", body=body, headers=words, encode_chunked=chunked)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 204:
                raise RuntimeError(f"PUT was answered {answer.status}")

        def ratio():
            # What is still held: the newest objects that fit.
            time.sleep(2)
            objects = int(server.metric(r"springhead_hot_objects\{[^}]*\}"))
            return resident(server.pids) / sum(live[-objects:])
        found = {}
        for turn in range(10):
            while written < total * (turn + 1):
                put(sizes[number % 3], number % 2 == 1)
                live.append(sizes[number % 3])
                written += live[-1]
                number += 1
            if turn == 0:
                found["stored"] = ratio()
        found["turned over"] = ratio()
        self.results.add("i", "Springhead", found)

    def idle(self, server):
        count = 1_000 if self.quick else 10_000
        server.prepare("idle.m3u8", b"#EXTM3U\n" + b"#" * (PLAYLIST - 8))
        # What the first requests make once is not a connection's.
        load("load", server, path=server.base + "idle.m3u8", header=headers(server.read), seconds=0.5, warm=0.1)
        time.sleep(2)
        before = resident(server.pids)
        line = ["taskset", "-c", LOAD_CORE, str(LOAD), "idle", f"to=127.0.0.1:{server.port}", f"connections={count}",
                f"path={server.base}idle.m3u8", *[f"header={text}" for text in headers(server.read)]]
        process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        opened = json.loads(process.stdout.readline() or "{}")
        time.sleep(2)
        after = resident(server.pids)
        process.stdin.close()
        process.wait()
        if opened.get("open") != count:
            self.results.note("i", f"{server.name}: {opened} of {count:,} connections")
        if opened.get("open"):
            self.results.add("i", server.name, {"per connection": (after - before) / opened["open"]})

    def growing(self):
        """(j): beside it what writes each piece to each reader and does nothing else."""
        server, readers = servers.Springhead(self.place("springhead")), 200 if self.quick else 1000
        writer = servers.Writer(self.place("writer"), SEGMENT, pieces=60)
        try:
            for number in range(1 if self.quick else min(3, self.rounds)):
                found = load("grow", server, path=f"{server.base}grow{number}.ts", body=SEGMENT, pieces=60, seconds=2.0,
                             connections=readers, write_header=headers(server.write), read_header=headers(server.read))
                if not found["whole"]:
                    self.results.note("j", f"not supported by this build: {found['complaint'] or 'nothing came'}")
                    return
                if found["failed"]:
                    self.results.note("j", f"{found['failed']} readers failed ({found['complaint']})")
                self.results.add("j", "Springhead", {
                    "delay": found["delay"], "last": found["last_reader_seconds"],
                    "core": found["server_cpu"] / found["seconds"],
                    "ms/GiB": found["server_cpu"] / found["received"] * GIB * 1e3})
                found = load("load", writer, path="/j.ts", connections=readers, seconds=4.0)
                self.results.add("j", writer.name, {"ms/GiB": found["server_cpu"] / found["received"] * GIB * 1e3,
                                                    "core": found["server_cpu"] / found["seconds"]})
        finally:
            server.stop()
            writer.stop()

    def herd(self):
        """(k): beside the same herd at a segment that is in memory."""
        if not servers.has_durable_tier():
            self.results.note("k", "not supported by this build: an evicted object is gone without a durable tier")
            return
        server = servers.Springhead(self.place("springhead"), capacity="64MiB", durable=True)
        try:
            for number in range(1 if self.quick else min(5, self.rounds)):
                segment = os.urandom(SEGMENT)
                server.put(f"herd{number}.ts", segment)
                hot = self.ask_at_once(server, number)
                time.sleep(2)
                # Twice what fits: what was there before is evicted.
                found = load("load", server, method="PUT", path=f"{server.base}more{number}-{{}}.ts", names=160, count=160,
                             body=SEGMENT, connections=2, header=headers(server.write), expect="204")
                if found["failed"]:
                    self.results.note("k", f"writing: {found['complaint']}")
                time.sleep(2)
                for name, one in (("evicted", self.ask_at_once(server, number)), ("in memory", hot)):
                    if one["failed"]:
                        self.results.note("k", f"{name}: {one['failed']} requests failed ({one['complaint']})")
                    self.results.add("k", name, one, f"{server.bytes_in.split()[-1]}, its page cache" if name == "evicted" else "memory")
                answer = server.ask("GET", f"{server.base}herd{number}.ts", headers=server.read)
                if answer.body != segment:
                    self.results.note("k", "the segment that came back is not the one that was stored")
        finally:
            server.stop()

    def onto_disk(self):
        """(m): a paced load of names that are not on the disk yet, and then as long as it takes until nothing is left to be written. What the
        kernel writes back afterwards is nobody's CPU time, for all alike."""
        rate, count = 100, 100 if self.quick else 400
        fleet = [servers.Springhead(self.place("springhead"), durable=True),
                 servers.Springhead(self.place("springhead"), durable=True, of_namespace='ack = "durable"'),
                 servers.Nginx(servers.on_disk("nginx"))]
        fleet[0].name, fleet[1].name = "Springhead", "Springhead, ack = durable"
        try:
            for number in range(self.rounds):
                turn = number % len(fleet)
                for workload, chunked in (("m", 0), ("m2", 1)):
                    for server in fleet[turn:] + fleet[:turn]:
                        self.onto_disk_round(workload, server, f"{number}{workload}{{}}.ts", rate, count, chunked)
        finally:
            for server in fleet:
                server.stop()

    def onto_disk_round(self, workload, server, key, rate, count, chunked):
        cpu, begun = cpu_seconds(server.pids), time.monotonic()
        found = load("load", server, method="PUT", path=server.base + key, names=count, count=count, rate=rate, body=SEGMENT,
                     chunked=chunked, connections=8, header=headers(server.write), expect="200,201,204")
        given_up = server.flushed() if isinstance(server, servers.Springhead) else 0
        cpu, took = cpu_seconds(server.pids) - cpu, time.monotonic() - begun
        if found["failed"] or given_up:
            self.results.note(workload, f"{server.name}: {found['failed']} requests failed ({found['complaint']}), {given_up} writes given up")
        self.results.add(workload, server.name, {
            "per second": found["requests"] / took, "GiB/s": count * SEGMENT / GIB / took, "ms/GiB": cpu / (count * SEGMENT) * GIB * 1e3,
            "core": cpu / took, "load core": found["own_cpu"] / found["seconds"], "latency": found["latency"]}, server.bytes_in)
        # Kept neither on the disk nor in its cache: the next round is to find what this one found.
        for at in range(count):
            server.ask("DELETE", server.base + key.format(f"{at:08}"), headers=server.write)

    def each_feature(self):
        """(n)"""
        features.measure(self, load, headers)

    def read_cold(self):
        """(o)"""
        cold.read_cold(self, load, headers)

    def start_with(self):
        """(p)"""
        cold.start_with(self, load, headers)

    def two_workers(self):
        """(q)"""
        workers.measure(self, load, headers)

    def ask_at_once(self, server, number):
        return load("herd", server, path=f"{server.base}herd{number}.ts", connections=1000, header=headers(server.read))


def middle(values):
    """Median, least, most."""
    values = list(values)
    return statistics.median(values), min(values), max(values)
