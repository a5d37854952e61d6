"""For tests: wheel and sdist, built from this tree or from a copy of it; its scripts."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
#: What was made from a tree, or is not of it: at its top, and anywhere.
_MADE_AT_TOP = {".venv", ".git", "build", "dist", ".hypothesis"}
_MADE = shutil.ignore_patterns("__pycache__", ".*_cache")


def build_wheel(folder: Path, tree: Path = ROOT) -> Path:
    """A wheel, in a folder `dist` of its own."""
    (wheel,) = build(folder / "dist", "wheel", tree=tree)
    return wheel


def build(folder: Path, *targets: str, tree: Path = ROOT) -> list[Path]:
    """What hatchling builds: `wheel`, `sdist`; skips the test where there is no hatchling."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("NO WHEEL WAS BUILT: install hatchling (extra `dev`) to test what ships")
    options = [word for target in targets for word in ("-t", target)]
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", *options, "-d", str(folder)],
        cwd=tree,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"},
        check=True,
        capture_output=True,
        timeout=300,
    )
    return sorted(folder.iterdir())


def copy_tree(folder: Path) -> Path:
    """A copy of this tree, with times and rights of its own."""

    def made(place: str, names: list[str]) -> set[str]:
        return _MADE(place, names) | (_MADE_AT_TOP if Path(place) == ROOT else set())

    shutil.copytree(ROOT, folder, ignore=made, copy_function=shutil.copyfile)
    for path in folder.rglob("*"):
        if path.is_file() and os.access(ROOT / path.relative_to(folder), os.X_OK):
            path.chmod(0o700)
    return folder


def load_script(place: str) -> ModuleType:
    """A script of this tree as a module, which is in no package.

    Args:
        place: such as docs/tables.py.
    """
    spec = importlib.util.spec_from_file_location(Path(place).stem, ROOT / place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
