"""Where the `status` object comes from: the state folder, for the verb and for HTTP alike."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.core.states import JobState
from rainbow_agent.monitoring.status import Sources, settings_of_run, status_view
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.storage import agent_lock, drain_file, runtime_file

#: Jobs that ended badly, of which `status` tells.
MAX_ERRORS: Final = 3


def look(settings: Settings, now: float, live: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The `status` object.

    Args:
        settings: where the state folder is.
        now: epoch seconds.
        live: the runtime facts of this very process, where it is the daemon itself that asks;
            they are newer than what runtime.json has.
    """
    folder = settings.state_dir
    holder = agent_lock.read_holder(folder) if live is not None else agent_lock.running(folder)
    last = holder or agent_lock.last_run(folder)
    pid = os.getpid() if live is not None else (holder.pid if holder else None)
    found = Sources(
        pid=pid,
        since=last.since if last else None,
        runtime={
            **runtime_file.read_runtime(folder),
            **({} if live is None else {"settings": settings_of_run(settings), **live}),
        },
        drain=drain_file.read_drain(folder),
        halted=agent_lock.halted(pid) if pid is not None and live is None else False,
        **_jobs(settings.ledger_path),
    )
    return status_view(settings, found, now)


def _jobs(path: Path) -> dict[str, Any]:
    """What the ledger says; that it cannot be read is a fact, and not the end of `status`."""
    if not _is_there(path):
        return {"counts": dict.fromkeys(JobState, 0), "registration": None}
    from rainbow_agent.storage.ledger import SqliteLedger  # noqa: PLC0415 - not for --help
    from rainbow_agent.storage.ledger_history import NOTE  # noqa: PLC0415 - likewise

    try:
        with closing(SqliteLedger.open_readonly(path)) as ledger:
            current = ledger.current_registration()
            return {
                "counts": ledger.counts(),
                "registration": current.id if current else None,
                "errors": ledger.ended_badly(MAX_ERRORS),
                "first_received": ledger.first_received(),
                "removed": ledger.note(NOTE) or {},
            }
    except RainbowAgentError as exc:
        return {"counts": None, "registration": None, "ledger_problem": str(exc)}


def _is_there(path: Path) -> bool:
    """Whether there is a ledger; one that cannot be looked at is there, and opening it says why."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True
