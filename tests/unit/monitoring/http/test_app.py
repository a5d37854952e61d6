"""The routes as a program sees them: only reading, only for who means this server."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from rainbow_agent.core.errors import LedgerDamaged
from rainbow_agent.monitoring.http.app import App, is_local
from rainbow_agent.monitoring.http.messages import (
    BadRequestError,
    HttpRequest,
    NotFoundError,
    Response,
    as_text,
)
from rainbow_agent.runtime.counters import Counter


class Client:
    """Calls an App as a WSGI server would."""

    def __init__(self, *, local: bool = True) -> None:
        self.asked: list[tuple[HttpRequest, tuple[str, ...]]] = []
        self.error: Exception | None = None
        self.counts = Counter()
        routes = {"/": self._answer, "/api/jobs/*/*": self._answer}
        self.app = App(routes, local=local, counts=self.counts)

    def _answer(self, request: HttpRequest, taken: tuple[str, ...]) -> Response:
        self.asked.append((request, taken))
        if self.error:
            raise self.error
        return as_text("hello")

    def get(
        self, path: str, method: str = "GET", host: str = "127.0.0.1:8788", **environ: str
    ) -> tuple[str, dict[str, str], bytes]:
        """Status, headers and body of an answer."""
        told: list[Any] = []
        path, _, query = path.partition("?")
        body = b"".join(
            self.app(
                {
                    "REQUEST_METHOD": method,
                    "PATH_INFO": path,
                    "QUERY_STRING": query,
                    "HTTP_HOST": host,
                    **environ,
                },
                lambda status, headers: told.extend([status, dict(headers)]),
            )
        )
        return told[0], told[1], body


def test_a_path_is_answered_by_its_route() -> None:
    """The parts that stand for something are handed on; so are the parameters."""
    client = Client()
    assert client.get("/api/jobs/abc/7?state=running&state=failed")[0] == "200 OK"
    (request, taken) = client.asked[0]
    assert taken == ("abc", "7")
    assert request.query["state"] == ["running", "failed"]
    for path in ("/api/jobs/abc", "/api/jobs/abc/7/x", "/etc/passwd", "/../x", "//"):
        assert client.get(path)[0] == "404 Not Found"
    assert client.counts.values() == {("/api/jobs/*/*", "200"): 1, ("other", "404"): 5}


def test_every_answer_forbids_what_it_does_not_need() -> None:
    """No sniffing, no frames, no caching, nothing from elsewhere."""
    _, headers, body = Client().get("/")
    assert body == b"hello"
    assert headers["Content-Length"] == "5"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "", "get"]
)
def test_nothing_but_reading_is_possible(method: str) -> None:
    """Whatever else is tried reaches no route."""
    client = Client()
    status, headers, _ = client.get("/", method)
    assert status == "405 Method Not Allowed"
    assert headers["Allow"] == "GET, HEAD"
    assert client.asked == []


def test_head_has_the_headers_alone() -> None:
    """As RFC 9110 says."""
    status, headers, body = Client().get("/", "HEAD")
    assert (status, headers["Content-Length"], body) == ("200 OK", "5", b"")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8788",
        "127.0.0.1",
        "127.3.2.1:80",
        "localhost:1",
        "LocalHost.",
        "[::1]:8788",
        "[::1]",
        "",
    ],
)
def test_the_loopback_interface_has_many_names(host: str) -> None:
    """All of them mean this machine; so does a client that is too old to say."""
    assert is_local(host)
    assert Client().get("/", host=host)[0] == "200 OK"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8788",
        "localhost.evil.example",
        "127.0.0.1.evil.example:8788",
        "10.0.0.1:8788",
        "[fe80::1]:8788",
        "0.0.0.0:8788",
        "localhost:8788@evil.example",
    ],
)
def test_a_name_that_was_bent_to_this_machine_is_turned_away(host: str) -> None:
    """DNS rebinding: a page from elsewhere must not read what only this machine may."""
    client = Client()
    assert client.get("/", host=host)[0].startswith("421")
    assert client.asked == []
    assert Client(local=False).get("/", host=host)[0] == "200 OK"


def test_an_address_can_be_too_long() -> None:
    """No address is."""
    assert Client().get("/?" + "x" * 3000)[0].startswith("414")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFoundError("no job 7"), "404 Not Found"),
        (BadRequestError("limit"), "400 Bad Request"),
        (LedgerDamaged("malformed"), "503 Service Unavailable"),
    ],
)
def test_what_goes_wrong_has_its_code_and_its_words(error: Exception, status: str) -> None:
    """As JSON."""
    client = Client()
    client.error = error
    answer, headers, body = client.get("/")
    assert answer == status
    assert headers["Content-Type"] == "application/json"
    assert str(error).encode() in body


def test_a_mistake_of_ours_is_in_the_log_and_not_in_the_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Who asks learns nothing of the inside."""
    client = Client()
    client.error = ZeroDivisionError("secret thoughts")
    with caplog.at_level(logging.ERROR):
        status, _, body = client.get("/")
    assert status == "500 Internal Server Error"
    assert b"secret thoughts" not in body
    assert "secret thoughts" in caplog.text
