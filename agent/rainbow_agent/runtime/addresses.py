"""`host:port`, read in one place: to connect to, and to listen on.

The registration secret is sent to this address, so nothing is guessed: what can be read in
two ways is refused, with what to write. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

_MAX_PORT: Final = 65535
_MAX_NAME_LENGTH: Final = 253  # RFC 1035, without the last dot
#: A label of a name. Docker Compose names services with underscores.
_HOST_LABEL: Final = re.compile(r"[A-Za-z0-9_]([-A-Za-z0-9_]{0,61}[A-Za-z0-9_])?")
#: What gRPC and browsers put before an address: `http://`, `dns:///`, `ipv4:`, `unix:`.
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/+|(dns|ipv4|ipv6|unix|vsock|xds):")
_EXAMPLE: Final = "rainbow.default.svc:8080"


@dataclass(frozen=True)
class Address:
    """A host and a port, TCP."""

    host: str  # a name, or an address; an IPv6 one without its brackets
    port: int  # to listen on: 0 is any that is free

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def to_connect(text: str) -> Address:
    """The address of a server.

    Args:
        text: `name:port`, `1.2.3.4:port` or `[IPv6]:port`.

    Raises:
        ValueError: it is none of these; the message follows the text and says what to write.
    """
    host, port = _split(text, f"must be host:port, for example {_EXAMPLE}")
    if not host or port == 0:
        raise ValueError(f"must be host:port, for example {_EXAMPLE}")
    return Address(host, port)


def to_listen(text: str) -> Address:
    """The address to listen on; without a host it is every IPv4 address of the machine.

    Raises:
        ValueError: as to_connect().
    """
    host, port = _split(text, "must be host:port, for example 127.0.0.1:8788 or [::]:8788")
    return Address(host or "0.0.0.0", port)  # noqa: S104 - as asked for


def _split(text: str, expected: str) -> tuple[str, int]:
    """Host without brackets ("" for none) and port."""
    if scheme := _SCHEME.match(text):
        rest = text[scheme.end() :].split("/", maxsplit=1)[0].rpartition("@")[2] or _EXAMPLE
        raise ValueError(f"must be host:port without {scheme[0]!r} before it: write {rest}")
    host, colon, port = text.rpartition(":")
    if not host.startswith("[") and ":" in host:
        raise ValueError(_without_brackets(text, host, port))
    if colon and port.isascii() and port.isdigit() and int(port[:6]) > _MAX_PORT:
        raise ValueError(f"must be host:port with a port of at most {_MAX_PORT}")
    if not colon or not port.isascii() or not port.isdigit():
        raise ValueError(expected)
    if host.startswith("["):
        return _ipv6(host, port), int(port)
    if host and not _is_name(host):
        raise ValueError(f"has no valid host name or IPv4 address before the port: {expected}")
    return host, int(port)


def _without_brackets(text: str, host: str, port: str) -> str:
    """What to write instead of an IPv6 address without brackets."""
    if _is_ipv6(host):
        return f"has an IPv6 address, which needs brackets: write [{host}]:{port}"
    if _is_ipv6(text):
        return f"has an IPv6 address, which needs brackets, and no port: write [{text}]:50051"
    return f"must be host:port, for example {_EXAMPLE} or [fd00::12]:8080"


def _ipv6(host: str, port: str) -> str:
    inside = host[1:-1] if host.endswith("]") else ""
    if "%25" in inside:
        raise ValueError(f"has a zone in URL form: write [{inside.replace('%25', '%')}]:{port}")
    if not _is_ipv6(inside):
        raise ValueError("has no IPv6 address between the brackets, for example [fd00::12]:8080")
    return inside


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True


def _is_name(text: str) -> bool:
    """Whether it is a host name, or an IPv4 address in the usual form."""
    name = text.removesuffix(".")
    labels = name.split(".")
    if labels[-1].isdigit():  # no top-level domain is a number
        try:
            IPv4Address(text)
        except AddressValueError:
            return False
        return True
    return len(name) <= _MAX_NAME_LENGTH and all(_HOST_LABEL.fullmatch(label) for label in labels)
