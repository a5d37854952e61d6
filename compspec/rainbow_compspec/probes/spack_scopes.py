"""spack's configuration: sections of YAML files, over scopes and what they include.

Source: spack's docs on configuration scopes, on `include.yaml` (spack 1.0) and on environments.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rainbow_compspec.host import Host
from rainbow_compspec.probes import spack_paths

MAX_FILES = 200
"""Configuration files that are read, so that a circle of includes has an end."""


@dataclass
class Scopes:
    """Reads sections; `problems` grows as files turn out not to be understood."""

    host: Host
    spack: str  # spack's own folder; empty if there is none
    problems: list[str] = field(default_factory=list)
    _read: dict[str, Any] = field(default_factory=dict)

    def section(self, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yields each file that has the section, the strongest first, and what the section holds.

        Args:
            name: `config` or `upstreams`: also the name of the file that a scope keeps it in.
        """
        environment = self.host.env("SPACK_ENV")
        if environment:
            path = f"{environment.rstrip('/')}/spack.yaml"
            yield from self._file(path, _mapping(self._yaml(path), "spack"), name, set())
        for folder in self._folders():
            yield from self._folder(folder, name, set())

    def _folders(self) -> Iterator[str]:
        """Yields the folders of the scopes, the strongest first."""
        home, spack = self.host.env("HOME"), self.spack
        local = not self.host.env("SPACK_DISABLE_LOCAL_CONFIG")
        if spack:
            yield f"{spack}/etc/spack"
        if local:
            own = self.host.env("SPACK_USER_CONFIG_PATH")
            yield from [own] if own else [f"{home}/.spack", f"{home}/.config/spack"]
        if spack:
            yield f"{spack}/etc/spack/site"
        if local:
            yield self.host.env("SPACK_SYSTEM_CONFIG_PATH") or "/etc/spack"
        if spack:
            yield f"{spack}/etc/spack/defaults"
            yield f"{spack}/etc/spack/defaults/base"

    def _folder(
        self, folder: str, name: str, seen: set[str]
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """A scope: what it has for this platform, what it has, and what it includes."""
        for place in (f"{folder}/linux", folder):
            path = f"{place}/{name}.yaml"
            found = _mapping(self._yaml(path, name), name)
            if found:
                yield path, found
        if "/etc/spack/defaults" not in folder:  # its includes are the scopes themselves
            path = f"{folder}/include.yaml"
            yield from self._includes(path, self._yaml(path, "include"), name, seen)

    def _file(
        self, path: str, content: Mapping[str, Any], name: str, seen: set[str]
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        found = _mapping(content, name)
        if found:
            yield path, found
        yield from self._includes(path, content, name, seen)

    def _includes(
        self, path: str, content: Mapping[str, Any], name: str, seen: set[str]
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """What a file includes, in its order: a folder is a scope, a file has sections."""
        entries = _key(content, "include")
        for entry in entries if isinstance(entries, list) else ():
            target = self._target(path, entry)
            if not target or target in seen or len(self._read) > MAX_FILES:
                continue
            seen.add(target)
            if target.endswith((".yaml", ".yml")):
                yield from self._file(target, self._yaml(target), name, seen)
            else:
                yield from self._folder(target, name, seen)

    def _target(self, path: str, entry: object) -> str:
        """The file or folder that an entry names; empty, and a problem, for what is not local."""
        written = entry.get("path") if isinstance(entry, Mapping) else entry
        if isinstance(entry, Mapping) and entry.get("when"):
            self._problem(f"{path}: `include` of {written} has a condition, which is not evaluated")
            return ""
        if not isinstance(written, str) or "://" in written:
            self._problem(f"{path}: `include` of {written or entry} is not a path on this machine")
            return ""
        target = spack_paths.expand(self.host, written, self.spack)
        if spack_paths.unknown(target):
            self._problem(f"{path}: `include` of {written} is not understood")
            return ""
        return posixpath.normpath(posixpath.join(posixpath.dirname(path), target))

    def _yaml(self, path: str, *words: str) -> Mapping[str, Any]:
        """A file's content; none for one that is not there, or that has none of the words."""
        if path not in self._read:
            self._read[path] = self._parse(path, words)
        found: Mapping[str, Any] = self._read[path]
        return found

    def _parse(self, path: str, words: tuple[str, ...]) -> Mapping[str, Any]:
        text = self.host.text(path)
        if not text or (words and not any(word in text for word in words)):
            return {}  # spares most machines the slow import of yaml
        import yaml  # noqa: PLC0415 - slow, and only for a file that is there

        try:
            found = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe loaders
        except yaml.YAMLError as exc:
            self._problem(f"{path}: not YAML: {str(exc).splitlines()[0]}")
            return {}
        return found if isinstance(found, Mapping) else {}

    def _problem(self, text: str) -> None:
        if text not in self.problems:
            self.problems.append(text)


def _key(found: object, name: str) -> Any:
    """A key's value; `key:` (written `key::`) overrides as `key` does."""
    if not isinstance(found, Mapping):
        return None
    return {str(key).rstrip(":"): value for key, value in found.items()}.get(name)


def _mapping(found: object, name: str) -> Mapping[str, Any]:
    value = _key(found, name)
    if not isinstance(value, Mapping):
        return {}
    return {str(key).rstrip(":"): inner for key, inner in value.items()}
