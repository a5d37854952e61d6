"""The scheduler as a gRPC server: sockets, threads, and how a refusal reaches the client."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rainbow_agent.core.errors import UsageError
from rainbow_agent.fleet.grpc.quiet_grpc import grpc
from rainbow_agent.fleet.grpc.rpc import Rpc
from rainbow_agent.fleet.scheduler_server import boxes, selection
from rainbow_agent.fleet.scheduler_server.boxes import BoxService
from rainbow_agent.fleet.scheduler_server.failure import Failure
from rainbow_agent.fleet.scheduler_server.service import Policy, Service
from rainbow_agent.fleet.scheduler_server.store import Store
from rainbow_agent.runtime import addresses
from rainbow_agent.runtime.clock import SystemClock

log = logging.getLogger(__name__)

#: The database answers one call at a time, a Satisfy may take longer, and a call that waits for a
#: message keeps its thread.
_THREADS: Final = 8 + boxes.MAX_WAITING_CALLS
#: Seconds for which messages that are not taken are kept.
KEEP_MESSAGES_S: Final = 7 * 86400.0
#: Otherwise a second scheduler on the same port would silently get half of the calls.
_OPTIONS: Final = (("grpc.so_reuseport", 0),)


@dataclass(frozen=True)
class ServerTls:
    """The files of the Go server's --ca-cert, --cert and --key."""

    ca_cert: Path  # signed the clients' certificates
    cert: Path
    key: Path

    @classmethod
    def from_flags(
        cls, ca_cert: Path | None, cert: Path | None, key: Path | None
    ) -> ServerTls | None:
        """All three, or None for none.

        Raises:
            UsageError: some are given and some are not.
        """
        if ca_cert and cert and key:
            return cls(ca_cert, cert, key)
        if ca_cert or cert or key:
            raise UsageError("TLS needs all three: --ca-cert, --cert and --key")
        return None

    def credentials(self) -> grpc.ServerCredentials:
        """For gRPC.

        Raises:
            UsageError: a file cannot be read, or the key does not fit.
        """
        texts = [_read(flag, path) for flag, path in self._flags()]
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.cert, self.key)
        except ssl.SSLError as exc:
            raise UsageError(
                f"--cert {self.cert} and --key {self.key} cannot be used: {exc.reason or exc}"
            ) from exc
        ca, chain, key = texts
        return grpc.ssl_server_credentials([(key, chain)], ca, require_client_auth=True)

    def _flags(self) -> tuple[tuple[str, Path], ...]:
        return ("--ca-cert", self.ca_cert), ("--cert", self.cert), ("--key", self.key)


def _read(flag: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise UsageError(f"{flag} {path}: cannot read the file: {exc.strerror}") from exc


class RunningScheduler:
    """A scheduler that answers, until it is stopped."""

    def __init__(
        self, server: grpc.Server, store: Store, box_service: BoxService, port: int
    ) -> None:
        self._server = server
        self._store = store
        self._boxes = box_service
        self.port = port

    def stop(self, grace: float = 1.0) -> None:
        """Take no more calls, let those under way end for `grace` seconds, close the database."""
        stopped = self._server.stop(grace)
        self._boxes.close()
        stopped.wait()
        self._store.close()


def serve(
    host: str,
    secret: str,
    global_token: str,
    db: Path,
    *,
    name: str = "rainbow",
    select_algorithm: str = "random",
    select_options: Mapping[str, str] | None = None,
    match_algorithm: str = "match",
    tls: ServerTls | None = None,
    keep_messages: float = KEEP_MESSAGES_S,
) -> RunningScheduler:
    """Start a scheduler; it answers when this returns.

    Args:
        host: address to listen on, `host:port` or `:port`; port 0 takes a free one.
        secret: allows clusters to register.
        global_token: submits to every cluster; "" gives each cluster a token of its own.
        db: the sqlite file; made if it is not there.
        name: what the scheduler calls itself in its log.
        select_algorithm: `random` or `constraint`, for jobs that name none.
        select_options: for `constraint`: its `priorities`, YAML text.
        match_algorithm: `match` is all there is.
        tls: the certificates; clients then need one, as with the Go server. None for no TLS.
        keep_messages: seconds for which messages between agents and senders are kept that are not
            taken; 0: it has no boxes for them, as the Go server, and they are rows of the list.

    Raises:
        UsageError: the address or a file cannot be used, or there is no such algorithm.
    """
    if not secret:
        raise UsageError("the scheduler needs a registration secret: set --secret")
    _check_algorithms(select_algorithm, select_options or {}, match_algorithm)
    policy = Policy(secret, global_token, select_algorithm, select_options or {})
    store = Store(db)
    box_service = BoxService(store, keep_messages, SystemClock())
    methods = Service(policy, store).methods() | (box_service.methods() if keep_messages else {})
    try:
        server, port = _listen(host, methods, tls)
    except UsageError:
        store.close()
        raise
    server.start()
    log.info("Scheduler %s listens on port %d", name, port, extra={"action": "listen"})
    if global_token:
        log.warning("One token submits to every cluster (--global-token)")
    return RunningScheduler(server, store, box_service, port)


def _check_algorithms(select: str, options: Mapping[str, str], match: str) -> None:
    try:
        selection.check(select, options)
    except Failure as exc:
        raise UsageError(f"--select-algorithm {select}: {exc}") from exc
    if match != "match":
        raise UsageError(f"--match-algorithm {match}: did not find it; use match")


def _listen(
    host: str, methods: Mapping[Rpc[Any, Any], Any], tls: ServerTls | None
) -> tuple[grpc.Server, int]:
    credentials = tls.credentials() if tls else None
    server = grpc.server(
        ThreadPoolExecutor(_THREADS, thread_name_prefix="scheduler"), options=_OPTIONS
    )
    server.add_generic_rpc_handlers(_handlers(methods))
    try:
        if credentials is not None:
            return server, int(server.add_secure_port(_address(host), credentials))
        return server, int(server.add_insecure_port(_address(host)))
    except RuntimeError as exc:  # what grpcio raises when it cannot bind
        why = _why_not(_address(host))
        raise UsageError(f"cannot listen on {host}: {why}; choose another --host") from exc


def _why_not(host: str) -> str:
    """Why an address cannot be listened on: grpcio only says how to have it logged."""
    address = addresses.to_listen(host)
    try:
        family, kind, proto, _, target = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, proto) as tried:
            tried.bind(target)
    except OSError as exc:
        return (exc.strerror or str(exc)).lower()
    return "it is in use"


def _address(host: str) -> str:
    """`host:port` for gRPC; Go's `:50051` is any address of the machine."""
    try:
        address = addresses.to_listen(host)
    except ValueError as exc:
        raise UsageError(f"cannot listen on {host!r}: it {exc}") from None
    return f"[::]:{address.port}" if host.startswith(":") else str(address)


def _handlers(methods: Mapping[Rpc[Any, Any], Any]) -> tuple[Any, ...]:
    """GRPC's generic handlers, one a service."""
    by_service: dict[str, dict[str, Any]] = {}
    for rpc, method in methods.items():
        by_service.setdefault(rpc.service, {})[rpc.name] = grpc.unary_unary_rpc_method_handler(
            _answer(rpc, method),
            request_deserializer=rpc.request.FromString,
            response_serializer=rpc.reply.SerializeToString,
        )
    return tuple(
        grpc.method_handlers_generic_handler(name, methods) for name, methods in by_service.items()
    )


def _answer(rpc: Rpc[Any, Any], method: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """A method as gRPC calls it."""

    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(request)
        except Failure as exc:
            log.info("%s refused: %s", rpc, exc, extra={"action": "refused", "rpc": str(rpc)})
            # Does not return. UNKNOWN is what clients of the Go server expect.
            context.abort(grpc.StatusCode.UNKNOWN, str(exc))

    return answer
