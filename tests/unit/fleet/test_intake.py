"""Receive, then accept: written down before anything else, let go of only when it is safe."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rainbow_agent.core.errors import LedgerDamaged, RequestDenied, Unavailable
from rainbow_agent.core.model import FoundJob, JobKey, Offer, Plan, PlannedJob, PlannedTask, Refusal
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.fleet.intake import LISTING_HOLDS_S, Intake
from rainbow_agent.fleet.reused_numbers import REUSE_SHOWN_S
from rainbow_agent.fleet.session import Session
from rainbow_agent.jobspec.handle import attach
from rainbow_agent.jobspec.wire import to_wire
from rainbow_agent.runtime.conditions import ConditionName, Conditions
from rainbow_agent.runtime.counters import Counters
from rainbow_agent.runtime.setting_types import Secret
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.storage.ledger_rows_seen import row_digest
from support.common import FakeClock
from support.ledger import REGISTRATION, checked_ledger, news
from support.scheduler import REGISTRATION_SECRET, FakeScheduler
from support.senders import make_handle

TEXT = "version: 1"
DOCUMENT = {"version": 1, "tasks": [{"command": "true"}]}


class Harness:
    """An intake with 3 jobs a call, its ledger, and the rainbow that it asks."""

    def __init__(self, ledger: SqliteLedger) -> None:
        self.ledger = ledger
        ledger.open_registration(REGISTRATION)
        self.rainbow = FakeScheduler()
        given = self.rainbow.register("demo", REGISTRATION_SECRET, "{}")
        self.session = Session("demo", Secret(given.secret), REGISTRATION.id)
        self.clock, self.counters = FakeClock(2000.0), Counters()
        self.conditions = Conditions(self.clock)
        self.jobs_among: Callable[[list[Offer]], list[Offer]] = list
        self.intake = Intake(
            scheduler=self.rainbow,
            ledger=ledger,
            clock=self.clock,
            max_jobs=3,
            conditions=self.conditions,
            counters=self.counters,
            jobs_among=lambda _, offers: self.jobs_among(offers),
        )

    def reasons(self) -> dict[str, str]:
        """What is wrong, by name."""
        return {each.name: each.reason for each in self.conditions.current()}

    def receive(self) -> list[int]:
        """Ask once; the ids that are new."""
        new, _ = self.intake.receive(self.session)
        return [key.id for key in new]

    def plan(self, job: int, state: TaskState | None) -> None:
        """Plan a job of one task, and bring that to a state; None: refuse the job."""
        key = JobKey(REGISTRATION.id, job)
        if state is None:
            self.ledger.record_plans([], [Refusal(key, "no")], 2000.0)
            return
        plan = Plan("", (PlannedTask("build", 1, (), {}),))
        self.ledger.record_plans([PlannedJob(key, plan)], [], 2000.0)
        if state is not TaskState.PENDING:
            self.ledger.apply([news(key, "build", state, flux_id=job)])

    def accepted(self, job: int) -> float | None:
        """When it was accepted, as the ledger has it."""
        found = self.ledger.job(JobKey(REGISTRATION.id, job))
        assert found is not None
        return found.accepted


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    with checked_ledger(tmp_path / "ledger.sqlite") as ledger:
        yield Harness(ledger)


def test_a_job_is_written_down_as_it_came(harness: Harness) -> None:
    """Name, text and time stand in the ledger; rainbow still has the row."""
    job = harness.rainbow.put("demo", "version: 1\n# ünïcode", "ior")
    assert harness.receive() == [job]
    key = JobKey(REGISTRATION.id, job)
    found = harness.ledger.job(key)
    assert found is not None
    assert (found.name, found.received) == ("ior", 2000.0)
    assert harness.ledger.jobspecs([key]) == {key: "version: 1\n# ünïcode"}
    assert harness.rainbow.waiting("demo") == [job]
    assert harness.rainbow.calls["accept"] == 0


def test_a_handle_is_its_own_jobs_when_a_number_came_twice(harness: Harness) -> None:
    """Both jobs of the number were found in the workload manager, and have no handles yet."""
    job = harness.rainbow.put("demo", to_wire(attach(DOCUMENT, make_handle(7))))
    (row,) = harness.rainbow.receive("demo", harness.session.secret.reveal(), 1)
    tasks = (PlannedTask("build", 1, (), {}),)
    keys = [JobKey(name, job) for name in (REGISTRATION.id, f"{REGISTRATION.id}.2")]
    digests = ["00", row_digest(row).hex()]
    harness.ledger.adopt(
        [
            FoundJob(key, "demo", "job", 1000.0, tasks, row=digest)
            for key, digest in zip(keys, digests, strict=True)
        ],
        REGISTRATION.host,
        1000.0,
    )
    assert harness.receive() == []
    assert [each.job.key for each in harness.ledger.untold(9)] == keys[1:]


def test_an_empty_answer_is_no_news(harness: Harness) -> None:
    """Nothing waits: nothing new, and not full."""
    assert harness.intake.receive(harness.session) == ([], False)


def test_a_full_answer_says_that_there_may_be_more(harness: Harness) -> None:
    """As many as were asked for beside those that are here already; fewer is all there is."""
    for _ in range(2):
        harness.rainbow.put("demo", TEXT)
    assert harness.intake.receive(harness.session)[1] is False
    harness.rainbow.put("demo", TEXT)
    assert harness.intake.receive(harness.session)[1] is False
    for _ in range(3):
        harness.rainbow.put("demo", TEXT)
    assert harness.intake.receive(harness.session)[1] is True


def test_rows_that_come_again_are_recognised(harness: Harness) -> None:
    """Until they are accepted rainbow sends them with each answer; they are new once."""
    first = harness.rainbow.put("demo", TEXT)
    assert harness.receive() == [first]
    second = harness.rainbow.put("demo", TEXT)
    assert harness.receive() == [second]
    assert harness.receive() == []


@pytest.mark.parametrize("state", [TaskState.PENDING, TaskState.SUBMITTING])
def test_what_is_not_in_the_workload_manager_is_not_accepted(
    harness: Harness, state: TaskState
) -> None:
    """Received, planned, about to be submitted: rainbow keeps its row meanwhile."""
    job = harness.rainbow.put("demo", TEXT)
    harness.receive()
    assert harness.intake.accept(harness.session) == 0
    harness.plan(job, state)
    assert harness.intake.accept(harness.session) == 0
    assert harness.rainbow.waiting("demo") == [job]
    assert harness.rainbow.calls["accept"] == 0, "no ids would be an error of the server"


@pytest.mark.parametrize("state", [TaskState.SUBMITTED, TaskState.RUNNING, None])
def test_what_is_safe_is_accepted_once(harness: Harness, state: TaskState | None) -> None:
    """With an id in the workload manager, or refused: rainbow may forget it."""
    job = harness.rainbow.put("demo", TEXT)
    harness.receive()
    harness.plan(job, state)
    assert harness.intake.accept(harness.session) == 1
    assert harness.rainbow.waiting("demo") == []
    assert harness.accepted(job) == 2000.0
    assert harness.intake.accept(harness.session) == 0
    assert harness.rainbow.calls["accept"] == 1


def test_only_the_safe_ones_of_several_are_accepted(harness: Harness) -> None:
    """One job that waits does not hold the others back."""
    first, second = harness.rainbow.put("demo", TEXT), harness.rainbow.put("demo", TEXT)
    harness.receive()
    harness.plan(first, TaskState.PENDING)
    harness.plan(second, TaskState.SUBMITTED)
    assert harness.intake.accept(harness.session) == 1
    assert harness.rainbow.waiting("demo") == [first]


def test_ids_that_are_gone_are_no_error(harness: Harness) -> None:
    """The reply was lost after rainbow had deleted the row: PARTIAL the second time."""
    job = harness.rainbow.put("demo", TEXT)
    harness.receive()
    harness.plan(job, TaskState.SUBMITTED)
    harness.rainbow.fail("accept", Unavailable("deadline exceeded"), after=True)
    with pytest.raises(Unavailable):
        harness.intake.accept(harness.session)
    assert (harness.rainbow.waiting("demo"), harness.accepted(job)) == ([], None)
    assert harness.intake.accept(harness.session) == 1
    assert harness.accepted(job) == 2000.0


def test_it_is_marked_as_accepted_only_after_rainbow_was_told(harness: Harness) -> None:
    """The other order would leave the row there for ever."""
    job = harness.rainbow.put("demo", TEXT)
    harness.receive()
    harness.plan(job, TaskState.SUBMITTED)
    seen: list[float | None] = []
    harness.rainbow.watch = lambda _: seen.append(harness.accepted(job))
    harness.intake.accept(harness.session)
    assert seen == [None]


def test_an_error_of_rainbow_leaves_all_as_it_was(harness: Harness) -> None:
    """The same call succeeds later."""
    job = harness.rainbow.put("demo", TEXT)
    harness.rainbow.fail("receive", Unavailable("no answer"))
    with pytest.raises(Unavailable):
        harness.receive()
    assert harness.receive() == [job]


def test_a_reply_that_was_lost_is_received_again(harness: Harness) -> None:
    """ReceiveJobs marks nothing on the server."""
    job = harness.rainbow.put("demo", TEXT)
    harness.rainbow.fail("receive", Unavailable("no answer"), after=True)
    with pytest.raises(Unavailable):
        harness.receive()
    assert harness.receive() == [job]


def test_what_could_not_be_written_down_is_not_lost(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger that cannot be written stops the agent; rainbow still has every row."""
    job = harness.rainbow.put("demo", TEXT)

    def full(*_: object) -> None:
        raise LedgerDamaged("disk is full")

    monkeypatch.setattr(harness.ledger, "record_offers", full)
    with pytest.raises(LedgerDamaged):
        harness.intake.receive(harness.session)
    assert harness.rainbow.waiting("demo") == [job]


def test_a_wrong_secret_is_denied(harness: Harness) -> None:
    """It is passed on for the registrar to heal."""
    harness.rainbow.restart(keep_database=False)
    with pytest.raises(RequestDenied):
        harness.intake.receive(harness.session)


def test_a_row_of_another_cluster_is_told_of(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    """It is kept as refused, with the reason; the log has the cluster, cut short."""
    job = harness.rainbow.put("demo", TEXT, says="x" * 500)
    with caplog.at_level(logging.WARNING):
        assert harness.receive() == [job]
    assert "x" * 80 in caplog.text
    assert "x" * 81 not in caplog.text


def test_nothing_of_a_jobspec_or_secret_is_logged(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    """Counts are enough."""
    job = harness.rainbow.put("demo", "environment: {KEY: hush-hush}")
    with caplog.at_level(logging.DEBUG):
        harness.receive()
        harness.plan(job, TaskState.SUBMITTED)
        harness.intake.accept(harness.session)
    assert caplog.records
    assert "hush-hush" not in caplog.text
    assert harness.session.secret.reveal() not in caplog.text


def finished(harness: Harness, job: int) -> None:
    """Received, submitted, accepted."""
    harness.receive()
    harness.plan(job, TaskState.SUBMITTED)
    harness.intake.accept(harness.session)


def test_the_very_same_row_again_is_dropped_and_said(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    """It is accepted again; the log, a condition and a counter say which row it was."""
    job = harness.rainbow.put("demo", TEXT, "nightly")
    finished(harness, job)
    harness.rainbow.put_back("demo", job, TEXT, "nightly")
    assert harness.receive() == []
    assert harness.rainbow.waiting("demo") == []
    assert f"offers job {job} (nightly) again" in caplog.text
    assert harness.counters.rows.values() == {("dropped",): 1}
    assert f"({job})" in harness.reasons()[ConditionName.RAINBOW_REUSES_IDS]


def test_another_job_under_a_number_that_was_taken_is_run_and_said(harness: Harness) -> None:
    """The same text under another name is another job: it is new, and let go once it is safe."""
    job = harness.rainbow.put("demo", TEXT, "monday")
    finished(harness, job)
    harness.rainbow.put_back("demo", job, TEXT, "tuesday")
    (new,), _ = harness.intake.receive(harness.session)
    assert new == JobKey(f"{REGISTRATION.id}.2", job)
    assert harness.rainbow.waiting("demo") == [job]
    assert harness.counters.rows.values() == {("reused",): 1}
    assert ConditionName.RAINBOW_REUSES_IDS in harness.reasons()
    harness.clock.advance(REUSE_SHOWN_S + 1)
    assert harness.receive() == []
    assert harness.reasons() == {}


def test_a_row_that_is_no_job_under_a_number_that_was_taken_is_refused(harness: Harness) -> None:
    """Whatever the number: the reason is kept with the new key."""
    job = harness.rainbow.put("demo", TEXT, "monday")
    finished(harness, job)
    harness.rainbow.put_back("demo", job, TEXT, "tuesday", says="green")
    (new,), _ = harness.intake.receive(harness.session)
    row = harness.ledger.job(new)
    assert row is not None
    assert row.state is JobState.REFUSED


def held_row(harness: Harness) -> int:
    """A job that was received and submitted, and not accepted yet."""
    job = harness.rainbow.put("demo", TEXT, "monday")
    harness.receive()
    harness.plan(job, TaskState.SUBMITTED)
    return job


def test_what_was_listed_now_is_accepted_with_one_call(harness: Harness) -> None:
    """Receive, submit, accept: rainbow is asked twice."""
    held_row(harness)
    assert harness.intake.accept(harness.session) == 1
    assert (harness.rainbow.calls["receive"], harness.rainbow.calls["accept"]) == (1, 1)


def test_a_number_that_became_another_jobs_is_not_accepted(harness: Harness) -> None:
    """Rainbow's database was put back meanwhile: the new job is received, and runs."""
    job = held_row(harness)
    harness.clock.advance(LISTING_HOLDS_S + 1)
    harness.rainbow.put_back("demo", job, TEXT, "tuesday")
    assert harness.intake.accept(harness.session) == 1, "rainbow no longer has the row"
    assert harness.rainbow.calls["accept"] == 0
    assert harness.rainbow.waiting("demo") == [job]
    assert harness.accepted(job) == harness.clock.now()
    (new,), _ = harness.intake.receive(harness.session)
    assert new == JobKey(f"{REGISTRATION.id}.2", job)


def test_a_number_that_became_another_jobs_is_received_first(harness: Harness) -> None:
    """What a round receives is stored before anything is accepted."""
    job = held_row(harness)
    harness.rainbow.put_back("demo", job, TEXT, "tuesday")
    (new,), _ = harness.intake.receive(harness.session)
    assert new == JobKey(f"{REGISTRATION.id}.2", job)
    assert harness.intake.accept(harness.session) == 0, "the new one is not safe yet"
    assert harness.rainbow.waiting("demo") == [job]


def test_an_old_listing_is_made_anew_before_rows_are_accepted(harness: Harness) -> None:
    """It is the same row still: accepted; a new job is left alone meanwhile."""
    job = held_row(harness)
    harness.clock.advance(LISTING_HOLDS_S + 1)
    new = harness.rainbow.put("demo", TEXT)
    assert harness.intake.accept(harness.session) == 1
    assert harness.rainbow.waiting("demo") == [new]
    assert harness.ledger.job(JobKey(REGISTRATION.id, new)) is None
    assert harness.accepted(job) == harness.clock.now()


def test_a_limit_counts_new_jobs_only(harness: Harness) -> None:
    """What waits to be accepted is listed besides; new rows beyond the limit stay in rainbow."""
    job = held_row(harness)
    first, second = harness.rainbow.put("demo", TEXT), harness.rainbow.put("demo", TEXT)
    (key,), full = harness.intake.receive(harness.session, 1)
    assert (key.id, full) == (first, False)
    assert harness.intake.accept(harness.session) == 1
    assert harness.rainbow.waiting("demo") == [first, second]
    assert harness.accepted(job) is not None


def test_a_row_that_is_not_in_a_listing_which_is_not_whole_waits(harness: Harness) -> None:
    """Whether rainbow has it is not known: it is neither accepted nor taken for gone."""
    job = held_row(harness)
    harness.rainbow.put_first("demo", [harness.rainbow.put("demo", TEXT) for _ in range(6)])
    harness.clock.advance(LISTING_HOLDS_S + 1)
    assert harness.intake.accept(harness.session) == 0
    assert harness.accepted(job) is None
    for other in harness.receive():
        harness.plan(other, TaskState.SUBMITTED)
    harness.intake.accept(harness.session)
    harness.receive()
    harness.intake.accept(harness.session)
    assert harness.accepted(job) is not None


def test_it_says_whether_there_were_rows_that_are_no_jobs(harness: Harness) -> None:
    """Somebody asks something, and may have more to ask: the agent polls soon again."""
    harness.jobs_among = lambda offers: [o for o in offers if o.name == "job"]
    for name, asks in (("job", False), ("question", True)):
        harness.rainbow.put("demo", TEXT, name)
        harness.receive()
        assert harness.intake.asked == asks
