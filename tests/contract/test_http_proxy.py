"""Rainbow is reached through a proxy when RAINBOW_PROXY names one, and never otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rainbow_agent.core.errors import RequestDenied, Unavailable
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.fleet.grpc.tls import TlsFiles
from support.http_proxy import http_proxy
from support.servers import SchedulerKind, SchedulerProcess, running_scheduler
from support.tls import Pki


@pytest.fixture(
    params=[
        pytest.param((SchedulerKind.EMBEDDED, False), id="embedded"),
        pytest.param((SchedulerKind.EMBEDDED, True), id="embedded-tls"),
        pytest.param((SchedulerKind.REAL, True), id="rainbow-tls", marks=pytest.mark.rainbow),
    ]
)
def server(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[SchedulerProcess, TlsFiles | None]]:
    """A scheduler, and the certificates that it wants."""
    kind, tls = request.param
    if kind.missing():
        pytest.skip(kind.missing())
    pki = Pki.make(tmp_path) if tls else None
    with running_scheduler(kind, tmp_path, flags=pki.server_flags() if pki else ()) as process:
        yield process, TlsFiles(pki.ca, *pki.client) if pki else None


def test_a_proxy_that_is_named_is_used(
    server: tuple[SchedulerProcess, TlsFiles | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked to connect to rainbow, also where no_proxy names that: the setting counts."""
    process, tls = server
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with (
        http_proxy() as proxy,
        closing(RainbowScheduler(process.host, tls=tls, proxy=proxy.host)) as scheduler,
    ):
        with pytest.raises(RequestDenied):
            scheduler.receive("blue", "wrong", 1)
        assert proxy.asked == [f"CONNECT {process.host} HTTP/1.1"]


@pytest.mark.parametrize("name", ["http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY"])
def test_a_proxy_of_the_environment_is_not_used(
    server: tuple[SchedulerProcess, TlsFiles | None], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It is meant for the web; the registration secret is not."""
    process, tls = server
    with http_proxy() as proxy:
        monkeypatch.setenv(name, f"http://{proxy.host}")
        with (
            closing(RainbowScheduler(process.host, tls=tls)) as scheduler,
            pytest.raises(RequestDenied),
        ):
            scheduler.receive("blue", "wrong", 1)
        assert proxy.asked == []


def test_a_proxy_that_refuses_is_named(
    server: tuple[SchedulerProcess, TlsFiles | None],
) -> None:
    """Both addresses are in the message, and which of them it is."""
    process, tls = server
    with (
        http_proxy(refuse=True) as proxy,
        closing(RainbowScheduler(process.host, tls=tls, proxy=proxy.host)) as scheduler,
        pytest.raises(Unavailable) as caught,
    ):
        scheduler.receive("blue", "wrong", 1)
    assert f"{process.host} (through the proxy {proxy.host}) does not answer" in str(caught.value)
    assert "RAINBOW_PROXY" in str(caught.value)
