"""From the figures of a run to RESULTS.md and its plots."""

import datetime
import re

from . import machine
from .plots import bars, number_text
from .workloads import NAMES, added, middle, percentile

OURS = "Springhead"
PLAIN = {
    "a": "ms/GiB", "b": "us/request", "c": "ms/GiB", "c2": "ms/GiB", "d": "ms/GiB", "d2": "ms/GiB", "f": "us/request",
    "l": "ms/GiB", "l2": "ms/GiB", "m": "ms/GiB", "m2": "ms/GiB", "o": "ms/GiB", "o2": "ms/GiB",
}
WORDS = {"ms/GiB": "server CPU, ms per GiB", "us/request": "server CPU, us per request"}


def spread(values, digits=None):
    """Median and what it lies between."""
    show = number_text if digits is None else (lambda value: f"{value:.{digits}f}")
    centre, least, most = middle(values)
    return f"{show(centre)} ({show(least)}-{show(most)})"


class Report:
    def __init__(self, results, folder):
        """`folder`: of the plots, as seen from the text."""
        self.rounds, self.notes, self.wheres, self.abouts = results.rounds, results.notes, results.where, results.abouts
        self.about, self.folder, self.on = results.about, folder, machine.processor()

    def where(self, workload, name):
        """In what a row's bytes lie, and what has moved them: figures of another processor are none of these."""
        return f"{self.wheres.get(f'{workload} {name}', 'memory')}; {self.on}"

    def has(self, workload, *names):
        return all(name in self.rounds.get(workload, {}) for name in names)

    def values(self, workload, name, what):
        return [found[what] for found in self.rounds[workload][name] if what in found]

    def ratios(self, workload, name, what, over=OURS):
        """Round by round: both were asked within the same seconds."""
        return [mine / theirs for mine, theirs in zip(self.values(workload, over, what), self.values(workload, name, what))]

    def tail(self, workload, name, what, share):
        return percentile(added(self.values(workload, name, what)), share)

    # The bars, each as (what, bar, values as text, whether it is reached).

    def bars(self):
        found = []

        def ratio(label, workload, other, what, bar):
            if self.has(workload, OURS, other):
                values = self.ratios(workload, other, what)
                found.append((f"({workload[0]}) {label}", f"at most {bar:.2f}", spread(values, 2), middle(values)[0] <= bar))

        def single(label, value, bar, text=None):
            found.append((label, f"at most {bar}", text or f"{value:.2f}", value <= bar))

        ratio("GET segment: CPU per GiB, over nginx", "a", "nginx", "ms/GiB", 0.50)
        ratio("GET segment: CPU per GiB, over the bare socket writer", "a", "bare socket writer", "ms/GiB", 1.08)
        ratio("GET playlist, key checked: CPU per request, over nginx", "b", "nginx", "us/request", 0.75)
        ratio("PUT segment, length known: CPU per GiB, over nginx", "c", "nginx", "ms/GiB", 0.25)
        ratio("PUT segment, chunked: CPU per GiB, over nginx", "c2", "nginx", "ms/GiB", 0.25)
        ratio("PUT segment, length known, slow senders: CPU per GiB, over nginx", "l", "nginx", "ms/GiB", 0.25)
        ratio("PUT segment, chunked, slow senders: CPU per GiB, over nginx", "l2", "nginx", "ms/GiB", 0.25)
        ratio("PUT segment onto a disk, length known: CPU per GiB, over nginx on it", "m", "nginx", "ms/GiB", 0.35)
        ratio("PUT segment onto a disk, chunked: CPU per GiB, over nginx on it", "m2", "nginx", "ms/GiB", 0.35)
        ratio("GET segment that lies on a disk, in the kernel's page cache: CPU per GiB, over nginx", "o", "nginx", "ms/GiB", 1.30)
        ratio("304: CPU per request, over nginx", "f", "nginx", "us/request", 0.85)
        ratio("GET segment over TLS: CPU per GiB, over nginx", "d", "nginx", "ms/GiB", 0.85)
        for name in (OURS, f"{OURS} at nginx's rate"):
            if self.has("e", name, "nginx"):
                for what in ("reads", "writes"):
                    mine, theirs = (self.tail("e", one, what, 0.999) for one in (name, "nginx"))
                    label = "" if name == OURS else ", both at nginx's rate"
                    single(f"(e) live mix: p99.9 of {what}, over nginx{label}", mine / theirs, 0.50,
                           f"{mine / theirs:.2f} ({mine / 1e3:.2f} ms, {theirs / 1e3:.2f} ms)")
        for what in ("GET", "PUT"):
            names = sorted((name for name in self.rounds.get("g", {}) if name.startswith(f"{OURS} {what} ")),
                           key=lambda name: int(name.split()[-1]))
            if len(names) > 1:
                few, many = (middle(self.values("g", name, "us/request"))[0] for name in (names[0], names[-1]))
                counts = [f"{int(name.split()[-1]):,}" for name in (names[0], names[-1])]
                single(f"(g) {what}: CPU with {counts[1]} objects over {counts[0]}", many / few, 1.10)
        if self.has("h", OURS):
            before, during = (self.tail("h", OURS, what, 0.99) for what in ("quiet", "during"))
            single("(h) p99 of reads during expiry, over quiet", during / before, 1.5,
                   f"{during / before:.2f} ({during:.0f} us, {before:.0f} us)")
        if self.has("i", OURS):
            for label, what, bar in (("1 GiB stored", "stored", 1.08), ("turned over ten times", "turned over", 1.12)):
                if values := self.values("i", OURS, what):
                    single(f"(i) resident memory over payload, {label}", values[0], bar, f"{values[0]:.3f}")
            if values := self.values("i", OURS, "per connection"):
                single("(i) memory of an idle connection, KiB", values[0] / 1024, 12, f"{values[0] / 1024:.1f}")
        for name in self.rounds.get("p", {}):
            if name.startswith("1000000 "):
                single(f"(p) start with 1,000,000 objects {name.partition(' ')[2]}: ready, s", middle(self.values("p", name, "ready"))[0], 1.0)
        for what in ("GET playlist", "GET segment"):
            if self.has("q", f"{what}: one", f"{what}: two"):
                gained = [2 * value for value in self.ratios("q", f"{what}: two", "us/request", f"{what}: one")]
                value = middle(gained)[0]
                found.append((f"(q) {what}: what two workers do over one, by CPU time", "at least 1.90", spread(gained, 2), value >= 1.9))
        return found

    def bar_table(self):
        rows = [f"| {what} | {bar} | {value} | {'reached' if ok else '**not reached**'} |" for what, bar, value, ok in self.bars()]
        return ["| workload | bar | measured | |", "| --- | --- | --- | --- |", *rows] if rows else []

    # The workloads.

    def sections(self):
        lines = []
        for workload, name in NAMES.items():
            if workload not in self.rounds and workload not in self.notes:
                continue
            lines += ["", f"#### ({workload[0]}) {name}", "", *self.when(workload)]
            if workload in self.rounds:
                part = {"e": self.live_mix, "g": self.many_objects, "h": self.expiry, "i": self.memory, "j": self.growing,
                        "k": self.herd, "n": self.features, "p": self.start, "q": self.workers}.get(workload)
                lines += part() if part else self.plain(workload)
            for note in self.notes.get(workload, []):
                lines += ["", f"Note: {note}."]
            if workload in PLAIN and self.rounds.get(workload):
                lines += ["", f"![{name}]({self.folder}/{workload}.svg)"]
        return lines

    def missing(self):
        """What this part has no figures of."""
        missing = [letter for letter in dict.fromkeys(name[0] for name in NAMES) if not any(name[0] == letter for name in self.rounds)]
        return [f"Not measured of this build: {', '.join(missing)}.", ""] if missing else []

    def when(self, workload):
        """Said of what another run than the last has measured."""
        about = self.abouts.get(workload[0], self.about)
        if about == self.about:
            return []
        return [f"Of another run, `{about['command']}`: {about['rounds']} rounds.", ""]

    def plain(self, workload):
        what = PLAIN[workload]
        found = self.rounds[workload]
        order = sorted(found, key=lambda name: middle(self.values(workload, name, what))[0] if self.values(workload, name, what) else 0)
        lines = [f"| | its bytes lie in; on | Springhead's CPU over its | {WORDS[what]} | requests/s | GiB/s | p50, us | p99, us | p99.9, us | its core busy | the load's |",
                 "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
        for name in order:
            ratio = "1" if name == OURS else spread(self.ratios(workload, name, what), 2) if OURS in found else "-"
            cells = [self.where(workload, name), ratio, spread(self.values(workload, name, what))]
            if self.values(workload, name, "latency"):
                cells.append(spread(self.values(workload, name, "per second")))
                cells.append(spread(self.values(workload, name, "GiB/s")))
                cells += [f"{self.tail(workload, name, 'latency', share):,.0f}" for share in (0.5, 0.99, 0.999)]
            else:
                cells += ["-", spread(self.values(workload, name, "GiB/s")), "-", "-", "-"]
            for what_core in ("core", "load core"):
                busy = self.values(workload, name, what_core)
                cells.append(f"{100 * middle(busy)[0]:.0f} %" if busy else "-")
            lines.append(f"| {name} | {' | '.join(cells)} |")
        return lines

    def live_mix(self):
        lines = ["| | its bytes lie in; on | reads/s | its core busy | the load's | reads p50, ms | p99 | p99.9 | writes p50, ms | p99 | p99.9 |",
                 "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
        for name in self.rounds["e"]:
            tails = [f"{self.tail('e', name, what, share) / 1e3:.2f}" for what in ("reads", "writes") for share in (0.5, 0.99, 0.999)]
            busy = " | ".join(f"{100 * middle(self.values('e', name, what))[0]:.0f} %" for what in ("core", "load core"))
            lines.append(f"| {name} | {self.where('e', name)} | {spread(self.values('e', name, 'per second'))} | {busy} | {' | '.join(tails)} |")
        parts = []
        for name in self.rounds["e"]:
            if self.values("e", name, "answered"):
                answered, late = ([f"{self.tail('e', name, what, share) / 1e3:.2f}" for share in (0.5, 0.99, 0.999)] for what in ("answered", "late"))
                parts.append(f"| {name} | {' | '.join(answered)} | {' | '.join(late)} |")
        if parts:
            lines += ["", "What a read waits for: from the moment at which it was sent to its last byte, and by how much a timer of the load fires late, with nothing",
                      "to do with any server; ms.", "", "| | sent to answered p50 | p99 | p99.9 | timer p50 | p99 | p99.9 |",
                      "| --- | --- | --- | --- | --- | --- | --- |", *parts]
        reads, writes = (sum(count for name in (OURS,) for _, count in added(self.values("e", name, what))) for what in ("reads", "writes"))
        return [*lines, "", f"All rounds together: {reads:,} reads and {writes:,} writes of Springhead. Each rendition is a segment of",
                "850 KiB and then a playlist of 2 KiB every 2 seconds, chunked; the segment that leaves the window is deleted. Readers",
                "ask for a playlist and then for the newest segment, at times that do not wait for answers."]

    def many_objects(self):
        lines = ["| CPU, us | its bytes lie in; on | 1,000 objects | 100,000 | 1,000,000 |", "| --- | --- | --- | --- | --- |"]
        kinds = dict.fromkeys(name.rsplit(" ", 1)[0] for name in self.rounds["g"])
        for kind in kinds:
            cells = [spread(self.values("g", f"{kind} {size}", "us/request")) if self.has("g", f"{kind} {size}") else "-"
                     for size in (1_000, 100_000, 1_000_000)]
            lines.append(f"| {kind} | {self.where('g', f'{kind} 1000')} | {' | '.join(cells)} |")
        return [*lines, "", "store: in process, without HTTP, by `cargo bench --bench store` (the median's time).",
                "The rest is the server's CPU time per request over HTTP."]

    def expiry(self):
        rows = [f"| {label} | " + " | ".join(f"{self.tail('h', OURS, what, share):,.0f}" for share in (0.5, 0.99, 0.999)) + " |"
                for label, what in (("quiet", "quiet"), ("while they expire", "during"))]
        count = self.values("h", OURS, "objects")[0]
        return [f"In memory; on {self.on}.", "", "| reads, us | p50 | p99 | p99.9 |", "| --- | --- | --- | --- |", *rows, "",
                f"{count:,} objects, 10,000 reads of a playlist a second, for 14 s from the moment on at which they expire."]

    def memory(self):
        lines = [f"In memory; on {self.on}.", "", "| | Springhead | nginx |", "| --- | --- | --- |"]
        for label, what, show in (("resident over payload, stored", "stored", "{:.3f}"),
                                  ("resident over payload, turned over ten times", "turned over", "{:.3f}"),
                                  ("bytes per idle connection", "per connection", "{:,.0f}")):
            cells = []
            for name in (OURS, "nginx"):
                values = self.values("i", name, what) if self.has("i", name) else []
                cells.append(show.format(middle(values)[0]) if values else "-")
            lines.append(f"| {label} | {' | '.join(cells)} |")
        return [*lines, "", "Objects of 250, 500 and 850 KiB, half of them chunked. A connection has been asked over once."]

    def growing(self):
        tails = " | ".join(f"{self.tail('j', OURS, 'delay', share) / 1e3:.2f}" for share in (0.5, 0.99, 0.999))
        last = spread([1e3 * value for value in self.values("j", OURS, "last")])
        return [f"In memory; on {self.on}.", "", "| from the writer's socket to a reader's, ms: p50 | p99 | p99.9 | last reader done after the writer, ms | CPU, ms per GiB |",
                "| --- | --- | --- | --- | --- |", f"| {tails} | {last} | {spread(self.values('j', OURS, 'ms/GiB'))} |", "",
                "60 pieces in 2 seconds.", *self.growing_floor()]

    def growing_floor(self):
        name = "bare socket writer"
        if not self.has("j", name):
            return []
        values = spread(self.values("j", name, "ms/GiB"))
        return [f"What writes each piece to each reader and does nothing else takes {values} ms per GiB:",
                f"Springhead over it {spread(self.ratios('j', name, 'ms/GiB'), 2)}."]

    def herd(self):
        lines = ["| the segment is | it lies in; on | first byte p50, ms | p99 | whole p50, ms | p99 | server CPU, ms |",
                 "| --- | --- | --- | --- | --- | --- | --- |"]
        for name in self.rounds["k"]:
            cells = [self.where("k", name)] + [f"{self.tail('k', name, what, share) / 1e3:.1f}" for what in ("first_byte", "latency") for share in (0.5, 0.99)]
            cpu = spread([1e3 * value for value in self.values("k", name, "server_cpu")])
            lines.append(f"| {name} | {' | '.join(cells)} | {cpu} |")
        return lines

    def features(self):
        lines = [f"In memory; on {self.on}.", "", "| CPU, us a request | with | without | with over without |", "| --- | --- | --- | --- |"]
        for name in self.rounds["n"]:
            pairs = list(zip(self.values("n", name, "with"), self.values("n", name, "without")))
            ratio = spread([mine / plain for mine, plain in pairs], 2)
            lines.append(f"| {name} | {' | '.join(spread([pair[at] for pair in pairs]) for at in (0, 1))} | {ratio} |")
        return [*lines, "", "Two servers of one build, asked the same in turn. What the engine takes is not counted: it is on the other core."]

    def start(self):
        lines = [f"On ext4 and {self.on}, all cores.".replace("ext4", self.wheres.get(f"p {next(iter(self.rounds['p']))}", "a disk")), "",
                 "| objects | until `/readyz` says yes, s | until the first playlist is read, s | its CPU time by then, s |", "| --- | --- | --- | --- |"]
        for name in self.rounds["p"]:
            count, _, how = name.partition(" ")
            cells = [spread(self.values("p", name, what), 2) for what in ("ready", "first", "cpu")]
            lines.append(f"| {int(count):,}, {how} | {' | '.join(cells)} |")
        return [*lines, "", "Objects of 64 bytes, written over HTTP before, and what the kernel had in its page cache of them."]

    def workers(self):
        lines = [f"In memory; on {self.on}.", "", "| CPU, us a request | one worker | two workers | twice one over two |", "| --- | --- | --- | --- |"]
        for what in dict.fromkeys(name.partition(":")[0] for name in self.rounds["q"]):
            one, two = (self.values("q", f"{what}: {which}", "us/request") for which in ("one", "two"))
            gained = [2 * mine / its for mine, its in zip(one, two)]
            lines.append(f"| {what} | {spread(one)} | {spread(two)} | {spread(gained, 2)} |")
        return [*lines, "", "One server has a core, and the load the other; the other server has both, and the load runs on one of them beside it."]

    def plots(self):
        """File name and text of each."""
        for workload, what in PLAIN.items():
            if workload in self.rounds:
                rows = sorted(((name, *middle(self.values(workload, name, what))) for name in self.rounds[workload]
                               if self.values(workload, name, what)), key=lambda row: row[1])
                yield workload, bars(f"({workload[0]}) {NAMES[workload]}", f"{WORDS[what]}: less is better", rows)
        if "e" in self.rounds:
            for what in ("reads", "writes"):
                rows = []
                for name in self.rounds["e"]:
                    for label, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)):
                        value = self.tail("e", name, what, share) / 1e3
                        rows.append((f"{name}, {label}", value, value, value))
                yield f"e-{what}", bars(f"(e) live mix: latency of {what}", "ms: less is better", rows)
        if "g" in self.rounds:
            rows = [(name, *middle(self.values("g", name, "us/request"))) for name in self.rounds["g"] if not name.startswith("store")]
            yield "g", bars(f"(g) {NAMES['g']}", WORDS["us/request"] + ": less is better", sorted(rows))


def slug(text):
    """A name for a folder."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def write(results, out):
    """Writes the part of this processor: into a file that has other processors' parts, in place of the one that was there."""
    on = machine.processor()
    folder = f"plots/{slug(on)}"
    report = Report(results, folder)
    plots = out / folder
    plots.mkdir(parents=True, exist_ok=True)
    for old in plots.glob("*.svg"):
        old.unlink()
    for name, text in report.plots():
        (plots / f"{name}.svg").write_text(text)
    about = results.about
    lines = [
        f"## {on}",
        "",
        f"Written by `{about['command']}` on {datetime.date.today()}: {about['rounds']} rounds, {about['minutes']:.0f} minutes.",
        "",
        "### Bars",
        "",
        *report.bar_table(),
        "",
        *report.missing(),
        "### Workloads",
        *report.sections(),
        "",
        "### Where and with what",
        "",
        "| | |",
        "| --- | --- |",
        *[f"| {name} | {text} |" for name, text in {**machine.machine(), **machine.versions()}.items()],
    ]
    path = out / "RESULTS.md"
    path.write_text(with_part(path.read_text() if path.exists() else "", on, "\n".join(lines)))
    return "\n".join(lines)


HEAD = """# Results

Written by `benches/compare`, a part for each processor: figures of one say nothing of another. Medians over the rounds, with the smallest and
the largest. Ratios are taken round by round, since both were asked within the same minute. Each row says where its bytes lie and on which
processor it was taken. How it is done, and what the figures do not say: [README.md](README.md).
"""


def with_part(text, name, part):
    """The text with this part between its marks, in place of what was there; behind all others when there was none."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    whole = f"{begin}\n\n{part}\n\n{end}\n"
    if begin in text:
        before, rest = text.split(begin)
        return before + whole + rest.split(f"{end}\n")[1]
    return f"{text or HEAD}\n{whole}"
