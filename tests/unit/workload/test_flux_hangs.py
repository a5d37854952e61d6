"""A broker that hangs: its socket takes connections, and does not answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rainbow_agent.core.errors import WorkloadUnavailable
from rainbow_agent.runtime.stop import Deadline, Stop
from rainbow_agent.workload.flux.handle import expect_alive


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[socket.socket]:
    """Its socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind(str(tmp_path / "local"))
        sock.listen(8)
        yield sock


def uri(broker: socket.socket) -> str:
    return f"local://{broker.getsockname()}"


def test_one_that_hangs_is_given_up(broker: socket.socket) -> None:
    """After the time for an answer, instead of never."""
    with pytest.raises(WorkloadUnavailable, match="hangs"):
        expect_alive(uri(broker), Deadline(0.3, None))


def test_a_stop_ends_the_wait(broker: socket.socket) -> None:
    """A minute is not waited for when the agent is to end."""
    stop = Stop(grace=1.0)
    threading.Timer(0.2, stop.set, ("enough",)).start()
    with pytest.raises(WorkloadUnavailable, match="hangs"):
        expect_alive(uri(broker), Deadline(60.0, stop))


def test_a_full_queue_of_connections_is_one_that_hangs(tmp_path: Path) -> None:
    """It does not even take the connection."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind(str(tmp_path / "full"))
        sock.listen(0)
        clients = []
        while True:
            client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            client.setblocking(False)
            clients.append(client)
            if client.connect_ex(str(tmp_path / "full")):
                break
        try:
            with pytest.raises(WorkloadUnavailable, match="hangs"):
                expect_alive(uri(sock), Deadline(0.3, None))
        finally:
            for client in clients:
                client.close()


@pytest.mark.parametrize("answer", [b"\0", b"\1"])
def test_one_that_answers(broker: socket.socket, answer: bytes) -> None:
    """Yes or no, it is alive; what it said is for flux_open(3) to say."""

    def serve() -> None:
        connection, _ = broker.accept()
        with connection:
            connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    expect_alive(uri(broker), Deadline(20.0, None))
    thread.join()


@pytest.mark.parametrize("where", ["local:///nowhere/at/all", "ssh://host/path", "fd://7"])
def test_what_is_not_there_or_not_local_is_left_to_flux(where: str) -> None:
    """Its own words are better."""
    expect_alive(where, Deadline(20.0, None))
