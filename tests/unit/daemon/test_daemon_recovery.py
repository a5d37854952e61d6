"""The daemon whole, when rainbow or the workload manager goes away and comes back."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from rainbow_agent.core.errors import Unavailable, WorkloadUnavailable
from rainbow_agent.core.model import Cancellation, Offer
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.core.workload_values import Submission, SubmitOutcome
from rainbow_agent.fleet.graph_publisher import GraphPublisher
from rainbow_agent.jobs.dispatcher import Dispatcher
from rainbow_agent.jobs.journal import JournalFollower
from support.common import eventually, jobspec_json
from support.daemon import PAIR, World
from support.workload import FakeWorkload
from support.workload_connection import Break, FakeConnection


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """With short waits, so that the tests are quick."""
    monkeypatch.setattr("rainbow_agent.fleet.reporter.MIN_REPORT_INTERVAL_S", 0.01)
    monkeypatch.setattr("rainbow_agent.daemon.daemon.SHORT_WAIT_SLICE_S", 0.01)
    world = World(tmp_path)
    yield world
    world.end()


def test_rainbow_restarted_with_its_database(world: World) -> None:
    """The graph is loaded again under the old secret, and jobs go on as before."""
    agent = world.agent()
    agent.start()
    eventually(lambda: world.rainbow.has_graph("blue"), "registered")
    world.rainbow.put("blue", PAIR)
    eventually(world.all_are(JobState.COMPLETED, 1), "the first job is completed")
    world.rainbow.restart(keep_database=True)
    eventually(lambda: world.rainbow.has_graph("blue"), "the graph is there again")
    world.rainbow.put("blue", PAIR)
    eventually(world.all_are(JobState.COMPLETED, 2), "the second job is completed")
    agent.ends_after_stop()
    assert world.rainbow.calls["register"] == 1
    assert world.rainbow.state("blue")["jobs_completed"] == 2


def test_rainbow_restarted_without_its_database(world: World) -> None:
    """A new registration; its job 1 is another job than the one before, and both ran."""
    agent = world.agent()
    agent.start()
    eventually(lambda: world.rainbow.has_graph("blue"), "registered")
    assert world.rainbow.put("blue", PAIR) == 1
    eventually(world.all_are(JobState.COMPLETED, 1), "the first job is completed")
    world.rainbow.restart(keep_database=False)
    eventually(lambda: world.rainbow.has_graph("blue"), "registered again")
    assert world.rainbow.put("blue", PAIR) == 1
    eventually(world.all_are(JobState.COMPLETED, 2), "the new job 1 is completed")
    agent.ends_after_stop()
    with world.ledger() as ledger:
        keys = ledger.find_jobs(1)
    assert [key.registration for key in keys] == ["of secret-number-2", "of secret-number-1"]


def test_rainbow_lost_while_jobs_run_does_not_lose_them(world: World) -> None:
    """What was received under the old registration runs to its end."""
    world.registered()
    world.server.auto = False
    world.rainbow.put("blue", PAIR)
    agent = world.agent()
    agent.start()
    eventually(lambda: len(world.server.jobs) == 2, "both tasks are submitted")
    world.rainbow.restart(keep_database=False)
    eventually(lambda: world.rainbow.has_graph("blue"), "registered again")
    world.server.run_all()
    eventually(world.all_are(JobState.COMPLETED, 1), "the job of before is completed")
    agent.ends_after_stop()


def test_rainbow_away_for_a_while(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Said once in the log and in `status`; when it is back everything continues."""
    world.registered()
    agent = world.agent()
    with caplog.at_level(logging.WARNING, logger="rainbow_agent.daemon.round"):
        agent.start()
        eventually(lambda: world.rainbow.calls["receive"] > 0, "it asks")
        world.rainbow.down = True
        asked = world.rainbow.calls["receive"]
        eventually(lambda: world.rainbow.calls["receive"] > asked + 5, "it keeps asking")
        assert agent.daemon.members.fleet.contact.reachable is False
        world.rainbow.down = False
        world.rainbow.put("blue", PAIR)
        eventually(world.all_are(JobState.COMPLETED, 1), "the job is completed")
        agent.ends_after_stop()
    told = [r for r in caplog.records if r.name == "rainbow_agent.daemon.round"]
    assert sum("took it down" in record.getMessage() for record in told) == 1
    assert world.statuses[-1]["rainbow"]["reachable"] is True


@pytest.mark.parametrize("method", ["receive", "accept", "update_state"])
@pytest.mark.parametrize("after", [False, True])
def test_one_failed_call_is_nothing(world: World, method: str, *, after: bool) -> None:
    """Whether the call or its reply was lost: all is done in the end, once."""
    world.registered()
    world.rainbow.fail(method, Unavailable("deadline exceeded"), after=after)
    for _ in range(2):
        world.rainbow.put("blue", PAIR)
    assert world.runs_until_idle() == 0
    assert world.states() == [JobState.COMPLETED] * 2
    assert world.rainbow.waiting("blue") == []


@pytest.mark.parametrize("how", list(Break))
@pytest.mark.parametrize("n", [1, 3, 4])
def test_the_connection_breaks_at_the_nth_submission(world: World, n: int, how: Break) -> None:
    """What was in flight is looked up in the journal before anything is submitted again."""
    world.registered()
    for _ in range(3):
        world.rainbow.put("blue", PAIR)
    world.server.break_at_submit(n, how)
    assert world.runs_until_idle() == 0
    assert world.states() == [JobState.COMPLETED] * 3
    assert len(world.server.became_job) == 6


def test_a_dead_connection_is_closed_before_the_history_is_asked_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as it is open, what it has sent may still arrive, after the history was read."""
    world.registered()
    world.rainbow.put("blue", PAIR)
    world.server.break_at_submit(1, Break.LATE)
    seen: list[bool] = []
    ask = JournalFollower.request_resync

    def witness(follower: JournalFollower) -> None:
        connections = world.agents[0].connections
        seen.extend(c.closed for c in connections if c.broken)
        ask(follower)

    monkeypatch.setattr(JournalFollower, "request_resync", witness)
    assert world.runs_until_idle() == 0
    assert seen == [True]


def test_every_connection_breaks_while_jobs_run(world: World) -> None:
    """Journal, dispatcher and reporter come back, and what happened meanwhile is known."""
    world.registered()
    world.server.auto = False
    world.rainbow.put("blue", PAIR)
    agent = world.agent()
    agent.start()
    eventually(lambda: len(world.server.jobs) == 2, "both tasks are submitted")
    eventually(lambda: not world.rainbow.waiting("blue"), "accepted")
    with world.server.changed:
        world.server.break_connections()
        world.server.run_all()
    world.rainbow.put("blue", PAIR)
    eventually(lambda: len(world.server.jobs) == 4, "the next job is submitted")
    world.server.run_all()
    eventually(world.all_are(JobState.COMPLETED, 2), "both are completed")
    agent.ends_after_stop()


def test_a_replaced_instance(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """What waited there is submitted again, what ran is lost, each with the reason."""
    world.registered()
    world.server.auto = False
    world.rainbow.put("blue", PAIR)
    world.rainbow.put("blue", jobspec_json({"one": []}))
    agent = world.agent()
    agent.start()
    eventually(lambda: not world.rainbow.waiting("blue"), "accepted")
    first = min(job.flux_id for job in world.server.jobs.values())
    world.server.start(first)
    eventually(lambda: JobState.RUNNING in world.states(), "the first task runs")
    with caplog.at_level(logging.WARNING):
        world.server.auto = True
        world.server.replace_instance()
        eventually(
            lambda: world.states() == [JobState.LOST, JobState.COMPLETED], "sorted out", seconds=30
        )
    world.rainbow.put("blue", PAIR)
    eventually(lambda: len(world.states()) == 3 and world.states()[2] is JobState.COMPLETED, "next")
    agent.ends_after_stop()
    assert world.rainbow.state("blue")["jobs"] == {"1": "lost", "2": "completed", "3": "completed"}
    assert "was replaced: how far it came is not known" in caplog.text
    assert "was replaced; submitted again" in caplog.text
    with world.ledger() as ledger:
        (lost, again, _) = ledger.jobs()
        causes = [line.cause for line in ledger.story(again.key)]
        assert "RAINBOW_ON_LOST=fail" in (lost.reason or "")
        assert [task.state for task in lost.tasks] == [TaskState.LOST, TaskState.CANCELED]
    assert any("was replaced; submitted again" in cause for cause in causes)


def test_nothing_is_received_while_there_is_nowhere_to_put_it(world: World) -> None:
    """Without a workload manager jobs stay in rainbow, where people can see them."""
    world.registered()
    world.rainbow.put("blue", PAIR)
    world.server.down = True
    agent = world.agent(until_idle=True)
    agent.start()
    eventually(lambda: agent.journal.reachable is False, "it noticed")
    eventually(lambda: world.rainbow.calls["update_state"] > 1, "it reports all the same")
    assert (len(world.rainbow.waiting("blue")), world.states()) == (1, [])
    world.server.down = False
    agent.ends()
    assert world.states() == [JobState.COMPLETED]


def test_the_next_agent_goes_on_where_the_last_one_stopped(world: World) -> None:
    """Jobs run on while no agent does; the next start knows what became of them."""
    world.registered()
    world.server.auto = False
    for _ in range(2):
        world.rainbow.put("blue", PAIR)
    first = world.agent()
    first.start()
    eventually(lambda: not world.rainbow.waiting("blue"), "accepted")
    first.ends_after_stop()
    assert first.exit_code == 0
    world.server.run_all()
    assert world.runs_until_idle() == 0
    assert world.states() == [JobState.COMPLETED] * 2
    assert world.rainbow.calls["register"] == 1


def test_a_stop_while_much_is_on_its_way_loses_nothing(world: World) -> None:
    """Stopped at the first submission; whatever was begun or not, the next agent finishes it."""
    world.registered()
    for _ in range(100):
        world.rainbow.put("blue", PAIR)
    first = world.agent()
    world.server.refuse = lambda _: first.stop.set("now")
    first.start()
    first.ends()
    world.server.refuse = lambda _: None
    with world.ledger() as ledger:
        assert not ledger.tasks_in({TaskState.SUBMITTING})
    assert world.runs_until_idle() == 0
    assert world.states() == [JobState.COMPLETED] * 100
    assert len(world.server.became_job) == 200


class Forgetful(FakeConnection):
    """As a connection to Flux whose first cancel has no answer: what was in flight is given up."""

    silent = True

    def __init__(self, server: FakeWorkload) -> None:
        super().__init__(server)
        self.late, self.turn = threading.Event(), False

    def collect_outcomes(self, timeout: float) -> list[SubmitOutcome]:
        """See ports.Workload."""
        self.late.wait(0.02)
        self.turn = not self.turn
        return super().collect_outcomes(timeout) if self.turn else []

    def cancel(self, flux_ids: Sequence[int], note: str) -> None:
        """See ports.Workload."""
        if Forgetful.silent:
            Forgetful.silent = False
            self._outcomes.clear()
            self._in_flight = 0
            raise WorkloadUnavailable("Flux does not answer cancel requests")
        super().cancel(flux_ids, note)


def test_a_cancel_that_flux_does_not_answer_leaves_nothing_half_submitted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was in flight on that connection is looked up, and the chain continues."""
    monkeypatch.setattr("rainbow_agent.daemon.round.SUBMIT_TURN_S", 0.05)
    world.registered()
    world.server.auto = False
    world.rainbow.put("blue", PAIR)
    world.rainbow.put(
        "blue", jobspec_json({f"t{n}": [f"t{n - 1}"] if n else [] for n in range(20)})
    )
    agent = world.agent()
    Forgetful.silent = True
    agent.open_workload = lambda: world.server.link(Forgetful(world.server))
    agent.start()
    eventually(lambda: len(world.server.jobs) > 4, "the chain is on its way")
    with world.ledger() as ledger:
        first = ledger.jobs()[0].key
        ledger.ask_cancel(Cancellation(first, 1.0, "somebody", "enough"))
    eventually(lambda: not world.rainbow.waiting("blue"), "the chain is accepted")
    assert len(world.server.became_job) == 22
    assert not agent.stop.is_set()


def test_what_is_here_is_submitted_while_rainbow_is_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs that were received need no rainbow, also while it owes us an answer to something."""

    def away(*_: object) -> None:
        raise Unavailable("rainbow is away")

    monkeypatch.setattr(GraphPublisher, "sync", away)
    world.registered()
    with world.ledger() as ledger:
        registration = ledger.current_registration()
        assert registration is not None
        ledger.record_offers(registration.id, [Offer(7, "job", "blue", PAIR)], 2.0)
    agent = world.agent()
    agent.start()
    eventually(world.all_are(JobState.COMPLETED, 1), "the job is completed")
    assert world.rainbow.calls["receive"] == 0


class Stuck(FakeConnection):
    """What it is sent stays on its way."""

    def start_submit(self, submission: Submission) -> None:
        """See ports.Workload."""
        self._in_flight += 1
        self.on_its_way.append(submission)

    def collect_outcomes(self, timeout: float) -> list[SubmitOutcome]:
        """See ports.Workload."""
        threading.Event().wait(min(timeout, 0.02))
        return []


def test_what_is_in_flight_at_a_stop_is_not_taken_for_unsent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what is `submitting` makes the next start wait for what may still arrive."""
    monkeypatch.setattr("rainbow_agent.daemon.round.SUBMIT_TURN_S", 0.05)
    monkeypatch.setattr(
        "support.daemon.Dispatcher",
        lambda **parts: Dispatcher(**{**parts, "grace": 0.2}),
    )
    world.registered()
    world.server.auto = False
    world.rainbow.put("blue", jobspec_json({"one": []}))
    agent = world.agent()
    agent.open_workload = lambda: world.server.link(Stuck(world.server))
    agent.start()
    eventually(lambda: any(c.on_its_way for c in agent.connections), "it is sent")
    generation = agent.journal.generation
    agent.journal.request_resync()
    eventually(lambda: agent.journal.generation > generation, "the history was read again")
    agent.ends_after_stop()
    with world.ledger() as ledger:
        assert [row.state for row in ledger.tasks_of(ledger.jobs()[0].key)] == [
            TaskState.SUBMITTING
        ]
