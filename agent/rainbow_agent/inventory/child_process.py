"""A child process whose output is read line by line, for so long and not longer."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from rainbow_agent.core.ports import StopSignal

#: Seconds between two looks at a stop signal.
_STOP_CHECK_INTERVAL_S: Final = 0.1
#: Seconds between SIGTERM and SIGKILL.
_KILL_DELAY_S: Final = 1.0
#: A longer line is nothing that we asked for.
_MAX_LINE_BYTES: Final = 64 * 1024  # bytes


def lines(
    command: Sequence[str],
    *,
    environ: Mapping[str, str],
    seconds: float,
    stop: StopSignal,
) -> Iterator[tuple[bool, str]]:
    """Run a command in the root folder; each line of its output as (is standard error, text).

    Ends with the command, after `seconds`, or at a stop; the command has then ended too.

    Raises:
        OSError: it cannot be started.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environ),
        cwd="/",
        start_new_session=True,  # a Ctrl-C at a terminal is for the agent
    )
    try:
        yield from _read(process, time.monotonic() + seconds, stop)
    finally:
        _end(process)


def _read(
    process: subprocess.Popen[bytes], deadline: float, stop: StopSignal
) -> Iterator[tuple[bool, str]]:
    with selectors.DefaultSelector() as selector:
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, data=bytearray())
        while selector.get_map() and time.monotonic() < deadline and not stop.is_set():
            for key, _ in selector.select(_STOP_CHECK_INTERVAL_S):
                chunk = os.read(key.fd, 65536)
                if not chunk:
                    selector.unregister(key.fd)
                    chunk = b"\n"  # a last line may have no end
                is_error = key.fileobj is process.stderr
                yield from ((is_error, line) for line in _split(key.data, chunk))


def _split(buffer: bytearray, chunk: bytes) -> Iterator[str]:
    """The lines that are whole now; the rest waits in the buffer."""
    buffer += chunk
    *whole, rest = bytes(buffer).split(b"\n")
    buffer[:] = rest if len(rest) <= _MAX_LINE_BYTES else b""
    for line in whole:
        if line and len(line) <= _MAX_LINE_BYTES:
            yield line.decode(errors="replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    with process:  # closes the pipes and waits
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_KILL_DELAY_S)
            except subprocess.TimeoutExpired:
                process.kill()
