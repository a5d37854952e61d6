"""Messages of rainbow's two services and of our own, generated from the `.proto` files beside this one.

Generate with a protoc whose gencode is not newer than the `protobuf` floor in pyproject.toml
(grpcio-tools 1.72 writes gencode 6.30, which runtimes 6.30 and later, and all of 7, accept);
the stubs for the type checker come from mypy-protobuf 5:

    cd agent
    python -m grpc_tools.protoc -I. --python_out=. --mypy_out=readable_stubs:. \
        rainbow_agent/fleet/grpc/stubs/rainbow.proto rainbow_agent/fleet/grpc/stubs/memory.proto \
        rainbow_agent/fleet/grpc/stubs/messages.proto

No `_pb2_grpc.py`: client and server name their methods themselves (`SCHEDULER`, `GRAPH`, `MESSAGES`).
Upstream's own stubs register the same symbols: the two cannot live in one process.
"""

from __future__ import annotations

from typing import Final

#: Full service names, as they stand in a gRPC path: `/SERVICE/Method`.
SCHEDULER: Final = "convergedcomputing.org.grpc.v1.RainbowScheduler"
GRAPH: Final = "service.MemoryGraph"
#: Only the embedded scheduler has it.
MESSAGES: Final = "rainbow_agent.messages.v1.Messages"
