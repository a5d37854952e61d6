"""Every metric that the agent exports, declared once: name, kind, sentence, labels, what to do.

`exposition` renders them, and docs/tables.py makes the table in docs/monitoring of them; the
alerts and the dashboard are compared with this in a test.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from rainbow_agent.runtime.counters import CALL_BUCKETS, JOB_BUCKETS


class MetricKind(str, Enum):
    """What kinds of metrics there are."""

    COUNTER = "counter"  # its samples end in _total
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"  # its one sample ends in _info; its labels are what it says


@dataclass(frozen=True)
class MetricDefinition:
    """One metric. `name` is without the endings that its kind gives to samples."""

    name: str
    kind: MetricKind
    text: str  # one sentence
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()  # upper bounds of a histogram
    to_do: str = ""  # for who watches it


#: All of them, in the order in which they are declared and exported.
METRIC_DEFINITIONS: Final[list[MetricDefinition]] = []


def _declare(
    name: str,
    kind: MetricKind,
    text: str,
    labels: tuple[str, ...] = (),
    *,
    buckets: tuple[float, ...] = (),
    to_do: str = "",
) -> MetricDefinition:
    METRIC_DEFINITIONS.append(
        MetricDefinition(f"rainbow_agent_{name}", kind, text, labels, buckets, to_do)
    )
    return METRIC_DEFINITIONS[-1]


def _counter(name: str, text: str, *labels: str, to_do: str = "") -> MetricDefinition:
    return _declare(name, MetricKind.COUNTER, text, labels, to_do=to_do)


def _gauge(name: str, text: str, *labels: str, to_do: str = "") -> MetricDefinition:
    return _declare(name, MetricKind.GAUGE, text, labels, to_do=to_do)


def _durations(name: str, text: str, *labels: str) -> MetricDefinition:
    return _declare(name, MetricKind.HISTOGRAM, text, labels, buckets=JOB_BUCKETS)


BUILD: Final = _declare(
    "build",
    MetricKind.INFO,
    "What is running here.",
    ("version", "python", "cluster", "workload"),
)
# Health.
READY: Final = _gauge(
    "ready",
    "Whether a job can be received and completed: 1 or 0.",
    to_do="0 for minutes: `check_ok` says which check fails",
)
CHECK: Final = _gauge(
    "check_ok",
    "Each condition for readiness: 1 or 0.",
    "check",
    to_do="look at the check that is 0",
)
LOOP_AGE: Final = _gauge(
    "loop_age_seconds",
    "Seconds since a loop last moved.",
    "loop",
    to_do="alert when above `loop_limit_seconds`",
)
LOOP_LIMIT_SECONDS: Final = _gauge(
    "loop_limit_seconds", "Seconds that one turn of a loop may take.", "loop"
)
CONDITIONS: Final = _gauge(
    "conditions", "How many conditions there are now.", to_do="alert when above 0 for minutes"
)
CONDITION: Final = _gauge(
    "condition_since_timestamp_seconds",
    "Since when a condition has lasted; absent when it is over.",
    "name",
    to_do="operations.md has the names",
)
DRAINING: Final = _gauge(
    "draining",
    "Whether the agent is drained on request: 1 or 0.",
    to_do="if it stays 1, someone forgot `resume`",
)
# Rainbow.
CALLS: Final = _declare(
    "rainbow_call_duration_seconds",
    MetricKind.HISTOGRAM,
    "Calls to rainbow by procedure and outcome (ok, or the kind of error).",
    ("method", "outcome"),
    buckets=CALL_BUCKETS,
)
POLLS: Final = _counter("polls", "Polls that rainbow answered, by what they returned.", "outcome")
ROWS: Final = _counter(
    "known_rows", "Rows whose number was used before: the same job, or another.", "outcome"
)
REPORTS: Final = _counter("reports", "Reports to rainbow, delivered or failed.", "outcome")
CONTACT: Final = _gauge(
    "rainbow_last_contact_timestamp_seconds",
    "When rainbow last answered the main loop.",
    to_do="alert when it is several polls old",
)
ERRORS: Final = _counter(
    "errors", "Errors by kind.", "kind", to_do="if the rate stays above 0, look at the log"
)
RETRIES: Final = _counter("retries", "Retries after an error.", "what")
# Jobs.
JOBS: Final = _gauge("jobs", "Jobs in the ledger, by state.", "state")
TASKS: Final = _gauge("tasks", "Unfinished tasks, by state.", "state")
QUEUE: Final = _gauge(
    "queue_jobs",
    "Jobs that wait for the agent's next step: to be planned, or accepted.",
    "step",
    to_do="it grows while Flux or rainbow is slow",
)
RECEIVED: Final = _counter("jobs_received", "Jobs received from rainbow.")
ENDED: Final = _counter("jobs_ended", "Finished jobs, by state.", "state")
SUBMITTING: Final = _durations(
    "job_submit_duration_seconds", "Finished jobs: seconds from received to submitted."
)
WAITING: Final = _durations(
    "job_wait_duration_seconds", "Finished jobs: seconds from submitted to started."
)
RUNNING: Final = _durations(
    "job_run_duration_seconds", "Finished jobs: seconds from started to finished."
)
WHOLE: Final = _durations(
    "job_duration_seconds", "Finished jobs: seconds from received to finished.", "state"
)
# Resources.
NODES: Final = _gauge("nodes", "Nodes: with jobs, free, drained or down.", "state")
CORES: Final = _gauge("cores", "Cores: used, free, or on nodes that are not available.", "state")
GPUS: Final = _gauge("gpus", "GPUs: used, free, or on nodes that are not available.", "state")
DISK_FREE: Final = _gauge(
    "disk_free_bytes",
    "Free bytes on the file system of the state folder.",
    to_do="alert before it is gone",
)
LEDGER: Final = _gauge("ledger_size_bytes", "Size of the ledger and its log.")
# This side.
REQUESTS: Final = _counter("http_requests", "HTTP requests that were answered.", "path", "code")
