"""For tests: an HTTP proxy on loopback that connects (CONNECT) where it is asked to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class HttpProxy:
    """Forwards bytes both ways. `refuse`: answers 403 instead."""

    def __init__(self, *, refuse: bool = False) -> None:
        self._refuse = refuse
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        #: The first line of each request.
        self.asked: list[str] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            client.settimeout(60.0)
            head = b""
            while b"\r\n\r\n" not in head:
                if not (piece := client.recv(1)):
                    return
                head += piece
            line = head.partition(b"\r\n")[0].decode()
            self.asked.append(line)
            if self._refuse:
                client.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")
                return
            host, _, port = line.split()[1].rpartition(":")
            with socket.create_connection((host, int(port)), 60.0) as server:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_copy, args=(server, client), daemon=True)
                back.start()
                _copy(client, server)
                back.join(60.0)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def http_proxy(*, refuse: bool = False) -> Iterator[HttpProxy]:
    """A proxy while the block runs."""
    proxy = HttpProxy(refuse=refuse)
    try:
        yield proxy
    finally:
        proxy.close()
