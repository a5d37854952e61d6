"""Every metric that is exported, once: its name, kind, help and labels.

Names and units follow https://prometheus.io/docs/practices/naming/. The alert rules and the
dashboard in docs/monitoring are checked against this table and against what is really exported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from rainbow_agent.meters import CALL_BUCKETS, JOB_BUCKETS, Distribution


class Kind(str, Enum):
    """What kinds of metrics there are."""

    COUNTER = "counter"  # its samples end in _total
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"  # its one sample ends in _info; its labels are what it says


@dataclass(frozen=True)
class Family:
    """One metric. `name` is without the endings that its kind gives to samples."""

    name: str
    kind: Kind
    text: str  # one sentence
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()  # upper bounds of a histogram


@dataclass(frozen=True)
class Sample:
    """One value of a family: label values in the family's order, and a number or more."""

    labels: tuple[str, ...]
    value: float | Distribution


#: A family with its values now.
Measured = tuple[Family, Sequence[Sample]]


def _name(name: str) -> str:
    return f"rainbow_agent_{name}"


def _counter(name: str, text: str, *labels: str) -> Family:
    return Family(_name(name), Kind.COUNTER, text, labels)


def _gauge(name: str, text: str, *labels: str) -> Family:
    return Family(_name(name), Kind.GAUGE, text, labels)


def _durations(name: str, text: str, *labels: str) -> Family:
    return Family(_name(name), Kind.HISTOGRAM, text, labels, JOB_BUCKETS)


BUILD: Final = Family(
    _name("build"),
    Kind.INFO,
    "What runs here.",
    ("version", "python", "cluster", "workload"),
)
# Health.
READY: Final = _gauge("ready", "Whether a job can be taken and finished: 1 or 0.")
CHECK: Final = _gauge("check_ok", "Each of the things that readiness needs: 1 or 0.", "check")
LOOP_AGE: Final = _gauge("loop_age_seconds", "Seconds since a loop moved.", "loop")
LOOP_LIMIT: Final = _gauge("loop_limit_seconds", "Seconds that a turn of a loop may take.", "loop")
CONDITION: Final = _gauge(
    "condition_since_timestamp_seconds", "Since when something is wrong; gone when over.", "name"
)
CONDITIONS: Final = _gauge("conditions", "How many things are wrong now.")
DRAINING: Final = _gauge("draining", "Whether no new jobs are taken, by a person's wish: 1 or 0.")
# Rainbow.
CALLS: Final = Family(
    _name("rainbow_call_duration_seconds"),
    Kind.HISTOGRAM,
    "Calls to rainbow by procedure and how they ended (ok, or the kind of error).",
    ("method", "outcome"),
    CALL_BUCKETS,
)
POLLS: Final = _counter("polls", "Answered polls for jobs, by what they brought.", "outcome")
REPORTS: Final = _counter("reports", "Reports to rainbow, delivered or failed.", "outcome")
CONTACT: Final = _gauge(
    "rainbow_last_contact_timestamp_seconds", "When rainbow answered the main loop last."
)
ERRORS: Final = _counter("errors", "What went wrong, by kind.", "kind")
RETRIES: Final = _counter("retries", "What was tried again after an error.", "what")
# Jobs.
JOBS: Final = _gauge("jobs", "Jobs in the ledger, by state.", "state")
TASKS: Final = _gauge("tasks", "Tasks that are not over, by state.", "state")
QUEUE: Final = _gauge(
    "queue_jobs", "Jobs that wait for the agent's next step: to be planned, or accepted.", "step"
)
RECEIVED: Final = _counter("jobs_received", "Jobs that came from rainbow.")
ENDED: Final = _counter("jobs_ended", "Jobs that are over, by how.", "state")
SUBMITTING: Final = _durations(
    "job_submit_duration_seconds", "Of jobs that are over: from received to submitted."
)
WAITING: Final = _durations(
    "job_wait_duration_seconds", "Of jobs that are over: from submitted to started."
)
RUNNING: Final = _durations(
    "job_run_duration_seconds", "Of jobs that are over: from started to finished."
)
WHOLE: Final = _durations(
    "job_duration_seconds", "Of jobs that are over: from received to finished.", "state"
)
# Resources.
NODES: Final = _gauge("nodes", "Nodes: with jobs, free, drained or down.", "state")
CORES: Final = _gauge("cores", "Cores: used, free, or on nodes that are out.", "state")
GPUS: Final = _gauge("gpus", "GPUs: used, free, or on nodes that are out.", "state")
ROOM: Final = _gauge("disk_free_bytes", "Free bytes where the state folder is.")
LEDGER: Final = _gauge("ledger_size_bytes", "Size of the ledger and its log.")
# This side.
REQUESTS: Final = _counter("http_requests", "Answered HTTP requests.", "path", "code")

#: All of them, in the order in which they are exported.
FAMILIES: Final = (
    BUILD,
    READY,
    CHECK,
    LOOP_AGE,
    LOOP_LIMIT,
    CONDITIONS,
    CONDITION,
    DRAINING,
    CALLS,
    POLLS,
    REPORTS,
    CONTACT,
    ERRORS,
    RETRIES,
    JOBS,
    TASKS,
    QUEUE,
    RECEIVED,
    ENDED,
    SUBMITTING,
    WAITING,
    RUNNING,
    WHOLE,
    NODES,
    CORES,
    GPUS,
    ROOM,
    LEDGER,
    REQUESTS,
)
