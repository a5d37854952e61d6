"""What is handed out: built twice it is the same, it is not large, and the recipes are true."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from support.wheels import build, copy_tree, load_script

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SPACK_REPO = ROOT / "distribution/spack/spack_repo/rainbow"
SPACK = (SPACK_REPO / "packages/py_rainbow_agent/package.py").read_text("utf-8")
CONDA = yaml.safe_load((ROOT / "distribution/conda/recipe.yaml").read_text("utf-8"))
artefacts = load_script("distribution/artefacts.py")
#: Bytes. Two packages of 480 small modules, source and nothing else: each is compressed for itself.
MAX_WHEEL = 1_000_000
MAX_SDIST = 2_000_000


def test_the_same_tree_gives_the_same_bytes(tmp_path: Path) -> None:
    """Here, and in a copy elsewhere whose files have other times and rights."""
    here = build(tmp_path / "here", "wheel", "sdist")
    there = build(tmp_path / "there", "wheel", "sdist", tree=copy_tree(tmp_path / "copy"))
    assert [path.name for path in here] == [path.name for path in there]
    for one, other in zip(here, there, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
    sdist, wheel = sorted(here, key=lambda path: path.suffix)
    assert (wheel.stat().st_size < MAX_WHEEL, sdist.stat().st_size < MAX_SDIST) == (True, True)
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "Makefile", "docs/conf.py", "charts/rainbow/Chart.yaml"} <= names
    for folder in ("crd", "charts/rainbow/scheduler"):
        files = [path for path in (ROOT / folder).rglob("*") if path.is_file()]
        assert {str(path.relative_to(ROOT)) for path in files} <= names, folder
    assert not [name for name in names if name.startswith((".venv", "build/", "dist/"))]


def floors() -> dict[str, Version]:
    """The lowest version of each dependency."""
    found = {}
    for requirement in map(Requirement, PROJECT["dependencies"]):
        (low,) = [each.version for each in requirement.specifier if each.operator == ">="]
        found[requirement.name] = Version(low)
    return found


def test_the_recipe_for_spack_is_python_and_names_the_dependencies() -> None:
    """Spack itself is not asked: the file is parsed, and compared with pyproject.toml."""
    tree = ast.parse(SPACK)
    (recipe,) = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    assert recipe.name == "PyRainbowAgent"
    named = dict(
        re.findall(r'depends_on\("py-([\w-]+)@([\d.]+):\d*", type=\("build", "run"\)', SPACK)
    )
    assert {name: Version(low) for name, low in named.items()} == floors()
    python = re.search(r'depends_on\("python@([\d.]+):"', SPACK)
    assert python is not None
    assert PROJECT["requires-python"] == f">={python[1]}"


@pytest.mark.full
def test_spack_takes_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It finds no fault, and versions of all that the agent needs."""
    if shutil.which("spack") is None:
        pytest.skip("NO spack: its repository was only read")
    monkeypatch.chdir(ROOT)
    sdist = tmp_path / "rainbow_agent-1.2.3.tar.gz"
    sdist.write_bytes(b"")
    artefacts.write_recipes(sdist, tmp_path)
    with tarfile.open(tmp_path / artefacts.SPACK_ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    scope = tmp_path / "scope"
    scope.mkdir()
    repos = {"repos": {"rainbow": str(tmp_path / "spack_repo/rainbow")}}
    (scope / "repos.yaml").write_text(yaml.safe_dump(repos))
    for words in (
        ["audit", "packages", "py-rainbow-agent", "py-stamina", "py-watchdog"],
        ["spec", "py-rainbow-agent~flux"],
    ):
        done = subprocess.run(
            ["spack", "-C", str(scope), *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "py-rainbow-agent@1.2.3" in done.stdout


def test_the_recipe_for_conda_names_the_dependencies() -> None:
    """As pyproject.toml has them; its scripts are the wheel's."""
    linux, *texts = CONDA["requirements"]["run"]
    assert linux == "__linux"
    # The one that has another name there.
    run = [Requirement(text.replace("prometheus_client", "prometheus-client")) for text in texts]
    assert str(run[0].specifier) == PROJECT["requires-python"]
    assert {str(each) for each in run[1:]} == {
        str(Requirement(text)) for text in PROJECT["dependencies"]
    }
    scripts = dict(text.split(" = ") for text in CONDA["build"]["python"]["entry_points"])
    assert scripts == PROJECT["scripts"]


def test_rattler_build_reads_the_recipe() -> None:
    """A key that it does not know is an error there."""
    rattler_build = pytest.importorskip(
        "rattler_build", reason="NO rattler-build: install the extra `release`"
    )
    text = yaml.safe_dump(CONDA).replace("@VERSION@", "1.2.3").replace("@SHA256@", "0" * 64)
    made = rattler_build.Stage0Recipe.from_yaml(text).render(rattler_build.VariantConfig())
    assert [(each.recipe.package.name, str(each.recipe.package.version)) for each in made] == [
        ("rainbow-agent", "1.2.3")
    ]
