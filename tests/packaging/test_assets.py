"""`rainbow-agent assets`: what it copies is what the repository has, from a wheel, too."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rainbow_agent.cli.assets import _KINDS, _files
from support.program import Program
from support.wheels import build_wheel, load_script

ROOT = Path(__file__).parents[2]


def in_repository() -> dict[str, bytes]:
    """Each file's name below a folder of copies, and what is in it."""
    return {name: path.read_bytes() for kind in _KINDS for name, path in _files(kind)}


def below(folder: Path) -> dict[str, bytes]:
    """The files of a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_everything_that_a_cluster_needs_is_among_them() -> None:
    """All manifests, the unit with its drop-in, the rules and the dashboard."""
    names = set(in_repository())
    manifests = {f"crd/{p.relative_to(ROOT / 'crd')}" for p in (ROOT / "crd").rglob("*.yaml")}
    assert manifests <= names
    assert {"monitoring/alerts.yaml", "monitoring/dashboard.json"} <= names
    units = {f"systemd/{p.name}" for p in (ROOT / "systemd").glob("rainbow-agent.*") if p.is_file()}
    assert units | {"systemd/rainbow-agent.service.d/flux.conf"} <= names


def test_an_installed_agent_copies_the_same(tmp_path: Path) -> None:
    """From the wheel alone, away from the repository."""
    site, copies = tmp_path / "site-packages", tmp_path / "copies"
    with zipfile.ZipFile(build_wheel(tmp_path)) as archive:
        archive.extractall(site)
    subprocess.run(
        [sys.executable, "-m", "rainbow_agent.cli", "assets", "--copy", str(copies)],
        cwd="/",
        env={"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin"},
        check=True,
        timeout=60,
    )
    assert below(copies) == in_repository()


def test_an_editable_installation_has_no_second_package() -> None:
    """A folder rainbow_agent in site-packages would be found where the package is not."""
    pytest.importorskip("hatchling")
    module = load_script("distribution/hatch_build.py")
    added: dict[str, dict[str, dict[str, str]]] = {}
    for version in ("editable", "standard"):
        hook = module.AssetsHook(str(ROOT), {}, None, None, "", "wheel")
        hook.initialize(version, added.setdefault(version, {"force_include": {}}))
    assert added["editable"]["force_include"] == {}
    assert len(added["standard"]["force_include"]) > 5


def test_it_replaces_no_file_that_somebody_changed(tmp_path: Path) -> None:
    """All or nothing; the same file again is no trouble, and --force replaces."""
    program = Program(tmp_path)
    assert program.run("assets", "systemd", "--copy", "here").code == 0
    changed = tmp_path / "here/systemd/environment.example"
    changed.write_text("mine")
    answer = program.run("assets", "--copy", "here")
    assert (answer.code, changed.read_text()) == (2, "mine")
    assert "environment.example" in answer.err
    assert not (tmp_path / "here/crd").exists()
    assert program.run("assets", "--copy", "here", "--force").code == 0
    assert changed.read_text() != "mine"


@pytest.mark.parametrize("kind", _KINDS)
def test_they_are_listed_with_their_place(kind: str, tmp_path: Path) -> None:
    """As text, and as JSON with the paths."""
    program = Program(tmp_path)
    listed = program.show("assets", kind)
    assert listed
    assert all(Path(each["path"]).is_file() for each in listed)
    assert all(each["name"] in program.run("assets", kind).out for each in listed)
