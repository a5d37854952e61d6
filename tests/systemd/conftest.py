"""A Debian with systemd, one for all tests here; without one they are skipped, and say so."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from support.machine import ROOT, Machine, make_system, missing


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    if why := missing():
        pytest.skip(f"NO SYSTEMD: {why}")
    source = tmp_path_factory.mktemp("src")
    for folder in ("systemd", "docker/spack", "docs/man"):
        shutil.copytree(ROOT / folder, source / folder)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--quiet", "--wheel-dir", str(source / "dist"), str(ROOT)], check=True
    )
    return Machine(make_system(), source)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> None:
    """Pip finds everything beside the wheel: the container has no network."""
    conf = machine.source / "pip.conf"
    conf.write_text("[global]\nno-index = true\nfind-links = /src/dist\n", encoding="ascii")
