"""What rainbow's answers mean: one place sorts every refusal into rainbow_agent.core.errors.

Three things say no: gRPC's status code, the text that goes with code UNKNOWN (the Go server
returns plain errors, and gRPC gives all of them that code), and the `status` that each reply
carries, with another meaning in each reply. Source: converged-computing/rainbow 075ee23,
pkg/server/endpoint.go, pkg/database and plugins/backends/memory.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.message import Message

from rainbow_agent.core.errors import (
    ClusterExists,
    ClusterUnknown,
    DatabaseLocked,
    GraphExists,
    RainbowAgentError,
    Rejected,
    RequestDenied,
    SubsystemExists,
    SubsystemMissing,
    Unavailable,
)
from rainbow_agent.fleet.grpc import rpc as rainbow_rpc
from rainbow_agent.fleet.grpc.quiet_grpc import grpc
from rainbow_agent.fleet.grpc.rpc import Rpc
from rainbow_agent.fleet.grpc.stubs import memory_pb2, rainbow_pb2

_ErrorType = type[RainbowAgentError]


class NodesRequired(Rejected):
    """A registration without nodes; the server has looked at its secret by then, and took it."""


class NoSuchService(Rejected):
    """What listens there has no such service."""


class ReplyTooLarge(Rejected):
    """The answer is larger than this channel takes."""


#: INTERNAL and DATA_LOSS are broken connections, not broken requests: HTTP/2 resets and proxies
#: that restart show so. CANCELLED is a server that shuts down. Rainbow itself refuses with UNKNOWN
#: only: PERMISSION_DENIED and UNAUTHENTICATED come from what stands before it (a service mesh, a
#: gateway), say nothing of our secret, and must not cost the cluster its registration.
BY_CODE: Final[Mapping[grpc.StatusCode, _ErrorType]] = {
    grpc.StatusCode.CANCELLED: Unavailable,
    grpc.StatusCode.UNKNOWN: Rejected,  # unless its text says otherwise: _BY_TEXT
    grpc.StatusCode.INVALID_ARGUMENT: Rejected,
    grpc.StatusCode.DEADLINE_EXCEEDED: Unavailable,
    grpc.StatusCode.NOT_FOUND: Rejected,
    grpc.StatusCode.ALREADY_EXISTS: Rejected,
    grpc.StatusCode.PERMISSION_DENIED: Rejected,
    grpc.StatusCode.UNAUTHENTICATED: Rejected,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Unavailable,  # unless a message is too large: _BY_TEXT
    grpc.StatusCode.FAILED_PRECONDITION: Rejected,
    grpc.StatusCode.ABORTED: Unavailable,
    grpc.StatusCode.OUT_OF_RANGE: Rejected,
    grpc.StatusCode.UNIMPLEMENTED: NoSuchService,
    grpc.StatusCode.INTERNAL: Unavailable,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DATA_LOSS: Unavailable,
}

log = logging.getLogger(__name__)

#: Characters of a server's own words that are kept.
_MAX_WORDS: Final = 500
#: The client's own words: the answer is over the limit of the channel.
_REPLY_TOO_LARGE: Final = re.compile("(CLIENT: |^)received message larger than max", re.IGNORECASE)
_TOO_LARGE: Final = re.compile("larger than max", re.IGNORECASE)
#: States of the server's sqlite, none of them about the request; sqlite's own words
#: (sqlite3_errstr). `no such table`: its file was deleted under it, a restart makes it again.
_DATABASE: Final = re.compile(
    "database is locked|database table is locked|unable to open database file|disk I/O error"
    "|database or disk is full|attempt to write a readonly database|database disk image"
    "|no such table",
    re.IGNORECASE,
)
_BY_TEXT: Final[Mapping[grpc.StatusCode, tuple[tuple[re.Pattern[str], _ErrorType], ...]]] = {
    grpc.StatusCode.UNKNOWN: (
        (re.compile("^request denied$"), RequestDenied),
        (re.compile("^cluster graph .* already exists"), GraphExists),
        (re.compile("^subsystem .* already exists"), SubsystemExists),
        (re.compile("^cluster graph [^ ]* does not have subsystem "), SubsystemMissing),
        (re.compile("^cluster nodes are required$"), NodesRequired),
        (
            re.compile("^cluster (graph )?[^ ]* (to register subsytem )?does not exist$"),
            ClusterUnknown,
        ),
        # Somebody replaces a cluster's graph at this moment: every Satisfy fails meanwhile.
        (re.compile("^the subsystem cluster does not exist$"), Unavailable),
        (re.compile("database (table )?is locked", re.IGNORECASE), DatabaseLocked),
        (_DATABASE, Unavailable),
        # gRPC's own words when the connection breaks in the middle of an answer.
        (re.compile("stream removed|socket closed|connection reset", re.IGNORECASE), Unavailable),
    ),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (
        (_REPLY_TOO_LARGE, ReplyTooLarge),
        (_TOO_LARGE, Rejected),
    ),
}

#: What gRPC's own words mean, where a call did not get through. The first that fits counts.
_SILENCE: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), said)
    for pattern, said in (
        ("HTTP proxy", "the proxy (RAINBOW_PROXY) does not let the connection through"),
        ("connection refused", "connection refused"),
        ("no route to host", "no route to host"),
        ("network is unreachable", "network is unreachable"),
        (
            "DNS|name or service not known|domain name not found|name resolution",
            "its name is unknown (DNS)",
        ),
        ("GOAWAY", "the server, or a load balancer before it, is shutting down"),
        ("parsing HTTP/2|http1|http/1|settings frame", "what listens there does not speak gRPC"),
        ("timed? ?out|deadline", "no answer in time"),
        ("SSL|TLS|handshake", "the TLS handshake failed"),
        (
            "socket closed|stream removed|connection reset|broken pipe|RST_STREAM|recvmsg",
            "the connection was closed",
        ),
        ("failed to connect", "the connection cannot be made"),
    )
)

_ADVICE: Final[Mapping[_ErrorType, str]] = {
    RequestDenied: "the secret or token is wrong, or rainbow does not know the cluster",
    ClusterUnknown: "rainbow was restarted and lost the cluster's graph; it must be loaded again",
    ClusterExists: "rainbow gives its secret only once; use another name or the stored secret",
}

#: Codes that rainbow never gives.
_BETWEEN: Final = frozenset({grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED})
_BETWEEN_ADVICE: Final = (
    "rainbow itself never answers so: a gateway or service mesh before it does; ask who runs that"
)

_Register = rainbow_pb2.RegisterResponse
_Delete = rainbow_pb2.DeleteResponse
_Submit = rainbow_pb2.SubmitJobResponse
_Update = rainbow_pb2.UpdateStateResponse
_Receive = rainbow_pb2.ReceiveJobsResponse
_Accept = rainbow_pb2.AcceptJobsResponse
_Satisfy = memory_pb2.SatisfyResponse
_Load = memory_pb2.Response

#: None: all is well. A number that is not here is Rejected.
BY_STATUS: Final[Mapping[Rpc[Any, Any], Mapping[int, _ErrorType | None]]] = {
    rainbow_rpc.REGISTER: {
        _Register.REGISTER_SUCCESS: None,
        _Register.REGISTER_DENIED: RequestDenied,
        _Register.REGISTER_EXISTS: ClusterExists,
    },
    rainbow_rpc.REGISTER_SUBSYSTEM: {
        _Register.REGISTER_SUCCESS: None,
        _Register.REGISTER_DENIED: RequestDenied,
    },
    rainbow_rpc.DELETE: {
        _Delete.DELETE_SUCCESS: None,
        _Delete.DELETE_NO_EXISTS: None,
        _Delete.DELETE_DENIED: RequestDenied,
    },
    rainbow_rpc.DELETE_SUBSYSTEM: {
        _Delete.DELETE_SUCCESS: None,
        _Delete.DELETE_DENIED: RequestDenied,
    },
    rainbow_rpc.SUBMIT_JOB: {
        _Submit.SUBMIT_SUCCESS: None,
        _Submit.SUBMIT_DENIED: RequestDenied,
    },
    rainbow_rpc.UPDATE_STATE: {
        _Update.UPDATE_STATE_SUCCESS: None,
        _Update.UPDATE_STATE_PARTIAL: None,
    },
    rainbow_rpc.RECEIVE_JOBS: {
        _Receive.REQUEST_JOBS_SUCCESS: None,
        _Receive.REQUEST_JOBS_NORESULTS: None,
        _Receive.REQUEST_JOBS_DENIED: RequestDenied,
    },
    rainbow_rpc.RECEIVE_ROWS: {
        _Receive.REQUEST_JOBS_SUCCESS: None,
        _Receive.REQUEST_JOBS_NORESULTS: None,
        _Receive.REQUEST_JOBS_DENIED: RequestDenied,
    },
    # PARTIAL: some ids were gone already, which is what accepting twice looks like.
    rainbow_rpc.ACCEPT_JOBS: {
        _Accept.RESULT_TYPE_SUCCESS: None,
        _Accept.RESULT_TYPE_PARTIAL: None,
    },
    rainbow_rpc.SATISFY: {_Satisfy.RESULT_TYPE_SUCCESS: None},
    # The Go server leaves the status of a graph that it loaded at its default.
    rainbow_rpc.LOAD_GRAPH: {_Load.RESULT_TYPE_UNSPECIFIED: None, _Load.RESULT_TYPE_SUCCESS: None},
}


def sort_failure(code: grpc.StatusCode, text: str) -> _ErrorType:
    """The class of error that a failed call is."""
    for pattern, kind in _BY_TEXT.get(code, ()):
        if pattern.search(text):
            return kind
    return BY_CODE.get(code, Rejected)


def from_failure(
    rpc: Rpc[Any, Any], host: str, code: grpc.StatusCode, text: str
) -> RainbowAgentError:
    """The error to raise for a call that ended with a status code.

    Args:
        rpc: what was called.
        host: host:port of the scheduler, for the message.
        code: gRPC's status code.
        text: what came with it.
    """
    kind = sort_failure(code, text)
    words = " ".join(text.split())[:_MAX_WORDS] or "no reason given"
    if issubclass(kind, Unavailable):
        log.debug("%s at rainbow %s: %s: %s", rpc, host, code.name, words)
        return kind(_unavailable(host, code, words))
    said = words if code is grpc.StatusCode.UNKNOWN else f"{code.name}: {words}"
    advice = _BETWEEN_ADVICE if code in _BETWEEN else _ADVICE.get(kind)
    return kind(f"{rpc} at rainbow {host}: {said}" + (f"; {advice}" if advice else ""))


def _unavailable(host: str, code: grpc.StatusCode, words: str) -> str:
    """One short sentence; gRPC's own text is long, and in the log at level debug."""
    if code is grpc.StatusCode.UNKNOWN and (match := _DATABASE.search(words)):
        return f"rainbow at {host} cannot use its database now: {match[0]}"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"rainbow at {host} does not answer: no answer in time (RAINBOW_TIMEOUT)"
    reason = next((said for pattern, said in _SILENCE if pattern.search(words)), words)
    return f"rainbow at {host} does not answer: {reason}"


def check_status(rpc: Rpc[Any, Any], host: str, reply: Message) -> None:
    """Raise what a reply's own status says, if it says no; those of our own service have none.

    Raises:
        RequestDenied, ClusterExists, Rejected: by the table above.
    """
    if rpc not in BY_STATUS:
        return
    # mypy: every reply of rainbow has this field, but Message does not say so.
    status: int = reply.status  # type: ignore[attr-defined]
    kind = BY_STATUS[rpc].get(status, Rejected)
    if kind is None:
        return
    enum = rpc.reply.DESCRIPTOR.fields_by_name["status"].enum_type.values_by_number
    said = enum[status].name if status in enum else f"status {status}"
    advice = f"; {_ADVICE[kind]}" if kind in _ADVICE else ""
    raise kind(f"{rpc} at rainbow {host}: {said}{advice}")
