"""`doctor` on an instance: what it names, and how long it waits for what."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from rainbow_agent.cli.doctor import workload as workloads
from rainbow_agent.core.node_resources import NodeView, PoolView
from rainbow_agent.core.obstacles import Obstacle, ObstacleKind
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.workload.choose import Choice


class Slow:
    """An instance that is there, and takes long to say how its queues are."""

    kind, uri = "local", "local:///slow"

    def __init__(self, stop: Stop) -> None:
        self._stop = stop

    def resources(self) -> PoolView:
        """Two nodes."""
        return PoolView((NodeView(0, "a", 4, 0), NodeView(1, "b", 4, 0, up=False, drained=True)))

    def obstacles(self, *, trial: bool) -> list[Obstacle]:
        """After more than the instance's limit: whether the wait was cut."""
        assert trial
        time.sleep(workloads.INSTANCE_TIMEOUT_S * 3)
        reason = "given up" if self._stop.is_set() else "an answer"
        return [Obstacle(ObstacleKind.REFUSES_ALL, reason=reason)]

    def close(self) -> None:
        """It is left."""


def test_queues_have_a_limit_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance that answers is there; on a busy machine, its job check takes longer."""
    monkeypatch.setattr(workloads, "INSTANCE_TIMEOUT_S", 0.1)

    def opened(_choice: Choice, _settings: Settings, stop: Stop, **_: Any) -> Slow:
        return Slow(stop)

    monkeypatch.setattr(workloads, "_open", opened)
    choice = Choice("local", "local:///slow", "a test")
    found = list(workloads._instance(choice, Settings(state_dir=tmp_path), run_job=False))
    texts = {finding.check: finding.text for finding in found}
    assert texts["instance"] == "local:///slow, 2 nodes, 8 cores; not up: b (drained)"
    assert "an answer" in texts["job"]
