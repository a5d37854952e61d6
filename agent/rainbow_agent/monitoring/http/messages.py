"""HTTP requests and responses as values, between the routes and WSGI."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rainbow_agent.monitoring.http.peer import UNKNOWN_PEER, Peer

#: Nothing from elsewhere, no frames, no forms; data only from here. The page adds the digests of
#: its own style and script.
POLICY: Final = (
    "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
#: On every answer.
HEADERS: Final = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
)


@dataclass(frozen=True)
class HttpRequest:
    """What a client asks for."""

    path: str
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    accept: str = ""
    host: str = ""  # the Host header
    peer: Peer = UNKNOWN_PEER

    def first(self, name: str, default: str = "") -> str:
        """The first value of a parameter."""
        return next(iter(self.query.get(name, ())), default)

    @property
    def wants_json(self) -> bool:
        """Whether a program asks, where there is text for people as well."""
        return self.first("format") == "json" or "application/json" in self.accept


@dataclass(frozen=True)
class Response:
    """What it gets."""

    status: int
    content_type: str
    body: bytes
    policy: str = POLICY


class NotFoundError(Exception):
    """There is nothing at this place; the message says what."""


class ForbiddenError(Exception):
    """This is not for who asks; the message says who may."""


class BadRequestError(Exception):
    """The request cannot be understood; the message says why."""


def as_json(value: Any, status: int = 200) -> Response:
    """JSON, ASCII only."""
    return Response(status, "application/json", json.dumps(value).encode() + b"\n")


def as_text(text: str, status: int = 200) -> Response:
    """Plain text."""
    return Response(status, "text/plain; charset=utf-8", text.encode("utf-8", "backslashreplace"))
