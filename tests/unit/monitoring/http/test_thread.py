"""The thread that serves: real sockets on loopback, an address that is taken, a stop."""

from __future__ import annotations

import http.client
import logging
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from rainbow_agent.monitoring.http.answers import as_text
from rainbow_agent.monitoring.http.app import App
from rainbow_agent.monitoring.http.server import LARGEST_HEADER, HttpServer
from rainbow_agent.monitoring.http.thread import HttpThread
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.counters import Counter
from rainbow_agent.runtime.loops import Telemetry
from rainbow_agent.runtime.setting_types import Address
from rainbow_agent.runtime.stop import Stop
from support.common import Background, eventually


class Harness:
    """A room, and what is around it."""

    def __init__(self, port: int = 0) -> None:
        self.stop, self.telemetry = Stop(), Telemetry(SystemClock())
        self.room = HttpThread(
            address=Address("127.0.0.1", port),
            open_server=self._open,
            telemetry=self.telemetry,
            stop=self.stop,
        )
        self.thread = Background(self.room.run, "http")

    def _open(self, where: Address) -> HttpServer:
        app = App({"/": lambda *_: as_text("hello")}, local=True, counts=Counter())
        return HttpServer(where.host, where.port, app)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Its thread for the length of the block."""
        self.thread.start()
        try:
            yield
        finally:
            self.stop.set("the test is over")
            self.thread.end()

    @property
    def port(self) -> int:
        """Where it listens, once it does."""
        eventually(lambda: self.room.facts()["address"], "it listens")
        return int(str(self.room.facts()["address"]).rpartition(":")[2])

    def get(self) -> bytes:
        """Ask it."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as client:
            client.request("GET", "/")
            return client.getresponse().read()


@pytest.fixture
def harness() -> Harness:
    return Harness()


def test_it_answers_on_the_port_that_it_tells(harness: Harness) -> None:
    """Port 0 takes any that is free; the stop ends it at once, and it is waited for no more."""
    with harness.serving():
        assert harness.get() == b"hello"
        assert harness.telemetry.loop_health.ages().keys() == {"http"}
    assert harness.telemetry.loop_health.ages() == {}


def test_a_port_that_is_taken_is_had_once_it_is_free(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Meanwhile: a condition with the cause, one line in the log, and nobody dies."""
    monkeypatch.setattr("rainbow_agent.monitoring.http.thread.RETRY", 0.02)
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        harness = Harness(other.getsockname()[1])
        with caplog.at_level(logging.WARNING), harness.serving():
            eventually(harness.telemetry.conditions.current, "it is said")
            eventually(
                lambda: harness.telemetry.counters.retries.values()[("http",)] > 3, "it tries again"
            )
            (trouble,) = harness.telemetry.conditions.current()
            assert trouble.name == "http-not-served"
            assert "Address already in use" in trouble.reason
            assert harness.room.facts() == {"address": None, "problem": trouble.reason}
            other.close()
            assert harness.get() == b"hello"
            assert harness.telemetry.conditions.current() == []
    assert len([r for r in caplog.records if "nothing is served" in r.getMessage()]) == 1


def test_clients_that_say_nothing_keep_nobody_from_an_answer(harness: Harness) -> None:
    """More of them than there are threads."""
    with harness.serving():
        silent = [socket.create_connection(("127.0.0.1", harness.port)) for _ in range(20)]
        for number, client in enumerate(silent):
            client.sendall(b"GET / HTTP/1.1\r\nHost: x"[: number + 1])
        assert harness.get() == b"hello"
        for client in silent:
            client.close()
        assert harness.get() == b"hello"


def test_a_header_without_end_is_refused(harness: Harness) -> None:
    """Memory is not for whoever sends most."""
    with (
        harness.serving(),
        socket.create_connection(("127.0.0.1", harness.port), timeout=10) as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * (2 * LARGEST_HEADER) + b"\r\n\r\n")
        assert b" 431 " in client.recv(1000)


def test_what_is_no_http_is_refused_and_harms_nobody(harness: Harness) -> None:
    """A probe of another protocol, or nonsense."""
    with harness.serving():
        for nonsense in (
            b"\x16\x03\x01\x00\xa5\x01\x00",
            b"\r\n\r\n",
            b"GET\r\n\r\n",
            b"\x00" * 500,
        ):
            with socket.create_connection(("127.0.0.1", harness.port), timeout=10) as client:
                client.sendall(nonsense)
        assert harness.get() == b"hello"


def test_a_server_that_is_closed_is_not_woken(harness: Harness) -> None:
    """The number of its pipe may belong to another file by then."""
    server = HttpServer("127.0.0.1", 0, App({}, local=True, counts=Counter()))
    server.wake()
    server.close()
    server.wake()
