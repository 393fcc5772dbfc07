"""The compose files: valid by the Compose specification, resolved by podman-compose, each mounted file there, each service kept small, the
settings of Prometheus read by promtool, those of HAProxy by HAProxy, those of the nodes by the server where one is built, those of MediaMTX
without a word that is misspelt here. Nothing of it is started here: release/checks/composed.py does that."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

from built import server

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "deploy/compose"
FILES = ["compose.yaml", "ingest.yaml"]
# What of MediaMTX's settings is used here, by its documentation.
MEDIAMTX = {
    "logLevel", "rtmp", "rtmpAddress", "srt", "srtAddress", "rtsp", "rtspAddress", "rtspTransports", "hls", "webrtc", "authMethod",
    "authInternalUsers", "paths",
}


def run(faults, about, command, **more):
    done = subprocess.run(command, capture_output=True, text=True, cwd=FOLDER, **more)
    if done.returncode:
        faults.append(f"{about}: {done.stdout}{done.stderr}")
    return done.stdout


def small(name, service, faults):
    """What each service has to have given up."""
    if service.get("cap_drop") != ["ALL"] or "no-new-privileges:true" not in service.get("security_opt", []):
        faults.append(f"{name} keeps capabilities, or may gain some")
    if not service.get("read_only") and name != "grafana":
        faults.append(f"{name} may write its own files")
    for port in service.get("ports", []):
        if not str(port).startswith("127.0.0.1:") and (name, port) not in OPEN:
            faults.append(f"{name}: {port} is open to everyone")
    for mount in service.get("volumes", []):
        place, target = str(mount).split(":")[:2]
        if place.startswith(".") and not (FOLDER / place).exists():
            faults.append(f"{name}: {place} is not there")
        if place == "data" and name not in ("origin", "keys"):
            faults.append(f"{name} sees the data directory, where the signing key is")
        if target == "/data" and name == "keys" and not str(mount).endswith(":ro"):
            faults.append("keys could change the data directory")


def several_nodes(faults):
    """Two nodes, their engine, a proxy and a store: what one of these files says of another is so."""
    told = yaml.safe_load((FOLDER / CLUSTER).read_text())
    services = told["services"]
    for name, service in services.items():
        small(name, service, faults)
    secrets = {"SIGNING_KEY": "c" * 43, "S3_SECRET": "a password"}
    resolved = run(faults, "podman-compose", ["podman-compose", "-f", CLUSTER, "config"], env={**os.environ, **secrets})
    faults += [f"{name} is not in what podman-compose resolves" for name in services if f"{name}:" not in resolved]
    for missing in secrets:
        some = {name: value for name, value in secrets.items() if name != missing}
        if not subprocess.run(["podman-compose", "-f", CLUSTER, "config"], cwd=FOLDER, env={**os.environ, **some}, capture_output=True).returncode:
            faults.append(f"the nodes would start without {missing}")
    haproxy = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    run(faults, "haproxy.cfg", [haproxy, "-c", "-f", "cluster/haproxy.cfg"])
    text = (FOLDER / "cluster/haproxy.cfg").read_text()
    nodes = {name for name, service in services.items() if service["image"].startswith("springhead:")}
    if any(set(re.findall(r"server \S+ (\w+):8080", backend)) != nodes for backend in text.split("\nbackend ")[1:]):
        faults.append(f"HAProxy does not send to {nodes}")
    settings = tomllib.loads((FOLDER / "cluster/springhead.toml").read_text())
    if settings["cluster"]["engine"] != "valkey://valkey:6379" or "valkey" not in services:
        faults.append("the nodes look for their engine elsewhere")
    room = sum(int(namespace["shared_capacity"].removesuffix("MiB")) for namespace in settings["namespaces"].values())
    command = services["valkey"]["command"]
    if int(command[command.index("--maxmemory") + 1].removesuffix("gb")) << 10 < 1.3 * room:
        faults.append(f"the engine's maxmemory is less than 1.3 times what namespaces may have there, {room} MiB")
    waits = sum(int(settings[key].rstrip("s")) for key in ("drain_delay", "drain_timeout")) + 10
    for name in nodes:
        if services[name]["hostname"] != name or int(services[name]["stop_grace_period"].rstrip("s")) < waits:
            faults.append(f"{name}: its name, or the {waits} s that it needs to end")
        for network in services[name]["networks"]:
            if network not in told["networks"]:
                faults.append(f"{name}: there is no network {network}")
    if program := server():
        run(faults, "springhead.toml", [program, "config", "check", "cluster/springhead.toml", "--text-only"])
    return len(services)


CLUSTER = "cluster.yaml"
OPEN = {("proxy", "8080:8080"), ("origin", "8080:8080"), ("mediamtx", "1935:1935"), ("mediamtx", "8890:8890/udp")}


def main():
    faults = []
    services = {}
    run(faults, CLUSTER, ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", CLUSTER])
    for file in FILES:
        run(faults, file, ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", file])
        services |= yaml.safe_load((FOLDER / file).read_text())["services"]
    wrong = subprocess.run(
        ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", "-"], input='{"services": {"a": {"image": "b", "read_olny": true}}}',
        capture_output=True, text=True)
    if not wrong.returncode:
        faults.append("the schema takes a misspelt key")
    for name, service in services.items():
        small(name, service, faults)
    environment = {**os.environ, "PUBLISH_PASSWORD": "a password"}
    resolved = run(faults, "podman-compose", ["podman-compose", "-f", FILES[0], "-f", FILES[1], "--profile", "demo", "config"], env=environment)
    faults += [f"{name} is not in what podman-compose resolves" for name in services if f"{name}:" not in resolved]
    environment.pop("PUBLISH_PASSWORD")
    without = subprocess.run(["podman-compose", "-f", FILES[0], "-f", FILES[1], "config"], cwd=FOLDER, env=environment, capture_output=True)
    if not without.returncode:
        faults.append("MediaMTX would start without a password")
    # Its paths are the container's: the rules stand beside it there, and the key is not here.
    prometheus = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    prometheus["rule_files"] = [str(ROOT / "config/alerts.yaml")]
    for job in prometheus["scrape_configs"]:
        job["authorization"]["credentials_file"] = str(Path(__file__))
    run(faults, "prometheus.yml", ["promtool", "check", "config", "/dev/stdin"], input=yaml.safe_dump(prometheus))
    if [job["job_name"] for job in prometheus["scrape_configs"]] != ["springhead"]:
        faults.append('the alerts ask for job="springhead"')
    mediamtx = yaml.safe_load((FOLDER / "mediamtx.yml").read_text())
    faults += [f"mediamtx.yml: {key}?" for key in mediamtx if key not in MEDIAMTX]
    published = {port.split(":")[-1].split("/")[0] for port in services["mediamtx"]["ports"]}
    if published != {mediamtx["rtmpAddress"].lstrip(":"), mediamtx["srtAddress"].lstrip(":")}:
        faults.append("MediaMTX listens on other ports than are published")
    for file in ("datasource.yaml", "dashboards.yaml"):
        if yaml.safe_load((FOLDER / "grafana" / file).read_text()).get("apiVersion") != 1:
            faults.append(f"grafana/{file}: no apiVersion")
    more = several_nodes(faults)
    if faults:
        sys.exit("\n".join(faults))
    print(f"{len(services) + more} services of {len(FILES) + 1} compose files are valid, resolved and small")


if __name__ == "__main__":
    main()
