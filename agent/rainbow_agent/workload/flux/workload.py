"""The workload manager is Flux: submit, cancel, resources, journal (ports.Workload)."""

from __future__ import annotations

import errno
import json
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rainbow_agent.core.errors import Rejected, WorkloadUnavailable
from rainbow_agent.core.lineage import Lineage
from rainbow_agent.core.model import TaskKey
from rainbow_agent.core.node_resources import PoolView
from rainbow_agent.core.notation import f58
from rainbow_agent.core.obstacles import Obstacle, ObstacleKind
from rainbow_agent.core.ports import Journal, StopSignal
from rainbow_agent.core.workload_values import (
    Submission,
    SubmitHeld,
    SubmitOutcome,
    SubmitRefused,
    Submitted,
)
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.workload.flux import bindings, quiesce
from rainbow_agent.workload.flux import lineage as flux_lineage
from rainbow_agent.workload.flux import obstacles as flux_obstacles
from rainbow_agent.workload.flux import resources as flux_resources
from rainbow_agent.workload.flux.connection import ANSWER_SECONDS, Connection, Reply
from rainbow_agent.workload.flux.journal import FluxJournal
from rainbow_agent.workload.flux.submit_request import RequestWriter
from rainbow_agent.workload.flux.trial import Trial
from rainbow_agent.workload.flux.validation import Validation, configured

log = logging.getLogger(__name__)

#: Cancellations in flight at a time.
_CANCEL_WINDOW = 500
#: Seconds for which it is believed what the scheduler can give: another one may be loaded.
_SCHEDULER_KNOWN_S = 10.0


class FluxWorkload:
    """One Flux instance, on a connection that opens when it is first needed.

    After WorkloadUnavailable the connection is closed and nothing is in flight any more; the next
    call opens another. A missing Flux is thus found by asking for `instance` or `resources()`.

    Args:
        uri: a Flux URI; None for FLUX_URI, or the system instance where that is not set.
        stop: shortens waits; None when there is none.
        queue: for jobs that name none; "" leaves the choice to Flux.
    """

    kind = "flux"

    def __init__(self, uri: str | None = None, stop: Stop | None = None, queue: str = "") -> None:
        self._queue = queue
        self._given_uri = uri or None
        self._stop = stop
        self._connection: Connection | None = None
        self._writer = RequestWriter(queue)
        self._trial = Trial(queue, time.monotonic)
        self._validation = Validation(self._validation_configured, time.monotonic)
        #: By request: whose it is, and its form.
        self._in_flight: dict[int, tuple[TaskKey, bytes | None]] = {}
        self._outcomes: deque[SubmitOutcome] = deque()
        self._failure: WorkloadUnavailable | None = None
        #: The last answer about resources, and what it meant.
        self._seen: tuple[list[Any], PoolView] | None = None
        #: When the scheduler was asked about GPUs, and why it gives none.
        self._gpus_refused: tuple[float, str] | None = None

    @property
    def uri(self) -> str:
        """Where it is."""
        return self._given_uri or os.environ.get("FLUX_URI") or "local:///run/flux/local"

    @property
    def instance(self) -> str:
        """What differs between this Flux instance and another that has its URI later.

        The lead broker's start time and process id, which 0.62 has, and its UUID where it has one.

        Raises:
            WorkloadUnavailable: it cannot be reached.
        """
        connection = self._open()
        names = ("broker.starttime", "broker.pid", "broker.uuid")
        return "/".join(filter(None, (connection.attribute(name) for name in names)))

    @property
    def lineage(self) -> Lineage:
        """What this instance has in common with one that is started with its state (`statedir`).

        Raises:
            WorkloadUnavailable: it cannot be reached.
        """
        connection = self._open()
        try:
            return flux_lineage.read(connection)
        except WorkloadUnavailable:
            self._forget()
            raise

    @property
    def version(self) -> str:
        """The version of flux-core that runs the instance."""
        return self._open().attribute("version") or "unknown"

    def resources(self) -> PoolView:
        """See ports.Workload."""
        answers = [self._call(f"resource.{topic}", rank=0) for topic in ("sched-status", "status")]
        if self._seen is None or self._seen[0] != answers:  # reading thousands of nodes is work
            decode = flux_resources.codecs(bindings.load())
            self._seen = answers, flux_resources.pool(answers[0], decode, answers[1])
        pool = self._seen[1]
        return flux_resources.without_gpus(pool) if self._why_no_gpus(pool) else pool

    def _why_no_gpus(self, pool: PoolView) -> str:
        """Why the scheduler gives none of the GPUs that there are; "" when it does."""
        if not any(node.gpus for node in pool.nodes):
            return ""
        now, known = time.monotonic(), self._gpus_refused
        if known is None or now - known[0] > _SCHEDULER_KNOWN_S:
            connection = self._open()
            try:
                why = flux_obstacles.gpus_refused(connection)
            except WorkloadUnavailable:
                self._forget()
                raise
            if why is None:  # while one is being exchanged for another it gives what it gave
                why = known[1] if known else ""
            known = self._gpus_refused = now, why
        return known[1]

    def expected_wait(self) -> float | None:
        """See ports.Workload."""
        connection = self._open()
        try:
            return flux_obstacles.expected_wait(connection, time.time())
        except WorkloadUnavailable:
            self._forget()
            raise

    def obstacles(self, *, trial: bool = False) -> list[Obstacle]:
        """See ports.Workload."""
        connection = self._open()
        try:
            found = list(flux_obstacles.read(connection, self._queue))
            problem = self._trial.problem(connection, anew=True) if trial else None
        except WorkloadUnavailable:
            self._forget()
            raise
        if problem is not None:
            found.append(Obstacle(ObstacleKind.REFUSES_ALL, reason=problem))
        if any(node.gpus_withheld for node in self.resources().nodes) and self._gpus_refused:
            found.append(Obstacle(ObstacleKind.GPUS_NOT_GIVEN, reason=self._gpus_refused[1]))
        return found

    def start_submit(self, submission: Submission) -> None:
        """See ports.Workload."""
        self._validation.refresh()
        connection, form = self._open(), self._validation.form(submission)
        try:
            number = connection.submit(
                self._writer.text(submission), validate=self._validation.needed(form)
            )
        except WorkloadUnavailable:
            self._forget()
            raise
        self._in_flight[number] = submission.key, form

    def collect_outcomes(self, timeout: float) -> list[SubmitOutcome]:
        """See ports.Workload."""
        if not self._outcomes and self._failure is None and self._in_flight:
            self._read(timeout)
        if self._outcomes:
            outcomes = list(self._outcomes)
            self._outcomes.clear()
            return outcomes
        if self._failure is not None:
            failure, self._failure = self._failure, None
            self._forget()
            raise failure
        return []

    def in_flight(self) -> int:
        """See ports.Workload."""
        return len(self._in_flight) + len(self._outcomes)

    def cancel(self, flux_ids: Sequence[int], note: str) -> None:
        """See ports.Workload."""
        connection = self._open()
        try:
            for start in range(0, len(flux_ids), _CANCEL_WINDOW):
                self._cancel_window(connection, flux_ids[start : start + _CANCEL_WINDOW], note)
        except WorkloadUnavailable:
            self._forget()
            raise

    def settle(self, stop: StopSignal) -> None:
        """See ports.Workload; flux_settle says why it is enough."""
        connection = self._open()
        try:
            quiesce.settle(connection, stop)
        except WorkloadUnavailable:
            self._forget()
            raise

    def open_journal(self, follow: Callable[[TaskKey], bool] | None = None) -> Journal:
        """A journal on a connection of its own, which belongs to the calling thread."""
        return FluxJournal(Connection(self._given_uri, self._stop), follow)

    def close(self) -> None:
        """End the connection. Jobs go on."""
        self._forget()

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = Connection(self._given_uri, self._stop)
            self._greet(self._connection)
        return self._connection

    def _greet(self, connection: Connection) -> None:
        theirs, ours = connection.attribute("version"), bindings.load().version
        facts = {"uri": self.uri, "flux": theirs, "libflux_core": ours}
        if theirs == ours:
            log.debug("Connected to Flux %s", theirs, extra={"action": "flux_connected", **facts})
        else:
            log.warning(
                "Connected to Flux %s with the libflux-core of %s: if calls fail, put the bin"
                " folder of the Flux that runs the instance first on PATH",
                theirs,
                ours,
                extra={"action": "flux_connected", **facts},
            )

    def _forget(self) -> None:
        connection, self._connection = self._connection, None
        self._in_flight.clear()
        self._outcomes.clear()
        self._failure = None
        self._validation = Validation(self._validation_configured, time.monotonic)
        if connection is not None:
            connection.close()

    def _call(self, topic: str, **options: Any) -> Any:
        connection = self._open()
        try:
            return connection.call(topic, **options)
        except WorkloadUnavailable:
            self._forget()
            raise

    def _validation_configured(self) -> bool:
        try:
            return configured(self._call("config.get"))
        except Rejected:  # then every job is checked
            return True

    def _read(self, timeout: float) -> None:
        """Move answers that are there from in flight to outcomes, up to the first failure."""
        deadline = time.monotonic() + timeout
        while not self._outcomes and self._failure is None:
            left = max(0.0, deadline - time.monotonic())
            try:
                responses = self._open().receive(left)
                self._take(responses)
            except WorkloadUnavailable as exc:
                self._failure = exc
                return
            if not responses:
                return

    def _take(self, responses: Iterable[Reply]) -> None:
        self._take_each(responses)
        if not self._in_flight:
            self._writer = RequestWriter(self._queue)  # an environment may be megabytes of text

    def _take_each(self, responses: Iterable[Reply]) -> None:
        for response in responses:
            key, form = self._in_flight.pop(response.request, (None, None))
            if key is None:
                continue  # the late answer to a question that was given up
            if not response.error:
                self._validation.passed(form)
                self._outcomes.append(Submitted(key, int(json.loads(response.text)["id"])))
            elif response.refusal:
                self._outcomes.append(self._refused(key, response.text))
            else:
                self._failure = self._failure or WorkloadUnavailable(
                    f"Flux at {self.uri} takes no jobs now: {response.text}"
                )

    def _refused(self, key: TaskKey, reason: str) -> SubmitOutcome:
        """Sort a refusal: for a failed dependency, for what any job would meet, or for itself."""
        if reason.startswith("dependency"):  # Flux's plugin dependency-after
            return SubmitRefused(key, reason, dependency_failed=True)
        problem = self._trial.problem(self._open())
        return SubmitRefused(key, reason) if problem is None else SubmitHeld(key, problem)

    def _cancel_window(self, connection: Connection, flux_ids: Sequence[int], note: str) -> None:
        sent = {connection.cancel(flux_id, note): flux_id for flux_id in flux_ids}
        answers = connection.answers(sent.keys(), ANSWER_SECONDS)
        if len(answers) < len(sent):
            raise WorkloadUnavailable(f"Flux at {self.uri} does not answer cancel requests")
        for answer in answers.values():
            if answer.error == errno.ENOENT:
                continue  # over or unknown: what the caller wants
            if answer.refusal:
                log.warning(
                    "Flux does not cancel %s: %s",
                    f58(sent[answer.request]),
                    answer.text,
                    extra={"action": "cancel_refused", "flux_id": sent[answer.request]},
                )
            elif answer.error:
                raise WorkloadUnavailable(f"Flux at {self.uri} cancels nothing: {answer.text}")
