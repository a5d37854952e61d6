"""Tasks that the scheduler denies because too few nodes are up: they wait, and run once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from rainbow_agent.core.model import JobKey, TaskChange, TaskKey
from rainbow_agent.core.node_resources import NodeView, PoolView
from rainbow_agent.core.site import Site, SiteNode
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.core.workload_values import Submission, SubmitOutcome, SubmitRefused
from rainbow_agent.jobs.denials import in_order
from rainbow_agent.jobspec.plan import plan_text
from support.dispatch import Harness
from support.ledger import checked_ledger

#: In Fluxion's words.
NOTE = 'alloc denied due to type="unsatisfiable"'


class Cluster(Harness):
    """Four nodes, some of them drained, behind a scheduler that denies as Fluxion does."""

    drained: frozenset[int] = frozenset({3})

    def pool(self) -> PoolView:
        """As asked now."""
        return PoolView(
            tuple(
                NodeView(
                    rank,
                    f"blue-{rank}",
                    4,
                    0,
                    up=rank not in self.drained,
                    drained=rank in self.drained,
                )
                for rank in range(4)
            )
        )

    def deny(self, task: str, job: JobKey) -> None:
        """The scheduler denies what waits of a task."""
        flux_id = self.server.id_of(TaskKey(job, task, 0))
        self.server.raise_exception(flux_id, "alloc", NOTE, denied=True)

    def round(self) -> None:
        """What the main loop does, once the journal was read."""
        self.clock.advance(5.0)
        self.reads_the_journal()
        self.dispatcher.look_at_denied()
        if self.dispatcher.behind():
            self.run()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with checked_ledger(tmp_path / "ledger.sqlite") as ledger:
        cluster = Cluster(ledger)
        cluster.plan_text = plan_text
        cluster.site = Site(tuple(SiteNode(rank, f"blue-{rank}", 4, 0) for rank in range(4)))
        cluster.server.pool = cluster.pool  # type: ignore[method-assign]
        cluster.connect()
        yield cluster


def spec(*names: str, nodes: int = 4) -> str:
    """A chain of tasks; the first is for so many nodes, the others for a core."""
    core = {"type": "core", "count": 1}
    tasks: list[dict[str, Any]] = [{"name": names[0], "command": ["true"], "resources": "all"}]
    for before, name in pairwise(names):
        tasks.append(
            {"name": name, "command": ["true"], "resources": "one", "depends_on": [before]}
        )
    resources = {"one": core, "all": {"type": "node", "count": nodes, "with": [core]}}
    return json.dumps({"version": 1, "resources": resources, "tasks": tasks})


def waits(cluster: Cluster, key: JobKey) -> dict[str, str]:
    """The nodes that tasks wait for."""
    return {r.key.task: r.waits.nodes for r in cluster.ledger.tasks_of(key) if r.waits}


def test_it_waits_for_its_nodes_and_runs_once(cluster: Cluster) -> None:
    """While it waits nothing is behind: other jobs are received."""
    (key,) = cluster.receive(spec("main"))
    cluster.run()
    cluster.deny("main", key)
    cluster.round()
    assert waits(cluster, key) == {"main": "blue-3 (drained)"}
    assert cluster.job(key) is JobState.RECEIVED
    assert not cluster.dispatcher.behind()
    cluster.round()
    assert cluster.server.became_job[TaskKey(key, "main", 0)] == 1
    cluster.drained = frozenset()
    cluster.round()
    assert cluster.server.became_job[TaskKey(key, "main", 0)] == 2
    assert waits(cluster, key) == {}
    cluster.server.run_all()
    cluster.reads_the_journal()
    assert cluster.job(key) is JobState.COMPLETED


def test_another_node_that_comes_back_is_not_enough(cluster: Cluster) -> None:
    """Two are away, one returns: what it waits for is told anew."""
    cluster.drained = frozenset({2, 3})
    (key,) = cluster.receive(spec("main"))
    cluster.run()
    cluster.deny("main", key)
    cluster.round()
    assert waits(cluster, key) == {"main": "blue-2 (drained), blue-3 (drained)"}
    cluster.drained = frozenset({2})
    cluster.round()
    assert waits(cluster, key) == {"main": "blue-2 (drained)"}
    assert cluster.server.became_job[TaskKey(key, "main", 0)] == 1


@pytest.mark.parametrize("journal_first", [True, False], ids=["canceled", "refused"])
def test_what_depends_on_it_waits_as_well(cluster: Cluster, *, journal_first: bool) -> None:
    """Whether the workload manager has the dependents already, or refuses them."""
    admit = cluster.server.admit

    def deny_at_once(submission: Submission) -> SubmitOutcome:
        if submission.afterok and not journal_first:
            cluster.server.admit = admit  # type: ignore[method-assign]
            cluster.deny("first", submission.key.job)
            return SubmitRefused(submission.key, "dependency: after", dependency_failed=True)
        return admit(submission)

    cluster.server.admit = deny_at_once  # type: ignore[method-assign]
    (key,) = cluster.receive(spec("first", "second", "third"))
    cluster.run()
    if journal_first:
        cluster.deny("first", key)
    for _ in range(3):
        cluster.round()
    assert waits(cluster, key) == {"first": "blue-3 (drained)"}
    assert set(cluster.states(key).values()) == {TaskState.PENDING}
    assert not cluster.dispatcher.behind()
    cluster.drained = frozenset()
    cluster.round()
    cluster.server.run_all()
    cluster.reads_the_journal()
    assert cluster.job(key) is JobState.COMPLETED


def test_a_second_denial_while_it_fits_is_the_last(cluster: Cluster) -> None:
    """All nodes are up: the scheduler knows of something that we do not."""
    cluster.drained = frozenset()
    (key,) = cluster.receive(spec("first", "second"))
    cluster.run()
    cluster.deny("first", key)
    cluster.round()
    assert cluster.server.became_job[TaskKey(key, "first", 0)] == 2
    cluster.deny("first", key)
    cluster.round()
    cluster.round()
    assert cluster.job(key) is JobState.REFUSED
    row = cluster.ledger.job(key)
    assert row is not None
    assert row.reason == NOTE or NOTE in str(row.reason)


def test_what_fits_on_no_nodes_is_refused(cluster: Cluster) -> None:
    """It would not fit if all were up."""
    (key,) = cluster.receive(spec("main", nodes=5))
    cluster.run()
    cluster.deny("main", key)
    cluster.round()
    assert cluster.job(key) is JobState.REFUSED


def test_a_crash_while_it_waits(cluster: Cluster) -> None:
    """The history has the denial again, and that of the next job: only the newest counts."""
    (key,) = cluster.receive(spec("first", "second"))
    cluster.run()
    cluster.deny("first", key)
    cluster.round()
    assert cluster.comes_back() == 0
    cluster.round()
    assert waits(cluster, key) == {"first": "blue-3 (drained)"}
    cluster.drained = frozenset()
    cluster.round()
    cluster.drained = frozenset({1})
    cluster.deny("first", key)
    cluster.comes_back()
    cluster.round()
    assert waits(cluster, key) == {"first": "blue-1 (drained)"}
    cluster.drained = frozenset()
    cluster.round()
    cluster.server.run_all()
    cluster.comes_back()
    assert cluster.job(key) is JobState.COMPLETED


def test_it_can_be_canceled_while_it_waits(cluster: Cluster) -> None:
    """What waits is pending, as anything that is not submitted."""
    (key,) = cluster.receive(spec("main"))
    cluster.run()
    cluster.deny("main", key)
    cluster.round()
    (row,) = cluster.ledger.tasks_of(key)
    assert row.state is TaskState.PENDING
    assert row.flux_id is None


@pytest.mark.parametrize("order", [1, -1])
def test_a_history_from_which_a_ledger_is_rebuilt(order: int) -> None:
    """Of a task that was denied and submitted again only the later job counts, in any order."""
    key = TaskKey(JobKey("r1", 1), "main", 0)
    old = [
        TaskChange(key, TaskState.SUBMITTED, 1.0, "submitted", flux_id=16),
        TaskChange(key, TaskState.PENDING, 2.0, NOTE, flux_id=16, denied=True),
    ]
    new = [
        TaskChange(key, TaskState.SUBMITTED, 3.0, "submitted", flux_id=32),
        TaskChange(key, TaskState.COMPLETED, 4.0, "exit code 0", flux_id=32, exit_code=0),
    ]
    assert in_order([*old, *new][::order]) == new[::order]
    assert in_order(old) == old
