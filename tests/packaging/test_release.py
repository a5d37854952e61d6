"""`make release`: what it makes in a copy, and that nothing changes here until it is asked to."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
from datetime import date
from pathlib import Path

import pytest
import yaml

from support.wheels import ROOT, copy_tree, load_script

release = load_script("distribution/release.py")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with this tree as its only commit."""
    folder = copy_tree(tmp_path / "tree")
    for words in (
        ["init", "--quiet", "--initial-branch=main"],
        ["config", "user.name", "A"],
        ["config", "user.email", "a@example.org"],
        ["add", "--all"],
        ["commit", "--quiet", "--message", "all"],
    ):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)
    return folder


def run(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Make a release, without what needs a package index."""
    return subprocess.run(
        [sys.executable, "distribution/release.py", *words, "--no-sbom", "--no-check"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.mark.full
def test_a_release_is_tried_before_it_is_made(tree: Path) -> None:
    """First in a copy alone; then the commit and the tag are here."""
    before = release.git(tree, "rev-parse", "HEAD")
    tried = run(tree, "9.9.9")
    assert (tried.returncode, "Tried only" in tried.stdout) == (0, True), tried.stderr
    assert (release.git(tree, "rev-parse", "HEAD"), release.git(tree, "tag")) == (before, "")
    assert release.git(tree, "status", "--porcelain") == ""
    made = run(tree, "9.9.9", "--do")
    assert made.returncode == 0, made.stderr
    assert release.git(tree, "tag") == "v9.9.9"
    assert release.git(tree, "rev-list", "--count", f"{before}..HEAD") == "1"
    assert yaml.safe_load((tree / "CITATION.cff").read_text())["version"] == "9.9.9"
    assert "9.9.9" in (tree / "docs/man/rainbow-agent.1").read_text("utf-8")
    assert f"## Unreleased\n\n## 9.9.9 - {date.today()}\n" in (tree / "CHANGELOG.md").read_text()
    dist = tree / "build/release/dist"
    for line in (dist / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((dist / name).read_bytes()).hexdigest() == digest
    (sdist,) = dist.glob("rainbow_agent-9.9.9.tar.gz")
    with tarfile.open(dist / "spack-repo.tar.gz") as archive:
        recipe = archive.extractfile("spack_repo/rainbow/packages/py_rainbow_agent/package.py")
        assert recipe is not None
        assert hashlib.sha256(sdist.read_bytes()).hexdigest() in recipe.read().decode()


@pytest.mark.parametrize(
    ("version", "says"),
    [("1.2", "no version"), ("0.0.9", "not above"), ("01.2.3", "no version")],
)
def test_what_is_no_next_version_is_said(version: str, says: str) -> None:
    """Before anything is done."""
    with pytest.raises(release.NotReady, match=says):
        release.check(ROOT, version)


def test_a_tree_with_changes_is_not_released(tree: Path) -> None:
    """What is released is what was committed."""
    (tree / "README.md").write_text("changed")
    answer = run(tree, "9.9.9")
    assert (answer.returncode, "not clean" in answer.stderr) == (1, True)
