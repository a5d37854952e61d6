"""The Python API: what programs may rely on (docs/python.md).

What `__all__` names keeps its name and meaning, as settings and JSON keys do. All errors are
RainbowAgentError. gRPC and Flux are imported by the calls that need them.

>>> from rainbow_agent.api import plan, validate
>>> one = "resources: {one: {type: core, count: 1}}"
>>> text = f"{{version: 1, {one}, tasks: [{{command: [hostname], resources: one}}]}}"
>>> [task.name for task in plan(text).tasks]
['task-0']
>>> [fault.message for fault in validate(text.replace("hostname", ""))]
['tasks[0].command: no program to run; write its name, such as [hostname]']
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rainbow_agent.core.errors import JobspecError, RainbowAgentError, UsageError
from rainbow_agent.core.model import Plan, PlannedTask
from rainbow_agent.core.states import JobState
from rainbow_agent.fleet.rainbow_config import load, settings_in
from rainbow_agent.jobspec.checking import Diagnostic, check
from rainbow_agent.jobspec.document import Document
from rainbow_agent.jobspec.parsing import parse
from rainbow_agent.jobspec.plan import plan_text
from rainbow_agent.monitoring.views import JobView, TaskView, job_view
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.service import load_beside

if TYPE_CHECKING:
    from rainbow_agent.fleet.submission import OutgoingJob
    from rainbow_agent.monitoring.explain import History
    from rainbow_agent.runtime.settings import Settings
    from rainbow_agent.storage.ledger import SqliteLedger

__all__ = [
    "Agent",
    "Client",
    "Diagnostic",
    "Document",
    "JobView",
    "JobspecError",
    "Plan",
    "PlannedTask",
    "RainbowAgentError",
    "SubmittedJob",
    "TaskView",
    "UsageError",
    "parse",
    "plan",
    "validate",
]

log = logging.getLogger(__name__)


def validate(text: str) -> list[Diagnostic]:
    """All that is wrong with a jobspec's text, by place; when nothing is, what may surprise.

    As `rainbow-agent validate`: it needs no cluster, and does not know what one has.
    """
    return check(text)


def plan(text: str) -> Plan:
    """What an agent makes of a jobspec's text: its tasks in order, each with its Flux jobspec.

    Raises:
        JobspecError: it is not a jobspec, or cannot run as it is written; `line` and `column` say
            where, `others` what else is wrong.
    """
    return plan_text(text)


class Agent:
    """Look at an agent through its state folder, also while it is down. Nothing is written.

    Args:
        state_dir: the daemon's state folder; None for the one that this environment, or the
            systemd unit of this machine, says.
        environ: RAINBOW_* and FLUX_URI are read from it; None for this process's environment.

    Raises:
        UsageError: a setting cannot be used.
    """

    def __init__(
        self,
        state_dir: str | os.PathLike[str] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        flags = None if state_dir is None else os.fspath(state_dir)
        self._settings = _settings(environ, {"state_dir": flags})

    def status(self) -> dict[str, Any]:
        """The object of `rainbow-agent status -o json` (docs/commands.md).

        Raises:
            UsageError: there is no such state folder.
        """
        from rainbow_agent.monitoring.status_sources import look  # noqa: PLC0415 - lazy

        self._expect_folder()
        return look(self._settings, SystemClock().now())

    def jobs(
        self,
        *,
        states: Sequence[str] = (),
        since: datetime | None = None,
        name: str | None = None,
        limit: int | None = None,
    ) -> list[JobView]:
        """The jobs in the ledger, oldest first; none where no daemon has run.

        Args:
            states: only jobs in one of these: received, submitted, running, completed,
                failed, canceled, refused, lost; empty for all.
            since: only jobs received since then.
            name: only jobs with this name, a shell pattern.
            limit: at most this many, the newest; None for all.

        Raises:
            UsageError: there is no such state folder, or no such state.
            RainbowAgentError: the ledger cannot be read.
        """
        wanted = [_state(text) for text in states]
        with self._ledger() as ledger:
            rows = ledger and ledger.jobs(
                states=wanted,
                limit=limit,
                newest_first=True,
                since=None if since is None else since.timestamp(),
                name=name,
            )
        return [job_view(row) for row in reversed(rows or [])]

    def job(self, job: int | str) -> JobView:
        """One job, by rainbow's id, `REGISTRATION/ID`, or a name that no other job has.

        Raises:
            UsageError: there is no such state folder, or no job of this name.
            RainbowAgentError: there is no such job, or the ledger cannot be read.
        """
        return job_view(self._history(job).job)

    def explain(self, job: int | str) -> dict[str, Any]:
        """The object of `rainbow-agent explain JOB -o json`: a job's whole story.

        Asks the workload manager for its events, for at most 5 s; without an answer,
        `events_problem` says so.

        Raises:
            UsageError, RainbowAgentError: as of job().
        """
        from rainbow_agent.monitoring.explain import explain_view  # noqa: PLC0415 - lazy
        from rainbow_agent.monitoring.records import add_events  # noqa: PLC0415 - lazy

        found = add_events(self._history(job), self._settings)
        return explain_view(found, SystemClock().now())

    def _history(self, job: int | str) -> History:
        from rainbow_agent.monitoring.explain import history_of  # noqa: PLC0415 - lazy
        from rainbow_agent.monitoring.find_job import find_job  # noqa: PLC0415 - lazy

        with self._ledger() as ledger:
            key = find_job(ledger, str(job), self._settings)
            found = history_of(ledger, key) if ledger else None
        if found is None:
            raise RainbowAgentError(f"job {job} was removed from the ledger just now")
        return found

    @contextmanager
    def _ledger(self) -> Iterator[SqliteLedger | None]:
        """The ledger, read-only; None where there is none."""
        from rainbow_agent.storage.ledger import SqliteLedger  # noqa: PLC0415 - lazy

        self._expect_folder()
        if not self._settings.ledger_path.exists():
            yield None
            return
        with closing(SqliteLedger.open_readonly(self._settings.ledger_path)) as ledger:
            yield ledger

    def _expect_folder(self) -> None:
        folder = self._settings.state_dir
        if not os.access(folder, os.R_OK | os.X_OK) or not folder.is_dir():
            raise UsageError(
                f"there is no state folder {folder} that this user can read: name the daemon's, and"
                " run this as the daemon's user"
            )


@dataclass(frozen=True)
class SubmittedJob:
    """A job that rainbow has."""

    name: str  # in rainbow's list
    cluster: str  # that it went to
    fits: tuple[str, ...]  # the clusters that could run it
    handle: str | None  # for Client.status() and wait(); None where there is no inbox


class Client:
    """Send jobs to the fleet.

    Args:
        config: a rainbow-config.yaml, which names the scheduler and has the clusters' tokens; None
            for the one that this environment says.
        environ: RAINBOW_* are read from it; None for this process's environment.

    Raises:
        UsageError: a setting or the file cannot be used.
    """

    def __init__(
        self,
        config: str | os.PathLike[str] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        flags = None if config is None else os.fspath(config)
        self._settings = _settings(environ, {"config": flags})

    def fits(self, jobspec: str | Mapping[str, Any]) -> tuple[str, ...]:
        """The clusters that rainbow's matcher finds for a job; nothing is sent.

        Args:
            jobspec: its text, or the document.

        Raises:
            JobspecError: it cannot run as it is written.
            RainbowAgentError: no cluster fits, or rainbow does not answer.
        """
        from rainbow_agent.fleet.grpc.connect import connect  # noqa: PLC0415 - grpc
        from rainbow_agent.fleet.retry import patiently  # noqa: PLC0415 - stamina
        from rainbow_agent.fleet.submission import find  # noqa: PLC0415 - likewise

        job = _job(jobspec, None, None)
        with closing(connect(self._settings)) as scheduler:
            return tuple(patiently(lambda: find(scheduler, job.plan)).clusters)

    def submit(
        self,
        jobspec: str | Mapping[str, Any],
        *,
        name: str | None = None,
        cluster: str | None = None,
        prefer: Sequence[str] = (),
        select: str | None = None,
        once: str | None = None,
    ) -> SubmittedJob:
        """Send a job to one of the clusters that fit, as `rainbow-agent submit` does.

        Args:
            jobspec: its text, or the document.
            name: the job's name; None for the jobspec's, or `job`.
            cluster: send it to this one.
            prefer: send it to the one that reports the most of `KEY` (`KEY:asc`: the least),
                or `least-loaded`, or `cheapest`; the next decides where clusters are equal.
            select: a selection algorithm; with none of the three, the config file's.
            once: a key: a cluster that had a job with it runs no other.

        Raises:
            JobspecError: it cannot run as it is written.
            RainbowAgentError: no cluster fits, or rainbow does not answer, or takes no token of
                ours. Where it may have the job all the same, the message says so.
        """
        from rainbow_agent.fleet.choosing import selection_of  # noqa: PLC0415 - lazy
        from rainbow_agent.fleet.grpc.connect import connect  # noqa: PLC0415 - grpc
        from rainbow_agent.fleet.messages.sending import with_handle  # noqa: PLC0415 - lazy
        from rainbow_agent.fleet.submission import send  # noqa: PLC0415 - stamina

        job, config = _job(jobspec, name, once), load(self._settings.config)
        wanted = selection_of(
            config, cluster=cluster, prefer=prefer, select=select, once=job.plan.once
        )
        with (
            with_handle(job.document, self._settings, log.warning) as sent,
            closing(connect(sent.settings)) as scheduler,
        ):
            chosen, found = send(
                scheduler,
                replace(job, document=sent.document),
                wanted,
                tokens={each.name: each.token for each in config.clusters} if config else {},
                fallback_token=self._settings.token.reveal(),
                config_file=str(self._settings.config),
            )
            sent.assigned(chosen)
        return SubmittedJob(job.name, chosen, tuple(found.clusters), sent.handle)

    def status(self, handle: str) -> dict[str, Any]:
        """What is known of a job that was sent, as `rainbow-agent status HANDLE -o json` has it.

        Looks into the inbox first. While rainbow does not answer, it is what was known before, and
        that is logged.

        Raises:
            UsageError: there is no inbox.
            RainbowAgentError: no such job was sent from here, or rainbow denies the inbox.
        """
        from rainbow_agent.fleet.messages.own_inbox import sender_of  # noqa: PLC0415 - lazy
        from rainbow_agent.fleet.messages.taking import known, refresh  # noqa: PLC0415 - likewise

        with sender_of(self._settings, log.warning) as sender:
            known(sender.store, handle, self._settings)
            refresh(sender, self._settings)
            return known(sender.store, handle, self._settings)

    def wait(self, handle: str, *, timeout: float | None = None) -> dict[str, Any]:
        """Wait for the end of a job that was sent; then as status().

        Args:
            handle: the job's.
            timeout: seconds to wait at most; None for no limit.

        Returns:
            The job: ended, or `silent` where its cluster does not report back; in any other state
            the time was up.

        Raises:
            UsageError, RainbowAgentError: as of status().
        """
        from rainbow_agent.fleet.messages.own_inbox import sender_of  # noqa: PLC0415 - lazy
        from rainbow_agent.fleet.messages.taking import known  # noqa: PLC0415 - likewise
        from rainbow_agent.fleet.messages.waiting import AwaitedJobs  # noqa: PLC0415 - likewise
        from rainbow_agent.runtime.stop import Stop  # noqa: PLC0415 - likewise

        with sender_of(self._settings, log.warning) as sender:
            waiting = AwaitedJobs(sender, [handle], self._settings, lambda _: None)
            waiting.until_over(timeout, Stop())
            return known(sender.store, handle, self._settings)


def _settings(environ: Mapping[str, str] | None, flags: Mapping[str, str | None]) -> Settings:
    """Settings as a verb has them; what is odd in them is logged."""
    found = load_beside(
        os.environ if environ is None else environ, flags, from_config=_of_readable_config
    )
    for warning in found.warnings:
        log.warning("%s", warning)
    return found


def _of_readable_config(path: Path) -> Mapping[str, str]:
    """What the file says; nothing where it is not there, or lies in a folder that is closed."""
    return settings_in(path) if os.access(path.parent, os.X_OK) else {}


def _state(text: str) -> JobState:
    try:
        return JobState(text)
    except ValueError:
        known = ", ".join(state.value for state in JobState)
        raise UsageError(f"there is no state {text[:40]!r} of jobs: use {known}") from None


def _job(jobspec: str | Mapping[str, Any], name: str | None, once: str | None) -> OutgoingJob:
    """The job to send."""
    from rainbow_agent.fleet.submission import job_of  # noqa: PLC0415 - stamina
    from rainbow_agent.jobspec.wire import from_wire  # noqa: PLC0415 - lazy

    if isinstance(jobspec, str):
        plan_text(jobspec)  # its errors have the place in this text
        jobspec = dict(from_wire(jobspec))
    document: Mapping[str, Any] = jobspec if name is None else {**jobspec, "name": name}
    return job_of(document, once)
