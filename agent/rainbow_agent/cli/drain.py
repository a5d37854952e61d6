"""`rainbow-agent drain`."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import click

from rainbow_agent.cli.common import (
    MAX_REASON_LENGTH,
    POLL_INTERVAL_S,
    TIMED_OUT,
    reports_errors,
    say,
    settings_options,
)
from rainbow_agent.cli.ledger import reading
from rainbow_agent.cli.state_folder import cluster_of, expect_daemon, expect_own, offline_option
from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.core.model import Drain
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.logs import clean, counted
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.storage import agent_lock, drain_file, runtime_file, state_dir


@click.command(name="drain")
@click.option(
    "--reason", default="", metavar="TEXT", help="The reason, which `status` shows; default: none."
)
@click.option("--wait", is_flag=True, help="Wait until none of the cluster's jobs is running.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="With --wait: how long to wait at most, then exit with status 124; default: no limit.",
)
@click.option(
    "--until-stopped",
    is_flag=True,
    help="For the stop of the daemon: its next start takes new jobs again.",
)
@offline_option("Drain although no daemon is running, before its next start.")
@settings_options("cluster", "state_dir")
@reports_errors
def command(
    *,
    reason: str,
    wait: bool,
    timeout: float | None,
    until_stopped: bool,
    offline: bool,
    settings: Settings,
) -> None:
    """Take no new jobs from rainbow, and finish those that are here.

    The drain lasts until `rainbow-agent resume`, even if the daemon is restarted; with
    --until-stopped, until this daemon has stopped. Jobs that rainbow has for this cluster wait
    there.

    Example: rainbow-agent drain --reason "kernel update" --wait --timeout 600
    """
    if timeout is not None and not wait:
        raise click.UsageError("--timeout goes with --wait")
    if until_stopped and offline:
        raise click.UsageError("--until-stopped is for a daemon that runs, --offline for none")
    expect_own(settings)
    if not offline:
        expect_daemon(settings)
    stopping = _of_this_pod(settings.state_dir) if until_stopped else None
    state_dir.prepare(settings.state_dir)
    drain = _keep(settings.state_dir, clean(reason)[:MAX_REASON_LENGTH], until_stopped)
    if stopping is not None:
        _expect_still(stopping, settings.state_dir)
    if agent_lock.running(settings.state_dir) is None:
        say(
            f"From its next start on, the daemon of {settings.state_dir} takes no new jobs, until"
            " `rainbow-agent resume`."
        )
    else:
        end = "its daemon has stopped" if drain.until_stopped else "`rainbow-agent resume`"
        say(f"Cluster {cluster_of(settings)} takes no new jobs until {end}.")
    if wait:
        _wait(settings, drain, timeout, stopping)


def _of_this_pod(folder: Path) -> agent_lock.Holder:
    """The daemon that is to stop: not the one of the pod that takes the place of this one.

    Raises:
        RainbowAgentError: it is no process of this pod.
    """
    holder = agent_lock.running(folder)
    if holder is not None and Path(f"/proc/{holder.pid}").exists():
        return holder
    raise RainbowAgentError(
        f"the daemon that has {folder} ({agent_lock.who_holds(folder)}) is not a process here, so"
        " it is not the one that is being stopped"
    )


def _expect_still(stopping: agent_lock.Holder, folder: Path) -> None:
    """See that the request did not come so late that it was the next daemon that got it.

    Raises:
        RainbowAgentError: it did; it is withdrawn.
    """
    now = agent_lock.running(folder)
    if now is not None and now.since != stopping.since:
        drain_file.lift_stop(folder)
        raise RainbowAgentError("the daemon that was to be drained has stopped already")


def _keep(folder: Path, reason: str, until_stopped: bool) -> Drain:
    """Write the request; the one that counts now. An operator's counts before that of a stop."""
    known = drain_file.read_drain(folder)
    since = known.since if known and known.since else SystemClock().now()
    if known and known.until_stopped is until_stopped:
        reason = reason or known.reason
    drain = Drain(since, reason, until_stopped=until_stopped)
    drain_file.write_drain(folder, drain)
    return drain_file.read_drain(folder) or drain


def _wait(
    settings: Settings, drain: Drain, timeout: float | None, stopping: agent_lock.Holder | None
) -> None:
    """Wait until the daemon has read it and no job is open.

    Args:
        settings: where the state folder is.
        drain: the request.
        timeout: seconds.
        stopping: the one daemon that counts, if only one does.

    Raises:
        RainbowAgentError: no daemon runs, and jobs are open: no one would see them end.
    """
    clock, pause = SystemClock(), threading.Event()
    end = clock.monotonic() + timeout if timeout is not None else float("inf")
    shown = None
    while True:
        holder = agent_lock.running(settings.state_dir)
        running = holder is not None and (stopping is None or holder.since == stopping.since)
        known = _known_to_daemon(settings, drain) or not running
        jobs = _open_jobs(settings)
        if known and not jobs:
            click.echo("No job is running.")
            return
        if stopping is not None and not running:
            raise RainbowAgentError(
                f"the daemon has stopped, and {counted(jobs, 'job')} had not ended"
            )
        if not running:
            raise RainbowAgentError(
                f"no daemon is using {settings.state_dir}, and {counted(jobs, 'job')} had not"
                " ended: start it (`rainbow-agent start`); it takes no new ones"
            )
        if clock.monotonic() >= end:
            left = "the daemon has not read it"
            if jobs:
                left = f"{counted(jobs, 'job')} still open; `rainbow-agent jobs --state active`"
            say(f"error: not drained within {timeout:g} s: {left}", err=True)
            sys.exit(TIMED_OUT)
        if jobs != shown:
            what = f"{counted(jobs, 'job')} to end" if jobs else "the daemon to read it"
            say(f"Waiting for {what}.", err=True)
            shown = jobs
        pause.wait(POLL_INTERVAL_S)


def _known_to_daemon(settings: Settings, drain: Drain) -> bool:
    known = runtime_file.read_runtime(settings.state_dir).get("draining")
    return isinstance(known, dict) and known.get("since") == drain.since


def _open_jobs(settings: Settings) -> int:
    with reading(settings) as ledger:
        return 0 if ledger is None else ledger.open_jobs()
