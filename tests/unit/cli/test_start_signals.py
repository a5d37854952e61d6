"""SIGHUP before the daemon has its own handler does not end the start."""

from __future__ import annotations

import subprocess
import sys

import pytest

_HUNG_UP = """
import os, signal, sys
import click
from rainbow_agent import cli

def hung_up(*_, **__):
    os.kill(os.getpid(), signal.SIGHUP)
    sys.exit(7)

click.Group.main = hung_up
sys.argv = ["rainbow-agent", sys.argv[1]]
cli.main()
"""


@pytest.mark.parametrize(("verb", "code"), [("start", 7), ("status", -1)])
def test_a_hangup_during_the_start_is_nothing(verb: str, code: int) -> None:
    """Logrotate may come at any moment; other verbs end with their terminal, as ever."""
    done = subprocess.run([sys.executable, "-c", _HUNG_UP, verb], check=False, timeout=60)
    assert done.returncode == code
