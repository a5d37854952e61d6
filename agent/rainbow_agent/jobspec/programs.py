"""How the agent's own programs are run inside jobs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Programs:
    """The interpreter on the nodes, and what the programs are told.

    The interpreter has the same path on every node: all pods of a MiniCluster run one image.
    """

    python: str = sys.executable
    shared_fs: str = "auto"  # RAINBOW_SHARED_FS: auto, yes or no

    def group_runner(self, file: str) -> tuple[str, ...]:
        """The program of a group's instance; `file` has its plan (jobspec/groupfile.py)."""
        return (self.python, "-m", "rainbow_agent.group_runner", file)

    def stage(self, paths: Sequence[str]) -> tuple[str, ...]:
        """The program that puts files and folders on every node of its instance."""
        shared = f"--shared-fs={self.shared_fs}"
        return (self.python, "-m", "rainbow_agent.staging", shared, "--", *paths)
