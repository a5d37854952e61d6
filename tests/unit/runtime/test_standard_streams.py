"""Closed streams and odd locales do no harm."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from rainbow_agent.runtime.standard_streams import repair

_OPENS = """
import os, sys
from rainbow_agent.runtime.standard_streams import repair
repair()
number = os.open("/", os.O_RDONLY)
print("to nowhere")
print("to nowhere", file=sys.stderr)
sys.exit(number)
"""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_what_is_closed_is_nowhere(closed: str) -> None:
    """What is opened next gets none of the three numbers, and printing is no error."""
    command = ["sh", "-c", f'exec "$0" "$@" {closed}', sys.executable, "-c", _OPENS]
    assert subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 3


def test_a_character_that_the_locale_lacks_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Latin-1 has no check mark."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", stream)
    repair()
    print("größe ✓")
    stream.flush()
    assert stream.buffer.getvalue() == "größe ?\n".encode("latin-1")
