"""sd_notify(3): what is sent, to whom, and that a missing listener is not an error."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from rainbow_agent.daemon import systemd
from rainbow_agent.daemon.systemd import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The service manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        yield sock


def heard(manager: socket.socket) -> list[str]:
    """All messages that have come."""
    messages = []
    while True:
        try:
            messages.append(manager.recv(4096).decode())
        except BlockingIOError:
            return messages


def test_each_message_is_systemds(manager: socket.socket) -> None:
    """Ready, alive, stopping and the status line are sent in sd_notify's words."""
    notifier = Notifier(str(manager.getsockname()))
    notifier.ready()
    notifier.alive()
    notifier.status("cluster blue")
    notifier.stopping()
    assert heard(manager) == ["READY=1", "WATCHDOG=1", "STATUS=cluster blue", "STOPPING=1"]


def test_the_same_status_is_sent_once(manager: socket.socket) -> None:
    """Each second's same line is no news."""
    notifier = Notifier(str(manager.getsockname()))
    for text in ("a", "a", "b", "a"):
        notifier.status(text)
    assert heard(manager) == ["STATUS=a", "STATUS=b", "STATUS=a"]


def test_the_abstract_namespace() -> None:
    """An address that begins with `@` is no file."""
    name = f"rainbow-agent-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name)
        Notifier("@" + name).ready()
        assert sock.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "/nowhere/at/all"])
def test_nobody_listens(address: str) -> None:
    """Without a service manager, or with one that is gone, nothing happens."""
    notifier = Notifier(address)
    notifier.ready()
    notifier.status("x")
    assert notifier.heard == bool(address)


def test_a_full_queue_blocks_nobody(manager: socket.socket) -> None:
    """A manager that does not read loses messages; the loop that sends continues."""
    notifier = Notifier(str(manager.getsockname()))
    for _ in range(5000):
        notifier.alive()
    assert heard(manager)


@pytest.mark.parametrize(
    ("more", "seconds"),
    [
        ({"WATCHDOG_USEC": "20000000"}, 20.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "7"}, 0.5),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_when_there_is_a_watchdog(more: dict[str, str], seconds: float | None) -> None:
    """Systemd's two variables say it; one that is for another process is not ours."""
    environ = {"NOTIFY_SOCKET": "/run/notify", **more}
    assert Notifier.from_environ(environ, 7).watchdog_seconds == seconds
    assert Notifier.from_environ(more, 7).watchdog_seconds is None, "not for this process"


def test_children_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job must not be able to speak for the service."""
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    assert systemd.take_from(os.environ).watchdog_seconds == 1.0
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC"} & set(os.environ)
