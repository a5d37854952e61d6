"""Requests to take no new jobs: one by the operator, and one by the stop of the daemon.

Each has a file of its own, so that neither can replace or lift the other at the wrong moment: the
operator's (`drain.json`) lasts until `rainbow-agent resume`; a stop's (`drain-stop.json`) lasts
until the next daemon has the lock of the state folder. While both are there, the operator's counts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from rainbow_agent.core.model import Drain
from rainbow_agent.runtime.files import replacing

_OPERATORS: Final = "drain.json"
_OF_A_STOP: Final = "drain-stop.json"
#: The reason that `rainbow-pod-stop` gave when there was only one file. The rest of it is no
#: different from an operator's request.
_STOP_IN_OLD_FILE: Final = "the pod is being stopped"


def write_drain(folder: Path, drain: Drain) -> None:
    """Keep the request; it is on disk when this returns."""
    name = _OF_A_STOP if drain.until_stopped else _OPERATORS
    request = {"since": drain.since, "reason": drain.reason, "until_stopped": drain.until_stopped}
    with replacing(folder / name, durable=True) as file:
        json.dump(request, file)


def read_drain(folder: Path) -> Drain | None:
    """The request that counts; None when new jobs may be taken."""
    return _read(folder / _OPERATORS) or _read(folder / _OF_A_STOP)


def lift_stop(folder: Path) -> Drain | None:
    """Remove what a stop asked for, and leave what the operator did.

    Only for a daemon that has the lock of the state folder: the one that was stopped has ended.

    Returns:
        What was lifted; None when there was nothing.
    """
    lifted = None
    for path in (folder / _OPERATORS, folder / _OF_A_STOP):
        drain = _read(path)
        if drain is not None and (drain.until_stopped or path.name == _OF_A_STOP):
            path.unlink(missing_ok=True)
            lifted = drain
    return lifted


def clear_drain(folder: Path) -> bool:
    """Withdraw all requests; False when there was none."""
    removed = [_remove(folder / name) for name in (_OPERATORS, _OF_A_STOP)]
    return any(removed)


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _read(path: Path) -> Drain | None:
    """A file that cannot be read counts as a request: somebody wrote it."""
    try:
        request = json.loads(path.read_text(encoding="utf-8"))
        reason = str(request.get("reason") or "")
        until_stopped = request.get("until_stopped", reason == _STOP_IN_OLD_FILE)
        return Drain(float(request["since"]), reason, until_stopped=bool(until_stopped))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Drain(0.0, f"{path} cannot be read; `rainbow-agent resume` removes it")
