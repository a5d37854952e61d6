"""The thread that serves: real sockets on loopback, an address that is taken, a stop."""

from __future__ import annotations

import http.client
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from rainbow_agent.monitoring.http import connections
from rainbow_agent.monitoring.http.app import App
from rainbow_agent.monitoring.http.connections import MAX_CONNECTIONS
from rainbow_agent.monitoring.http.messages import Response, as_text
from rainbow_agent.monitoring.http.server import MAX_HEADER_BYTES, HttpServer
from rainbow_agent.monitoring.http.thread import HttpThread
from rainbow_agent.runtime.addresses import Address
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.counters import Counter
from rainbow_agent.runtime.loops import Telemetry
from rainbow_agent.runtime.stop import Stop
from support.common import Background, eventually


class Harness:
    """A thread that serves, and what is around it."""

    def __init__(self, port: int = 0) -> None:
        self.stop, self.telemetry = Stop(), Telemetry(SystemClock())
        self.http = HttpThread(
            address=Address("127.0.0.1", port),
            open_server=self._open,
            telemetry=self.telemetry,
            stop=self.stop,
        )
        self.thread = Background(self.http.run, "http")
        #: How many answers are being made, and what lets them be done.
        self.making, self.made = 0, threading.Event()
        self._server: HttpServer | None = None

    def _open(self, where: Address) -> HttpServer:
        app = App(
            {
                "/": lambda *_: as_text("hello"),
                "/livez": lambda *_: as_text("alive"),
                "/slow": self._slow,
            },
            local=True,
            counts=Counter(),
        )
        self._server = HttpServer(where.host, where.port, app)
        return self._server

    def _slow(self, *_: object) -> Response:
        self.making += 1
        self.made.wait(60)
        return as_text("made")

    def connections(self) -> list[int]:
        """The file descriptors of all that are connected."""
        assert self._server is not None
        return self._server.connections()

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
        eventually(lambda: self.http.facts()["address"], "it listens")
        return int(str(self.http.facts()["address"]).rpartition(":")[2])

    def get(self, path: str = "/") -> bytes:
        """Ask it."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)) as client:
            client.request("GET", path)
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
    """Meanwhile: a condition with the cause, one line in the log, and no thread dies."""
    monkeypatch.setattr("rainbow_agent.monitoring.http.thread.RETRY_INTERVAL_S", 0.02)
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
            assert harness.http.facts() == {"address": None, "problem": trouble.reason}
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
    """A client that sends much takes no more memory."""
    with (
        harness.serving(),
        socket.create_connection(("127.0.0.1", harness.port), timeout=120) as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * (2 * MAX_HEADER_BYTES) + b"\r\n\r\n")
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
            with socket.create_connection(("127.0.0.1", harness.port), timeout=120) as client:
                client.sendall(nonsense)
        assert harness.get() == b"hello"


def test_a_server_that_is_closed_is_not_woken(harness: Harness) -> None:
    """The number of its pipe may belong to another file by then."""
    server = HttpServer("127.0.0.1", 0, App({}, local=True, counts=Counter()))
    server.wake()
    server.close()
    server.wake()


def send_slowly(port: int, count: int, over: threading.Event) -> None:
    """Hold so many connections, a byte every half second on each, and a new one for each lost."""
    clients: list[socket.socket] = []
    while not over.is_set():
        while len(clients) < count:
            client = socket.create_connection(("127.0.0.1", port), timeout=120)
            client.sendall(b"GET /livez HTTP/1.1\r\n")
            clients.append(client)
        for client in list(clients):
            try:
                client.sendall(b"X")
            except OSError:
                client.close()
                clients.remove(client)
        over.wait(0.5)
    for client in clients:
        client.close()


def test_a_probe_is_answered_while_a_hundred_slow_clients_hold_on(harness: Harness) -> None:
    """They send a byte now and then and come again when they are dropped."""
    over = threading.Event()
    with harness.serving():
        port, count = harness.port, MAX_CONNECTIONS + 20
        slow = Background(lambda: send_slowly(port, count, over), "slow")
        slow.start()
        try:
            eventually(lambda: len(harness.connections()) >= MAX_CONNECTIONS, "they hold on")
            for _ in range(20):
                assert harness.get("/livez") == b"alive"
            assert len(harness.connections()) <= MAX_CONNECTIONS
        finally:
            over.set()
            slow.end()


def test_a_probe_is_answered_while_every_page_is_being_made(harness: Harness) -> None:
    """Probes have threads of their own."""
    with harness.serving():
        clients = [
            socket.create_connection(("127.0.0.1", harness.port))
            for _ in range(connections.PAGE_THREADS + 2)
        ]
        for client in clients:
            client.sendall(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        eventually(lambda: harness.making == connections.PAGE_THREADS, "all threads are busy")
        assert harness.get("/livez") == b"alive"
        harness.made.set()
        for client in clients:
            client.close()


def test_a_request_that_takes_too_long_is_cut_off(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often its client says something; one that asks again and again is kept."""
    monkeypatch.setattr(connections, "REQUEST_LIMIT_S", 0.5)
    monkeypatch.setattr(connections, "CHECK_INTERVAL_S", 0.05)
    with (
        harness.serving(),
        closing(http.client.HTTPConnection("127.0.0.1", harness.port, timeout=120)) as steady,
        socket.create_connection(("127.0.0.1", harness.port), timeout=120) as slow,
    ):
        slow.setblocking(False)
        slow.send(b"GET /livez HTTP/1.1\r\n")

        def cut() -> bool:
            steady.request("GET", "/livez")
            steady.getresponse().read()
            try:
                slow.send(b"X")
                return slow.recv(1) == b""
            except BlockingIOError:
                return False
            except OSError:
                return True

        eventually(cut, "it is cut off")
        assert steady.sock is not None
