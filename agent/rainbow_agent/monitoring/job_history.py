"""Counters and durations of jobs, out of the ledger: the metrics that cost nothing unread.

They are read at each scrape from where the last one ended: nothing is counted twice, and a daemon
that no one scrapes does nothing for them.
"""

from __future__ import annotations

import threading

from rainbow_agent.monitoring.ports import LedgerFigures
from rainbow_agent.runtime.counters import JOB_BUCKETS, Counter, Histogram
from rainbow_agent.storage.ledger_metrics import Ended, Movements


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
