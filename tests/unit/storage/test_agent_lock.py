"""The lock of the state folder: one agent at a time, freed however the agent ended."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rainbow_agent.core.errors import Fatal, RainbowAgentError, UsageError
from rainbow_agent.storage import runtime_file
from rainbow_agent.storage.agent_lock import (
    Holder,
    Lock,
    last_run,
    read_holder,
    running,
    who_holds,
)

ME = Holder(os.getpid(), 1715940000.5)

#: Takes the lock of the folder in argv[1], says so, and keeps it.
_HOLDS = """
import sys, os, threading
from pathlib import Path
from rainbow_agent.storage.agent_lock import Holder, Lock
lock = Lock.take(Path(sys.argv[1]), Holder(os.getpid(), 1.0))
print("held", flush=True)
threading.Event().wait(60)
"""


def test_one_agent_at_a_time(tmp_path: Path) -> None:
    """The second gets an error with who holds it, that it is no use to restart, and what to do."""
    lock = Lock.take(tmp_path, ME)
    try:
        with pytest.raises(Fatal, match=rf"pid {os.getpid()}.*RAINBOW_STATE_DIR") as caught:
            Lock.take(tmp_path, Holder(1, 1.0))
        assert caught.value.exit_code == 42
        assert running(tmp_path) == ME, "the loser has not written over the holder's name"
    finally:
        lock.release()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_without_locks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Two agents could run there; `status` says that none does."""

    def refuse(*_: object) -> bytes:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.fcntl", refuse)
    with pytest.raises(UsageError, match=r"must have locks.*RAINBOW_STATE_DIR") as caught:
        Lock.take(tmp_path, ME)
    assert os.strerror(number) in str(caught.value)
    assert running(tmp_path) is None


def test_a_lock_file_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is no reason to stay down: another start may find space."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(RainbowAgentError, match="No space left") as caught:
        Lock.take(tmp_path, ME)
    assert caught.value.exit_code == 1


def test_a_released_lock_can_be_taken(tmp_path: Path) -> None:
    """The file stays, with the last holder; no daemon runs."""
    Lock.take(tmp_path, ME).release()
    assert running(tmp_path) is None
    assert read_holder(tmp_path) == ME
    later = Holder(os.getpid(), 9.0)
    lock = Lock.take(tmp_path, later)
    assert running(tmp_path) == later
    lock.release()


def test_a_verb_that_holds_the_lock_is_not_a_run_of_the_daemon(tmp_path: Path) -> None:
    """While it does, no daemon runs; the daemon before it stays the last run, verb after verb."""
    Lock.take(tmp_path, Holder(7, 1715940000.123456)).release()
    for verb in ("register", "deregister"):
        lock = Lock.take(tmp_path, Holder(4194304, 1715940001.123456, verb))
        assert running(tmp_path) is None
        assert last_run(tmp_path) == Holder(7, 1715940000.123456)
        with pytest.raises(RainbowAgentError, match=f"`rainbow-agent {verb}`") as caught:
            Lock.take(tmp_path, ME)
        assert caught.value.exit_code == 1  # it is over in a moment: not for a human
        lock.release()
        assert last_run(tmp_path) == Holder(7, 1715940000.123456)
    Lock.take(tmp_path, ME).release()
    assert last_run(tmp_path) == ME


def test_where_only_verbs_had_the_lock_no_daemon_has_run(tmp_path: Path) -> None:
    """None is made up from the verb."""
    Lock.take(tmp_path, Holder(7, 1.0, "register")).release()
    assert last_run(tmp_path) is None


def test_a_lock_that_outlives_its_agent_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    """What an agent was about to start when it was killed has its files until it is loaded."""
    lock = Lock.take(tmp_path, ME)
    left = os.dup(lock._fd)  # the same open file, as in a process that was forked
    lock.release()
    assert running(tmp_path) == ME
    timer = threading.Timer(0.3, os.close, [left])
    timer.start()
    Lock.take(tmp_path, Holder(7, 1.0)).release()
    timer.join()
    assert read_holder(tmp_path) == Holder(7, 1.0)


def test_a_lock_is_waited_for_as_long_as_asked(tmp_path: Path) -> None:
    """Who waits hears for how long it has; saying no, or the end of the time, ends it."""
    lock = Lock.take(tmp_path, ME)
    heard: list[float] = []

    def pause(waited: float) -> bool:
        heard.append(waited)
        return len(heard) < 3

    with pytest.raises(Fatal, match="after 1000 s"):
        Lock.take(tmp_path, ME, wait=1000.0, pause=pause)
    assert len(heard) == 3
    assert heard == sorted(heard)
    with pytest.raises(Fatal):
        Lock.take(tmp_path, ME, wait=-1.0, pause=pause)
    assert len(heard) == 3

    def release(_waited: float) -> bool:
        lock.release()
        return True

    Lock.take(tmp_path, Holder(7, 1.0), wait=1000.0, pause=release).release()
    assert read_holder(tmp_path) == Holder(7, 1.0)


#: As long as a host's name can be, and one that JSON makes longer.
@pytest.mark.parametrize("host", ["blue-0", "h" * 64, "\u00fc" * 64])
@pytest.mark.parametrize("verb", ["", "deregister"])
def test_the_host_stands_in_it_as_far_as_there_is_space(
    tmp_path: Path, host: str, verb: str
) -> None:
    """The file keeps its length: a version that knows no hosts writes over all of it."""
    Lock.take(tmp_path, Holder(4194304, 1715940000.123456)).release()
    Lock.take(tmp_path, Holder(4194304, 1715940001.123456, verb, host)).release()
    found = read_holder(tmp_path)
    assert found is not None
    assert host.startswith(found.host)
    assert found == Holder(4194304, 1715940001.123456, verb, found.host)
    assert (tmp_path / "agent.lock").stat().st_size == 128
    assert host.isascii() is False or verb or found.host == host


def test_whose_it_is_in_words(tmp_path: Path) -> None:
    """Pid, host, since when; the last heartbeat, if it is of this run and not of one before."""
    lock = Lock.take(tmp_path, Holder(78, 1715940000.5, host="blue-0"))
    words = "pid 78 on blue-0, since 2024-05-17T10:00:00.500Z"
    assert who_holds(tmp_path) == words
    runtime_file.write_runtime(tmp_path, {"run": 1.0, "heartbeat": 1715940000.0})
    assert who_holds(tmp_path) == words
    runtime_file.write_runtime(tmp_path, {"run": 1715940000.5, "heartbeat": 1715940000.0})
    assert re.fullmatch(rf"{words}, last heartbeat \d+ s ago", who_holds(tmp_path))
    lock.release()
    Lock.take(tmp_path, Holder(79, 1715940000.5, "register", "blue-0")).release()
    assert who_holds(tmp_path).startswith("`rainbow-agent register`, pid 79 on blue-0, since")


def test_asking_does_not_take_it(tmp_path: Path) -> None:
    """A `status` at the wrong moment cannot keep an agent from starting, nor end its lock."""
    lock = Lock.take(tmp_path, ME)
    for _ in range(3):
        assert running(tmp_path) == ME
    with pytest.raises(Fatal):
        Lock.take(tmp_path, ME)
    lock.release()


def test_a_shorter_name_leaves_nothing_of_the_longer(tmp_path: Path) -> None:
    """The file is cut before it is written."""
    Lock.take(tmp_path, Holder(4194304, 1715940000.123456)).release()
    Lock.take(tmp_path, Holder(7, 1.0)).release()
    assert read_holder(tmp_path) == Holder(7, 1.0)


def test_the_kernel_frees_the_lock_of_a_killed_agent(tmp_path: Path) -> None:
    """SIGKILL leaves no lock behind; while it lives others see its pid."""
    command = [sys.executable, "-c", _HOLDS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            assert running(tmp_path) == Holder(process.pid, 1.0)
            with pytest.raises(Fatal, match=f"pid {process.pid}"):
                Lock.take(tmp_path, ME)
        finally:
            process.send_signal(signal.SIGKILL)
    assert running(tmp_path) is None
    Lock.take(tmp_path, ME).release()


def test_a_child_does_not_inherit_the_lock(tmp_path: Path) -> None:
    """A task that the local workload manager starts must not keep a dead agent's lock."""
    lock = Lock.take(tmp_path, ME)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        lock.release()
        assert running(tmp_path) is None
        child.communicate(b"\n")


def test_nobody_ran_here(tmp_path: Path) -> None:
    """No lock file, and even no folder: no daemon runs or ran."""
    for folder in (tmp_path, tmp_path / "not-there"):
        assert (running(folder), read_holder(folder)) == (None, None)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"pid": "x", "since": 1}', '{"pid": 1}'])
def test_a_damaged_lock_file_names_nobody(tmp_path: Path, text: str) -> None:
    """What stands there is for people; the lock itself is the kernel's."""
    (tmp_path / "agent.lock").write_text(text)
    assert read_holder(tmp_path) is None
    assert running(tmp_path) is None
