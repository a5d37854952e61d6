"""Rainbow's remote procedures, each once: its path and the types of its two messages.

The client (rainbow_grpc) and the embedded server both read this table, so neither needs gRPC's
generated service classes. Source: the `.proto` files in `stubs`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2
from google.protobuf.message import Message

from rainbow_agent.fleet.grpc import stubs
from rainbow_agent.fleet.grpc.stubs import memory_pb2, messages_pb2, rainbow_pb2

RequestT = TypeVar("RequestT", bound=Message)
ReplyT = TypeVar("ReplyT", bound=Message)


@dataclass(frozen=True)
class Rpc(Generic[RequestT, ReplyT]):
    """One remote procedure: a message goes there, a message comes back."""

    service: str  # full name, as in the .proto file
    name: str
    request: type[RequestT]
    reply: type[ReplyT]

    @property
    def path(self) -> str:
        """What gRPC calls it on the wire."""
        return f"/{self.service}/{self.name}"

    def __str__(self) -> str:
        return f"{self.service.rpartition('.')[2]}.{self.name}"


def _rows_as_bytes() -> Any:  # a class that is made here has no type of its own
    """ReceiveJobsResponse with rows of bytes in the place of text.

    On the wire both are the same. A row may be long, and may be no text: it is cut before it is
    decoded, and one that cannot be decoded does not make the whole answer unreadable.
    """
    file = descriptor_pb2.FileDescriptorProto()
    rainbow_pb2.DESCRIPTOR.CopyToProto(file)
    reply = next(m for m in file.message_type if m.name == "ReceiveJobsResponse")
    (entry,) = reply.nested_type  # map<int32, string> jobs
    entry.field[1].type = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    found = pool.FindMessageTypeByName(rainbow_pb2.ReceiveJobsResponse.DESCRIPTOR.full_name)
    return message_factory.GetMessageClass(found)


REGISTER: Final = Rpc(
    stubs.SCHEDULER, "Register", rainbow_pb2.RegisterRequest, rainbow_pb2.RegisterResponse
)
DELETE: Final = Rpc(
    stubs.SCHEDULER, "Delete", rainbow_pb2.DeleteRequest, rainbow_pb2.DeleteResponse
)
REGISTER_SUBSYSTEM: Final = Rpc(
    stubs.SCHEDULER, "RegisterSubsystem", rainbow_pb2.RegisterRequest, rainbow_pb2.RegisterResponse
)
DELETE_SUBSYSTEM: Final = Rpc(
    stubs.SCHEDULER, "DeleteSubsystem", rainbow_pb2.DeleteRequest, rainbow_pb2.DeleteResponse
)
SUBMIT_JOB: Final = Rpc(
    stubs.SCHEDULER, "SubmitJob", rainbow_pb2.SubmitJobRequest, rainbow_pb2.SubmitJobResponse
)
UPDATE_STATE: Final = Rpc(
    stubs.SCHEDULER, "UpdateState", rainbow_pb2.UpdateStateRequest, rainbow_pb2.UpdateStateResponse
)
RECEIVE_JOBS: Final = Rpc(
    stubs.SCHEDULER, "ReceiveJobs", rainbow_pb2.ReceiveJobsRequest, rainbow_pb2.ReceiveJobsResponse
)
#: The same, as the client reads it: the rows as bytes.
RECEIVE_ROWS: Final[Rpc[rainbow_pb2.ReceiveJobsRequest, Any]] = Rpc(
    stubs.SCHEDULER, "ReceiveJobs", rainbow_pb2.ReceiveJobsRequest, _rows_as_bytes()
)
ACCEPT_JOBS: Final = Rpc(
    stubs.SCHEDULER, "AcceptJobs", rainbow_pb2.AcceptJobsRequest, rainbow_pb2.AcceptJobsResponse
)
SATISFY: Final = Rpc(stubs.GRAPH, "Satisfy", memory_pb2.SatisfyRequest, memory_pb2.SatisfyResponse)
LOAD_GRAPH: Final = Rpc(stubs.GRAPH, "Register", memory_pb2.RegisterRequest, memory_pb2.Response)

#: The embedded scheduler's own: messages without rows in the list of jobs.
SEND: Final = Rpc(stubs.MESSAGES, "Send", messages_pb2.SendRequest, messages_pb2.SendResponse)
RECEIVE: Final = Rpc(
    stubs.MESSAGES, "Receive", messages_pb2.ReceiveRequest, messages_pb2.ReceiveResponse
)
REMOVE: Final = Rpc(
    stubs.MESSAGES, "Remove", messages_pb2.RemoveRequest, messages_pb2.RemoveResponse
)

#: All that a rainbow scheduler answers. Any: a table of procedures with messages of all kinds.
ALL: Final[tuple[Rpc[Any, Any], ...]] = (
    REGISTER,
    DELETE,
    REGISTER_SUBSYSTEM,
    DELETE_SUBSYSTEM,
    SUBMIT_JOB,
    UPDATE_STATE,
    RECEIVE_JOBS,
    ACCEPT_JOBS,
    SATISFY,
    LOAD_GRAPH,
)
