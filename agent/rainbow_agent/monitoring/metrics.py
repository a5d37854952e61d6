"""What is true now, as samples of the metrics. Pure."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rainbow_agent import __version__
from rainbow_agent.core.node_resources import PoolView
from rainbow_agent.core.states import FINAL_JOB_STATES, JobState, TaskState
from rainbow_agent.monitoring import metric_definitions as defined
from rainbow_agent.monitoring.health import Health
from rainbow_agent.monitoring.job_history import JobHistory
from rainbow_agent.monitoring.metric_definitions import MetricDefinition
from rainbow_agent.runtime.counters import Counter, Distribution, Histogram
from rainbow_agent.runtime.loops import Telemetry
from rainbow_agent.storage.ledger_metrics import Backlog


@dataclass(frozen=True)
class Sample:
    """One value of a metric: label values in its labels' order, and a number or more."""

    labels: tuple[str, ...]
    value: float | Distribution


#: A metric with its values now.
Measured = tuple[MetricDefinition, Sequence[Sample]]

#: Renders metrics as text for a scraper, in the format that its Accept header asks for.
Render = Callable[[list[Measured], str], tuple[str, bytes]]


@dataclass(frozen=True)
class Now:
    """What is true at one moment."""

    cluster: str
    workload: str  # flux or local
    verdict: Health
    draining: bool
    last_contact: float | None  # epoch seconds
    pool: PoolView | None
    counts: Mapping[JobState, int]
    backlog: Backlog
    free_bytes: int | None
    ledger_bytes: int


def measure(now: Now, telemetry: Telemetry, history: JobHistory) -> list[Measured]:
    """Every metric with its samples."""
    return [
        (
            defined.BUILD,
            [Sample((__version__, platform.python_version(), now.cluster, now.workload), 1)],
        ),
        *_health(now, telemetry),
        *_rainbow(now, telemetry),
        *_jobs(now, history),
        *_resources(now),
        (defined.REQUESTS, _counted(telemetry.counters.requests)),
    ]


def _health(now: Now, telemetry: Telemetry) -> Iterable[Measured]:
    ages, troubles = telemetry.loop_health.ages(), telemetry.troubles()
    yield defined.READY, [Sample((), float(now.verdict.ok))]
    yield defined.CHECK, [Sample((c.name,), float(c.ok)) for c in now.verdict.checks]
    yield defined.LOOP_AGE, [Sample((name,), age.age) for name, age in ages.items()]
    yield defined.LOOP_LIMIT_SECONDS, [Sample((name,), age.limit) for name, age in ages.items()]
    yield defined.CONDITIONS, [Sample((), len(troubles))]
    yield defined.CONDITION, [Sample((c.name,), c.since) for c in troubles]
    yield defined.DRAINING, [Sample((), float(now.draining))]


def _rainbow(now: Now, telemetry: Telemetry) -> Iterable[Measured]:
    counters = telemetry.counters
    yield defined.CALLS, _seen(counters.calls)
    yield defined.POLLS, _counted(counters.polls, ("jobs",), ("empty",))
    yield defined.ROWS, _counted(counters.rows, ("dropped",), ("reused",))
    yield defined.REPORTS, _counted(counters.reports, ("delivered",), ("failed",))
    yield defined.CONTACT, [] if now.last_contact is None else [Sample((), now.last_contact)]
    yield defined.ERRORS, _counted(counters.errors)
    yield (
        defined.RETRIES,
        _counted(counters.retries, ("poll",), ("submit",), ("journal",), ("report",)),
    )


def _jobs(now: Now, history: JobHistory) -> Iterable[Measured]:
    yield defined.JOBS, [Sample((state.value,), now.counts.get(state, 0)) for state in JobState]
    open_states = (
        TaskState.PENDING,
        TaskState.SUBMITTING,
        TaskState.SUBMITTED,
        TaskState.RUNNING,
    )
    yield defined.TASKS, [Sample((s.value,), now.backlog.tasks.get(s, 0)) for s in open_states]
    yield (
        defined.QUEUE,
        [
            Sample(("plan",), now.backlog.unplanned),
            Sample(("accept",), now.backlog.unaccepted),
        ],
    )
    yield defined.RECEIVED, _counted(history.received, ())
    yield (
        defined.ENDED,
        _counted(history.ended, *((s.value,) for s in JobState if s in FINAL_JOB_STATES)),
    )
    for metric, histogram in (
        (defined.SUBMITTING, history.submit),
        (defined.WAITING, history.wait),
        (defined.RUNNING, history.run),
        (defined.WHOLE, history.whole),
    ):
        yield metric, _seen(histogram)


def _resources(now: Now) -> Iterable[Measured]:
    pool = now.pool
    if pool is not None:
        up = [node for node in pool.nodes if node.up]
        out = [node for node in pool.nodes if not node.up]
        drained, free = sum(node.drained for node in out), pool.nodes_free
        yield (
            defined.NODES,
            [
                Sample(("used",), len(up) - free),
                Sample(("free",), free),
                Sample(("drained",), drained),
                Sample(("down",), len(out) - drained),
            ],
        )
        cores = (sum(n.cores for n in up), sum(n.cores_free for n in up))
        gpus = (sum(n.gpus for n in up), sum(n.gpus_free for n in up))
        yield defined.CORES, _used(*cores, sum(n.cores for n in out))
        yield defined.GPUS, _used(*gpus, sum(n.gpus for n in out))
    yield defined.DISK_FREE, [] if now.free_bytes is None else [Sample((), now.free_bytes)]
    yield defined.LEDGER, [Sample((), now.ledger_bytes)]


def _used(total: int, free: int, out: int) -> list[Sample]:
    return [Sample(("used",), total - free), Sample(("free",), free), Sample(("out",), out)]


def _counted(counter: Counter, *expected: tuple[str, ...]) -> list[Sample]:
    """A counter's samples; those that are expected are there from the start, at 0."""
    found = {**dict.fromkeys(expected, 0.0), **counter.values()}
    return [Sample(labels, value) for labels, value in sorted(found.items())]


def _seen(histogram: Histogram) -> list[Sample]:
    return [Sample(labels, seen) for labels, seen in sorted(histogram.values().items())]
