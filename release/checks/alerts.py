"""Every alert of config/alerts.yaml is tried against recorded series: it fires, it does not fire a little below its threshold, it clears
again. promtool evaluates them. Each label that an annotation speaks of is there when the alert fires, and each alert has its page in
docs/runbooks."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
ALERTS = ROOT / "config/alerts.yaml"
STEP = 15

SERVER = '{job="springhead", instance="a:8081"}'


def of(name, **labels):
    labels = {"job": "springhead", "instance": "a:8081", **labels}
    return name + "{" + ", ".join(f'{key}="{value}"' for key, value in labels.items()) + "}"


def stored(**labels):
    return of("springhead_uploads_total", outcome="stored", **{"namespace": "live", **labels})


def upload_refusals(reason):
    return of("springhead_upload_refusals_total", reason=reason)


def read_refusals(reason):
    return of("springhead_read_refusals_total", reason=reason)


def requests(outcome, **labels):
    return of("springhead_http_requests_total", namespace="live", method="GET", status="200", outcome=outcome, **labels)


def ages(le):
    return of("springhead_object_age_seconds_bucket", kind="playlist", le=le)


def waits(le):
    return of("springhead_http_time_to_answer_seconds_bucket", method="GET", le=le)


LIVE = {"namespace": "live"}
UP = of("up")
STARTED = of("process_start_time_seconds")
ENDS = of("springhead_tls_certificate_expiry_timestamp_seconds")
KEY = of("springhead_api_key_expiry_timestamp_seconds", key_id="0123456789abcdef", label="CDN", role="readonly")
LIMITED = of("springhead_rate_limited_total", direction="read", **LIVE)
EVICTED = {kind: of("springhead_hot_objects_removed_total", reason="evicted", kind=kind, **LIVE) for kind in ("playlist", "segment")}
TIER_UP = of("springhead_durable_up", **LIVE)
TIER_WAITS = of("springhead_durable_waiting_changes", **LIVE)
BUDGET = of("springhead_durable_budget_bytes", **LIVE)
DISK = of("springhead_durable_capacity_bytes", **LIVE)
LOST = of("springhead_objects_lost_total", reason="capacity", **LIVE)
HELD = of("springhead_hot_stored_bytes", **LIVE)
COMING = of("springhead_hot_uploading_bytes", **LIVE)
HOT = of("springhead_hot_capacity_bytes", **LIVE)
OPEN = of("process_open_fds")
FILES = of("process_max_fds")
ONE_SOURCE = of("springhead_pair_sources_down", source="a", **LIVE)
DROPPED = of("springhead_access_log_lines_dropped_total")
ENDED = of("springhead_duties_ended")


ENGINE_UP = of("springhead_cluster_up")
NODES = of("springhead_cluster_members")
BESIDE = {"instance": "b:8081"}
NODES_BESIDE = of("springhead_cluster_members", **BESIDE)


def engine_refused(reason):
    return of("springhead_cluster_refused_total", reason=reason)


def renditions(state):
    return of("springhead_renditions", state=state, **LIVE)


def event(name):
    return of("springhead_stream_events_total", event=name, **LIVE)


# Of each alert: series that make it fire and end again; when it fires, and when it has cleared, in seconds; and series a little below,
# at which it never fires. One value every 15 seconds, in promtool's notation.
CASES = {
    "SpringheadDown": ({UP: "1x4 0x8 1x8"}, 150, 240, {UP: "1x4 0x1 1x8"}),
    "SpringheadRestarted": ({STARTED: "100x4 200x60"}, 90, 720, {STARTED: "100x60"}),
    # A server by itself, beside a node with a namespace of that name. And a node whose encoder is another one's now, beside a pause of seconds.
    "SpringheadIngestStopped": (
        {stored(): "0+1x40 40x20 41+1x20", NODES: "0x82", stored(**BESIDE): "0+1x82", NODES_BESIDE: "2x82"}, 780, 1000,
        {stored(): "0+1x40 40x40", NODES: "2x81", stored(**BESIDE): "0x36 0+1x44", NODES_BESIDE: "2x81",
         stored(namespace="other"): "0+1x40 40x2 41+1x40"}),
    "SpringheadUploadsDenied": (
        {upload_refusals("forbidden"): "0x8 1+1x20 21x40"}, 420, 600,
        {upload_refusals("forbidden"): "0+0.7x60", upload_refusals("no-credentials"): "0+5x60"}),
    "SpringheadReadersDenied": ({read_refusals("forbidden"): "0x8 1+1x40 41x60"}, 700, 1080, {read_refusals("forbidden"): "0+0.7x100"}),
    # Nobody is let in from the first read on. And some are not, beside many who are; or a token has ended, which players see to.
    "SpringheadViewersDenied": (
        {read_refusals("viewer-token-scope"): "0x8 15+15x40 615x60", requests("denied"): "0x8 15+15x40 615x60"}, 700, 1080,
        {read_refusals("viewer-token-invalid"): "0+7x100", read_refusals("viewer-token-expired"): "0+30x100", requests("hit"): "0+30x100",
         requests("denied"): "0+7x100"}),
    "SpringheadUploadsRefused": (
        {upload_refusals("too-large"): "0x8 1+1x40 41x60"}, 700, 1080,
        {upload_refusals("too-large"): "0+0.7x100", upload_refusals("forbidden"): "0+5x100", upload_refusals("stale-nonce"): "0+5x100"}),
    # One refusal, or one second of them, is nothing to be woken up for; nor is what readers, or an encoder over its rate, are told of 503 and 429.
    "SpringheadNoRoomForUploads": (
        {upload_refusals("too-many-bytes-in-flight"): "0x8 1+1x20 21x40"}, 420, 600,
        {upload_refusals("too-many-bytes-in-flight"): "0x8 1x60", upload_refusals("rate-limited"): "0+1x69", requests("busy"): "0+1x69"}),
    "SpringheadCertificateEndsSoon": ({ENDS: "1209700x10 9999999x20"}, 120, 240, {ENDS: "1210000x19"}),
    "SpringheadApiKeyEndsSoon": ({KEY: "1209700x10 stale"}, 120, 240, {KEY: "1210000x19"}),
    "SpringheadReadsLimited": ({LIMITED: "0x8 1+1x20 21x40"}, 420, 600, {LIMITED: "0x8 1x60"}),
    "SpringheadStreamIsStale": ({renditions("stale"): "0x4 1x4 0x8"}, 120, 180, {renditions("stale"): "0x20", renditions("late"): "1x20"}),
    "SpringheadStreamTrouble": ({event("gap"): "0x4 1x30"}, 90, 240, {event("gap"): "3x30", event("late"): "0+1x30"}),
    # An encoder that begins again is back within the minute.
    "SpringheadOneSourceOnly": ({ONE_SOURCE: "0x4 1x12 0x8"}, 180, 300, {ONE_SOURCE: "0x4 1x2 0x14"}),
    "SpringheadPlaylistsAreOld": (
        {ages("10.0"): "0x90", ages("60.0"): "0+1x40 40x49", ages("+Inf"): "0+1x40 40x49"}, 300, 810,
        {ages("10.0"): "0+0.2x80", ages("60.0"): "0+1x80", ages("+Inf"): "0+1x80"}),
    "SpringheadMissesAtTheEdge": (
        {requests("hit"): "0+150x60", requests("miss"): "0+15x40 600x20"}, 400, 780,
        {requests("hit"): "0+150x60", requests("miss"): "0+7x60"}),
    "SpringheadPlaylistsEvicted": ({EVICTED["playlist"]: "0x4 1x40"}, 90, 420, {EVICTED["playlist"]: "3x40", EVICTED["segment"]: "0+1x40"}),
    "SpringheadDurableTierFails": ({TIER_UP: "1x4 0x8 1x8", TIER_WAITS: "0x4 5x8 0x8"}, 150, 240, {TIER_UP: "0x20", TIER_WAITS: "0x20"}),
    "SpringheadDurableTierShortOfSpace": ({BUDGET: "50x40 100x20", DISK: "100x61"}, 400, 660, {BUDGET: "50x18 100x20", DISK: "100x39"}),
    # A server by itself has no engine that could be away.
    "SpringheadEngineAway": ({ENGINE_UP: "1x4 0x8 1x8", NODES: "2x21"}, 120, 240, {ENGINE_UP: "0x20", NODES: "0x20"}),
    "SpringheadEngineFull": (
        {engine_refused("full"): "0x8 1+1x20 21x40"}, 300, 600, {engine_refused("full"): "3x60", engine_refused("write"): "0+1x60"}),
    "SpringheadObjectsLost": ({LOST: "0x4 1x40"}, 90, 420, {LOST: "3x40"}),
    "SpringheadAlmostFull": ({HELD: "85x60 10x20", COMING: "6x60 0x20", HOT: "100x81"}, 700, 960, {HELD: "85x80", COMING: "5x80", HOT: "100x80"}),
    "SpringheadServerErrors": ({requests("failed"): "0x4 1x40"}, 90, 420, {requests("failed"): "3x40", requests("refused"): "0+1x40"}),
    "SpringheadSlowAnswers": (
        {waits("0.05"): "0+98x40 4020+100x60", waits("0.1"): "0+100x101", waits("+Inf"): "0+100x101"}, 500, 1020,
        {waits("0.05"): "0+99.5x80", waits("0.1"): "0+100x80", waits("+Inf"): "0+100x80"}),
    "SpringheadDescriptorsRunOut": ({OPEN: "90x20 10x20", FILES: "100x41"}, 210, 360, {OPEN: "80x40", FILES: "100x40"}),
    "SpringheadAccessLogLosesLines": ({DROPPED: "0+1x60 60x60"}, 600, 1290, {DROPPED: "0x4 1x60"}),
    # The restart that brings it back begins at zero.
    "SpringheadDutyEnded": ({ENDED: "0x4 1x8 0x8"}, 75, 240, {ENDED: "0x20"}),
}


def length(values):
    """For how many seconds a series goes on."""
    return STEP * (sum(int(part.rpartition("x")[2]) + 1 for part in values.split() if "x" in part) - 1)


def firing(alert, seconds, is_firing):
    labels = f'{{alertname="{alert}", alertstate="firing"}}'
    samples = [{"labels": f'{{alertname="{alert}"}}', "value": 1}] if is_firing else []
    return {"expr": f"count by (alertname) (ALERTS{labels})", "eval_time": f"{seconds}s", "exp_samples": samples}


def test(name, series, expected):
    listed = [{"series": name, "values": values} for name, values in series.items()]
    return {"name": name, "interval": f"{STEP}s", "input_series": listed, "promql_expr_test": expected}


def tests(alert):
    loud, fires, clears, quiet = CASES[alert]
    last = min(length(values) for values in quiet.values())
    yield test(f"{alert} fires and clears", loud, [firing(alert, 0, False), firing(alert, fires, True), firing(alert, clears, False)])
    yield test(f"{alert} is quiet", quiet, [firing(alert, at, False) for at in range(0, last + 1, STEP)])


def promtool(groups):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tests.yaml"
        file.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": f"{STEP}s", "tests": groups}))
        done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True)
        return done.returncode == 0, done.stdout + done.stderr


def kept_labels(rule):
    """The labels that an alert has when it fires: those it is summed by, else those of the first series of its case."""
    summed = re.findall(r"sum by \(([^)]*)\)", rule["expr"])
    if summed:
        return {label.strip() for part in summed for label in part.split(",")} - {"le"}
    first = next(iter(CASES[rule["alert"]][0]))
    return set(re.findall(r"(\w+)=", first))


def main():
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    faults = []
    names = [rule["alert"] for rule in rules]
    faults += [f"{name} has no case" for name in names if name not in CASES]
    faults += [f"there is no alert {name} any more" for name in CASES if name not in names]
    for rule in rules:
        alert, annotations = rule["alert"], rule["annotations"]
        for text in annotations.values():
            used = set(re.findall(r"\$labels\.(\w+)", text))
            faults += [f"{alert} speaks of {label}, which it has not when it fires" for label in used - kept_labels(rule)]
        page = f"docs/runbooks/{alert}.md"
        if annotations.get("runbook") != page or not (ROOT / page).is_file():
            faults.append(f"{alert} leads to no page: its annotation `runbook` is to be {page}, and that is to be there")
    for page in (ROOT / "docs/runbooks").glob("*.md"):
        if page.stem not in names and page.stem != "README":
            faults.append(f"{page.name} is about no alert")
    good, said = promtool([group for name in names if name in CASES for group in tests(name)])
    if not good:
        faults.append(said)
    # The check itself: were nothing expected to fire, it would have to complain.
    wrong, _ = promtool([test("planted", CASES["SpringheadDown"][0], [firing("SpringheadDown", 150, False)])])
    if wrong:
        faults.append("promtool accepts an alert that was not to fire")
    if faults:
        sys.exit("\n".join(faults))
    print(f"{len(names)} alerts fire, keep quiet and clear, each with its page")


if __name__ == "__main__":
    main()
