"""`rainbow-agent inbox --http`: a sender's jobs on all clusters as a page."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING, Final

from rainbow_agent.cli.common import say
from rainbow_agent.cli.sent import own_sender
from rainbow_agent.core.errors import RainbowAgentError, UsageError
from rainbow_agent.fleet.messages.asking import Asker
from rainbow_agent.fleet.messages.own_inbox import at_inbox
from rainbow_agent.fleet.messages.taking import LOOK_WAIT_S, rest, take, view_of
from rainbow_agent.monitoring.fleet_views import fleet_view
from rainbow_agent.monitoring.http.sent_page import SentPicture, sent_routes
from rainbow_agent.runtime.addresses import Address
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.runtime.stop import Stop, stop_on_signals

if TYPE_CHECKING:
    from rainbow_agent.fleet.messages.carrier import Carrier
    from rainbow_agent.fleet.messages.sender import Sender

#: Jobs that are shown, the last.
MAX_SHOWN: Final = 500
#: Seconds between looks into the inbox.
REFRESH_S: Final = 1.0
_TURN_S: Final = 0.5


def serve(address: Address, settings: Settings) -> None:
    """Serve until a signal.

    Raises:
        UsageError: the address cannot be had, or there is no inbox.
    """
    from rainbow_agent.monitoring.http.app import App, is_local  # noqa: PLC0415 - not for --help
    from rainbow_agent.monitoring.http.server import HttpServer  # noqa: PLC0415 - waitress
    from rainbow_agent.runtime.counters import Counter  # noqa: PLC0415 - with the others

    with own_sender(settings):
        pass  # there is an inbox, and the folder can be used
    looking = _Looking(settings)
    app = App(sent_routes(lambda: looking.picture), local=is_local(address.host), counts=Counter())
    try:
        server = HttpServer(address.host, address.port, app)
    except OSError as exc:
        raise UsageError(f"--http {address}: {exc.strerror or exc}") from exc
    with stop_on_signals() as stop:
        thread = threading.Thread(target=looking.run, args=(stop,), name="looking")
        thread.start()
        say(f"http://{Address(server.host, server.port)}/ shows the jobs that were sent from here")
        try:
            while not stop.is_set():
                server.turn(_TURN_S)
        finally:
            stop.set("the page is closed")
            server.close()
            thread.join()


class _Looking:
    """Takes what is in the inbox, and keeps a picture of what is known."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        #: Made anew after each look; read by other threads.
        self.picture = SentPicture(SystemClock().now(), (), (), "the inbox was not read yet")

    def run(self, stop: Stop) -> None:
        """Look until the stop."""
        from rainbow_agent.fleet.grpc.connect import connect  # noqa: PLC0415 - grpc

        with (
            own_sender(self._settings) as sender,
            closing(connect(at_inbox(self._settings, sender.inbox))) as scheduler,
        ):
            asker = Asker(sender, self._settings)
            while True:
                self.picture = self._look(sender, scheduler, asker)
                if rest(sender, stop, REFRESH_S):
                    return

    def _look(self, sender: Sender, scheduler: Carrier, asker: Asker) -> SentPicture:
        problem = ""
        try:
            take(sender, scheduler, self._settings, LOOK_WAIT_S)
        except RainbowAgentError as exc:
            sender.has_waited = False
            problem = f"This is what was known before: {exc}"
        store = sender.store
        jobs = [view_of(job, store, self._settings) for job in reversed(store.jobs(MAX_SHOWN))]
        clusters = [fleet_view(name, store.view(name), "") for name in asker.clusters()]
        return SentPicture(SystemClock().now(), jobs, clusters, problem)
