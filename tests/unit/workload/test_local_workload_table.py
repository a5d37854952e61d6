"""The rules of the local workload manager: what may run when, and what the end of a job means."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rainbow_agent.core.errors import Rejected
from rainbow_agent.core.workload_values import EventKind, WorkloadEvent
from rainbow_agent.workload.local.server.job_table import JobTable
from rainbow_agent.workload.local.server.machine import Machine
from rainbow_agent.workload.local.server.request import (
    Dependency,
    DependencyKind,
    JobRequest,
    Resources,
)

MACHINE = Machine("here", cores=4)


def request(
    cores: int = 1, after: Sequence[Dependency] = (), *, nodes: int = 0, gpus: int = 0
) -> JobRequest:
    """A job that runs `true`."""
    needs = Resources(nodes, 1, cores, gpus)
    return JobRequest(needs, ("true",), dependencies=tuple(after))


def afterok(*jobs: int) -> list[Dependency]:
    """Dependencies on jobs that must end well."""
    return [Dependency(DependencyKind.AFTEROK, job) for job in jobs]


def kinds(events: Sequence[WorkloadEvent]) -> list[tuple[int, str]]:
    """Events as (job, kind or type of exception)."""
    return [(e.flux_id, e.exception or e.kind.value) for e in events]


def started(table: JobTable) -> list[int]:
    """The jobs that start now."""
    return [job.id for job in table.start_ready(1.0)[0]]


def test_jobs_start_in_order_as_long_as_cores_are_free() -> None:
    """Cores limit what runs at once, and give way when a job ends."""
    table = JobTable(MACHINE)
    for job in range(1, 7):
        table.submit(job, request(), 0.0)
    assert started(table) == [1, 2, 3, 4]
    assert table.cores_free == 0
    table.finish(3, 0, 2.0)
    assert started(table) == [5]


def test_a_big_job_is_not_starved_by_small_ones() -> None:
    """A job that does not fit yet holds up those that were submitted after it."""
    table = JobTable(MACHINE)
    table.submit(1, request(2), 0.0)
    table.submit(2, request(4), 0.0)
    table.submit(3, request(1), 0.0)
    assert started(table) == [1]
    table.finish(1, 0, 2.0)
    assert started(table) == [2]
    table.finish(2, 0, 3.0)
    assert started(table) == [3]


def test_an_exclusive_job_takes_the_whole_node() -> None:
    """`exclusive` means all cores, however few the slot names."""
    table = JobTable(MACHINE)
    table.submit(1, JobRequest(Resources(1, 1, 1, 0, exclusive=True), ("true",)), 0.0)
    table.submit(2, request(), 0.0)
    assert started(table) == [1]
    assert table.cores_free == 0


def test_a_job_waits_for_all_it_depends_on() -> None:
    """afterok: it starts when the last of them has ended well, and its wait blocks no other job."""
    table = JobTable(MACHINE)
    table.submit(1, request(), 0.0)
    table.submit(2, request(), 0.0)
    table.submit(3, request(after=afterok(1, 2)), 0.0)
    table.submit(4, request(), 0.0)
    assert started(table) == [1, 2, 4]
    table.finish(1, 0, 2.0)
    assert started(table) == []
    table.finish(2, 0, 3.0)
    assert started(table) == [3]


def test_a_failure_ends_a_whole_chain_of_any_length() -> None:
    """Whatever can never run is over at once, with Flux's words, link by link."""
    table = JobTable(MACHINE)
    table.submit(1, request(), 0.0)
    for job in range(2, 3001):
        table.submit(job, request(after=afterok(job - 1)), 0.0)
    assert started(table) == [1]
    events = table.finish(1, 256, 2.0)
    assert len(table) == 0
    assert kinds(events)[:4] == [(1, "finish"), (1, "clean"), (2, "dependency"), (2, "clean")]
    assert events[2].note == "dependency after-success=1 can never be satisfied"
    assert kinds(events)[-1] == (3000, "clean")


def test_the_other_conditions_wait_for_a_failure_or_for_any_end() -> None:
    """A job with afternotok runs after a failure, one with afterany after anything."""
    table = JobTable(MACHINE)
    table.submit(1, request(), 0.0)
    table.submit(2, request(after=[Dependency(DependencyKind.AFTERNOTOK, 1)]), 0.0)
    table.submit(3, request(after=[Dependency(DependencyKind.AFTERANY, 1)]), 0.0)
    assert started(table) == [1]
    table.finish(1, 9, 2.0)
    assert started(table) == [2, 3]


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (Dependency(DependencyKind.AFTEROK, 99), "afterok: id 99: job not found"),
        (Dependency(DependencyKind.AFTEROK, 1), "afterok: job 1 failed or was canceled"),
        (Dependency(DependencyKind.AFTERNOTOK, 2), "afternotok: job 2 succeeded"),
    ],
)
def test_a_dependency_that_is_decided_already_refuses_the_submit(
    after: Dependency, words: str
) -> None:
    """As in Flux, such a job does not come into being; one that is met already just runs."""
    table = JobTable(MACHINE)
    table.recall(1, ok=False)
    table.recall(2, ok=True)
    with pytest.raises(Rejected, match=words):
        table.submit(3, request(after=[after]), 0.0)
    assert len(table) == 0
    table.submit(4, request(after=afterok(2)), 0.0)
    assert started(table) == [4]


@pytest.mark.parametrize(
    ("never", "words"),
    [
        (request(cores=5), "5 core"),
        (request(nodes=2), "2 nodes"),
        (request(gpus=1), "1 GPU"),
        (
            JobRequest(Resources(slots=1, cores=1), ("true",), constraints={"ranks": ["1"]}),
            "constraints",
        ),
    ],
)
def test_what_never_fits_is_over_at_once(never: JobRequest, words: str) -> None:
    """An unsatisfiable job is taken, and gets an `alloc` exception and its end."""
    table = JobTable(MACHINE)
    events = table.submit(1, never, 0.0)
    assert kinds(events) == [(1, "submit"), (1, "alloc"), (1, "clean")]
    assert events[1].note.startswith("unsatisfiable request: ")
    assert words in events[1].note
    assert events[1].severity == 0


def test_a_canceled_job_that_waits_is_over_and_one_that_runs_ends_later() -> None:
    """A cancel is reported once; cores come back when the processes are gone."""
    table = JobTable(MACHINE)
    table.submit(1, request(4), 0.0)
    table.submit(2, request(), 0.0)
    assert started(table) == [1]
    assert kinds(table.raise_exception(2, "cancel", "no", 1.0)) == [(2, "cancel"), (2, "clean")]
    assert kinds(table.raise_exception(1, "cancel", "no", 1.0)) == [(1, "cancel")]
    assert table.raise_exception(1, "timeout", "late", 1.0) == []
    assert table.raise_exception(77, "cancel", "", 1.0) == []
    assert table.cores_free == 0
    assert kinds(table.finish(1, 0, 2.0)) == [(1, "finish"), (1, "clean")]
    with pytest.raises(Rejected, match="job 1 failed"):
        table.submit(3, request(after=afterok(1)), 3.0)


@given(st.lists(st.tuples(st.integers(1, 4), st.sets(st.integers(0, 19))), max_size=20))
@settings(max_examples=60, deadline=None)
def test_every_job_runs_once_after_all_it_depends_on(jobs: list[tuple[int, set[int]]]) -> None:
    """Any graph of jobs that all end well is run to its end, within the cores there are."""
    table = JobTable(MACHINE)
    depends = {i: sorted(d for d in after if d < i) for i, (_, after) in enumerate(jobs)}
    for i, (cores, _) in enumerate(jobs):
        table.submit(i, request(cores, afterok(*depends[i])), 0.0)
    ended: list[int] = []
    running: list[int] = []
    while len(table):
        running += started(table)
        assert 0 <= table.cores_free <= MACHINE.cores
        job = running.pop(0)
        assert set(depends[job]) <= set(ended)
        table.finish(job, 0, 1.0)
        ended.append(job)
    assert sorted(ended) == list(range(len(jobs)))


class TableMachine(RuleBasedStateMachine):
    """Submits, cancels, starts and ends in any order: the journal always tells a sane story."""

    def __init__(self) -> None:
        super().__init__()
        self.table = JobTable(MACHINE)
        self.stories: dict[int, list[WorkloadEvent]] = {}
        self.cores: dict[int, int] = {}
        self.last = 0

    def note(self, events: Sequence[WorkloadEvent]) -> None:
        """Keep events by job."""
        for event in events:
            self.stories.setdefault(event.flux_id, []).append(event)

    @rule(cores=st.integers(1, 5), back=st.lists(st.integers(1, 6), max_size=2))
    def submit(self, cores: int, back: list[int]) -> None:
        """A job that may depend on some of the last ones."""
        self.last += 1
        after = afterok(*{self.last - b for b in back if self.last > b})
        self.cores[self.last] = cores
        try:
            self.note(self.table.submit(self.last, request(cores, after), 0.0))
        except Rejected:
            assert self.last not in self.stories

    @rule(back=st.integers(0, 6))
    def cancel(self, back: int) -> None:
        """An exception on some job."""
        self.note(self.table.raise_exception(self.last - back, "cancel", "", 0.0))

    @rule()
    def start(self) -> None:
        """A turn of the server."""
        self.note(self.table.start_ready(0.0)[1])

    @precondition(lambda self: self.table.running())
    @rule(which=st.integers(0, 3), status=st.sampled_from([0, 256]))
    def finish(self, which: int, status: int) -> None:
        """The processes of some job are gone."""
        running = self.table.running()
        self.note(self.table.finish(running[which % len(running)].id, status, 0.0))

    @invariant()
    def stories_are_sane(self) -> None:
        """Submit first, start at most once, clean last and once, cores never overbooked."""
        for job, story in self.stories.items():
            names = [event.kind for event in story]
            assert names[0] is EventKind.SUBMIT
            assert names.count(EventKind.START) <= 1
            assert names.count(EventKind.EXCEPTION) <= 1
            assert (names[-1] is EventKind.CLEAN) == (self.table.get(job) is None)
            assert EventKind.CLEAN not in names[:-1]
            if EventKind.FINISH in names:
                assert EventKind.START in names
        running = self.table.running()
        assert sum(self.cores[job.id] for job in running) == MACHINE.cores - self.table.cores_free


TestTableMachine = TableMachine.TestCase
TestTableMachine.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
