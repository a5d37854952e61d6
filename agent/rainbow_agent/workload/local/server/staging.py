"""Files that a job brings along: `attributes.system.files` (RFC 14), each as in RFC 37.

They are put in a folder of the job's own, which the command names as `{{tmpdir}}`, as Flux's
shell does. A jobspec chooses names in that folder, never a path.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rainbow_agent.core.errors import Rejected

TMPDIR_TAG = "{{tmpdir}}"


@dataclass(frozen=True)
class StagedFile:
    """One file to put in the job's folder."""

    name: str
    mode: int  # permission bits
    content: bytes


def read_files(files: Any) -> tuple[StagedFile, ...]:
    """Read `attributes.system.files`.

    Raises:
        Rejected: a name is a path, an entry is not a regular file, or its content cannot be read.
    """
    if not isinstance(files, dict):
        raise Rejected("attributes.system.files must be a JSON object")
    return tuple(_read_file(name, entry) for name, entry in files.items())


def _read_file(name: str, entry: Any) -> StagedFile:
    where = f"attributes.system.files: {name!r}"
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise Rejected(f"{where} is not a plain file name")
    if not isinstance(entry, dict) or "data" not in entry:
        raise Rejected(f"{where} has no data")
    mode = entry.get("mode", stat.S_IFREG | 0o600)
    if not isinstance(mode, int) or stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise Rejected(f"{where} is not a regular file")
    return StagedFile(name, stat.S_IMODE(mode) & 0o777, _content(entry, where))


def _content(entry: dict[str, Any], where: str) -> bytes:
    data, encoding = entry["data"], entry.get("encoding")
    if encoding is None:  # RFC 37: JSON itself is the content
        return json.dumps(data).encode()
    if isinstance(data, str) and encoding == "utf-8":
        return data.encode(errors="surrogateescape")
    if isinstance(data, str) and encoding == "base64":
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error as exc:
            raise Rejected(f"{where} has data that is not base64: {exc}") from exc
    raise Rejected(f"{where} has an encoding that is not known: {encoding!r}")


def needs_folder(command: Sequence[str], files: Sequence[StagedFile]) -> bool:
    """Whether a job needs a folder of its own."""
    return bool(files) or any(TMPDIR_TAG in word for word in command)


def stage(folder: Path, files: Sequence[StagedFile]) -> None:
    """Make the folder, mode 0700, and put the files in it.

    Raises:
        OSError: the disk will not have it.
    """
    folder.mkdir(mode=0o700, parents=True)
    for file in files:
        fd = os.open(folder / file.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as out:
            out.write(file.content)
            os.fchmod(fd, file.mode)
