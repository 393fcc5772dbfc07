"""The Helm chart: linted strictly, rendered with several sets of values, each manifest held against the schemas of Kubernetes 1.30 to 1.37, the
settings file in it read by the server itself where there is one. Values that can't work end with a sentence. The kustomize base is what the
chart makes of its defaults. With --update that is written."""

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import kubernetes_validate
import yaml
from helm_python.chart import Chart, lint

from built import server

ROOT = Path(__file__).resolve().parent.parent.parent
CHART = ROOT / "deploy/helm/springhead"
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
        },
        "resources": {"limits": {"memory": "2Gi"}},
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
        "namespaces": {"live-origin": {}}, "settings": {"max_in_flight": "auto", "drain_delay": "0s"}, "resources": {}, "metrics": {"open": True, **MONITORED},
        "networkPolicy": {"enabled": False}, "podDisruptionBudget": {"enabled": False},
    },
}
# Values that can't work, and a part of the sentence that says why.
BAD = {
    "two pods": ({"replicas": 2}, "each pod would have its own memory"),
    "too little memory": ({"resources": {"limits": {"memory": "1Gi"}}}, "the settings need 16"),
    "no way in for Prometheus": ({"metrics": {"serviceMonitor": {"enabled": True}}}, "/metrics asks for an admin key"),
    "killed in the middle of the drain": ({"terminationGracePeriodSeconds": 30}, "the pod needs 45"),
    "an unknown value": ({"replica": 1}, "replica"),
    "what the chart decides": ({"settings": {"listen": ["0.0.0.0:80"]}}, "settings"),
    "a size that is none": ({"namespaces": {"live-origin": {"hot_capacity": "lots"}}}, "hot_capacity"),
    "a name that is none": ({"namespaces": {"../x": {}}}, "../x"),
    "no namespace": ({"namespaces": None}, "namespaces"),
    "a port as text": ({"service": {"port": "80"}}, "port"),
}


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
