"""Files that are replaced whole: a reader sees the old one or the new one, never half of one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[TextIO]:
    """A new file, mode 0600, that takes the place of `path` when the block ends well.

    Args:
        path: in a folder that only this user can write to.
        durable: whether the content is on the disk before it takes the place.

    Raises:
        OSError: it cannot be written; the old file is as it was.
    """
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)  # of a process that was killed here
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
