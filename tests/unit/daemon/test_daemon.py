"""The daemon whole: jobs run to the end, a stop ends it, what dies is reported."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest

from rainbow_agent.core.errors import (
    LedgerBlocked,
    LedgerDamaged,
    RainbowAgentError,
    Rejected,
    Unavailable,
)
from rainbow_agent.core.model import Cancellation
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.core.workload_values import SubmitOutcome
from rainbow_agent.fleet.intake import Intake
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.conditions import ConditionName
from rainbow_agent.runtime.fault_injection import Hooks
from rainbow_agent.runtime.loops import MAX_TURN_S, Telemetry
from rainbow_agent.runtime.pace import Pace
from rainbow_agent.storage.ledger import SqliteLedger
from support.common import eventually, jobspec_json
from support.daemon import PAIR, Agent, World
from support.ledger import add_job, news
from support.workload_connection import FakeConnection


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """With short waits, so that the tests are quick."""
    monkeypatch.setattr("rainbow_agent.fleet.reporter.MIN_REPORT_INTERVAL_S", 0.01)
    monkeypatch.setattr("rainbow_agent.daemon.daemon.SHORT_WAIT_SLICE_S", 0.01)
    world = World(tmp_path)
    yield world
    world.end()


def test_jobs_run_to_the_end(world: World) -> None:
    """Received, submitted, accepted, completed and reported; then there is nothing left to do."""
    world.registered()
    for _ in range(3):
        world.rainbow.put("blue", PAIR)
    assert world.runs_until_idle() == 0
    assert world.states() == [JobState.COMPLETED] * 3
    assert world.rainbow.waiting("blue") == []
    state = world.rainbow.state("blue")
    assert (state["jobs_completed"], state["jobs"]) == (3, {str(n): "completed" for n in (1, 2, 3)})
    assert len(world.server.became_job) == 6


def test_nothing_to_do_ends_at_once_with_zero(world: World) -> None:
    """A first start on an empty rainbow: registered, reported, done."""
    assert world.runs_until_idle() == 0
    assert world.store.kept is not None
    assert world.rainbow.state("blue")["cores_free"] == 4
    assert world.agents[0].stop.reason == "nothing is left to do"
    assert world.agents[0].closed


def test_more_jobs_than_fit_into_one_answer(world: World) -> None:
    """A full answer is followed by the next question at once, until all are here."""
    world.registered()
    world.max_jobs = 3
    for _ in range(11):
        world.rainbow.put("blue", PAIR)
    assert world.runs_until_idle() == 0
    assert world.states() == [JobState.COMPLETED] * 11
    assert world.rainbow.waiting("blue") == []


def test_a_failed_and_a_refused_job_are_ends_too(world: World) -> None:
    """Neither keeps the agent from going idle; both are accepted and reported."""
    world.registered()
    world.server.statuses["bad"] = 1 << 8
    world.rainbow.put("blue", jobspec_json({"bad": [], "after": ["bad"]}))
    world.rainbow.put("blue", "nonsense")
    assert world.runs_until_idle() == 0
    assert world.states() == [JobState.FAILED, JobState.REFUSED]
    assert world.rainbow.waiting("blue") == []
    assert world.rainbow.state("blue")["jobs"] == {"1": "failed", "2": "refused"}


def test_until_idle_waits_for_what_runs(world: World) -> None:
    """A job that runs is something left to do, however empty rainbow is."""
    world.registered()
    world.server.auto = False
    world.rainbow.put("blue", PAIR)
    agent = world.agent(until_idle=True)
    agent.start()
    eventually(lambda: not world.rainbow.waiting("blue"), "it is accepted")
    asked = world.rainbow.calls["receive"]
    eventually(lambda: world.rainbow.calls["receive"] > asked + 3, "it looks, and finds nothing")
    assert not agent.stop.is_set()
    world.server.run_all()
    agent.ends()
    assert agent.exit_code == 0
    assert world.states() == [JobState.COMPLETED]


def test_until_idle_waits_until_rainbow_knows_all_of_it(world: World) -> None:
    """A report that could not be delivered is something left to do."""
    world.registered()
    world.rainbow.put("blue", PAIR)
    for call in range(1, 8):
        world.rainbow.fail("update_state", Unavailable("deadline exceeded"), call=call)
    assert world.runs_until_idle() == 0
    assert world.rainbow.state("blue")["jobs"] == {"1": "completed"}


def test_what_shall_end_is_not_submitted_again(world: World) -> None:
    """Half submitted when the last agent died, then canceled: it never reaches Flux."""
    world.registered()
    with world.ledger() as ledger:
        current = ledger.current_registration()
        assert current is not None
        key = add_job(ledger, 1, "a", "b", registration=current)
        ledger.apply([news(key, name, TaskState.SUBMITTING) for name in "ab"])
        ledger.ask_cancel(Cancellation(key, 1003.0, "alice", ""))
    assert world.runs_until_idle() == 0
    assert world.states() == [JobState.CANCELED]
    assert not world.server.became_job


def test_a_stop_closes_everything_and_reports_once_more(world: World) -> None:
    """Exit code 0, the reason kept, the last word shown by `status`."""
    agent = world.agent()
    agent.start()
    eventually(lambda: world.rainbow.state("blue"), "the first report is there")
    reports = world.rainbow.calls["update_state"]
    agent.ends_after_stop()
    assert (agent.exit_code, agent.stop.reason) == (0, "the test stops it")
    assert agent.closed
    assert world.rainbow.calls["update_state"] > reports


def test_status_is_told_how_it_goes(world: World) -> None:
    """At the start, from time to time and at the end; all of it JSON, and no secret in it."""
    world.registered()
    world.runs_until_idle()
    assert len(world.statuses) >= 2
    assert world.statuses[0]["rainbow"]["reachable"] is None
    last = world.statuses[-1]
    assert last["registration"] == "of secret-number-1"
    assert last["rainbow"]["reachable"] is True
    assert last["rainbow"]["last_contact"] <= last["heartbeat"]
    assert last["workload"]["reachable"] is True
    assert last["resources"]["cores_total"] == 4
    assert "token-number" not in json.dumps(world.statuses)


def test_status_hears_soon_how_the_start_went(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the next poll is far away, and the first look came too early to know anything."""
    monkeypatch.setattr("rainbow_agent.daemon.daemon.WAIT_SLICE_S", 0.2)
    monkeypatch.setattr("rainbow_agent.daemon.status_writer.MIN_INTERVAL_S", 0.2)
    monkeypatch.setattr("rainbow_agent.daemon.status_writer.HEARTBEAT_S", 3600.0)
    slow = Pace(3600.0, 3600.0, "blue", now=0.0)
    monkeypatch.setattr("support.daemon.Pace", lambda *_, **__: slow)
    world.registered()
    agent = world.agent()
    agent.start()
    eventually(lambda: world.statuses and world.statuses[-1]["resources"], "it knows what there is")
    assert len(world.statuses) <= 3, "and once is enough"


def test_a_wrong_registration_secret_ends_with_42(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A human must act: said once, with what to do; restarting is of no use."""
    world.secret = "wrong-secret"
    assert world.runs_until_idle() == 42
    assert "refuses the registration secret" in world.agents[0].stop.reason
    fatal = [r.getMessage() for r in caplog.records if r.levelno == logging.CRITICAL]
    assert len(fatal) == 1
    assert "wrong-secret" not in caplog.text
    assert world.agents[0].closed


def explode() -> int:
    raise RuntimeError("a bug in the probe")


def test_a_reporter_that_dies_stops_the_daemon(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A daemon without its reporter lies by silence: exit code 1, and what it died of."""
    agent = world.agent()
    agent.memory_per_node = explode
    agent.start()
    agent.ends()
    assert agent.exit_code == 1
    assert agent.stop.reason == "the reporter thread died: a bug in the probe"
    assert "Traceback" in caplog.text
    assert agent.closed


def test_a_journal_that_dies_stops_the_daemon(world: World) -> None:
    """Likewise for the thread that follows the workload manager."""
    agent = world.agent()

    def bug() -> FakeConnection:
        if threading.current_thread().name == "journal":
            raise RuntimeError("no such symbol")
        return world.server.connect()

    agent.open_workload = bug
    agent.start()
    agent.ends()
    assert (agent.exit_code, agent.stop.reason) == (1, "the journal thread died: no such symbol")


@pytest.mark.parametrize(
    ("error", "code"),
    [(LedgerDamaged("disk image is malformed"), 42), (RainbowAgentError("something odd"), 1)],
)
def test_an_error_of_ours_in_a_thread_has_its_own_exit_code(
    world: World, error: RainbowAgentError, code: int
) -> None:
    """A damaged ledger is 42 wherever it is met."""
    agent = world.agent()

    def broken() -> SqliteLedger:
        raise error

    agent.open_ledger = broken
    agent.start()
    agent.ends()
    assert (agent.exit_code, agent.stop.reason) == (code, str(error))


LOOPS = ("main", "journal", "reporter", "messenger")


@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_that_is_held_up_is_the_one_that_is_named(
    world: World, loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a limit of its own; it moves again once it can."""
    folder = tmp_path / "hold"
    folder.mkdir()
    hooks = Hooks({"RAINBOW_TEST_HOLD": str(folder)})
    monkeypatch.setattr("rainbow_agent.runtime.fault_injection._installed", hooks)
    world.registered()
    agent = world.agent()
    agent.telemetry = Telemetry(SystemClock(), dict.fromkeys(LOOPS, 2.0))
    agent.start()
    eventually(lambda: len(agent.telemetry.loop_health.ages()) == len(LOOPS), "all are there")
    (folder / loop).touch()
    eventually(lambda: agent.telemetry.loop_health.stuck() == [loop], f"{loop} is stuck, no other")
    assert f"loop-stuck-{loop}" in [c.name for c in agent.telemetry.troubles()]
    (folder / loop).unlink()
    eventually(lambda: not agent.telemetry.loop_health.stuck(), "it moves again")
    agent.ends_after_stop()
    assert agent.telemetry.loop_health.ages().keys() == {"main"}


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (Unavailable("deadline exceeded"), "rainbow-unreachable"),
        (Rejected("too odd"), "rainbow-refuses"),
    ],
)
def test_a_rainbow_that_does_not_give_jobs_is_a_condition(
    world: World, error: RainbowAgentError, name: str
) -> None:
    """In `status` with the reason; over when it gives some again."""
    world.registered()
    for call in range(1, 6):
        world.rainbow.fail("receive", error, call=call)
    world.rainbow.put("blue", PAIR)
    agent = world.agent()
    agent.start()
    eventually(
        lambda: [c.name for c in agent.telemetry.conditions.current()] == [name], "it is set"
    )
    eventually(world.all_are(JobState.COMPLETED, 1), "the job came after all")
    eventually(lambda: not agent.telemetry.conditions.current(), "it is over")


def test_loops_and_conditions_are_told_to_status(world: World) -> None:
    """In runtime.json: each loop with its age and limit in seconds."""
    world.registered()
    agent = world.agent()
    agent.telemetry.conditions.set(ConditionName.DISK_NEARLY_FULL, "1 MiB is free")
    agent.start()
    eventually(lambda: world.statuses, "the status is written")
    assert set(world.statuses[0]["loops"]) == set(LOOPS)
    assert world.statuses[0]["loops"]["main"]["limit"] == MAX_TURN_S
    assert world.statuses[0]["conditions"][0]["reason"] == "1 MiB is free"


def test_a_bug_in_the_main_loop_is_not_swallowed(world: World) -> None:
    """It ends the daemon in good order, and the traceback goes up to the caller."""
    world.registered()
    world.rainbow.fail("receive", ZeroDivisionError("a bug"))
    agent = world.agent()
    agent.start()
    with pytest.raises(ZeroDivisionError):
        agent.ends()
    assert agent.closed
    assert agent.stop.is_set()


#: A job whose tasks are submitted one after the other.
CHAIN = jobspec_json({f"t{n}": [f"t{n - 1}"] if n else [] for n in range(40)})


class SlowConnection(FakeConnection):
    """A workload manager that takes a while for each submission."""

    def collect_outcomes(self, timeout: float) -> list[SubmitOutcome]:
        """See ports.Workload."""
        threading.Event().wait(0.02)
        return super().collect_outcomes(timeout)


@pytest.fixture
def slow(world: World, monkeypatch: pytest.MonkeyPatch) -> Agent:
    """An agent over it that was given a chain."""
    monkeypatch.setattr("rainbow_agent.daemon.round.SUBMIT_TURN_S", 0.05)
    world.registered()
    world.server.auto = False
    world.rainbow.put("blue", CHAIN)
    agent = world.agent()
    agent.open_workload = lambda: world.server.link(SlowConnection(world.server))
    agent.start()
    eventually(lambda: len(world.server.jobs) > 3, "the chain is on its way")
    return agent


def test_a_long_chain_keeps_no_other_job_waiting(world: World, slow: Agent) -> None:
    """What comes meanwhile is received, submitted and accepted before the chain is."""
    world.rainbow.put("blue", jobspec_json({"only": []}))
    eventually(lambda: len(world.rainbow.waiting("blue")) == 1, "one of them is accepted")
    assert world.states() == [JobState.RECEIVED, JobState.SUBMITTED]
    assert not slow.stop.is_set()
    eventually(lambda: not world.rainbow.waiting("blue"), "the chain is accepted")
    assert len(world.server.became_job) == 41


def test_a_stop_in_a_long_chain_submits_the_rest(world: World, slow: Agent) -> None:
    """What was begun is finished within the grace time, and accepted."""
    slow.ends_after_stop()
    assert slow.exit_code == 0
    assert world.states() == [JobState.SUBMITTED]
    assert world.rainbow.waiting("blue") == []
    assert len(world.server.became_job) == 40


def _has(world: World, jobs: int) -> bool:
    return len(world.server.jobs) >= jobs


def test_connections_that_break_in_a_long_chain(world: World, slow: Agent) -> None:
    """All of it is submitted in the end, each task once."""
    for sent in (6, 12, 18):
        world.server.break_connections()
        eventually(partial(_has, world, sent), "it continues")
    eventually(lambda: not world.rainbow.waiting("blue"), "the chain is accepted", seconds=60.0)
    assert slow.exit_code is None
    assert set(world.server.became_job.values()) == {1}
    assert len(world.server.became_job) == 40


def test_a_full_disk_at_the_last_turn_of_a_chain_is_no_error_of_the_stop(
    slow: Agent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What is in flight stays `submitting` for the next start; the stop is a stop."""

    def full(*_: object) -> NoReturn:
        raise LedgerBlocked("the disk is full")

    def stops(*_: object) -> int:
        monkeypatch.setattr(SqliteLedger, "apply", full)
        slow.stop.set("the test stops it")
        return 0

    monkeypatch.setattr(Intake, "accept", stops)
    slow.ends()
    assert slow.exit_code == 0
    assert "fatal" not in [getattr(record, "action", "") for record in caplog.records]
    monkeypatch.undo()
