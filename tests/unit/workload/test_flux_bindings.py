"""Finding Flux's bindings: in our environment, in an install, and saying why not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from rainbow_agent.workload.flux import bindings
from rainbow_agent.workload.flux import install as flux_install
from rainbow_agent.workload.flux.bindings import BindingsMissing
from rainbow_agent.workload.flux.install import find_install, parse_flux_env
from support.flux import NO_FLUX, flux_command

OTHER_PYTHON = "python3.7" if sys.version_info[:2] != (3, 7) else "python3.8"
THIS_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
LOAD = """
from rainbow_agent.workload.flux import bindings as flux_bindings
found = flux_bindings.load()
print(found.folder, found.version)
"""


def make_install(root: Path, python: str = THIS_PYTHON) -> Path:
    """A Flux install whose extension is no library at all; its bin folder."""
    modules, packages = root / "lib/flux/modules", root / f"lib/{python}/site-packages"
    for folder in (root / "bin", modules, packages / "_flux"):
        folder.mkdir(parents=True)
    (root / "lib/libflux-core.so.2").touch()
    (packages / "_flux/_core.so").write_text("no library")
    command = root / "bin/flux"
    command.write_text(
        "#!/bin/sh\n"
        f"echo 'export PYTHONPATH=\"{packages}\"'\n"
        f"echo 'export FLUX_MODULE_PATH=\"{modules}\"'\n"
    )
    command.chmod(0o755)
    return root / "bin"


def load(search_path: list[str], environ: Mapping[str, str]) -> str:
    """The words with which loading fails, in a process that has loaded nothing yet."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [n for n in sys.modules if n.partition(".")[0] == "_flux"]:
            patch.delitem(sys.modules, name)
        with pytest.raises(BindingsMissing) as caught:
            bindings._load(search_path, environ)
    return str(caught.value)


def test_the_output_of_flux_env_is_read() -> None:
    """It is meant for a shell's eval."""
    text = 'export PYTHONPATH="/usr/lib/flux/python"\nexport MANPATH="/a:/b c:"\n'
    assert parse_flux_env(text) == {"PYTHONPATH": "/usr/lib/flux/python", "MANPATH": "/a:/b c:"}


def test_an_install_is_found_on_path(tmp_path: Path) -> None:
    """Its libraries and its bindings are where `flux env` says."""
    bin_folder = make_install(tmp_path / "flux")
    install = find_install({"PATH": f"/usr/bin:{bin_folder}"})
    assert install is not None
    assert install.command == str(bin_folder / "flux")
    assert install.libraries == (tmp_path / "flux/lib",)
    assert install.python_paths == (tmp_path / f"flux/lib/{THIS_PYTHON}/site-packages",)


def test_the_flux_that_runs_us_goes_before_path(tmp_path: Path) -> None:
    """In a MiniCluster the view's flux is the last on PATH."""
    ours, other = make_install(tmp_path / "view"), make_install(tmp_path / "image")
    commands = tmp_path / "view/libexec/flux/cmd"
    install = find_install({"PATH": f"{other}:{ours}", "FLUX_EXEC_PATH": str(commands)})
    assert install is not None
    assert install.command == str(ours / "flux")


def test_a_flux_that_does_not_answer_is_none(tmp_path: Path) -> None:
    """A broken command is as good as no command."""
    bin_folder = make_install(tmp_path)
    (bin_folder / "flux").write_text("#!/bin/sh\nexit 1\n")
    assert find_install({"PATH": str(bin_folder)}) is None


def test_no_flux_at_all_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With what to do."""
    monkeypatch.setattr(flux_install, "VIEW", tmp_path)
    words = load([], {"PATH": str(tmp_path)})
    assert "Flux was not found" in words
    assert "RAINBOW_WORKLOAD=local" in words


def test_bindings_of_another_python_are_not_loaded(tmp_path: Path) -> None:
    """A plain `_core.so` of another Python would crash this one; its folder tells."""
    bin_folder = make_install(tmp_path, OTHER_PYTHON)
    words = load([], {"PATH": str(bin_folder)})
    assert f"built for Python {OTHER_PYTHON.removeprefix('python')}" in words
    assert str(bin_folder / "flux") in words
    assert "flux-python" in words


def test_bindings_that_do_not_load_are_named_with_their_defect(tmp_path: Path) -> None:
    """And the loader's own words."""
    bin_folder = make_install(tmp_path)
    words = load([], {"PATH": str(bin_folder)})
    assert f"{tmp_path}/lib/{THIS_PYTHON}/site-packages" in words
    assert "_core.so" in words


def test_nothing_is_loaded_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty entry of the search path does not count."""
    (tmp_path / "_flux").mkdir()
    (tmp_path / "_flux/_core.so").write_text("a trap")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(flux_install, "VIEW", tmp_path)
    assert "a trap" not in load([""], {"PATH": str(tmp_path)})
    assert "Flux was not found" in load([""], {"PATH": str(tmp_path)})


def run(environ: Mapping[str, str]) -> str:
    """Load in a process of its own; where the bindings were and their version."""
    command = [sys.executable, "-c", LOAD]
    return subprocess.run(
        command, env=dict(environ), capture_output=True, text=True, check=True, cwd="/", timeout=60
    ).stdout


@pytest.mark.flux
def test_path_alone_is_enough() -> None:
    """No PYTHONPATH, no LD_LIBRARY_PATH, no activated environment."""
    command = flux_command()
    if command is None:
        pytest.skip(NO_FLUX)
    said = run({"PATH": f"/usr/bin:/bin:{Path(command).parent}"})
    version = subprocess.run([command, "version"], capture_output=True, text=True, check=True)
    assert said.split()[-1] in version.stdout


@pytest.mark.flux
def test_a_view_of_another_python_on_pythonpath_does_no_harm(tmp_path: Path) -> None:
    """Its bindings, which come first on the search path, are passed over."""
    command = flux_command()
    if command is None:
        pytest.skip(NO_FLUX)
    make_install(tmp_path, OTHER_PYTHON)
    packages = tmp_path / f"lib/{OTHER_PYTHON}/site-packages"
    said = run({"PATH": os.environ["PATH"], "PYTHONPATH": f":{packages}"})
    assert str(tmp_path) not in said
