"""What is wrong now, each thing once, with its reason and since when.

A condition is a state, not an event: the part that sees trouble sets it (as often as it is seen)
and clears it when it is over. `status` says `degraded` while there is any.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import Enum
from typing import Final

from rainbow_agent.core.ports import Clock


class ConditionName(str, Enum):
    """Every condition that there is, with its meaning. The names are promised to programs.

    docs/tables.py makes the table in docs/operations.md of them, with condition_advice's ADVICE.
    """

    meaning: str

    def __new__(cls, name: str, meaning: str) -> ConditionName:  # noqa: PYI034 - Self is 3.11
        """A member: its name for programs, its meaning for people."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.meaning = meaning
        return member

    RAINBOW_UNREACHABLE = (
        "rainbow-unreachable",
        "rainbow does not answer; jobs that are here continue, reports are kept",
    )
    RAINBOW_DENIED = (
        "rainbow-denied",
        "rainbow does not know the cluster's secret, or lost its graph; the agent repairs both",
    )
    RAINBOW_REFUSES = "rainbow-refuses", "rainbow answers with an error of its own"
    REPORT_UNDELIVERED = (
        "report-undelivered",
        "a report did not reach rainbow; the next one repeats what it said",
    )
    WORKLOAD_UNREACHABLE = (
        "workload-unreachable",
        "Flux does not answer, or its journal was interrupted",
    )
    WORKLOAD_TAKES_NO_JOBS = (
        "workload-takes-no-jobs",
        "Flux answers but accepts no submissions",
    )
    NO_SCHEDULER = (
        "no-scheduler",
        "Flux has no scheduler that is loaded and ready: jobs are taken, and none starts",
    )
    QUEUE_STOPPED = (
        "queue-stopped",
        "somebody stopped Flux's queue: jobs are taken, and none starts",
    )
    QUEUE_DISABLED = "queue-disabled", "somebody disabled Flux's queue: no job is taken"
    GPUS_NOT_GIVEN = (
        "gpus-not-given",
        "nodes have GPUs that Flux's scheduler gives to no job: they are not offered to rainbow",
    )
    CLUSTER_NOT_DESCRIBED = (
        "cluster-not-described",
        "no node could be described, so rainbow gets no graph",
    )
    NODES_SILENT = (
        "nodes-silent",
        "some nodes do not describe themselves; their last descriptions are used",
    )
    RAINBOW_REUSES_IDS = (
        "rainbow-reuses-ids",
        "rainbow offered jobs under numbers that this registration had before; shown for an hour",
    )
    SUBSYSTEM_REFUSED = (
        "subsystem-refused",
        (
            "rainbow does not accept the description of software or hardware; it is offered again"
            " from time to time"
        ),
    )
    DISK_NEARLY_FULL = "disk-nearly-full", "little free space where the state folder is"
    HTTP_NOT_SERVED = "http-not-served", "the agent cannot listen on the address in `RAINBOW_HTTP`"
    HEARTBEAT_OLD = "heartbeat-old", "the daemon holds its lock but has gone silent"
    PROCESS_STOPPED = "process-stopped", "a signal or a debugger stopped the process"
    LEDGER_UNREADABLE = "ledger-unreadable", "the ledger cannot be read from this shell"
    LEDGER_UNWRITABLE = (
        "ledger-unwritable",
        (
            "the ledger cannot be written now (disk full, file size limit reached, locked by"
            " another process); nothing new is started, running jobs continue"
        ),
    )
    LEDGER_BROKEN = (
        "ledger-broken",
        (
            "the ledger broke or became read-only while it was in use; the agent restarts"
            " with it in a moment"
        ),
    )
    ASKING_WHO_RECEIVES = (
        "asking-who-receives",
        (
            "this state folder has never owned the cluster: before taking jobs the agent asks"
            " whether another one does (for three times `RAINBOW_POLL_MAX`)"
        ),
    )
    BLACK_HOLE = (
        "black-hole",
        (
            "jobs failed within a second of their start, one after another; no more are taken for"
            " a while, then one is tried"
        ),
    )
    CLUSTER_RENAMED = (
        "cluster-renamed",
        "this state folder was another cluster's before, whose jobs wait in rainbow",
    )
    LEDGER_REBUILT = (
        "ledger-rebuilt",
        (
            "the ledger was damaged; it was renamed, and a new one was made from what Flux and"
            " rainbow still know"
        ),
    )


#: Of every loop_stuck().
LOOP_STUCK_MEANING: Final = "a loop of the daemon has not moved within its limit"


def loop_stuck(loop: str) -> str:
    """The name of the condition while this loop does not move; derived, one for each loop."""
    return f"loop-stuck-{loop}"


@dataclass(frozen=True)
class Condition:
    """One thing that is wrong."""

    name: str  # a ConditionName's value, or loop_stuck()'s
    reason: str  # one sentence for people: what, and what to do
    since: float  # epoch seconds


class Conditions:
    """All that is wrong now. Every method may be called from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self._current: dict[str, Condition] = {}

    def set(self, name: ConditionName, reason: str) -> bool:
        """Something is wrong; True when it was not before. Its `since` stays the first time's."""
        with self._guard:
            known = self._current.get(name.value)
            since = known.since if known else self._clock.now()
            self._current[name.value] = Condition(name.value, reason, since)
            return known is None

    def clear(self, name: ConditionName) -> bool:
        """It is over; True when it was set."""
        with self._guard:
            return self._current.pop(name.value, None) is not None

    def has(self, name: ConditionName) -> bool:
        """Whether this is wrong now."""
        with self._guard:
            return name.value in self._current

    def current(self) -> list[Condition]:
        """What is wrong now, the oldest first."""
        with self._guard:
            return sorted(self._current.values(), key=lambda c: (c.since, c.name))
