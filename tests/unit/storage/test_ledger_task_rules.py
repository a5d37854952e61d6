"""What the ledger knows of a task after news of it."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from rainbow_agent.core.model import JobKey, TaskChange, TaskKey
from rainbow_agent.core.states import FINAL_TASK_STATES, TASK_MOVES, TaskState
from rainbow_agent.storage.ledger_tasks_rules import Progress, after, contradicts, has_started

KEY = TaskKey(JobKey("r1", 1), "a", 0)

times = st.floats(0.0, 9.0)
changes = st.builds(
    TaskChange,
    key=st.just(KEY),
    state=st.sampled_from(TaskState),
    at=times,
    cause=st.just("seen"),
    flux_id=st.none() | st.integers(1, 3),
    exit_code=st.none() | st.integers(0, 2),
    reason=st.none() | st.sampled_from(["one", "two"]),
    started=st.none() | times,
    finished=st.none() | times,
)


def take(facts: Progress, history: list[TaskChange]) -> Progress:
    for change in history:
        if not contradicts(facts.state, change.state):
            facts = after(facts, change)
    return facts


def change(state: TaskState, at: float = 1.0, flux_id: int | None = None) -> TaskChange:
    return TaskChange(KEY, state, at, "seen", flux_id)


@given(st.lists(changes, max_size=8), st.lists(changes, max_size=8))
@example(
    [change(TaskState.SUBMITTING, flux_id=1)],
    [change(TaskState.SUBMITTING, flux_id=2), change(TaskState.PENDING)],
)
def test_a_history_heard_again_changes_nothing(
    earlier: list[TaskChange], history: list[TaskChange]
) -> None:
    """Whatever had been known before it."""
    once = take(take(Progress(TaskState.PENDING), earlier), history)
    assert take(once, history) == once


@given(st.lists(changes, max_size=8), changes)
def test_news_moves_along_the_table_or_not_at_all(
    history: list[TaskChange], late: TaskChange
) -> None:
    """A state is left only by a move of TASK_MOVES."""
    was = take(Progress(TaskState.PENDING), history)
    now = take(was, [late])
    assert now.state is was.state or (was.state, now.state) in TASK_MOVES


@given(st.lists(changes, max_size=8), changes)
def test_stale_news_overwrites_nothing(history: list[TaskChange], late: TaskChange) -> None:
    """It fills what is empty; a fact that is there stays."""
    was = take(Progress(TaskState.PENDING), history)
    now = take(was, [late])
    if now.state is was.state:
        assert all(b == a for a, b in zip(was, now, strict=True) if a is not None)


@given(st.lists(changes, max_size=8))
def test_times_are_there_when_they_must_be(history: list[TaskChange]) -> None:
    """Finished if and only if final; started when it runs, never before."""
    facts = take(Progress(TaskState.PENDING), history)
    assert (facts.finished is not None) == (facts.state in FINAL_TASK_STATES)
    if facts.state in {TaskState.PENDING, TaskState.SUBMITTING, TaskState.SUBMITTED}:
        assert facts.started is None
    if facts.state is TaskState.RUNNING:
        assert facts.started is not None


def test_a_move_brings_newer_facts() -> None:
    """The id of the job that runs now is the one that counts."""
    was = Progress(TaskState.SUBMITTED, flux_id=1, submitted=0.5)
    assert after(was, change(TaskState.RUNNING, 2.0, 7)) == Progress(
        TaskState.RUNNING, flux_id=7, submitted=0.5, started=2.0
    )


def test_only_another_final_state_contradicts() -> None:
    """The same end again is stale, and so is all that came before it."""
    end = TaskState.FAILED
    found = {state for state in TaskState if contradicts(end, state)}
    assert found == FINAL_TASK_STATES - {end}
    assert not any(contradicts(TaskState.RUNNING, state) for state in TaskState)


def test_what_has_started() -> None:
    """By its time, or by a state that it can only have reached by running."""
    assert has_started(TaskState.CANCELED, 1.0)
    assert has_started(TaskState.COMPLETED, None)
    assert has_started(TaskState.RUNNING, None)
    assert not has_started(TaskState.FAILED, None)
