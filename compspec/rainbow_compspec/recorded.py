"""A machine that was written down: tests and `extract --root` replay it.

A recorded tree is a folder, or a .tar.gz of one, with

* `host.json`: what the machine answered, apart from files: `uname`, `environ`, `affinity` (in the
  kernel's list format), `commands` (`{"args", "returncode", "output"}`), `which`, `space`, `links`,
  `names` (folders whose files were not read), `nvml`, and short files inline under `files`;
* `root/`: the longer files, at their paths.
"""

from __future__ import annotations

import json
import posixpath
import tarfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rainbow_compspec.command import Completed
from rainbow_compspec.errors import HostError
from rainbow_compspec.host import COMMAND_TIMEOUT_S, FileSystemSize, Host, Uname
from rainbow_compspec.nvml import MigSlice, NvmlGpu
from rainbow_compspec.text import cpu_list, natural

MANIFEST = "host.json"
ROOT_FOLDER = "root"


def is_recorded(tree: Path) -> bool:
    """Tells whether a path is a recorded tree rather than a mounted file system."""
    return tree.is_file() or (tree / MANIFEST).is_file()


class RecordedHost(Host):
    """Answers as the machine did when it was recorded; what was not recorded is not there.

    Args:
        tree: the folder or .tar.gz file.

    Raises:
        HostError: it is not a recorded tree, or its host.json is damaged.
    """

    def __init__(self, tree: Path) -> None:
        content = dict(_content(tree))
        self._manifest = _manifest(tree, content.pop(MANIFEST, None))
        super().__init__(environ=self._manifest.get("environ", {}))
        files: Mapping[str, str] = self._manifest.get("files", {})
        self._files = {path: text.encode() for path, text in files.items()}
        for name, data in content.items():
            if name.startswith(ROOT_FOLDER + "/"):
                self._files[name.removeprefix(ROOT_FOLDER)] = data
        self._names = _folders((*self._files, *self._section("links")), self._section("names"))

    def _section(self, name: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._manifest.get(name, {})
        return found

    def read(self, path: str) -> bytes:
        """Returns a recorded file's content."""
        try:
            return self._files[path]
        except KeyError:
            raise FileNotFoundError(2, "not in the recorded tree") from None

    def names(self, path: str) -> tuple[str, ...]:
        """Returns the names in a recorded folder."""
        return tuple(sorted(self._names.get(path.rstrip("/") or "/", ()), key=natural))

    def link(self, path: str) -> str | None:
        """Returns a recorded link's target."""
        return self._section("links").get(path)

    def exists(self, path: str) -> bool:
        """Tells whether the tree has this file or folder."""
        folder, name = posixpath.split(path)
        return path in self._files or path in self._names or name in self._names.get(folder, ())

    def which(self, name: str) -> str | None:
        """Returns where the program was."""
        return self._section("which").get(name)

    def run(self, args: Sequence[str], limit: float = COMMAND_TIMEOUT_S) -> Completed | None:
        """Returns what the command said then."""
        del limit
        for command in self._manifest.get("commands", []):
            if command["args"] == list(args):
                return Completed(command["returncode"], command["output"])
        return None

    def affinity(self) -> frozenset[int]:
        """Returns the recorded affinity."""
        return frozenset(cpu_list(self._manifest.get("affinity", "")))

    def space(self, path: str) -> FileSystemSize | None:
        """Returns the recorded size of a file system."""
        found = self._section("space").get(path)
        return FileSystemSize(**found) if found else None

    def uname(self) -> Uname:
        """Returns the recorded uname."""
        return Uname(
            **{"nodename": "", "release": "", "version": "", "machine": ""}
            | dict(self._section("uname"))
        )

    def nvml(self) -> tuple[NvmlGpu, ...] | None:
        """Returns the recorded answer of NVIDIA's library, or its error."""
        found = self._manifest.get("nvml")
        if isinstance(found, str):
            raise HostError(found)
        return None if found is None else tuple(_nvml_gpu(gpu) for gpu in found)


def _nvml_gpu(written: Mapping[str, Any]) -> NvmlGpu:
    slices = tuple(MigSlice(**each) for each in written.get("slices", ()))
    return NvmlGpu(**{**written, "slices": slices})


def _content(tree: Path) -> Iterator[tuple[str, bytes]]:
    """Yields name and content of every file of a recorded tree."""
    if tree.is_dir():
        for path in tree.rglob("*"):
            if path.is_file():
                yield path.relative_to(tree).as_posix(), path.read_bytes()
        return
    try:
        with tarfile.open(tree) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                if file is not None:
                    yield posixpath.normpath(member.name), file.read()
    except (OSError, tarfile.TarError, EOFError) as exc:
        raise HostError(f"{tree}: not a recorded tree (a folder, or a .tar.gz): {exc}") from exc


def _manifest(tree: Path, data: bytes | None) -> Mapping[str, Any]:
    if data is None:
        raise HostError(f"{tree}: not a recorded tree: it has no {MANIFEST}")
    try:
        found = json.loads(data)
    except ValueError as exc:
        raise HostError(f"{tree}/{MANIFEST}: not JSON: {exc}") from exc
    if not isinstance(found, dict):
        raise HostError(f"{tree}/{MANIFEST}: must be an object")
    return found


def _folders(files: Sequence[str], listed: Mapping[str, Sequence[str]]) -> dict[str, set[str]]:
    """Returns folder -> names, from the paths of files and the recorded listings."""
    names: defaultdict[str, set[str]] = defaultdict(set)
    for path in (*files, *listed):
        while path != "/":
            parent, name = posixpath.split(path)
            names[parent].add(name)
            path = parent  # noqa: PLW2901 - walks up to the root
    for path, found in listed.items():
        names[path].update(found)
    return dict(names)
