"""Environment modules: Lmod or Tcl modules, what is available and what is loaded."""

from __future__ import annotations

from rainbow_compspec.host import Host
from rainbow_compspec.reading import Origin, Reading, known

MAX_DEPTH = 3
"""Folders below an entry of MODULEPATH that are looked into: `Core/gcc/12.3.0`."""

_MARKS = {"default", "default.lua"}

MAX_MODULES = 2000
"""Modules after which the list is cut."""


def probe(host: Host) -> Reading:
    """Lists the module files below MODULEPATH; the `module` command is not started."""
    folders = [folder for folder in host.env("MODULEPATH").split(":") if folder]
    loaded = host.env("LOADEDMODULES").split(":")
    if not folders and not any(loaded):
        return Reading.absent("modules", "MODULEPATH is not set")
    found: list[str] = []
    for folder in folders:
        _walk(host, folder, "", MAX_DEPTH, found)
    names = sorted(set(found))
    lmod = host.env("LMOD_VERSION") or host.env("LMOD_CMD")
    values = known(
        system="lmod" if lmod else "tcl",
        version=host.env("LMOD_VERSION") or host.env("MODULES_VERSION"),
        path=":".join(folders),
        count=len(names),
        loaded=" ".join(name for name in loaded if name),
    )
    return Reading(
        "modules",
        values,
        Origin("$MODULEPATH, $LOADEDMODULES"),
        tables={"module": _by_name(names)},
        warnings=(f"more than {MAX_MODULES} modules: the list is cut",)
        if len(names) >= MAX_MODULES
        else (),
    )


def _walk(host: Host, root: str, inner: str, depth: int, found: list[str]) -> None:
    """Collects module names below a folder; a name without files below it is a module.

    A link called `default` beside versions is the mark on one of them (Lmod: "Marking a version as
    default"; Tcl modules: modulefile(5)), no version.
    """
    for name in host.names(f"{root}/{inner}".rstrip("/")):
        if name.startswith(".") or len(found) >= MAX_MODULES:
            continue
        path = f"{inner}/{name}".lstrip("/")
        if inner and name in _MARKS and host.link(f"{root}/{path}") is not None:
            continue
        if depth and host.names(f"{root}/{path}"):
            _walk(host, root, path, depth - 1, found)
        else:
            found.append(path.removesuffix(".lua"))


def _by_name(names: list[str]) -> dict[str, str]:
    """Groups `gcc/12.3.0`, `gcc/13.1.0` as `gcc` -> `12.3.0 13.1.0`."""
    versions: dict[str, list[str]] = {}
    for name in names:
        head, _, version = name.rpartition("/")
        versions.setdefault(head or version, []).extend([version] if head else [])
    return {name: " ".join(found) for name, found in versions.items()}
