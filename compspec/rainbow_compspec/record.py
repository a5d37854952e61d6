"""Write this machine down as a recorded tree: `python -m rainbow_compspec.record OUT`.

What the probes ask is what is recorded. Host names, MAC addresses, UUIDs, container ids and the
user's name are replaced; serial numbers are never read. Read the result before you publish it.
"""

from __future__ import annotations

import io
import json
import re
import sys
import tarfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from rainbow_compspec import probes
from rainbow_compspec.command import Completed
from rainbow_compspec.errors import CompspecError, HostError
from rainbow_compspec.host import COMMAND_TIMEOUT_S, FileSystemSize, Host, Uname
from rainbow_compspec.nvml import NvmlGpu
from rainbow_compspec.recorded import MANIFEST, ROOT_FOLDER
from rainbow_compspec.text import format_cpus

INLINE_LIMIT = 200
"""Bytes up to which a file goes into host.json."""

_SECRETS = (
    (re.compile(r"\b(?:[0-9a-f]{2}:){5,19}[0-9a-f]{2}\b", re.IGNORECASE), "02:00:00:00:00:{:02x}"),
    (re.compile(r"[0-9a-f]{32,}"), "{:064x}"),  # of containers and pods
    (
        re.compile(r"[0-9a-f]{8}[-_](?:[0-9a-f]{4}[-_]){3}[0-9a-f]{12}\b", re.IGNORECASE),
        "00000000-0000-0000-0000-{:012x}",
    ),
    (re.compile(r"(?<=unique_id )\d+"), "{}"),
)
_MOUNT_SOURCE = re.compile(r" - (?!cgroup)(\S+) \S+ \S+$", re.MULTILINE)


class Scrubber:
    """Replaces what names this machine or its people, the same thing by the same stand-in."""

    def __init__(self, words: Mapping[str, str]) -> None:
        self._seen: dict[str, str] = {}
        self._words = {word: name for word, name in words.items() if len(word) > 1}

    def __call__(self, text: str) -> str:
        """Returns the text without secrets."""
        text = _MOUNT_SOURCE.sub(r" - \1 none rw", text)
        for pattern, form in _SECRETS:
            text = pattern.sub(partial(self._stand_in, form), text)
        for word, name in self._words.items():
            text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", name, text)
        return text

    def deep(self, value: Any) -> Any:
        """Scrubs every string in a JSON value, keys too."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, dict):
            return {self(key): self.deep(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.deep(item) for item in value]
        return value

    def _stand_in(self, form: str, found: re.Match[str]) -> str:
        return self._seen.setdefault(found[0], form.format(len(self._seen) + 1))


class RecordingHost(Host):
    """A host that remembers its answers."""

    def __init__(self, root: Path = Path("/")) -> None:
        super().__init__(root)
        self.files: dict[str, str] = {}
        self.manifest: dict[str, Any] = {
            "environ": {},
            "names": {},
            "links": {},
            "which": {},
            "space": {},
            "commands": [],
        }

    def read(self, path: str) -> bytes:
        """Reads and remembers a file."""
        data = super().read(path)
        self.files[path] = data.decode("utf-8", errors="replace")
        return data

    def names(self, path: str) -> tuple[str, ...]:
        """Lists and remembers a folder."""
        found = super().names(path)
        if found:
            self.manifest["names"][path] = list(found)
        return found

    def link(self, path: str) -> str | None:
        """Reads and remembers a link."""
        found = super().link(path)
        if found is not None:
            self.manifest["links"][path] = found
        return found

    def exists(self, path: str) -> bool:
        """Looks, and remembers what is there."""
        found = super().exists(path)
        if found:
            self.manifest["names"].setdefault(path, [])
        return found

    def env(self, name: str) -> str:
        """Reads and remembers a variable; of PATH only what `which` finds on it."""
        found = super().env(name)
        if found and name != "PATH":
            self.manifest["environ"][name] = found
        return found

    def which(self, name: str) -> str | None:
        """Finds and remembers a program."""
        found = super().which(name)
        if found:
            self.manifest["which"][name] = found
        return found

    def run(self, args: Sequence[str], limit: float = COMMAND_TIMEOUT_S) -> Completed | None:
        """Runs a program and remembers what it said."""
        found = super().run(args, limit)
        if found is not None:
            self.manifest["commands"].append({"args": list(args), **asdict(found)})
        return found

    def affinity(self) -> frozenset[int]:
        """Remembers the affinity."""
        found = super().affinity()
        self.manifest["affinity"] = format_cpus(found)
        return found

    def space(self, path: str) -> FileSystemSize | None:
        """Remembers the size of a file system."""
        found = super().space(path)
        if found is not None:
            self.manifest["space"][path] = asdict(found)
        return found

    def uname(self) -> Uname:
        """Remembers uname."""
        found = super().uname()
        self.manifest["uname"] = asdict(found)
        return found

    def nvml(self) -> tuple[NvmlGpu, ...] | None:
        """Remembers what NVIDIA's library said, or why it could not."""
        try:
            found = super().nvml()
        except HostError as exc:
            self.manifest["nvml"] = str(exc)
            raise
        if found is not None:
            self.manifest["nvml"] = [asdict(gpu) for gpu in found]
        return found


def record(out: Path, root: Path = Path("/")) -> int:
    """Runs every probe and writes what they saw.

    Args:
        out: a folder, or a name that ends in .tar.gz.
        root: where the machine's file system is mounted.

    Returns:
        How many files the tree has.
    """
    host = RecordingHost(root)
    probes.run(host, limit=30.0)
    tree = _tree(host)
    if out.name.endswith(".tar.gz"):
        with tarfile.open(out, "w:gz") as archive:
            for name, text in tree.items():
                data = text.encode()
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    else:
        for name, text in tree.items():
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return len(tree)


def _tree(host: RecordingHost) -> dict[str, str]:
    """Returns the scrubbed tree as name -> text."""
    scrub = Scrubber(
        {
            host.uname().nodename: "node0",
            host.env("HOME"): "/home/user",
            PurePosixPath(host.env("HOME")).name: "user",
        }
    )
    files = {scrub(path): scrub(text) for path, text in sorted(host.files.items())}
    manifest = scrub.deep(host.manifest)
    manifest["files"] = {
        path: text.strip() for path, text in files.items() if len(text) <= INLINE_LIMIT
    }
    tree = {MANIFEST: json.dumps(manifest, indent=1, sort_keys=True) + "\n"}
    return tree | {
        ROOT_FOLDER + path: text for path, text in files.items() if len(text) > INLINE_LIMIT
    }


def main(arguments: Sequence[str]) -> int:
    """Runs the tool; returns its exit code."""
    if len(arguments) not in {1, 2}:
        sys.stderr.write("usage: python -m rainbow_compspec.record OUT[.tar.gz] [ROOT]\n")
        return 2
    try:
        count = record(*(Path(argument) for argument in arguments))
    except (CompspecError, OSError) as exc:
        sys.stderr.write(f"cannot record this machine: {exc}\n")
        return 1
    sys.stdout.write(f"{arguments[0]}: {count} files. Read them before you publish them.\n")
    return 0


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        sys.exit(main(sys.argv[1:]))
