"""For every test: no RAINBOW_* of the caller's, and one profile for Hypothesis."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# A slow or busy machine is not a failing test; the same examples every time.
settings.register_profile(
    "rainbow-agent",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("rainbow-agent")


@pytest.fixture(autouse=True)
def _no_settings_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("RAINBOW_") or name in ("CLUSTER_NAME", "FLUX_URI", "STATE_DIRECTORY"):
            monkeypatch.delenv(name)
