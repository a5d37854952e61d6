"""The client's end of a connection: sends without waiting, receives with a time limit."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Mapping
from typing import Any

from rainbow_agent.core.errors import Rejected, WorkloadUnavailable
from rainbow_agent.workload.local.server.protocol import LineSplitter, decode, encode

_CHUNK = 64 * 1024


class Channel:
    """A connection to the server. It belongs to one thread."""

    def __init__(self, connected: socket.socket, where: str) -> None:
        """Take over a connected socket that does not block.

        Args:
            connected: the socket; close() closes it.
            where: what error messages call the other end.
        """
        self._socket = connected
        self._where = where
        self._lines = LineSplitter()
        self._unsent = bytearray()
        self._selector = selectors.DefaultSelector()
        self._selector.register(connected, selectors.EVENT_READ)

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message; what the server does not take at once goes with the next call.

        Raises:
            Rejected: it cannot be sent; the connection stays usable.
            WorkloadUnavailable: the server is gone.
        """
        self._unsent += encode(message)
        self._flush()

    def receive(self, timeout: float) -> list[dict[str, Any]]:
        """Messages that are there; waits up to `timeout` seconds for the first.

        Raises:
            WorkloadUnavailable: the server is gone, and all it said has been received.
        """
        deadline = time.monotonic() + timeout
        while True:
            self._flush()
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
            self._selector.modify(self._socket, wanted)
            left = max(0.0, deadline - time.monotonic())
            ready = self._selector.select(left)
            if any(events & selectors.EVENT_READ for _, events in ready):
                messages = self._read()
                if messages:
                    return messages
            elif not ready and left <= 0:
                return []

    def close(self) -> None:
        """End the connection."""
        self._selector.close()
        self._socket.close()

    def _flush(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]
        except BlockingIOError:
            return
        except OSError as exc:
            raise self._gone(exc.strerror or str(exc)) from exc

    def _read(self) -> list[dict[str, Any]]:
        try:
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return []
        except OSError as exc:
            raise self._gone(exc.strerror or str(exc)) from exc
        if not data:
            raise self._gone("it closed the connection")
        try:
            return [decode(line) for line in self._lines.feed(data)]
        except Rejected as exc:
            raise self._gone(str(exc)) from exc

    def _gone(self, why: str) -> WorkloadUnavailable:
        return WorkloadUnavailable(
            f"the local workload manager at {self._where} is gone: {why}; what it has accepted"
            " is on disk, and the next call starts it again"
        )
