"""Opening a handle of libflux-core's, and whether it is ours to use."""

from __future__ import annotations

import errno
import os
import pwd
import socket
from contextlib import suppress
from typing import Any

from rainbow_agent.core.errors import Fatal, WorkloadUnavailable
from rainbow_agent.runtime.stop import Deadline
from rainbow_agent.workload.flux.bindings import Bindings


def where(uri: str | None) -> str:
    """What a handle with this URI is connected to, for messages."""
    return uri or os.environ.get("FLUX_URI") or "the system's socket"


def expect_alive(uri: str | None, deadline: Deadline) -> None:
    """See that the broker takes connections, for flux_open(3) would wait for ever.

    A client of the local connector waits for one byte, which says that it is let in (flux-core
    src/common/librouter/usock.c). A broker that hangs has a socket, and never sends it. What is
    not a `local://` URI, or is not there, is left to flux_open(3), which says what is wrong.

    Raises:
        WorkloadUnavailable: the broker hangs.
    """
    given = uri or os.environ.get("FLUX_URI") or "local:///run/flux/local"
    if not given.startswith("local://"):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.settimeout(deadline.POLL_INTERVAL_S)
        with suppress(OSError):  # a full queue of connections is a broker that hangs, too
            while not _let_in(probe, given.removeprefix("local://")):
                if deadline.left() <= 0:
                    raise WorkloadUnavailable(f"Flux at {where(uri)} does not answer: it hangs")


def _let_in(probe: socket.socket, path: str) -> bool:
    """Whether there was an answer of any kind.

    Raises:
        OSError: there is no broker.
    """
    try:
        probe.connect(path)
    except (TimeoutError, BlockingIOError):
        return False
    except OSError as exc:
        if exc.errno != errno.EISCONN:
            raise
    try:
        probe.recv(1)
    except TimeoutError:
        return False
    return True


def open_owned(bindings: Bindings, uri: str | None) -> Any:
    """A handle to an instance that this user owns (flux_open_ex(3)).

    Raises:
        WorkloadUnavailable: there is no answer.
        Fatal: the instance belongs to somebody else: the journal and exceptions of jobs are for
            the instance owner alone (RFC 12).
    """
    handle = _open(bindings, uri)
    owner = attribute(bindings, handle, "security.owner")
    if owner is not None and owner.isdigit() and int(owner) != os.getuid():
        bindings.lib.flux_close(handle)
        raise Fatal(
            f"Flux at {where(uri)} belongs to {_user_name(int(owner))}, and the agent runs as"
            f" {_user_name(os.getuid())}. Run the agent as the owner of the instance"
        )
    return handle


def _open(bindings: Bindings, uri: str | None) -> Any:
    ffi = bindings.ffi
    error = ffi.new("flux_error_t[1]")
    handle = bindings.lib.flux_open_ex(uri.encode() if uri else ffi.NULL, 0, error)
    if handle != ffi.NULL:
        return handle
    code = ffi.errno
    words = ffi.string(error[0].text).decode(errors="replace") or os.strerror(code)
    if code in (errno.EPERM, errno.EACCES):
        raise Fatal(
            f"Flux at {where(uri)} does not let {_user_name(os.getuid())} in: {words}. Run the"
            " agent as the owner of the instance"
        )
    raise WorkloadUnavailable(f"Flux at {where(uri)} cannot be reached: {words}")


def attribute(bindings: Bindings, handle: Any, name: str) -> str | None:
    """A broker attribute (flux-broker-attributes(7)); None if the broker has it not.

    Raises:
        WorkloadUnavailable: the connection is gone.
    """
    ffi = bindings.ffi
    value = bindings.lib.flux_attr_get(handle, name.encode())
    if value != ffi.NULL:
        return str(ffi.string(value).decode())
    if ffi.errno == errno.ENOENT:
        return None
    raise WorkloadUnavailable(f"Flux is gone: attribute {name}: {os.strerror(ffi.errno)}")


def _user_name(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name} (user id {uid})"
    except KeyError:
        return f"user id {uid}"
