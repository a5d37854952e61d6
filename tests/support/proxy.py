"""For tests: a proxy between agent and rainbow that delays, cuts, drops and swallows, over TCP."""

from __future__ import annotations

import random
import selectors
import socket
import sys
import threading
from contextlib import suppress
from types import TracebackType
from typing import Final

_CHUNK: Final = 65536


class Proxy:
    """Forwards to `target`; what it does to connections can be changed at any time.

    Args:
        target: host:port.
        seed: of what is left to chance.
    """

    def __init__(self, target: str, seed: int = 1) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._rng = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        #: Seconds that each piece waits, in each direction.
        self.delay = 0.0
        #: Cut a connection after at most so many bytes from the server; None: never.
        self.cut_after: int | None = None
        #: Likewise, of those to the server.
        self.cut_after_sent: int | None = None
        #: The part of new connections that is dropped at once.
        self.drop = 0.0
        #: How often a connection was dropped, cut on the way to the agent, or on the way from it.
        self.drops, self.cuts, self.cuts_sent = 0, 0, 0
        self._swallowing = threading.Event()
        self._stop = threading.Event()
        self._guard = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    @property
    def faults(self) -> int:
        """How often a connection was dropped or cut."""
        return self.drops + self.cuts + self.cuts_sent

    def swallow(self) -> None:
        """From now on nothing comes through, without a reset: half-open connections."""
        self._swallowing.set()

    def serve(self, *, drop_open: bool = True) -> None:
        """New connections work again; those that are open are cut, or stay dead."""
        with self._guard:
            self._dead = set(self._open)
        self._swallowing.clear()
        if drop_open:
            self.cut_all()

    def cut_all(self) -> None:
        """End every connection that is open."""
        with self._guard:
            for each in list(self._open):
                _end(each)

    def __enter__(self) -> Proxy:  # noqa: PYI034 - typing.Self came with Python 3.11
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._listener.close()
        self.cut_all()
        for thread in self._threads:
            thread.join(120)

    _dead: set[socket.socket] = set()  # noqa: RUF012 - replaced as a whole

    def _start(self, target: object, *args: object) -> None:
        assert callable(target)
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        self._listener.settimeout(0.1)
        while not self._stop.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            if self._rng.random() < self.drop:
                self.drops += 1
                _end(client)
                continue
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._target, timeout=60.0)
        except OSError:
            _end(client)
            return
        pair = {client: server, server: client}
        with self._guard:
            self._open |= set(pair)
        try:
            with suppress(OSError):
                self._forward(client, server, pair)
        finally:
            with self._guard:
                self._open -= set(pair)
            _end(client)
            _end(server)

    def _forward(
        self, client: socket.socket, server: socket.socket, pair: dict[socket.socket, socket.socket]
    ) -> None:
        limits = {server: self._limit(self.cut_after), client: self._limit(self.cut_after_sent)}
        seen = {server: 0, client: 0}
        for each in pair:
            each.settimeout(60.0)
        with selectors.DefaultSelector() as selector:
            for each in pair:
                selector.register(each, selectors.EVENT_READ)
            while not self._stop.is_set():
                for key, _ in selector.select(0.1):
                    source = key.fileobj
                    assert isinstance(source, socket.socket)
                    data = source.recv(_CHUNK)
                    if not data:
                        return
                    if self._swallowing.is_set() or client in self._dead:
                        continue
                    if self.delay:
                        self._stop.wait(self.delay)
                    seen[source] += len(data)
                    over = seen[source] - limits[source]
                    if over > 0:
                        pair[source].sendall(data[: max(0, len(data) - over)])
                        self.cuts += source is server
                        self.cuts_sent += source is client
                        return
                    pair[source].sendall(data)

    def _limit(self, most: int | None) -> int:
        """After how many bytes a new connection is cut."""
        return sys.maxsize if most is None else self._rng.randint(1, most)


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
