"""The scheduler's own service: boxes for what agents and those who sent jobs tell each other.

A message comes with the token that submits to the cluster which it is for, and is read and removed
with that cluster's secret, as a job is. What it says is signed, sealed or has a MAC of its own
(docs/security.md): the server reads who it is for, and no more.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from typing import Any, Final

from rainbow_agent.core.ports import Clock
from rainbow_agent.fleet.grpc import rpc
from rainbow_agent.fleet.grpc.rpc import Rpc
from rainbow_agent.fleet.grpc.stubs import messages_pb2
from rainbow_agent.fleet.messages.rows import MAX_PARTS
from rainbow_agent.fleet.scheduler_server.failure import Failure, denied
from rainbow_agent.fleet.scheduler_server.store import Store

log = logging.getLogger(__name__)

#: Calls that may wait for a message at once; each has a thread. Others come back later.
MAX_WAITING_CALLS: Final = 64
#: Seconds that a call waits at most.
MAX_CALL_WAIT_S: Final = 30.0
#: Bytes of messages that one cluster, or inbox, may have: more than an agent lets wait for a sender
#: (messenger.MAX_UNREAD_BYTES), of each of several agents.
MAX_BOX_BYTES: Final = 64_000_000
#: Bytes of messages in one answer, about.
MAX_ANSWER_BYTES: Final = 3_000_000
#: Seconds between looks for messages that are too old.
EXPIRE_INTERVAL_S: Final = 60.0


class BoxService:
    """The answers. Methods are called by many threads at once; each may raise Failure.

    Args:
        store: the database.
        keep: seconds for which a message that is not taken is kept.
        clock: for the times.
    """

    def __init__(self, store: Store, keep: float, clock: Clock) -> None:
        self._store = store
        self._keep = keep
        self._clock = clock
        self._changed = threading.Condition()
        self._arrived: Counter[str] = Counter()  # messages, by whom they are for
        self._waiting = 0
        self._closed = False
        self._expired_at = float("-inf")

    def methods(self) -> dict[Rpc[Any, Any], Any]:
        """The method of each remote procedure: request message in, reply message out."""
        return {rpc.SEND: self.send, rpc.RECEIVE: self.receive, rpc.REMOVE: self.remove}

    def close(self) -> None:
        """End all waits; there are no more from now on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def send(self, asked: messages_pb2.SendRequest) -> messages_pb2.SendResponse:
        """Leave a message for a cluster, or for an inbox."""
        cluster = asked.message.to
        if not (cluster and asked.token):
            raise denied()
        self._store.check_token(cluster, asked.token)
        if not asked.message.parts or len(asked.message.parts) > MAX_PARTS:
            raise Failure(f"a message has 1 to {MAX_PARTS} parts")
        self._expire()
        content = asked.message.SerializeToString()
        if not self._store.add_message(cluster, content, self._clock.now(), MAX_BOX_BYTES):
            raise Failure(f"{MAX_BOX_BYTES} bytes of messages wait for {cluster}: no more is taken")
        with self._changed:
            self._arrived[cluster] += 1
            self._changed.notify_all()
        return messages_pb2.SendResponse()

    def receive(self, asked: messages_pb2.ReceiveRequest) -> messages_pb2.ReceiveResponse:
        """The messages that wait, or the first that comes."""
        if not (asked.cluster and asked.secret):
            raise denied()
        self._store.check_secret(asked.cluster, asked.secret)
        end = self._clock.monotonic() + min(max(0.0, asked.wait), MAX_CALL_WAIT_S)
        waited = True
        while True:
            seen = self._arrived[asked.cluster]
            found, whole = self._store.messages(asked.cluster, MAX_ANSWER_BYTES)
            left = end - self._clock.monotonic()
            if found or left <= 0 or not waited:
                break
            waited = self._wait(asked.cluster, seen, left)
        reply = messages_pb2.ReceiveResponse(whole=whole, waited=waited)
        for number, content in found:
            reply.messages.add(id=number).message.ParseFromString(content)
        return reply

    def remove(self, asked: messages_pb2.RemoveRequest) -> messages_pb2.RemoveResponse:
        """Whom they are for has them."""
        if not (asked.cluster and asked.secret):
            raise denied()
        self._store.check_secret(asked.cluster, asked.secret)
        self._store.remove_messages(asked.cluster, list(asked.ids))
        return messages_pb2.RemoveResponse()

    def _wait(self, cluster: str, seen: int, seconds: float) -> bool:
        """Until more than `seen` messages have come for it; False where no more may wait."""
        with self._changed:
            if self._closed or self._waiting >= MAX_WAITING_CALLS:
                return False
            self._waiting += 1
            try:
                self._changed.wait_for(
                    lambda: self._closed or self._arrived[cluster] != seen, seconds
                )
            finally:
                self._waiting -= 1
            return not self._closed

    def _expire(self) -> None:
        """Remove what is too old, now and then."""
        now = self._clock.monotonic()
        if now - self._expired_at < EXPIRE_INTERVAL_S:
            return
        self._expired_at = now
        if gone := self._store.expire_messages(self._clock.now() - self._keep):
            log.info(
                "%d messages that were not taken in time are gone",
                gone,
                extra={"action": "messages_expired", "messages": gone},
            )
