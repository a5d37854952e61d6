"""Which user is at the other end of a loopback connection."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from pathlib import Path

import pytest

from rainbow_agent.monitoring.http.peer import UNKNOWN_PEER, Peer, is_owner

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  ...\n"


def line(local: str, remote: str, state: str, user: int) -> str:
    """A line of /proc/net/tcp."""
    return (
        f"   0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000 {user} 0 1234 1\n"
    )


def table(folder: Path, *lines: str) -> list[Path]:
    """A table of connections as the kernel writes it."""
    path = folder / "tcp"
    path.write_text(HEAD + "".join(lines), encoding="ascii")
    return [path]


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_a_connection_of_ours_is_recognised(family: socket.AddressFamily, host: str) -> None:
    """By the kernel's own tables, over IPv4 and IPv6; once it is closed, no more."""
    try:
        server = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip(f"{host} is not there")
    with closing(server):
        port = server.getsockname()[1]
        client = socket.create_connection((host, port))
        accepted, address = server.accept()
        with closing(accepted):
            peer = Peer(address[0], address[1], port)
            assert is_owner(peer)
            assert not is_owner(Peer(peer.address, peer.port, port + 1))
            client.close()
            assert not is_owner(peer)


# 0100007F:1388 is 127.0.0.1:5000 on a machine with the usual byte order.
OURS = Peer("127.0.0.1", 5000, 8788)
LOCAL, SERVER = "0100007F:1388", "0100007F:2254"
little_endian = pytest.mark.skipif(
    socket.htons(1) == 1, reason="the lines here are those of a little-endian machine"
)


@little_endian
@pytest.mark.parametrize(
    ("lines", "allowed"),
    [
        ([line(LOCAL, SERVER, "01", 1000)], True),
        ([line(LOCAL, SERVER, "01", 0)], True),
        ([line(LOCAL, SERVER, "01", 1001)], False),
        # The kernel says user 0 of what was closed.
        ([line(LOCAL, SERVER, "06", 0)], False),
        ([line(LOCAL, SERVER, "04", 0)], False),
        # The server's own end has the ports the other way round.
        ([line(SERVER, LOCAL, "01", 1000)], False),
        # Another address of the loopback interface may have the same ports.
        ([line(LOCAL, SERVER, "01", 1000), line(LOCAL, "0200007F:2254", "01", 1001)], False),
        ([line("0200007F:1388", SERVER, "01", 1000)], False),
        ([line("0000000000000000FFFF00000100007F:1388", SERVER, "01", 1000)], True),
        ([], False),
    ],
)
def test_only_the_agents_user_and_root_are_the_owner(
    tmp_path: Path, lines: list[str], allowed: bool
) -> None:
    """Whoever else has that end, or may have it, is not."""
    assert is_owner(OURS, tables=table(tmp_path, *lines), uid=1000) is allowed


def test_who_is_not_known_is_not_the_owner(tmp_path: Path) -> None:
    """Without tables, from another machine, or over no connection at all."""
    assert not is_owner(OURS, tables=[tmp_path / "none"], uid=os.geteuid())
    assert not is_owner(Peer("192.0.2.7", 5000, 8788))
    assert not is_owner(UNKNOWN_PEER)
