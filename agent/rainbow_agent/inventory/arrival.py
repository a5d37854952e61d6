"""Nodes that are there one after the other when an instance starts, and how long they are awaited.

The workload manager knows all nodes from its configuration: the Flux operator writes one that has
every pod of the MiniCluster, also those that do not run yet. A lead broker is there before the
others. A graph that rainbow got then would be replaced seconds later, and that is costly
(docs/decisions/0005).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from rainbow_agent.core.node_resources import PoolView
from rainbow_agent.core.ports import Clock
from rainbow_agent.runtime.logs import counted

#: Seconds after the last node that came for which others are awaited. The Flux operator's script
#: has a worker try again 15 s after it did not find the lead, or lost it.
ARRIVAL_PAUSE_S: Final = 20.0
#: Seconds after which no node is awaited any more, however many come one after the other.
MAX_ARRIVAL_S: Final = 60.0
#: Nodes that a sentence names.
_MAX_NODES_NAMED: Final = 20


class Arrival:
    """Used by the node watcher's thread; others read `over` and `missing`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begun = self._last = 0.0
        self._come: set[int] = set()  # ranks
        #: Names of the nodes that are not there.
        self.missing: tuple[str, ...] = ()
        #: Whether no node is awaited: before begin(), and when all are there or time is over.
        self.over = True

    def begin(self) -> None:
        """An instance was reached: from now on its nodes are awaited."""
        self._begun = self._last = self._clock.monotonic()
        self._come = set()
        self.over = False

    def awaited(self) -> str:
        """A sentence, without its end: which nodes, and how long."""
        names = ", ".join(self.missing[:_MAX_NODES_NAMED])
        more = ", ..." if len(self.missing) > _MAX_NODES_NAMED else ""
        return (
            f"Waiting for {counted(len(self.missing), 'more node')} that the workload manager knows"
            f" ({names}{more}): until {ARRIVAL_PAUSE_S:g} s after the last one that came"
        )

    def complete(self, pool: PoolView) -> bool:
        """Whether the nodes that are awaited are up: nothing more will change soon."""
        return not self.over and all(view.online for view in pool.nodes)

    def look(self, pool: PoolView, counted: Collection[int]) -> None:
        """See which nodes have come by now.

        Args:
            pool: the nodes that the workload manager knows, as they are now.
            counted: ranks that were up and had described themselves at the last survey.
        """
        if self.over:
            return
        come = {view.rank for view in pool.nodes if view.online and view.rank in counted}
        now = self._clock.monotonic()
        if come - self._come:
            self._last = now
        self._come |= come
        self.missing = tuple(view.name for view in pool.nodes if view.rank not in come)
        limit = min(self._last + ARRIVAL_PAUSE_S, self._begun + MAX_ARRIVAL_S)
        self.over = not self.missing or now >= limit
