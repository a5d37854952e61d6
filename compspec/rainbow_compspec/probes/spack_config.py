"""Where spack installs: `config:install_tree:root`, over spack's scopes of configuration.

Source: spack's docs on configuration (scopes, path substitution) and on config.yaml.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rainbow_compspec.host import Host
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

    @property
    def index(self) -> str:
        """The path of its database."""
        return f"{self.path}/{INDEX}"


def locate(host: Host) -> InstallTree | None:
    """Finds the install tree of the spack that this process would use; None if there is none."""
    spack, confidence = _spack(host)
    if spack:
        root, source = _configured(host, spack)
        tree = _padded(host, _expand(host, root, spack))
        return InstallTree(tree, Origin(f"{tree}/{INDEX} ({source})", confidence), spack)
    for tree in USUAL_TREES:
        if host.exists(f"{tree}/{INDEX}"):
            return InstallTree(tree, Origin(f"{tree}/{INDEX}", Confidence.GUESSED))
    return None


def _spack(host: Host) -> tuple[str, Confidence]:
    """Returns spack's own folder: from its environment, else from where its program is."""
    root = host.env("SPACK_ROOT").rstrip("/")
    if root:
        return root, Confidence.MEASURED
    program = host.which("spack")
    if program and program.endswith("/bin/spack"):
        return program.removesuffix("/bin/spack"), Confidence.DERIVED
    return "", Confidence.GUESSED


def _configured(host: Host, spack: str) -> tuple[str, str]:
    """Returns the root of the install tree as it is written, and where it is written."""
    for path, section in _scopes(host, spack):
        text = host.text(path)
        if text and "install_tree" in text:  # spares most machines the slow import of yaml
            root = _install_tree(text, section)
            if root:
                return root, path
    return DEFAULT_TREE, "spack's default"


def _scopes(host: Host, spack: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yields configuration files, the strongest first, and the keys that lead to `config`."""
    environment, home = host.env("SPACK_ENV"), host.env("HOME")
    if environment:
        yield f"{environment}/spack.yaml", ("spack", "config")
    folders = [f"{spack}/etc/spack"]
    local = not host.env("SPACK_DISABLE_LOCAL_CONFIG")
    if local:
        own = host.env("SPACK_USER_CONFIG_PATH")
        folders += [own] if own else [f"{home}/.spack", f"{home}/.config/spack"]
    folders.append(f"{spack}/etc/spack/site")
    if local:
        folders.append(host.env("SPACK_SYSTEM_CONFIG_PATH") or "/etc/spack")
    folders += [f"{spack}/etc/spack/defaults", f"{spack}/etc/spack/defaults/base"]
    for folder in folders:
        yield f"{folder}/config.yaml", ("config",)


def _install_tree(text: str, section: tuple[str, ...]) -> str:
    """Reads `install_tree`: a path, or a mapping with `root`; `key::` overrides as `key` does."""
    import yaml  # noqa: PLC0415 - slow, and only for a file that names the tree

    try:
        found: object = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe loaders
    except yaml.YAMLError:
        return ""
    for key in (*section, "install_tree"):
        if not isinstance(found, Mapping):
            return ""
        found = {str(name).rstrip(":"): value for name, value in found.items()}.get(key)
    if isinstance(found, Mapping):
        found = {str(name).rstrip(":"): value for name, value in found.items()}.get("root")
    return found if isinstance(found, str) else ""


def _expand(host: Host, path: str, spack: str) -> str:
    """Replaces spack's variables and the environment's in a path."""
    home = host.env("HOME")
    data = host.env("XDG_DATA_HOME") or f"{home}/.local/share"
    own = {
        "spack": spack,
        "user": posixpath.basename(home),
        "tempdir": host.env("TMPDIR") or "/tmp",  # noqa: S108 - spack's own default
        "data_home": f"{data}/spack",
        "env": host.env("SPACK_ENV"),
    }

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        return own.get(name.lower()) or host.env(name) or found[0]

    path = re.sub(r"\$(?:\{(\w+)\}|(\w+))", value, path)
    if path == "~" or path.startswith("~/"):
        path = home + path[1:]
    return posixpath.normpath(path)


def _padded(host: Host, tree: str) -> str:
    """Follows `install_tree:padded_length`: the real root lies below folders that only pad it."""
    while not host.exists(f"{tree}/{INDEX}"):
        names = [name for name in host.names(tree) if name.startswith("__spack_path")]
        if len(names) != 1 or not _PADDING.startswith(names[0]):
            return tree
        tree = f"{tree}/{names[0]}"
    return tree
