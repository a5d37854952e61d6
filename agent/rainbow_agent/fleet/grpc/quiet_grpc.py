"""grpc, whose C core writes no lines of its own to standard error, and without its asyncio half.

The lines would stand between those of a JSON log, and between what verbs say, in the words of
gRPC's inside. What a failure means is in the exceptions. The variable is read once, on import,
and is taken back, since jobs get the environment as the operator made it.

grpc imports grpc.aio with itself, which nothing here uses: a sixth of the time that the import
takes, and a megabyte. Whoever imports it by name later gets it as ever.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType

_VERBOSITY_VARIABLE = "GRPC_VERBOSITY"
_ASYNC = "grpc.aio"
_given = os.environ.get(_VERBOSITY_VARIABLE)
os.environ.setdefault(_VERBOSITY_VARIABLE, "NONE")
_stand_in = sys.modules.setdefault(_ASYNC, ModuleType(_ASYNC))

import grpc  # noqa: E402 - after the variable

if _given is None:
    del os.environ[_VERBOSITY_VARIABLE]
if sys.modules[_ASYNC] is _stand_in and not hasattr(_stand_in, "__file__"):
    del sys.modules[_ASYNC]

__all__ = ["grpc"]
