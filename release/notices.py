#!/usr/bin/env python3
"""What the program is made of, from the lock file and the crates' own files:

    release/notices.py --sbom FILE       every crate that is linked in, as CycloneDX 1.5
    release/notices.py --notices FILE    the same with their licences' texts, each once

What is only needed to build or to test is left out. Both are alike for one commit, whenever they are made.
"""

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tomllib
import uuid
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEXTS = ("license", "licence", "copying", "notice", "unlicense")


def crates():
    """The server's own package, and all that are linked into it, by name and version; and who needs whom."""
    target = f"{platform.machine()}-unknown-linux-gnu"
    command = ["cargo", "metadata", "--locked", "--format-version=1", "--filter-platform", target]
    told = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in told["packages"]}
    nodes = {node["id"]: node for node in told["resolve"]["nodes"]}
    own = told["resolve"]["root"]

    def is_macro(crate):
        return any("proc-macro" in kind["kind"] for kind in packages[crate]["targets"])

    def needed(crate):
        linked = (dep["pkg"] for dep in nodes[crate]["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"]))
        # A macro runs in the compiler, and so does what it needs.
        return [dep for dep in linked if not is_macro(dep)]

    graph, left = {}, [own]
    while left:
        crate = left.pop()
        if crate not in graph:
            graph[crate] = needed(crate)
            left += graph[crate]
    listed = sorted((crate for crate in graph if crate != own), key=lambda crate: (packages[crate]["name"], packages[crate]["version"]))
    return packages, own, listed, graph


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def sbom(packages, own, listed, graph):
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    sums = {(package["name"], package["version"]): package.get("checksum") for package in locked}
    made = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC)

    def component(crate, kind):
        package = packages[crate]
        found = {"type": kind, "bom-ref": purl(package), "name": package["name"], "version": package["version"], "purl": purl(package)}
        if package["license"]:
            # Cargo's older way of writing "or".
            found["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
        if checksum := sums.get((package["name"], package["version"])):
            found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
        return found

    text = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, purl(packages[own]) + made.isoformat())}",
        "version": 1,
        "metadata": {"timestamp": made.strftime("%Y-%m-%dT%H:%M:%SZ"), "component": component(own, "application")},
        "components": [component(crate, "library") for crate in listed],
        "dependencies": [
            {"ref": purl(packages[crate]), "dependsOn": sorted(purl(packages[dep]) for dep in graph[crate])} for crate in [own, *listed]
        ],
    }
    return json.dumps(text, indent=1) + "\n"


def texts(package):
    folder = Path(package["manifest_path"]).parent
    named = [folder / package["license_file"]] if package.get("license_file") else []
    # Where a crate has C code of others in a folder, its licence lies there.
    found = {path for depth in ("*", "*/*") for path in folder.glob(depth) if path.name.lower().startswith(TEXTS) and path.is_file()}
    found = {path for path in found if path.suffix.lower() not in (".rs", ".py", ".toml", ".json", ".html")}
    return [path.read_text(errors="replace").strip() for path in sorted({*named, *found})]


def notices(packages, listed):
    head = ["What is linked into Springhead, with the licences under which it may be used. Springhead's own is in LICENSE.", ""]
    bodies, of = {}, {}
    bare = []
    for crate in listed:
        package = packages[crate]
        name = f"{package['name']} {package['version']}"
        head.append(f"{name}: {package['license'] or 'see its text'}")
        own = texts(package)
        if not own:
            bare.append(name)
        for text in own:
            digest = hashlib.sha256(text.encode()).hexdigest()
            bodies[digest] = text
            of.setdefault(digest, []).append(name)
    if bare:
        head += ["", "These bring no text of their own; the licences that they name are among those below:", ", ".join(bare)]
    parts = ["\n".join(head)]
    for digest, names in of.items():
        names = list(dict.fromkeys(names))
        parts.append(f"{'=' * 100}\n{', '.join(names)}\n{'=' * 100}\n\n{bodies[digest]}")
    return "\n\n".join(parts) + "\n"


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--sbom", type=Path)
    words.add_argument("--notices", type=Path)
    given = words.parse_args()
    packages, own, listed, graph = crates()
    unknown = [packages[crate]["name"] for crate in listed if not packages[crate]["license"] and not packages[crate]["license_file"]]
    if unknown:
        sys.exit(f"no licence is known of {', '.join(unknown)}")
    if given.sbom:
        given.sbom.write_text(sbom(packages, own, listed, graph))
    if given.notices:
        given.notices.write_text(notices(packages, listed))


if __name__ == "__main__":
    main()
