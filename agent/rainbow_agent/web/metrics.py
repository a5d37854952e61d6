"""What is true now, as samples of the exported families. Pure, but for what it remembers.

Durations come from the ledger, read at each scrape from where the last one ended: nothing is
counted twice, and nobody pays for it while nobody looks.
"""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from rainbow_agent import __version__
from rainbow_agent import families as f
from rainbow_agent.families import Family, Measured, Sample
from rainbow_agent.health import Verdict
from rainbow_agent.measures import Backlog, Ended, Measures, News
from rainbow_agent.meters import JOB_BUCKETS, Counter, Histogram
from rainbow_agent.pool import PoolView
from rainbow_agent.states import FINAL_JOB_STATES, JobState, TaskState
from rainbow_agent.vitals import Vitals


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

    def catch_up(self, ledger: Measures) -> None:
        """Take in what the ledger has since the last time."""
        with self._guard:  # two scrapes at once must not count the same news
            news = ledger.news(self._upto)
            self._take(news)
            self._upto = news.upto

    def _take(self, news: News) -> None:
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


def measure(now: Now, vitals: Vitals, history: JobHistory) -> list[Measured]:
    """Every family with its samples."""
    return [
        (f.BUILD, [Sample((__version__, platform.python_version(), now.cluster, now.workload), 1)]),
        *_health(now, vitals),
        *_rainbow(now, vitals),
        *_jobs(now, history),
        *_resources(now),
        (f.REQUESTS, _counted(vitals.meters.requests)),
    ]


def _health(now: Now, vitals: Vitals) -> Iterable[Measured]:
    ages, troubles = vitals.pulse.ages(), vitals.troubles()
    yield f.READY, [Sample((), float(now.verdict.ok))]
    yield f.CHECK, [Sample((c.name,), float(c.ok)) for c in now.verdict.checks]
    yield f.LOOP_AGE, [Sample((name,), age.age) for name, age in ages.items()]
    yield f.LOOP_LIMIT, [Sample((name,), age.limit) for name, age in ages.items()]
    yield f.CONDITIONS, [Sample((), len(troubles))]
    yield f.CONDITION, [Sample((c.name,), c.since) for c in troubles]
    yield f.DRAINING, [Sample((), float(now.draining))]


def _rainbow(now: Now, vitals: Vitals) -> Iterable[Measured]:
    meters = vitals.meters
    yield f.CALLS, _seen(meters.calls)
    yield f.POLLS, _counted(meters.polls, ("jobs",), ("empty",))
    yield f.REPORTS, _counted(meters.reports, ("delivered",), ("failed",))
    yield f.CONTACT, [] if now.last_contact is None else [Sample((), now.last_contact)]
    yield f.ERRORS, _counted(meters.errors)
    yield f.RETRIES, _counted(meters.retries, ("poll",), ("submit",), ("journal",), ("report",))


def _jobs(now: Now, history: JobHistory) -> Iterable[Measured]:
    yield f.JOBS, [Sample((state.value,), now.counts.get(state, 0)) for state in JobState]
    open_states = (
        TaskState.PENDING,
        TaskState.SUBMITTING,
        TaskState.SUBMITTED,
        TaskState.RUNNING,
    )
    yield f.TASKS, [Sample((s.value,), now.backlog.tasks.get(s, 0)) for s in open_states]
    yield (
        f.QUEUE,
        [
            Sample(("plan",), now.backlog.unplanned),
            Sample(("accept",), now.backlog.unaccepted),
        ],
    )
    yield f.RECEIVED, _counted(history.received, ())
    yield f.ENDED, _counted(history.ended, *((s.value,) for s in JobState if s in FINAL_JOB_STATES))
    for family, histogram in (
        (f.SUBMITTING, history.submit),
        (f.WAITING, history.wait),
        (f.RUNNING, history.run),
        (f.WHOLE, history.whole),
    ):
        yield family, _seen(histogram)


def _resources(now: Now) -> Iterable[Measured]:
    pool = now.pool
    if pool is not None:
        up = [node for node in pool.nodes if node.up]
        out = [node for node in pool.nodes if not node.up]
        drained, free = sum(node.drained for node in out), pool.nodes_free
        yield (
            f.NODES,
            [
                Sample(("used",), len(up) - free),
                Sample(("free",), free),
                Sample(("drained",), drained),
                Sample(("down",), len(out) - drained),
            ],
        )
        cores = (sum(n.cores for n in up), sum(n.cores_free for n in up))
        gpus = (sum(n.gpus for n in up), sum(n.gpus_free for n in up))
        yield f.CORES, _used(*cores, sum(n.cores for n in out))
        yield f.GPUS, _used(*gpus, sum(n.gpus for n in out))
    yield f.ROOM, [] if now.free_bytes is None else [Sample((), now.free_bytes)]
    yield f.LEDGER, [Sample((), now.ledger_bytes)]


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
__all__ = ["Family", "JobHistory", "Now", "Render", "measure"]
