"""What a cluster says of itself to those who send it jobs, and how they see all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rainbow_agent.core.states import FINAL_JOB_STATES
from rainbow_agent.monitoring.views import ago
from rainbow_agent.runtime.logs import clean

_FREE: Final = (
    *("nodes_total", "nodes_up", "nodes_free", "cores_total", "cores_free"),
    *("gpus_total", "gpus_free"),
)
#: What is said of a cluster that has said nothing.
UNKNOWN: Final = "unknown"


def cluster_view(status: Mapping[str, Any], now: float) -> dict[str, Any]:
    """What of the `status` object is said to a sender: no path, no address, and no other job.

    Args:
        status: as `status` shows it.
        now: epoch seconds.
    """
    over = {state.value for state in FINAL_JOB_STATES}
    jobs = status["jobs"]
    return {
        "at": now,
        "state": status["state"],
        "reasons": [each["name"] for each in status["reasons"]],
        "drained": status["draining"],
        "version": status["daemon"]["version"],
        "open_jobs": None
        if jobs is None
        else sum(count for state, count in jobs.items() if state not in over),
        **{key: status["resources"][key] for key in _FREE},
    }


def fleet_view(name: str, said: Mapping[str, Any] | None, why: str) -> dict[str, Any]:
    """One cluster, as a sender knows it.

    Args:
        name: the cluster's.
        said: its last cluster_view().
        why: why that is not of now; "" where it is.
    """
    empty = dict.fromkeys(("at", "reasons", "drained", "version", "open_jobs", *_FREE))
    known = {key: said.get(key) for key in empty} if said else empty
    state = str(said.get("state") or UNKNOWN) if said else UNKNOWN
    return {"cluster": name, "state": state, "answered": not why, "problem": why or None, **known}


def fleet_cells(
    views: Sequence[Mapping[str, Any]], now: float
) -> tuple[list[str], list[list[str]]]:
    """Clusters as a table: the columns' names, and a row for each."""
    header = ["CLUSTER", "STATE", "CORES FREE", "NODES UP", "OPEN JOBS", "VERSION", "SAID", "NOTE"]
    return header, [_cells(view, now) for view in views]


def _cells(view: Mapping[str, Any], now: float) -> list[str]:
    drained, at = view["drained"], view["at"]
    reasons = view["reasons"]
    notes = [str(each) for each in reasons] if isinstance(reasons, list) else []
    if isinstance(drained, Mapping):
        notes.insert(0, f"drained: {drained['reason']}" if drained.get("reason") else "drained")
    if view["problem"]:
        notes.append(str(view["problem"]))
    return [
        str(view["cluster"]),
        str(view["state"]),
        _of(view["cores_free"], view["cores_total"]),
        _of(view["nodes_up"], view["nodes_total"]),
        _text(view["open_jobs"]),
        _text(view["version"]),
        f"{ago(max(now - at, 0.0))} ago" if isinstance(at, (int, float)) else "-",
        clean("; ".join(notes)),
    ]


def _of(part: Any, whole: Any) -> str:
    return "-" if whole is None else f"{_text(part)} of {whole}"


def _text(value: Any) -> str:
    return "-" if value is None else str(value)
