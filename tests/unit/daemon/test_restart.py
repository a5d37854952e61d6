"""When the ledger breaks under a daemon: it begins anew in the same process, not too often."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from rainbow_agent.core.errors import (
    Fatal,
    LedgerBlocked,
    LedgerCorrupt,
    LedgerDamaged,
    LedgerError,
)
from rainbow_agent.daemon.restart import PAUSES_S, RestartLoop
from rainbow_agent.runtime.conditions import ConditionName, Conditions
from rainbow_agent.runtime.loops import Telemetry
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage.ledger_unwritable import cannot_write, write_again
from support.common import FakeClock

BROKEN = LedgerCorrupt("ledger /state/l: malformed")


class Runs:
    """Daemons that end as the test says, one after the other."""

    def __init__(self, *ends: Exception | int) -> None:
        self.ends = list(ends)
        self.published: list[Mapping[str, Any]] = []
        self.given: list[LedgerError | None] = []
        self.waited: list[float] = []
        self.clock = FakeClock()
        self.stop = Stop()
        self.telemetry = Telemetry(self.clock)
        self.thread_lives = False

    def run(self, monkeypatch: pytest.MonkeyPatch) -> int:
        """Until one ends that is not followed by another."""
        monkeypatch.setattr(Stop, "wait", lambda _, seconds: self.clock.advance(seconds))
        return RestartLoop(
            self._build,
            stop=self.stop,
            telemetry=self.telemetry,
            clock=self.clock,
            status=self,  # type: ignore[arg-type] # all that it needs of one
        ).run()

    def write(self, facts: Mapping[str, Any]) -> None:
        """See StatusWriter."""
        self.published.append(facts)

    def alive(self) -> bool:
        """See Threads."""
        return self.thread_lives

    def _build(self, stop: Stop, broken: LedgerError | None) -> Any:
        self.given.append(broken)
        self.waited.append(self.clock.monotonic())
        if self.ends and isinstance(self.ends[0], Fatal) and self.ends[0].args[0] == "cannot":
            raise self.ends.pop(0)  # type: ignore[misc] # it was just looked at
        runs = self

        class Daemon:
            threads = runs

            def run(self) -> int:
                end = runs.ends.pop(0)
                if isinstance(end, int):
                    return end
                stop.set(str(end), 42, end)
                return 42

        return Daemon()


def test_damage_is_given_to_the_next_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once; the exit code is that of the last."""
    runs = Runs(BROKEN, 0)
    assert runs.run(monkeypatch) == 0
    assert runs.given == [None, BROKEN]
    assert runs.waited == [runs.waited[0]] * 2


def test_the_pauses_grow_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that keeps breaking it is not worn out; ten quiet minutes begin anew."""
    runs = Runs(*[BROKEN] * 7, 0)
    assert runs.run(monkeypatch) == 0
    pauses = [after - before for before, after in zip(runs.waited, runs.waited[1:], strict=False)]
    assert pauses[: len(PAUSES_S)] == pytest.approx(PAUSES_S)
    assert pauses[len(PAUSES_S) :] == pytest.approx([60.0, 60.0])
    assert runs.published[0]["conditions"][0]["name"] == "ledger-broken"
    assert runs.telemetry.conditions.current() == []


def test_other_ends_are_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop, or an error that is none of the ledger."""
    for end, code in ((0, 0), (1, 1), (Fatal("rainbow denies"), 42)):
        runs = Runs(end)
        assert runs.run(monkeypatch) == code
        assert len(runs.given) == 1


def test_a_first_start_tells_whoever_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 42, as any start that cannot begin."""
    with pytest.raises(LedgerDamaged):
        Runs(LedgerDamaged("cannot")).run(monkeypatch)


def test_a_later_beginning_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk may be full at that moment."""
    blocked = LedgerBlocked("cannot")
    runs = Runs(BROKEN, blocked, 0)
    assert runs.run(monkeypatch) == 0
    assert runs.given == [None, BROKEN, blocked]


def test_a_thread_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the old file open: the process ends, with a code that has it started again."""
    runs = Runs(BROKEN, 0)
    runs.thread_lives = True
    assert runs.run(monkeypatch) == 1


def test_a_stop_ends_the_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """And is no error."""
    runs = Runs(BROKEN, BROKEN, BROKEN)
    monkeypatch.setattr(Runs, "write", lambda runs, _: runs.stop.set("enough"))
    assert runs.run(monkeypatch) == 0
    assert len(runs.given) == 2


class FullDisk:
    """A ledger whose notes go through after a while."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.sizes: list[int] = []

    def checkpoint(self) -> None:
        """As ports.Ledger."""

    def put_note(self, _: str, value: Any) -> None:
        """As ports.Ledger."""
        if self.refusals:
            self.refusals -= 1
            raise LedgerBlocked("database or disk is full")
        self.sizes.append(len(str(value)))


def test_it_is_written_before_anything_else_is_begun(caplog: pytest.LogCaptureFixture) -> None:
    """A good piece, since a little fits where nothing else does; said once, and cleared."""
    clock = FakeClock()
    conditions, ledger = Conditions(clock), FullDisk(1)
    assert not write_again(ledger, clock, conditions)  # type: ignore[arg-type]
    for _ in range(3):
        cannot_write(conditions, LedgerBlocked("database or disk is full"))
    assert caplog.text.count("disk is full") == 1
    with pytest.raises(LedgerBlocked):
        write_again(ledger, clock, conditions)  # type: ignore[arg-type]
    assert conditions.has(ConditionName.LEDGER_UNWRITABLE)
    assert write_again(ledger, clock, conditions)  # type: ignore[arg-type]
    assert not conditions.has(ConditionName.LEDGER_UNWRITABLE)
    assert ledger.sizes[0] > 100_000 > ledger.sizes[-1]


def test_a_child_of_a_stop() -> None:
    """It ends with its parent, for the same reason, and without it for its own."""
    parent = Stop(5.0)
    alone, child = parent.child(), parent.child()
    alone.set("the ledger broke", 42, BROKEN)
    assert (alone.cause, parent.is_set(), child.is_set()) == (BROKEN, False, False)
    parent.set("signal SIGTERM")
    assert (child.reason, child.exit_code, child.cause) == ("signal SIGTERM", 0, None)
    assert alone.reason == "the ledger broke"
    assert parent.child().is_set(), "one that comes later, too"
