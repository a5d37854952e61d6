"""Who asks over a loopback connection: the kernel knows which user each end of it belongs to.

/proc/net/tcp has every connection of this network namespace with the user of its socket. One that
comes from elsewhere has its other end on another machine, and is in no line here.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final

_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
#: Of a socket that its program closed the kernel says user 0; so only open ones count.
_ESTABLISHED: Final = "01"
_ROOT: Final = 0


@dataclass(frozen=True)
class Peer:
    """The other end of a connection, and the port that it came to."""

    address: str
    port: int
    server_port: int


#: In no line of the tables: the owner of no process.
UNKNOWN_PEER: Final = Peer("", 0, 0)


def is_owner(peer: Peer, *, tables: Sequence[Path] = _TABLES, uid: int | None = None) -> bool:
    """Whether this process' own user, or root, is at the other end, on this machine.

    Args:
        peer: the other end.
        tables: of the kernel's connections; a line is as in proc(5).
        uid: this process' user; None: ask.
    """
    allowed = {_ROOT, os.geteuid() if uid is None else uid}
    users = set(_users(peer, tables))
    return bool(users) and users <= allowed


def _users(peer: Peer, tables: Sequence[Path]) -> Iterator[int]:
    """The users of all sockets that may be the other end."""
    try:
        address = _plain(ip_address(peer.address.partition("%")[0]))
    except ValueError:
        return
    for table in tables:
        try:
            lines = table.read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue  # no IPv6 here, or no /proc: then no user is found
        for line in lines:
            _, local, remote, state, _, _, _, user, *_ = line.split()
            ports = _port(local), _port(remote)
            if state != _ESTABLISHED or ports != (peer.port, peer.server_port):
                continue
            if _address(local) == address:
                yield int(user)


def _port(end: str) -> int:
    return int(end.rpartition(":")[2], 16)


def _address(end: str) -> IPv4Address | IPv6Address:
    """An address as the kernel writes it: words of 32 bits in this machine's byte order."""
    words = bytes.fromhex(end.rpartition(":")[0])
    packed = b"".join(struct.pack("=I", word) for (word,) in struct.iter_unpack(">I", words))
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    return _plain(ip_address(socket.inet_ntop(family, packed)))


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """An IPv4 address that is written as one of IPv6 is one of IPv4."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped if mapped is not None else address
