"""`rainbow-agent drain`."""

from __future__ import annotations

import sys
import threading
from typing import Final

import click

from rainbow_agent.cli.common import (
    MAX_REASON_LENGTH,
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
from rainbow_agent.storage import agent_lock, runtime_file, state_dir

#: Seconds between looks at whether it is done.
POLL_INTERVAL_S: Final = 0.2


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
@offline_option("Drain although no daemon runs, before its next start.")
@settings_options("cluster", "state_dir")
@reports_errors
def command(
    *, reason: str, wait: bool, timeout: float | None, offline: bool, settings: Settings
) -> None:
    """Take no new jobs from rainbow, and finish those that are here.

    The drain lasts until `rainbow-agent resume`, even if the daemon is restarted. Jobs that rainbow
    has for this cluster wait there.

    Example: rainbow-agent drain --reason "kernel update" --wait --timeout 600
    """
    if timeout is not None and not wait:
        raise click.UsageError("--timeout goes with --wait")
    expect_own(settings)
    if not offline:
        expect_daemon(settings)
    state_dir.prepare(settings.state_dir)
    known = state_dir.read_drain(settings.state_dir)
    drain = Drain(
        known.since if known and known.since else SystemClock().now(),
        clean(reason)[:MAX_REASON_LENGTH] or (known.reason if known else ""),
    )
    state_dir.write_drain(settings.state_dir, drain)
    if agent_lock.running(settings.state_dir) is None:
        say(
            f"From its next start on, the daemon of {settings.state_dir} takes no new jobs, until"
            " `rainbow-agent resume`."
        )
    else:
        say(f"Cluster {cluster_of(settings)} takes no new jobs until `rainbow-agent resume`.")
    if wait:
        _wait(settings, drain, timeout)


def _wait(settings: Settings, drain: Drain, timeout: float | None) -> None:
    """Wait until the daemon has read it and no job is open.

    Raises:
        RainbowAgentError: no daemon runs, and jobs are open: no one would see them end.
    """
    clock, pause = SystemClock(), threading.Event()
    end = clock.monotonic() + timeout if timeout is not None else float("inf")
    shown = None
    while True:
        running = agent_lock.running(settings.state_dir) is not None
        known = _known_to_daemon(settings, drain) or not running
        jobs = _open_jobs(settings)
        if known and not jobs:
            click.echo("No job runs.")
            return
        if not running:
            raise RainbowAgentError(
                f"no daemon runs on {settings.state_dir}, and {counted(jobs, 'job')} had not"
                " ended: start it (`rainbow-agent start`); it takes no new ones"
            )
        if clock.monotonic() >= end:
            left = f"{counted(jobs, 'job')} still open" if jobs else "the daemon has not read it"
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
