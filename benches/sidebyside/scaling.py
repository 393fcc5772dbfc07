"""What one node carries, on paper: the tables of SCALING.md, from the costs of a run."""

from .machine import ROOT
from .workloads import middle

PAPER = ROOT / "benches/SCALING.md"
BEGIN, END = "<!-- written by benches/compare: begin -->", "<!-- end -->"
GIB = 1 << 30
# A node is full at this share of its cores and of its network card: the rest is for the minute after a goal.
CORES_FULL, CARD_FULL = 0.6, 0.8
# The example: a channel's ladder.
RENDITIONS, BITRATE, SEGMENT = 6, 20e6, 2.0
KEEP = 60


def costs(rounds):
    """Of one core, in seconds: per GiB and per request. Nothing when the run did not measure all of them."""
    wanted = {
        "read": ("a", "ms/GiB"), "read over TLS": ("d", "ms/GiB"), "written": ("c2", "ms/GiB"), "written over TLS": ("d2", "ms/GiB"),
        "playlist": ("b", "us/request"), "revalidated": ("f", "us/request"),
    }
    found = {}
    for name, (workload, what) in wanted.items():
        values = [one[what] for one in rounds.get(workload, {}).get("Springhead", [])]
        if not values:
            return None
        found[name] = middle(values)[0] / (1e3 if what == "ms/GiB" else 1e6)
    return found


def channel(cost, shields, tls):
    """Core seconds a second that one channel takes, read by so many shields."""
    gib = BITRATE / 8 / GIB
    read, written = (cost[name + (" over TLS" if tls else "")] for name in ("read", "written"))
    playlists = RENDITIONS / SEGMENT
    # Each shield asks for a playlist twice in a target duration, as our max-age tells it to.
    return gib * (written + shields * read) + playlists * cost["playlist"] * (1 + 2 * shields)


def tables(cost):
    lines = [BEGIN, "", "| cost on one core | |", "| --- | --- |"]
    for name in ("read", "read over TLS", "written", "written over TLS"):
        rate = GIB * 8 / cost[name] / 1e9
        lines.append(f"| segments {name} | {1e3 * cost[name]:.0f} ms per GiB: {rate:.0f} Gbit/s fill a core |")
    for name, what in (("playlist", "a playlist read, key checked"), ("revalidated", "a playlist revalidated (304)")):
        lines.append(f"| {what} | {1e6 * cost[name]:.1f} us: {1 / cost[name]:,.0f} a second fill a core |")
    lines += ["", f"One channel: {RENDITIONS} renditions, {BITRATE / 1e6:.0f} Mbit/s together, segments of {SEGMENT:.0f} s, over TLS.", "",
              "| shields | core seconds a second | Mbit/s out | channels per core | bound by a 10 Gbit/s card |",
              "| --- | --- | --- | --- | --- |"]
    for shields in (1, 3, 10):
        u = channel(cost, shields, True)
        out = shields * BITRATE
        lines.append(f"| {shields} | {u:.5f} | {out / 1e6:.0f} | {CORES_FULL / u:,.0f} | {CARD_FULL * 10e9 / out:,.0f} channels |")
    lines += ["", "What a node carries: channels (Gbit/s out) with 3 shields, over TLS; what it is bound by.", "",
              "| cores | 10 Gbit/s | 25 Gbit/s | 100 Gbit/s | memory for a minute of them |", "| --- | --- | --- | --- | --- |"]
    u, out = channel(cost, 3, True), 3 * BITRATE
    for cores in (2, 4, 8, 16, 32):
        cells, most = [], 0
        for card in (10e9, 25e9, 100e9):
            by_core, by_card = cores * CORES_FULL / u, CARD_FULL * card / out
            channels = int(min(by_core, by_card))
            most = max(most, channels)
            cells.append(f"{channels:,} ({channels * out / 1e9:.0f}): {'cores' if by_core < by_card else 'card'}")
        memory = most * BITRATE / 8 * KEEP * 1.12 / GIB
        lines.append(f"| {cores} | {' | '.join(cells)} | up to {memory:.0f} GiB |")
    return [*lines, "", END]


def insert(rounds):
    """Puts the tables into the paper; says whether there was enough to fill them."""
    cost = costs(rounds)
    if not cost:
        return False
    before, rest = PAPER.read_text().split(BEGIN)
    after = rest.split(END)[1]
    PAPER.write_text(before + "\n".join(tables(cost)) + after)
    return True
