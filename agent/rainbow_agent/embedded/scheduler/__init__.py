"""A rainbow scheduler of our own: the Go server's protocol over sqlite, for a bare machine.

For `rainbow-agent scheduler`, the demo and tests; `python -m rainbow_agent.embedded.scheduler` is
the same as a process. Importing it imports grpc.
"""

from __future__ import annotations

from rainbow_agent.embedded.scheduler.server import RunningScheduler, serve

__all__ = ["RunningScheduler", "serve"]
