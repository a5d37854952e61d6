"""Where Flux is installed, from its own words: `flux env`."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from rainbow_agent.core.errors import WorkloadUnavailable

#: Where the Flux operator puts Flux beside an application container.
VIEW = Path("/mnt/flux/view")
#: Seconds that `flux env` may take: it reads many small files, of a cold disk perhaps.
_FLUX_ENV_TIMEOUT_S = 30.0
#: Errors of the operating system after which a later attempt may succeed.
PASSING: Final = (errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EIO)


@dataclass(frozen=True)
class Install:
    """A Flux install: where its libraries and its own bindings are."""

    command: str
    libraries: tuple[Path, ...]
    python_paths: tuple[Path, ...]


def find_command(environ: Mapping[str, str]) -> str | None:
    """The `flux` program of the Flux that we run under, or PATH leads to, or the view; or None."""
    return next((found for c in _commands(environ) if (found := shutil.which(c))), None)


def find_install(environ: Mapping[str, str]) -> Install | None:
    """The Flux install that we run under, or PATH leads to, or the operator's view; or None.

    Raises:
        WorkloadUnavailable: there is one, and it does not say now where its parts are.
    """
    command = find_command(environ)
    if command is None:
        return None
    clean = {name: value for name, value in environ.items() if name != "PYTHONPATH"}
    try:
        answer = subprocess.run(
            [command, "env"],
            env=clean,
            capture_output=True,
            text=True,
            timeout=_FLUX_ENV_TIMEOUT_S,
            check=True,
        ).stdout
    except subprocess.TimeoutExpired as exc:
        raise WorkloadUnavailable(
            f"'{command} env' did not answer within {exc.timeout:g} s; it is asked again"
        ) from exc
    except subprocess.CalledProcessError as exc:
        words = " ".join(str(exc.stderr).split()) or f"it exited with status {exc.returncode}"
        raise WorkloadUnavailable(f"'{command} env' failed; it is asked again: {words}") from exc
    except OSError as exc:
        raise WorkloadUnavailable(
            f"'{command} env' cannot be started; it is tried again: {exc.strerror or exc}"
        ) from exc
    return _install_from(command, parse_flux_env(answer))


def _commands(environ: Mapping[str, str]) -> Iterator[str]:
    # Set by `flux start` and for jobs: PREFIX/libexec/flux/cmd of the Flux that runs us, which
    # in a MiniCluster need not be the first on PATH.
    for path in environ.get("FLUX_EXEC_PATH", "").split(":"):
        if path.endswith("/libexec/flux/cmd"):
            yield path.removesuffix("/libexec/flux/cmd") + "/bin/flux"
    yield from (f"{p}/flux" for p in environ.get("PATH", os.defpath).split(":") if p)
    yield str(VIEW / "bin/flux")


def parse_flux_env(text: str) -> dict[str, str]:
    """The variables in the output of `flux env`, which is lines of `export NAME="VALUE"`."""
    variables: dict[str, str] = {}
    for line in text.splitlines():
        words = shlex.split(line)
        if len(words) == 2 and words[0] == "export" and "=" in words[1]:
            name, _, value = words[1].partition("=")
            variables[name] = value
    return variables


def _install_from(command: str, variables: Mapping[str, str]) -> Install:
    modules = _existing(variables.get("FLUX_MODULE_PATH", ""))
    prefix = Path(command).resolve().parent.parent
    # Modules are in LIBDIR/flux/modules, so the libraries are two folders up.
    folders = [module.parent.parent for module in modules]
    folders += [prefix / "lib", prefix / "lib64"]
    return Install(
        command=command,
        libraries=tuple(dict.fromkeys(f for f in folders if (f / "libflux-core.so.2").exists())),
        python_paths=tuple(p for p in _existing(variables.get("PYTHONPATH", "")) if has_core(p)),
    )


def _existing(paths: str) -> list[Path]:
    return [Path(p) for p in paths.split(":") if p and Path(p).is_dir()]


def has_core(folder: Path) -> bool:
    """Whether a folder of Python packages holds Flux's bindings.

    Raises:
        WorkloadUnavailable: that cannot be seen now.
    """
    try:
        names = [path.name for path in (folder / "_flux").iterdir()]
    except OSError as exc:
        if exc.errno in PASSING:
            raise WorkloadUnavailable(
                f"{folder} cannot be searched for the Flux bindings now: {exc.strerror}"
            ) from exc
        return False
    return any(fnmatch(name, "_core*.so") for name in names)
