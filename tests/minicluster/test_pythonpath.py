"""PYTHONPATH as the operator writes it: another Python's packages before the agent's own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.minicluster,
    pytest.mark.flux,
    pytest.mark.rainbow,
    pytest.mark.timeout(300),
]
ROOT = Path(__file__).parents[2]
VERSIONS = ("3.10", "3.11", "3.12", "3.13")


def python(version: str) -> str | None:
    """A Python of this version, on PATH or in pyenv's folder."""
    pyenv = sorted((Path.home() / ".pyenv/versions").glob(f"{version}.*/bin/python{version}"))
    return str(pyenv[-1]) if pyenv else shutil.which(f"python{version}")


def installed(folder: Path, version: str) -> Path:
    """The agent in an environment of that Python, as the image's script installs it."""
    if f"{sys.version_info.major}.{sys.version_info.minor}" == version:
        return Path(sys.executable).with_name("rainbow-agent")
    interpreter = python(version)
    if interpreter is None:
        pytest.skip(f"NO PYTHON {version}: nothing is known about the agent under it")
    dist = folder / "dist"
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(dist)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = dist.glob("*.whl")
    flux = subprocess.run(["flux", "version"], capture_output=True, text=True, check=True).stdout
    core = flux.split()[1]
    script = ROOT / "docker/spack/install-agent.sh"
    done = subprocess.run(
        ["sh", script, wheel, folder / "env", folder / "bin", interpreter, f"flux-python=={core}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if "No matching distribution" in done.stderr:
        pytest.skip(f"NO PACKAGES for Python {version}: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / "env/bin/rainbow-agent"


#: Fits Flux's Python, as the packages of a view do, and no other.
FOREIGN = """\
import importlib, os, sys
if sys.prefix == {agent!r}:
    raise ImportError(__name__ + ' is of another Python')
here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:] = [each for each in sys.path if os.path.abspath(each or '.') != here]
name = __name__
del sys.modules[name]
importlib.invalidate_caches()
sys.modules[name] = importlib.import_module(name)
"""


def spoil(view: Path, agent: Path) -> None:
    """Put a cffi and a yaml into the view's site-packages that do not fit the agent's Python."""
    (packages,) = view.glob("lib/python3*/site-packages")
    for name in ("cffi", "yaml", "_cffi_backend"):
        (packages / name).mkdir()
        text = FOREIGN.format(agent=str(agent.parent.parent))
        (packages / name / "__init__.py").write_text(text)


@pytest.mark.parametrize("version", VERSIONS)
def test_another_pythons_packages(
    fleet: Any, patiently: Callable[..., None], tmp_path: Path, version: str
) -> None:
    """The agent starts and finds Flux's bindings; jobs see PYTHONPATH as the operator made it."""
    agent = installed(tmp_path, version)
    spoil(fleet.view, agent)
    pink = fleet.cluster("pink", agent=agent)
    pink.start()

    def registered() -> bool:
        done = pink.agent("status", "-o", "json")
        view = json.loads(done.stdout or "{}")
        return bool(view.get("registration")) and view["workload"]["reachable"] is True

    patiently(registered, "it is registered")
    out = "/var/lib/rainbow-agent/seen"
    script = f'printf %s "$PYTHONPATH" > {out}.new && mv {out}.new {out}'
    done = pink.agent("submit", "--name", "look", "--", "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    patiently((pink.state / "seen").exists, "the job ran")
    assert (pink.state / "seen").read_text() == ":/mnt/flux/view/lib/python3.11/site-packages"
