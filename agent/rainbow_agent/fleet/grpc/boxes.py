"""Boxes for messages, of a server that has them: the service in stubs/messages.proto.

Importing this module imports grpc.
"""

from __future__ import annotations

from collections.abc import Sequence

from rainbow_agent.fleet.grpc import rpc
from rainbow_agent.fleet.grpc.channel import RainbowChannel
from rainbow_agent.fleet.grpc.errors import NoSuchService
from rainbow_agent.fleet.grpc.rpc import ReplyT, RequestT, Rpc
from rainbow_agent.fleet.grpc.stubs import messages_pb2
from rainbow_agent.fleet.messages.carrier import Box, Waiting
from rainbow_agent.fleet.messages.rows import Kind, Message, Part, is_message


class Boxes:
    """Whether the server has some is found out once for each connection.

    Args:
        channel: to the server.
    """

    def __init__(self, channel: RainbowChannel) -> None:
        self._channel = channel
        self._without = 0  # the connection that has none

    def send(self, token: str, message: Message) -> bool:
        """As carrier.Carrier.send_message."""
        request = messages_pb2.SendRequest(token=token, message=to_wire(message))
        return self._call(rpc.SEND, request) is not None

    def look(self, cluster: str, secret: str, wait: float) -> Box | None:
        """As carrier.Carrier.messages."""
        request = messages_pb2.ReceiveRequest(cluster=cluster, secret=secret, wait=wait)
        reply = self._call(rpc.RECEIVE, request, wait)
        if reply is None:
            return None
        found = (Waiting(each.id, from_wire(each.message)) for each in reply.messages)
        return Box(tuple(found), reply.whole, reply.waited)

    def remove(self, cluster: str, secret: str, ids: Sequence[int]) -> None:
        """As carrier.Carrier.remove_messages."""
        if ids:
            request = messages_pb2.RemoveRequest(cluster=cluster, secret=secret, ids=ids)
            self._call(rpc.REMOVE, request)

    def _call(
        self, procedure: Rpc[RequestT, ReplyT], request: RequestT, wait: float = 0.0
    ) -> ReplyT | None:
        """The reply; None where the server has no such service."""
        if self._channel.connection and self._channel.connection == self._without:
            return None
        try:
            return self._channel.call(procedure, request, wait=wait)
        except NoSuchService:
            self._without = self._channel.connection
            return None


def to_wire(message: Message) -> messages_pb2.Message:
    """A message as the service has it."""
    parts = [
        messages_pb2.Part(kind=p.kind.value, handle=p.handle, body=p.body, proof=p.proof)
        for p in message.parts
    ]
    return messages_pb2.Message(to=message.to, by=message.by, parts=parts)


def from_wire(sent: messages_pb2.Message) -> Message | None:
    """The message; None where it is none that a row could hold."""
    try:
        parts = tuple(Part(Kind(p.kind), p.handle, p.body, p.proof) for p in sent.parts)
    except ValueError:
        return None
    message = Message(sent.to, sent.by, parts)
    return message if is_message(message) else None
