"""For tests: a node watcher over a workload manager that has only resources."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rainbow_agent.core.node_resources import NodeView, PoolView
from rainbow_agent.core.obstacles import Obstacle
from rainbow_agent.inventory.description import ClusterDescription
from rainbow_agent.inventory.survey import Discovery
from rainbow_agent.inventory.watcher import NodeWatcher
from rainbow_agent.runtime.debounce import Debounce
from rainbow_agent.runtime.loops import Telemetry
from rainbow_agent.runtime.stop import Stop
from support.common import FakeClock
from support.nodes import FakeExtractor, views


class Pool:
    """A workload manager that has only resources."""

    kind, uri = "flux", "local:///nowhere"

    def __init__(self) -> None:
        self.nodes: list[NodeView] = views(2)
        self.error: Exception | None = None
        self.found: list[Obstacle] = []
        self.questions = 0
        self.opened = self.closed = 0

    def open(self) -> Any:
        """A connection (Any: nothing here calls anything else of ports.Workload)."""
        self.opened += 1
        return self

    def resources(self) -> PoolView:
        """What a test says."""
        if self.error:
            raise self.error
        return PoolView(tuple(self.nodes))

    def obstacles(self) -> list[Obstacle]:
        """What a test says; counted."""
        self.questions += 1
        return self.found

    def close(self) -> None:
        """Counted."""
        self.closed += 1


class Software:
    """watcher.SoftwareWatch that changes when a test says so."""

    def __init__(self) -> None:
        self.changed: Callable[[], None] | None = None
        self.other = False
        self.stopped = False

    def start(self, changed: Callable[[], None]) -> None:
        """Begin."""
        self.changed = changed

    def look(self) -> bool:
        """Whether it changed."""
        was, self.other = self.other, False
        return was

    def stop(self) -> None:
        """End."""
        self.stopped = True


class Harness:
    """A node watcher, and all that it talks to."""

    def __init__(self) -> None:
        self.pool, self.software, self.ranks = Pool(), Software(), FakeExtractor()
        self.clock, self.stop = FakeClock(), Stop()
        self.files: list[ClusterDescription] = []
        self.rings = 0
        self.telemetry = Telemetry(self.clock)
        self.watcher = NodeWatcher(
            cluster="blue",
            open_workload=self.pool.open,
            discovery=Discovery(extractor=self.ranks, keep=lambda *_: None, clock=self.clock),
            software=self.software,
            shelf=self,
            clock=self.clock,
            stop=self.stop,
            settle=Debounce(self.clock, quiet=2.0),
            telemetry=self.telemetry,
            on_description=self._ring,
        )

    def keep_cluster(self, description: ClusterDescription) -> None:
        """watcher.DescriptionFiles."""
        self.files.append(description)

    def nodes(self) -> int:
        """How many nodes the portrait has."""
        assert self.watcher.description is not None
        return len(self.watcher.description.survey.counted)

    def _ring(self) -> None:
        self.rings += 1
