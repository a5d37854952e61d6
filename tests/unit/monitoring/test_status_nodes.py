"""`status` shows how the nodes are and what rainbow knows of the cluster."""

from __future__ import annotations

import json
from typing import Any

from rainbow_agent.core.states import JobState
from rainbow_agent.monitoring.status import Sources, status_view
from rainbow_agent.monitoring.status_text import status_text
from rainbow_agent.runtime.settings import load

RUNTIME: dict[str, Any] = {
    "nodes": {
        "up": 2,
        "drained": 1,
        "down": 0,
        "silent": 1,
        "described": 3,
        "troubled": [
            {"rank": 1, "name": "blue-1", "condition": "silent", "problem": "no \x1b[31manswer"},
            {"rank": 2, "name": "blue-2", "condition": "drained", "problem": None},
        ],
    },
    "graph": {
        "next": {"nodes": 4, "bytes": 5000, "parts": ["cluster", "spack"]},
        "form": "full",
        "note": "every vertex",
        "bytes": 1234,
        "sent": 1715940000.0,
        "nodes": 3,
        "subsystems": {"spack": {"form": "shared", "note": "", "bytes": 99, "sent": None}},
    },
}


def view(runtime: dict[str, Any]) -> dict[str, Any]:
    settings = load({"RAINBOW_CLUSTER": "blue", "RAINBOW_HOST": "rainbow:8080"})
    counts = dict.fromkeys(JobState, 0)
    return status_view(settings, Sources(1, 0.0, runtime, counts, "r1"), 1715940100.0)


def test_both_are_in_the_object() -> None:
    """With times that people and programs read."""
    found = view(RUNTIME)
    assert found["nodes"] == RUNTIME["nodes"]
    assert found["graph"]["form"] == "full"
    assert found["graph"]["sent"] == "2024-05-17T10:00:00.000Z"
    assert found["graph"]["subsystems"]["spack"]["sent"] is None
    json.dumps(found)


def test_both_are_in_the_text() -> None:
    """Counts first, then each node that is not as it should be; no terminal is steered."""
    text = status_text(view(RUNTIME), 1715940100.0)
    assert "2 up, 1 drained, 1 silent; 3 described" in text
    assert "blue-1 (rank 1) silent: no \\x1b[31manswer" in text
    assert "blue-2 (rank 2) drained" in text
    assert "graph      full, 3 nodes, 1234 bytes, sent 2024-05-17T10:00:00.000Z; spack" in text
    assert "to send    cluster, spack: 4 nodes" in text


def test_before_the_first_survey_neither_is_known() -> None:
    """And the text has no line for them."""
    found = view({})
    assert (found["nodes"], found["graph"]) == (None, None)
    assert "graph" not in status_text(found, 1715940100.0)
