"""The daemon's threads: their end is waited for, but not for longer than there is time."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.daemon.threads import Threads
from rainbow_agent.runtime.stop import Stop


def test_a_thread_that_does_not_end_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    """It is named, and the others are still waited for."""
    release, stop = threading.Event(), Stop(0.2)
    threads = Threads(stop)

    def stuck() -> None:
        release.wait()

    threads.start("stuck", stuck)
    threads.start("good", lambda: None)
    stop.set("enough")
    with caplog.at_level(logging.ERROR):
        threads.join()
    assert [record.getMessage() for record in caplog.records] == ["The stuck thread did not end"]
    assert threads.alive()
    release.set()
    threads.join()


def test_a_thread_that_dies_stops_the_daemon(caplog: pytest.LogCaptureFixture) -> None:
    """With what it died of."""

    def bug() -> None:
        raise RuntimeError("a bug")

    stop = Stop()
    threads = Threads(stop)
    threads.start("journal", bug)
    assert stop.wait(120)
    threads.join()
    assert (stop.exit_code, stop.reason) == (1, "the journal thread died: a bug")
    assert "Traceback" in caplog.text


def test_a_thread_that_cannot_be_started_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the limits that may be the reason; there is nothing to wait for at the end."""

    def no_room(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_room)
    threads = Threads(Stop())
    with pytest.raises(RainbowAgentError, match=r"reporter thread cannot be started.*ulimit -v"):
        threads.start("reporter", lambda: None)
    threads.join()


def test_a_thread_has_its_name_in_the_kernel_too() -> None:
    """`top -H` and profilers show it."""
    names: list[str] = []
    threads = Threads(Stop())
    threads.start("reporter", lambda: names.append(Path("/proc/thread-self/comm").read_text()))
    threads.join()
    assert names == ["reporter\n"]
