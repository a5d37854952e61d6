"""What is reported to rainbow, when, and what happens when it does not listen."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rainbow_agent.core.errors import (
    ClusterUnknown,
    LedgerDamaged,
    Rejected,
    RequestDenied,
    Unavailable,
)
from rainbow_agent.core.model import JobKey, Refusal
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.fleet.reporter import MAX_RECENT_JOBS, Reporter
from rainbow_agent.fleet.session import Session, SessionError
from rainbow_agent.runtime.conditions import ConditionName, Conditions
from rainbow_agent.runtime.loops import Telemetry
from rainbow_agent.runtime.setting_types import Secret
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage.ledger import SqliteLedger
from support.common import Background, FakeClock, eventually
from support.ledger import NEXT, REGISTRATION, add_job, checked_ledger, news
from support.scheduler import REGISTRATION_SECRET, FakeScheduler
from support.workload import FakeWorkload


class World:
    """A reporter between a ledger, a workload manager and rainbow."""

    def __init__(self, path: Path, ledger: SqliteLedger) -> None:
        self.ledger = ledger
        self.rainbow = FakeScheduler()
        self.server = FakeWorkload(cores=4)
        self.clock = FakeClock()
        self.stop = Stop()
        self.session_errors: list[SessionError] = []
        given = self.rainbow.register("blue", REGISTRATION_SECRET, "{}")
        self.session: Session | None = Session("blue", Secret(given.secret), REGISTRATION.id)
        self.every = 3600.0
        self.path = path
        self.telemetry = Telemetry(self.clock)

    @property
    def sent(self) -> int:
        """How many reports came."""
        return self.rainbow.calls["update_state"]

    @property
    def state(self) -> dict[str, object]:
        """What rainbow knows."""
        return self.rainbow.state("blue")

    @contextmanager
    def running(self) -> Iterator[Reporter]:
        """A reporter in its thread until the end of the block."""
        self.reporter = Reporter(
            session=lambda: self.session,
            open_scheduler=lambda: self.rainbow,
            open_ledger=lambda: SqliteLedger.open(self.path),
            open_workload=self.server.connect,
            memory_per_node=lambda: 8_000_000_000,
            operator={"cost_per_node_hour": 3.0},
            every=self.every,
            cluster="blue",
            clock=self.clock,
            stop=self.stop,
            session_error=self.session_errors.append,
            telemetry=self.telemetry,
        )
        self.thread = Background(self.reporter.run)
        self.thread.start()
        try:
            yield self.reporter
        finally:
            self.stop.set("the test is over")
            self.thread.end()
            self.reporter.report_last()  # as the daemon does

    def flushed(self) -> None:
        """Wait until all is reported."""
        self.thread.wait(self.reporter.flushed.is_set, "all is reported")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Reports are gathered for a hundredth of a second only, so that the tests are quick."""
    monkeypatch.setattr("rainbow_agent.fleet.reporter.MIN_REPORT_INTERVAL_S", 0.01)
    path = tmp_path / "ledger.sqlite"
    with checked_ledger(path) as ledger:
        yield World(path, ledger)


def test_it_reports_at_once_when_it_starts(world: World) -> None:
    """Resources, memory, counts and the operator's numbers are there without any change."""
    with world.running() as reporter:
        world.flushed()
        assert reporter.pool is not None
    assert world.state["cores_free"] == 4
    assert world.state["memory_gb_per_node"] == 8.0
    assert world.state["cost_per_node_hour"] == 3.0
    assert world.state["jobs_received"] == 0


def test_a_change_is_reported(world: World) -> None:
    """What the ledger says at that time is what is reported."""
    with world.running() as reporter:
        world.flushed()
        add_job(world.ledger, 1, "build")
        reporter.changed()
        eventually(lambda: world.state["jobs_received"] == 1, "the job is reported")
        world.flushed()
    assert world.state["jobs"] == {"1": "received"}


def test_what_was_told_of_a_job_is_kept(world: World) -> None:
    """The ledger has when rainbow heard of each state, and of the reports that failed."""
    key = add_job(world.ledger, 1, "build")
    with world.running() as reporter:
        world.flushed()
        world.rainbow.down = True
        world.ledger.apply([news(key, "build", TaskState.COMPLETED)])
        reporter.changed()
        eventually(lambda: len(world.ledger.reports_of(key)) > 1, "the failure is kept")
        world.rainbow.down = False
        world.flushed()
    lines = world.ledger.reports_of(key)
    assert [line.state for line in lines if line.state] == ["received", "completed"]
    assert any(line.problem for line in lines)


def test_a_change_is_not_flushed_until_rainbow_has_it(world: World) -> None:
    """`start --until-idle` waits for this before it ends."""
    with world.running() as reporter:
        world.flushed()
        world.rainbow.down = True
        reporter.changed()
        assert not reporter.flushed.is_set()
        before = world.sent
        eventually(lambda: world.sent > before, "it tried")
        assert not reporter.flushed.is_set()
        world.rainbow.down = False
        world.flushed()


def test_changes_meanwhile_are_gathered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred changes within the gathering time are one report: here the one at the stop."""
    monkeypatch.setattr("rainbow_agent.fleet.reporter.MIN_REPORT_INTERVAL_S", 3600.0)
    with world.running() as reporter:
        world.flushed()
        for n in range(100):
            add_job(world.ledger, n + 1)
            reporter.changed()
        assert world.sent == 1
    assert world.sent == 2
    assert world.state["jobs_received"] == 100


def test_it_reports_from_time_to_time_without_a_change(world: World) -> None:
    """Rainbow gets a report at least every `report_every` seconds."""
    world.every = 0.01
    with world.running():
        eventually(lambda: world.sent >= 4, "four reports without a change")


def test_the_last_report_is_made_at_the_stop(world: World) -> None:
    """What happened last is not kept to ourselves."""
    with world.running():
        world.flushed()
        add_job(world.ledger, 1)
    assert world.state["jobs_received"] == 1


def test_only_the_last_jobs_are_listed(world: World) -> None:
    """The report stays small, however old the ledger is; the counts tell of all."""
    with world.ledger.transaction():
        for n in range(MAX_RECENT_JOBS + 5):
            add_job(world.ledger, n + 1, at=1000.0 + n)
    with world.running():
        world.flushed()
        world.reporter.changed()
        world.flushed()
    jobs = world.state["jobs"]
    assert isinstance(jobs, dict)
    assert set(jobs) == {str(n) for n in range(6, MAX_RECENT_JOBS + 6)}
    assert world.state["jobs_received"] == MAX_RECENT_JOBS + 5


def test_every_job_is_told_however_many_came_after_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What moved while rainbow was away is reported in portions, what moved first comes first."""
    monkeypatch.setattr("rainbow_agent.fleet.reporter.MAX_RECENT_JOBS", 3)
    monkeypatch.setattr("rainbow_agent.fleet.reporter.MAX_UNREPORTED_JOBS", 4)
    reports: list[list[str]] = []
    update = world.rainbow.update_state

    def kept(cluster: str, secret: str, state: Mapping[str, Any]) -> None:
        reports.append(list(state["jobs"]))
        update(cluster, secret, state)

    monkeypatch.setattr(world.rainbow, "update_state", kept)
    with world.ledger.transaction():
        for n in range(1, 13):
            add_job(world.ledger, n, at=1000.0 + n)
    with world.running():
        world.flushed()
    last = ["10", "11", "12"]
    assert reports[:3] == [["1", "2", "3", "4", *last], ["5", "6", "7", "8", *last], ["9", *last]]
    for n in range(1, 13):
        lines = world.ledger.reports_of(JobKey(REGISTRATION.id, n))
        assert [line.state for line in lines] == [JobState.RECEIVED]


def test_an_old_job_is_not_told_under_the_id_of_a_newer_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ends late of an earlier registration does not overwrite what has its id by now."""
    monkeypatch.setattr("rainbow_agent.fleet.reporter.MAX_RECENT_JOBS", 2)
    old = add_job(world.ledger, 1, "t")
    world.ledger.mark_accepted(old.registration, [old.id], 1003.0)
    new = add_job(world.ledger, 1, "t", registration=NEXT, at=2001.0)
    for n in range(2, 5):
        add_job(world.ledger, n, registration=NEXT, at=2001.0 + n)
    world.ledger.apply([news(new, "t", TaskState.COMPLETED, 2010.0)])
    with world.running() as reporter:
        world.flushed()
        assert world.state["jobs"]["1"] == "completed"  # type: ignore[index]
        world.ledger.apply([news(old, "t", TaskState.FAILED, 2020.0)])
        sent = world.sent
        reporter.changed()
        eventually(lambda: world.sent > sent, "the next report")
        world.flushed()
        assert "1" not in world.state["jobs"]  # type: ignore[operator]
    assert world.ledger.reports_of(old) == []


def test_without_a_session_nothing_is_sent(world: World) -> None:
    """Rainbow does not know us yet; when it does, the next change is reported."""
    session, world.session = world.session, None
    with world.running() as reporter:
        eventually(lambda: reporter._changed.is_set() and world.sent == 0, "it looked")
        world.session = session
        reporter.changed()
        world.flushed()
    assert world.sent >= 1


def test_a_workload_manager_that_is_away_does_not_keep_the_report(world: World) -> None:
    """The states of the jobs go out all the same; the resources follow when they can."""
    world.server.down = True
    with world.running() as reporter:
        world.flushed()
        assert reporter.pool is None
        assert "cores_free" not in world.state
        world.server.down = False
        reporter.changed()
        eventually(lambda: world.state.get("cores_free") == 4, "the resources are reported")


def test_a_broken_connection_is_opened_again(world: World) -> None:
    """After a break the next report but one has fresh resources."""
    with world.running() as reporter:
        world.flushed()
        world.server.break_connections()
        reporter.changed()
        eventually(lambda: reporter.pool is None, "it noticed")
        reporter.changed()
        eventually(lambda: reporter.pool is not None, "it is back")


@pytest.mark.parametrize("lost", ["graph", "everything"])
def test_what_rainbow_lost_is_told_to_the_main_loop(world: World, lost: str) -> None:
    """The reporter does not heal; it says what was answered, and to whose question."""
    world.rainbow.restart(keep_database=lost == "graph")
    with world.running() as reporter:
        eventually(lambda: world.session_errors, "the doubt was raised")
        assert not reporter.flushed.is_set()
    expected = ClusterUnknown if lost == "graph" else RequestDenied
    assert isinstance(world.session_errors[0].error, expected)
    assert world.session_errors[0].session is world.session


def test_a_refused_report_is_tried_again_and_told_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The same trouble again is no news for the log."""
    for n in (1, 2, 3):
        world.rainbow.fail("update_state", Rejected("database is odd"), call=n)
    with caplog.at_level(logging.WARNING), world.running():
        world.flushed()
    assert world.sent >= 4
    assert sum("database is odd" in message for message in caplog.messages) == 1


def test_a_ledger_that_is_broken_ends_the_thread(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is not rainbow's doing: the daemon must stop, so the error is not swallowed."""
    monkeypatch.setattr(SqliteLedger, "counts", broken)
    with pytest.raises(LedgerDamaged, match="malformed"), world.running():
        eventually(lambda: world.thread.died_of, "it died")
    monkeypatch.undo()


def broken(_: SqliteLedger) -> dict[JobState, int]:
    raise LedgerDamaged("disk image is malformed")


def test_refused_jobs_are_counted(world: World) -> None:
    """Rainbow has no reject: the report is where a shell can read of it."""
    key = add_job(world.ledger, 1)
    world.ledger.record_plans([], [Refusal(key, "no such thing")], 2.0)
    with world.running():
        world.flushed()
    assert world.state["jobs_refused"] == 1
    assert world.state["jobs"] == {"1": "refused"}


def test_a_report_that_does_not_arrive_is_a_condition_until_one_does(world: World) -> None:
    """With rainbow's words; a report that is denied is not: the main loop heals that."""
    world.every = 0.02
    world.rainbow.fail("update_state", Unavailable("deadline exceeded"), call=1)
    seen = []

    def note(name: ConditionName, reason: str) -> bool:
        seen.append((name, reason))
        return Conditions.set(world.telemetry.conditions, name, reason)

    world.telemetry.conditions.set = note  # type: ignore[method-assign]
    with world.running():
        world.flushed()
        assert seen == [("report-undelivered", "deadline exceeded")]
        assert world.telemetry.conditions.current() == []
