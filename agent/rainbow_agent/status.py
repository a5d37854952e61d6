"""The truth at a glance: one object, from the state folder alone, also while the daemon is down.

The lock says whether a daemon runs (the kernel frees it however the daemon ended), runtime.json
what it last said of itself, the ledger what became of the jobs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rainbow_agent.logs import clean, when
from rainbow_agent.model import Drain, JobRow
from rainbow_agent.settings import Settings
from rainbow_agent.status_word import Sources, reasons_of, word_of
from rainbow_agent.views import job_view


def status_view(settings: Settings, found: Sources, now: float) -> dict[str, Any]:
    """The `status` object (docs/commands.md).

    What only a running daemon can know (`reachable`, free resources) is null when none runs.
    """
    running = found.pid is not None
    rainbow: Mapping[str, Any] = found.runtime.get("rainbow") or {}
    workload: Mapping[str, Any] = found.runtime.get("workload") or {}
    heartbeat = found.runtime.get("heartbeat")
    contact = rainbow.get("last_contact")
    reasons = reasons_of(found, now)
    return {
        "state": word_of(found, reasons),
        "reasons": [{**vars(each), "since": when(each.since)} for each in reasons],
        "draining": _draining(found.drain),
        "cluster": settings.cluster,
        "registration": found.registration,
        "rainbow": {
            "host": settings.host,
            "reachable": rainbow.get("reachable") if running else None,
            "last_contact": when(contact) if contact else None,
            "problem": rainbow.get("problem") or None,
        },
        "workload": {
            "kind": workload.get("kind"),
            "uri": workload.get("uri"),
            "reachable": workload.get("reachable") if running else None,
            "problem": workload.get("problem") or None,
        },
        "daemon": {
            "running": running,
            "pid": found.pid,
            "since": when(found.since) if found.since else None,
            "heartbeat_age": round(now - heartbeat, 1) if heartbeat else None,
        },
        "http": _served(found.runtime.get("http")) if running else None,
        "resources": _resources(found.runtime, running=running),
        "nodes": found.runtime.get("nodes"),
        "graph": _graph(found.runtime.get("graph")),
        "jobs": None
        if found.counts is None
        else {state.value: n for state, n in found.counts.items()},
        "errors": [_error(job) for job in found.errors],
    }


def _served(told: Any) -> str | None:
    """Where the daemon can be looked at with a browser; None while that is nowhere."""
    address = told.get("address") if isinstance(told, Mapping) else None
    return f"http://{address}/" if isinstance(address, str) else None


def _draining(drain: Drain | None) -> dict[str, Any] | None:
    if drain is None:
        return None
    return {"since": when(drain.since) if drain.since else None, "reason": drain.reason or None}


def _error(job: JobRow) -> dict[str, Any]:
    view = job_view(job)
    return {name: view[name] for name in ("id", "registration", "name", "state", "reason")} | {
        "finished": view["finished"]
    }


def _resources(runtime: Mapping[str, Any], *, running: bool) -> dict[str, int | None]:
    known: Mapping[str, int] = runtime.get("resources") or {}
    return {
        f"{kind}_{part}": known.get(f"{kind}_{part}") if running or part == "total" else None
        for kind in ("nodes", "cores", "gpus")
        for part in ("total", "free")
    }


def _graph(told: Any) -> dict[str, Any] | None:
    """What rainbow knows of this cluster: each graph's form and size, and when it was sent."""
    if not isinstance(told, Mapping):
        return None
    subsystems = told.get("subsystems") or {}
    return {**_sent(told), "subsystems": {name: _sent(part) for name, part in subsystems.items()}}


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
