"""Clusters that jobs are sent to, on any scheduler: their graphs, their reports, what they get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import yaml

from rainbow_agent.fleet.choosing import Selection
from rainbow_agent.fleet.fitting import fitting
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.fleet.submission import job_of, send
from rainbow_agent.jobspec.asking import questions
from rainbow_agent.jobspec.plan import plan_text
from rainbow_compspec.cluster import cluster_graph
from rainbow_compspec.facts import NodeFacts, Package
from rainbow_compspec.simulate import Simulation, simulate
from rainbow_compspec.subsystems import subsystem_graph
from rainbow_compspec.wire import encode
from support.servers import SchedulerProcess

#: Packages of each cluster's nodes.
SOFTWARE: Final = {
    "red": ("ior@3.3.0", "hdf5@1.14.3", "tool@develop"),
    "pink": ("ior@3.2.1", "hdf5@1.12.0"),
    "green": ("ior@4.0.0", "ior@3.3.0", "ior@1.0.0"),
}
ALL: Final[tuple[str, ...]] = ("green", "pink", "red")


class Destinations:
    """Clusters of two nodes with four cores and a GPU each, on a scheduler of their own."""

    def __init__(self, process: SchedulerProcess, scheduler: RainbowScheduler) -> None:
        self.scheduler = scheduler
        self.tokens: dict[str, str] = {}
        self._secrets: dict[str, str] = {}
        self._process = process
        for name, packages in SOFTWARE.items():
            self.join(name, _nodes(packages))

    def join(self, name: str, nodes: Sequence[NodeFacts]) -> None:
        """Register a cluster with its packages."""
        graph = cluster_graph(name, nodes)
        given = self.scheduler.register(name, self._process.secret, encode(graph).text)
        self.tokens[name], self._secrets[name] = given.token, given.secret
        for subsystem in ("spack", "hardware"):
            text = encode(subsystem_graph(subsystem, nodes, graph.node_ids)).text
            self.scheduler.register_subsystem(name, given.secret, subsystem, text)

    def report(self, name: str, **state: Any) -> None:
        """What a cluster's agent reports."""
        self.scheduler.update_state(name, self._secrets[name], state)

    def fits(self, jobspec: str) -> tuple[str, ...]:
        """The clusters that can run a jobspec."""
        return fitting(self.scheduler, questions(plan_text(jobspec))).clusters

    def send(self, jobspec: str, selection: Selection) -> str:
        """Send a jobspec, and take it out of rainbow again; which cluster got it."""
        job = job_of(yaml.safe_load(jobspec))
        cluster, _ = send(self.scheduler, job, selection, tokens=self.tokens, fallback_token="")
        offers = self.scheduler.receive(cluster, self._secrets[cluster], 0)
        self.scheduler.accept(cluster, self._secrets[cluster], [offer.id for offer in offers])
        assert len(offers) == 1
        return cluster


def _nodes(packages: Sequence[str], nodes: int = 2) -> tuple[NodeFacts, ...]:
    pairs = (each.split("@") for each in packages)
    installed = tuple(Package(name, version) for name, version in pairs)
    made = simulate(Simulation(nodes=nodes, sockets=1, cores=4, gpus=1))
    return tuple(replace(facts, packages=installed) for facts in made)


def job_text(resources: str | Mapping[str, str], extra: str = "", task: str = "") -> str:
    """A jobspec; one resource is called `r`."""
    named = {"r": resources} if isinstance(resources, str) else resources
    listed = "".join(f"  {name}: {text}\n" for name, text in named.items())
    first = "|".join(named)
    return (
        f"version: 1\n{extra}resources:\n{listed}tasks:\n"
        f"- {{command: [x], resources: '{first}'{task}}}\n"
    )
