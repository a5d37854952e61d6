"""For tests: a MiniCluster on a real Kubernetes, and rainbow-agent in its lead pod."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from rainbow_agent.cli.manifest.minicluster import HTTP_PORT, manifest
from rainbow_agent.cli.manifest.minicluster import MiniCluster as Manifest
from support.common import eventually
from support.kubernetes_cluster import Cluster

#: Seconds on a quiet machine, for pods that start, end, or take each other's place.
PODS_S: Final = 60.0
#: What many pods on a small machine ask for.
SMALL: Final = {"cpu": "50m", "memory": "128Mi"}
#: Before a command of Flux in a shell of a lead's container, with a view or without.
FLUX: Final = (
    "if [ -e /mnt/flux/flux-view.sh ]; then . /mnt/flux/flux-view.sh; fi;"
    " export FLUX_URI=local:///mnt/flux/config/run/flux/local;"
)
_JOB: Final = "job-name"
_INDEX: Final = "batch.kubernetes.io/job-completion-index"


def wait_for_pods(holds: Callable[[], object], what: str, *, every_s: float = 0.5) -> None:
    """Wait for something that Kubernetes is asked for again and again.

    Args:
        holds: asks.
        what: is waited for, in words.
        every_s: how often it is asked, in seconds.

    Raises:
        AssertionError: it did not come true in time.
    """
    pause = threading.Event()
    eventually(lambda: holds() or pause.wait(every_s), what, seconds=PODS_S)


@dataclass(frozen=True)
class Pod:
    """What the API server says of a pod of a MiniCluster."""

    name: str
    uid: str
    index: int
    container: str  # its ID; "" before there is one
    ready: bool  # its container runs
    ending: bool
    restarts: int

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Pod:
        """Of an object of the API."""
        metadata, status = document["metadata"], document["status"]
        containers = status.get("containerStatuses", [])
        return cls(
            name=metadata["name"],
            uid=metadata["uid"],
            index=int(metadata.get("labels", {}).get(_INDEX, -1)),
            container=next((each.get("containerID", "") for each in containers), ""),
            ready=bool(containers) and all("running" in each["state"] for each in containers),
            ending="deletionTimestamp" in metadata,
            restarts=sum(each["restartCount"] for each in containers),
        )


class MiniCluster:
    """One that `rainbow-agent manifest` writes, for a node with few cores.

    Args:
        cluster: where.
        name: of the MiniCluster.
        size: how many pods.
        view: the image of another flux view than the manifest's.
        fields: more of the manifest's.
    """

    def __init__(
        self, cluster: Cluster, name: str, size: int = 2, *, view: str = "", **fields: Any
    ) -> None:
        self.name = name
        self._cluster = cluster
        self._kubectl = cluster.kubectl
        self._view = view
        self.manifest = Manifest(name=name, size=size, **{"requests": SMALL, **fields})

    def apply(self, size: int | None = None) -> None:
        """Apply its manifest, the volumes with it; with another size, if one is given."""
        documents = list(yaml.safe_load_all(manifest(self.manifest)))
        if size is not None:
            documents[0]["spec"]["size"] = size
        if self._view:
            documents[0]["spec"]["flux"]["container"]["image"] = self._view
        self._kubectl.apply(*documents)

    def delete(self, *, volumes: bool = False) -> None:
        """Delete it, and wait until its pods are gone.

        Args:
            volumes: its claims and volumes as well, and the folders that those are.
        """
        self._kubectl.output("delete", "minicluster", self.name, "--ignore-not-found")
        self.wait(lambda: not self.pods(), "its pods are gone")
        if volumes:
            self._kubectl.output("delete", "--ignore-not-found", *self._volumes())
            for _, what in _VOLUMES:
                for path in self.volume(what).glob("*"):
                    self._cluster.node.run("rm", "-rf", str(path))

    def discard(self) -> None:
        """Have it deleted with its claims and volumes, which takes a while: nobody waits for it."""
        names = [f"minicluster/{self.name}", *self._volumes()]
        self._kubectl.output("delete", "--ignore-not-found", "--wait=false", *names)

    def _volumes(self) -> list[str]:
        return [f"{kind}/{self.name}-{what}" for kind, what in _VOLUMES]

    def volume(self, what: str) -> Path:
        """The folder of a volume: `state` or `spack`."""
        return self._cluster.node.folder / f"local/rainbow/{self.name}-{what}"

    def pods(self) -> list[Pod]:
        """All that there are, also those that are ending."""
        return [Pod.read(each) for each in self._cluster.api.pods(f"{_JOB}={self.name}")]

    def pod(self, index: int = 0) -> Pod | None:
        """The one of this index that runs and is to stay; None while there is none."""
        found = [
            each for each in self.pods() if each.index == index and each.ready and not each.ending
        ]
        return found[0] if found else None

    def delete_pod(self, index: int = 0, *, force: bool = False) -> Pod:
        """Ask for the deletion of a pod, and do not wait for it.

        Args:
            index: of the rank; 0 is the lead.
            force: at once, without a hook, as when a node is gone.
        """
        pod = self.pod(index)
        assert pod is not None, f"{self.name}-{index} does not run"
        options = ["--force", "--grace-period=0"] if force else []
        self._kubectl.output("delete", "pod", pod.name, "--wait=false", *options)
        return pod

    def evict_pod(self, index: int = 0) -> Pod:
        """Have the API server evict a pod, as a node that is drained does."""
        pod = self.pod(index)
        assert pod is not None, f"{self.name}-{index} does not run"
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod.name, "namespace": "default"},
        }
        path = f"/api/v1/namespaces/default/pods/{pod.name}/eviction"
        self._kubectl.output("create", "--raw", path, "-f", "-", text=json.dumps(eviction))
        return pod

    def execute(self, *command: str, index: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a program in a pod's container; exit code 1 while there is no such pod."""
        pod = self.pod(index)
        if pod is None:
            return subprocess.CompletedProcess(command, 1, "", f"no pod {self.name}-{index}")
        return self._kubectl.run("exec", pod.name, "--", *command)

    def agent(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a verb of rainbow-agent in the lead pod."""
        return self.execute("rainbow-agent", *arguments)

    def status(self) -> dict[str, Any]:
        """What `status -o json` says, as the agent that runs serves it; empty while none does."""
        return dict(self._served("status.json") or {})

    def nodes_sent(self) -> int:
        """How many nodes rainbow has, as the agent that runs says; 0 while none runs."""
        view = self.status()
        known = view.get("registration") and view["daemon"]["running"]
        return int((view.get("graph") or {}).get("nodes") or 0) if known else 0

    def agent_since(self) -> str:
        """When the agent that runs was started; "" while none runs."""
        daemon = self.status().get("daemon") or {}
        return str(daemon["since"]) if daemon.get("running") else ""

    def keeps(self, registration: str) -> bool:
        """Whether its registration is this one still, where its nodes were back in time.

        On a busy machine they may not be: then, and only then, the agent sends another graph.
        """
        actions = [line.get("action") for line in self.log_lines()]
        return self.status()["registration"] == registration or "graph_changed" in actions

    def version(self) -> str:
        """Of the agent that runs; "" while none does."""
        daemon = self.status().get("daemon") or {}
        return str(daemon.get("version", "")) if daemon.get("running") else ""

    def jobs(self) -> dict[str, dict[str, Any]]:
        """The jobs by name; empty while no agent runs."""
        return {
            job["name"]: job for job in (self._served("api/jobs?limit=100") or {"jobs": []})["jobs"]
        }

    def state(self, name: str) -> str:
        """The state of a job; "" while it is not there."""
        return str(self.jobs().get(name, {}).get("state", ""))

    def wait(self, holds: Callable[[], object], what: str) -> None:
        """Wait for something; if it does not come, with what the pods and their logs say."""
        try:
            wait_for_pods(holds, f"{self.name}: {what}", every_s=1.0)
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{self._said()}") from None

    def wait_for_nodes(self, count: int) -> None:
        """Wait until rainbow has so many nodes of it."""
        self.wait(lambda: self.nodes_sent() == count, f"rainbow has {count} nodes")

    def wait_for(self, name: str, state: str = "completed") -> None:
        """Wait until a job is in a state."""
        self.wait(lambda: self.state(name) == state, f"{name} is {state}")

    def log(self, *arguments: str, index: int = 0) -> str:
        """What a pod's container wrote."""
        for pod in self.pods():
            if pod.index == index and not pod.ending:
                return self._kubectl.run("logs", pod.name, *arguments).stdout
        return ""

    def log_lines(self) -> list[dict[str, Any]]:
        """What the lead's agent logged."""
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    def _served(self, path: str) -> Any:
        pod = self.pod()
        return None if pod is None else self._cluster.api.served(pod.name, HTTP_PORT, path)

    def _said(self) -> str:
        view = self._kubectl.run("get", "pods", "-o", "wide").stdout
        return f"{view}\n{self._kubectl.run('get', 'events').stdout[-2000:]}\n{self.log()[-3000:]}"


_VOLUMES: Final = (("pvc", "state"), ("pvc", "spack"), ("pv", "state"), ("pv", "spack"))
