"""For tests: what must hold of every ledger, one that is checked, and jobs to put into it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

from rainbow_agent.core.model import (
    WARNING,
    JobKey,
    JobRow,
    Offer,
    Plan,
    PlannedJob,
    PlannedTask,
    Registration,
    StoryLine,
    TaskChange,
    TaskKey,
    TaskRow,
)
from rainbow_agent.core.states import (
    FINAL_JOB_STATES,
    FINAL_TASK_STATES,
    JOB_MOVES,
    TASK_MOVES,
    JobState,
    TaskState,
    job_state_of,
)
from rainbow_agent.storage.ledger import SqliteLedger

_STARTED = {TaskState.RUNNING, TaskState.COMPLETED}
_UNSENT = {TaskState.PENDING, TaskState.SUBMITTING}
#: Stand in a story beside the names of states.
_ACCEPTED, _OFFERED_AGAIN = "accepted", "offered again"
_NO_MOVES = (_ACCEPTED, _OFFERED_AGAIN, WARNING)

REGISTRATION = Registration(id="r1", cluster="demo", host="127.0.0.1:50051", opened=1000.0)
#: The one after it.
NEXT = Registration(id="r2", cluster="demo", host="127.0.0.1:50051", opened=2000.0)


def offer(job_id: int, name: str = "job") -> Offer:
    """A row of ReceiveJobs, with a jobspec that says which."""
    return Offer(job_id, name, REGISTRATION.cluster, f"version: 1 # {job_id}")


def planned(key: JobKey, *tasks: str | tuple[str, int], name: str = "") -> PlannedJob:
    """A plan: tasks by name, or by name and replicas, each depending on the one before."""
    pairs = [(task, 1) if isinstance(task, str) else task for task in tasks]
    before: list[tuple[str, ...]] = [(), *((task,) for task, _ in pairs)]
    found = zip(pairs, before, strict=False)
    plan = Plan(name, tuple(PlannedTask(task, n, needs, {}) for (task, n), needs in found))
    return PlannedJob(key, plan)


def add_job(
    ledger: SqliteLedger,
    job_id: int,
    *tasks: str | tuple[str, int],
    registration: Registration = REGISTRATION,
    at: float = 1001.0,
) -> JobKey:
    """Open the registration, receive a job and, where tasks are given, plan it."""
    with ledger.transaction():
        ledger.open_registration(registration)
        ledger.record_offers(registration.id, [offer(job_id)], at)
        key = JobKey(registration.id, job_id)
        if tasks:
            ledger.record_plans([planned(key, *tasks)], [], at)
    return key


def news(
    job: JobKey, task: str, state: TaskState, at: float = 1002.0, *, replica: int = 0, **facts: Any
) -> TaskChange:
    """News of one replica of one task; `facts` are TaskChange's."""
    return TaskChange(TaskKey(job, task, replica), state, at, f"it is {state.value}", **facts)


@contextmanager
def checked_ledger(path: Path) -> Iterator[SqliteLedger]:
    """A ledger at `path`, closed at the end; then opened again and its invariants checked."""
    ledger = SqliteLedger.open(path)
    try:
        yield ledger
    finally:
        ledger.close()
    again = SqliteLedger.open(path)
    try:
        check_invariants(again)
    finally:
        again.close()


def check_invariants(ledger: SqliteLedger) -> None:
    """What holds of a ledger between any two calls.

    Raises:
        AssertionError: it does not; the message names the job and the rule.
    """
    jobs = ledger.jobs()
    tally = Counter(job.state for job in jobs)
    _expect(ledger.counts() == {state: tally[state] for state in JobState}, "counts: as in jobs()")
    still_open = sum(job.state not in FINAL_JOB_STATES for job in jobs)
    _expect(ledger.open_jobs() == still_open, "open_jobs: as in jobs()")
    for job in jobs:
        story = ledger.story(job.key)
        _check_job(job, again=_went_back(story))
        _check_story(job, story)
        _expect(ledger.tasks_of(job.key) == list(job.tasks), f"{job.key}: tasks_of as in jobs()")
    unplanned = [job.key for job in jobs if _is_unplanned(job)]
    _expect(ledger.unplanned() == unplanned, "unplanned: received without tasks, oldest first")
    _check_unaccepted(ledger, jobs)


def _went_back(story: list[StoryLine]) -> bool:
    """Whether a task was submitted to a second instance: the job may have started before."""
    back = {TaskState.SUBMITTED.value, TaskState.RUNNING.value}
    return any(line.was in back and line.now == TaskState.PENDING.value for line in story)


def _check_job(job: JobRow, *, again: bool) -> None:
    final = job.state in FINAL_JOB_STATES
    _expect((job.finished is not None) == final, f"{job.key}: finished if and only if final")
    if job.state is JobState.REFUSED and not job.tasks:
        _expect(bool(job.reason), f"{job.key}: a refusal has a reason")
    if job.tasks:
        _expect(
            job.state in _possible_states(job, again=again),
            f"{job.key}: {job.state} follows from tasks",
        )
    else:
        alone = {JobState.RECEIVED, JobState.REFUSED, JobState.CANCELED}
        _expect(job.state in alone, f"{job.key}: {job.state} needs tasks")
    for task in job.tasks:
        _check_task(task)
    over = {t.key.task for t in job.tasks if t.group is None and t.state in FINAL_TASK_STATES}
    for task in job.tasks:
        if task.group in over:
            over.add(task.key.task)
            ended = task.state in FINAL_TASK_STATES
            _expect(ended, f"{task.key}: its group is over, so it is as well")


def _possible_states(job: JobRow, *, again: bool) -> set[JobState]:
    """The states that a job's tasks allow.

    Whether a task is unsatisfiable is not shown; and when the news that a task had started comes
    after the job's end, it is too late for the job.
    """
    outer = [task for task in job.tasks if task.group is None]
    counts = Counter(task.state for task in outer)
    started = any(task.started is not None or task.state in _STARTED for task in outer)
    late = counts.keys() <= FINAL_TASK_STATES and TaskState.COMPLETED not in counts
    return {
        job_state_of(counts, started=begun, unsatisfiable=unsatisfiable)
        for begun in ({False, True} if again else {False, started} if late else {started})
        for unsatisfiable in (False, True)
    }


def _check_task(task: TaskRow) -> None:
    final = task.state in FINAL_TASK_STATES
    _expect((task.finished is not None) == final, f"{task.key}: finished if and only if final")
    if task.state is TaskState.RUNNING:
        _expect(task.started is not None, f"{task.key}: it runs, so it has started")
    if task.state in _UNSENT:
        _expect(task.submitted is None and task.started is None, f"{task.key}: not sent yet")
    if task.state is TaskState.SUBMITTED:
        _expect(task.submitted is not None, f"{task.key}: it was submitted at some time")
        _expect(task.started is None, f"{task.key}: it has not started")


def _check_story(job: JobRow, story: list[StoryLine]) -> None:
    moves = [line for line in story if line.task is None and line.now not in _NO_MOVES]
    _expect(moves[0].was is None, f"{job.key}: its story begins")
    allowed = {(was.value, now.value) for was, now in JOB_MOVES}
    _check_chain(moves[0].now, moves[1:], allowed, job.state.value, str(job.key))
    accepted = [line.at for line in story if line.now == _ACCEPTED]
    _expect(accepted == [t for t in (job.accepted,) if t is not None], f"{job.key}: accepted once")
    allowed = {(was.value, now.value) for was, now in TASK_MOVES}
    lines = sorted(
        (line for line in story if line.replica is not None),
        key=lambda line: (line.task or "", line.replica or 0),
    )
    chains = {key: list(of) for key, of in groupby(lines, lambda line: (line.task, line.replica))}
    for task in job.tasks:
        chain = chains.pop((task.key.task, task.key.replica), [])
        _check_chain(TaskState.PENDING.value, chain, allowed, task.state.value, str(task.key))
    _expect(not chains, f"{job.key}: the story tells only of its tasks")


def _check_chain(
    first: str, moves: list[StoryLine], allowed: set[tuple[str, str]], last: str, name: str
) -> None:
    state = first
    for line in moves:
        _expect(line.was == state, f"{name}: {line.was} follows {state} in its story")
        _expect((state, line.now) in allowed, f"{name}: {state} -> {line.now} is allowed")
        state = line.now
    _expect(state == last, f"{name}: its story ends with {last}")


def _check_unaccepted(ledger: SqliteLedger, jobs: list[JobRow]) -> None:
    """Every job that is safe to let go is accepted or offered for it; no other is either."""
    waiting: dict[str, list[int]] = {job.key.registration: [] for job in jobs}
    for job in jobs:
        story = ledger.story(job.key)
        safe = job.accepted is None or _is_safe(job) or _went_back(story)
        _expect(safe, f"{job.key}: accepted only when safe")
        offered = [line.cause.rpartition(" ")[2] for line in story if line.now == _OFFERED_AGAIN]
        if job.accepted is None and _is_safe(job):
            waiting.setdefault((offered or [job.key.registration])[-1], []).append(job.key.id)
    for registration, ids in waiting.items():
        _expect(ledger.unaccepted(registration) == sorted(ids), f"unaccepted of {registration}")


def _is_safe(job: JobRow) -> bool:
    if job.state is JobState.REFUSED or (job.state is JobState.CANCELED and not job.tasks):
        return True
    return bool(job.tasks) and not any(
        task.state in _UNSENT for task in job.tasks if task.group is None
    )


def _is_unplanned(job: JobRow) -> bool:
    return job.state is JobState.RECEIVED and not job.tasks


def _expect(holds: bool, rule: str) -> None:
    if not holds:
        raise AssertionError(f"the ledger breaks a rule: {rule}")
