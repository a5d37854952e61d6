"""grpc, whose C core writes no lines of its own to standard error.

They would stand between the lines of a JSON log, and between what verbs say, in the words of
gRPC's inside. What a failure means is in the exceptions. The variable is read once, on import,
and is taken back, since jobs get the environment as the operator made it.
"""

from __future__ import annotations

import os

_VERBOSITY_VARIABLE = "GRPC_VERBOSITY"
_given = os.environ.get(_VERBOSITY_VARIABLE)
os.environ.setdefault(_VERBOSITY_VARIABLE, "NONE")

import grpc  # noqa: E402 - after the variable

if _given is None:
    del os.environ[_VERBOSITY_VARIABLE]

__all__ = ["grpc"]
