"""A rainbow scheduler of our own: the Go server's protocol over sqlite, for a bare machine.

For `rainbow-agent scheduler`, the demo and tests. Importing it imports grpc.
"""

from __future__ import annotations

from rainbow_agent.fleet.scheduler_server.server import RunningScheduler, serve

__all__ = ["RunningScheduler", "serve"]
