"""What is handed out: built twice it is the same, it is not large, and the recipes are true."""

from __future__ import annotations

import ast
import re
import sys
import tarfile
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from support.wheels import build, copy_tree

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SPACK = (ROOT / "distribution/spack/package.py").read_text("utf-8")
CONDA = yaml.safe_load((ROOT / "distribution/conda/meta.yaml").read_text("utf-8"))
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


def test_the_recipe_for_conda_names_the_dependencies() -> None:
    """As pyproject.toml has them; its scripts are the wheel's."""
    run = [Requirement(text) for text in CONDA["requirements"]["run"]]
    assert str(run[0].specifier) == PROJECT["requires-python"]
    assert {str(each) for each in run[1:]} == {
        str(Requirement(text)) for text in PROJECT["dependencies"]
    }
    scripts = dict(text.split(" = ") for text in CONDA["build"]["entry_points"])
    assert scripts == PROJECT["scripts"]
