"""`rainbow-agent cancel`."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING

import click

from rainbow_agent.cli import completing
from rainbow_agent.cli.common import (
    MAX_REASON_LENGTH,
    POLL_INTERVAL_S,
    TIMED_OUT,
    reports_errors,
    say,
    settings_options,
)
from rainbow_agent.cli.ledger import reading
from rainbow_agent.cli.state_folder import expect_own
from rainbow_agent.core.errors import Fatal, RainbowAgentError, Refused, Transient, UsageError
from rainbow_agent.core.handles import is_handle
from rainbow_agent.core.model import Cancellation, JobKey
from rainbow_agent.core.states import FINAL_JOB_STATES, JobState
from rainbow_agent.jobs.cancel import Canceler
from rainbow_agent.monitoring.find_job import find_job
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.fault_injection import CrashPoint, reach
from rainbow_agent.runtime.logs import clean
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.runtime.stop import stop_on_signals
from rainbow_agent.storage import agent_lock, runtime_file

if TYPE_CHECKING:
    from rainbow_agent.storage.ledger import SqliteLedger


@click.command(name="cancel")
@click.argument(
    "jobs", nargs=-1, required=True, metavar="JOB...", shell_complete=completing.open_jobs
)
@click.option(
    "--reason", default="", metavar="TEXT", help="The reason, which `explain` shows; default: none."
)
@click.option("--no-wait", is_flag=True, help="Do not wait until the jobs are over.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait at most; then it exits with status 124, and the request stays.",
)
@settings_options("cluster", "state_dir", "workload", "host", "config", "sent_dir")
@reports_errors
def command(
    *, jobs: tuple[str, ...], reason: str, no_wait: bool, timeout: float, settings: Settings
) -> None:
    """Cancel JOBs with all their tasks, and report it to rainbow.

    What depends on a task or is nested in it is canceled, too. The request is kept in the ledger:
    it holds even if the daemon is down, or is killed before it has carried it out. If one of the
    JOBs is not in the ledger, none is canceled. JOB may be the handle of a job that was sent from
    here: its cluster is asked, which carries out what is signed with the sender's key.

    Example: rainbow-agent cancel 7 --reason "wrong input"
    """
    if any(is_handle(job) for job in jobs):
        from rainbow_agent.cli.cancel_sent import cancel_sent  # noqa: PLC0415 - only for this

        sys.exit(cancel_sent(jobs, reason, None if no_wait else timeout, settings))
    expect_own(settings)
    with reading(settings) as readable:
        keys = _find(readable, jobs, settings)
    who = f"{_user()}@{os.uname().nodename}"
    from rainbow_agent.storage.ledger import SqliteLedger  # noqa: PLC0415 - not for --help

    with closing(SqliteLedger.open(settings.ledger_path)) as ledger:
        now, over = SystemClock().now(), {key for key in keys if not _is_open(ledger, key)}
        for key in keys:
            ledger.ask_cancel(Cancellation(key, now, who, clean(reason)[:MAX_REASON_LENGTH]))
        reach(CrashPoint.CANCEL_REQUESTED)
        wanted = [key for key in keys if key not in over]
        sent: set[int] | None = None
        if wanted and agent_lock.running(settings.state_dir) is None:
            sent = _by_hand(ledger, settings)
        if wanted and sent is None and not no_wait:
            _wait(ledger, wanted, timeout)
        codes = [_tell(ledger, key, over=key in over, sent=sent) for key in keys]
    sys.exit(max(codes))


def _find(ledger: SqliteLedger | None, jobs: Sequence[str], settings: Settings) -> list[JobKey]:
    """The jobs that are meant, each once.

    Raises:
        RainbowAgentError: one of them is not there: a mistyped list is not carried out in part.
    """
    try:
        return list(dict.fromkeys(find_job(ledger, job, settings) for job in jobs))
    except RainbowAgentError as exc:
        if len(jobs) > 1:
            raise type(exc)(f"{exc}; nothing was canceled") from exc
        raise


def _user() -> str:
    with suppress(KeyError, OSError, ImportError):
        return getpass.getuser()
    return str(os.getuid())


def _is_open(ledger: SqliteLedger, key: JobKey) -> bool:
    row = ledger.job(key)
    return row is not None and row.state not in FINAL_JOB_STATES


def _by_hand(ledger: SqliteLedger, settings: Settings) -> set[int] | None:
    """Cancel without the daemon, under its lock, as it would.

    Returns:
        What was canceled in the workload manager: its job ids. None if a daemon has just started,
        which does it.

    Raises:
        RainbowAgentError: it cannot be done now; the requests stay.
    """
    from rainbow_agent.workload.choose import choose_as_daemon, opener  # noqa: PLC0415 - heavy

    sent: set[int] = set()
    with ExitStack() as stack:
        holder = agent_lock.this_process("cancel")
        try:
            stack.callback(agent_lock.Lock.take(settings.state_dir, holder).release)
        except Fatal:
            return None
        except UsageError:
            raise
        except RainbowAgentError as exc:  # a verb has the lock
            raise RainbowAgentError(
                f"{exc}; the request is kept, and the next start carries it out"
            ) from exc
        try:
            choice = choose_as_daemon(settings, runtime_file.read_runtime(settings.state_dir))
            workload = stack.enter_context(closing(opener(choice, settings)()))

            def cancel(ids: Sequence[int], note: str) -> None:
                workload.cancel(ids, note)
                sent.update(ids)

            Canceler(ledger, SystemClock()).carry_out(cancel)
        except (Transient, Refused, Fatal, UsageError) as exc:
            raise RainbowAgentError(
                "the daemon is down, and the workload manager cannot be asked; the request is"
                f" kept, and the next start carries it out: {exc}"
            ) from exc
    return sent


def _wait(ledger: SqliteLedger, keys: Sequence[JobKey], timeout: float) -> None:
    """Wait until all have ended, or the time is up."""
    clock = SystemClock()
    end = clock.monotonic() + timeout
    shown = len(keys)
    with stop_on_signals() as stop:
        while left := sum(_is_open(ledger, key) for key in keys):
            if left != shown and sys.stderr.isatty():
                say(f"{left} of {len(keys)} jobs have not ended yet", err=True)
            shown = left
            if clock.monotonic() > end or stop.wait(POLL_INTERVAL_S):
                return


def _tell(ledger: SqliteLedger, key: JobKey, *, over: bool, sent: set[int] | None) -> int:
    """Say what became of one job; the exit code that it deserves.

    Args:
        ledger: where the job is.
        key: which job.
        over: whether it was over when this verb began.
        sent: what was canceled in the workload manager without a daemon; None with one.
    """
    row = ledger.job(key)
    assert row is not None  # noqa: S101 - find_job() has found it
    name = f"job {key.id}" + (f" ({row.name})" if row.name else "")
    if over:
        say(f"{name} was over already: {row.state.value}")
        return 1
    if row.state is JobState.CANCELED:
        say(f"{name} is canceled")
        return 0
    if row.state not in FINAL_JOB_STATES and sent is not None:
        if any(task.flux_id in sent for task in row.tasks):
            say(f"{name}: the cancellation was sent; the next start records how it ended")
            return 0
        say(f"{name}: the cancellation request is kept; the next start carries it out")
        return TIMED_OUT
    if row.state not in FINAL_JOB_STATES:
        say(f"{name} is still {row.state.value}; the cancellation request is kept")
        return TIMED_OUT
    say(f"{name} has ended: {row.state.value}")
    return 1 if row.state is JobState.COMPLETED else 0  # it was over first
