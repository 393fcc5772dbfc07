"""What comes beside the artefacts: checksums that are right and complete, a signature that holds and breaks, the list of what is inside
(CycloneDX), and the licences of all of it."""

import json
import subprocess
import sys
import tempfile
import tomllib
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DIST = ROOT / "dist"


def signed(faults):
    """With a key of its own, made for this: the real one is nobody's here."""
    with tempfile.TemporaryDirectory() as folder:
        secret, public = Path(folder) / "key", Path(folder) / "key.pub"
        run = lambda *words: subprocess.run(["minisign", *words], capture_output=True, text=True, input="\n\n")
        made = run("-G", "-W", "-s", secret, "-p", public)
        sums = Path(folder) / "SHA256SUMS"
        sums.write_bytes((DIST / "SHA256SUMS").read_bytes())
        if made.returncode or run("-S", "-s", secret, "-m", sums).returncode:
            faults.append(f"minisign does not sign: {made.stderr}")
            return
        if run("-V", "-p", public, "-m", sums).returncode:
            faults.append("a good signature does not hold")
        sums.write_bytes(sums.read_bytes() + b" ")
        if not run("-V", "-p", public, "-m", sums).returncode:
            faults.append("a signature holds for other bytes")


def inside(faults):
    (file,) = DIST.glob("*.cdx.json")
    bom = json.loads(file.read_text())
    if (bom["bomFormat"], bom["specVersion"]) != ("CycloneDX", "1.5"):
        faults.append("it is not CycloneDX 1.5")
    names = {(part["name"], part["version"]) for part in bom["components"]}
    locked = {(package["name"], package["version"]) for package in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]}
    vendored = [line.split() for line in (ROOT / "src/web/admin/console/vendor/MANIFEST").read_text().splitlines() if line[0] != "#"]
    scripts = {(name, version) for _, _, name, version, _ in vendored}
    faults += [f"{name}, which the console brings, is not in the list" for name, _ in sorted(scripts - names)]
    names -= scripts
    direct = tomllib.loads((ROOT / "Cargo.toml").read_text())
    used = {*direct["dependencies"], "tikv-jemallocator"}
    faults += [f"{name} is missing in the list" for name in sorted(used - {name for name, _ in names})]
    faults += [f"{name} is not in the lock file" for name in sorted(names - locked)]
    with tempfile.NamedTemporaryFile() as section:
        program = ROOT / "target/release-work/program/springhead"
        subprocess.run(["objcopy", "-O", "binary", "--only-section=.dep-v0", "--set-section-flags", ".dep-v0=alloc", program, section.name], check=True)
        told = json.loads(zlib.decompress(Path(section.name).read_bytes()))["packages"]
    found = {(part["name"], part["version"]) for part in told if not part.get("root")}
    faults += [f"a scanner finds {name} in the program or in the list, and not in both" for name in sorted(found ^ names)]
    if [part["name"] for part in told if part.get("root")] != [bom["metadata"]["component"]["name"]]:
        faults.append("the program does not say whose crates these are")
    tests = {"criterion", "proptest", "rcgen", "stateright"} & {name for name, _ in names}
    faults += [f"{name} is only needed for tests" for name in sorted(tests)]
    faults += [f"{part['name']}: no licence or checksum" for part in bom["components"] if "licenses" not in part or "hashes" not in part]
    refs = {part["bom-ref"] for part in bom["components"]} | {bom["metadata"]["component"]["bom-ref"]}
    faults += [f"{one['ref']} needs what is not listed" for one in bom["dependencies"] if not {one["ref"], *one["dependsOn"]} <= refs]
    notices = (ROOT / "target/release-work/beside/THIRD-PARTY.txt").read_text()
    faults += [f"no notice of {name} {version}" for name, version in sorted(names) if f"\n{name} {version}: " not in notices]
    faults += [f"no notice of {name} {version}" for name, version in sorted(scripts) if f"\n{name} {version}, in the console: " not in notices]
    return len(names)


def main():
    faults = []
    if not (DIST / "SHA256SUMS").is_file():
        sys.exit("there is no dist/SHA256SUMS: release/build")
    checked = subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=DIST, capture_output=True, text=True)
    if checked.returncode:
        faults.append(checked.stdout + checked.stderr)
    listed = {line.split()[1] for line in (DIST / "SHA256SUMS").read_text().splitlines()}
    faults += [f"{file.name} has no checksum" for file in DIST.iterdir() if file.name not in listed and not file.name.startswith("SHA256SUMS")]
    signed(faults)
    count = inside(faults)
    if faults:
        sys.exit("\n".join(faults))
    print(f"{len(listed)} checksums, a signature that holds, {count} crates listed with licence and checksum")


if __name__ == "__main__":
    main()
