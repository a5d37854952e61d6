"""For tests: this machine's Flux as the operator's flux view has it: found in another place.

A view's Flux is built to be moved, and this machine's is not. So the base image has links, where
this Flux was installed, to where the operator's script puts the view: /opt/software.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from support.flux import flux_command, fluxion_environ

#: Of Debian bookworm, and so of the agent's image.
PYTHON: Final = "3.11"
_SOFTWARE: Final = "/opt/software/flux"
_FLUXION: Final = "/opt/software/fluxion"
#: Below the prefix.
_PARTS: Final = (
    *("bin/flux", "bin/flux-python", "etc/flux", "lib/flux", "libexec/flux"),
    *("lib/lua", "share/flux", "share/lua"),
    *(f"lib/python{PYTHON}/site-packages/flux", f"lib/python{PYTHON}/site-packages/_flux"),
)
#: Of Fluxion: found where Flux finds its own.
_FLUXION_PARTS: Final = ("lib/flux/modules", "etc/flux/modprobe", "libexec/flux/cmd")
#: What Flux's bindings import; a view has them, too.
_MODULES: Final = "import os, cffi, _cffi_backend, ply, pycparser, yaml, _yaml\n" + "\n".join(
    f"print(os.path.realpath({module}.__file__))"
    for module in ("cffi", "_cffi_backend", "ply", "pycparser", "yaml", "_yaml")
)
_INTERPRETER: Final = re.compile(r'^exec (/\S+) "\$@"', re.MULTILINE)
_LIBRARY: Final = re.compile(r"=> (/\S+) \(")


class View:
    """What of this machine's Flux goes where.

    Raises:
        AssertionError: it is for another Python than the agent's image has.
    """

    def __init__(self) -> None:
        command = flux_command()
        assert command is not None
        self._prefix = Path(command).resolve().parents[1]
        wrapper = self._prefix / f"libexec/flux/cmd/flux-python{PYTHON}"
        assert wrapper.exists(), f"this Flux is not built for Python {PYTHON}"
        found = _INTERPRETER.search(wrapper.read_text())
        assert found is not None, f"{wrapper} names no Python"
        self._python = found[1]

    def links(self) -> dict[str, str]:
        """Where the image has links, and where they lead to."""
        made = {str(self._prefix / part): f"{_SOFTWARE}/{part}" for part in self._parts()}
        fluxion = {str(prefix): _FLUXION for prefix in self._fluxion()}
        return {**made, **fluxion, self._python: "/usr/bin/python3"}

    def write_libraries(self, folder: Path) -> None:
        """Copy Flux's own libraries, which the image has: ldconfig removes links to nowhere."""
        for library in self._libraries():
            _copy(library, folder / library.name)

    def packages(self) -> set[str]:
        """Debian's packages with the libraries that it is linked with."""
        files = [*self._libraries(), *(self._prefix / part for part in self._parts())]
        files += self._fluxion()
        programs = [
            str(path)
            for each in files
            for path in ([each] if each.is_file() else each.rglob("*"))
            if path.is_file() and (path.suffix == ".so" or path.stat().st_mode & 0o100)
        ]
        said = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False)
        own = (str(self._prefix), *map(str, self._fluxion()))
        libraries = {
            str(Path(path).resolve())
            for path in _LIBRARY.findall(said.stdout)
            if not path.startswith(own)
        }
        # One that no package has is of no use to the image either; Flux would say so at its start.
        owners = subprocess.run(
            ["dpkg", "--search", *sorted(libraries)], capture_output=True, text=True, check=False
        )
        return {line.partition(":")[0] for line in owners.stdout.splitlines() if line[:1] != " "}

    def write(self, folder: Path) -> None:
        """Lay it out: `software`, and `view` with what the operator's script looks for."""
        shutil.rmtree(folder, ignore_errors=True)
        software, view = folder / "software/flux", folder / "view"
        for part in self._parts():
            _copy(self._prefix / part, software / part)
        packages = view / f"lib/python{PYTHON}/site-packages"
        packages.mkdir(parents=True)
        for name in ("flux", "_flux"):
            (packages / name).symlink_to(f"{_SOFTWARE}/lib/python{PYTHON}/site-packages/{name}")
        self._write_modules(packages)
        (view / "bin").mkdir()
        (view / "bin/flux").symlink_to(f"{_SOFTWARE}/bin/flux")

    def write_installation(self, root: Path) -> None:
        """Lay it out where it is here, below a root.

        The operator mounts an empty folder at /opt/software, over what an image has there.
        """
        shutil.rmtree(root, ignore_errors=True)
        prefix = root / self._prefix.relative_to("/")
        for part in self._parts():
            _copy(self._prefix / part, prefix / part)
        self.write_libraries(prefix / "lib")
        self._write_modules(root / f"usr/local/lib/python{PYTHON}/dist-packages")
        python = root / self._python.lstrip("/")
        python.parent.mkdir(parents=True, exist_ok=True)
        python.symlink_to("/usr/bin/python3")

    def _write_modules(self, folder: Path) -> None:
        for module in self._modules():
            source = module.parent if module.name == "__init__.py" else module
            _copy(source, folder / source.name)

    def write_fluxion(self, folder: Path) -> None:
        """Lay out what a view with Fluxion has more: its prefix, and its parts among Flux's own."""
        shutil.rmtree(folder, ignore_errors=True)
        for prefix in self._fluxion():
            _copy(prefix, folder / "fluxion")
            for part in _FLUXION_PARTS:
                _copy(prefix / part, folder / "flux" / part)

    def _fluxion(self) -> list[Path]:
        """Its prefix; none where it is not there, or beside Flux and so in every view."""
        prefix = os.environ.get("FLUXION_PREFIX")
        return [Path(prefix)] if prefix and fluxion_environ() else []

    def _parts(self) -> list[str]:
        return [part for part in _PARTS if (self._prefix / part).exists()]

    def _libraries(self) -> list[Path]:
        return sorted((self._prefix / "lib").glob("libflux-*.so.?"))

    def _modules(self) -> list[Path]:
        done = subprocess.run(
            [self._python, "-c", _MODULES], capture_output=True, text=True, check=True
        )
        return [Path(line) for line in done.stdout.splitlines()]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("*.a", "*.la"))
    else:
        shutil.copy2(source, target)
