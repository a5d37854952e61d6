"""What a cluster says of itself to senders, and how they see it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rainbow_agent.monitoring.fleet_views import cluster_view, fleet_cells, fleet_view
from rainbow_agent.monitoring.status_sources import look
from rainbow_agent.runtime.settings import Settings

STATUS: dict[str, Any] = {
    "state": "degraded",
    "reasons": [{"name": "flux-away", "reason": "socket /run/secret/path", "since": 1.0}],
    "draining": {"since": None, "reason": "maintenance", "until_stopped": False},
    "daemon": {"version": "1.2", "pid": 7},
    "jobs": {"running": 2, "received": 1, "completed": 50, "lost": 4},
    "resources": {
        f"{kind}_{part}": count
        for count, kind in enumerate(("nodes", "cores", "gpus"), 2)
        for part in ("total", "up", "free")
    },
    "cluster": "blue",
    "state_dir": "/somewhere",
}


def test_a_cluster_says_how_it_is_and_no_more() -> None:
    """No path, no address, no job of others; the open jobs are counted."""
    view = cluster_view(STATUS, 100.0)
    assert "/" not in repr(view)
    assert (view["open_jobs"], view["version"], view["reasons"]) == (3, "1.2", ["flux-away"])


def test_a_table_has_a_line_for_each_cluster() -> None:
    """With what it said last where it does not answer, and how old that is."""
    said = cluster_view(STATUS, 100.0)
    views = [
        fleet_view("blue", said, ""),
        fleet_view("green", said, "no answer within 15 s"),
        fleet_view("red", None, "no job was sent to it from here"),
        fleet_view("odd", {"state": 5, "reasons": 5, "drained": "x", "at": "x"}, ""),
    ]
    header, cells = fleet_cells(views, 3700.0)
    blue, green, red, odd = (dict(zip(header, row, strict=True)) for row in cells)
    assert blue["NOTE"] == "drained: maintenance; flux-away"
    assert (blue["CORES FREE"], blue["NODES UP"]) == ("3 of 3", "2 of 2")
    assert blue["SAID"] == "60 min ago"
    assert green["NOTE"] == "drained: maintenance; flux-away; no answer within 15 s"
    assert (red["STATE"], red["SAID"], red["CORES FREE"]) == ("unknown", "-", "-")
    assert (odd["STATE"], odd["NOTE"]) == ("5", "")


@pytest.mark.parametrize("live", [None, {}])
def test_it_is_made_of_the_real_status(tmp_path: Path, live: dict[str, Any] | None) -> None:
    """Also where no daemon has ever run."""
    view = cluster_view(look(Settings(cluster="blue", state_dir=tmp_path), 5.0, live), 5.0)
    assert (view["at"], view["open_jobs"], view["cores_free"]) == (5.0, 0, None)
