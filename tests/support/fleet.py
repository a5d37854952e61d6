"""For tests: what other people do with a rainbow while an agent serves it.

They send jobs, also such that no client of ours would send, look at what waits for a cluster, and
select clusters by the state that these reported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from rainbow_agent.core.errors import Rejected
from rainbow_agent.core.model import Offer
from rainbow_agent.fleet import rainbow_config
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.fleet.rainbow_config import RainbowConfig
from rainbow_agent.jobspec.wire import to_wire
from support.common import eventually


class Fleet:
    """A user of a rainbow, with the credentials in a cluster's rainbow-config.yaml.

    Args:
        host: of the rainbow, host:port.
        config: the cluster's file; read anew by each call.
    """

    def __init__(self, host: str, config: Path) -> None:
        self._host = host
        self._config = config

    @property
    def credentials(self) -> RainbowConfig:
        """What the file holds. An agent writes it while it does other things: it is waited for."""
        eventually(self._config.exists, f"{self._config} is there: the cluster registered")
        config = rainbow_config.load(self._config)
        assert config is not None, self._config
        return config

    def send(self, *jobs: Mapping[str, Any] | str) -> None:
        """SubmitJob without Satisfy: jobspecs, or texts that are none."""
        credentials = self.credentials
        tokens = {credentials.cluster: credentials.token_of(credentials.cluster)}
        with closing(RainbowScheduler(self._host)) as scheduler:
            for job in jobs:
                text = job if isinstance(job, str) else to_wire(job)
                name = "text" if isinstance(job, str) else str(job.get("name") or "job")
                scheduler.submit(name, tokens, text)

    def waiting(self) -> list[Offer]:
        """What waits for the cluster."""
        mine = self.credentials
        with closing(RainbowScheduler(self._host)) as scheduler:
            return scheduler.receive(mine.cluster, mine.cluster_secret, 0)

    def fits(self) -> bool:
        """Whether rainbow's matcher finds the cluster for a small job."""
        with closing(RainbowScheduler(self._host)) as scheduler:
            answer = scheduler.satisfy(jobspec(task(["true"])))
            return self.credentials.cluster in answer.clusters

    def state_holds(self, expression: str) -> bool:
        """Whether an expression is true of the state that the cluster reported.

        The real server keeps a cluster whose filter is false (075ee23, plugins/selection), and
        drops one whose filter fails: so a false one continues to an unknown name.
        """
        mine = self.credentials
        steps = [{"filter": f"({expression}) || never_reported"}, {"select": "first"}]
        priorities = json.dumps([{"priority": 1, "steps": steps}])  # JSON is YAML, too
        with closing(RainbowScheduler(self._host)) as scheduler:
            try:
                chosen = scheduler.submit(
                    "probe",
                    {mine.cluster: mine.token_of(mine.cluster)},
                    to_wire(jobspec(task(["true"]))),
                    select="constraint",
                    select_options={"priorities": priorities},
                    satisfy_only=True,
                )
            except Rejected:
                return False
        return chosen == [mine.cluster]


def task(
    command: Sequence[str] | str,
    name: str = "main",
    *,
    depends_on: Sequence[str] = (),
    replicas: int = 1,
    **attributes: Any,
) -> dict[str, Any]:
    """One task of a jobspec nextgen, on the resource `one`; its attributes, where it has any."""
    made: dict[str, Any] = {"name": name, "command": command, "resources": "one"}
    if depends_on:
        made["depends_on"] = list(depends_on)
    if replicas > 1:
        made["replicas"] = replicas
    if attributes:
        made["attributes"] = attributes
    return made


def jobspec(*tasks: Mapping[str, Any], name: str = "job", nodes: int = 1) -> dict[str, Any]:
    """A jobspec nextgen, version 1; its resource `one` is one core on so many nodes."""
    one = {"type": "node", "count": nodes, "with": [{"type": "core", "count": 1}]}
    return {"version": 1, "name": name, "resources": {"one": one}, "tasks": list(tasks)}
