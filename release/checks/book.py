"""The documents as a book, in target/book: every page is in its table of contents, mdBook builds it without a warning, and no link is dead, in
the tree or in the book. What pages lead to outside docs/ (settings, recipes, results, the changelog) comes along."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
SOURCE = ROOT / "target/book-source"
BOOK = ROOT / "target/book"
# Pages beside docs/, at the end of the book, and files that are copied as they are.
BESIDE = {"README.md": "Two commands", "CHANGELOG.md": "Changelog", "CONTRIBUTING.md": "Contributing", "SECURITY.md": "Security",
          "benches/README.md": "Benchmarks", "benches/RESULTS.md": "Results", "benches/SCALING.md": "Scaling", "benches/PROFILES.md": "Profiles",
          "README.ja.md": "日本語"}


def gather():
    """Lays the book's source out as the tree is, so that links between its parts lead somewhere there too."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    shutil.copytree(DOCS, SOURCE / "docs")
    summary = re.sub(r"\]\(([^)]+\.md)\)", r"](docs/\1)", (SOURCE / "docs/SUMMARY.md").read_text())
    (SOURCE / "docs/SUMMARY.md").unlink()
    summary += "\n# The tree\n\n" + "".join(f"- [{title}]({page})\n" for page, title in BESIDE.items())
    (SOURCE / "SUMMARY.md").write_text(summary)
    shutil.move(SOURCE / "docs/book.toml", SOURCE / "book.toml")
    wanted = set(BESIDE)
    for page in [*DOCS.rglob("*.md"), *(ROOT / page for page in BESIDE)]:
        for link in re.findall(r"\]\(([^)#:]+)[^)]*\)", page.read_text()):
            target = (page.parent / link).resolve()
            if target.is_file() and target.is_relative_to(ROOT) and not target.is_relative_to(DOCS):
                wanted.add(str(target.relative_to(ROOT)))
    for name in wanted:
        (SOURCE / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, SOURCE / name)


def main():
    faults = []
    listed = re.findall(r"\]\(([^)]+\.md)\)", (DOCS / "SUMMARY.md").read_text())
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} - {"SUMMARY.md"}
    faults += [f"docs/SUMMARY.md does not have {page}" for page in sorted(pages - set(listed))]
    faults += [f"docs/SUMMARY.md has {page}, which is not there" for page in sorted(set(listed) - pages)]
    faults += [f"docs/SUMMARY.md has {page} twice" for page in sorted({page for page in listed if listed.count(page) > 1})]
    gather()
    shutil.rmtree(BOOK, ignore_errors=True)
    built = subprocess.run(["mdbook", "build", "--dest-dir", BOOK, SOURCE], capture_output=True, text=True)
    said = built.stdout + built.stderr
    if built.returncode or "WARN" in said or "ERROR" in said:
        faults.append(said)
    files = [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "benches").glob("*.md")]
    links = subprocess.run(["lychee", "--offline", "--no-progress", "--include-fragments=anchor-only", *files], capture_output=True, text=True, cwd=ROOT)
    if links.returncode:
        faults.append(links.stdout + links.stderr)
    # mdBook makes a copy of the first page here, whose links do not fit.
    (BOOK / "index.html").write_text('<!doctype html><meta http-equiv="refresh" content="0; url=docs/README.html"><title>Springhead</title>\n')
    pages = [page for page in BOOK.rglob("*.html") if page.name != "404.html"]
    links = subprocess.run(["lychee", "--offline", "--no-progress", *pages], capture_output=True, text=True, cwd=ROOT)
    if links.returncode:
        faults.append(links.stdout + links.stderr)
    if faults:
        sys.exit("\n".join(faults))
    print(f"a book of {len(listed) + len(BESIDE)} pages in target/book, no dead link in {len(files)} documents")


if __name__ == "__main__":
    main()
