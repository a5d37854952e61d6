"""Where spack installs: `config:install_tree:root`, and the trees of `upstreams`.

Source: spack's docs on config.yaml and on chaining installations (upstreams.yaml).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rainbow_compspec.host import Host
from rainbow_compspec.probes import spack_paths
from rainbow_compspec.probes.spack_scopes import Scopes
from rainbow_compspec.reading import Confidence, Origin

INDEX = ".spack-db/index.json"
DEFAULT_TREE = "$spack/opt/spack"
USUAL_TREES = ("/opt/spack/opt/spack", "/opt/software")
"""Trees of common images; the second is that of `spack containerize`, which leaves spack out."""

_PADDING = "__spack_path_placeholder__"


@dataclass(frozen=True)
class InstallTree:
    """An install tree, and how it was found."""

    path: str
    origin: Origin
    spack: str = ""  # spack's own folder, if there is one
    configured: bool = False  # whether somebody wrote this path

    @property
    def index(self) -> str:
        """The path of its database."""
        return f"{self.path}/{INDEX}"


@dataclass(frozen=True)
class Installations:
    """All trees that spack would load packages from, its own first."""

    trees: tuple[InstallTree, ...] = ()
    problems: tuple[str, ...] = ()  # what of the configuration was not understood
    spack: str = ""  # spack's own folder; empty if there is none


def locate(host: Host) -> Installations:
    """Finds the install trees of the spack that this process would use."""
    spack, confidence = _spack(host)
    if not spack:
        usual = [tree for tree in USUAL_TREES if host.exists(f"{tree}/{INDEX}")][:1]
        origin = Origin(f"{usual[0]}/{INDEX}", Confidence.GUESSED) if usual else Origin("")
        return Installations(tuple(InstallTree(tree, origin) for tree in usual))
    scopes = Scopes(host, spack)
    trees: list[InstallTree] = []
    problems: list[str] = []
    for written, source in (_configured(scopes), *_upstreams(scopes)):
        found = spack_paths.candidates(host, spack_paths.expand(host, written, spack), INDEX)
        if not found:
            problems.append(_not_understood(host, written, source, spack))
        for path in found:
            tree = _padded(host, path)
            origin = Origin(f"{tree}/{INDEX} ({source})", confidence)
            trees.append(InstallTree(tree, origin, spack, source != _DEFAULT))
    return Installations(tuple(trees), (*problems, *scopes.problems), spack)


_DEFAULT = "spack's default"


def _spack(host: Host) -> tuple[str, Confidence]:
    """Returns spack's own folder: from its environment, else from where its program is."""
    root = host.env("SPACK_ROOT").rstrip("/")
    if root:
        return root, Confidence.MEASURED
    program = host.which("spack")
    if program and program.endswith("/bin/spack"):
        return program.removesuffix("/bin/spack"), Confidence.DERIVED
    return "", Confidence.GUESSED


def _configured(scopes: Scopes) -> tuple[str, str]:
    """Returns the root of spack's own tree as it is written, and where it is written."""
    for path, section in scopes.section("config"):
        root = _root(section.get("install_tree"))
        if root:
            return root, path
    return DEFAULT_TREE, _DEFAULT


def _upstreams(scopes: Scopes) -> list[tuple[str, str]]:
    """Returns the root of each upstream's tree, and where it is written; a name counts once."""
    found: dict[str, tuple[str, str]] = {}
    for path, section in scopes.section("upstreams"):
        for name, upstream in section.items():
            root = _root(upstream.get("install_tree") if isinstance(upstream, Mapping) else None)
            if root:
                found.setdefault(name, (root, path))
            else:
                scopes.problems.append(f"{path}: upstream {name} has no `install_tree`")
    return list(found.values())


def _root(tree: Any) -> str:
    """Reads `install_tree`: a path, or a mapping with `root`; projections do not move it."""
    if isinstance(tree, Mapping):
        tree = {str(name).rstrip(":"): value for name, value in tree.items()}.get("root")
    return tree if isinstance(tree, str) else ""


def _not_understood(host: Host, written: str, source: str, spack: str) -> str:
    path = spack_paths.expand(host, written, spack)
    left = ", ".join(f"${name}" if name != "~" else path for name in spack_paths.unknown(path))
    return f"{source}: install tree {written!r} is not understood: {left} is not known here"


def _padded(host: Host, tree: str) -> str:
    """Follows `install_tree:padded_length`: the real root lies below folders that only pad it."""
    while not host.exists(f"{tree}/{INDEX}"):
        names = [name for name in host.names(tree) if name.startswith("__spack_path")]
        if len(names) != 1 or not _PADDING.startswith(names[0]):
            return tree
        tree = f"{tree}/{names[0]}"
    return tree
