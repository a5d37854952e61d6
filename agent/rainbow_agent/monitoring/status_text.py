"""`status` for people: the word first, no line longer than the terminal, colour as an extra."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from rainbow_agent.monitoring.views import ago, bar, seconds_since, wrapped
from rainbow_agent.runtime.logs import clean, counted

#: Columns that every terminal has.
WIDTH: Final = 80
#: Where a line's text begins.
STATUS_INDENT: Final = 11
#: Characters of a bar of resources.
BAR: Final = 20

Paint = Callable[[str], str]


def status_text(
    view: Mapping[str, Any], now: float, *, width: int = WIDTH, paint: Paint = str
) -> str:
    """The `status` object for people.

    Args:
        view: the object.
        now: epoch seconds, for how long something has lasted.
        width: columns of the terminal.
        paint: puts colour on the word; the word itself stays.
    """
    lines = [paint(view["state"]) + _after(view, now)]
    for reason in view["reasons"]:
        since = ago(seconds_since(reason["since"], now))
        lines += wrapped(f"! {reason['name']}", f"for {since}: {reason['reason']}", width, 2)
    for name, text in _facts(view, now):
        lines += wrapped(name, text, width, STATUS_INDENT)
    return "\n".join(lines)


def _after(view: Mapping[str, Any], now: float) -> str:
    """What stands beside `stopped`: how and when the last daemon ended."""
    daemon = view["daemon"]
    if view["state"] != "stopped":
        return ""
    age, ended = daemon["heartbeat_age"], daemon["ended"]
    if ended is not None:
        since = ago(seconds_since(ended["at"], now))
        return clean(f"  exited with status {ended['status']}, {since} ago: {ended['reason']}")
    if age is None:
        return f"  no daemon has run on {view['state_dir']}"
    return f"  killed, or the machine went down; last heartbeat {ago(max(age, 0.0))} ago"


def _facts(view: Mapping[str, Any], now: float) -> Iterator[tuple[str, str]]:
    draining = view["draining"]
    if draining:
        since = f"for {ago(seconds_since(draining['since'], now))}" if draining["since"] else ""
        reason = draining["reason"] or "no reason given"
        end = "`rainbow-agent resume` ends it"
        if draining["until_stopped"]:
            running = view["daemon"]["running"]
            end = "until this daemon has stopped" if running else "the next start ends it"
        yield "draining", f"{since}: {reason}; {end}".lstrip(": ")
    registration = f"  registration {view['registration']}" if view["registration"] else ""
    yield "cluster", f"{view['cluster']}{registration or '  not registered'}"
    if view["daemon"]["running"]:
        yield "daemon", _daemon(view["daemon"])
        yield "version", view["daemon"]["version"] or "not known"
    yield "rainbow", f"{view['rainbow']['host']}  {_reach(view['rainbow'])}"
    workload = view["workload"]
    yield workload["kind"] or "workload", f"{workload['uri'] or '-'}  {_reach(workload)}"
    yield from _resources(view["resources"])
    yield from _nodes(view["nodes"] or {})
    yield from _graph(view["graph"])
    yield "folder", view["state_dir"]
    yield "jobs", _jobs(view["jobs"])
    yield from _history(view["history"])
    for n, error in enumerate(view["errors"]):
        yield "" if n else "errors", _error(error, now)


def _daemon(daemon: Mapping[str, Any]) -> str:
    age = daemon["heartbeat_age"]
    seen = "" if age is None else f", last heartbeat {ago(max(age, 0.0))} ago"
    return f"pid {daemon['pid']}, since {daemon['since']}{seen}"


def _reach(side: Mapping[str, Any]) -> str:
    if side["reachable"] is None:
        return "(not known)"
    if side["reachable"]:
        return "reachable"
    return f"NOT REACHABLE: {side['problem']}" if side["problem"] else "NOT REACHABLE"


def _resources(resources: Mapping[str, int | None]) -> Iterator[tuple[str, str]]:
    """A bar for each kind that there is: how much of it is in use."""
    for kind in ("nodes", "cores", "gpus"):
        total, free = resources[f"{kind}_total"], resources[f"{kind}_free"]
        up = resources[f"{kind}_up"]
        if total is None:
            if kind != "gpus":
                yield kind, "not known"
        elif free is None:
            yield kind, str(total)
        elif total or kind != "gpus":
            used, out = _used(total, up, free)
            text = f"{bar(used, total, BAR)} {used} of {total} in use"
            yield kind, f"{text}, {out} drained or down" if out else text


def _used(total: int, up: int | None, free: int) -> tuple[int, int]:
    """What is in use, and what is out; a daemon of an older version does not say what is up."""
    up = total if up is None else up
    return max(up - free, 0), total - up


def _nodes(nodes: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """How many nodes are how, and each that is not as it should be."""
    if not nodes:
        return
    states = ("up", "drained", "down", "silent")
    counts = ", ".join(f"{nodes.get(state, 0)} {state}" for state in states if nodes.get(state))
    yield "", f"{counts or 'none'}; {nodes.get('described', 0)} described"
    for each in nodes.get("troubled") or ():
        problem = f": {each['problem']}" if each.get("problem") else ""
        yield "", f"{each.get('name')} (rank {each.get('rank')}) {each.get('condition')}{problem}"


def _graph(graph: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    if graph is None:
        return
    following = graph.get("next")
    sent = "not sent yet" if following else "sent by an older version of the agent"
    if graph["sent"]:
        sent = f"sent {graph['sent']}"
    size = f"{counted(graph.get('nodes') or 0, 'node')}, {graph.get('bytes')} bytes"
    known = ", ".join(graph["subsystems"]) or "no subsystem"
    yield "graph", f"{graph.get('form')}, {size}, {sent}; {known}"
    if following:
        what = ", ".join(following["parts"])
        yield "to send", f"{what}: {counted(following['nodes'], 'node')}"


def _jobs(jobs: Mapping[str, int] | None) -> str:
    if jobs is None:
        return "not known: the ledger cannot be read"
    return ", ".join(f"{n} {state}" for state, n in jobs.items() if n) or "none"


def _history(history: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    """That jobs were removed; nothing before the first was."""
    if history and history["removed"]:
        since = history["first_received"] or "-"
        yield "history", f"since {since}; {counted(history['removed'], 'older job')} removed"


def _error(error: Mapping[str, Any], now: float) -> str:
    since = f"{ago(seconds_since(error['finished'], now))} ago  " if error["finished"] else ""
    name = f" ({error['name']})" if error["name"] else ""
    why = "".join(f": {part}" for part in (error.get("task"), error["reason"]) if part)
    return f"{since}job {error['id']}{name} {error['state']}{why}"


def progress_lines(jobs: Sequence[Mapping[str, Any]], width: int = WIDTH) -> list[str]:
    """Jobs that are not over, one a line with a bar of their tasks that are.

    Args:
        jobs: job objects as in `jobs -o json`.
        width: columns of the terminal.
    """
    lines = []
    for job in jobs:
        tasks = job["tasks"]
        over = sum(task["finished"] is not None for task in tasks)
        running = sum(task["state"] == "running" for task in tasks)
        done = f"{bar(over, len(tasks), BAR)} {over}/{len(tasks)} tasks, {running} running"
        line = f"{job['id']:>6}  {job['state']:<9}  {done if tasks else 'not planned yet'}"
        lines.append(clean(f"{line}  {job['name']}")[:width])
    return lines
