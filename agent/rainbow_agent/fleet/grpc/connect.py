"""A connection to the rainbow that the settings name."""

from __future__ import annotations

from collections.abc import Callable

from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.fleet.grpc.tls import tls_files
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.runtime.stop import Stop


def connect(
    settings: Settings,
    *,
    stop: Stop | None = None,
    on_call: Callable[[str, float, Exception | None], None] = lambda *_: None,
) -> RainbowScheduler:
    """A connection that the first call opens; the rest is RainbowScheduler's."""
    return RainbowScheduler(
        settings.host,
        settings.timeout,
        stop=stop,
        on_call=on_call,
        tls=tls_files(settings),
        proxy=settings.proxy,
    )
