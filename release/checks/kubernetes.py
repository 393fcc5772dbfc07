"""The Helm chart: linted strictly, rendered with several sets of values, each manifest held against the schemas of Kubernetes 1.30 to 1.37, the
settings file in it read by the server itself where there is one, and the memory that it may take added up alike by both. Values that can't work
end with a sentence; which settings there are, and of which type, the chart's schema has from config/springhead.toml. The kustomize base is what
the chart makes of its defaults. With --update that and the schema are written."""

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from contextlib import contextmanager
from pathlib import Path

import kubernetes_validate
import yaml
from helm_python.chart import Chart, lint

from built import server

ROOT = Path(__file__).resolve().parent.parent.parent
CHART = ROOT / "deploy/helm/springhead"
SCHEMA = CHART / "values.schema.json"
SHIPPED = ROOT / "config/springhead.toml"
BASE = ROOT / "deploy/kustomize/base/springhead.yaml"
OVERLAY = ROOT / "deploy/kustomize/overlays/example"
VERSIONS = ["1.30", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37"]
# Of kinds that are not Kubernetes' own.
FOREIGN = {"ServiceMonitor", "PrometheusRule"}

MONITORED = {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}, "prometheusRule": {"enabled": True}}
GOOD = {
    "defaults": {},
    "everything": {
        "imagePullSecrets": [{"name": "pull"}],
        "signingKey": {"existingSecret": "signing"},
        "tls": {"existingSecret": "certificate"},
        "service": {"type": "LoadBalancer", "annotations": {"example.com/kind": "network"}},
        "networkPolicy": {"adminFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]},
        "metrics": {"keySecret": {"name": "admin-key"}, **MONITORED},
        "settings": {"log_format": "json", "drain_timeout": "40s", "timeouts": {"keep_alive": "200s"}, "connections": {"total": 2000}},
        "namespaces": {
            "live-origin": {"hot_capacity": "1GiB", "stale_after": 4, "cors_origins": ["https://player.example.com"], "strip_parameters": True},
            "second": {"hot_capacity": "200MB", "durable": "off", "viewers": {"mode": "required", "max_ttl": "6h"}},
            "a.third": {
                "hot_capacity": "20MiB", "read_requests_per_second": "500", "normalise": ["solo/"],
                # As YAML reads `off`.
                "durable": False, "hold": False, "gate": False, "viewers": {"mode": False},
                "pairs": [{"public": "live/", "sources": ["live-a/", "live-b/"], "prefer": "first"}, {"public": "b/", "sources": ["b-a/"]}],
            },
        },
        "resources": {"limits": {"memory": "2.5Gi"}},
        "persistence": {"size": "100Gi", "storageClass": "fast"},
        "terminationGracePeriodSeconds": 60,
        "env": [{"name": "AWS_REGION", "value": "eu-central-1"}],
        "envFrom": [{"secretRef": {"name": "bucket"}}],
        "podAnnotations": {"a": "b"}, "podLabels": {"c": "d"}, "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "live", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "priorityClassName": "live",
    },
    "sized by itself": {
        "namespaces": {"live-origin": {"hot_capacity": "auto"}}, "settings": {"max_in_flight": "auto", "drain_delay": "0s"}, "resources": {"limits": {"memory": "300Mi"}}, "metrics": {"open": True, **MONITORED},
        "networkPolicy": {"enabled": False}, "podDisruptionBudget": {"enabled": False},
    },
}
# Values that can't work, and a part of the sentence that says why.
BAD = {
    "two pods": ({"replicas": 2}, "each pod would have its own memory"),
    "too little memory": ({"resources": {"limits": {"memory": "1Gi"}}}, "the settings need 1871Mi"),
    "too little by a fraction": ({"resources": {"limits": {"memory": "1.82Gi"}}}, "the settings need 1871Mi"),
    "too little as a number": ({"resources": {"limits": {"memory": 1960000000}}}, "the settings need 1871Mi"),
    "a limit that is none": ({"resources": {"limits": {"memory": "2e9"}}}, "2e9 is no size"),
    "a rate as a number": ({"namespaces": {"live-origin": {"read_requests_per_second": 500}}}, "read_requests_per_second"),
    "a number as text": ({"settings": {"connections": {"total": "2000"}}}, "total"),
    "a truth that is none": ({"namespaces": {"live-origin": {"strip_parameters": "yes"}}}, "strip_parameters"),
    "half a connection": ({"settings": {"connections": {"total": 2000.5}}}, "total"),
    "a pair that is none": ({"namespaces": {"live-origin": {"pairs": ["live/"]}}}, "pairs"),
    "an unknown setting": ({"settings": {"drain_dealy": "5s"}}, "drain_dealy"),
    "an unknown setting of a namespace": ({"namespaces": {"live-origin": {"hot_capcity": "1GiB"}}}, "hot_capcity"),
    "on": ({"namespaces": {"live-origin": {"durable": True}}}, "durable"),
    "no way in for Prometheus": ({"metrics": {"serviceMonitor": {"enabled": True}}}, "/metrics asks for an admin key"),
    "killed in the middle of the drain": ({"terminationGracePeriodSeconds": 30}, "the pod needs 45"),
    "an unknown value": ({"replica": 1}, "replica"),
    "what the chart decides": ({"settings": {"listen": ["0.0.0.0:80"]}}, "settings"),
    "a size that is none": ({"namespaces": {"live-origin": {"hot_capacity": "lots"}}}, "hot_capacity"),
    "a name that is none": ({"namespaces": {"../x": {}}}, "../x"),
    "no namespace": ({"namespaces": None}, "namespaces"),
    "a port as text": ({"service": {"port": "80"}}, "port"),
}


# Values of which the chart and the server have to add up the same memory: what is too much for any machine, so that the server says so. The
# number of connections is one that every process may have.
SUMS = [
    {"settings": {"max_in_flight": "256MiB", "connections": {"total": 300}}, "namespaces": {"live-origin": {"hot_capacity": hot, **more}, "small": {"hot_capacity": "33MiB"}}}
    for hot, more in [("90TiB", {}), ("7000001MB", {"durable": "off"}), ("9000GiB", {"durable": False}), ("7TiB", {"durable": "s3://media/live"})]
]
# How it is said of a setting that it may be off.
OFF = re.compile(r"\boff[:,]")
# What the chart decides.
CHARTS = ["listen", "admin_listen", "data_dir", "metrics_open"]


def shipped():
    """Every setting with its default; tables of which there may be none, which are shown as comments, too."""
    lines, is_shown = [], False
    for line in SHIPPED.read_text().splitlines():
        is_shown = line.startswith("# [[") or (is_shown and line.startswith("# "))
        shown = line.removeprefix("# ")
        lines.append(shown if is_shown and re.match(r"\[\[|\w+ = ", shown) else line)
    return tomllib.loads("\n".join(lines))


def schema_of(key, value, comment):
    """What a value of a setting looks like in the chart's values, by its default."""
    match value:
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer", "minimum": 0}
        case str() if key in ("hot_capacity", "max_in_flight"):
            return {"$ref": "#/definitions/size"}
        case str() if OFF.search(comment.get(key, "")):
            return {"$ref": "#/definitions/textOrOff"}
        case str():
            return {"type": "string"}
        case [dict() as table]:
            return {"type": "array", "items": schema_of_table(table, comment)}
        case list():
            return {"type": "array", "items": {"type": "string"}}
        case dict():
            return schema_of_table(value, comment)


def schema_of_table(table, comment):
    return {"type": "object", "additionalProperties": False, "properties": {key: schema_of(key, value, comment) for key, value in table.items()}}


def explained():
    """What is said above each setting, by its name."""
    said, comment = {}, []
    for line in SHIPPED.read_text().splitlines():
        if line.startswith("#"):
            comment.append(line)
        elif " = " in line:
            said.setdefault(line.split(" = ")[0], " ".join(comment))
            comment = []
        elif line:
            comment = []
    return said


def schema_text():
    schema, comment = json.loads(SCHEMA.read_text()), explained()
    settings = {key: value for key, value in shipped().items() if key not in [*CHARTS, "tls"]}
    (namespace,) = settings.pop("namespaces").values()
    schema["definitions"] = {
        "size": {"type": "string", "pattern": "^([0-9]+(B|KiB|MiB|GiB|TiB|KB|MB|GB|TB)?|auto)$"},
        "textOrOff": {"anyOf": [{"type": "string"}, {"const": False}]},
    }
    schema["properties"]["settings"] = schema_of_table(settings, comment)
    schema["properties"]["namespaces"]["additionalProperties"] = schema_of_table(namespace, comment)
    return compact(schema) + "\n"


def compact(value, indent=""):
    """JSON, with what is short on one line."""
    line = json.dumps(value)
    if not isinstance(value, dict | list) or len(indent + line) <= 120:
        return line
    inner = indent + "  "
    if isinstance(value, list):
        return "[\n" + ",\n".join(inner + compact(one, inner) for one in value) + f"\n{indent}]"
    return "{\n" + ",\n".join(f"{inner}{json.dumps(key)}: {compact(one, inner)}" for key, one in value.items()) + f"\n{indent}}}"


@contextmanager
def quiet():
    """Without a word on stderr: Helm tells each symbolic link (the alerts are one) of a chart that it loads."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def chart():
    with quiet():
        loaded = Chart.load(CHART)
    with loaded:
        yield loaded


def render(values, name="springhead"):
    with chart() as loaded:
        rendered = loaded.render(values, name=name, namespace="live")
    notes = [text for path, text in rendered.items() if path.endswith("NOTES.txt")]
    manifests = [text for path, text in sorted(rendered.items()) if path.endswith(".yaml")]
    return [one for text in manifests for one in yaml.safe_load_all(text) if one], notes


def judge(name, values, faults):
    manifests, notes = render(values)
    if not notes or "{{" in notes[0]:
        faults.append(f"{name}: no notes")
    for manifest in manifests:
        about = f"{name}: {manifest['kind']} {manifest['metadata']['name']}"
        if manifest["kind"] in FOREIGN:
            continue
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(manifest, version, strict=True)
            except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
                faults.append(f"{about}, Kubernetes {version}: {error}")
    settings = next(one for one in manifests if one["kind"] == "ConfigMap")["data"]["springhead.toml"]
    if program := server():
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "springhead.toml"
            file.write_text(settings)
            done = subprocess.run([program, "config", "check", file, "--text-only"], capture_output=True, text=True)
            if done.returncode:
                faults.append(f"{name}: the server does not take these settings: {done.stderr}\n{settings}")
    return manifests


def adds_up(values, faults):
    """What the chart finds the settings to need, and what the server does."""
    try:
        with chart() as loaded:
            loaded.render({**values, "resources": {"limits": {"memory": "1Mi"}}}, name="springhead", namespace="live")
        chart_says = "nothing"
    except Exception as error:  # Each layer of Helm has errors of its own.
        chart_says = re.search(r"the settings need (\d+)Mi", str(error))
    if not chart_says or chart_says == "nothing":
        faults.append(f"the chart does not add up {values}: {chart_says}")
        return
    manifests, _ = render({**values, "resources": {"limits": {"memory": "900Ti"}}})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "springhead.toml"
        file.write_text(next(one for one in manifests if one["kind"] == "ConfigMap")["data"]["springhead.toml"])
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SPRINGHEAD_")}
        done = subprocess.run([server(), "config", "check", file], capture_output=True, text=True, env=clean)
    said = re.search(r"these settings may take (\d+)(MiB|GiB|TiB) of memory", done.stderr)
    server_says = int(said[1]) * {"MiB": 1, "GiB": 1 << 10, "TiB": 1 << 20}[said[2]] if said else done.stderr
    if int(chart_says[1]) != server_says:
        faults.append(f"{values}: the chart adds up {chart_says[1]} MiB, the server {server_says}")


def hardened(manifests, faults):
    """What each pod of ours has to have, whatever the values."""
    pod = next(one for one in manifests if one["kind"] == "StatefulSet")["spec"]["template"]["spec"]
    container = pod["containers"][0]
    held = {
        "not root": pod["securityContext"].get("runAsNonRoot") is True and pod["securityContext"].get("runAsUser") == 65532,
        "seccomp": pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault",
        "no token": pod.get("automountServiceAccountToken") is False,
        "read-only": container["securityContext"].get("readOnlyRootFilesystem") is True,
        "no capability": container["securityContext"]["capabilities"]["drop"] == ["ALL"],
        "no limit on processor time": "cpu" not in container["resources"].get("limits", {}),
    }
    faults += [f"the pod has lost: {name}" for name, is_so in held.items() if not is_so]


def refused(name, values, part, faults):
    try:
        with chart() as loaded:
            loaded.validate_schema(values)
            loaded.render(values, name="springhead", namespace="live")
    except Exception as error:  # Each layer of Helm has errors of its own.
        if part not in str(error):
            faults.append(f"{name}: refused, but not by a sentence with {part!r}: {error}")
    else:
        faults.append(f"{name}: is rendered")


def base_text():
    manifests, _ = render({}, name="springhead")
    for manifest in manifests:
        # Helm is not who manages it there, and the namespace is the overlay's.
        for labels in (manifest["metadata"]["labels"], manifest.get("spec", {}).get("template", {}).get("metadata", {}).get("labels", {})):
            labels.pop("app.kubernetes.io/managed-by", None)
    head = "# The chart's manifests with its default values: see kustomization.yaml.\n"
    return head + yaml.safe_dump_all(manifests, sort_keys=False, width=140)


def main():
    if "--update" in sys.argv:
        SCHEMA.write_text(schema_text())
        BASE.write_text(base_text())
    faults = []
    with quiet():
        report = lint(CHART, {}, strict=True, namespace="live", kube_version="v1.30.0")
    faults += [f"lint: {message['path']}: {message['error']}" for message in report["messages"] if message["severity"] > 1]
    faults += report.get("errors") or []
    for name, values in GOOD.items():
        hardened(judge(name, values, faults), faults)
    rules = [one for one in render(GOOD["everything"])[0] if one["kind"] == "PrometheusRule"]
    alerts = yaml.safe_load((ROOT / "config/alerts.yaml").read_text())
    if not rules or rules[0]["spec"] != alerts:
        faults.append("the chart's PrometheusRule is not config/alerts.yaml")
    for name, (values, part) in BAD.items():
        refused(name, values, part, faults)
    if server():
        for values in SUMS:
            adds_up(values, faults)
    total = shipped()["connections"]["total"]
    if f'dig "connections" "total" {total} ' not in (CHART / "templates/_helpers.tpl").read_text():
        faults.append(f"the chart adds up other connections than the default, {total}")
    offs = {key for key, comment in explained().items() if OFF.search(comment)}
    written = re.search(r'has \$key \(list ([^)]*)\)', (CHART / "templates/_helpers.tpl").read_text())
    if set(json.loads(f"[{written[1].replace(' ', ',')}]")) != offs:
        faults.append(f"the chart makes off of false for {written[1]}; settings that may be off: {sorted(offs)}")
    if SCHEMA.read_text() != schema_text():
        faults.append("the chart's schema has other settings than config/springhead.toml: release/check kubernetes --update")
    if not BASE.is_file() or BASE.read_text() != base_text():
        faults.append("deploy/kustomize/base is not what the chart makes: release/check kubernetes --update")
    else:
        built = subprocess.run(["kubectl", "kustomize", OVERLAY], capture_output=True, text=True)
        manifests = [one for one in yaml.safe_load_all(built.stdout) if one]
        if built.returncode or len(manifests) != len(render({})[0]):
            faults.append(f"kustomize: {built.stderr}")
        for manifest in manifests:
            kubernetes_validate.validate(manifest, VERSIONS[-1], strict=True)
            if manifest["metadata"].get("namespace") != "live":
                faults.append(f"kustomize: {manifest['kind']} has no namespace")
    if faults:
        sys.exit("\n".join(faults))
    read = "read by the server" if server() else "not read by a server, as none is built"
    print(f"{len(GOOD)} sets of values rendered and valid for Kubernetes {VERSIONS[0]} to {VERSIONS[-1]}, settings {read}; {len(BAD)} refused")


if __name__ == "__main__":
    main()
