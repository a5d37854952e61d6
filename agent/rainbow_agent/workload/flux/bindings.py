"""Finds and loads Flux's Python bindings wherever Flux keeps them.

Only one extension module is loaded, `_flux._core`: the C API of libflux-core (its man3 pages),
which has kept its names from 0.62 to 0.88, and loads in milliseconds. It comes from PyPI's
flux-python in our own environment, or from a Flux install, which `flux env` points to. It is
loaded from its own folder, so that nothing else which lies beside it (another yaml or cffi of a
flux view) is seen by the agent, and no PYTHONPATH has to be set.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from rainbow_agent.core.errors import Fatal, WorkloadUnavailable
from rainbow_agent.workload.flux.install import PASSING, Install, find_install, has_core

log = logging.getLogger(__name__)

_PYTHON_FOLDER = re.compile(r"python(3\.\d+)$")
#: What the loader says when a later attempt may succeed (dlopen(3) has words only).
_PASSING = tuple(os.strerror(number) for number in PASSING)
_THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


class BindingsMissing(Fatal):
    """Flux's Python bindings are not installed, or cannot be loaded by this Python."""


@dataclass(frozen=True)
class Bindings:
    """The C API of libflux-core, as cffi gives it."""

    ffi: Any
    lib: Any
    version: str  # of libflux-core, as in 0.88.0
    folder: Path  # that holds the `_flux` package

    def extension(self, name: str) -> Any:
        """Another extension module of the same bindings, such as `_idset`.

        Raises:
            BindingsMissing: these bindings do not have it.
            WorkloadUnavailable: it cannot be loaded now.
        """
        try:
            return importlib.import_module(f"_flux.{name}")
        except (ImportError, OSError) as exc:
            if _passes(str(exc)):
                raise WorkloadUnavailable(
                    f"a part of the Flux bindings cannot be loaded now: {exc}"
                ) from exc
            raise BindingsMissing(
                f"the Flux bindings in {self.folder} are incomplete: {exc}; install the"
                f" flux-python that goes with flux-core {self.version}"
            ) from exc


def load() -> Bindings:
    """The bindings, found and loaded once a process. Any thread may ask.

    Raises:
        BindingsMissing: there are none that this Python can load; the message names each one
            that was tried, with its defect, and the cure.
        WorkloadUnavailable: Flux does not say now where they are, or they cannot be loaded now:
            there is not enough memory, or too many files are open.
    """
    return _loader.load()


class _Loader:
    """Loads once; a thread that waited while another one failed gets its error, without a retry."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._failures = 0
        self._failure: WorkloadUnavailable | None = None

    def load(self) -> Bindings:
        failures = self._failures
        with self._guard:
            if self._failure is not None and self._failures > failures:
                raise self._failure
            try:
                return _load_once()
            except WorkloadUnavailable as exc:
                self._failure, self._failures = exc, self._failures + 1
                raise


_loader = _Loader()


@cache
def _load_once() -> Bindings:
    core = sys.modules.get("_flux._core")
    if core is not None and core.__file__:
        return _bindings(core, Path(core.__file__).parent.parent)
    return _load(sys.path, os.environ)


def _load(search_path: list[str], environ: Mapping[str, str]) -> Bindings:
    tried: dict[Path, str] = {}
    for folder in _folders(search_path):
        if found := _try(folder, tried):
            return found
    install = find_install(environ)
    if install is None:
        raise BindingsMissing(_explain(None, tried))
    _preload(install)
    # A wheel does not know where libflux-core is; now the loader does.
    for folder in (*tried, *install.python_paths):
        if found := _try(folder, tried):
            return found
    words = _explain(install, tried)
    if _passes(words):
        defects = "; ".join(f"{folder}: {defect}" for folder, defect in tried.items())
        raise WorkloadUnavailable(f"Flux's Python bindings cannot be loaded now ({defects})")
    raise BindingsMissing(words)


def _passes(words: str) -> bool:
    """Whether what the loader says may be over at a later attempt."""
    return any(passing in words for passing in _PASSING)


def _folders(search_path: list[str]) -> Iterator[Path]:
    """Entries of the module search path that hold the bindings."""
    for entry in search_path:
        # An empty entry is the current folder: nothing is ever loaded from there.
        if entry and has_core(Path(entry)):
            yield Path(entry)


def _try(folder: Path, tried: dict[Path, str]) -> Bindings | None:
    defect = wrong_python(folder / "_flux")
    if defect is None:
        try:
            return _import_from(folder)
        except (ImportError, OSError) as exc:  # OSError: a folder of the search path
            defect = str(exc)
    tried[folder] = defect
    return None


def wrong_python(package: Path) -> str | None:
    """Why this Python must not load an extension package; None if it may try.

    Autotools builds name their extensions plainly (`_core.so`), and an interpreter of another
    version would load them and crash; the folder they are in tells the version.
    """
    if not (package / "_core.so").exists():
        return None  # tagged for one version, or abi3: Python itself chooses well
    for place in (package, package.resolve()):
        for parent in place.parents:
            found = _PYTHON_FOLDER.search(parent.name)
            if found and found[1] != _THIS_PYTHON:
                return f"built for Python {found[1]}, this is Python {_THIS_PYTHON}"
    return None


def _import_from(folder: Path) -> Bindings:
    # The package has no code of its own (and no __init__.py in the wheel): only a place.
    package = ModuleType("_flux")
    package.__path__ = [str(folder / "_flux")]
    sys.modules["_flux"] = package
    _need_cffi(folder)
    try:
        core: Any = importlib.import_module("_flux._core")
    except (ImportError, OSError):
        del sys.modules["_flux"]
        raise
    return _bindings(core, folder)


def _bindings(core: Any, folder: Path) -> Bindings:
    version = core.ffi.string(core.lib.flux_core_version_string()).decode()
    return Bindings(core.ffi, core.lib, version, folder)


def _need_cffi(folder: Path) -> None:
    """The extensions need cffi's runtime: ours, or else, last of all, the one beside them."""
    if importlib.util.find_spec("_cffi_backend") is None and str(folder) not in sys.path:
        beside = list(folder.resolve().glob("_cffi_backend*.so"))
        if beside:
            sys.path.append(str(folder))


def _preload(install: Install) -> None:
    """Load the libraries that a wheel is linked to, by path: the loader then has their names.

    Only those that the bindings use: a wheel of 0.88 needs libflux-hostlist and libflux-idset
    beside libflux-core.
    """
    for folder in install.libraries:
        names = ("libflux-core.so.2", "libflux-hostlist.so.1", "libflux-idset.so.1")
        try:
            for path in (folder / name for name in names):
                if path.exists():
                    ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
        except OSError as exc:
            if _passes(str(exc)):  # what is linked to it would say that it is not there
                raise WorkloadUnavailable(f"Flux's libraries cannot be loaded now: {exc}") from exc
            log.debug("%s does not load: %s", folder, exc, extra={"action": "flux_preload_failed"})
        else:
            return


def _explain(install: Install | None, tried: Mapping[Path, str]) -> str:
    if install is None and not tried:
        return (
            "Flux was not found: there is no `flux` on PATH or in /mnt/flux/view/bin. Put it on"
            " PATH, or set RAINBOW_WORKLOAD=local"
        )
    defects = "; ".join(f"{folder}: {defect}" for folder, defect in tried.items())
    if install is None:
        cure = (
            "There is no `flux` on PATH, and its libraries are found through it: put Flux's bin"
            " folder on PATH"
        )
    else:
        cure = (
            f"Flux is {install.command}. Install the flux-python of its version into the agent's"
            f" environment ('{install.command} version', then pip install flux-python==VERSION),"
            " or run the agent with the Python that Flux was built for"
        )
    return f"Flux's Python bindings cannot be loaded ({defects or 'it has none'}). {cure}"
