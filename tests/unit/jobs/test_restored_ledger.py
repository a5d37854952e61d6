"""The ledger is put back to an older copy, the workload manager has its whole history.

For each state that a job can be in when the copy is made: nothing runs a second time, and every
task ends as the workload manager says it did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from rainbow_agent.core.errors import WorkloadUnavailable
from rainbow_agent.core.model import (
    JobKey,
    Offer,
    Plan,
    PlannedJob,
    Registration,
    TaskChange,
    TaskKind,
)
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.jobs.dispatcher import Dispatcher
from rainbow_agent.jobs.jobs import Jobs
from rainbow_agent.jobs.journal import JournalFollower
from rainbow_agent.runtime.loops import Telemetry
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage.ledger import SqliteLedger
from support.common import Background, FakeClock, jobspec_json, plan_json
from support.dispatch import DIAMOND
from support.ledger import check_invariants
from support.workload import FakeWorkload
from support.workload_connection import Break

#: Jobs that come at once.
BURST = 40
R1 = Registration("r1", "blue", "127.0.0.1:1", 1.0)
TEXT = jobspec_json(DIAMOND)
FLAT = jobspec_json({"build": []})


class Agent:
    """A ledger, what submits from it, and the thread that follows the journal."""

    def __init__(
        self, path: Path, server: FakeWorkload, plan_text: Callable[[str], Plan] = plan_json
    ) -> None:
        self.ledger, self.server = SqliteLedger.open(path), server
        self.ledger.open_registration(R1)
        self.clock, self.stop = FakeClock(), Stop()
        telemetry = Telemetry(self.clock)
        self.journal = JournalFollower(
            open_workload=server.connect,
            open_ledger=lambda: SqliteLedger.open(path),
            clock=self.clock,
            stop=self.stop,
            on_change=lambda _: None,
            telemetry=telemetry,
            cluster="blue",
            host=R1.host,
        )
        self.jobs = Jobs(
            ledger=self.ledger,
            journal=self.journal,
            open_dispatcher=lambda: Dispatcher(
                ledger=self.ledger,
                workload=server.connect(),
                plan_text=plan_text,
                site=lambda: None,  # type: ignore[arg-type, return-value] # no job asks for it
                environment={},
                clock=self.clock,
                grace=25.0,
                on_change=lambda _: None,
                cluster="blue",
            ),
            on_change=lambda _: None,
            clock=self.clock,
            conditions=telemetry.conditions,
        )
        self.journal.EVENT_WAIT_S = 0.05  # seconds; how soon it sees a stop
        self.thread = Background(self.journal.run)

    def submit(self) -> None:
        """Until nothing is left to submit."""
        self.thread.wait(
            lambda: (
                self.jobs.submit(self.stop, 5.0)
                and not (self.jobs.unfinished() or self.jobs.behind())
            ),
            "all is submitted",
        )

    def hears_all(self) -> None:
        """Until the ledger has every end."""
        self.thread.wait(lambda: not self.ledger.open_jobs(), "every job is over")


@contextmanager
def started(
    path: Path, server: FakeWorkload, plan_text: Callable[[str], Plan] = plan_json
) -> Iterator[Agent]:
    agent = Agent(path, server, plan_text)
    with closing(agent.ledger):
        agent.thread.start()
        try:
            yield agent
        finally:
            agent.stop.set("the test is over")
            agent.thread.end()
            agent.jobs.close()


def receive(agent: Agent, text: str) -> list[JobKey]:
    offers = [Offer(n, f"job {n}", "blue", text) for n in range(1, BURST + 1)]
    return agent.ledger.record_offers("r1", offers, agent.clock.now())


def plan(agent: Agent, keys: list[JobKey]) -> None:
    """They have tasks, and nothing of them is submitted."""
    texts = agent.ledger.jobspecs(keys)
    agent.ledger.record_plans([PlannedJob(key, plan_json(texts[key])) for key in keys], [], 2.0)


def mark(agent: Agent) -> None:
    """The intent to submit is on the disk."""
    rows = agent.ledger.tasks_in({TaskState.PENDING})
    agent.ledger.apply([TaskChange(r.key, TaskState.SUBMITTING, 2.0, "about to be") for r in rows])


def start_all(server: FakeWorkload) -> None:
    for flux_id, job in list(server.jobs.items()):
        if job.may_start():
            server.start(flux_id)


def finish_all(server: FakeWorkload, failing: str) -> None:
    """Run everything to its end; tasks of this name fail."""
    while any(job.may_start() or job.running for job in server.jobs.values()):
        start_all(server)
        for flux_id, job in list(server.jobs.items()):
            if job.running:
                server.finish(flux_id, 256 if job.key.task == failing else 0)


def states(ledger: SqliteLedger) -> dict[str, tuple[JobState, list[tuple[str, TaskState]]]]:
    return {
        str(job.key): (job.state, [(task.key.task, task.state) for task in job.tasks])
        for job in ledger.jobs()
    }


#: The states in the order in which a job passes them; the copy is made when it is in one.
STAGES = ("received", "planned", "submitting", "submitted", "running", "ended", "accepted")


@pytest.mark.parametrize("failing", ["", "left"])
@pytest.mark.parametrize("text", [FLAT, TEXT], ids=["one task", "four tasks"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_burst_that_was_in_one_state_when_the_copy_was_made(
    tmp_path: Path, stage: str, text: str, failing: str
) -> None:
    """No task becomes a second job, and what each became is what it was before the restore."""
    path, copy, server = tmp_path / "ledger.sqlite", tmp_path / "copy.sqlite", FakeWorkload()

    def reached(now: str) -> None:
        if now == stage:
            agent.ledger.save(copy)

    with started(path, server) as agent:
        steps: dict[str, Callable[[], object]] = {
            "received": lambda: keys.extend(receive(agent, text)),
            "planned": lambda: plan(agent, keys),
            "submitting": lambda: mark(agent),
            "submitted": agent.submit,
            "running": lambda: run_all(agent),
            "ended": lambda: end_all(agent, failing),
            "accepted": lambda: agent.ledger.mark_accepted("r1", [k.id for k in keys], 9.0),
        }
        keys: list[JobKey] = []
        agent.thread.wait(agent.journal.caught_up.is_set, "the journal was read")
        for now in STAGES:
            if now == "submitted":
                agent.journal.request_resync()  # as a start does: what is marked was never sent
                agent.thread.wait(agent.journal.caught_up.is_set, "the journal was read again")
            steps[now]()
            reached(now)
        before = states(agent.ledger)
    with started(copy, server) as agent:
        agent.submit()
        agent.hears_all()
        assert states(agent.ledger) == before
        check_invariants(agent.ledger)
    assert set(server.became_job.values()) == {1}


def run_all(agent: Agent) -> None:
    start_all(agent.server)
    agent.thread.wait(lambda: agent.ledger.tasks_in({TaskState.RUNNING}), "it is in the ledger")


def end_all(agent: Agent, failing: str) -> None:
    finish_all(agent.server, failing)
    agent.hears_all()


def test_a_job_that_was_half_submitted_after_the_copy(tmp_path: Path) -> None:
    """What is in the workload manager stays one job, the rest follows it."""
    path, copy, server = tmp_path / "ledger.sqlite", tmp_path / "copy.sqlite", FakeWorkload()
    with started(path, server) as agent:
        agent.thread.wait(agent.journal.caught_up.is_set, "the journal was read")
        receive(agent, TEXT)
        agent.ledger.save(copy)
        server.break_at_submit(BURST * 3 // 2, Break.AFTER)
        with pytest.raises(WorkloadUnavailable):
            agent.submit()
    half = len(server.became_job)
    assert 0 < half < BURST * len(DIAMOND)
    with started(copy, server) as agent:
        agent.submit()
        finish_all(server, "")
        agent.hears_all()
        assert agent.ledger.counts()[JobState.COMPLETED] == BURST
    assert len(server.became_job) == BURST * len(DIAMOND)
    assert set(server.became_job.values()) == {1}


@pytest.mark.parametrize("half", [False, True], ids=["whole", "half"])
def test_a_number_that_came_twice_after_the_copy(tmp_path: Path, half: bool) -> None:
    """Rainbow was put back, gave the number to another job, and offers neither row any more."""
    path, copy, server = tmp_path / "ledger.sqlite", tmp_path / "copy.sqlite", FakeWorkload()
    first, second = (Offer(1, name, "blue", TEXT) for name in ("first", "second"))
    with started(path, server) as agent:
        agent.thread.wait(agent.journal.caught_up.is_set, "the journal was read")
        agent.ledger.save(copy)
        agent.ledger.record_offers("r1", [first], 2.0)
        agent.submit()
        (twice,) = agent.ledger.record_offers("r1", [second], 2.0)
        if half:
            server.break_at_submit(2, Break.AFTER)
            with pytest.raises(WorkloadUnavailable):
                agent.submit()
        else:
            agent.submit()
    with started(copy, server) as agent:
        agent.thread.wait(agent.journal.caught_up.is_set, "the journal was read")
        agent.jobs.nothing_offered()
        finish_all(server, "")
        agent.thread.wait(lambda: agent.ledger.job(twice), "the ledger has it")
        agent.submit()
        agent.hears_all()
        ends = {key: state for key, (state, _) in states(agent.ledger).items()}
        # Of the half that never came to be nobody knows the jobspec any more.
        end = JobState.FAILED if half else JobState.COMPLETED
        assert ends == {"r1/1": JobState.COMPLETED, str(twice): end}
    assert set(server.became_job.values()) == {1}


def row_of(server: FakeWorkload, flux_id: int | None) -> str:
    """The digest of rainbow's row in a job of the workload manager."""
    assert flux_id is not None
    jobspec = server.jobs[flux_id].submission.jobspec
    return str(jobspec["attributes"]["user"]["rainbow"]["origin"]["row"])


def test_a_number_that_another_job_has_now_when_half_of_the_first_is_there(tmp_path: Path) -> None:
    """Both databases were put back: the new job runs, and the old one's rest follows its row."""
    path, copy, server = tmp_path / "ledger.sqlite", tmp_path / "copy.sqlite", FakeWorkload()
    first, second = (Offer(1, name, "blue", TEXT) for name in ("first", "second"))
    with started(path, server) as agent:
        agent.thread.wait(agent.journal.caught_up.is_set, "the journal was read")
        agent.ledger.save(copy)
        agent.ledger.record_offers("r1", [first], 2.0)
        server.break_at_submit(2, Break.AFTER)
        with pytest.raises(WorkloadUnavailable):
            agent.submit()
    with started(copy, server) as agent:
        agent.thread.wait(agent.journal.caught_up.is_set, "the journal was read")
        keys: list[JobKey] = []
        for offered in (second, first):
            keys += agent.ledger.record_offers("r1", [offered], 3.0)
            agent.submit()
        finish_all(server, "")
        agent.hears_all()
        assert agent.ledger.counts()[JobState.COMPLETED] == 2
        digests = agent.ledger.row_digests(keys)
        rows = {
            key: {row_of(server, task.flux_id) for task in agent.ledger.tasks_of(key)}
            for key in keys
        }
        assert rows == {key: {digests[key]} for key in keys}, "no task of the other job's counts"
    assert keys == [JobKey("r1.2", 1), JobKey("r1", 1)]
    assert len(server.became_job) == 2 * len(DIAMOND)
    assert set(server.became_job.values()) == {1}


def test_a_group_that_was_not_planned_in_the_copy(tmp_path: Path) -> None:
    """It is planned again, so that what is inside it is known; what depends on it is canceled."""
    path, copy, server = tmp_path / "ledger.sqlite", tmp_path / "copy.sqlite", FakeWorkload()
    outer = plan_json(jobspec_json({"g": [], "after": ["g"]})).tasks
    inside = plan_json(jobspec_json({"g/a": [], "g/b": ["g/a"]})).tasks
    group = replace(outer[0], kind=TaskKind.GROUP, tasks=inside)
    grouped = Plan("", (group, outer[1]))
    with started(path, server, lambda _: grouped) as agent:
        agent.thread.wait(agent.journal.caught_up.is_set, "the journal was read")
        receive(agent, TEXT)
        agent.ledger.save(copy)
        agent.submit()
        end_all(agent, "g")
        before = states(agent.ledger)
    with started(copy, server, lambda _: grouped) as agent:
        agent.submit()
        agent.hears_all()
        assert states(agent.ledger) == before
        tasks = agent.ledger.tasks_of(JobKey("r1", 1))
    assert [(task.key.task, task.state) for task in tasks if task.group is None] == [
        ("g", TaskState.FAILED),
        ("after", TaskState.CANCELED),
    ]
    assert {task.key.task for task in tasks if task.group} == {"g/a", "g/b"}
    assert set(server.became_job.values()) == {1}


def test_another_version_that_plans_other_tasks_runs_none_of_them(tmp_path: Path) -> None:
    """What is in the workload manager under names that the plan does not have is not mixed up."""
    path, copy, server = tmp_path / "ledger.sqlite", tmp_path / "copy.sqlite", FakeWorkload()
    with started(path, server) as agent:
        agent.thread.wait(agent.journal.caught_up.is_set, "the journal was read")
        (key,) = agent.ledger.record_offers("r1", [Offer(1, "job", "blue", TEXT)], 2.0)
        agent.ledger.save(copy)
        server.refuse = lambda s: "not this one" if s.key.task == "report" else None
        agent.submit()
    other = jobspec_json({"compile": [], "run": ["compile"]})
    with closing(SqliteLedger.open(copy)) as ledger, ledger._connection.write() as db:
        db.execute("UPDATE offer SET jobspec = ?, crc = NULL", (other,))
    before = dict(server.became_job)
    with started(copy, server) as agent:
        agent.submit()
        agent.thread.wait(lambda: not agent.ledger.open_jobs(), "it is over")
        row = agent.ledger.job(key)
        assert row is not None
        assert row.state in (JobState.FAILED, JobState.REFUSED)
        assert "plans other tasks" in (row.reason or "")
    assert dict(server.became_job) == before
