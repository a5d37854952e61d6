"""Result files on their way to the sender: which pieces are missing, and where they go.

A file is written beside its place under a name made of its own and its checksum, so that
a fetch that was interrupted continues; it takes its place when all of it is there, and right.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.fleet.messages.results import PIECE_BYTES, digest_of
from rainbow_agent.runtime.beneath import folder_of, is_beneath, open_file, open_folder

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ResultFile:
    """A file that there is at the cluster."""

    name: str  # below the job's folder
    size: int  # bytes
    sha256: str


def read_listing(answer: Mapping[str, Any]) -> tuple[list[ResultFile], list[str]]:
    """The files that a cluster hands out, and the names of others that are too much for it.

    Raises:
        RainbowAgentError: it lists something else, or a file outside of the folder.
    """
    try:
        files = [ResultFile(str(name), int(size), str(sha)) for name, size, sha in answer["files"]]
        others = [str(name) for name, _ in answer["left_out"]]
    except (KeyError, TypeError, ValueError) as exc:
        raise RainbowAgentError(f"the cluster lists its files in another way: {exc}") from exc
    for file in files:
        if not is_beneath(file.name) or file.size < 0 or not _DIGEST.fullmatch(file.sha256):
            raise RainbowAgentError(
                f"the cluster lists {file.name[:80]!r}, which is no file below a folder: nothing is"
                " fetched"
            )
    return files, others


class Target:
    """The folder that files are put into.

    Args:
        path: the folder; made if it is not there.

    Raises:
        RainbowAgentError: it cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._in_words(str(path)):
            path.mkdir(parents=True, exist_ok=True)
            self._root = open_folder(path)

    def close(self) -> None:
        """Close it."""
        os.close(self._root)

    def has(self, file: ResultFile) -> bool:
        """Whether the file is there, as it is at the cluster."""
        try:
            with os.fdopen(open_file(self._root, file.name), "rb") as content:
                return os.fstat(content.fileno()).st_size == file.size and (
                    digest_of(content) == file.sha256
                )
        except OSError:
            return False

    def missing(self, file: ResultFile) -> list[int]:
        """Where the pieces begin that are not here yet; one of an empty file at 0."""
        with self._begun(file) as content:
            here = content.seek(0, os.SEEK_END)
        done = min(here, file.size) // PIECE_BYTES * PIECE_BYTES
        return list(range(done, file.size, PIECE_BYTES))

    def put(self, file: ResultFile, offset: int, data: bytes) -> None:
        """A piece; those before it are there.

        Raises:
            RainbowAgentError: it cannot be written, or is not as long as it should be.
        """
        if len(data) != min(PIECE_BYTES, file.size - offset):
            raise RainbowAgentError(
                f"{file.name} has changed at the cluster meanwhile: fetch again"
            )
        with self._begun(file) as content:
            content.seek(offset)
            content.truncate()
            content.write(data)

    def finish(self, file: ResultFile) -> None:
        """All pieces are there: put the file in its place.

        Raises:
            RainbowAgentError: it is not the file that the cluster listed.
        """
        with self._begun(file) as content:
            whole = digest_of(content) == file.sha256
            os.fsync(content.fileno())
        with self._in_words(file.name), folder_of(self._root, file.name) as (folder, last):
            if whole:
                os.replace(_begun(file), last, src_dir_fd=folder, dst_dir_fd=folder)
            else:
                os.unlink(_begun(file), dir_fd=folder)
        if not whole:
            raise RainbowAgentError(
                f"{file.name} is not what the cluster listed: it has changed meanwhile; fetch again"
            )

    @contextmanager
    def _begun(self, file: ResultFile) -> Iterator[BinaryIO]:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with self._in_words(file.name):
            with folder_of(self._root, file.name, make=True) as (folder, _):
                descriptor = os.open(_begun(file), flags, 0o666, dir_fd=folder)
            with os.fdopen(descriptor, "r+b") as content:
                yield content

    @contextmanager
    def _in_words(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise RainbowAgentError(
                f"{name}: cannot be written to {self.path}: {exc.strerror}"
            ) from exc


def _begun(file: ResultFile) -> str:
    """Two files with the same bytes may be under way at once."""
    name = hashlib.sha256(file.name.encode()).hexdigest()
    return f".fetch-{file.sha256[:32]}-{name[:16]}"


def within(files: Sequence[ResultFile], limit: int) -> tuple[list[ResultFile], list[ResultFile]]:
    """The first files that have so many bytes together at most, and the others."""
    kept: list[ResultFile] = []
    others: list[ResultFile] = []
    total = 0
    for file in files:
        fits = total + file.size <= limit
        total += file.size if fits else 0
        (kept if fits else others).append(file)
    return kept, others
