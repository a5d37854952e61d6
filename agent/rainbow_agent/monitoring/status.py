"""The truth at a glance: one object, from the state folder alone, also while the daemon is down.

The lock says whether a daemon runs (the kernel frees it however the daemon ended), runtime.json
what it last said of itself, the ledger what became of the jobs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rainbow_agent.core.model import Drain, JobRow
from rainbow_agent.core.states import FINAL_JOB_STATES, JobState
from rainbow_agent.monitoring.condition_advice import advice_for
from rainbow_agent.monitoring.remedies import blamed
from rainbow_agent.monitoring.views import job_view
from rainbow_agent.runtime.conditions import Condition, ConditionName
from rainbow_agent.runtime.logs import clean, when
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.storage import runtime_file

#: The words, each with what it means (docs/operations.md).
WORDS: Final[Mapping[str, str]] = {
    "starting": "the daemon is running and has not registered the cluster for the first time yet",
    "working": "the daemon is running and has unfinished jobs",
    "idle": "the daemon is running and all its jobs are finished",
    "draining": "the daemon is running and takes no new jobs; a line `draining` says until when",
    "degraded": "the daemon is running and something is wrong; the conditions say what",
    "stopped": "no daemon is using this state folder",
}
#: Seconds without a sign of life after which a daemon is called stuck, where its main loop has no
#: limit of its own in runtime.json.
DEFAULT_LOOP_LIMIT_S: Final = 45.0
#: The settings that `status` shows.
_OF_RUN: Final = ("cluster", "host", "keep_jobs", "keep_for")


@dataclass(frozen=True)
class Sources:
    """What was found in the state folder."""

    pid: int | None  # of the running daemon
    since: float | None  # epoch seconds, of the daemon that runs or ran last
    runtime: Mapping[str, Any]
    counts: Mapping[JobState, int] | None  # None: the ledger cannot be read
    registration: str | None
    #: Why the ledger cannot be read; "" when it can.
    ledger_problem: str = ""
    #: Whether it was drained; that holds while the daemon is down too.
    drain: Drain | None = None
    #: Jobs that ended badly, the last first.
    errors: Sequence[JobRow] = ()
    #: When the first job came that is in the ledger, epoch seconds.
    first_received: float | None = None
    #: What was removed of jobs that are over (storage/ledger_history.py).
    removed: Mapping[str, Any] = field(default_factory=dict)
    #: Whether the kernel says that the process is stopped (SIGSTOP, a debugger).
    halted: bool = False


def word_of(found: Sources, reasons: Sequence[Condition]) -> str:
    """One of WORDS. What is wrong comes before everything but not running at all."""
    if found.pid is None:
        return "stopped"
    if reasons:
        return "degraded"
    if found.registration is None:
        return "starting"
    if found.drain is not None or found.runtime.get("draining"):
        return "draining"
    counts = found.counts or {}
    return "working" if any(n for s, n in counts.items() if s not in FINAL_JOB_STATES) else "idle"


def reasons_of(found: Sources, now: float) -> list[Condition]:
    """What is wrong, the oldest first: what the daemon says, and what it cannot say any more.

    A daemon that holds its lock and is silent is not believed: whatever it said last is old.
    """
    reasons = list(_seen_from_outside(found, now))
    if found.pid is not None:
        reasons += _said(found.runtime.get("conditions"))
    return sorted(reasons, key=lambda each: (each.since, each.name))


def _seen_from_outside(found: Sources, now: float) -> Iterator[Condition]:
    if found.ledger_problem:
        yield Condition(ConditionName.LEDGER_UNREADABLE.value, found.ledger_problem, now)
    if found.pid is None:
        return
    said = _of_this_run(found)
    last = said if said is not None else (found.since or now)
    if found.halted:
        yield Condition(
            ConditionName.PROCESS_STOPPED.value,
            f"process {found.pid} was stopped by a signal or a debugger: `kill -CONT {found.pid}`",
            last,
        )
    limit = _limit(found.runtime)
    if now - last > limit:
        yield Condition(
            ConditionName.HEARTBEAT_OLD.value,
            f"process {found.pid} holds the lock and has said nothing for {now - last:.0f} s"
            f" ({limit:.0f} s are allowed): it is stuck; its log may say why, and a restart loses"
            " nothing",
            last,
        )


def _of_this_run(found: Sources) -> float | None:
    """The heartbeat, if it is of the daemon that runs and not of the one before."""
    heartbeat, run = found.runtime.get("heartbeat"), found.runtime.get("run")
    if not isinstance(heartbeat, (int, float)):
        return None
    if isinstance(run, (int, float)):  # times do not tell when the clock was set meanwhile
        return float(heartbeat) if run == found.since else None
    return None if found.since and heartbeat < found.since else float(heartbeat)


def _limit(runtime: Mapping[str, Any]) -> float:
    """Seconds that the main loop may be silent."""
    loops = runtime.get("loops")
    main = loops.get("main") if isinstance(loops, Mapping) else None
    limit = main.get("limit") if isinstance(main, Mapping) else None
    return float(limit) if isinstance(limit, (int, float)) else DEFAULT_LOOP_LIMIT_S


def _said(conditions: Any) -> Iterator[Condition]:
    for each in conditions if isinstance(conditions, list) else ():
        if isinstance(each, Mapping) and isinstance(each.get("since"), (int, float)):
            reason = str(each.get("reason"))
            yield Condition(str(each.get("name")), reason, float(each["since"]))


def settings_of_run(settings: Settings) -> dict[str, Any]:
    """What `status` shows of a daemon's settings; the shell that asks may have others."""
    return {name: getattr(settings, name) for name in _OF_RUN}


def status_view(settings: Settings, found: Sources, now: float) -> dict[str, Any]:
    """The `status` object (docs/commands.md).

    What only a running daemon can know (`reachable`, free resources) is null when none runs.

    Args:
        settings: where the state folder is; the rest of them counts only if no daemon has run.
        found: what is in the state folder.
        now: epoch seconds.
    """
    said = found.runtime.get("settings")
    used = {**settings_of_run(settings), **(said if isinstance(said, Mapping) else {})}
    running = found.pid is not None
    reasons = reasons_of(found, now)
    return {
        "state": word_of(found, reasons),
        "reasons": [_reason(each) for each in reasons],
        "draining": _draining(found.drain),
        "state_dir": str(settings.state_dir),
        "cluster": used["cluster"],
        "registration": found.registration,
        "rainbow": _rainbow(used["host"], found.runtime.get("rainbow") or {}, running=running),
        "workload": _workload(found.runtime.get("workload") or {}, running=running),
        "daemon": _daemon(found, now),
        "http": _served(found.runtime.get("http")) if running else None,
        "resources": _resources(found.runtime, running=running),
        "nodes": found.runtime.get("nodes"),
        "graph": _graph(found.runtime.get("graph")),
        "jobs": None
        if found.counts is None
        else {state.value: n for state, n in found.counts.items()},
        "errors": [_error(job) for job in found.errors],
        "history": None if found.counts is None else _history(used, found),
    }


def _rainbow(host: str, rainbow: Mapping[str, Any], *, running: bool) -> dict[str, Any]:
    contact = rainbow.get("last_contact")
    return {
        "host": host,
        "reachable": rainbow.get("reachable") if running else None,
        "last_contact": when(contact) if contact else None,
        "problem": rainbow.get("problem") or None,
    }


def _workload(workload: Mapping[str, Any], *, running: bool) -> dict[str, Any]:
    return {
        "kind": workload.get("kind"),
        "uri": workload.get("uri"),
        "reachable": workload.get("reachable") if running else None,
        "problem": workload.get("problem") or None,
    }


def _daemon(found: Sources, now: float) -> dict[str, Any]:
    running, heartbeat = found.pid is not None, found.runtime.get("heartbeat")
    return {
        "running": running,
        "pid": found.pid,
        "since": when(found.since) if found.since else None,
        "version": found.runtime.get("version"),
        "heartbeat_age": round(now - heartbeat, 1) if heartbeat else None,
        "ended": None if running else _ended(found),
    }


def _reason(condition: Condition) -> dict[str, Any]:
    return {
        **vars(condition),
        "since": when(condition.since),
        "advice": advice_for(condition.name),
    }


def _history(used: Mapping[str, Any], found: Sources) -> dict[str, Any]:
    """How far back the ledger goes, and what is kept in it."""
    at = found.removed.get("at")
    return {
        "first_received": when(found.first_received) if found.first_received else None,
        "removed": int(found.removed.get("removed", 0)),
        "last_removed": when(at) if isinstance(at, (int, float)) else None,
        "keep_jobs": used["keep_jobs"],
        "keep_for": used["keep_for"],
    }


def _ended(found: Sources) -> dict[str, Any] | None:
    """How the last run ended; null when it left no word: it was killed, or there was none."""
    end = runtime_file.end_of(found.since, found.runtime)
    if end is None:
        return None
    return {"at": when(end.at), "status": end.status, "reason": end.reason}


def _served(http: Any) -> str | None:
    """Where the daemon can be looked at with a browser; None while that is nowhere."""
    address = http.get("address") if isinstance(http, Mapping) else None
    return f"http://{address}/" if isinstance(address, str) else None


def _draining(drain: Drain | None) -> dict[str, Any] | None:
    if drain is None:
        return None
    return {
        "since": when(drain.since) if drain.since else None,
        "reason": drain.reason or None,
        "until_stopped": drain.until_stopped,
    }


def _error(job: JobRow) -> dict[str, Any]:
    view: dict[str, Any] = dict(job_view(job))
    names = ("id", "registration", "name", "state", "reason", "finished")
    task, reason = blamed(job)
    return {name: view[name] for name in names} | {"task": task, "reason": reason}


def _resources(runtime: Mapping[str, Any], *, running: bool) -> dict[str, int | None]:
    known: Mapping[str, int] = runtime.get("resources") or {}
    return {
        f"{kind}_{part}": known.get(f"{kind}_{part}") if running or part == "total" else None
        for kind in ("nodes", "cores", "gpus")
        for part in ("total", "up", "free")
    }


def _graph(graph: Any) -> dict[str, Any] | None:
    """What rainbow knows of this cluster: each graph's form and size, and when it was sent."""
    if not isinstance(graph, Mapping):
        return None
    subsystems = graph.get("subsystems") or {}
    return {**_sent(graph), "subsystems": {name: _sent(part) for name, part in subsystems.items()}}


def _sent(part: Mapping[str, Any]) -> dict[str, Any]:
    sent = part.get("sent")
    return {**part, "sent": when(sent) if sent else None}


def status_line(cluster: str, facts: Mapping[str, Any]) -> str:
    """What a running daemon tells the service manager of itself, from its runtime facts."""
    parts = [f"cluster {cluster}"]
    if not facts.get("registration"):
        parts.append("not registered yet")
    if facts.get("draining"):
        parts.append("draining")
    for name in ("rainbow", "workload"):
        side: Mapping[str, Any] = facts.get(name) or {}
        if side.get("reachable") is False:
            parts.append(f"{name} not reachable: {side.get('problem')}")
    resources: Mapping[str, Any] = facts.get("resources") or {}
    if resources:
        parts.append(f"{resources['cores_free']} of {resources['cores_total']} cores free")
    return clean("; ".join(parts))
