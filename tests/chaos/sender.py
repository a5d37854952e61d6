"""Sends jobs to rainbow all the time, in ones and in bursts."""

from __future__ import annotations

import random
import threading
from typing import Final

from chaos.jobs import Book, document, next_job
from chaos.parts import Parts
from rainbow_agent.core.errors import ClusterUnknown, RainbowAgentError, Rejected

PAUSE_S: Final = (0.1, 2.0)
A_FEW: Final = 5
A_BURST: Final = 60
BURST_SHARE: Final = 0.02  # of the times that something is sent
MAX_OPEN: Final = 120  # jobs that are sent and not over; more are not sent until some are


class Sender:
    """A thread that sends.

    Args:
        parts: where to.
        book: what was sent is noted there.
        rng: which jobs, and when.
    """

    def __init__(self, parts: Parts, book: Book, rng: random.Random) -> None:
        self._parts, self._book, self._rng = parts, book, rng
        self._stop = threading.Event()
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="sender")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """Send no more; what it died of is raised."""
        self._stop.set()
        self._thread.join()
        self.raise_its_fault()

    def raise_its_fault(self) -> None:
        """What the thread died of, if it did."""
        if self._fault is not None:
            raise self._fault

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._rng.uniform(*PAUSE_S)):
                _, over = self._parts.counts()
                excused = sum(bool(job.excuse) for job in list(self._book.jobs.values()))
                if len(self._book.jobs) - excused - over < MAX_OPEN:
                    burst = self._rng.random() < BURST_SHARE
                    self._send(A_BURST if burst else self._rng.randint(1, A_FEW))
        except BaseException as exc:  # noqa: BLE001 - raised in the main thread
            self._fault = exc

    def _send(self, count: int) -> None:
        for _ in range(count):
            if self._stop.is_set():
                return
            with self._book.held():
                if not self._send_one():
                    return

    def _send_one(self) -> bool:
        """Whether rainbow answered."""
        job = next_job(self._rng, f"j{len(self._book.jobs):06d}")
        text = document(job, self._parts.marks, self._parts.instance)
        try:
            self._parts.fleet.send(text)
        except (ClusterUnknown, Rejected):
            self._book.refused += 1  # rainbow has no graph of the cluster now
            return True
        except RainbowAgentError:
            job.certain = False
        self._book.jobs[job.name] = job
        return job.certain
