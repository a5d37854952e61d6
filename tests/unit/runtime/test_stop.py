"""The stop: asked for once, heard everywhere, and at the second signal at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from rainbow_agent.runtime.stop import FINISH_SHARE, Deadline, Stop, stop_on_signals
from support.common import eventually

#: Says that it is ready, waits for the stop, says why, then hangs on as if it were draining.
_DRAINING = """
import threading
from rainbow_agent.runtime.stop import stop_on_signals
with stop_on_signals() as stop:
    event = stop.wake_event()
    print("ready", flush=True)
    event.wait()
    print(stop.reason, flush=True)
    threading.Event().wait(60)
"""
#: The signal comes while the main thread is inside Event.wait(), which holds the event's lock.
_INSIDE_A_WAIT = """
import os, signal
from rainbow_agent.runtime.stop import stop_on_signals
with stop_on_signals() as stop:
    event = stop.wake_event()
    with event._cond:
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):
            pass
    stop.wait()
    print(stop.reason, flush=True)
"""
#: The main thread hangs in C code, as in a call to a broker that does not answer: no handler in
#: Python would run there. sem_wait(3) begins again after a signal whose handler says SA_RESTART.
_DEAF = """
import ctypes, sys
from rainbow_agent.runtime.stop import stop_on_signals
libc = ctypes.CDLL(None)
sem = (ctypes.c_byte * 64)()
libc.sem_init(ctypes.byref(sem), 0, 0)
with stop_on_signals(float(sys.argv[1])):
    print("ready", flush=True)
    while True:
        libc.sem_wait(ctypes.byref(sem))
"""


@contextmanager
def child(program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that is gone at the end, whatever happens."""
    command = [sys.executable, "-c", program, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with process:
        try:
            yield process
        finally:
            process.kill()


def says(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_first_reason_and_code_are_kept() -> None:
    """Why the program stops is what stopped it, not what came after."""
    stop = Stop()
    assert (stop.is_set(), stop.wait(0)) == (False, False)
    stop.set("signal SIGTERM")
    stop.set("the main loop ended", 1)
    assert (stop.reason, stop.exit_code) == ("signal SIGTERM", 0)
    assert stop.is_set()
    assert stop.wait(0)


def test_every_bell_rings() -> None:
    """All who wait on a event of their own wake up; one made later rings from the start."""
    stop = Stop()
    events = [stop.wake_event() for _ in range(3)]
    stop.set("enough")
    assert all(event.is_set() for event in [*events, stop.wake_event()])


def test_a_bell_wakes_one_waiter_without_a_stop() -> None:
    """Others may set an event; that is not a stop."""
    stop = Stop()
    first, second = stop.wake_event(), stop.wake_event()
    first.set()
    assert (first.is_set(), second.is_set(), stop.is_set()) == (True, False, False)


@pytest.mark.parametrize("wait", [lambda stop: stop.wait, lambda stop: stop.wake_event().wait])
def test_a_stop_ends_a_wait_in_another_thread(
    wait: Callable[[Stop], Callable[[float], bool]],
) -> None:
    """A thread that waits for a minute is awake at once."""
    stop = Stop()
    heard = threading.Event()
    function = wait(stop)

    def waiter() -> None:
        if function(60.0):
            heard.set()

    thread = threading.Thread(target=waiter)
    thread.start()
    stop.set("enough")
    thread.join(120)
    assert heard.is_set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sets_the_stop(number: signal.Signals) -> None:
    """Kubernetes's SIGTERM and a person's Ctrl-C do the same, and the reason says which."""
    with stop_on_signals() as stop:
        os.kill(os.getpid(), number)
        eventually(stop.is_set, "the signal was heard")
        assert (stop.reason, stop.exit_code) == (f"signal {number.name}", 0)


def test_handlers_are_put_back() -> None:
    """What was there before is there again."""
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with stop_on_signals():
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_the_second_signal_leaves_at_once(second: signal.Signals) -> None:
    """The first asks and lets the program drain; the second does not wait for that."""
    with child(_DRAINING) as process:
        assert says(process) == "ready"
        process.send_signal(signal.SIGTERM)
        assert says(process) == "signal SIGTERM"
        assert process.poll() is None
        process.send_signal(second)
        assert process.wait(120) == 128 + second


def test_a_signal_in_the_middle_of_a_wait_is_heard() -> None:
    """Wherever in Event.wait() the main thread is, the signal stops it and nothing hangs.

    A lock of the threading module must not be taken in a signal handler: the main thread may hold
    it (docs.python.org/3/library/signal.html, "Signals and threads").
    """
    with child(_INSIDE_A_WAIT) as process:
        try:
            answer, _ = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            answer = "it hangs"
    assert answer.strip() == "signal SIGTERM"


def test_a_program_that_hangs_in_c_hears_signals() -> None:
    """Where no Python code runs in the main thread, a second signal still ends it."""
    with child(_DEAF, "300") as process:
        assert says(process) == "ready"

        def signaled_again() -> bool:
            process.send_signal(signal.SIGTERM)
            return process.poll() is not None

        eventually(signaled_again, "it left")
        assert process.wait(120) == 128 + signal.SIGTERM


def test_what_outlasts_the_grace_time_is_ended() -> None:
    """The program leaves by itself, says why, and not with 0."""
    with child(_DEAF, "0.3") as process:
        assert says(process) == "ready"
        process.send_signal(signal.SIGTERM)
        words, _ = process.communicate(timeout=120)
        assert process.returncode == 1
        assert "longer than RAINBOW_GRACE (0.3 s)" in words


def test_the_grace_time_is_shared() -> None:
    """Before a stop there is no end; after it each part has its share of the time."""
    stop = Stop(grace=100.0)
    assert stop.left() == stop.left(FINISH_SHARE) == float("inf")
    stop.set("enough")
    assert 40.0 < stop.left(FINISH_SHARE) <= 50.0 < stop.left() <= 100.0


def test_a_stop_shortens_a_wait() -> None:
    """A minute becomes seconds, and never more than a part of what is left."""
    stop = Stop(grace=5.0)
    deadline = Deadline(60.0, stop)
    assert 50.0 < deadline.left() <= 60.0
    assert deadline.poll_interval() == Deadline.POLL_INTERVAL_S
    stop.set("enough")
    assert 0.0 < deadline.left() <= 1.5
    assert deadline.cut
    assert Deadline(0.0, stop).left() <= 0.0, "and never longer than was wanted"
    assert Deadline(0.0, None).poll_interval() == 0.0
