"""`rainbow-agent drain`."""

from __future__ import annotations

import sys
import threading

import click

from rainbow_agent.cli.common import reports_errors, settings_options
from rainbow_agent.cli.ledger import reading
from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.core.model import Drain
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.logs import clean, counted
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.storage import state_dir

#: Ends so when --timeout ran out, as timeout(1) does.
TIMED_OUT = 124
#: Seconds between looks.
LOOK = 0.2
#: Characters of a reason that are kept.
LONGEST = 200


@click.command(name="drain")
@click.option("--reason", default="", metavar="TEXT", help="Why, for `status`.")
@click.option("--wait", is_flag=True, help="Return when nothing of the cluster's runs any more.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="With --wait: how long at most; then it ends with 124.",
)
@settings_options("cluster", "state_dir")
@reports_errors
def command(reason: str, wait: bool, timeout: float | None, settings: Settings) -> None:
    """Take no new jobs from rainbow, and go on with those that are here.

    It holds until `rainbow-agent resume`, also when the daemon starts again. Jobs that rainbow
    gives this cluster meanwhile wait there.

    Example: rainbow-agent drain --reason "kernel update" --wait --timeout 600
    """
    if timeout is not None and not wait:
        raise click.UsageError("--timeout goes with --wait")
    state_dir.prepare(settings.state_dir)
    known = state_dir.read_drain(settings.state_dir)
    wish = Drain(
        known.since if known and known.since else SystemClock().now(),
        clean(reason)[:LONGEST] or (known.reason if known else ""),
    )
    state_dir.write_drain(settings.state_dir, wish)
    click.echo(f"Cluster {settings.cluster} takes no new jobs until `rainbow-agent resume`.")
    if wait:
        _wait(settings, wish, timeout)


def _wait(settings: Settings, wish: Drain, timeout: float | None) -> None:
    """Until the daemon has heard of it and no job is open.

    Raises:
        RainbowAgentError: no daemon runs, and jobs are open: nobody would hear of their end.
    """
    clock, pause = SystemClock(), threading.Event()
    end = clock.monotonic() + timeout if timeout is not None else float("inf")
    said = None
    while True:
        running = state_dir.running(settings.state_dir) is not None
        heard = _heard(settings, wish) or not running
        jobs = _open_jobs(settings)
        if heard and not jobs:
            click.echo("Nothing runs.")
            return
        if not running:
            raise RainbowAgentError(
                f"no daemon runs on {settings.state_dir}, and {counted(jobs, 'job')} of it had not"
                " ended: start it (`rainbow-agent start`), it takes nothing new"
            )
        if clock.monotonic() >= end:
            left = f"{counted(jobs, 'job')} still open" if jobs else "the daemon has not heard yet"
            click.echo(f"error: not drained within {timeout:g} s: {left}", err=True)
            sys.exit(TIMED_OUT)
        if jobs != said:
            what = counted(jobs, "job") if jobs else "the daemon to hear of it"
            click.echo(f"Waiting for {what}.", err=True)
            said = jobs
        pause.wait(LOOK)


def _heard(settings: Settings, wish: Drain) -> bool:
    told = state_dir.read_runtime(settings.state_dir).get("draining")
    return isinstance(told, dict) and told.get("since") == wish.since


def _open_jobs(settings: Settings) -> int:
    with reading(settings) as ledger:
        return 0 if ledger is None else ledger.open_jobs()
