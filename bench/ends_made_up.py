"""For Flux's frobnicator: jobs run for a moment without a process, as on nodes that are made up.

Flux loads this file by its path (`ingest.frobnicator.plugins`, flux-config-ingest(5)) in a Python
of its own; `system.exec.test.run_duration` is what flux-config-fake-resources(5) names for it.
"""

from __future__ import annotations

from typing import Any

from flux.job.frobnicator import FrobnicatorPlugin

_RUNS = "0.01s"


class Frobnicator(FrobnicatorPlugin):  # type: ignore[misc] # flux-python has no types
    """Writes into every jobspec how long its job is to run."""

    def frob(self, jobspec: Any, userid: int, urgency: int, flags: int) -> None:  # noqa: ARG002
        """Flux's name for it, and its signature."""
        jobspec.setattr("system.exec.test.run_duration", _RUNS)
