"""Keeps rainbow's picture of this cluster true, and sends no more than what changed.

What the real server does (converged-computing/rainbow 075ee23, run) and what follows from it:

- DeleteSubsystem leaves the edges from the nodes to the old vertices, so that old attributes go on
  matching. A subsystem of one vertex is safe: the new one gets the old one's number, and its edges
  take the old ones' places. Any other change to a subsystem needs a fresh cluster graph.
- A cluster graph cannot be changed. `Registrar.renew` registers the cluster again, where that
  keeps its token; elsewhere the graph, which is the subsystem `cluster`, is replaced in place.

docs/decisions/0005 has the measurements.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from rainbow_agent.core.errors import Rejected, SubsystemExists, SubsystemMissing, Transient
from rainbow_agent.core.ports import Clock, Scheduler
from rainbow_agent.fleet.ports import Notes
from rainbow_agent.fleet.renewal import Renewal
from rainbow_agent.fleet.sent_graphs import DOMINANT, SentGraphs
from rainbow_agent.fleet.session import Session
from rainbow_agent.inventory.description import ClusterDescription, Sendable, digest
from rainbow_agent.runtime.conditions import ConditionName, Conditions
from rainbow_agent.runtime.fault_injection import CrashPoint, reach
from rainbow_compspec.subsystems import SUBSYSTEMS

log = logging.getLogger(__name__)

#: Seconds between two renewals of the cluster graph at least: nodes that come and go must not
#: have the fleet's scheduler load graphs all the time.
RENEW_INTERVAL_S: Final = 30.0
#: Seconds until a subsystem that the server refused is offered again: at first, and at most. It may
#: have been something between us that refused, or another server takes its place.
RETRY_PAUSES_S: Final = (2.0, 600.0)
_NOTE: Final = "published"


@dataclass(frozen=True)
class PublishedSubsystem:
    """What is known of a subsystem on the server."""

    digest: str | None  # None: it was being replaced when something went wrong
    anchors: str | None  # as in Sendable


@dataclass(frozen=True)
class RefusedSubsystem:
    """A subsystem that the server did not take."""

    pause: float  # seconds until it is offered again
    due: float  # when that is, monotonic


@dataclass(frozen=True)
class PublishedGraph:
    """What the server has of a registration. `graph` None: it is not known."""

    registration: str
    graph: str | None = None
    subsystems: Mapping[str, PublishedSubsystem] = field(default_factory=dict)

    def to_note(self) -> dict[str, Any]:
        """As JSON."""
        entries = {name: [e.digest, e.anchors] for name, e in self.subsystems.items()}
        return {"registration": self.registration, "graph": self.graph, "subsystems": entries}

    @classmethod
    def from_note(cls, note: Any, registration: str) -> PublishedGraph:
        """From JSON; what is about another registration or of another shape tells nothing."""
        try:
            if note["registration"] != registration:
                return cls(registration)
            entries = {name: PublishedSubsystem(*pair) for name, pair in note["subsystems"].items()}
            return cls(registration, note["graph"], entries)
        except (TypeError, KeyError, AttributeError):
            return cls(registration)


class GraphPublisher:
    """Used by the main loop only; `facts()` also by the status writer, in the same thread."""

    def __init__(
        self,
        *,
        scheduler: Scheduler,
        ledger: Notes,
        clock: Clock,
        description: Callable[[], ClusterDescription | None],
        conditions: Conditions | None = None,
        arriving: Callable[[], bool] = lambda: False,
    ) -> None:
        """Join it to its surroundings.

        Args:
            scheduler: the main loop's connection.
            ledger: keeps what was sent.
            clock: spaces renewals.
            description: the cluster as it is now; None while it is not known yet.
            conditions: where a subsystem that rainbow refuses is said.
            arriving: whether nodes are awaited after a start. Rainbow keeps the graph that it has
                until then: a lead that was replaced is there before the others have found it.
        """
        self._conditions = conditions or Conditions(clock)
        self._scheduler = scheduler
        self._ledger = ledger
        self._clock = clock
        self._description = description
        self._sent: PublishedGraph | None = None
        self._shown = SentGraphs.from_note(ledger.note(_NOTE))
        self._before_loss: tuple[PublishedGraph, SentGraphs] | None = None
        self._arriving = arriving
        self._complete_for: tuple[ClusterDescription, str] | None = (
            None  # what needs no sending any more
        )
        self._refused: dict[str, RefusedSubsystem] = {}  # by digest
        self._renewed = float("-inf")
        self._replace_pause = 0.0  # seconds, after the server refused a replacement

    # -- the registrar says what happens to the graph (ports.GraphEvents) ------------------

    def placed(self, registration: str, graph: str) -> None:
        """The server has this graph now, and no subsystem on it."""
        self._shown = self._shown.graph(graph, self._description(), self._clock.now())
        self._remember(PublishedGraph(registration, digest(graph)))

    def lost(self, registration: str) -> None:
        """The server says that it has no graph; another is on its way."""
        self._before_loss = self._known(registration), self._shown
        self._shown = SentGraphs({})
        self._remember(PublishedGraph(registration))

    def kept(self) -> None:
        """It has the graph after all."""
        if self._before_loss is not None:
            sent, self._shown = self._before_loss
            self._remember(sent)

    # -- the main loop ----------------------------------------------------------------------------

    def sync(self, session: Session, renew: Callable[[], Renewal]) -> None:
        """Send what rainbow does not have yet, if anything.

        Args:
            session: of this registration.
            renew: registers the cluster again, if it can now (renewal.renew).

        Raises:
            Transient: rainbow cannot be reached; what was not sent is sent by the next call.
            ClusterUnknown, RequestDenied: rainbow lost something (registration.Doubt).
        """
        arriving = self._arriving()  # first: a description that comes meanwhile has those nodes
        description = self._description()
        if description is None:
            return
        if self._complete_for == (description, session.registration) and not self._due_again(
            description
        ):
            return
        sent = self._known(session.registration)
        if not self._fits(sent, description):
            if sent.graph is not None and arriving:
                return
            since = self._clock.monotonic() - self._renewed
            if since < RENEW_INTERVAL_S:
                return
            how = renew()
            if how is Renewal.LATER:
                return
            self._renewed = self._clock.monotonic()
            self._log_renewal(description)
            if how is Renewal.DONE:
                return  # there is a new session; the next call sends the subsystems
            sent = self._replace_graph_soon(session, description)
        self._send_subsystems(session, sent, description)
        self._complete_for = (description, session.registration)

    def facts(self) -> dict[str, Any] | None:
        """The `graph` object of `status`; None while nothing is known."""
        description, sent = self._description(), self._sent
        if description is None or sent is None:
            return self._shown.view(description, () if self._shown.parts else [DOMINANT])
        unsent = [
            part.name
            for part in description.subsystems
            if (there := sent.subsystems.get(part.name)) is None or there.digest != part.digest
        ]
        if sent.graph != description.graph.digest:
            unsent.append(DOMINANT)
        return self._shown.view(description, unsent)

    def _fits(self, sent: PublishedGraph, description: ClusterDescription) -> bool:
        """Whether the server's graph can stay, with at most single subsystems replaced on it."""
        parts = {part.name: part for part in description.subsystems}
        if sent.graph != description.graph.digest or sent.subsystems.keys() - parts.keys():
            return False
        return all(self._replaceable(sent, part) for part in parts.values())

    def _replaceable(self, sent: PublishedGraph, part: Sendable) -> bool:
        there = sent.subsystems.get(part.name)
        if there is None or there.digest == part.digest or part.digest in self._refused:
            return True
        return part.anchors is not None and there.anchors == part.anchors

    def _replace_graph_soon(
        self, session: Session, description: ClusterDescription
    ) -> PublishedGraph:
        """As _replace_graph; where that fails half way, it is not long until it is tried again.

        The fleet waits for the other half. Jobs must not wait for a server that always refuses it.
        """
        try:
            sent = self._replace_graph(session, description)
        except Transient:
            self._renewed = float("-inf")
            raise
        except Rejected:
            first, longest = RETRY_PAUSES_S
            self._replace_pause = min(self._replace_pause * 2 or first, longest)
            self._renewed += self._replace_pause - RENEW_INTERVAL_S
            raise
        self._replace_pause = 0.0
        return sent

    def _replace_graph(self, session: Session, description: ClusterDescription) -> PublishedGraph:
        """Put another cluster graph in the old one's place; no subsystem is on it then."""
        # From here to the second call every Satisfy of the fleet fails on the real server: nothing
        # comes in between, and a start after a crash there does it again.
        self._remember(PublishedGraph(session.registration))
        self._drop(session, DOMINANT)
        reach(CrashPoint.GRAPH_DROPPED)
        self._put(session, description.graph)
        for name in {*SUBSYSTEMS, *(part.name for part in description.subsystems)}:
            self._drop(session, name)
        sent = PublishedGraph(session.registration, description.graph.digest)
        self._shown = self._shown.graph(description.graph.text, description, self._clock.now())
        self._remember(sent)
        return sent

    def _send_subsystems(
        self, session: Session, sent: PublishedGraph, description: ClusterDescription
    ) -> None:
        due = [
            part
            for part in description.subsystems
            if self._may_offer(part)
            and sent.subsystems.get(part.name) != PublishedSubsystem(part.digest, part.anchors)
        ]
        if not due:
            return
        unsure = {part.name: PublishedSubsystem(None, part.anchors) for part in due}
        self._remember(replace(sent, subsystems={**sent.subsystems, **unsure}))
        done = {}
        for part in due:
            if part.name in sent.subsystems:
                self._drop(session, part.name)
            if self._offer(session, part):
                done[part.name] = PublishedSubsystem(part.digest, part.anchors)
        # One that was refused stays unsure: what refused it may have let it through, or an old one.
        self._remember(replace(sent, subsystems={**sent.subsystems, **unsure, **done}))
        self._log_sent(due, done)
        self._update_condition(description)

    def _may_offer(self, part: Sendable) -> bool:
        """Whether it was not refused, or that is long enough ago."""
        refused = self._refused.get(part.digest)
        return refused is None or refused.due <= self._clock.monotonic()

    def _due_again(self, description: ClusterDescription) -> bool:
        """Whether something that was refused should be offered once more."""
        return any(
            part.digest in self._refused and self._may_offer(part)
            for part in description.subsystems
        )

    def _update_condition(self, description: ClusterDescription) -> None:
        """The condition while rainbow does not have all of what this cluster is."""
        names = [part.name for part in description.subsystems if part.digest in self._refused]
        if names:
            self._conditions.set(
                ConditionName.SUBSYSTEM_REFUSED,
                f"rainbow refuses {', '.join(names)} of this cluster: jobs that require it will not"
                " come here; the log has rainbow's words",
            )
        else:
            self._conditions.clear(ConditionName.SUBSYSTEM_REFUSED)

    def _offer(self, session: Session, part: Sendable) -> bool:
        """Add a subsystem. One that the server refuses must not cost the others."""
        try:
            try:
                self._put(session, part)
            except SubsystemExists:  # an answer was lost, or an agent ended uncleanly
                self._drop(session, part.name)
                self._put(session, part)
        except Rejected as exc:
            first, longest = RETRY_PAUSES_S
            before = self._refused.get(part.digest)
            pause = min(before.pause * 2, longest) if before else first
            self._refused[part.digest] = RefusedSubsystem(pause, self._clock.monotonic() + pause)
            log.error(  # noqa: TRY400 - the sentence is all there is to know
                "Rainbow refuses subsystem %s of this cluster: %s",
                part.name,
                exc,
                extra={"action": "subsystem_refused", "subsystem": part.name},
            )
            return False
        self._refused.pop(part.digest, None)
        return True

    def _put(self, session: Session, part: Sendable) -> None:
        self._scheduler.register_subsystem(
            session.cluster, session.secret.reveal(), part.name, part.text
        )
        if part.name != DOMINANT:
            self._shown = self._shown.subsystem(part, self._clock.now())

    def _drop(self, session: Session, name: str) -> None:
        """Remove a subsystem; one that is not there is as good."""
        self._shown = self._shown.without([name])
        try:
            self._scheduler.delete_subsystem(session.cluster, session.secret.reveal(), name)
        except SubsystemMissing:
            log.debug("Subsystem %s was not there to delete", name)
        except Rejected as exc:
            log.warning(
                "Subsystem %s was not deleted: %s",
                name,
                exc,
                extra={"action": "not_deleted", "subsystem": name},
            )

    def _known(self, registration: str) -> PublishedGraph:
        if self._sent is None or self._sent.registration != registration:
            self._sent = PublishedGraph.from_note(self._ledger.note(_NOTE), registration)
        return self._sent

    def _remember(self, sent: PublishedGraph) -> None:
        self._sent, self._complete_for = sent, None
        self._ledger.put_note(_NOTE, {**sent.to_note(), "sent": self._shown.parts})

    def _log_renewal(self, description: ClusterDescription) -> None:
        log.info(
            "The cluster's graph changed; rainbow gets the new one: %s",
            description.graph.note,
            extra={
                "action": "graph_changed",
                "nodes": len(description.survey.counted),
                "form": description.graph.form,
                "bytes": len(description.graph.text),
            },
        )

    def _log_sent(self, due: Iterable[Sendable], done: Mapping[str, PublishedSubsystem]) -> None:
        names = [part.name for part in due if part.name in done]
        if names:
            log.info(
                "Registered this cluster's %s with rainbow",
                ", ".join(names),
                extra={"action": "subsystems_sent", "subsystems": names},
            )
