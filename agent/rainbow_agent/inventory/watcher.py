"""The thread that watches the cluster itself: nodes that come and go, software that appears.

It publishes a cluster description; the main loop compares it with what rainbow has and sends what
differs.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from rainbow_agent.core.errors import Fatal, NotDescribed, WorkloadUnavailable
from rainbow_agent.core.node_resources import PoolView
from rainbow_agent.core.ports import Clock, StopSignal, Workload
from rainbow_agent.core.site import Site, Subsystems
from rainbow_agent.inventory.arrival import Arrival
from rainbow_agent.inventory.description import ClusterDescription, describe_cluster, site_of
from rainbow_agent.inventory.obstacle_watch import ObstacleWatch
from rainbow_agent.inventory.survey import Discovery, NodeCondition, Survey, Surveyed
from rainbow_agent.runtime.conditions import ConditionName
from rainbow_agent.runtime.debounce import Debounce
from rainbow_agent.runtime.logs import counted
from rainbow_agent.runtime.loops import Telemetry
from rainbow_agent.runtime.stop import Stop
from rainbow_compspec.errors import CompspecError

log = logging.getLogger(__name__)

#: Seconds between looks at the nodes.
NODES_INTERVAL_S = 5.0
#: Seconds between them while there is nothing to register yet, or nodes start.
_FIRST_NODES_INTERVAL_S = 0.5
#: Seconds between them at least, whatever is due.
_MIN_PAUSE_S = 0.05
#: Seconds between looks at other nodes' software, after jobs ended.
OTHER_NODES_INTERVAL_S = 10.0
#: Nodes named in `status` for each thing that can be wrong.
_MAX_NODES_NAMED = 20


class SoftwareWatch(Protocol):
    """Tells when what is installed may have changed (adapters.spack_watch)."""

    def start(self, changed: Callable[[], None]) -> None:
        """Begin; `changed` is called from any thread."""

    def look(self) -> bool:
        """Whether it changed since the last look, for file systems without notifications."""

    def stop(self) -> None:
        """End."""


class DescriptionFiles(Protocol):
    """Keeps descriptions as files, for people and other tools (adapters.compspec_dir)."""

    def keep_cluster(self, description: ClusterDescription) -> None:
        """Replace the files of the cluster and its subsystems."""


class NodeWatcher:
    """One thread runs `run`; the others read `description`, which is replaced, never changed."""

    def __init__(
        self,
        *,
        cluster: str,
        open_workload: Callable[[], Workload],
        discovery: Discovery,
        software: SoftwareWatch,
        shelf: DescriptionFiles,
        clock: Clock,
        stop: Stop,
        settle: Debounce,
        telemetry: Telemetry | None = None,
        everywhere: Callable[[], Subsystems] = dict,
        rack_of: Callable[[str], str] = lambda _: "",
        on_description: Callable[[], None] = lambda: None,
    ) -> None:
        self._cluster = cluster
        self._open_workload = open_workload
        self._discovery = discovery
        self._software = software
        self._shelf = shelf
        self._clock = clock
        self._telemetry = telemetry or Telemetry(clock)
        self._stop = self._telemetry.loop("lookout", stop)
        self._end = stop
        self._settle = settle
        self._everywhere = everywhere
        self._rack_of = rack_of
        self._placed: tuple[ClusterDescription, Subsystems, Site] | None = None
        self._wake = stop.wake_event()
        self._software_changed = threading.Event()
        self._again: set[int] = set()  # ranks to be asked again
        self._contradictions: set[str] = set()  # of which we warned
        self._jobs_ended = threading.Event()
        self._looked_elsewhere = float("-inf")
        self._workload: Workload | None = None
        self._obstacles = ObstacleWatch(self._telemetry.conditions, clock)
        self._pool = PoolView(())
        self._arrival = Arrival(clock)
        self._awaits = False  # a command that looks once waits for no node
        self._ready = threading.Condition()
        self._problem: Exception | None = None
        #: Is called when there is a new description.
        self._on_description = on_description
        #: The cluster as it is; None until the first survey ended.
        self.description: ClusterDescription | None = None

    def graph_text(self, stop: StopSignal | None = None) -> str:
        """The cluster graph to register with; waits for the first survey, and for nodes that start.

        Args:
            stop: the signal of the loop that waits; None for the daemon's.

        Raises:
            WorkloadUnavailable: there is nothing to register yet, or a stop was asked for.
        """
        self._awaited(stop)
        if self.arriving():
            self._wait_for_arrival(stop or self._end)
        return self._awaited(stop).graph.text

    def arriving(self) -> bool:
        """Whether nodes that the workload manager knows are awaited (arrival.py). Any thread."""
        return not self._arrival.over

    def site(self, stop: StopSignal | None = None) -> Site:
        """The nodes that jobs are placed on; waits for the first survey.

        Args:
            stop: as of graph_text.

        Raises:
            WorkloadUnavailable: they are not known yet, or a stop was asked for.
        """
        description, everywhere = self._awaited(stop), self._everywhere()
        known = self._placed
        if known is None or known[0] is not description or known[1] is not everywhere:
            known = self._placed = (
                description,
                everywhere,
                site_of(description.survey, everywhere),
            )
        return known[2]

    def _awaited(self, stop: StopSignal | None) -> ClusterDescription:
        stop = stop or self._end  # not this loop's own: another thread must not beat for it
        with self._ready:
            while self.description is None and self._problem is None and not stop.is_set():
                self._ready.wait(0.1)
            if self.description is not None:
                return self.description
        raise self._problem or NotDescribed("stopped before the nodes were described")

    def _wait_for_arrival(self, stop: StopSignal) -> None:
        log.info("%s. Then rainbow gets the cluster's graph", self._arrival.awaited())
        with self._ready:
            while self.arriving() and self._problem is None and not stop.is_set():
                self._ready.wait(0.1)

    def memory_per_node(self) -> int | None:
        """Bytes of the node with the least; None while no node's is known."""
        return self.description.memory_per_node if self.description else None

    def run(self) -> None:
        """Watch until the stop.

        Raises:
            Fatal: the workload manager can never be reached.
        """
        self._software.start(self._software_is_new)
        self._awaits = True
        try:
            while not self._stop.is_set():
                self.tick()
                self._stop.wait_for(self._wake, self._pause())
                self._wake.clear()
            self._telemetry.ended("lookout")
        finally:
            self._software.stop()
            self._close()

    def jobs_ended(self) -> None:
        """Jobs ended, and may have installed something on their nodes; from any thread."""
        self._jobs_ended.set()
        self._wake.set()

    @contextmanager
    def once(self) -> Iterator[None]:
        """One survey, without a thread: for a command that registers and ends.

        Raises:
            WorkloadUnavailable, Fatal: there is nothing to register.
        """
        try:
            self.tick()
            if self._problem is not None:
                raise self._problem
            yield
        finally:
            self._close()

    def tick(self) -> None:
        """One look, and a survey when one is due."""
        try:
            pool = self._look()
        except WorkloadUnavailable as exc:
            self._fail(exc)
            return
        except Fatal as exc:
            self._fail(exc)
            raise
        self._notice(pool)
        due = self._discovery.next_due() <= self._clock.monotonic()
        changed = self._settle.due() or (self._settle.changed and self._arrival.complete(pool))
        if self.description is None or changed or due:
            self._survey(pool)
        elif self.description is not None:
            self._look_for_arrivals(pool, self.description.survey)

    def _look_for_arrivals(self, pool: PoolView, survey: Survey) -> None:
        self._arrival.look(pool, {node.view.rank for node in survey.counted})
        with self._ready:
            self._ready.notify_all()

    def facts(self) -> dict[str, Any]:
        """The key `nodes` of runtime.json; None before the first survey."""
        description = self.description
        return {"nodes": nodes_view(description.survey.nodes) if description else None}

    def _software_is_new(self) -> None:
        self._software_changed.set()
        self._wake.set()

    def _pause(self) -> float:
        now = self._clock.monotonic()
        quiet = self.description is not None and self._arrival.over
        look = NODES_INTERVAL_S if quiet else _FIRST_NODES_INTERVAL_S
        return max(_MIN_PAUSE_S, min(look, self._settle.left(), self._discovery.next_due() - now))

    def _look(self) -> PoolView:
        reached = self._workload is None
        try:
            if self._workload is None:
                self._workload = self._open_workload()
            pool = self._workload.resources()
            self._obstacles.look(self._workload)
        except WorkloadUnavailable:
            self._close()
            raise
        if reached and self._awaits:
            self._arrival.begin()
        return pool

    def _notice(self, pool: PoolView) -> None:
        before, self._pool = self._pool, pool
        if not pool.same_nodes(before):
            self._settle.touch()
        if self._software.look() or self._software_changed.is_set():
            self._software_changed.clear()
            # Other nodes may share the file system; that is not known here.
            self._again |= {view.rank for view in pool.nodes}
            self._settle.touch()
        if self._jobs_ended.is_set():
            self._look_elsewhere()

    def _look_elsewhere(self) -> None:
        """A job may have installed something on the disk of a node that only it can see."""
        now = self._clock.monotonic()
        if now - self._looked_elsewhere < OTHER_NODES_INTERVAL_S:
            return
        self._looked_elsewhere = now
        self._jobs_ended.clear()
        changed = self._discovery.changed_elsewhere(self._stop)
        if changed:
            self._again |= changed
            self._settle.touch()

    def _survey(self, pool: PoolView) -> None:
        again, self._again = self._again, set()
        self._settle.reset()
        survey = self._discovery.survey(pool, self._stop, ask_again=again)
        self._say_who_is_missing(survey)
        if self._stop.is_set():
            return
        if self.description and self.description.survey == survey:
            self._look_for_arrivals(pool, survey)
            self._telemetry.conditions.clear(ConditionName.CLUSTER_NOT_DESCRIBED)
            return
        try:
            description = describe_cluster(self._cluster, survey, self._rack_of)
        except (NotDescribed, CompspecError) as exc:
            self._look_for_arrivals(pool, survey)
            self._telemetry.conditions.set(ConditionName.CLUSTER_NOT_DESCRIBED, str(exc))
            self._fail(exc)
            return
        self._publish(description, pool)
        self._say_contradictions(survey)

    def _publish(self, description: ClusterDescription, pool: PoolView) -> None:
        graph = description.graph
        log.info(
            "The cluster has %s; rainbow gets its graph in the form %r: %s",
            counted(len(description.survey.counted), "node"),
            graph.form,
            graph.note,
            extra={"action": "cluster_described", "form": graph.form, "bytes": len(graph.text)},
        )
        # Both at once: who hears that all nodes are there registers with what is described.
        with self._ready:
            self.description, self._problem = description, None
            self._look_for_arrivals(pool, description.survey)
        self._telemetry.conditions.clear(ConditionName.CLUSTER_NOT_DESCRIBED)
        self._on_description()
        self._shelf.keep_cluster(description)

    def _say_who_is_missing(self, survey: Survey) -> None:
        """The condition that names the nodes left out of the graph because they do not answer."""
        missing = [node for node in survey.nodes if node.silent]
        if self._stop.is_set():
            return
        if not missing:
            self._telemetry.conditions.clear(ConditionName.NODES_SILENT)
            return
        names = ", ".join(node.view.name for node in missing[:_MAX_NODES_NAMED])
        more = ", ..." if len(missing) > _MAX_NODES_NAMED else ""
        self._telemetry.conditions.set(
            ConditionName.NODES_SILENT,
            f"no description of {counted(len(missing), 'node')} ({names}{more}):"
            f" {missing[0].problem}; jobs are not matched to them. They are asked again",
        )

    def _say_contradictions(self, survey: Survey) -> None:
        """Warn of what the workload manager gives and the nodes do not have, once a sentence."""
        found: dict[str, list[str]] = {}
        for each in survey.nodes:
            for problem in each.contradictions:
                found.setdefault(problem, []).append(each.view.name)
        for problem, names in found.items():
            if problem not in self._contradictions:
                shown = ", ".join(names[:_MAX_NODES_NAMED]) + (
                    ", ..." if len(names) > _MAX_NODES_NAMED else ""
                )
                log.warning(
                    "%s (%s): %s",
                    counted(len(names), "node"),
                    shown,
                    problem,
                    extra={"action": "nodes_contradict", "nodes": names[:_MAX_NODES_NAMED]},
                )
            self._contradictions.add(problem)

    def _fail(self, exc: Exception) -> None:
        with self._ready:
            if str(exc) != str(self._problem):
                log.warning("The nodes cannot be looked at: %s", exc)
            self._problem = exc
            self._ready.notify_all()

    def _close(self) -> None:
        if self._workload is not None:
            self._workload.close()
            self._workload = None


def nodes_view(nodes: tuple[Surveyed, ...]) -> dict[str, Any]:
    """How the nodes are, for `status`: counts, and those that are not as they should be."""
    troubled = [
        each
        for each in nodes
        if each.condition is not NodeCondition.UP or each.problem or each.contradictions
    ]
    return {
        **{c.value: sum(each.condition is c for each in nodes) for c in NodeCondition},
        "described": sum(each.facts is not None for each in nodes),
        "troubled": [
            {
                "rank": each.view.rank,
                "name": each.view.name,
                "condition": each.condition.value,
                "problem": each.problem or "; ".join(each.contradictions) or None,
            }
            for each in troubled[:_MAX_NODES_NAMED]
        ],
    }
