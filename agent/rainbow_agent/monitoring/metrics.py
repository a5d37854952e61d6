"""What is true now, as samples of the exported families. Pure, but for what it remembers.

Durations come from the ledger, read at each scrape from where the last one ended: nothing is
counted twice, and nobody pays for it while nobody looks.
"""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from rainbow_agent import __version__
from rainbow_agent.core.node_resources import PoolView
from rainbow_agent.core.states import FINAL_JOB_STATES, JobState, TaskState
from rainbow_agent.monitoring.health import Verdict
from rainbow_agent.monitoring.ports import LedgerFigures
from rainbow_agent.runtime.counters import (
    CALL_BUCKETS,
    JOB_BUCKETS,
    Counter,
    Distribution,
    Histogram,
)
from rainbow_agent.runtime.loops import Telemetry
from rainbow_agent.storage.ledger_metrics import Backlog, Ended, Movements


class Kind(str, Enum):
    """What kinds of metrics there are."""

    COUNTER = "counter"  # its samples end in _total
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"  # its one sample ends in _info; its labels are what it says


@dataclass(frozen=True)
class MetricDefinition:
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
Measured = tuple[MetricDefinition, Sequence[Sample]]


def _name(name: str) -> str:
    return f"rainbow_agent_{name}"


def _counter(name: str, text: str, *labels: str) -> MetricDefinition:
    return MetricDefinition(_name(name), Kind.COUNTER, text, labels)


def _gauge(name: str, text: str, *labels: str) -> MetricDefinition:
    return MetricDefinition(_name(name), Kind.GAUGE, text, labels)


def _durations(name: str, text: str, *labels: str) -> MetricDefinition:
    return MetricDefinition(_name(name), Kind.HISTOGRAM, text, labels, JOB_BUCKETS)


BUILD: Final = MetricDefinition(
    _name("build"),
    Kind.INFO,
    "What is running here.",
    ("version", "python", "cluster", "workload"),
)
# Health.
READY: Final = _gauge("ready", "Whether a job can be received and completed: 1 or 0.")
CHECK: Final = _gauge("check_ok", "Each condition for readiness: 1 or 0.", "check")
LOOP_AGE: Final = _gauge("loop_age_seconds", "Seconds since a loop last moved.", "loop")
LOOP_LIMIT: Final = _gauge(
    "loop_limit_seconds", "Seconds that one turn of a loop may take.", "loop"
)
CONDITION: Final = _gauge(
    "condition_since_timestamp_seconds",
    "Since when a condition has lasted; absent when it is over.",
    "name",
)
CONDITIONS: Final = _gauge("conditions", "How many conditions there are now.")
DRAINING: Final = _gauge("draining", "Whether the agent is drained on request: 1 or 0.")
# Rainbow.
CALLS: Final = MetricDefinition(
    _name("rainbow_call_duration_seconds"),
    Kind.HISTOGRAM,
    "Calls to rainbow by procedure and outcome (ok, or the kind of error).",
    ("method", "outcome"),
    CALL_BUCKETS,
)
POLLS: Final = _counter("polls", "Polls that rainbow answered, by what they returned.", "outcome")
ROWS: Final = _counter(
    "known_rows", "Rows whose number was used before: the same job, or another.", "outcome"
)
REPORTS: Final = _counter("reports", "Reports to rainbow, delivered or failed.", "outcome")
CONTACT: Final = _gauge(
    "rainbow_last_contact_timestamp_seconds", "When rainbow last answered the main loop."
)
ERRORS: Final = _counter("errors", "Errors by kind.", "kind")
RETRIES: Final = _counter("retries", "Retries after an error.", "what")
# Jobs.
JOBS: Final = _gauge("jobs", "Jobs in the ledger, by state.", "state")
TASKS: Final = _gauge("tasks", "Unfinished tasks, by state.", "state")
QUEUE: Final = _gauge(
    "queue_jobs", "Jobs that wait for the agent's next step: to be planned, or accepted.", "step"
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
ROOM: Final = _gauge("disk_free_bytes", "Free bytes on the file system of the state folder.")
LEDGER: Final = _gauge("ledger_size_bytes", "Size of the ledger and its log.")
# This side.
REQUESTS: Final = _counter("http_requests", "HTTP requests that were answered.", "path", "code")

#: All of them, in the order in which they are exported.
METRIC_DEFINITIONS: Final = (
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
    ROWS,
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


@dataclass(frozen=True)
class Now:
    """What is true at one moment."""

    cluster: str
    workload: str  # flux or local
    verdict: Verdict
    draining: bool
    last_contact: float | None  # epoch seconds
    pool: PoolView | None
    counts: Mapping[JobState, int]
    backlog: Backlog
    free_bytes: int | None
    ledger_bytes: int


class JobHistory:
    """Counters and durations of jobs, kept up to date from the ledger.

    Args:
        since: the number of the event after which this daemon began.
    """

    def __init__(self, since: int) -> None:
        self._guard = threading.Lock()
        self._upto = since
        self.received = Counter()
        self.ended = Counter()
        self.submit = Histogram(JOB_BUCKETS)
        self.wait = Histogram(JOB_BUCKETS)
        self.run = Histogram(JOB_BUCKETS)
        self.whole = Histogram(JOB_BUCKETS)

    def catch_up(self, ledger: LedgerFigures) -> None:
        """Take in what the ledger has since the last time."""
        with self._guard:  # two scrapes at once must not count the same news
            news = ledger.moved_since(self._upto)
            self._take(news)
            self._upto = news.upto

    def _take(self, news: Movements) -> None:
        if news.received:
            self.received.add(by=news.received)
        for job in news.ended:
            self.ended.add(job.state.value)
            self._measure(job)

    def _measure(self, job: Ended) -> None:
        spans = (
            (self.submit, job.received, job.submitted, ()),
            (self.wait, job.submitted, job.started, ()),
            (self.run, job.started, job.finished, ()),
            (self.whole, job.received, job.finished, (job.state.value,)),
        )
        for histogram, begin, end, labels in spans:
            if begin is not None and end is not None:
                # Two clocks: rainbow's side of a job is ours, the tasks' times are Flux's.
                histogram.observe(max(0.0, end - begin), *labels)


def measure(now: Now, telemetry: Telemetry, history: JobHistory) -> list[Measured]:
    """Every family with its samples."""
    return [
        (BUILD, [Sample((__version__, platform.python_version(), now.cluster, now.workload), 1)]),
        *_health(now, telemetry),
        *_rainbow(now, telemetry),
        *_jobs(now, history),
        *_resources(now),
        (REQUESTS, _counted(telemetry.counters.requests)),
    ]


def _health(now: Now, telemetry: Telemetry) -> Iterable[Measured]:
    ages, troubles = telemetry.loop_health.ages(), telemetry.troubles()
    yield READY, [Sample((), float(now.verdict.ok))]
    yield CHECK, [Sample((c.name,), float(c.ok)) for c in now.verdict.checks]
    yield LOOP_AGE, [Sample((name,), age.age) for name, age in ages.items()]
    yield LOOP_LIMIT, [Sample((name,), age.limit) for name, age in ages.items()]
    yield CONDITIONS, [Sample((), len(troubles))]
    yield CONDITION, [Sample((c.name,), c.since) for c in troubles]
    yield DRAINING, [Sample((), float(now.draining))]


def _rainbow(now: Now, telemetry: Telemetry) -> Iterable[Measured]:
    counters = telemetry.counters
    yield CALLS, _seen(counters.calls)
    yield POLLS, _counted(counters.polls, ("jobs",), ("empty",))
    yield ROWS, _counted(counters.rows, ("dropped",), ("reused",))
    yield REPORTS, _counted(counters.reports, ("delivered",), ("failed",))
    yield CONTACT, [] if now.last_contact is None else [Sample((), now.last_contact)]
    yield ERRORS, _counted(counters.errors)
    yield RETRIES, _counted(counters.retries, ("poll",), ("submit",), ("journal",), ("report",))


def _jobs(now: Now, history: JobHistory) -> Iterable[Measured]:
    yield JOBS, [Sample((state.value,), now.counts.get(state, 0)) for state in JobState]
    open_states = (
        TaskState.PENDING,
        TaskState.SUBMITTING,
        TaskState.SUBMITTED,
        TaskState.RUNNING,
    )
    yield TASKS, [Sample((s.value,), now.backlog.tasks.get(s, 0)) for s in open_states]
    yield (
        QUEUE,
        [
            Sample(("plan",), now.backlog.unplanned),
            Sample(("accept",), now.backlog.unaccepted),
        ],
    )
    yield RECEIVED, _counted(history.received, ())
    yield ENDED, _counted(history.ended, *((s.value,) for s in JobState if s in FINAL_JOB_STATES))
    for family, histogram in (
        (SUBMITTING, history.submit),
        (WAITING, history.wait),
        (RUNNING, history.run),
        (WHOLE, history.whole),
    ):
        yield family, _seen(histogram)


def _resources(now: Now) -> Iterable[Measured]:
    pool = now.pool
    if pool is not None:
        up = [node for node in pool.nodes if node.up]
        out = [node for node in pool.nodes if not node.up]
        drained, free = sum(node.drained for node in out), pool.nodes_free
        yield (
            NODES,
            [
                Sample(("used",), len(up) - free),
                Sample(("free",), free),
                Sample(("drained",), drained),
                Sample(("down",), len(out) - drained),
            ],
        )
        cores = (sum(n.cores for n in up), sum(n.cores_free for n in up))
        gpus = (sum(n.gpus for n in up), sum(n.gpus_free for n in up))
        yield CORES, _used(*cores, sum(n.cores for n in out))
        yield GPUS, _used(*gpus, sum(n.gpus for n in out))
    yield ROOM, [] if now.free_bytes is None else [Sample((), now.free_bytes)]
    yield LEDGER, [Sample((), now.ledger_bytes)]


def _used(total: int, free: int, out: int) -> list[Sample]:
    return [Sample(("used",), total - free), Sample(("free",), free), Sample(("out",), out)]


def _counted(counter: Counter, *expected: tuple[str, ...]) -> list[Sample]:
    """A counter's samples; those that are expected are there from the start, at 0."""
    found = {**dict.fromkeys(expected, 0.0), **counter.values()}
    return [Sample(labels, value) for labels, value in sorted(found.items())]


def _seen(histogram: Histogram) -> list[Sample]:
    return [Sample(labels, seen) for labels, seen in sorted(histogram.values().items())]


#: Renders families as text for a scraper (adapters.prometheus).
Render = Callable[[list[Measured], str], tuple[str, bytes]]
__all__ = ["JobHistory", "MetricDefinition", "Now", "Render", "measure"]


class _Once(Collector):
    """Gives what was measured, once."""

    def __init__(self, measured: Sequence[Measured]) -> None:
        self._measured = measured

    def collect(self) -> Iterator[Metric]:
        """prometheus_client's side."""
        for family, samples in self._measured:
            yield _metric(family, samples)


def render(measured: Sequence[Measured], accept: str) -> tuple[str, bytes]:
    """Families as text, with those of this process.

    Args:
        measured: families and their samples.
        accept: the scraper's Accept header; it chooses between the two text formats.

    Returns:
        The content type and the text.
    """
    registry = CollectorRegistry()
    registry.register(_Once(measured))
    ProcessCollector(registry=registry)  # CPU seconds, memory, open files: the library's own names
    encode, content_type = choose_encoder(accept)
    return content_type, encode(registry)


def _metric(family: MetricDefinition, samples: Sequence[Sample]) -> Metric:
    if family.kind is Kind.INFO:
        info = InfoMetricFamily(family.name, family.text)
        for sample in samples:
            info.add_metric([], dict(zip(family.labels, sample.labels, strict=True)))
        return info
    if family.kind is Kind.HISTOGRAM:
        return _histogram(family, samples)
    made = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
    metric = made(family.name, family.text, labels=family.labels)
    for sample in samples:
        if not isinstance(sample.value, Distribution):
            metric.add_metric(sample.labels, sample.value)
    return metric


def _histogram(family: MetricDefinition, samples: Sequence[Sample]) -> Metric:
    metric = HistogramMetricFamily(family.name, family.text, labels=family.labels)
    bounds = [*(repr(float(bound)) for bound in family.buckets), "+Inf"]
    for sample in samples:
        if isinstance(sample.value, Distribution):
            heights = accumulate(sample.value.counts)
            metric.add_metric(
                sample.labels, list(zip(bounds, heights, strict=True)), sample.value.total
            )
    return metric
