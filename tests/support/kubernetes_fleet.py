"""For tests: rainbow on a real Kubernetes, a pod that sends jobs, and a test's MiniClusters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from support.kubernetes_cluster import Cluster
from support.kubernetes_minicluster import MiniCluster, wait_for_pods
from support.kubernetes_programs import CACHE, ROOT

_SENDER: Final = "sender"


class Fleet:
    """Applied from crd/rainbow as it stands."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.kubectl = cluster.kubectl

    def start(self) -> None:
        """Rainbow, and the pod of a sender."""
        self.kubectl.output("apply", "-k", str(ROOT / "crd/rainbow"))
        self.kubectl.apply(_sender(_SENDER, {"rainbow-member": "true"}))
        self.wait_for_rainbow()
        self.kubectl.output("wait", "--for=condition=Ready", f"pod/{_SENDER}", "--timeout=600s")

    def wait_for_rainbow(self) -> None:
        """Wait until its pod is ready."""
        self.kubectl.output("rollout", "status", "deployment/scheduler", "--timeout=600s")

    @contextmanager
    def other_pod(self, name: str) -> Iterator[None]:
        """A pod as the sender's, which is no member of the fleet."""
        self.kubectl.apply(_sender(name, {}))
        try:
            self.kubectl.output("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=600s")
            yield
        finally:
            self.kubectl.output("delete", "pod", name)

    @contextmanager
    def minicluster(self, name: str, size: int = 2, **fields: Any) -> Iterator[MiniCluster]:
        """One that is applied, with all its nodes in rainbow; afterwards it goes."""
        made = MiniCluster(self.cluster, name, size, **fields)
        with ExitStack() as stack:
            stack.callback(made.discard)
            made.apply()
            made.wait_for_nodes(size)
            yield made

    def submit(self, cluster: str, name: str, *command: str, nodes: int = 1) -> str:
        """Submit from the sender's pod; which cluster got it, "" if none did.

        Args:
            cluster: to this one; "": to any that fits.
            name: of the job.
            command: what it runs.
            nodes: how many it needs.
        """
        target = ["--cluster", cluster] if cluster else []
        options = [*target, "--name", name, "--nodes", str(nodes), "-o", "json"]
        done = self.kubectl.run(
            "exec", _SENDER, "--", "rainbow-agent", "submit", *options, "--", *command
        )
        return "" if done.returncode else str(json.loads(done.stdout)["cluster"])

    def submit_until_taken(self, cluster: str, name: str, *command: str) -> None:
        """Submit again until rainbow takes it."""
        wait_for_pods(lambda: self.submit(cluster, name, *command), f"rainbow takes {name}")


def note(what: str, **figures: object) -> None:
    """Keep figures for people: build/kubernetes/figures.jsonl."""
    with (CACHE / "figures.jsonl").open("a") as file:
        file.write(json.dumps({"what": what, **figures}) + "\n")


def _sender(name: str, labels: dict[str, str]) -> dict[str, Any]:
    """Not of any MiniCluster, and so there while pods of those come and go."""
    environ = {
        "RAINBOW_HOST": "rainbow.default.svc.cluster.local:8080",
        "RAINBOW_TOKEN_FILE": "/run/secrets/rainbow/token",
    }
    container = {
        "name": name,
        "image": "rainbow-minicluster:latest",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "infinity"],
        "env": [{"name": key, "value": value} for key, value in environ.items()],
        "volumeMounts": [{"name": "rainbow", "mountPath": "/run/secrets/rainbow"}],
        # More than it uses: where memory is short it stays.
        "resources": {"requests": {"cpu": "10m", "memory": "256Mi"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
            "volumes": [{"name": "rainbow", "secret": {"secretName": "rainbow"}}],
        },
    }
