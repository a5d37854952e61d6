"""Tasks that the scheduler denied, for too few nodes were up (docs/decisions/0110).

Fluxion calls a job for more nodes than are up unsatisfiable, also one that waits already when a
node is drained. Such a task is pending again, and is submitted once more as soon as it fits on the
nodes that are up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from rainbow_agent.core.errors import JobspecError
from rainbow_agent.core.model import JobKey, Plan, TaskChange, TaskKey
from rainbow_agent.core.node_resources import NodeView, PoolView, names_of
from rainbow_agent.core.ports import Clock
from rainbow_agent.core.site import Site
from rainbow_agent.core.states import TaskState
from rainbow_agent.jobs.ports import Submissions
from rainbow_agent.jobspec.placement import Verdict, judge
from rainbow_agent.storage.ledger_denials import Denial

log = logging.getLogger(__name__)

#: Seconds between looks at the nodes while tasks wait for them.
DENIALS_INTERVAL_S = 1.0


class Denied:
    """Decides when a denied task is submitted again, and when it never is.

    Args:
        ledger: where they stand.
        plan_text: the plan of a jobspec's text, which may raise JobspecError.
        site: the nodes that there are, with what is known of them.
        pool: which of them are up, asked now.
        clock: spaces the looks.
    """

    def __init__(
        self,
        *,
        ledger: Submissions,
        plan_text: Callable[[str], Plan],
        site: Callable[[], Site],
        pool: Callable[[], PoolView],
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._plan_text = plan_text
        self._site = site
        self._pool = pool
        self._clock = clock
        self._looked = float("-inf")
        self._seen: tuple[NodeView, ...] | None = None  # when the tasks were looked at

    def look(self) -> list[TaskChange]:
        """Note what each denied task waits for.

        Returns:
            News of tasks that never run here: they do not fit on all nodes, or were denied twice
            in a row although they fitted on those that were up.

        Raises:
            WorkloadUnavailable, NotDescribed: the nodes cannot be looked at.
        """
        denials = self._ledger.denials()
        waiting = [each for each in denials if each.nodes is not None]
        fresh = [each for each in denials if not each.looked]
        if not (
            fresh or (waiting and self._clock.monotonic() - self._looked >= DENIALS_INTERVAL_S)
        ):
            return []
        self._looked = self._clock.monotonic()
        pool = self._pool()
        nodes = tuple(replace(node, cores_free=0, gpus_free=0) for node in pool.nodes)
        if nodes == self._seen and not fresh:
            return []
        never = self._decide(fresh if nodes == self._seen else waiting + fresh, nodes)
        self._seen = nodes
        return never

    def _decide(self, denials: Sequence[Denial], nodes: Iterable[NodeView]) -> list[TaskChange]:
        views = {node.rank: node for node in nodes}
        site = _with_views(self._site(), views)
        never: list[TaskChange] = []
        for job, of_job in groupby(sorted(denials, key=_place), key=lambda each: each.key.job):
            verdicts = self._verdicts(job, site)
            for denial in of_job:
                verdict = verdicts.get(denial.key.task)
                problem = _problem(denial, verdict)
                if problem:
                    never.append(_never(denial.key, problem, self._clock.now()))
                else:
                    self._note(denial, verdict, views)
        return never

    def _verdicts(self, job: JobKey, site: Site) -> dict[str, Verdict]:
        """By task; none where the job cannot be planned any more, which the planner says."""
        text = self._ledger.jobspecs([job]).get(job)
        try:
            plan = None if text is None else self._plan_text(text)
        except JobspecError:
            return {}
        return {verdict.task: verdict for verdict in judge(plan, site)} if plan else {}

    def _note(self, denial: Denial, verdict: Verdict | None, views: dict[int, NodeView]) -> None:
        away = None
        if verdict is not None and not verdict.now:
            away = names_of(views[node.rank] for node in verdict.nodes if not node.up)
        if denial.looked and away == denial.nodes:
            return
        self._ledger.put_wait(denial, away)
        log.info(
            "Task %s %s",
            denial.key,
            f"waits for nodes to be up: {away}" if away else "is submitted again",
            extra={"action": "denied", "job": str(denial.key.job), "cause": denial.cause},
        )


def in_order(news: Iterable[TaskChange]) -> list[TaskChange]:
    """A history's news so that the ledger can follow it.

    Of a task that was denied and then submitted again, only the later job counts. What was
    canceled because of a dependency comes last: by then it is known how that ended.
    """
    found = list(news)
    newest: dict[TaskKey, int] = {}
    for change in found:
        newest[change.key] = max(newest.get(change.key, 0), change.flux_id or 0)
    void = {
        change.flux_id
        for change in found
        if (change.denied or change.dependency) and (change.flux_id or 0) < newest[change.key]
    }
    counted = (c for c in found if c.inside or c.flux_id is None or c.flux_id not in void)
    return sorted(counted, key=lambda change: change.dependency)


def _place(denial: Denial) -> JobKey:
    return denial.key.job


def _with_views(site: Site, views: dict[int, NodeView]) -> Site:
    """The site as its nodes are now; a node that is gone is no node of it."""
    there = (node for node in site.nodes if node.rank in views)
    return replace(site, nodes=tuple(replace(n, up=views[n.rank].up) for n in there))


def _problem(denial: Denial, verdict: Verdict | None) -> str:
    """Why a denied task never runs; "" when it does."""
    if verdict is None:
        return ""
    twice = verdict.now and denial.in_a_row and not denial.looked
    return verdict.problem or (denial.cause if twice else "")


def _never(key: TaskKey, reason: str, at: float) -> TaskChange:
    return TaskChange(
        key, TaskState.FAILED, at, reason, reason=reason, finished=at, unsatisfiable=True
    )
