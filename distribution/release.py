"""Make a release: `python distribution/release.py 1.2.3`, or `make release VERSION=1.2.3`.

It is made in a copy of the repository, build/release/tree: version, changelog, citation, chart, man
page, commit, tag, artefacts. With --do the commit and the tag are then taken into this repository;
without it nothing here changes. Pushing the tag is what publishes (.github/workflows/release.yml).
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = Path("build/release")
UNRELEASED = "## Unreleased\n"
#: File to patterns of what has the version in it.
VERSIONED = {
    "agent/rainbow_agent/__init__.py": [r'(?<=^__version__ = ")[^"]+'],
    "CITATION.cff": [r"(?<=^version: )\S+"],
    "charts/rainbow/Chart.yaml": [r"(?<=^version: )\S+", r'(?<=^appVersion: ")[^"]+'],
}


class NotReady(Exception):
    """There can be no such release; a sentence."""


def parts(version: str) -> tuple[int, ...]:
    """1.2.3 as numbers.

    Raises:
        NotReady: it is no version.
    """
    if not re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}", version):
        raise NotReady(f"{version} is no version: write three numbers, such as 1.2.3")
    return tuple(map(int, version.split(".")))


def check(root: Path, version: str) -> None:
    """See that the release can be made.

    Raises:
        NotReady: it cannot, and why.
    """
    init = (root / "agent/rainbow_agent/__init__.py").read_text("utf-8")
    current = re.search(r"__version__ = \"(.+)\"", init)
    assert current is not None
    if parts(version) <= parts(current[1]):
        raise NotReady(f"{version} is not above {current[1]}, which this tree is")
    if changed := git(root, "status", "--porcelain"):
        raise NotReady(f"the tree is not clean: commit or put away\n{changed}")
    if git(root, "tag", "--list", f"v{version}"):
        raise NotReady(f"there is a tag v{version} already")
    if not unreleased(root):
        raise NotReady("CHANGELOG.md has nothing under Unreleased: write what is new")


def unreleased(root: Path) -> str:
    """What the changelog has of the next version."""
    text = (root / "CHANGELOG.md").read_text("utf-8").partition(UNRELEASED)[2]
    return text.partition("\n## ")[0].strip()


def write(root: Path, version: str, day: date) -> None:
    """Put the version into all files that have it, and close the changelog's section."""
    for name, patterns in VERSIONED.items():
        text = (root / name).read_text("utf-8")
        for pattern in patterns:
            text, count = re.subn(pattern, version, text, flags=re.MULTILINE)
            assert count == 1, f"{name}: {pattern}"
        (root / name).write_text(text, encoding="utf-8")
    citation = root / "CITATION.cff"
    text = re.sub(r"^date-released: .*\n", "", citation.read_text("utf-8"), flags=re.MULTILINE)
    dated = text.replace(f"version: {version}\n", f"version: {version}\ndate-released: {day}\n")
    citation.write_text(dated, encoding="utf-8")
    changelog = root / "CHANGELOG.md"
    text = changelog.read_text("utf-8")
    closed = text.replace(UNRELEASED, f"{UNRELEASED}\n## {version} - {day}\n", 1)
    changelog.write_text(closed, encoding="utf-8")
    path = os.pathsep.join(str(root / each) for each in ("agent", "compspec"))
    page = subprocess.run(
        [sys.executable, "-m", "rainbow_agent.cli.manpage"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (root / "docs/man/rainbow-agent.1").write_text(page, encoding="utf-8")


def git(root: Path, *arguments: str) -> str:
    """What git says."""
    done = subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NotReady(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def release(root: Path, version: str, *, do: bool, flags: list[str]) -> None:
    """Make the release in a copy; with `do` take it over.

    Raises:
        NotReady: it cannot be made, and why.
    """
    check(root, version)
    work = root / WORK
    shutil.rmtree(work, ignore_errors=True)
    git(root, "clone", "--quiet", "--local", str(root), str(work / "tree"))
    tree = work / "tree"
    for name in ("user.name", "user.email"):
        git(tree, "config", name, git(root, "config", name))
    write(tree, version, date.today())
    git(tree, "commit", "--all", "--quiet", "--message", f"Release {version}")
    git(tree, "tag", "--annotate", f"v{version}", "--message", f"rainbow-agent {version}")
    program = [sys.executable, "distribution/artefacts.py", str(work / "dist"), *flags]
    subprocess.run(program, cwd=tree, check=True)
    print(git(tree, "show", "--stat", "--format=%s", "HEAD"))
    print((work / "dist/SHA256SUMS").read_text("ascii"), end="")
    if not do:
        print(f"Tried only: nothing here has changed. {WORK}/dist has the artefacts.")
        return
    git(root, "pull", "--quiet", "--ff-only", str(tree), "HEAD")
    git(root, "fetch", "--quiet", str(tree), "tag", f"v{version}")
    print(f"Committed and tagged v{version}. `git push --follow-tags` publishes it.")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", help="such as 1.2.3")
    parser.add_argument("--do", action="store_true", help="commit and tag in this repository")
    parser.add_argument("--no-sbom", action="store_true", help="leave out what needs an index")
    parser.add_argument("--no-check", action="store_true", help="leave out twine and others")
    options = parser.parse_args()
    flags = [f for f in ("--no-sbom", "--no-check") if getattr(options, f[2:].replace("-", "_"))]
    try:
        release(ROOT, options.version, do=options.do, flags=flags)
    except NotReady as exc:
        raise SystemExit(f"error: {exc}") from exc


if __name__ == "__main__":
    main()
