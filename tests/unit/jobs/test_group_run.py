"""A group's runner: tasks that its instance's scheduler denies, and the end from outside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from rainbow_agent.core.model import JobKey, PlannedTask, TaskChange, TaskKey
from rainbow_agent.core.node_resources import NodeView, PoolView
from rainbow_agent.core.states import TaskState
from rainbow_agent.core.workload_values import Submission
from rainbow_agent.jobs.groups.run import GroupContext, GroupRun
from rainbow_agent.jobspec.placement import judge_inside
from rainbow_agent.jobspec.plan import plan_text
from rainbow_agent.runtime.stop import Stop
from support.common import Background, FakeClock, eventually
from support.workload import FakeWorkload

GROUP = TaskKey(JobKey("r1", 1), "g", 0)
NOTE = 'alloc denied due to type="unsatisfiable"'
UP = NodeView(1, "blue-1", 4, 0)
DRAINED, DOWN = replace(UP, up=False, drained=True), replace(UP, up=False)

DOCUMENT = """
version: 1
resources:
  one: {type: core, count: 1}
  all: {type: node, count: 2, exclusive: true, with: [{type: core, count: 1}]}
groups:
- name: g
  resources: all
  tasks:
  - {name: both, command: ["true"], resources: all}
  - {name: next, command: ["true"], resources: one, depends_on: [both]}
  - {name: last, command: ["true"], resources: one, depends_on: [next]}
  - {name: beside, command: ["true"], resources: one, depends_on: []}
"""


class NothingInPlace:
    """None of the tasks is a local one."""

    def start(self, key: TaskKey, task: PlannedTask) -> None:
        """Never called."""
        raise AssertionError(f"{key} is no local task")

    def cancel(self, keys: Any) -> None:
        """Nothing to end."""


@dataclass
class Inside:
    """A group's instance of two nodes, and what its runner reports."""

    clock: FakeClock = field(default_factory=FakeClock)
    second: NodeView = UP  # how the second node is
    news: list[TaskChange] = field(default_factory=list)
    well: bool | None = None  # how the run ended
    stop: Stop = field(default_factory=Stop)

    def __post_init__(self) -> None:
        self.server = FakeWorkload(clock=self.clock)
        first = NodeView(0, "blue-0", 4, 0)
        self.server.pool = lambda: PoolView((first, self.second))  # type: ignore[method-assign]

    def job(self, task: str) -> int:
        """The newest job of a task, once there is one that nothing has ended."""

        def open_jobs() -> list[int]:
            self.pass_time()
            with self.server.changed:
                jobs = self.server.jobs.values()
                return [j.flux_id for j in jobs if j.key.task == task and j.ended_well is None]

        eventually(open_jobs, f"{task} is submitted")
        return open_jobs()[-1]

    def deny(self, task: str) -> None:
        """The scheduler denies what waits of a task."""
        self.server.raise_exception(self.job(task), "alloc", NOTE, denied=True)

    def pass_time(self) -> None:
        """A tenth of a second, by the runner's clock."""
        self.clock.advance(0.1)

    def last(self, task: str) -> TaskChange | None:
        """The last news of a task."""
        return next((each for each in reversed(self.news) if each.key.task == task), None)

    def says(self, task: str, words: str, state: TaskState = TaskState.PENDING) -> None:
        """Wait until the last news of a task is this."""

        def said() -> bool:
            self.pass_time()
            news = self.last(task)
            return news is not None and news.state is state and words in (news.reason or "")

        eventually(said, f"{task} is {state.value}, {words!r}; news {self.news}")

    def ends(self) -> dict[str, TaskState]:
        """Run what waits to the end of the group; the states of its tasks."""

        def over() -> bool:
            self.pass_time()
            self.server.run_all()
            return self.well is not None

        eventually(over, "the group is over")
        return {each.key.task.removeprefix("g/"): each.state for each in self.news}


@contextmanager
def run(inside: Inside) -> Iterator[Inside]:
    (group,) = plan_text(DOCUMENT).tasks
    tasks = group.tasks
    by_name = {task.name: task for task in tasks}
    context = GroupContext(
        workload=inside.server.connect(),
        environment={},
        clock=inside.clock,
        stop=inside.stop,
        report=inside.news.extend,
        judge=lambda name, nodes: judge_inside(by_name[name], nodes, ()),
    )
    group_run = GroupRun(GROUP, tasks, context, lambda _: NothingInPlace())

    def work() -> None:
        inside.well = group_run.run()

    runner = Background(work)
    runner.start()
    try:
        yield inside
    finally:
        inside.stop.set("the test is over")
        inside.clock.advance(10.0)
        runner.end()


def test_a_drained_node_is_waited_for() -> None:
    """What depends on the denied task waits with it; each runs once, when the node is back."""
    with run(Inside(second=DRAINED)) as inside:
        inside.job("g/last")
        inside.deny("g/both")
        inside.says("g/both", "it waits for nodes to be up: blue-1 (drained)")
        inside.says("g/next", "")
        inside.second = UP
        inside.job("g/last")
        assert set(inside.ends().values()) == {TaskState.COMPLETED}
        assert inside.well
    times = {key.task: count for key, count in inside.server.became_job.items()}
    assert times["g/both"] == 2
    assert times["g/beside"] == 1


def test_a_node_that_is_late_is_waited_for() -> None:
    """The scheduler hears a moment later than the runner begins that all brokers are there."""
    with run(Inside(second=DOWN)) as inside:
        inside.deny("g/both")
        inside.says("g/both", "it waits for nodes to be up: blue-1 (down)")
        inside.second = UP
        assert set(inside.ends().values()) == {TaskState.COMPLETED}


def test_a_node_that_has_left_is_not() -> None:
    """Nor is it waited for for long when it was taken for a late one."""
    with run(Inside(second=DOWN)) as inside:
        inside.deny("g/both")
        inside.says("g/both", "(down)")
        inside.clock.advance(60.0)
        inside.says(
            "g/both", "blue-1 (down) has left the group's own Flux instance", TaskState.FAILED
        )
        assert inside.ends() == {
            "both": TaskState.FAILED,
            "next": TaskState.CANCELED,
            "last": TaskState.CANCELED,
            "beside": TaskState.COMPLETED,
        }
        assert inside.well is False
    reason = next(n.reason for n in inside.news if n.state is TaskState.FAILED)
    assert "g/both: 2 nodes with 1 core each asked for; there is 1 node" in (reason or "")


def test_a_second_denial_is_final() -> None:
    """The task fits on the nodes that are up: the scheduler knows more than we do."""
    with run(Inside()) as inside:
        inside.deny("g/both")
        inside.deny("g/both")
        inside.says("g/both", NOTE, TaskState.FAILED)
        inside.ends()
        assert inside.well is False


def test_what_is_refused_because_of_a_denial() -> None:
    """It was sent before the runner heard of the denial: it is not canceled, and runs later."""
    inside = Inside(second=DRAINED)
    server = inside.server
    refused: list[Submission] = []

    def deny_first(submission: Submission) -> None:
        if submission.key.task == "g/next" and not refused:
            refused.append(submission)
            server.raise_exception(inside.job("g/both"), "alloc", NOTE, denied=True)

    server.refuse = deny_first
    with run(inside):
        inside.says("g/both", "(drained)")
        inside.second = UP
        assert set(inside.ends().values()) == {TaskState.COMPLETED}
        assert refused
