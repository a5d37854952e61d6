"""The shared values: states, the tables of moves, keys."""

from __future__ import annotations

import re
from dataclasses import replace
from enum import Enum
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rainbow_agent.core.model import Credentials, JobKey, Origin, TaskKey
from rainbow_agent.core.node_resources import NodeView, PoolView
from rainbow_agent.core.states import (
    FINAL_JOB_STATES,
    FINAL_TASK_STATES,
    JOB_MOVES,
    TASK_MOVES,
    JobState,
    TaskState,
    job_state_of,
)

DOC = Path(__file__).parents[3] / "docs" / "states.md"

counts = st.dictionaries(st.sampled_from(TaskState), st.integers(0, 3)).filter(
    lambda found: any(found.values())
)


class TestMoves:
    """What the tables promise."""

    def test_a_final_state_is_left_by_no_move(self) -> None:
        """Over is over."""
        assert not {was for was, _ in JOB_MOVES} & FINAL_JOB_STATES
        assert not {was for was, _ in TASK_MOVES} & FINAL_TASK_STATES

    def test_every_other_state_is_left(self) -> None:
        """Nothing can be stuck, and every state can be reached."""
        assert {was for was, _ in JOB_MOVES} == set(JobState) - FINAL_JOB_STATES
        assert {now for _, now in JOB_MOVES} == set(JobState)
        into_received = {was for was, now in JOB_MOVES if now is JobState.RECEIVED}
        assert into_received == {JobState.SUBMITTED}  # its instance was replaced
        assert {was for was, _ in TASK_MOVES} == set(TaskState) - FINAL_TASK_STATES
        assert {now for _, now in TASK_MOVES} == set(TaskState)

    def test_no_state_follows_itself(self) -> None:
        """The same state again is no move."""
        assert not [move for move in JOB_MOVES | TASK_MOVES if move[0] is move[1]]

    def test_what_goes_back(self) -> None:
        """The order of states is that of their definition; back is only to the begin."""
        order = list(TaskState)
        back = {(was, now) for was, now in TASK_MOVES if order.index(now) < order.index(was)}
        begun = {TaskState.SUBMITTING, TaskState.SUBMITTED, TaskState.RUNNING}
        assert back == {(was, TaskState.PENDING) for was in begun}
        jobs = list(JobState)
        back_jobs = {move for move in JOB_MOVES if jobs.index(move[1]) < jobs.index(move[0])}
        assert back_jobs == {(JobState.SUBMITTED, JobState.RECEIVED)}

    def test_a_job_that_ran_is_not_refused(self) -> None:
        """Refused means that nothing of it was ever done."""
        assert (JobState.RUNNING, JobState.REFUSED) not in JOB_MOVES


class TestJobStateOf:
    """A job's state from its tasks'."""

    @pytest.mark.parametrize(
        ("present", "state"),
        [
            ({TaskState.PENDING: 1, TaskState.SUBMITTED: 1}, JobState.RECEIVED),
            ({TaskState.SUBMITTING: 1}, JobState.RECEIVED),
            ({TaskState.SUBMITTED: 2}, JobState.SUBMITTED),
            ({TaskState.SUBMITTED: 1, TaskState.CANCELED: 1}, JobState.SUBMITTED),
            ({TaskState.COMPLETED: 2}, JobState.COMPLETED),
            ({TaskState.COMPLETED: 2, TaskState.PENDING: 0}, JobState.COMPLETED),
            ({TaskState.FAILED: 1, TaskState.CANCELED: 1}, JobState.FAILED),
            ({TaskState.COMPLETED: 1, TaskState.CANCELED: 1}, JobState.CANCELED),
            ({TaskState.FAILED: 1, TaskState.LOST: 1}, JobState.LOST),
        ],
    )
    def test_of_tasks_that_did_not_start_here(
        self, present: dict[TaskState, int], state: JobState
    ) -> None:
        """The earliest of the open ones, or the worst of the ends."""
        assert job_state_of(present, started=False, unsatisfiable=False) is state

    @given(counts, st.booleans())
    def test_what_started_runs_until_all_is_over(
        self, present: dict[TaskState, int], unsatisfiable: bool
    ) -> None:
        """Final if and only if every task is; then never refused."""
        state = job_state_of(present, started=True, unsatisfiable=unsatisfiable)
        over = {task for task, n in present.items() if n} <= FINAL_TASK_STATES
        assert (state in FINAL_JOB_STATES) == over
        assert over or state is JobState.RUNNING
        assert state is not JobState.REFUSED

    def test_what_can_never_run_is_refused_unless_it_started(self) -> None:
        """A job that did something has failed, whatever stopped it."""
        present = {TaskState.FAILED: 1, TaskState.CANCELED: 1}
        assert job_state_of(present, started=False, unsatisfiable=True) is JobState.REFUSED
        assert job_state_of(present, started=True, unsatisfiable=True) is JobState.FAILED

    @given(counts, st.booleans(), st.booleans(), st.data())
    def test_a_tasks_move_moves_its_job_along_the_table(
        self,
        present: dict[TaskState, int],
        started: bool,
        unsatisfiable: bool,
        data: st.DataObject,
    ) -> None:
        """Whatever a task does, what follows for the job is allowed."""
        ran = {TaskState.RUNNING, TaskState.COMPLETED}
        present = {state: n for state, n in present.items() if n}
        started = started or bool(present.keys() & ran)
        moves = sorted(move for move in TASK_MOVES if move[0] in present)
        assume(moves)
        task_was, task_now = data.draw(st.sampled_from(moves))
        was = job_state_of(present, started=started, unsatisfiable=unsatisfiable)
        present[task_was] -= 1
        present[task_now] = present.get(task_now, 0) + 1
        started = started or task_now in ran
        now = job_state_of(present, started=started, unsatisfiable=unsatisfiable)
        assert now is was or (was, now) in JOB_MOVES


class TestKeys:
    """Identity of jobs and tasks."""

    @given(
        st.builds(TaskKey, st.builds(JobKey, st.text(), st.integers()), st.text(), st.integers())
    )
    def test_a_key_comes_back_from_its_attribute(self, key: TaskKey) -> None:
        """What stands in a Flux job says whose it is."""
        assert TaskKey.from_attribute(key.to_attribute()) == key

    @pytest.mark.parametrize(
        "value",
        [
            None,
            "r1/1/a/0",
            {},
            {"registration": "r1", "job": "1", "task": "a", "replica": 0},
            {"registration": "r1", "job": 1, "task": "a"},
        ],
    )
    def test_anything_else_is_no_key(self, value: object) -> None:
        """Jobs of others may have an attribute of the same name."""
        assert TaskKey.from_attribute(value) is None

    def test_a_key_reads_as_a_path(self) -> None:
        """Registration, job, task, replica."""
        assert str(TaskKey(JobKey("r1", 7), "build", 0)) == "r1/7/build/0"

    def test_credentials_do_not_print(self) -> None:
        """Neither value is in the text of the object."""
        assert "hidden" not in repr(Credentials(secret="hidden-1", token="hidden-2"))


def test_a_node_that_is_down_is_not_free() -> None:
    """Totals count all nodes, free only what is up: the rest of what is up is in use."""
    pool = PoolView(
        (
            NodeView(0, "a", cores=4, gpus=1, cores_free=4, gpus_free=1),
            NodeView(1, "b", cores=4, gpus=0, cores_free=3),
            NodeView(2, "c", cores=4, gpus=2, up=False, cores_free=4, gpus_free=2),
        )
    )
    assert pool.totals() == {
        "nodes_total": 3,
        "nodes_up": 2,
        "nodes_free": 1,
        "cores_total": 12,
        "cores_up": 8,
        "cores_free": 7,
        "gpus_total": 3,
        "gpus_up": 1,
        "gpus_free": 1,
    }


class TestDocs:
    """docs/states.md says what the tables say."""

    @pytest.mark.parametrize(
        ("heading", "states", "moves"),
        [("A job", JobState, JOB_MOVES), ("A task", TaskState, TASK_MOVES)],
    )
    def test_states_and_moves(
        self, heading: str, states: type[Enum], moves: frozenset[tuple[Enum, Enum]]
    ) -> None:
        """Every state in a sentence; every move and no other; the final ones by name."""
        text = section(heading)
        means, follows = tables(text)
        assert list(means) == [state.value for state in states]
        assert all(sentence.endswith(".") for sentence in means.values())
        told = {(was, now) for was, some in follows.items() for now in some.split(", ")}
        assert told == {(was.value, now.value) for was, now in moves}
        (line,) = re.findall(r"^(.*) are final: no move leaves them\.$", text, re.MULTILINE)
        final = {state.value for state in states} - {was.value for was, _ in moves}
        assert set(re.findall(r"`(\w+)`", line)) == final


def section(heading: str) -> str:
    found = re.search(
        rf"^## {heading}\n(.*?)(?=^## |\Z)", DOC.read_text(), re.DOTALL | re.MULTILINE
    )
    assert found, f"{DOC} has no section {heading}"
    return found[1]


def tables(text: str) -> list[dict[str, str]]:
    """The two-column tables of a section: first column to second, without the head."""
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    rows = [[re.split(r" *\| *", row.strip("| ")) for row in b.splitlines()[2:]] for b in blocks]
    return [{cells[0]: cells[1] for cells in block} for block in rows]


def test_a_jobs_key_comes_back_with_its_origin() -> None:
    """Only where it has one: the others' attributes are as they were."""
    origin = Origin("blue", "job", 0, 1, 1, ("build",), "nightly")
    assert Origin.from_attribute({"origin": origin.to_attribute()}) == origin
    plain = replace(origin, once="")
    assert "once" not in plain.to_attribute()
    assert Origin.from_attribute({"origin": plain.to_attribute()}) == plain
