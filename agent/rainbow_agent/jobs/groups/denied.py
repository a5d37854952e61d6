"""Tasks that the scheduler of a group's own instance denied, for too few nodes were up.

What the agent does with its own (jobs/denials.py, docs/decisions/0110), but that the runner lives
as long as the instance: nothing is on disk, and a node whose broker left does not come back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rainbow_agent.core.model import TaskChange, TaskKey, WaitForNodes
from rainbow_agent.core.node_resources import NodeView, PoolView, names_of
from rainbow_agent.core.ports import Clock
from rainbow_agent.core.site import SiteNode
from rainbow_agent.core.states import TaskState
from rainbow_agent.jobs.denials import DENIALS_INTERVAL_S
from rainbow_agent.jobspec.placement import Verdict

#: Seconds from the runner's start in which a node that is down may be one that is late: the
#: runner starts when all brokers are there, and the scheduler hears of them a moment later.
_LATE_S = 30.0

#: Whether a task, by its name, fits on some of the group's nodes.
Judge = Callable[[str, Sequence[SiteNode]], Verdict]


@dataclass
class _Denial:
    """A task that is pending again."""

    cause: str  # in the scheduler's words
    waits: WaitForNodes | None = None
    looked: bool = False


class DeniedInside:
    """Decides when a denied task of a group is submitted again, and when it has failed.

    Args:
        judge: asked of each task that was denied.
        pool: the nodes of the group's instance, asked now.
        clock: spaces the looks.
    """

    def __init__(self, judge: Judge, pool: Callable[[], PoolView], clock: Clock) -> None:
        self._judge = judge
        self._pool = pool
        self._clock = clock
        self._began = clock.monotonic()
        self._looked = float("-inf")
        self._denials: dict[TaskKey, _Denial] = {}
        self._fitted: set[TaskKey] = set()  # when they were denied the last time

    def add(self, change: TaskChange) -> None:
        """Take a task in that was denied."""
        self._denials[change.key] = _Denial(change.cause)

    def waits(self, key: TaskKey) -> WaitForNodes | None:
        """What a task waits for; None: for nothing, it can be submitted."""
        denial = self._denials.get(key)
        return None if denial is None else denial.waits

    def look(self) -> tuple[list[TaskChange], bool]:
        """Look at the nodes, once a second at most while nothing is new.

        Returns:
            News: what waits now, for other nodes than before, and what has failed; and whether
            there are tasks that no longer wait.

        Raises:
            WorkloadUnavailable: the nodes cannot be looked at.
        """
        fresh = any(not denial.looked for denial in self._denials.values())
        late = self._clock.monotonic() - self._looked >= DENIALS_INTERVAL_S
        if not (fresh or (self._denials and late)):
            return [], False
        self._looked = self._clock.monotonic()
        views, before = self._pool().nodes, len(self._denials)
        news = [each for key in list(self._denials) for each in self._decide(key, views)]
        return news, len(self._denials) < before

    def _decide(self, key: TaskKey, views: Sequence[NodeView]) -> Iterator[TaskChange]:
        denial = self._denials[key]
        may_come = self._clock.monotonic() - self._began < _LATE_S
        there = [view for view in views if view.up or view.drained or may_come]
        nodes = [SiteNode(v.rank, v.name, v.cores, v.gpus, up=v.up) for v in there]
        verdict = self._judge(key.task, nodes)
        again = verdict.now and key in self._fitted and not denial.looked
        if verdict.problem or again:
            gone = [view for view in views if view not in there]
            del self._denials[key]
            reason = _too_few(verdict.problem, gone) or _twice(denial.cause)
            yield never_runs(key, reason, self._clock.now())
        elif verdict.now:
            del self._denials[key]
            if not denial.looked:
                self._fitted.add(key)
        else:
            self._fitted.discard(key)
            away = {node.rank for node in verdict.nodes if not node.up}
            yield from self._wait(key, denial, names_of(v for v in there if v.rank in away))

    def _wait(self, key: TaskKey, denial: _Denial, names: str) -> Iterator[TaskChange]:
        denial.looked, known = True, denial.waits
        if known is not None and known.nodes == names:
            return
        at = self._clock.now()
        denial.waits = WaitForNodes(names, at if known is None else known.since)
        text = f"it waits {denial.waits}"
        yield TaskChange(key, TaskState.PENDING, at, text, reason=text, inside=True, again=True)


def never_runs(key: TaskKey, reason: str, at: float) -> TaskChange:
    """A task fails that no node of the group can run."""
    return TaskChange(
        key,
        TaskState.FAILED,
        at,
        reason,
        reason=reason,
        finished=at,
        inside=True,
        unsatisfiable=True,
    )


def _too_few(problem: str, gone: Sequence[NodeView]) -> str:
    """The reason of a task that fits on no nodes that may be up again; "" without a problem."""
    if not problem:
        return ""
    # Flux drops a rank that is lost from a nested instance's resources, or calls it down.
    left = f"{names_of(gone)} has" if gone else "a node may have"
    return (
        f"on the nodes that its group has now: {problem}; {left} left the group's own Flux"
        " instance, to which a node does not come back: submit the job again"
    )


def _twice(cause: str) -> str:
    return f"{cause}, a second time, though it fits on the nodes that are up"
