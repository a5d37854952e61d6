"""The options of gRPC's channel: each is one that gRPC has, and has a reason."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from rainbow_agent.fleet.grpc.channel_options import LEFT_AT_DEFAULT, OPTIONS, channel_options

_NAMES = [
    *(option.name for option in OPTIONS),
    *LEFT_AT_DEFAULT,
    *dict(channel_options(host="h:1", max_reply_bytes=1, tls_name="t", proxy="p:1")),
]


@pytest.fixture(scope="module")
def library() -> bytes:
    (core,) = (Path(grpc.__file__).parent / "_cython").glob("cygrpc*.so")
    return core.read_bytes()


@pytest.mark.parametrize("name", sorted({*_NAMES} - {"grpc.max_connection_age_ms"}))
def test_grpc_knows_the_option(library: bytes, name: str) -> None:
    """It takes a misspelt one without a word."""
    assert name.encode() + b"\0" in library


def test_each_is_decided_once_and_has_a_reason() -> None:
    """A table with two answers has none."""
    decided = [option.name for option in OPTIONS] + list(LEFT_AT_DEFAULT)
    assert len(decided) == len(set(decided))
    assert all([*(option.reason for option in OPTIONS), *LEFT_AT_DEFAULT.values()])


def test_through_a_proxy_the_server_keeps_its_name() -> None:
    """The channel connects to the proxy; what is asked for, and who must answer, is rainbow."""
    host = "rainbow:8080"
    options = dict(channel_options(host=host, max_reply_bytes=1, tls_name="", proxy="p:1"))
    assert options["grpc.http_connect_server"] == "rainbow:8080"
    assert options["grpc.default_authority"] == "rainbow:8080"
    assert options["grpc.ssl_target_name_override"] == "rainbow"
    direct = dict(channel_options(host="rainbow:8080", max_reply_bytes=1, tls_name=None, proxy=""))
    assert "grpc.http_connect_server" not in direct
    assert "grpc.ssl_target_name_override" not in direct
