"""For tests: what `-o json` promises, and what of an answer is not so (docs/commands.md)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from rainbow_agent.core.states import JobState

RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")  # in UTC

_NOTHING: Final = type(None)
_TIME: Final = "RFC 3339 text in UTC, or null"

STATUS: Final = {
    "state_dir": str,
    "cluster": str,
    "registration": (str, _NOTHING),
    "rainbow": {"host": str, "reachable": (bool, _NOTHING), "last_contact": _TIME},
    "workload": {
        "kind": (str, _NOTHING),
        "uri": (str, _NOTHING),
        "reachable": (bool, _NOTHING),
    },
    "daemon": {
        "running": bool,
        "pid": (int, _NOTHING),
        "since": _TIME,
        "version": (str, _NOTHING),
        "heartbeat_age": (float, int, _NOTHING),
    },
    "resources": {
        f"{kind}_{part}": (int, _NOTHING)
        for kind in ("nodes", "cores", "gpus")
        for part in ("total", "free")
    },
    "jobs": {state.value: int for state in JobState},
}
TASK: Final = {
    "name": str,
    "replica": int,
    "state": str,
    "flux_id": (str, _NOTHING),
    "exit_code": (int, _NOTHING),
    "depends_on": [str],
    "submitted": _TIME,
    "started": _TIME,
    "finished": _TIME,
}
JOB: Final = {
    "id": int,
    "registration": str,
    "name": str,
    "state": str,
    "reason": (str, _NOTHING),
    "received": _TIME,
    "tasks": [TASK],
}
JOBS: Final = [JOB]


def breaches(value: object, shape: Any, path: str = "") -> Iterator[str]:
    """What of a value is not as a shape says; fields beyond the shape are ignored.

    Args:
        value: decoded JSON.
        shape: a type or several, a mapping of fields to shapes, or a list with the items' shape.
        path: where the value stands, for the answers.
    """
    if isinstance(shape, dict):
        fields = value if isinstance(value, dict) else {}
        for name, inner in shape.items():
            if name not in fields:
                yield f"{path}.{name} is not there"
            else:
                yield from breaches(fields[name], inner, f"{path}.{name}")
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield f"{path} is no list: {value!r}"
            return
        for place, item in enumerate(value):
            yield from breaches(item, shape[0], f"{path}[{place}]")
    elif shape == _TIME:
        if value is not None and not (isinstance(value, str) and RFC_3339.fullmatch(value)):
            yield f"{path} is no time: {value!r}"
    elif type(value) not in (shape if isinstance(shape, tuple) else (shape,)):
        yield f"{path} is {value!r}, not {shape}"
