"""Paths as spack's configuration writes them: its variables, the environment's, and homes.

Source: spack's docs on configuration files ("Config file variables"). What this process cannot
know (which target spack would choose) is a name that has to be found on the disk.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from rainbow_compspec.host import Host
from rainbow_compspec.probes import system

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
#: Variables that stand for one folder name or a part of one, which the disk has to tell.
_ON_DISK = frozenset({"target", "target_family", "arch", "architecture", "operating_system", "os"})
_WHOLE_VERSION = frozenset({"ubuntu", "alpine"})
"""Systems of which spack keeps the first two parts of the version; of others the first."""


def expand(host: Host, path: str, spack: str) -> str:
    """Replaces what is known in a path.

    Args:
        host: the machine.
        path: as it is written.
        spack: spack's own folder; empty if there is none.

    Returns:
        An absolute path. What is not known stays in it as it was, with its `$` or `~`.
    """
    known = _known(host, spack)

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        return known.get(name.lower()) or host.env(name) or found[0]

    return posixpath.normpath(_home(host, _VARIABLE.sub(value, path)))


def candidates(host: Host, path: str, file: str) -> tuple[str, ...]:
    """Returns the paths that an expanded one can mean, of those below which `file` is there.

    Args:
        host: the machine.
        path: as `expand` returns it.
        file: relative to it.
    """
    if not unknown(path):
        return (path,)
    if set(unknown(path)) - _ON_DISK:
        return ()
    found: list[str] = ["/"]
    for part in path.strip("/").split("/"):
        found = [one for above in found for one in _below(host, above, part)]
    return tuple(one for one in found if host.exists(f"{one}/{file}"))


def unknown(path: str) -> tuple[str, ...]:
    """Returns the names of the variables that are left in a path; `~` for a home."""
    left = tuple((found[1] or found[2]).lower() for found in _VARIABLE.finditer(path))
    return (*left, "~") if path.startswith("~") else left


def _below(host: Host, folder: str, part: str) -> Iterator[str]:
    if not unknown(part):
        yield posixpath.join(folder, part)
        return
    pieces = _VARIABLE.split(part)[::3]  # two groups between any two of them
    pattern = re.compile("[^/]+".join(re.escape(piece) for piece in pieces))
    for name in host.names(folder):
        if pattern.fullmatch(name):
            yield posixpath.join(folder, name)


def _known(host: Host, spack: str) -> dict[str, str]:
    home = host.env("HOME")
    data = host.env("XDG_DATA_HOME") or f"{home}/.local/share"
    return {
        "spack": spack,
        "prefix": spack,
        "user": host.env("USER") or posixpath.basename(home),
        "tempdir": host.env("TMPDIR") or "/tmp",  # noqa: S108 - spack's own default
        "user_cache_path": host.env("SPACK_USER_CACHE_PATH") or f"{home}/.spack",
        "data_home": f"{data}/spack",
        "env": host.env("SPACK_ENV"),
        "platform": "linux",
        "os": operating_system(host),
        "operating_system": operating_system(host),
    }


def operating_system(host: Host) -> str:
    """Returns spack's word for the system: rocky9, ubuntu22.04, sles15; empty if not known."""
    fields = system.os_release(host)
    name, parts = re.sub(r"[^a-z0-9_-]", "", fields.get("ID", "")), fields.get("VERSION_ID", "")
    kept = parts.split(".")[: 2 if name in _WHOLE_VERSION else 1]
    return f"{name}{'.'.join(kept)}" if name else ""


def _home(host: Host, path: str) -> str:
    """Replaces `~` and `~user` at the beginning."""
    if not path.startswith("~"):
        return path
    user, _, rest = path[1:].partition("/")
    home = host.env("HOME") if not user else _home_of(host, user)
    return posixpath.join(home, rest) if home else path


def _home_of(host: Host, user: str) -> str:
    for line in (host.text("/etc/passwd") or "").splitlines():
        fields = line.split(":")
        if fields[0] == user and len(fields) > 5:
            return fields[5]
    return ""
