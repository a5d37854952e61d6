"""The truth at a glance: one object, from the state folder alone, also while the daemon is down.

The lock says whether a daemon runs (the kernel frees it however the daemon ended), runtime.json
what it last said of itself, the ledger what became of the jobs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rainbow_agent.logs import clean, counted, when
from rainbow_agent.model import JobState
from rainbow_agent.settings import Settings
from rainbow_agent.views import ago


@dataclass(frozen=True)
class Sources:
    """What was found in the state folder."""

    pid: int | None  # of the running daemon
    since: float | None  # epoch seconds, of the daemon that runs or ran last
    runtime: Mapping[str, Any]
    counts: Mapping[JobState, int]
    registration: str | None


def status_view(settings: Settings, found: Sources, now: float) -> dict[str, Any]:
    """The `status` object (docs/commands.md).

    What only a running daemon can know (`reachable`, free resources) is null when none runs.
    """
    running = found.pid is not None
    rainbow: Mapping[str, Any] = found.runtime.get("rainbow") or {}
    workload: Mapping[str, Any] = found.runtime.get("workload") or {}
    heartbeat = found.runtime.get("heartbeat")
    contact = rainbow.get("last_contact")
    return {
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
        "resources": _resources(found.runtime, running=running),
        "nodes": found.runtime.get("nodes"),
        "graph": _graph(found.runtime.get("graph")),
        "jobs": {state.value: n for state, n in found.counts.items()},
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


def status_text(view: Mapping[str, Any]) -> str:
    """The same for people."""
    daemon, rainbow, workload = view["daemon"], view["rainbow"], view["workload"]
    lines = [
        ("cluster", view["cluster"]),
        ("daemon", _daemon_line(daemon)),
        ("rainbow", f"{rainbow['host']}  {_reach(rainbow)}"),
        ("workload", f"{workload['kind'] or '-'} {workload['uri'] or ''}  {_reach(workload)}"),
        ("resources", _resource_line(view["resources"])),
        *_node_lines(view["nodes"] or {}),
        *_graph_lines(view["graph"]),
        ("jobs", ", ".join(f"{n} {state}" for state, n in view["jobs"].items() if n) or "none"),
    ]
    return "\n".join(f"{name:<10} {text}" for name, text in lines)


def _daemon_line(daemon: Mapping[str, Any]) -> str:
    age = daemon["heartbeat_age"]
    seen = "" if age is None else f", last heard of {ago(max(age, 0.0))} ago"
    if daemon["running"]:
        return f"running, pid {daemon['pid']}, since {daemon['since']}{seen}"
    return f"NOT RUNNING{seen}" if age is not None else "NOT RUNNING, never ran here"


def _reach(side: Mapping[str, Any]) -> str:
    if side["reachable"] is None:
        return "(not known)"
    if side["reachable"]:
        return "reachable"
    return f"NOT REACHABLE: {side['problem']}" if side["problem"] else "NOT REACHABLE"


def _resource_line(resources: Mapping[str, int | None]) -> str:
    def part(kind: str) -> str:
        total, free = resources[f"{kind}_total"], resources[f"{kind}_free"]
        if total is None:
            return f"{kind} not known"
        return f"{kind} {total}" if free is None else f"{kind} {free} of {total} free"

    return ", ".join(part(kind) for kind in ("nodes", "cores", "gpus"))


def _node_lines(nodes: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How many nodes are how, and each that is not as it should be."""
    if not nodes:
        return []
    states = ("up", "drained", "down", "silent")
    counts = ", ".join(f"{nodes.get(state, 0)} {state}" for state in states if nodes.get(state))
    lines = [("nodes", f"{counts or 'none'}; {nodes.get('described', 0)} described")]
    for each in nodes.get("troubled") or ():
        problem = f": {clean(each['problem'])}" if each.get("problem") else ""
        name = clean(str(each.get("name")))
        lines.append(("", f"{name} (rank {each.get('rank')}) {each.get('condition')}{problem}"))
    return lines


def _graph_lines(graph: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if graph is None:
        return []
    sent = f"sent {graph['sent']}" if graph["sent"] else "not sent by this daemon"
    size = f"{counted(graph.get('nodes') or 0, 'node')}, {graph.get('bytes')} bytes"
    known = ", ".join(graph["subsystems"]) or "no subsystem"
    return [("graph", f"{graph.get('form')}, {size}, {sent}; {known}")]
