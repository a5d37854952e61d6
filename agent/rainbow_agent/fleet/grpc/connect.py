"""A connection to the rainbow that the settings name."""

from __future__ import annotations

from collections.abc import Callable

from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.fleet.grpc.tls import TlsFiles
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


def tls_files(settings: Settings) -> TlsFiles | None:
    """The certificates that the settings name; None for a connection without TLS."""
    if settings.tls_ca is None or settings.tls_cert is None or settings.tls_key is None:
        return None  # settings.load() saw that it is all or none
    return TlsFiles(settings.tls_ca, settings.tls_cert, settings.tls_key, settings.tls_name)


def check_tls(settings: Settings) -> None:
    """See that the certificates can be used, before anything is begun.

    Raises:
        UsageError: a file cannot; one that is out of date may be replaced while we run.
    """
    files = tls_files(settings)
    if files is not None:
        files.read()
