"""The order of one job's tasks, searched for counterexamples over random graphs.

`Case` is a random job; `Walk` plays the dispatcher: it takes what is released, answers in a random
order with ids and refusals, and writes down what happened.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.core.model import JobKey, Plan, PlannedTask, TaskKey, TaskRow
from rainbow_agent.core.states import FINAL_TASK_STATES, TaskState
from rainbow_agent.jobs.order import JobOrder, Ready

JOB = JobKey("r1", 1)


@dataclass(frozen=True)
class Case:
    """A job: its plan, and the tasks that will be refused."""

    plan: Plan
    refused: frozenset[str]

    @property
    def keys(self) -> list[TaskKey]:
        """Every replica of every task."""
        return [TaskKey(JOB, t.name, n) for t in self.plan.tasks for n in range(t.replicas)]

    def descendants(self, names: frozenset[str]) -> set[str]:
        """Tasks that depend on one of these, near or far (plans list them in order)."""
        found: set[str] = set()
        for task in self.plan.tasks:
            if set(task.depends_on) & (names | found):
                found.add(task.name)
        return found


@st.composite
def cases(draw: st.DrawFn, *, may_refuse: bool = True) -> Case:
    names = [f"t{n}" for n in range(draw(st.integers(1, 7)))]
    tasks = []
    for position, name in enumerate(names):
        before = names[:position]
        depends_on = draw(st.sets(st.sampled_from(before))) if before else set()
        tasks.append(PlannedTask(name, draw(st.integers(1, 3)), tuple(sorted(depends_on)), {}))
    refused = draw(st.sets(st.sampled_from(names), max_size=2)) if may_refuse else set()
    return Case(Plan("", tuple(tasks)), frozenset(refused))


def rows(case: Case, states: Mapping[TaskKey, tuple[TaskState, int | None]]) -> list[TaskRow]:
    """A ledger's rows; a task that is not in `states` is pending."""
    return [
        TaskRow(
            TaskKey(JOB, task.name, replica),
            position,
            *_state(states, TaskKey(JOB, task.name, replica), task.depends_on),
        )
        for position, task in enumerate(case.plan.tasks)
        for replica in range(task.replicas)
    ]


def _state(
    states: Mapping[TaskKey, tuple[TaskState, int | None]], key: TaskKey, needs: tuple[str, ...]
) -> tuple[TaskState, tuple[str, ...], int | None]:
    state, flux_id = states.get(key, (TaskState.PENDING, None))
    return state, needs, flux_id


class Walk:
    """One run of the dispatcher over a JobOrder."""

    def __init__(
        self,
        case: Case,
        rng: random.Random,
        states: Mapping[TaskKey, tuple[TaskState, int | None]] | None = None,
    ) -> None:
        self.case, self.rng = case, rng
        self.states = dict(states or {})
        self.released: list[Ready] = []
        self.doomed: list[TaskKey] = []
        self.ids = {key: i for key, (_, i) in self.states.items() if i is not None}
        self._queue: list[Ready] = []
        self._next_id = 1 + max(self.ids.values(), default=0)
        self.order = JobOrder(case.plan, rows(case, self.states))
        ready, doomed = self.order.start()
        self._take(ready)
        self._doom(doomed)

    def run(self, steps: int | None = None) -> None:
        """Answer what is released, in a random order; at most so many answers."""
        while self._queue and steps != 0:
            ready = self._queue.pop(self.rng.randrange(len(self._queue)))
            if ready.key.task in self.case.refused:
                self.states[ready.key] = (TaskState.FAILED, None)
                self._doom(self.order.refused(ready.key.task))
            else:
                self._give_id(ready.key)
            steps = None if steps is None else steps - 1

    def _give_id(self, key: TaskKey) -> None:
        self.ids[key] = self._next_id
        self.states[key] = (TaskState.SUBMITTED, self._next_id)
        self._next_id += 1
        self._take(self.order.submitted(key, self.ids[key]))

    def _take(self, ready: Sequence[Ready]) -> None:
        for item in ready:
            self.check(item)
        self.released += ready
        self._queue += ready

    def _doom(self, keys: Sequence[TaskKey]) -> None:
        self.doomed += keys
        self.states.update((key, (TaskState.CANCELED, None)) for key in keys)

    def check(self, item: Ready) -> None:
        """What is released has the ids of every replica of all that it depends on."""
        needed = [k for k in self.case.keys if k.task in item.task.depends_on]
        over = {k for k in needed if self.states[k][0] is TaskState.COMPLETED}
        assert set(item.afterok) == {self.ids[k] for k in needed if k not in over}
        assert len(item.afterok) == len(set(item.afterok))


@given(cases(may_refuse=False), st.randoms(use_true_random=False))
def test_every_replica_is_released_once_after_all_it_depends_on(
    case: Case, rng: random.Random
) -> None:
    """In whatever order ids come in; Walk.check looks at the dependencies of each."""
    walk = Walk(case, rng)
    walk.run()
    assert sorted(item.key for item in walk.released) == sorted(case.keys)
    assert walk.doomed == []


@given(cases(), st.randoms(use_true_random=False))
def test_what_a_refusal_dooms_is_exactly_what_depends_on_it(case: Case, rng: random.Random) -> None:
    """Every replica of every descendant, each once; all others are released, each once."""
    walk = Walk(case, rng)
    walk.run()
    lost = case.descendants(case.refused)
    assert sorted(walk.doomed) == sorted(k for k in case.keys if k.task in lost)
    assert sorted(i.key for i in walk.released) == sorted(
        k for k in case.keys if k.task not in lost
    )


@given(cases(), st.randoms(use_true_random=False), st.integers(0, 12), st.booleans())
def test_resumption_releases_exactly_the_rest(
    case: Case, rng: random.Random, steps: int, time_passes: bool
) -> None:
    """After a crash at any point: what has an id or an end is left alone, the rest continues.

    While the agent was down, some of what was submitted may have ended well.
    """
    before = Walk(case, rng)
    before.run(steps)
    states = dict(before.states)
    if time_passes:
        states = dict(_some_completed(case, states, rng))
    after = Walk(case, rng, states)
    after.run()
    lost = case.descendants(case.refused)
    new = sorted(item.key for item in after.released)
    assert new == sorted(k for k in case.keys if k not in states and k.task not in lost)
    settled = {k for k, (state, _) in after.states.items() if state is not TaskState.PENDING}
    assert settled == set(case.keys), "nothing is forgotten"
    assert not set(after.doomed) & set(states)


def _some_completed(
    case: Case, states: dict[TaskKey, tuple[TaskState, int | None]], rng: random.Random
) -> dict[TaskKey, tuple[TaskState, int | None]]:
    """Tasks whose dependencies all completed may have completed too."""
    found = dict(states)
    for task in case.plan.tasks:
        needed = [k for k in case.keys if k.task in task.depends_on]
        if any(found.get(k, (None,))[0] is not TaskState.COMPLETED for k in needed):
            continue
        for key in (k for k in case.keys if k.task == task.name and k in found):
            state, flux_id = found[key]
            if state is TaskState.SUBMITTED and rng.random() < 0.7:
                found[key] = (TaskState.COMPLETED, flux_id)
    return found


def plan(**tasks: Sequence[str]) -> Case:
    planned = (PlannedTask(name, 1, tuple(needs), {}) for name, needs in tasks.items())
    return Case(Plan("", tuple(planned)), frozenset())


def key(task: str, replica: int = 0) -> TaskKey:
    return TaskKey(JOB, task, replica)


def test_a_task_that_ended_badly_while_the_agent_was_down_dooms_the_rest() -> None:
    """Each way to end that is not well keeps what depends on it from starting."""
    case = plan(build=[], test=["build"], report=["test"], other=[])
    for state in FINAL_TASK_STATES - {TaskState.COMPLETED}:
        order = JobOrder(case.plan, rows(case, {key("build"): (state, 7)}))
        ready, doomed = order.start()
        assert [item.key for item in ready] == [key("other")]
        assert sorted(doomed) == [key("report"), key("test")]


def test_what_completed_needs_no_dependency_any_more() -> None:
    """Flux forgets jobs that are over long before we do; an id that is gone would be refused."""
    case = plan(build=[], test=["build"])
    order = JobOrder(case.plan, rows(case, {key("build"): (TaskState.COMPLETED, 7)}))
    ready, doomed = order.start()
    assert [(item.key, item.afterok) for item in ready] == [(key("test"), ())]
    assert doomed == []


def test_a_task_that_runs_already_is_depended_on_by_its_id() -> None:
    """A submission that was made before the crash is not made again, only waited for."""
    case = plan(build=[], test=["build"])
    order = JobOrder(case.plan, rows(case, {key("build"): (TaskState.RUNNING, 7)}))
    ready, _ = order.start()
    assert [(item.key, item.afterok) for item in ready] == [(key("test"), (7,))]


def test_one_refused_replica_is_enough() -> None:
    """The other replicas got their ids; what depends on the task is doomed all the same, once."""
    tasks = (PlannedTask("many", 3, (), {}), PlannedTask("last", 2, ("many",), {}))
    case = Case(Plan("", tasks), frozenset())
    order = JobOrder(case.plan, rows(case, {}))
    ready, _ = order.start()
    assert len(ready) == 3
    assert order.submitted(key("many", 0), 1) == []
    assert order.refused("many") == [key("last", 0), key("last", 1)]
    assert order.refused("many") == []
    assert order.submitted(key("many", 2), 2) == []


def test_a_long_chain_is_no_problem() -> None:
    """Ten thousand tasks in a row are doomed without recursion."""
    names = [f"t{n}" for n in range(10_000)]
    pairs = zip(names, [None, *names], strict=False)
    tasks = tuple(PlannedTask(n, 1, (before,) if before else (), {}) for n, before in pairs)
    case = Case(Plan("", tasks), frozenset())
    order = JobOrder(case.plan, rows(case, {}))
    ready, _ = order.start()
    assert [item.key.task for item in ready] == ["t0"]
    assert len(order.refused("t0")) == 9_999
