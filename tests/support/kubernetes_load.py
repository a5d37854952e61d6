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
#: Submits $1 jobs to cluster $2; each adds its name to a file that outlives the pods.
_SCRIPT: Final = """\
number=0
while [ $number -lt $1 ]; do
  number=$((number + 1)) name=load-$number
  rainbow-agent submit --cluster "$2" --name $name -- \
    sh -c "echo $name >>/opt/spack-store/ran; sleep 1"
  sleep 1
done
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
        sent = self._said.count(f" to cluster {self._cluster.name} (")
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
        arguments = [str(len(self.names)), self._cluster.name]
        done = self._fleet.kubectl.run(
            *("exec", "sender", "--", "sh", "-c", _SCRIPT, "load", *arguments),
            seconds=_LOAD_S * BUSY_FACTOR,
        )
        self._said = done.stdout + done.stderr
