"""For tests: the two scripts of a MiniCluster's pod, as processes, without a pod around them.

A pod is what `rainbow-pod-start` runs in here: the next pod has a run folder of its own and the
same state folder, as in Kubernetes, where it starts while the one before is still stopping.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rainbow_agent.storage import agent_lock
from support.common import eventually, kill_tree
from support.program import Program

SCRIPTS: Final = Path(__file__).parents[2] / "docker/spack"
#: Seconds that the stop waits for running jobs. A test ends them.
DRAIN_SECONDS: Final = 60


class PodScripts:
    """One pod's `rainbow-pod-start`, which runs until it is stopped or killed."""

    def __init__(self, program: Program, name: str) -> None:
        self._program = program
        run = program.folder / f"{name}-run"
        run.mkdir()
        self._environ = {
            **program.environ,
            "RAINBOW_LOG_FORMAT": "json",
            "POD_RUN_DIR": str(run),
            "POD_RESTART_SECONDS": "1",
            "POD_DRAIN_SECONDS": str(DRAIN_SECONDS),
        }
        self._stop: subprocess.Popen[bytes] | None = None
        self._log = program.folder / f"{name}.log"
        with self._log.open("wb") as log:
            self._start = subprocess.Popen(
                [SCRIPTS / "rainbow-pod-start"], env=self._environ, stdout=log, stderr=log
            )

    def log(self) -> str:
        """What it and its agent have written so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def actions(self) -> list[dict[str, object]]:
        """The agent's log, line by line."""
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    def did(self, action: str) -> bool:
        """Whether the agent's log has this action."""
        return any(each.get("action") == action for each in self.actions())

    def taken(self) -> int:
        """How many jobs its agent has received."""
        new = [each["new"] for each in self.actions() if each.get("action") == "received"]
        return sum(int(str(each)) for each in new)

    def alive(self) -> bool:
        """Whether rainbow-pod-start runs."""
        return self._start.poll() is None

    def wait(self) -> int:
        """Wait for its end; the exit status."""
        eventually(lambda: not self.alive(), "the pod's command ends", seconds=60)
        return self._start.wait()

    def begin_stop(self) -> subprocess.Popen[bytes]:
        """Start the hook that Kubernetes runs, once, before it stops the pod."""
        if self._stop is None:
            with self._log.open("ab") as log:
                self._stop = subprocess.Popen(
                    [SCRIPTS / "rainbow-pod-stop"], env=self._environ, stdout=log, stderr=log
                )
        return self._stop

    def stop(self) -> int:
        """Run the hook to its end; the exit status of rainbow-pod-start."""
        assert self.begin_stop().wait(200) == 0, self.log()
        return self.wait()

    def terminate(self) -> None:
        """SIGTERM to rainbow-pod-start alone."""
        self._start.terminate()

    def kill_agent(self) -> None:
        """SIGKILL the agent alone."""
        holder = agent_lock.running(self._program.state_dir)
        assert holder is not None
        kill_tree(holder.pid)

    def kill(self) -> None:
        """SIGKILL all of it, as a node that loses power."""
        for process in (self._start, self._stop):
            if process is not None:
                kill_tree(process.pid)
                process.wait()


@contextmanager
def running_pod(program: Program, name: str) -> Iterator[PodScripts]:
    """A pod's scripts for the length of a with block."""
    pod = PodScripts(program, name)
    try:
        yield pod
    finally:
        pod.kill()
