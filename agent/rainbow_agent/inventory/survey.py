"""What each node says of itself: asked once when it comes, again when something changed.

A node is asked through the workload manager's rank that runs on it. One that does not answer in
time is asked again, each time a little later, and is not counted among the cluster's nodes until
it does. One that answers that it cannot describe itself (no agent is installed there, say) runs
jobs like any other: it counts, without what only it could have said.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from typing import Protocol

from rainbow_agent.core.node_resources import NodeView, PoolView
from rainbow_agent.core.ports import Clock, StopSignal
from rainbow_compspec import node
from rainbow_compspec.errors import CompspecError
from rainbow_compspec.facts import NodeFacts
from rainbow_compspec.schedulable import contradictions

log = logging.getLogger(__name__)

#: Seconds until a node that could not be described is asked again: at first, and at most.
MIN_ASK_AGAIN_S = 10.0
MAX_ASK_AGAIN_S = 600.0
#: Nodes that a log line names.
_MAX_NODES_LOGGED = 5


@dataclass(frozen=True)
class NodeAnswer:
    """What came back from one rank."""

    rank: int
    text: str = ""  # node JSON; "" when there is none
    problem: str = ""  # why there is none
    silent: bool = False  # it did not answer at all
    final: bool = False  # there will never be one


class Extractor(Protocol):
    """Asks ranks to describe themselves (adapters.extractors)."""

    def ask(self, ranks: Sequence[int], stop: StopSignal) -> Iterable[NodeAnswer]:
        """The answers, one a rank; all are asked at once, within a time limit a rank."""

    def stamps(self, ranks: Sequence[int], stop: StopSignal) -> Mapping[int, str]:
        """What differs between the software on a rank then and now; cheap, "" for none."""


class NodeCondition(str, Enum):
    """How a node is, for people."""

    UP = "up"
    DRAINED = "drained"  # somebody keeps new jobs from it; it still counts as the cluster's
    DOWN = "down"
    SILENT = "silent"  # up, they say, but it does not answer


@dataclass(frozen=True)
class Surveyed:
    """One node: what can be scheduled there, and what it said of itself."""

    view: NodeView  # without what is free
    facts: NodeFacts | None
    problem: str = ""  # why there are no facts
    silent: bool = False
    #: What it said before it went down: what it will be again, as far as anybody knows.
    past: NodeFacts | None = None

    @property
    def condition(self) -> NodeCondition:
        """How it is."""
        if not self.view.online:
            return NodeCondition.DOWN
        if self.silent:
            return NodeCondition.SILENT
        return NodeCondition.DRAINED if self.view.drained else NodeCondition.UP

    @cached_property
    def contradictions(self) -> tuple[str, ...]:
        """What the workload manager gives there and the node says that it does not have."""
        return contradictions(self.facts, cores=self.core_ids, gpus=self.gpu_ids)

    @property
    def core_ids(self) -> Collection[int]:
        """The cores that can be scheduled, by logical number."""
        return range(self.view.cores) if self.view.core_ids is None else self.view.core_ids

    @property
    def gpu_ids(self) -> Collection[int]:
        """The GPUs that can be scheduled, by number."""
        return range(self.view.gpus) if self.view.gpu_ids is None else self.view.gpu_ids

    @property
    def counts(self) -> bool:
        """Whether it is one of the cluster's nodes now. A drained one is: draining passes."""
        return self.condition in (NodeCondition.UP, NodeCondition.DRAINED)


@dataclass(frozen=True)
class Survey:
    """All nodes at one time, by rank."""

    nodes: tuple[Surveyed, ...]

    @property
    def counted(self) -> tuple[Surveyed, ...]:
        """The nodes that make up the cluster."""
        return tuple(each for each in self.nodes if each.counts)


@dataclass
class _LastAnswer:
    """What is known of a rank that is there."""

    facts: NodeFacts | None = None
    problem: str = ""
    silent: bool = False
    failures: int = 0
    again: float = float("inf")  # when to ask again, by the monotonic clock


class Discovery:
    """Remembers the answers. Used by one thread."""

    def __init__(
        self,
        *,
        extractor: Extractor,
        keep: Callable[[int, str], None],
        clock: Clock,
        recall: Callable[[int], str | None] = lambda _: None,
    ) -> None:
        """Begin with nothing known.

        Args:
            extractor: asks.
            keep: is given each rank's node JSON, to store it.
            clock: tells when to ask again.
            recall: gives what was kept of a rank, perhaps by an earlier agent.
        """
        self._extractor = extractor
        self._keep = keep
        self._recall = recall
        self._past: dict[int, NodeFacts | None] = {}  # of ranks that are down
        self._clock = clock
        self._known: dict[int, _LastAnswer] = {}
        self._stamps: dict[int, str] = {}

    def survey(
        self, pool: PoolView, stop: StopSignal, *, ask_again: Collection[int] = ()
    ) -> Survey:
        """The nodes as they are now; asks those that have to be asked.

        Args:
            pool: what the workload manager can schedule.
            stop: ends the wait for answers; who did not answer by then is as it was.
            ask_again: ranks to ask although they are known.
        """
        online = {view.rank: view for view in pool.nodes if view.online}
        for rank in self._known.keys() - online.keys():
            # Whatever comes back there may be another machine.
            self._past[rank] = self._known.pop(rank).facts
        due = [rank for rank in sorted(online) if rank in ask_again or self._is_due(rank)]
        if due:
            if len(online) > 1:
                # Before they are asked: what is installed meanwhile is a change.
                self._stamps.update(self._extractor.stamps(due, stop))
            self._ask(due, online, stop)
        return Survey(tuple(self._surveyed(view) for view in pool.nodes))

    def changed_elsewhere(self, stop: StopSignal) -> set[int]:
        """Ranks whose software is another than when they were asked, or last looked at."""
        described = sorted(rank for rank, known in self._known.items() if known.facts)
        if len(described) < 2:
            return set()  # the one node is watched directly
        before, self._stamps = self._stamps, dict(self._extractor.stamps(described, stop))
        return {rank for rank, now in self._stamps.items() if now != before.get(rank, "")}

    def next_due(self) -> float:
        """When somebody is to be asked again, by the monotonic clock; infinity for never."""
        return min((known.again for known in self._known.values()), default=float("inf"))

    def _is_due(self, rank: int) -> bool:
        known = self._known.get(rank)
        return known is None or known.again <= self._clock.monotonic()

    def _ask(self, ranks: list[int], online: dict[int, NodeView], stop: StopSignal) -> None:
        news: dict[str, list[str]] = {}  # problem -> names of nodes that did not have it
        for answer in self._extractor.ask(ranks, stop):
            if stop.is_set():
                return
            name = online[answer.rank].name
            problem = self._note(answer, name)
            if problem:
                news.setdefault(problem, []).append(name)
        for problem, names in news.items():
            log.warning(
                "%d nodes are not described (%s%s): %s",
                len(names),
                ", ".join(names[:_MAX_NODES_LOGGED]),
                ", ..." if len(names) > _MAX_NODES_LOGGED else "",
                problem,
                extra={"action": "nodes_not_described", "nodes": names[:_MAX_NODES_LOGGED]},
            )

    def _note(self, answer: NodeAnswer, name: str) -> str:
        """Remember an answer; its problem, if it is a new one."""
        before = self._known.setdefault(answer.rank, _LastAnswer())
        facts, problem = None, answer.problem
        if answer.text:
            try:
                facts = node.to_facts(node.loads(answer.text, name), name)
                self._keep(answer.rank, answer.text)
            except CompspecError as exc:
                problem = str(exc)
        if facts is not None:
            self._known[answer.rank] = _LastAnswer(facts)
            return ""
        wait = (
            float("inf")
            if answer.final
            else min(MIN_ASK_AGAIN_S * 2 ** min(before.failures, 10), MAX_ASK_AGAIN_S)
        )
        self._known[answer.rank] = _LastAnswer(
            before.facts,  # what it said before is the best that is known
            problem,
            answer.silent,
            before.failures + 1,
            self._clock.monotonic() + wait,
        )
        return "" if problem == before.problem else problem

    def _surveyed(self, view: NodeView) -> Surveyed:
        known = self._known.get(view.rank, _LastAnswer())
        lasting = replace(view, cores_free=0, gpus_free=0)
        past = None if view.online else self._past_of(view)
        return Surveyed(lasting, known.facts, known.problem, known.silent, past)

    def _past_of(self, view: NodeView) -> NodeFacts | None:
        """What a node that is down said when it was up."""
        if view.rank not in self._past:
            self._past[view.rank] = self._recalled(view.rank)
        past = self._past[view.rank]
        return past if past is not None and past.name == view.name else None

    def _recalled(self, rank: int) -> NodeFacts | None:
        text = self._recall(rank)
        try:
            return None if text is None else node.to_facts(node.loads(text, f"rank {rank}"))
        except CompspecError:
            return None  # it is asked when it comes
