"""host:port as people write it: what is one, and what is said of what is none."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.runtime.addresses import Address, to_connect, to_listen


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("rainbow:50051", Address("rainbow", 50051)),
        (
            "rainbow.default.svc.cluster.local.:8080",
            Address("rainbow.default.svc.cluster.local.", 8080),
        ),
        ("my_service:8080", Address("my_service", 8080)),
        ("127.0.0.1:1", Address("127.0.0.1", 1)),
        ("[::1]:50051", Address("::1", 50051)),
        ("[fe80::1%eth0]:50051", Address("fe80::1%eth0", 50051)),
    ],
)
def test_an_address_is_read_and_written_back_as_it_was(text: str, address: Address) -> None:
    """Names, IPv4 addresses and bracketed IPv6 addresses, with a port."""
    assert to_connect(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("fd00::12:8080", "write [fd00::12]:8080"),
        ("::1:50051", "write [::1]:50051"),
        ("1:2:3:4:5:6:7:8", "write [1:2:3:4:5:6:7:8]:50051"),
        ("[fe80::1%25eth0]:80", "write [fe80::1%eth0]:80"),
        ("http://127.0.0.1:50051", "write 127.0.0.1:50051"),
        ("https://user:pw@rainbow:443/path", "write rainbow:443"),
        ("tcp://10.0.0.1:8080", "write 10.0.0.1:8080"),
        ("grpc://rainbow.default.svc:8080", "write rainbow.default.svc:8080"),
        ("dns:///rainbow:8080", "write rainbow:8080"),
        ("dns:rainbow:8080", "write rainbow:8080"),
        ("unix:/run/rainbow.sock", "must be host:port"),
        ("rainbow", "must be host:port"),
        ("rainbow:", "must be host:port"),
        ("rainbow:http", "must be host:port"),
        ("rainbow:0", "must be host:port"),
        ("rainbow:65536", "a port of at most 65535"),
        ("rainbow:٣", "must be host:port"),
        (":50051", "must be host:port"),
        ("a:b:80", "must be host:port"),
        ("300.1.1.1:80", "no valid host name"),
        ("10.0.1:80", "no valid host name"),
        ("rain bow:80", "no valid host name"),
        ("rainbow/x:80", "no valid host name"),
        ("-rainbow:80", "no valid host name"),
        ("rainbow..svc:80", "no valid host name"),
        ("[rainbow]:80", "no IPv6 address between the brackets"),
        ("[::1:80", "no IPv6 address between the brackets"),
        ("[]:80", "no IPv6 address between the brackets"),
    ],
)
def test_what_is_no_address_is_refused_with_what_to_write(text: str, says: str) -> None:
    """The registration secret goes to this address: nothing is guessed."""
    with pytest.raises(ValueError, match=re.escape(says)):
        to_connect(text)


def test_to_listen_host_and_port_may_be_left_open() -> None:
    """No host is every IPv4 address, port 0 any free port."""
    assert to_listen(":0") == Address("0.0.0.0", 0)
    assert to_listen("[::]:8788") == Address("::", 8788)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    """What is read can be written and read again; nothing else is raised."""
    try:
        address = to_connect(text)
    except ValueError:
        return
    assert to_connect(str(address)) == address
