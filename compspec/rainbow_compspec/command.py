"""Run a program with a time limit that also holds for what the program starts."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

MAX_OUTPUT_BYTES = 64 * 1024
"""Bytes of output that are kept."""


@dataclass(frozen=True)
class Completed:
    """What a command said."""

    returncode: int
    output: str  # stdout and stderr together


def run(args: Sequence[str], environ: Mapping[str, str], limit: float) -> Completed | None:
    """Runs a program to its end; see `Host.run`."""
    try:
        process = subprocess.Popen(
            list(args),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environ),
            start_new_session=True,  # so that a launcher's children can be ended with it
        )
    except OSError:
        return None
    with process:
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            return None
    return Completed(
        process.returncode, output[:MAX_OUTPUT_BYTES].decode("utf-8", errors="replace")
    )
