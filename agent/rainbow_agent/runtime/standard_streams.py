"""Standard input, output and error as a program expects them, however it was started."""

from __future__ import annotations

import io
import os
import sys
from typing import Final

_FILES: Final = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def repair() -> None:
    """Open what is closed as /dev/null, and never fail because of a character.

    A wrapper, cron or a hook may start us with `>&- 2>&-`: the next file or socket would get the
    number 1, and what is printed would go into it. In a locale that is not UTF-8 a character that
    it does not have is shown as `?`.

    To be called first, before anything is opened.
    """
    for number, (name, mode) in enumerate(_FILES):
        if _is_closed(number):
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            os.set_inheritable(number, True)  # or our children have it closed
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


def _is_closed(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return True
    return False
