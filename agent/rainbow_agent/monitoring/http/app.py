"""The routes, as a WSGI application (PEP 3333). Everything can only be read.

Anyone who reaches the address may read, without a login. So a request has to mean this server: one
that a browser was tricked into sending (a name that suddenly points to the loopback interface, DNS
rebinding) has somebody else's name in its Host header, and is turned away.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs

from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.monitoring.http.messages import (
    HEADERS,
    BadRequestError,
    ForbiddenError,
    HttpRequest,
    NotFoundError,
    Response,
    as_json,
    as_text,
)
from rainbow_agent.monitoring.http.peer import Peer
from rainbow_agent.runtime.counters import Counter

log = logging.getLogger(__name__)

#: Characters of a path and its query.
_MAX_ADDRESS_LENGTH: Final = 2000
_LOCAL_NAMES: Final = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})

Route = Callable[[HttpRequest, tuple[str, ...]], Response]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class App:
    """Answers requests.

    Args:
        routes: by path; `*` stands for one part of it, which the route is given.
        local: whether only this machine can ask: then the Host header has to be this machine's.
        counts: counts answers by route and code.
    """

    def __init__(self, routes: Mapping[str, Route], *, local: bool, counts: Counter) -> None:
        self._routes = [(tuple(path.split("/")), path, route) for path, route in routes.items()]
        self._local = local
        self._counts = counts

    def __call__(self, environ: Mapping[str, Any], start: StartResponse) -> Iterable[bytes]:
        """WSGI's side."""
        method = str(environ.get("REQUEST_METHOD", ""))
        name, answer = self._answer(method, environ)
        self._counts.add(name, str(answer.status))
        status = HTTPStatus(answer.status)
        headers = [
            *HEADERS,
            ("Content-Security-Policy", answer.policy),
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
        ]
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            headers.append(("Allow", "GET, HEAD"))
        start(f"{status.value} {status.phrase}", headers)
        return [] if method == "HEAD" else [answer.body]

    def _answer(self, method: str, environ: Mapping[str, Any]) -> tuple[str, Response]:
        """The route's name, for counting, and its answer."""
        if method not in ("GET", "HEAD"):
            return "other", as_text("this server can only be read: GET or HEAD\n", 405)
        if self._local and not is_local(str(environ.get("HTTP_HOST", ""))):
            return "other", as_text("this address is served for this machine alone\n", 421)
        query = str(environ.get("QUERY_STRING", ""))
        path = str(environ.get("PATH_INFO", "")) or "/"
        if len(query) + len(path) > _MAX_ADDRESS_LENGTH:
            return "other", as_text("the address is too long\n", 414)
        for parts, name, route in self._routes:
            taken = _match(parts, path)
            if taken is not None:
                return name, _call(route, _asked(path, query, environ), taken)
        return "other", as_text("nothing is here; / has the page\n", 404)


def _asked(path: str, query: str, environ: Mapping[str, Any]) -> HttpRequest:
    def number(name: str) -> int:
        text = str(environ.get(name, ""))
        return int(text) if text.isascii() and text.isdigit() else 0

    return HttpRequest(
        path,
        parse_qs(query),
        accept=str(environ.get("HTTP_ACCEPT", "")),
        host=str(environ.get("HTTP_HOST", "")),
        peer=Peer(
            str(environ.get("REMOTE_ADDR", "")), number("REMOTE_PORT"), number("SERVER_PORT")
        ),
    )


def _call(route: Route, request: HttpRequest, taken: tuple[str, ...]) -> Response:
    try:
        return route(request, taken)
    except NotFoundError as exc:
        return as_json({"error": str(exc)}, 404)
    except ForbiddenError as exc:
        return as_json({"error": str(exc)}, 403)
    except BadRequestError as exc:
        return as_json({"error": str(exc)}, 400)
    except RainbowAgentError as exc:
        return as_json({"error": str(exc)}, 503)
    except Exception:
        log.exception("An answer to %s failed", request.path, extra={"action": "http_failed"})
        return as_json({"error": "a mistake of the agent's own; its log has more"}, 500)


def _match(parts: tuple[str, ...], path: str) -> tuple[str, ...] | None:
    """What stands for each `*`; None when the path is another."""
    found = path.split("/")
    if len(found) != len(parts):
        return None
    if any(part not in ("*", there) for part, there in zip(parts, found, strict=True)):
        return None
    return tuple(there for part, there in zip(parts, found, strict=True) if part == "*")


def is_local(host: str) -> bool:
    """Whether a Host header (RFC 9110, 7.2) means the loopback interface; none at all does."""
    name, port = host, ""
    if ":" in host and not host.endswith("]"):
        name, _, port = host.rpartition(":")
    if port and not (port.isascii() and port.isdigit()):
        return False
    name = name.strip("[]").rstrip(".").lower()
    if not name or name in _LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
