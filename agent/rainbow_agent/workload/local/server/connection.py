"""One client's connection: lines in, answers and journal out. asyncio calls; the server decides."""

from __future__ import annotations

import asyncio
import logging
import select
import socket
from collections.abc import Mapping
from typing import Any, Protocol

from rainbow_agent.core.errors import Rejected
from rainbow_agent.core.workload_values import EventKind
from rainbow_agent.workload.local.server.journal_log import JournalLog
from rainbow_agent.workload.local.server.protocol import LineSplitter, decode, encode

log = logging.getLogger(__name__)

#: Bytes of answers that may wait for a client that does not read them, before it is dropped.
_MAX_UNSENT_BYTES = 8 * 1024 * 1024
_MAX_QUOTE_CHARS = 200  # characters of the answer to nonsense


class ClientHandler(Protocol):
    """What a connection needs of the server."""

    def opened(self, connection: ClientConnection) -> None:
        """A client came."""

    def request(self, connection: ClientConnection, message: Mapping[str, Any]) -> None:
        """A client asks."""

    def ended(self, connection: ClientConnection) -> None:
        """A client asks nothing more. May be called twice."""


class ClientConnection(asyncio.Protocol):
    """A client, as asyncio sees it. Reading never pauses, so its end is always noticed."""

    def __init__(self, handler: ClientHandler) -> None:
        self._handler = handler
        self._lines = LineSplitter()
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._journal: _Cursor | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio first."""
        # A stream socket's transport is an asyncio.Transport; the base class has no write().
        self._transport = transport  # type: ignore[assignment]
        self._handler.opened(self)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio with what came. A client that talks nonsense is shown the door."""
        try:
            for line in self._lines.feed(data):
                if self._transport is None or self._transport.is_closing():
                    return
                self._handler.request(self, decode(line))
        except Rejected as exc:
            log.warning("Dropped a client: %s", exc, extra={"action": "client_dropped"})
            self.send({"id": None, "refused": str(exc)[:_MAX_QUOTE_CHARS]})
            self.close()

    def eof_received(self) -> None:
        """Called by asyncio when the client will say nothing more."""
        self._handler.ended(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        """Called by asyncio last."""
        self._transport = None
        self._handler.ended(self)

    def pause_writing(self) -> None:
        """Called by asyncio when the client reads too slowly."""
        self._paused = True

    def resume_writing(self) -> None:
        """Called by asyncio when the client has caught up."""
        self._paused = False
        self.feed()

    def send(self, message: Mapping[str, Any]) -> None:
        """Answer. A client that lets too many answers lie is dropped, not waited for."""
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(encode(message))
        if self._transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:
            log.warning(
                "Dropped a client that does not read its answers",
                extra={"action": "client_dropped"},
            )
            self._transport.abort()

    def follow(self, journal: JournalLog, now: float) -> None:
        """Send the journal from its beginning, and from now on all that is added."""
        self._journal = _Cursor(journal, now)
        self.feed()

    def feed(self) -> None:
        """Send what the journal has and the client takes; the rest stays on disk."""
        while self._journal is not None and not self._paused and self._transport is not None:
            data = self._journal.read()
            if not data:
                return
            self._transport.write(data)

    def is_hung_up(self) -> bool:
        """Whether the client's end is closed, though not all it sent may have been read yet."""
        if self._transport is None:
            return False
        client: socket.socket = self._transport.get_extra_info("socket")
        poll = select.poll()
        poll.register(client.fileno(), select.POLLRDHUP)
        return bool(poll.poll(0))

    def close(self) -> None:
        """End the connection once what was sent has left."""
        if self._transport is not None:
            self._transport.close()


class _Cursor:
    """A client's place in the journal."""

    def __init__(self, journal: JournalLog, now: float) -> None:
        self._journal = journal
        self._offset = 0
        self._history_end: int | None = journal.committed
        self._caught_up = encode({"event": EventKind.CAUGHT_UP.value, "id": 0, "time": now})

    def read(self) -> bytes:
        """The next lines; empty when there is nothing new."""
        if self._history_end is not None and self._offset >= self._history_end:
            self._history_end = None
            return self._caught_up
        while self._offset < self._journal.committed:
            data, self._offset = self._journal.read(self._offset)
            if data:
                return data
        return b""
