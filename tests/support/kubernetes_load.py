"""For tests: jobs that a sender's pod submits one after the other, and which of them ran."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Final

from support.common import BUSY_FACTOR
from support.kubernetes_fleet import Fleet
from support.kubernetes_minicluster import MiniCluster

#: Jobs; the sender takes about as long for them as a lead pod takes to stop and to come back.
COUNT: Final = 12
#: States of a job of which nothing is left to do.
OVER: Final = frozenset({"completed", "failed", "canceled", "refused", "lost"})
_LOAD_S: Final = 300.0
#: Submits so many jobs to a cluster; each adds its name to a file that outlives the pods. One
#: process for all of them: on a small machine an interpreter each takes more than the pods do.
_SCRIPT: Final = """\
import sys, time
from rainbow_agent.api import Client
client, (cluster, count) = Client(), sys.argv[1:]
for number in range(1, int(count) + 1):
    name = f"load-{number}"
    command = ["sh", "-c", f"echo {name} >>/opt/spack-store/ran; sleep 1"]
    document = {
        "version": 1,
        "resources": {"one": {"type": "core", "count": 1}},
        "tasks": [{"command": command, "resources": "one"}],
    }
    print(name, "is at", client.submit(document, name=name, cluster=cluster).cluster)
    time.sleep(2)
"""


class Load:
    """So many jobs, from a thread of its own.

    Args:
        fleet: its sender submits.
        cluster: gets all of them.
        count: how many.
    """

    def __init__(self, fleet: Fleet, cluster: MiniCluster, count: int = COUNT) -> None:
        self.names = [f"load-{number}" for number in range(1, count + 1)]
        self._fleet = fleet
        self._cluster = cluster
        self._said = ""
        self._thread = threading.Thread(target=self._submit, name="load")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def finish(self) -> None:
        """Wait until all are submitted.

        Raises:
            AssertionError: one was not.
        """
        self._thread.join(_LOAD_S * BUSY_FACTOR)
        sent = self._said.count(f" is at {self._cluster.name}\n")
        assert sent == len(self.names), self._said

    def ran(self) -> Counter[str]:
        """How often each of them began."""
        path = self._cluster.volume("spack") / "ran"
        return Counter(path.read_text().split() if path.exists() else [])

    def states(self) -> dict[str, str]:
        """What the cluster says of each; nothing of one that it does not know."""
        jobs = self._cluster.jobs()
        return {name: jobs[name]["state"] for name in self.names if name in jobs}

    def is_over(self) -> bool:
        """Whether the cluster knows every job, and none is left to do."""
        states = self.states()
        return len(states) == len(self.names) and set(states.values()) <= OVER

    def _submit(self) -> None:
        python = "/opt/rainbow-agent/bin/python3"
        arguments = [self._cluster.name, str(len(self.names))]
        done = self._fleet.kubectl.run(
            *("exec", "sender", "--", python, "-c", _SCRIPT, *arguments),
            seconds=_LOAD_S * BUSY_FACTOR,
        )
        self._said = done.stdout + done.stderr
