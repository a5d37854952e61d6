"""For tests: how long it took to recover, written down where `RELIABILITY_JSON` names a file."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

#: A file of JSON lines; `make reliability` reads it (bench/reliability.py).
FILE: Final = "RELIABILITY_JSON"


class Timer:
    """`with timer(what, parts, until)`: the seconds that the block took."""

    @contextmanager
    def __call__(self, what: str, parts: str, until: str) -> Iterator[None]:
        """Time a block.

        Args:
            what: the outage that is over when the block begins.
            parts: over which parts: `embedded`, `rainbow`, `flux`, `local`.
            until: what is true again when the block ends.
        """
        begin = time.monotonic()
        yield
        seconds = time.monotonic() - begin
        path = os.environ.get(FILE)
        if path:
            line = {"what": what, "parts": parts, "until": until, "seconds": round(seconds, 2)}
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


@contextmanager
def timed() -> Iterator[Timer]:
    """A Timer for one test."""
    yield Timer()
