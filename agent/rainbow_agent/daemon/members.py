"""What a daemon is made of: each folder's one object (daemon/build.py builds them)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rainbow_agent.daemon.circuit_breaker import CircuitBreaker
from rainbow_agent.daemon.drain_watch import DrainWatch
from rainbow_agent.daemon.status_writer import StatusWriter
from rainbow_agent.daemon.systemd import Notifier
from rainbow_agent.fleet.fleet import Fleet
from rainbow_agent.inventory.watcher import NodeWatcher
from rainbow_agent.jobs.jobs import Jobs
from rainbow_agent.monitoring.build import Monitoring, Observation
from rainbow_agent.runtime.memory import MemoryRelease
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage.history_keeper import HistoryKeeper


@dataclass(frozen=True)
class Members:
    """The objects that do the work of one daemon."""

    nodes: NodeWatcher
    fleet: Fleet
    jobs: Jobs
    monitoring: Monitoring
    history: HistoryKeeper
    breaker: CircuitBreaker
    drain: DrainWatch
    status: StatusWriter
    service: Notifier
    memory: MemoryRelease

    def facts(self) -> dict[str, Any]:
        """How all of them are, for runtime.json."""
        return {
            **self.fleet.facts(),
            **self.jobs.facts(),
            **self.nodes.facts(),
            **self.drain.facts(),
            **self.monitoring.facts(),
        }


def observe(fleet: Fleet, jobs: Jobs, stop: Stop) -> Observation:
    """The daemon at this moment, for probes and pages; from any thread."""
    contact, reporter, journal = fleet.contact, fleet.reporter, jobs.journal
    return Observation(
        registered=fleet.session is not None,
        rainbow_answered=contact.answered_at,
        report_delivered=reporter.delivered_at if contact.well() else None,
        rainbow_problem=contact.problem,
        rainbow_last_contact=contact.last_contact,
        workload_followed=journal.caught_up.is_set(),
        workload_problem=journal.problem,
        workload_journal_read=journal.looked,
        workload_answered=reporter.looked,
        pool=reporter.pool,
        stopping=stop.is_set(),
    )
