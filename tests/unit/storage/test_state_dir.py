"""The state folder: private, one agent at a time, readable whatever happened to the agent."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rainbow_agent.core.errors import Fatal, RainbowAgentError, UsageError
from rainbow_agent.core.model import Drain
from rainbow_agent.storage.state_dir import (
    Holder,
    Lock,
    clear_drain,
    last_run,
    prepare,
    read_drain,
    read_holder,
    read_runtime,
    running,
    write_drain,
    write_runtime,
)

ME = Holder(os.getpid(), 1715940000.5)

#: Takes the lock of the folder in argv[1], says so, and keeps it.
_HOLDS = """
import sys, os, threading
from pathlib import Path
from rainbow_agent.storage.state_dir import Holder, Lock
lock = Lock.take(Path(sys.argv[1]), Holder(os.getpid(), 1.0))
print("held", flush=True)
threading.Event().wait(60)
"""


def test_a_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """Mode 0700, with its parents; making it again changes nothing."""
    folder = tmp_path / "a" / "b"
    prepare(folder)
    prepare(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_file_in_the_place_of_the_folder_is_called_that(tmp_path: Path) -> None:
    """Not only that something exists."""
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UsageError, match=f"{file} is not a folder"):
        prepare(file)


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    """Who can write there can put a ledger of their own in its place; the message has the cure."""
    tmp_path.chmod(mode)
    with pytest.raises(UsageError, match="chmod go-rwx"):
        prepare(tmp_path)
    tmp_path.chmod(0o700)


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755])
def test_what_others_can_read_is_closed(
    tmp_path: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The folder and the files in it are for their owner alone from then on, with a warning."""
    tmp_path.chmod(mode)
    file = tmp_path / "rainbow-config.yaml"
    file.touch()
    file.chmod(0o644)
    prepare(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    named = [r.getMessage() for r in caplog.records if "could be read" in r.getMessage()]
    assert len(named) == (1 if mode == 0o700 else 2)
    caplog.clear()
    prepare(tmp_path)
    assert caplog.records == []


@pytest.mark.parametrize("name", ["ledger.sqlite", "rainbow-config.yaml", "runtime.json"])
def test_a_file_that_others_can_write_is_refused(tmp_path: Path, name: str) -> None:
    """It may hold anything by now; the message names it."""
    (tmp_path / name).touch()
    (tmp_path / name).chmod(0o660)
    with pytest.raises(UsageError, match=name):
        prepare(tmp_path)


def test_a_folder_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner could change the ledger under us."""
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    if tmp_path.stat().st_uid == 0:
        os.chown(tmp_path, 12345, -1)
    with pytest.raises(UsageError, match="belongs to another user"):
        prepare(tmp_path)


def test_a_link_to_a_folder_is_looked_through(tmp_path: Path) -> None:
    """What counts is the folder that the link leads to."""
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir(mode=0o700)
    link.symlink_to(folder)
    prepare(link)
    folder.chmod(0o770)
    with pytest.raises(UsageError, match="written by others"):
        prepare(link)


def test_a_parent_that_others_can_write_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They could replace the folder as a whole; a sticky parent, as /tmp is, keeps them off."""
    folder = tmp_path / "state"
    tmp_path.chmod(0o1777)
    prepare(folder)
    assert caplog.records == []
    tmp_path.chmod(0o777)
    prepare(folder)
    tmp_path.chmod(0o700)
    assert "replace the state folder" in caplog.text


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """The message names it and the setting."""
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(UsageError, match=r"file.*RAINBOW_STATE_DIR"):
        prepare(path)
    with pytest.raises(UsageError, match="RAINBOW_STATE_DIR"):
        prepare(path / "below")


def test_a_folder_that_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found at the start, not when the first job comes (root may write anywhere: asked of os)."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UsageError, match="not writable"):
        prepare(tmp_path)


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
    """No lock file, and even no folder: no daemon runs or ran, nothing was said."""
    for folder in (tmp_path, tmp_path / "not-there"):
        assert (running(folder), read_holder(folder), read_runtime(folder)) == (None, None, {})


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"pid": "x", "since": 1}', '{"pid": 1}'])
def test_a_damaged_lock_file_names_nobody(tmp_path: Path, text: str) -> None:
    """What stands there is for people; the lock itself is the kernel's."""
    (tmp_path / "agent.lock").write_text(text)
    assert read_holder(tmp_path) is None
    assert running(tmp_path) is None


def test_the_running_agents_word_is_kept_for_its_owner(tmp_path: Path) -> None:
    """Written whole or not at all, mode 0600, and read back."""
    write_runtime(tmp_path, {"heartbeat": 1.5})
    write_runtime(tmp_path, {"heartbeat": 2.5, "rainbow": {"reachable": None}})
    assert read_runtime(tmp_path) == {"heartbeat": 2.5, "rainbow": {"reachable": None}}
    assert stat.S_IMODE((tmp_path / "runtime.json").stat().st_mode) == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == ["runtime.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"null"])
def test_a_damaged_runtime_file_says_nothing(tmp_path: Path, content: bytes) -> None:
    """`status` still works."""
    (tmp_path / "runtime.json").write_bytes(content)
    assert read_runtime(tmp_path) == {}


def test_a_write_that_fails_leaves_the_last_word(tmp_path: Path) -> None:
    """What cannot be JSON does not replace what was."""
    write_runtime(tmp_path, {"heartbeat": 1.5})
    with pytest.raises(TypeError):
        write_runtime(tmp_path, {"heartbeat": object()})
    assert read_runtime(tmp_path) == {"heartbeat": 1.5}


def test_the_wish_to_drain_is_kept(tmp_path: Path) -> None:
    """Written, read back, replaced, mode 0600, taken back once."""
    assert read_drain(tmp_path) is None
    assert read_drain(tmp_path / "not-there") is None
    write_drain(tmp_path, Drain(1.5, "why"))
    write_drain(tmp_path, Drain(2.5))
    assert read_drain(tmp_path) == Drain(2.5)
    assert stat.S_IMODE((tmp_path / "drain.json").stat().st_mode) == 0o600
    assert [clear_drain(tmp_path), clear_drain(tmp_path)] == [True, False]
    assert read_drain(tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"null", b'{"since": "x"}'])
def test_a_damaged_wish_is_a_wish(tmp_path: Path, content: bytes) -> None:
    """Somebody asked for it: no jobs are taken, and the reason names the file and the way out."""
    (tmp_path / "drain.json").write_bytes(content)
    drain = read_drain(tmp_path)
    assert drain is not None
    assert "drain.json" in drain.reason
    assert "resume" in drain.reason
