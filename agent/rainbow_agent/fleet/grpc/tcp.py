"""A plain TCP connection to rainbow, through the proxy where there is one: to find faults with."""

from __future__ import annotations

import socket
from typing import Final

from rainbow_agent.runtime import addresses

#: Bytes of a proxy's answer that are read; its first line says it all.
_MAX_ANSWER_BYTES: Final = 16 * 1024


def open_socket(host: str, proxy: str, timeout: float) -> socket.socket:
    """A connection; the caller closes it.

    Args:
        host: host:port of the server.
        proxy: host:port of an HTTP proxy; "" for none.
        timeout: seconds for each step.

    Raises:
        OSError: it cannot be made; a proxy that refuses is a ConnectionError with its words.
    """
    first = addresses.to_connect(proxy or host)
    connection = socket.create_connection((first.host, first.port), timeout)
    if proxy:
        try:
            _ask_proxy(connection, host, proxy)
        except BaseException:
            connection.close()
            raise
    return connection


def _ask_proxy(connection: socket.socket, host: str, proxy: str) -> None:
    connection.sendall(f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer and len(answer) < _MAX_ANSWER_BYTES:
        # One byte at a time: what follows the empty line is the server's.
        piece = connection.recv(1)
        if not piece:
            break
        answer += piece
    status = answer.partition(b"\r\n")[0].decode("ascii", "replace")
    if status[9:10] != "2":
        raise ConnectionError(f"the proxy {proxy} refuses to connect to {host}: {status[:80]!r}")
