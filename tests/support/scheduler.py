"""An in-memory rainbow behind ports.Scheduler, with the facts of the real one (075ee23).

Rows come again until they are accepted; a secret is given once; a restart loses the graphs, and
without its database everything. For unit tests; what goes over the wire is tested elsewhere.
"""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rainbow_agent.core.errors import (
    ClusterExists,
    ClusterUnknown,
    GraphExists,
    Rejected,
    RequestDenied,
    SubsystemExists,
    SubsystemMissing,
    Unavailable,
)
from rainbow_agent.core.model import Credentials, Listing, Offer, SatisfyAnswer
from rainbow_agent.fleet.messages.carrier import Box, Waiting
from rainbow_agent.fleet.messages.rows import ROW_NAME, Message, read, write

#: What `--secret` of the server would be.
REGISTRATION_SECRET = "chocolate-cookies"


@dataclass
class _Cluster:
    credentials: Credentials
    rows: dict[int, Offer] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)


@dataclass
class _Fault:
    method: str
    calls_left: int
    error: Exception
    after: bool


class FakeScheduler:
    """The server, and a connection to it: many threads may call it at once.

    `calls` counts what arrived, `watch` is called with each call before it is answered.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._clusters: dict[str, _Cluster] = {}
        self._graphs: dict[str, str] = {}
        self._subsystems: dict[tuple[str, str], str] = {}
        self._faults: list[_Fault] = []
        self._secrets = 0
        self._last_id = 0
        #: Whether it has boxes, as the embedded scheduler: messages by whom they are for.
        self.boxes: dict[str, dict[int, Message]] | None = None
        self.down = False
        self.calls: Counter[str] = Counter()
        self.watch: Callable[[str], None] = lambda _: None

    # -- what a test does to it --------------------------------------------------------------

    def put(self, cluster: str, jobspec: str, name: str = "job", *, says: str | None = None) -> int:
        """Have a job wait for a cluster; its id. `says`: the cluster named in the row itself."""
        with self._lock:
            self._last_id += 1
            problem = f"rainbow's row is for {says[:80]!r}, not for us" if says else ""
            offer = Offer(self._last_id, name, says or cluster, jobspec, problem)
            self._clusters[cluster].rows[offer.id] = offer
            return offer.id

    def put_back(
        self, cluster: str, job_id: int, jobspec: str, name: str, *, says: str | None = None
    ) -> None:
        """A row under a number that was given before: the database is an older copy."""
        with self._lock:
            problem = f"rainbow's row is for {says!r}, not for us" if says else ""
            offer = Offer(job_id, name, says or cluster, jobspec, problem)
            self._clusters[cluster].rows[job_id] = offer

    def put_first(self, cluster: str, ids: Sequence[int]) -> None:
        """Rows that rainbow lists before all others: nothing says in which order it does."""
        with self._lock:
            rows = self._clusters[cluster].rows
            first = {job_id: rows[job_id] for job_id in ids}
            self._clusters[cluster].rows = {**first, **rows}

    def restart(self, *, keep_database: bool) -> None:
        """The process ends and comes back; graphs live in memory only."""
        with self._lock:
            self._graphs.clear()
            self._subsystems.clear()
            if not keep_database:
                self._clusters.clear()
                self._last_id = 0

    def fail(self, method: str, error: Exception, *, call: int = 1, after: bool = False) -> None:
        """Fail the n-th call of a method from now; `after`: it took effect, the reply is lost."""
        with self._lock:
            self._faults.append(_Fault(method, call, error, after))

    def waiting(self, cluster: str) -> list[int]:
        """Ids of rows that were not accepted yet, and of messages in the box."""
        with self._lock:
            found = self._clusters.get(cluster)
            rows = found.rows if found else {}
            return sorted({**rows, **(self.boxes or {}).get(cluster, {})})

    def post(self, cluster: str, message: Message) -> None:
        """Leave a message: in the box, where there are some, and else as a row."""
        if self.boxes is None:
            self.put(cluster, write(message), ROW_NAME)
            return
        with self._lock:
            self._last_id += 1
            self.boxes.setdefault(cluster, {})[self._last_id] = message

    def posted(self, cluster: str) -> list[Message]:
        """The messages that wait for a cluster."""
        with self._lock:
            found = self._clusters.get(cluster)
            rows = found.rows.values() if found else ()
            listed = [read(offer.name, offer.jobspec) for offer in rows]
            boxed = (self.boxes or {}).get(cluster, {}).values()
            return [message for message in (*listed, *boxed) if message is not None]

    def state(self, cluster: str) -> dict[str, Any]:
        """What update_state() left."""
        with self._lock:
            found = self._clusters.get(cluster)
            return dict(found.state) if found else {}

    def has_graph(self, cluster: str) -> bool:
        """Whether jobs can be matched to the cluster."""
        with self._lock:
            return cluster in self._graphs

    # -- ports.Scheduler ---------------------------------------------------------------------

    def register(self, cluster: str, secret: str, graph: str) -> Credentials:
        """Register a cluster."""
        with self._serving("register"):
            if secret != REGISTRATION_SECRET:
                raise RequestDenied("request denied")
            if cluster in self._clusters:
                raise ClusterExists(f"cluster {cluster} exists")
            self._secrets += 1
            given = Credentials(f"secret-number-{self._secrets}", f"token-number-{self._secrets}")
            self._clusters[cluster] = _Cluster(given)
            self._graphs[cluster] = graph
            return given

    def restore_graph(self, cluster: str, graph: str) -> None:
        """Load a graph; one that is there stays."""
        with self._serving("restore_graph"):
            if cluster in self._graphs:
                raise GraphExists(f"cluster graph {cluster} already exists")
            self._graphs[cluster] = graph

    def deregister(self, cluster: str, secret: str) -> None:
        """Delete a cluster."""
        with self._serving("deregister"):
            if cluster in self._clusters:
                self._known(cluster, secret)
                del self._clusters[cluster]
            self._graphs.pop(cluster, None)

    def register_subsystem(self, cluster: str, secret: str, subsystem: str, graph: str) -> None:
        """Add a subsystem graph."""
        with self._serving("register_subsystem"):
            self._known(cluster, secret)
            if (cluster, subsystem) in self._subsystems:
                raise SubsystemExists(f"subsystem {subsystem} already exists")
            self._subsystems[cluster, subsystem] = graph

    def delete_subsystem(self, cluster: str, secret: str, subsystem: str) -> None:
        """Remove a subsystem graph."""
        with self._serving("delete_subsystem"):
            self._known(cluster, secret)
            if self._subsystems.pop((cluster, subsystem), None) is None:
                raise Rejected(f"subsystem {subsystem} does not exist")

    def receive(self, cluster: str, secret: str, max_jobs: int) -> Listing:
        """The rows that wait; they stay."""
        with self._serving("receive"):
            rows = list(self._known(cluster, secret).rows.values())
            listed = rows[:max_jobs] if max_jobs >= 1 else rows
            whole = max_jobs < 1 or len(rows) < max_jobs
            return Listing(sorted(listed, key=lambda offer: offer.id), whole=whole)

    def accept(self, cluster: str, secret: str, ids: Sequence[int]) -> None:
        """Delete rows; those that are gone are no error."""
        if not ids:
            return
        with self._serving("accept"):
            rows = self._known(cluster, secret).rows
            for job_id in ids:
                rows.pop(job_id, None)

    def update_state(self, cluster: str, secret: str, state: Mapping[str, Any]) -> None:
        """Merge keys; fails without a graph."""
        with self._serving("update_state"):
            found = self._known(cluster, secret)
            if cluster not in self._graphs:
                raise ClusterUnknown(f"cluster {cluster} does not exist")
            found.state.update(state)

    def satisfy(self, jobspec: Mapping[str, Any]) -> SatisfyAnswer:
        """Every cluster that has a graph matches."""
        with self._serving("satisfy"):
            names = sorted(self._graphs)
            return SatisfyAnswer(names, len(names), len(names), 0)

    def submit(
        self,
        name: str,
        clusters: Mapping[str, str],
        jobspec: str,
        *,
        select: str = "",
        select_options: Mapping[str, str] | None = None,
        satisfy_only: bool = False,
    ) -> list[str]:
        """Hand a job to the first cluster, by name."""
        with self._serving("submit"):
            for cluster, token in clusters.items():
                found = self._clusters.get(cluster)
                if found is None or found.credentials.token != token:
                    raise RequestDenied("request denied")
            for cluster in clusters:
                if cluster not in self._graphs:
                    raise ClusterUnknown(f"cluster {cluster} does not exist")
            if satisfy_only:
                return sorted(clusters)
            chosen = min(clusters)
            self.put(chosen, jobspec, name)
            return [chosen]

    def send_message(self, token: str, message: Message) -> bool:
        """Leave a message in a box; False where there are none."""
        if self.boxes is None:
            return False
        with self._serving("send_message"):
            found = self._clusters.get(message.to)
            if found is None or found.credentials.token != token:
                raise RequestDenied("request denied")
            self._last_id += 1
            self.boxes.setdefault(message.to, {})[self._last_id] = message
            return True

    def messages(self, cluster: str, secret: str, wait: float = 0.0) -> Box | None:
        """What is in a box; it waits for nothing."""
        if self.boxes is None:
            return None
        with self._serving("messages"):
            self._known(cluster, secret)
            there = self.boxes.get(cluster, {})
            return Box(tuple(Waiting(*each) for each in there.items()), waited=bool(there))

    def remove_messages(self, cluster: str, secret: str, ids: Sequence[int]) -> None:
        """Take messages out of a box."""
        with self._serving("remove_messages"):
            self._known(cluster, secret)
            for number in ids:
                (self.boxes or {}).get(cluster, {}).pop(number, None)

    def close(self) -> None:
        """Nothing to end."""

    def _known(self, cluster: str, secret: str) -> _Cluster:
        found = self._clusters.get(cluster)
        if found is None or found.credentials.secret != secret:
            raise RequestDenied("request denied")
        return found

    @contextmanager
    def _serving(self, method: str) -> Iterator[None]:
        with self._lock:
            self.calls[method] += 1
            self.watch(method)
            fault = self._due(method)
            if self.down:
                raise Unavailable("rainbow cannot be reached: the test took it down")
            if fault and not fault.after:
                raise fault.error
            yield
            if fault:
                raise fault.error

    def _due(self, method: str) -> _Fault | None:
        due = None
        for fault in [f for f in self._faults if f.method == method]:
            fault.calls_left -= 1
            if fault.calls_left == 0:
                self._faults.remove(fault)
                due = fault
        return due


class GraphScheduler(FakeScheduler):
    """With graphs as the real server keeps them: edges outlive the subsystem they belong to.

    A vertex's number is by chance, but for a single one; an edge with the number of an old one
    takes its place (rainbow 075ee23, plugins/backends/memory).
    """

    def __init__(self) -> None:
        super().__init__()
        self.graph = ""
        self.names: set[str] = set()
        self._numbers = random.Random(1)
        self._offers: dict[tuple[str, str], dict[int, Any]] = {}

    def offers(self) -> dict[tuple[str, str], list[Any]]:
        """(node, subsystem) -> what a job may find there."""
        return {key: list(found.values()) for key, found in self._offers.items()}

    def restart(self, *, keep_database: bool) -> None:
        """The process ends and comes back."""
        super().restart(keep_database=keep_database)
        self._place("")

    def register(self, cluster: str, secret: str, graph: str) -> Credentials:
        """Register a cluster."""
        known = self.has_graph(cluster)
        try:
            return super().register(cluster, secret, graph)
        finally:
            if self.has_graph(cluster) and not known:
                self._place(graph)

    def deregister(self, cluster: str, secret: str) -> None:
        """Delete a cluster."""
        super().deregister(cluster, secret)
        self._place("")

    def restore_graph(self, cluster: str, graph: str) -> None:
        """Load a graph; one that is there stays."""
        with self._serving("restore_graph"):
            if self.graph:
                raise GraphExists("cluster graph blue already exists and cannot be added again")
            self._graphs[cluster] = graph
            self._place(graph)

    def register_subsystem(self, cluster: str, secret: str, subsystem: str, graph: str) -> None:
        """Add a subsystem graph, or the cluster's own."""
        with self._serving("register_subsystem"):
            self._known(cluster, secret)
            if subsystem in self.names or (subsystem == "cluster" and self.graph):
                raise SubsystemExists(f"subsystem {subsystem} already exists for cluster blue")
            if subsystem == "cluster":
                names = self.names
                self._place(graph)
                self.names = names
                return
            if not self.graph:
                raise AssertionError("the Go server's process would have ended")
            self.names.add(subsystem)
            self._hang(subsystem, json.loads(graph)["graph"])

    def delete_subsystem(self, cluster: str, secret: str, subsystem: str) -> None:
        """Remove a subsystem graph, or the cluster's own."""
        with self._serving("delete_subsystem"):
            self._known(cluster, secret)
            if subsystem == "cluster" and self.graph:
                self.graph = ""
            elif subsystem in self.names:
                self.names.remove(subsystem)
            else:
                raise SubsystemMissing(f"cluster graph blue does not have subsystem {subsystem}")

    def _place(self, graph: str) -> None:
        self.graph, self.names, self._offers = graph, set(), {}

    def _hang(self, subsystem: str, graph: dict[str, Any]) -> None:
        numbers = list(range(1, len(graph["nodes"]) + 1))
        self._numbers.shuffle(numbers)
        number_of = dict(zip(graph["nodes"], numbers, strict=True))
        for edge in graph["edges"]:
            there = self._offers.setdefault((edge["source"], subsystem), {})
            there[number_of[edge["target"]]] = graph["nodes"][edge["target"]]["metadata"]
