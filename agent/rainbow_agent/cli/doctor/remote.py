"""The links to rainbow: name, port, TLS, server, registration, graph."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

from rainbow_agent import __version__
from rainbow_agent.cli.doctor.faults import Finding, found, well
from rainbow_agent.core.errors import (
    ClusterUnknown,
    RainbowAgentError,
    RequestDenied,
    Unavailable,
    UsageError,
)
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.fleet.grpc.tcp import open_socket
from rainbow_agent.fleet.grpc.tls import tls_files
from rainbow_agent.runtime import addresses
from rainbow_agent.runtime.setting_types import Secret
from rainbow_agent.runtime.settings import Settings

#: For each step.
CHECK_TIMEOUT_S = 5.0


def reach(settings: Settings) -> Iterator[Finding]:
    """`dns`, `tcp`, `tls`; ends at the first link that is broken."""
    first = addresses.to_connect(settings.proxy or settings.host)
    proxied = f", through the proxy {settings.proxy}" if settings.proxy else ""
    unused = ""
    if settings.unused_proxy and not settings.proxy:
        unused = (
            f" ({settings.unused_proxy} names a proxy, which is not used for rainbow; if only that"
            " leads there, set RAINBOW_PROXY)"
        )
    try:
        resolved = socket.getaddrinfo(first.host, first.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        problem = getattr(exc, "strerror", None) or exc
        yield found("dns-unknown", f"{first.host}: {problem}{unused}")
        return
    address = str(resolved[0][4][0])
    known = f"{first.host} is {address}"
    yield well("dns", f"{address} is an address" if address == first.host else known)
    try:
        open_socket(settings.host, settings.proxy, CHECK_TIMEOUT_S).close()
    except ConnectionRefusedError:
        yield found("tcp-refused", f"{first}: connection refused{unused}")
        return
    except OSError as exc:
        yield found("tcp-silent", f"{settings.host}{proxied}: {exc.strerror or exc}{unused}")
        return
    yield well("tcp", f"{settings.host} takes connections{proxied}")
    yield _tls(settings)


def _tls(settings: Settings) -> Finding:
    files = tls_files(settings)
    if files is None:
        return well("tls", "not used; the connection is not encrypted")
    try:
        files.read()
    except UsageError as exc:
        return found("tls-file", str(exc))
    if why := files.why_not(settings.host, settings.proxy):
        return found("tls-refused", why)
    return well("tls", f"the handshake with {settings.host} succeeds, both ways")


def ask(settings: Settings, secret: Secret | None) -> Iterator[Finding]:
    """`server`, `registration`, `graph`.

    Nothing is changed there: ReceiveJobs leaves the jobs, the report says what every report says,
    and a registration without nodes is turned down.

    Args:
        settings: where rainbow is.
        secret: the cluster's own; None when it is not registered.
    """
    with closing(_scheduler(settings)) as scheduler:
        try:
            yield from (
                _registered(scheduler, settings, secret)
                if secret
                else _not_registered(scheduler, settings)
            )
        except Unavailable as exc:
            yield found("server-silent", str(exc))
        except RainbowAgentError as exc:
            yield found("server-other", str(exc))


def _scheduler(settings: Settings) -> RainbowScheduler:
    return RainbowScheduler(
        settings.host, CHECK_TIMEOUT_S, tls=tls_files(settings), proxy=settings.proxy
    )


def _registered(
    scheduler: RainbowScheduler, settings: Settings, secret: Secret
) -> Iterator[Finding]:
    cluster = settings.cluster
    try:
        scheduler.receive(cluster, secret.reveal(), 1)
    except RequestDenied as exc:
        yield well("server", f"{settings.host} answers")
        yield found("registration-denied", str(exc))
        return
    yield well("server", f"{settings.host} answers")
    yield well("registration", f"rainbow takes the secret of {cluster}")
    try:
        # A key that every report has: with none the server does not look whether it has the graph.
        scheduler.update_state(cluster, secret.reveal(), {"agent_version": __version__})
    except ClusterUnknown as exc:
        yield found("graph-lost", str(exc))
    else:
        yield well("graph", f"rainbow has the graph of {cluster}")


def _not_registered(scheduler: RainbowScheduler, settings: Settings) -> Iterator[Finding]:
    answers = well("server", f"{settings.host} answers")
    if not settings.secret:
        try:
            scheduler.receive(settings.cluster, "doctor", 1)
        except RequestDenied:
            yield answers
        return
    taken = scheduler.takes_registrations(settings.cluster, settings.secret.reveal())
    yield answers
    if taken:
        yield found("not-registered", f"{settings.cluster} is not registered")
    else:
        source = settings.sources["secret"]
        yield found("secret-wrong", f"{settings.host} does not take that of {source}")
