"""Finding Flux's bindings: in our environment, in an install, and saying why not."""

from __future__ import annotations

import ctypes
import errno
import importlib
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import pytest

from rainbow_agent.core.errors import WorkloadUnavailable
from rainbow_agent.workload.flux import bindings
from rainbow_agent.workload.flux import install as flux_install
from rainbow_agent.workload.flux.bindings import BindingsMissing
from rainbow_agent.workload.flux.install import find_install, parse_flux_env
from support.common import eventually
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


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'fork: Resource temporarily unavailable' >&2; exit 1", "temporarily unavailable"),
        ("exit 3", "exited with status 3"),
        ("exec /bin/sleep 60", "did not answer within 0.2 s"),
    ],
)
def test_a_flux_that_does_not_answer_now_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    """A slow or failed `flux env` is no reason to say that there is no Flux, or to end."""
    monkeypatch.setattr(flux_install, "_FLUX_ENV_TIMEOUT_S", 0.2 if "sleep" in script else 30.0)
    bin_folder = make_install(tmp_path)
    (bin_folder / "flux").write_text(f"#!/bin/sh\n{script}\n")
    with pytest.raises(WorkloadUnavailable, match=words) as caught:
        bindings._load([], {"PATH": str(bin_folder)})
    assert str(bin_folder / "flux") in str(caught.value)
    assert "PATH" not in str(caught.value)


def test_who_waited_for_a_failed_attempt_does_not_ask_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or four threads would wait four times as long as one."""
    asked, come, release = [], [], threading.Event()

    class Door:
        """A lock that counts who comes to it."""

        lock = threading.Lock()

        def __enter__(self) -> None:
            come.append(1)
            self.lock.acquire()

        def __exit__(self, *_: object) -> None:
            self.lock.release()

    def ask() -> NoReturn:
        asked.append(1)
        release.wait()
        raise WorkloadUnavailable("'flux env' did not answer")

    monkeypatch.setattr(bindings, "_load_once", ask)
    loader, heard = bindings._Loader(), []
    loader._guard = Door()  # type: ignore[assignment]

    def load() -> None:
        with pytest.raises(WorkloadUnavailable):
            loader.load()
        heard.append(1)

    threads = [threading.Thread(target=load) for _ in range(4)]
    threads[0].start()
    eventually(lambda: asked, "the first one asks")
    for thread in threads[1:]:
        thread.start()
    eventually(lambda: len(come) == 4, "all are there")
    release.set()
    for thread in threads:
        thread.join()
    assert (len(asked), len(heard)) == (1, 4)


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EIO])
@pytest.mark.parametrize("kind", [ImportError, OSError], ids=["dlopen", "listdir"])
def test_bindings_that_do_not_load_now_are_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    """What is short now need not be short for good, and nothing is to be installed."""
    words = os.strerror(number)

    def fail(_: object) -> NoReturn:
        raise kind(f"_core.so: cannot open shared object file: {words}")

    bin_folder = make_install(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(bindings, "_import_from", fail)
        with pytest.raises(WorkloadUnavailable, match=words) as caught:
            bindings._load([], {"PATH": str(bin_folder)})
    assert "nstall" not in str(caught.value)
    some = bindings.Bindings(None, None, "0.88.0", tmp_path)
    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(WorkloadUnavailable, match=words) as caught:
        some.extension("_idset")
    assert "nstall" not in str(caught.value)


def test_a_part_that_is_not_there_is_said(tmp_path: Path) -> None:
    """With what to install."""
    with pytest.raises(BindingsMissing, match=r"incomplete: .*flux-core 0\.88\.0"):
        bindings.Bindings(None, None, "0.88.0", tmp_path).extension("_no_such_part")


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EIO])
def test_what_cannot_be_searched_now_is_searched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A folder that cannot be listed is not one without bindings."""
    bin_folder = make_install(tmp_path)

    def fail(path: Path) -> NoReturn:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "iterdir", fail)
    with pytest.raises(WorkloadUnavailable, match=os.strerror(number)):
        bindings._load([], {"PATH": str(bin_folder)})


def test_libraries_that_do_not_load_now_are_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bindings linked to them would only say that they are not there."""
    bin_folder = make_install(tmp_path)
    words = os.strerror(errno.EMFILE)

    def fail(path: str, **_: object) -> NoReturn:
        raise OSError(f"{path}: cannot open shared object file: {words}")

    monkeypatch.setattr(ctypes, "CDLL", fail)
    with pytest.raises(WorkloadUnavailable, match=words):
        bindings._load([], {"PATH": str(bin_folder)})


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
