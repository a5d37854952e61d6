"""Mutual TLS to our server and to the real one: what works, and what is said when it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from rainbow_agent.core.errors import RequestDenied, Unavailable, UsageError
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.fleet.grpc.tls import TlsFiles
from support.servers import SchedulerKind, SchedulerProcess, make_graph, running_scheduler
from support.tls import Pki, long_ago, write_pair

KINDS = [
    pytest.param(SchedulerKind.EMBEDDED, id="embedded"),
    pytest.param(SchedulerKind.REAL, id="rainbow", marks=pytest.mark.rainbow),
]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Certificates that fit."""
    return Pki.make(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module", params=KINDS)
def server(
    request: pytest.FixtureRequest, pki: Pki, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SchedulerProcess]:
    """A scheduler that wants a client certificate."""
    if request.param.missing():
        pytest.skip(request.param.missing())
    folder = tmp_path_factory.mktemp("server")
    with running_scheduler(request.param, folder, flags=pki.server_flags()) as process:
        yield process


@pytest.fixture
def files(pki: Pki) -> TlsFiles:
    """What a client needs."""
    return TlsFiles(pki.ca, *pki.client)


def ask(server: SchedulerProcess, tls: TlsFiles | None) -> str:
    """What one call ends with: "" when rainbow answered it, else why it did not get there."""
    with closing(RainbowScheduler(server.host, 10.0, tls=tls)) as scheduler:
        try:
            scheduler.receive("nobody", "no secret", 1)
        except RequestDenied:
            return ""
        except Unavailable as exc:
            return str(exc)
    raise AssertionError("rainbow knows no such cluster")


def test_certificates_that_fit(server: SchedulerProcess, files: TlsFiles) -> None:
    """A cluster registers and asks for jobs, over TLS on both sides."""
    with closing(RainbowScheduler(server.host, 10.0, tls=files)) as scheduler:
        given = scheduler.register("green", server.secret, make_graph(1, 1))
        assert scheduler.receive("green", given.secret, 10) == []
        scheduler.deregister("green", given.secret)


def test_the_name_in_the_certificate(server: SchedulerProcess, files: TlsFiles) -> None:
    """The server's certificate must be for the host, or for the name that is given instead."""
    assert ask(server, replace(files, name="rainbow.test")) == ""
    other = ask(server, replace(files, name="elsewhere.test"))
    assert "not for elsewhere.test" in other
    assert "RAINBOW_TLS_NAME" in other


def test_a_client_without_tls(server: SchedulerProcess) -> None:
    """The error says that the server speaks TLS, and what to set."""
    assert "RAINBOW_TLS_CA" in ask(server, None)


def expired(pki: Pki, folder: Path) -> TlsFiles:
    leaf = pki.authority.issue_cert("blue.test", not_after=long_ago())
    return TlsFiles(pki.ca, *write_pair(leaf, folder, "expired"))


def unknown(pki: Pki, folder: Path) -> TlsFiles:
    return TlsFiles(pki.ca, *Pki.make(folder, "other").client)


def distrusting(pki: Pki, folder: Path) -> TlsFiles:
    return TlsFiles(Pki.make(folder, "other").ca, *pki.client)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (expired, ["RAINBOW_TLS_CERT=", "expired.pem", "certificate has expired"]),
        (unknown, ["does not take RAINBOW_TLS_CERT=", "other/client.pem", "--ca-cert"]),
        (distrusting, ["RAINBOW_TLS_CA=", "other/ca.pem", "--cert"]),
    ],
)
def test_certificates_that_do_not_fit(
    server: SchedulerProcess,
    pki: Pki,
    tmp_path: Path,
    make: Callable[[Pki, Path], TlsFiles],
    words: list[str],
) -> None:
    """Out of date, of another authority, or not vouched for: the file is named, and why."""
    said = ask(server, make(pki, tmp_path))
    assert [word for word in words if word not in said] == [], said


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_whose_certificate_has_expired(
    kind: SchedulerKind, pki: Pki, files: TlsFiles, tmp_path: Path
) -> None:
    """It is said that it is the server's, not ours."""
    if kind.missing():
        pytest.skip(kind.missing())
    leaf = pki.authority.issue_cert("127.0.0.1", not_after=long_ago())
    cert, key = write_pair(leaf, tmp_path, "old")
    flags = ["--ca-cert", str(pki.ca), "--cert", str(cert), "--key", str(key)]
    with running_scheduler(kind, tmp_path, flags=flags) as process:
        said = ask(process, files)
    assert "that the server" in said
    assert "expired" in said


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_without_tls(kind: SchedulerKind, files: TlsFiles, tmp_path: Path) -> None:
    """A client with certificates gets an error that the server has none."""
    if kind.missing():
        pytest.skip(kind.missing())
    with running_scheduler(kind, tmp_path) as process:
        assert "does not speak TLS" in ask(process, files)


def test_nobody_there(files: TlsFiles) -> None:
    """A closed port is not a matter of certificates."""
    with (
        closing(RainbowScheduler("127.0.0.1:1", 5.0, tls=files)) as scheduler,
        pytest.raises(Unavailable) as caught,
    ):
        scheduler.receive("nobody", "no secret", 1)
    assert str(caught.value) == "rainbow at 127.0.0.1:1 does not answer: connection refused"


def test_new_files_are_read_while_it_runs(
    server: SchedulerProcess, pki: Pki, tmp_path: Path
) -> None:
    """Certificates are replaced without a restart; half replaced ones do no harm."""
    own = Pki.make(tmp_path, "own")  # unknown to the server
    tls = TlsFiles(pki.ca, *own.client)
    with closing(RainbowScheduler(server.host, 10.0, tls=tls)) as scheduler:
        with pytest.raises(Unavailable):
            scheduler.receive("nobody", "no secret", 1)
        fresh = write_pair(pki.authority.issue_cert("blue.test"), own.folder, "client")
        assert fresh == own.client
        with pytest.raises(RequestDenied):
            scheduler.receive("nobody", "no secret", 1)
        own.client[1].write_text("half")
        with pytest.raises(RequestDenied):
            scheduler.receive("nobody", "no secret", 1)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda pki: pki.ca.unlink(), "RAINBOW_TLS_CA=.*ca.pem: cannot read"),
        (lambda pki: pki.client[0].unlink(), "RAINBOW_TLS_CERT=.*client.pem: cannot read"),
        (lambda pki: pki.client[1].unlink(), "RAINBOW_TLS_KEY=.*client.key: cannot read"),
        (lambda pki: pki.ca.write_text("x"), "RAINBOW_TLS_CA=.*ca.pem: not a certificate"),
        (lambda pki: pki.client[0].write_text(""), "RAINBOW_TLS_CERT=.*not a certificate"),
        (lambda pki: pki.client[1].write_text("x"), "RAINBOW_TLS_KEY=.*not a private key"),
        (
            lambda pki: pki.client[1].write_bytes(pki.server[1].read_bytes()),
            "RAINBOW_TLS_KEY=.*client.key: the key is not the one of the certificate",
        ),
        (lambda pki: (pki.ca.unlink(), pki.ca.mkdir()), "RAINBOW_TLS_CA=.*directory"),
    ],
)
def test_files_that_cannot_be_used(
    tmp_path: Path, damage: Callable[[Pki], object], words: str
) -> None:
    """Missing, damaged, and a key of another certificate: the setting, the path and the reason."""
    pki = Pki.make(tmp_path)
    damage(pki)
    with pytest.raises(UsageError, match=words):
        TlsFiles(pki.ca, *pki.client).read()
