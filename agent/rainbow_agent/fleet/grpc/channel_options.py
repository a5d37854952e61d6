"""Every option of gRPC's channel that matters here: what it is set to, and why. Pure.

gRPC takes a misspelt name without a word, so a test looks each of these up in the library. What is
left at gRPC's default is in LEFT_AT_DEFAULT, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple


class ChannelOption(NamedTuple):
    """One option of a channel."""

    name: str
    value: int
    reason: str


#: Bytes of header fields that are read of one answer; rainbow's have some 100.
MAX_METADATA_BYTES: Final = 16 * 1024

OPTIONS: Final = (
    ChannelOption(
        "grpc.enable_retries",
        0,
        "a server or load balancer that drains (GOAWAY) makes gRPC repeat a call at once and for"
        " ever: 100 MiB a second. When to try again is decided by who calls",
    ),
    ChannelOption(
        "grpc.use_local_subchannel_pool",
        1,
        "a channel that was given up must not leave its broken connection to the next one",
    ),
    ChannelOption(
        "grpc.enable_http_proxy",
        0,
        "gRPC follows http_proxy and the lower-case no_proxy, and no other name: a proxy is used"
        " where RAINBOW_PROXY names one (docs/decisions/0085), and the environment has no say",
    ),
    ChannelOption(
        "grpc.per_message_decompression",
        0,
        "the limit on a message counts before it is taken apart, and rainbow compresses nothing: a"
        " megabyte would become a gibibyte",
    ),
    ChannelOption(
        "grpc.compression_enabled_algorithms_bitset",
        1,
        "only `identity` is offered, so that nothing between us and rainbow compresses either",
    ),
    ChannelOption(
        "grpc.absolute_max_metadata_size",
        MAX_METADATA_BYTES,
        "header fields are kept in memory; this is gRPC's default, which holds once the server has"
        " acknowledged it (before that it is 16 MiB a connection)",
    ),
    ChannelOption(
        "grpc.service_config_disable_resolution",
        1,
        "a TXT record in DNS must not turn retries or other policies on",
    ),
)

#: Looked at, and left as gRPC has them.
LEFT_AT_DEFAULT: Final[Mapping[str, str]] = {
    "grpc.keepalive_time_ms": "off: the Go server ends connections that ping more often than every"
    " five minutes; a call has a deadline, after which the connection is opened anew",
    "grpc.initial_reconnect_backoff_ms": "never reached: a channel whose connection failed is"
    " closed, and the next call, when its time has come, opens another",
    "grpc.max_reconnect_backoff_ms": "likewise",
    "grpc.client_idle_timeout_ms": "30 minutes; the agent polls more often than that",
    "grpc.max_connection_age_ms": "a server's option; a client that is asked to leave does",
    "grpc.max_send_message_length": "unlimited: the server's limit of 4 MiB is the one that"
    " counts, and its refusal says so",
    "grpc.http2.max_frame_size": "16 KiB; a larger frame ends the connection",
    "grpc.http2.settings_timeout": "a minute; a shorter one does not end a connection that sends"
    " header fields all the time, since the timer has to wait for the reader",
    "grpc.http2.bdp_probe": "on: large answers come faster, and a message's limit holds anyway",
}


def channel_options(
    *, host: str, max_reply_bytes: int, tls_name: str | None, proxy: str
) -> tuple[tuple[str, Any], ...]:
    """The options of one channel, as gRPC takes them.

    Args:
        host: host:port of the server.
        max_reply_bytes: of the largest message that is taken.
        tls_name: the name in the server's certificate, "" for the host's; None without TLS.
        proxy: host:port of an HTTP proxy, to which the channel connects then; "" for none.
    """
    options: list[tuple[str, Any]] = [(option.name, option.value) for option in OPTIONS]
    options.append(("grpc.max_receive_message_length", max_reply_bytes))
    if proxy:
        # What gRPC itself does for http_proxy, without asking the environment.
        options.append(("grpc.http_connect_server", host))
        options.append(("grpc.default_authority", host))
    if tls_name or (proxy and tls_name is not None):
        name = tls_name or host.rpartition(":")[0].strip("[]")
        options.append(("grpc.ssl_target_name_override", name))
    return tuple(options)
