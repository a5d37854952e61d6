"""What waitpid(2) says, as shells say it."""

from __future__ import annotations

import os


def exit_code(status: int | None) -> int | None:
    """A shell's exit code from a wait status (128 + n for signal n); None for None."""
    if status is None:
        return None
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code
