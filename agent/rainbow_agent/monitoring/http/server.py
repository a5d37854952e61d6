"""HTTP on a socket, through waitress: requests in, a WSGI application's answers out.

One thread runs the loop (`turn`) and speaks with all sockets; a few others run the application.
So a client that is slow, or says nothing, keeps no thread busy (docs/decisions/0060); what it may
cost at all is in connections.py.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from waitress import create_server, wasyncore

from rainbow_agent.monitoring.http.connections import (
    MAX_CONNECTIONS,
    ConnectionLimits,
    HttpConnection,
    ThreadPools,
)

#: Seconds until a connection that does nothing is closed.
IDLE_LIMIT_S: Final = 10
#: Bytes of a request's header, and of a body, which nothing here takes.
MAX_HEADER_BYTES: Final = 16 * 1024
MAX_BODY_BYTES: Final = 1024

Application = Callable[[Mapping[str, Any], Callable[..., Any]], Iterable[bytes]]


class HttpServer:
    """A server that listens. `turn` and `close` belong to one thread.

    Args:
        host: an address of this machine, or a name of one.
        port: 0 for any that is free.
        application: answers.

    Raises:
        OSError: the address cannot be had now.
    """

    def __init__(self, host: str, port: int, application: Application) -> None:
        listening = _listen(host, port)
        self._map: dict[int, Any] = {}
        self._guard = threading.Lock()
        self._closed = False
        try:
            self._server = create_server(
                application,
                map=self._map,
                sockets=[listening],
                _dispatcher=ThreadPools(),
                # The last resort, where all connections are being answered at one time.
                connection_limit=2 * MAX_CONNECTIONS,
                channel_timeout=IDLE_LIMIT_S,
                cleanup_interval=IDLE_LIMIT_S // 2,
                max_request_header_size=MAX_HEADER_BYTES,
                max_request_body_size=MAX_BODY_BYTES,
                clear_untrusted_proxy_headers=True,
                expose_tracebacks=False,
                log_socket_errors=False,
                ident=None,
            )
        except BaseException:  # whatever it is; raised again
            listening.close()
            raise
        self._server.channel_class = HttpConnection
        self._connections = ConnectionLimits(self._server.active_channels)
        self.host, self.port = listening.getsockname()[:2]
        # It says how long its queue is, at each request of a burst.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)

    def turn(self, timeout: float) -> None:
        """Speak with the sockets that are ready; wait up to `timeout` seconds for one."""
        wasyncore.loop(timeout=timeout, use_poll=True, map=self._map, count=1)
        self._connections.enforce()

    def connections(self) -> list[int]:
        """The file descriptors of all clients that are connected; from any thread."""
        return list(self._server.active_channels)

    def wake(self) -> None:
        """End a wait in `turn`; from any thread."""
        with self._guard:
            if not self._closed:  # its pipe's number may be another file's by then
                self._server.trigger.pull_trigger()

    def close(self) -> None:
        """Close all sockets; answers that are being made are not awaited for long."""
        with self._guard:
            self._closed = True
        self._server.task_dispatcher.shutdown(timeout=1)
        wasyncore.close_all(self._map)


def _listen(host: str, port: int) -> socket.socket:
    family, kind, proto, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, proto)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError:
        listening.close()
        raise
    return listening
