"""For tests: limits of this process (setrlimit(2)), for the length of a with block."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager


def largest_file(size: int) -> AbstractContextManager[None]:
    """No file may become larger than this many bytes: such writes fail with EFBIG."""
    return _limited(resource.RLIMIT_FSIZE, size)


def no_more_files() -> AbstractContextManager[None]:
    """Nothing can be opened: it fails with EMFILE."""
    return _limited(resource.RLIMIT_NOFILE, 0)


@contextmanager
def _limited(which: int, soft: int) -> Iterator[None]:
    before = resource.getrlimit(which)
    resource.setrlimit(which, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(which, before)
