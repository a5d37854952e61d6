"""The ledger against random histories: a small model of it says what must come out."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from rainbow_agent.core.errors import InvalidTransition
from rainbow_agent.core.model import JobKey, JobRow, Refusal, StoryLine, TaskChange, TaskKey
from rainbow_agent.core.states import (
    FINAL_JOB_STATES,
    FINAL_TASK_STATES,
    TASK_MOVES,
    JobState,
    TaskState,
)
from rainbow_agent.storage.ledger import SqliteLedger
from support.ledger import REGISTRATION, check_invariants, offer, planned

KEYS = [JobKey(REGISTRATION.id, n) for n in range(3)]
TASKS = (("a", 2), ("b", 1))
REPLICAS = [
    TaskKey(key, task, replica) for key in KEYS for task, n in TASKS for replica in range(n)
]

times = st.floats(1000.0, 2000.0)
anything = st.builds(
    TaskChange,
    key=st.sampled_from([*REPLICAS, TaskKey(KEYS[0], "unknown", 0)]),
    state=st.sampled_from(TaskState),
    at=times,
    cause=st.sampled_from(["seen", "told"]),
    flux_id=st.none() | st.integers(1, 5),
    exit_code=st.none() | st.integers(0, 2),
    reason=st.none() | st.sampled_from(["exit code 1", "dependency"]),
    started=st.none() | times,
    finished=st.none() | times,
    unsatisfiable=st.booleans(),
)

#: Each task's state, and its id in the workload manager once it is known.
Model = dict[TaskKey, tuple[TaskState, int | None]]
Rows = tuple[list[JobRow], list[list[StoryLine]]]


class LedgerMachine(RuleBasedStateMachine):
    """Receives, plans, refuses, gets news in any order, accepts, is closed and opened."""

    @initialize()
    def open_new(self) -> None:
        """Each history has a ledger of its own."""
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "ledger.sqlite"
        self.ledger = SqliteLedger.open(self.path)
        self.ledger.open_registration(REGISTRATION)
        self.model: Model = {}
        self.history: list[TaskChange] = []
        self.ended: dict[JobKey, JobState] = {}

    def teardown(self) -> None:
        """Close it."""
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.folder.cleanup()

    @rule(ids=st.lists(st.integers(0, 2), max_size=4), at=times)
    def receive(self, ids: list[int], at: float) -> None:
        """Only jobs that were not known come back."""
        known = {job.key for job in self.ledger.jobs()}
        new = self.ledger.record_offers(REGISTRATION.id, [offer(n) for n in ids], at)
        assert new == [KEYS[n] for n in dict.fromkeys(ids) if KEYS[n] not in known]

    @rule(at=times, data=st.data())
    def decide(self, at: float, data: st.DataObject) -> None:
        """Every job that waits for it is planned or refused."""
        plans, refusals = [], []
        for key in self.ledger.unplanned():
            if data.draw(st.integers(0, 3)):
                plans.append(planned(key, *TASKS))
                replicas = (replica for replica in REPLICAS if replica.job == key)
                self.model |= dict.fromkeys(replicas, (TaskState.PENDING, None))
            else:
                refusals.append(Refusal(key, "no"))
        self.ledger.record_plans(plans, refusals, at)

    @rule(changes=st.lists(anything, min_size=1, max_size=6))
    def apply(self, changes: list[TaskChange]) -> None:
        """A batch is taken whole, or not at all; the jobs that moved are reported."""
        before, model = self.rows(), dict(self.model)
        try:
            moved = self.ledger.apply(changes)
        except InvalidTransition:
            assert not follow(model, changes), "no final state was left"
            assert self.rows() == before, "nothing is written"
            return
        assert follow(model, changes), "a final state was left"
        self.model = model
        self.history += [change for change in changes if change.key in model]
        states = {job.key: job.state for job in self.ledger.jobs()}
        was = {job.key: job.state for job in before[0]}
        assert {change.key: (change.was, change.now) for change in moved} == {
            key: (was[key], now) for key, now in states.items() if now is not was[key]
        }

    @rule()
    def hear_all_again(self) -> None:
        """News that came before moves no job and changes no row."""
        before = self.rows()
        assert self.ledger.apply(self.history) == []
        assert self.rows()[0] == before[0]

    @rule(at=times)
    def accept(self, at: float) -> None:
        """What was accepted is not offered again."""
        ids = self.ledger.unaccepted(REGISTRATION.id)
        self.ledger.mark_accepted(REGISTRATION.id, ids, at)
        assert self.ledger.unaccepted(REGISTRATION.id) == []

    @rule()
    def open_again(self) -> None:
        """Nothing changes between two runs."""
        before = self.rows()
        self.ledger.close()
        self.ledger = SqliteLedger.open(self.path)
        assert self.rows() == before

    @invariant()
    def rules_hold(self) -> None:
        """The rules of every ledger."""
        check_invariants(self.ledger)

    @invariant()
    def tasks_are_as_in_the_model(self) -> None:
        """Each task is where the table of moves took it."""
        tasks = self.ledger.tasks_in(list(TaskState))
        assert {task.key: (task.state, task.flux_id) for task in tasks} == self.model

    @invariant()
    def the_end_is_the_end(self) -> None:
        """A job that is over stays what it is."""
        states = {job.key: job.state for job in self.ledger.jobs()}
        assert {key: states[key] for key in self.ended} == self.ended
        self.ended = {key: s for key, s in states.items() if s in FINAL_JOB_STATES}

    def rows(self) -> Rows:
        """All that can be read."""
        return self.ledger.jobs(), [self.ledger.story(key) for key in KEYS]


def follow(model: Model, changes: list[TaskChange]) -> bool:
    """Take news into the model; False when a final state would be left for another."""
    for change in changes:
        if change.key not in model:
            continue
        was, flux_id = model[change.key]
        if flux_id is not None and change.flux_id not in (None, flux_id):
            continue  # about a copy of the task
        if was in FINAL_TASK_STATES and change.state in FINAL_TASK_STATES - {was}:
            return False
        if change.state is TaskState.PENDING and was is not TaskState.SUBMITTING:
            continue  # it goes back only when its instance is said to be gone (`again`)
        now = change.state if (was, change.state) in TASK_MOVES else was
        model[change.key] = (now, change.flux_id if flux_id is None else flux_id)
    return True


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
