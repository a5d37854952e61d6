"""One connection to a Flux broker: requests out, responses in, many in flight.

Over libflux-core's C API (man3: flux_open, flux_rpc, flux_recv, flux_pollfd). Responses are read
straight from the handle and matched by their matchtag (RFC 6): no reactor, no callbacks, so
that an error surfaces in the call that meets it. A connection belongs to the thread that opened
it.
"""

from __future__ import annotations

import errno
import json
import os
import select
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from rainbow_agent.core.errors import Rejected, WorkloadUnavailable
from rainbow_agent.runtime.stop import Deadline, Stop
from rainbow_agent.workload.flux import bindings
from rainbow_agent.workload.flux import handle as flux_handle
from rainbow_agent.workload.flux.signature import unsigned

#: How long an answer to a small question may take before the broker counts as gone, in seconds.
ANSWER_SECONDS = 30.0
#: A response's errno that is about the request itself; all others are about Flux's condition.
_REFUSALS = frozenset(
    {errno.EINVAL, errno.EPERM, errno.EACCES, errno.EPROTO, errno.E2BIG, errno.EOPNOTSUPP}
)


@dataclass(frozen=True)
class Reply:
    """An answer to a request. `error` is 0, or an errno that `text` explains."""

    request: int  # the number that sending it gave
    text: str  # the payload (JSON), or the words of the error
    error: int = 0

    @property
    def refusal(self) -> bool:
        """Whether the request was looked at and turned down for good."""
        return self.error in _REFUSALS


@dataclass(frozen=True)
class _Sent:
    """A request whose last response has not been read."""

    number: int
    future: Any  # holds the matchtag
    streaming: bool


class Connection:
    """A handle of libflux-core's, opened at once.

    Args:
        uri: a Flux URI; None for FLUX_URI, or the system instance where that is not set.
        stop: shortens waits; None when there is none.

    Raises:
        WorkloadUnavailable: there is no answer.
        Fatal: the instance belongs to somebody else, or there are no bindings.
    """

    def __init__(self, uri: str | None = None, stop: Stop | None = None) -> None:
        self._stop = stop
        self._bindings = bindings.load()
        self._ffi, self._lib = self._bindings.ffi, self._bindings.lib
        self._where = flux_handle.where(uri)
        flux_handle.expect_alive(uri, Deadline(ANSWER_SECONDS, stop))
        self._handle = flux_handle.open_owned(self._bindings, uri)
        # Requests have numbers of their own: Flux gives a matchtag to the next request as soon as
        # its response is read, which may be long before somebody asks for that response.
        self._numbers = count(1)
        self._sent: dict[int, _Sent] = {}  # by matchtag
        self._early: list[Reply] = []
        # FLUX_MATCH_RESPONSE: any response, whatever its matchtag.
        self._match = self._ffi.new(
            "struct flux_match *",
            {
                "typemask": self._lib.FLUX_MSGTYPE_RESPONSE,
                "matchtag": self._lib.FLUX_MATCHTAG_NONE,
                "topic_glob": self._ffi.NULL,
            },
        )[0]
        self._text = self._ffi.new("const char *[1]")
        self._tag = self._ffi.new("uint32_t[1]")
        self._poll = select.poll()
        self._poll.register(self._lib.flux_pollfd(self._handle), select.POLLIN)

    @property
    def where(self) -> str:
        """The URI, for messages."""
        return self._where

    def attribute(self, name: str) -> str | None:
        """A broker attribute (flux-broker-attributes(7)); None if the broker has it not."""
        return flux_handle.attribute(self._bindings, self._handle, name)

    def request(
        self,
        topic: str,
        payload: Mapping[str, Any] | None = None,
        *,
        rank: int | None = None,
        streaming: bool = False,
    ) -> int:
        """Send a request; its number. Responses come from receive()."""
        text = self._ffi.NULL if payload is None else json.dumps(payload).encode()
        node = self._lib.FLUX_NODEID_ANY if rank is None else rank
        flags = self._lib.FLUX_RPC_STREAMING if streaming else 0
        return self._send(
            lambda handle: self._lib.flux_rpc(handle, topic.encode(), text, node, flags),
            streaming=streaming,
        )

    def submit(self, jobspec: str, *, validate: bool = True, held: bool = False) -> int:
        """Send a job request; its number.

        Args:
            jobspec: RFC 14, as JSON.
            validate: whether job-ingest checks its form.
            held: whether it is to stay where it is until somebody gives it another urgency.
        """
        # Whoever has a connection is the instance's owner (handle.open_owned).
        text, flags = unsigned(jobspec.encode(), os.getuid()), self._lib.FLUX_JOB_PRE_SIGNED
        flags |= 0 if validate else self._lib.FLUX_JOB_NOVALIDATE
        urgency = 0 if held else 16  # flux-core src/common/libjob/job.h
        return self._send(lambda handle: self._lib.flux_job_submit(handle, text, urgency, flags))

    def cancel(self, flux_id: int, note: str) -> int:
        """Send a request to raise a `cancel` exception; its number."""
        return self._send(lambda handle: self._lib.flux_job_cancel(handle, flux_id, note.encode()))

    def append(self, namespace: str, key: str, text: str) -> int:
        """Send a KVS transaction that appends to a value (flux_kvs_commit(3)); its number."""
        transaction = self._lib.flux_kvs_txn_create()
        if transaction == self._ffi.NULL:
            raise self._lost("KVS transaction")
        try:
            if (
                self._lib.flux_kvs_txn_put(
                    transaction, self._lib.FLUX_KVS_APPEND, key.encode(), text.encode()
                )
                < 0
            ):
                raise self._lost("KVS transaction")
            return self._send(
                lambda handle: self._lib.flux_kvs_commit(handle, namespace.encode(), 0, transaction)
            )
        finally:
            self._lib.flux_kvs_txn_destroy(transaction)

    def _send(self, start: Callable[[Any], Any], *, streaming: bool = False) -> int:
        """Send with a C function that takes the handle and returns a future."""
        future = start(self._handle)
        if future == self._ffi.NULL:
            raise self._lost("request")
        tag = self._lib.flux_rpc_get_matchtag(future)
        if tag == self._lib.FLUX_MATCHTAG_NONE:
            # No request was sent, and the future holds only the reason.
            words = self._string(self._lib.flux_future_error_string(future))
            self._lib.flux_future_destroy(future)
            raise WorkloadUnavailable(
                f"Flux at {self._where} cannot send a request; it is tried again: {words}"
            )
        sent = self._sent[tag] = _Sent(next(self._numbers), future, streaming)
        return sent.number

    def receive(self, timeout: float, limit: int = 1000) -> list[Reply]:
        """Responses that are there, at most `limit`; waits up to `timeout` seconds for one.

        Raises:
            WorkloadUnavailable: the connection is gone, and all that came over it was received.
        """
        responses, self._early = self._early, []
        deadline = time.monotonic() + timeout
        while True:
            while len(responses) < limit:
                try:
                    response = self._receive_one()
                except WorkloadUnavailable:
                    if responses:
                        return responses  # the next call finds the connection no better
                    raise
                if response is None:
                    break
                responses.append(response)
            left = deadline - time.monotonic()
            if responses or left <= 0:
                return responses
            self._wait(left)

    def call(
        self,
        topic: str,
        payload: Mapping[str, Any] | None = None,
        *,
        rank: int | None = None,
        timeout: float = ANSWER_SECONDS,
    ) -> Any:
        """Ask, and wait for the answer (decoded JSON). Other responses are kept for receive().

        Raises:
            Rejected: the answer is an error that is about the request.
            WorkloadUnavailable: any other error, or no answer in time.
        """
        answer = self.answer(self.request(topic, payload, rank=rank), timeout)
        if answer is None:
            raise WorkloadUnavailable(
                f"Flux at {self._where} did not answer {topic} within {timeout:.0f} s"
            )
        return self._decoded(topic, answer)

    def answer(self, request: int, timeout: float) -> Reply | None:
        """The response to one request; None after `timeout` seconds. Others are kept."""
        return self.answers({request}, timeout).get(request)

    def answers(self, requests: Collection[int], timeout: float) -> dict[int, Reply]:
        """The responses to some requests, within `timeout` seconds. Others are kept."""
        deadline = Deadline(timeout, self._stop)
        found: dict[int, Reply] = {}
        others: list[Reply] = []
        try:
            while len(found) < len(requests):
                left = deadline.left()
                responses = self.receive(deadline.poll_interval())
                for response in responses:
                    if response.request in requests:
                        found[response.request] = response
                    else:
                        others.append(response)
                if left <= 0 and not responses:
                    break
        finally:
            self._early = others
        return found

    def _decoded(self, topic: str, response: Reply) -> Any:
        if response.refusal:
            raise Rejected(f"Flux at {self._where} refuses {topic}: {response.text}")
        if response.error:
            raise WorkloadUnavailable(
                f"Flux at {self._where} cannot answer {topic}: {response.text}"
            )
        return json.loads(response.text) if response.text else None

    def _receive_one(self) -> Reply | None:
        lib = self._lib
        while True:
            message = lib.flux_recv(self._handle, self._match, lib.FLUX_O_NONBLOCK)
            if message == self._ffi.NULL:
                if self._ffi.errno in (errno.EAGAIN, errno.EWOULDBLOCK):
                    return None
                raise self._lost("connection")
            try:
                response = self._read(message)
            finally:
                lib.flux_msg_destroy(message)
            if response:
                return response

    def _read(self, message: Any) -> Reply | None:
        lib, text = self._lib, self._text
        lib.flux_msg_get_matchtag(message, self._tag)
        tag = int(self._tag[0])
        sent = self._sent.get(tag)
        if sent is None:
            return None  # not to us
        text[0] = self._ffi.NULL
        if lib.flux_response_decode(message, self._ffi.NULL, text) == 0:
            if not sent.streaming:
                self._retire(tag)
            return Reply(sent.number, self._string(text[0]))
        error = int(self._ffi.errno)
        words = ""
        if lib.flux_response_decode_error(message, text) == 0:
            words = self._string(text[0])
        self._retire(tag)
        return Reply(sent.number, words or os.strerror(error), error)

    def _retire(self, tag: int) -> None:
        """The last response to a request was read."""
        self._lib.flux_future_destroy(self._sent.pop(tag).future)
        # The future never saw the response, so it does not give its matchtag back itself.
        self._lib.flux_matchtag_free(self._handle, tag)

    def _string(self, value: Any) -> str:
        if value == self._ffi.NULL:
            return ""
        return str(self._ffi.string(value).decode(errors="replace"))

    def _wait(self, seconds: float) -> None:
        """Wait for input. flux_pollfd(3) is edge-triggered: flux_pollevents(3) knows the level."""
        events = self._lib.flux_pollevents(self._handle)
        if events < 0:
            raise self._lost("connection")
        if not events & (self._lib.FLUX_POLLIN | self._lib.FLUX_POLLERR):
            self._poll.poll(max(1.0, seconds * 1000))

    def _lost(self, what: str) -> WorkloadUnavailable:
        code = self._ffi.errno
        return WorkloadUnavailable(
            f"Flux at {self._where} is gone ({what}: {os.strerror(code)}). Is the instance up?"
        )

    def close(self) -> None:
        """End the connection; answers that did not come are given up. Twice is not an error."""
        if self._handle is None:
            return
        for sent in self._sent.values():
            self._lib.flux_future_destroy(sent.future)
        self._sent.clear()
        self._lib.flux_close(self._handle)
        self._handle = None
