"""The documents as a book: every page is in its table of contents, mdBook builds it without a warning, and no link within the tree is dead."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"


def main():
    faults = []
    listed = re.findall(r"\]\(([^)]+\.md)\)", (DOCS / "SUMMARY.md").read_text())
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} - {"SUMMARY.md"}
    faults += [f"docs/SUMMARY.md does not have {page}" for page in sorted(pages - set(listed))]
    faults += [f"docs/SUMMARY.md has {page}, which is not there" for page in sorted(set(listed) - pages)]
    faults += [f"docs/SUMMARY.md has {page} twice" for page in sorted({page for page in listed if listed.count(page) > 1})]
    built = subprocess.run(["mdbook", "build", "--dest-dir", ROOT / "target/book", DOCS], capture_output=True, text=True)
    said = built.stdout + built.stderr
    if built.returncode or "WARN" in said or "ERROR" in said:
        faults.append(said)
    files = [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "benches").glob("*.md")]
    links = subprocess.run(["lychee", "--offline", "--no-progress", "--include-fragments=anchor-only", *files], capture_output=True, text=True, cwd=ROOT)
    if links.returncode:
        faults.append(links.stdout + links.stderr)
    if faults:
        sys.exit("\n".join(faults))
    print(f"a book of {len(listed)} pages in target/book, no dead link in {len(files)} documents")


if __name__ == "__main__":
    main()
