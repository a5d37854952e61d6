"""`rainbow-agent fleet`."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Final

import click

from rainbow_agent.cli.common import echo_json, output_option, reports_errors, settings_options
from rainbow_agent.cli.sent import own_sender
from rainbow_agent.cli.terminal import fitted
from rainbow_agent.core.errors import RainbowAgentError, UsageError
from rainbow_agent.fleet.messages.asking import LOOK_S, Asker
from rainbow_agent.fleet.messages.own_inbox import at_inbox
from rainbow_agent.fleet.messages.taking import LOOK_WAIT_S, rest, take
from rainbow_agent.monitoring.fleet_views import fleet_cells, fleet_view
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.runtime.stop import stop_on_signals

if TYPE_CHECKING:
    from rainbow_agent.fleet.messages.carrier import Carrier
    from rainbow_agent.fleet.messages.sender import Sender
    from rainbow_agent.runtime.stop import Stop
    from rainbow_agent.storage.sent_store import SentJob

#: Seconds for which answers are waited for: an idle agent looks every RAINBOW_POLL_MAX.
WAIT_S: Final = 15.0


@click.command(name="fleet")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=WAIT_S,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for answers; then what was known before is shown.",
)
@settings_options("host", "config", "sent_dir")
@output_option
@reports_errors
def command(timeout: float, settings: Settings, output: str) -> None:
    """Show each cluster to which jobs are sent from here, one a line, as its agent says.

    The clusters are those in the config file; each is asked, by means of a job that was sent to it
    from here. For one that does not answer, its last answer is shown, and how old that is. As JSON:
    a list; `answered` is whether it is of now, `problem` why not. Exits with status 0 if all have
    answered, and with 1 if not.

    Example: rainbow-agent fleet -o json
    """
    from rainbow_agent.fleet.grpc.connect import connect  # noqa: PLC0415 - grpc

    with own_sender(settings) as sender, stop_on_signals() as stop:
        asker = Asker(sender, settings)
        clusters = asker.clusters()
        if not clusters:
            raise UsageError(
                f"{settings.config} names no clusters: `clusters` has the name and token of each"
                " that jobs may be sent to"
            )
        with closing(connect(at_inbox(settings, sender.inbox))) as scheduler:
            asking = _Asking(sender, asker, scheduler)
            for name in clusters:
                asking.ask(name, sender.store.newest(name))
            asking.wait(settings, timeout, stop)
        problems = asking.problems
        views = [fleet_view(name, sender.store.view(name), problems[name]) for name in clusters]
    if output == "json":
        echo_json(views)
    else:
        click.echo(fitted(*fleet_cells(views, SystemClock().now()), yielding=("NOTE",)))
    if any(problems.values()):
        raise SystemExit(1)


class _Asking:
    """Questions to all clusters; one that fails keeps no other from its answer."""

    def __init__(self, sender: Sender, asker: Asker, scheduler: Carrier) -> None:
        self._sender, self._asker, self._scheduler = sender, asker, scheduler
        self._open: dict[str, tuple[SentJob, int]] = {}
        #: Why each has not answered; "" where it has.
        self.problems: dict[str, str] = {}

    def ask(self, cluster: str, job: SentJob | None) -> None:
        """Ask one, by means of a job that was sent to it."""
        if job is None:
            self.problems[cluster] = "no job was sent to it from here"
            return
        try:
            counter = self._asker.ask(self._scheduler, job, {"ask": "cluster"})
            self._open[cluster] = (job, counter)
        except RainbowAgentError as exc:
            self.problems[cluster] = str(exc)

    def wait(self, settings: Settings, timeout: float, stop: Stop) -> None:
        """Keep what they answer, until all have or the time is up."""
        from rainbow_agent.fleet.retry import patiently  # noqa: PLC0415 - stamina

        clock = SystemClock()
        end = clock.monotonic() + timeout
        while self._open:
            wait = max(0.0, min(LOOK_WAIT_S, end - clock.monotonic()))
            patiently(partial(take, self._sender, self._scheduler, settings, wait))
            for cluster in list(self._open):
                self._look(cluster)
            if self._open and (clock.monotonic() > end or rest(self._sender, stop, LOOK_S)):
                break
        for cluster in self._open:
            self.problems[cluster] = f"no answer within {timeout:g} s"

    def _look(self, cluster: str) -> None:
        try:
            answer = self._asker.read(*self._open[cluster])
        except RainbowAgentError as exc:
            self.problems[cluster] = str(exc)
            del self._open[cluster]
            return
        if answer is not None:
            self._sender.store.keep_view(cluster, answer["cluster"])
            self.problems[cluster] = ""
            del self._open[cluster]
