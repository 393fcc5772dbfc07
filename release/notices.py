#!/usr/bin/env python3
"""What the program is made of, from the lock file and the crates' own files:

    release/notices.py --sbom FILE       every crate that is linked in and what the console brings, as CycloneDX 1.5
    release/notices.py --notices FILE    the same with their licences' texts, each once: src/app/third-party.txt
    release/notices.py --audit FILE      the crates as `cargo auditable` has them, for the section .dep-v0 of a program

What is only needed to build or to test is left out; what one of the two architectures needs is in. All are alike for one commit, whenever
and wherever they are made.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
import uuid
import zlib
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEXTS = ("license", "licence", "copying", "notice", "unlicense")
TARGETS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu")
VENDORED = ROOT / "src/web/admin/console/vendor"


def crates():
    """The server's own package, and all that are linked into it, by name and version; and who needs whom."""
    command = ["cargo", "metadata", "--locked", "--format-version=1", *(f"--filter-platform={target}" for target in TARGETS)]
    told = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in told["packages"]}
    nodes = {node["id"]: node for node in told["resolve"]["nodes"]}
    own = told["resolve"]["root"]

    def is_macro(crate):
        return any("proc-macro" in kind["kind"] for kind in packages[crate]["targets"])

    def needed(crate):
        linked = (dep["pkg"] for dep in nodes[crate]["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"]))
        # A macro runs in the compiler, and so does what it needs. What has no source but this tree is the server's own.
        return [dep for dep in linked if packages[dep]["source"] and not is_macro(dep)]

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


def vendored():
    """What the console brings: name, version, licence and the checksum of its first file, as its manifest says, with its licence's file."""
    found = {}
    for line in (VENDORED / "MANIFEST").read_text().splitlines():
        if not line.startswith("#"):
            checksum, _, name, version, licence = line.split()
            found.setdefault(name, (name, version, licence, checksum, VENDORED / f"LICENSE-{name}"))
    return list(found.values())


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
        "components": [component(crate, "library") for crate in listed] + [
            {"type": "library", "bom-ref": f"pkg:npm/{name}@{version}", "name": name, "version": version, "purl": f"pkg:npm/{name}@{version}",
             "licenses": [{"expression": licence}], "hashes": [{"alg": "SHA-256", "content": checksum}]}
            for name, version, licence, checksum, _ in vendored()
        ],
        "dependencies": [
            {"ref": purl(packages[crate]), "dependsOn": sorted(purl(packages[dep]) for dep in graph[crate])} for crate in [own, *listed]
        ],
    }
    return json.dumps(text, indent=1) + "\n"


def audit(packages, own, listed, graph):
    """As scanners look for it in a program: JSON, compressed by zlib."""
    order = sorted([own, *listed], key=lambda crate: (packages[crate]["name"], packages[crate]["version"]))
    at = {crate: number for number, crate in enumerate(order)}

    def one(crate):
        package = packages[crate]
        source = package["source"] or "local"
        # The registry by its index's name.
        index = re.search(r"/([\w.]+)-index$", source)
        kept = index[1] if index else source.split("+")[0]
        told = {"name": package["name"], "version": package["version"], "source": kept}
        if graph[crate]:
            told["dependencies"] = sorted({at[dep] for dep in graph[crate]})
        return {**told, "root": True} if crate == own else told

    return zlib.compress(json.dumps({"packages": [one(crate) for crate in order]}, separators=(",", ":")).encode(), 9)


def texts(package):
    folder = Path(package["manifest_path"]).parent
    named = [folder / package["license_file"]] if package.get("license_file") else []
    # Where a crate has C code of others in a folder, its licence lies there.
    found = {path for depth in ("*", "*/*") for path in folder.glob(depth) if path.name.lower().startswith(TEXTS) and path.is_file()}
    found = {path for path in found if path.suffix.lower() not in (".rs", ".py", ".toml", ".json", ".html")}
    # Where a crate may be had under the MIT licence, it is, and its other texts are not needed.
    if re.fullmatch(r"[\w. -]+(?: OR |/)[\w. -]+", package["license"] or "") and "MIT" in re.split(r" OR |/", package["license"]):
        found = {path for path in found if "mit" in path.name.lower()} or found
    return [path.read_text(errors="replace").strip() for path in sorted({*named, *found})]


def alike(text):
    """What two texts have in common that differ in how their lines are broken."""
    return hashlib.sha256(" ".join(text.split()).lower().encode()).hexdigest()


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
            bodies.setdefault(alike(text), text)
            of.setdefault(alike(text), []).append(name)
    for name, version, licence, _, file in vendored():
        head.append(f"{name} {version}, in the console: {licence}")
        text = file.read_text().strip()
        bodies.setdefault(alike(text), text)
        of.setdefault(alike(text), []).append(f"{name} {version}")
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
    words.add_argument("--audit", type=Path)
    given = words.parse_args()
    packages, own, listed, graph = crates()
    unknown = [packages[crate]["name"] for crate in listed if not packages[crate]["license"] and not packages[crate]["license_file"]]
    if unknown:
        sys.exit(f"no licence is known of {', '.join(unknown)}")
    if given.sbom:
        given.sbom.write_text(sbom(packages, own, listed, graph))
    if given.notices:
        given.notices.write_text(notices(packages, listed))
    if given.audit:
        given.audit.write_bytes(audit(packages, own, listed, graph))


if __name__ == "__main__":
    main()
