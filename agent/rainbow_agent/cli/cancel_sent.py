"""`rainbow-agent cancel HANDLE`: the sender of a job asks its cluster to cancel it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from functools import partial

from rainbow_agent.cli.common import MAX_REASON_LENGTH, TIMED_OUT, say
from rainbow_agent.cli.sent import own_sender
from rainbow_agent.cli.wait import wait_quietly
from rainbow_agent.core.errors import UsageError
from rainbow_agent.core.handles import is_handle
from rainbow_agent.core.states import JobState
from rainbow_agent.fleet.messages.asking import Asker
from rainbow_agent.fleet.messages.own_inbox import at_inbox
from rainbow_agent.fleet.messages.taking import find_sent, take
from rainbow_agent.monitoring.sent_views import is_over
from rainbow_agent.runtime.logs import clean
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.storage.sent_store import SentJob


def cancel_sent(
    handles: Sequence[str], reason: str, timeout: float | None, settings: Settings
) -> int:
    """Ask for the end of jobs that were sent from here, and say what became of each.

    Args:
        handles: the jobs.
        reason: why; "" for none.
        timeout: seconds to wait for their end; None not to wait.
        settings: name the inbox, the folder and the tokens.

    Returns:
        The exit status, as of `cancel JOB`.

    Raises:
        RainbowAgentError: one is no handle, or was not sent from here; nothing was canceled.
    """
    if not all(is_handle(handle) for handle in handles):
        raise UsageError(
            "jobs of this cluster and handles do not go together; nothing was canceled"
        )
    from rainbow_agent.fleet.grpc.connect import connect  # noqa: PLC0415 - grpc
    from rainbow_agent.fleet.retry import patiently  # noqa: PLC0415 - stamina

    with own_sender(settings) as sender:
        find_sent(sender.store, handles, settings)
        asker = Asker(sender, settings)
        with closing(connect(at_inbox(settings, sender.inbox))) as scheduler:
            patiently(lambda: take(sender, scheduler, settings))
            jobs = find_sent(sender.store, handles, settings)
            content = {"ask": "cancel", "reason": clean(reason)[:MAX_REASON_LENGTH]}
            for job in jobs:
                if not is_over(job):
                    patiently(partial(asker.ask, scheduler, job, content))
        wanted = [job.handle for job in jobs if not is_over(job)]
        if wanted and timeout is not None:
            wait_quietly(sender, wanted, settings, timeout)
        now = find_sent(sender.store, handles, settings)
        return max(_tell(job, over=job.handle not in wanted) for job in now)


def _tell(job: SentJob, *, over: bool) -> int:
    """Say what became of one job; the exit status that it deserves."""
    name = f"job {job.handle} ({job.name})"
    state = job.job.state if job.job else None
    if over:
        say(f"{name} was over already: {state.value if state else '-'}")
        return 1
    if state is JobState.CANCELED:
        say(f"{name} is canceled")
        return 0
    if state is None or not is_over(job):
        how = f"is still {state.value}" if state else "was not reported yet"
        say(f"{name} {how}; {job.cluster} has the cancellation request, or gets it")
        return TIMED_OUT
    say(f"{name} has ended: {state.value}")
    return 1 if state is JobState.COMPLETED else 0  # it was over first
