"""From journal events to news of tasks, with sequences as Flux's journal has them (RFC 21)."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.core.lineage import Gone, Known
from rainbow_agent.core.model import JobKey, TaskChange, TaskKey, TaskRow
from rainbow_agent.core.notation import exit_code
from rainbow_agent.core.states import TaskState
from rainbow_agent.core.workload_values import EventKind, WorkloadEvent
from rainbow_agent.jobs.journal import missed
from rainbow_agent.jobs.tracker import Tracker

KEY = TaskKey(JobKey("r1", 7), "build", 0)
OTHER = TaskKey(JobKey("r1", 7), "test", 0)
JOB = 1234


def submit(key: TaskKey | None = KEY, job: int = JOB) -> WorkloadEvent:
    return WorkloadEvent(EventKind.SUBMIT, job, 10.0, key=key)


def start(job: int = JOB) -> WorkloadEvent:
    return WorkloadEvent(EventKind.START, job, 11.0)


def finish(status: int, job: int = JOB) -> WorkloadEvent:
    return WorkloadEvent(EventKind.FINISH, job, 12.0, status=status)


def exception(kind: str, note: str = "", severity: int = 0, job: int = JOB) -> WorkloadEvent:
    return WorkloadEvent(
        EventKind.EXCEPTION, job, 11.5, exception=kind, severity=severity, note=note
    )


def clean(job: int = JOB) -> WorkloadEvent:
    return WorkloadEvent(EventKind.CLEAN, job, 13.0)


def fed(*events: WorkloadEvent, tracker: Tracker | None = None) -> list[TaskChange]:
    chosen = tracker or Tracker()
    return [change for change in map(chosen.feed, events) if change is not None]


def states(changes: list[TaskChange]) -> list[TaskState]:
    return [change.state for change in changes]


def test_a_job_that_goes_well() -> None:
    """Submitted, running, completed, with the times of the events and its id."""
    news = fed(submit(), start(), finish(0), clean())
    assert states(news) == [TaskState.SUBMITTED, TaskState.RUNNING, TaskState.COMPLETED]
    last = news[-1]
    assert {change.flux_id for change in news} == {JOB}
    assert (last.key, last.exit_code, last.reason) == (KEY, 0, None)
    assert (last.started, last.finished, last.at) == (11.0, 12.0, 13.0)
    assert last.cause == "exit code 0"


def test_an_exit_code_fails_the_task_and_says_so() -> None:
    """Wait status 3 << 8 is exit code 3."""
    last = fed(submit(), start(), finish(3 << 8), clean())[-1]
    assert (last.state, last.exit_code, last.reason) == (TaskState.FAILED, 3, "exit code 3")
    assert not last.unsatisfiable


def test_a_signal_is_told_from_an_exit_code() -> None:
    """Killed by signal 9 and exit(137) look the same to a shell; the reason does not."""
    killed = fed(submit(), start(), finish(9), clean())[-1]
    assert (killed.exit_code, killed.reason) == (137, "signal 9")
    left = fed(submit(), start(), finish(137 << 8), clean())[-1]
    assert (left.exit_code, left.reason) == (137, "exit code 137")


def test_cancel_while_it_runs() -> None:
    """Somebody ended it: canceled, in the words of the exception, with the signal's exit code."""
    last = fed(submit(), start(), exception("cancel", "not now"), finish(15), clean())[-1]
    assert (last.state, last.reason, last.exit_code) == (TaskState.CANCELED, "cancel: not now", 143)
    assert last.started == 11.0


def test_a_cancellation_of_the_agents_is_said_once() -> None:
    """Its note says that it was canceled: not `cancel: canceled by`."""
    last = fed(submit(), exception("cancel", "canceled by alice@blue-0"), clean())[-1]
    assert last.reason == "canceled by alice@blue-0"


def test_cancel_before_it_started() -> None:
    """There is no exit code and no start, and it finished when it was cleaned."""
    last = fed(submit(), exception("cancel"), clean())[-1]
    assert (last.state, last.reason, last.exit_code) == (TaskState.CANCELED, "cancel", None)
    assert (last.started, last.finished) == (None, 13.0)


def test_timeout_is_a_failure() -> None:
    """It was not canceled; it was too slow."""
    note = "resource allocation expired"
    last = fed(submit(), start(), exception("timeout", note), finish(14), clean())[-1]
    assert (last.state, last.reason) == (TaskState.FAILED, f"timeout: {note}")
    assert last.exit_code == 128 + 14


def test_a_dependency_that_failed_cancels() -> None:
    """What it depends on did not end well; that is not its own failure."""
    note = "dependency afterok=ƒABC can never be satisfied"
    last = fed(submit(), exception("dependency", note), clean())[-1]
    assert (last.state, last.reason) == (TaskState.CANCELED, f"dependency: {note}")
    assert not last.unsatisfiable


def test_what_can_never_be_allocated_is_refused() -> None:
    """The journal says so of the exception; the job is refused because of it."""
    note = "unsatisfiable request: not enough cores"
    never = replace(exception("alloc", note), unsatisfiable=True)
    last = fed(submit(), never, clean())[-1]
    assert (last.state, last.unsatisfiable) == (TaskState.FAILED, True)
    assert last.reason == f"alloc: {note}"


def test_another_alloc_failure_is_no_verdict_for_ever() -> None:
    """An allocation can fail for other reasons."""
    last = fed(submit(), exception("alloc", "scheduler went away"), clean())[-1]
    assert (last.state, last.unsatisfiable) == (TaskState.FAILED, False)


def test_a_mild_exception_changes_nothing() -> None:
    """Severity 0 is fatal, all others are remarks (RFC 21)."""
    remarks = [exception("cancel", "mild", severity=n) for n in (1, 3, 7)]
    news = fed(submit(), start(), *remarks, finish(0), clean())
    assert (news[-1].state, news[-1].reason) == (TaskState.COMPLETED, None)


def test_the_first_fatal_exception_is_the_cause() -> None:
    """What comes after it follows from it."""
    last = fed(submit(), exception("exec", "no such folder"), exception("cancel"), clean())[-1]
    assert (last.state, last.reason) == (TaskState.FAILED, "exec: no such folder")


def test_an_end_without_status_and_exception_is_a_failure() -> None:
    """It never ran: that is not an end to be proud of."""
    last = fed(submit(), clean())[-1]
    assert (last.state, last.exit_code) == (TaskState.FAILED, None)
    assert last.reason == "it ended without having run"


def test_jobs_of_others_are_no_news() -> None:
    """A job without our key is somebody else's, from beginning to end."""
    assert fed(submit(key=None), start(), exception("cancel"), finish(0), clean()) == []


def test_events_of_a_job_that_was_never_submitted_are_no_news() -> None:
    """The journal of a purged job can begin anywhere."""
    assert fed(start(), finish(0), clean()) == []


def test_the_end_of_the_history_is_no_news() -> None:
    """CAUGHT_UP is about the stream."""
    assert fed(WorkloadEvent(EventKind.CAUGHT_UP, 0, 0.0)) == []


def test_a_history_that_comes_twice_tells_the_same_twice() -> None:
    """A tracker forgets a job that is over, and starts again with its next submit event."""
    story = [submit(), start(), finish(0), clean()]
    tracker = Tracker()
    assert fed(*story, tracker=tracker) == fed(*story, tracker=tracker)


def test_two_jobs_do_not_mix() -> None:
    """Events are matched by job id."""
    news = fed(
        submit(),
        submit(OTHER, job=99),
        start(),
        exception("cancel", job=99),
        finish(0),
        clean(job=99),
        clean(),
    )
    assert {c.key: c.state for c in news} == {KEY: TaskState.COMPLETED, OTHER: TaskState.CANCELED}


@given(st.lists(st.sampled_from(list(EventKind)), max_size=12))
def test_any_order_of_events_is_survived(kinds: list[EventKind]) -> None:
    """Whatever the stream looks like, news of a job is about that job, and none after its end."""
    tracker, over = Tracker(), True
    for kind in kinds:
        key = KEY if kind is EventKind.SUBMIT else None
        change = tracker.feed(WorkloadEvent(kind, JOB, 1.0, key=key, status=0))
        if kind is EventKind.SUBMIT:
            over = False
        if over:
            assert change is None
        if change is not None:
            assert (change.key, change.flux_id) == (KEY, JOB)
        if kind is EventKind.CLEAN:
            over = True


@given(st.integers(0, 255))
def test_exit_code_is_the_shells(code: int) -> None:
    """As $? would show it."""
    assert exit_code(code << 8) == code


@given(st.sampled_from([s for s in signal.Signals if s < 64]), st.booleans())
def test_exit_code_of_a_signal(number: signal.Signals, dumped: bool) -> None:
    """128 + n, with or without a core dump."""
    assert exit_code(number | (0x80 if dumped else 0)) == 128 + number


def test_no_status_has_no_exit_code() -> None:
    """It never ran."""
    assert exit_code(None) is None


def row(state: TaskState, key: TaskKey = KEY) -> TaskRow:
    return TaskRow(key, 0, state, (), flux_id=JOB)


@pytest.mark.parametrize(
    ("noted", "last_id", "gone"),
    [
        ((None, None), JOB, Gone.UNKNOWN),
        (("i2", None), 0, Gone.PURGED),
        (("i2", "l2"), 0, Gone.PURGED),
        (("i1", None), JOB, Gone.REPLACED),
        (("i1", ""), JOB, Gone.REPLACED),
        (("i1", "l1"), JOB, Gone.REPLACED),
        (("i1", "l2"), JOB - 1, Gone.REPLACED),
        (("i1", "l2"), JOB, Gone.PURGED),
        (("i1", "l2"), JOB + 1, Gone.PURGED),
    ],
)
def test_what_became_of_a_job_that_is_not_in_the_history(
    noted: tuple[object, object], last_id: int, gone: Gone
) -> None:
    """It was purged if this instance, or the state that it continues from, ever had it."""
    assert Known("i2", "l2", last_id, noted).gone(JOB) is gone


@pytest.mark.parametrize(
    ("noted", "on_lost", "waited", "ran"),
    [
        ("another", "fail", TaskState.PENDING, TaskState.LOST),
        ("another", "resubmit", TaskState.PENDING, TaskState.PENDING),
        ("this", "resubmit", TaskState.LOST, TaskState.LOST),
        (None, "resubmit", TaskState.LOST, TaskState.LOST),
    ],
)
def test_what_is_not_in_the_history(
    noted: str | None, on_lost: str, waited: TaskState, ran: TaskState
) -> None:
    """A task is submitted again only if its instance was replaced; a started one, on request."""
    rows = [row(TaskState.SUBMITTED), row(TaskState.RUNNING)]
    where = Known("this", "", 0, (noted, None))
    news = missed(rows, (), where, on_lost, 50.0)
    assert [change.state for change in news] == [waited, ran]
    assert [change.again for change in news] == [s is TaskState.PENDING for s in (waited, ran)]
    assert all(change.cause for change in news)
    assert missed(rows, {KEY}, where, on_lost, 50.0) == []
