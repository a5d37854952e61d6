"""For tests: a Kubernetes cluster of one node on this machine, and `kubectl` for it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from support import kubernetes_config as config
from support.common import eventually
from support.kubernetes_api import Api
from support.kubernetes_node import Node, running_node
from support.kubernetes_programs import OPERATOR, crd, operator_role, program

#: Seconds on a quiet machine.
START_S: Final = 120.0


class Kubectl:
    """`kubectl` as an administrator, in the default namespace."""

    def __init__(self, node: Node, kubeconfig: Path) -> None:
        self._node = node
        self.environ = {"KUBECONFIG": str(kubeconfig), "HOME": str(kubeconfig.parent)}
        self._path = program("kubectl")

    def run(
        self, *arguments: str, text: str | None = None, seconds: float = 300.0
    ) -> subprocess.CompletedProcess[str]:
        """Run it; what came of it.

        Args:
            arguments: after `kubectl`.
            text: its standard input.
            seconds: how long it may take.
        """
        return self._node.run(
            self._path, *arguments, text=text, seconds=seconds, environ=self.environ
        )

    def said(self, *arguments: str) -> str:
        """Run it; what it prints, errors included, in the order in which it does."""
        words = ["sh", "-c", 'exec "$@" 2>&1', "sh", self._path, *arguments]
        return self._node.run(*words, environ=self.environ).stdout

    def output(self, *arguments: str, text: str | None = None, seconds: float = 300.0) -> str:
        """Run it; what it prints.

        Raises:
            AssertionError: it fails; the message has what it said.
        """
        done = self.run(*arguments, text=text, seconds=seconds)
        if done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr}{done.stdout}")
        return done.stdout

    def get(self, *arguments: str) -> Any:
        """What `kubectl get ... -o json` says; None where there is no such object."""
        said = self.output("get", *arguments, "--ignore-not-found", "-o", "json")
        return json.loads(said) if said.strip() else None

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        """The objects of a list."""
        return list((self.get(*arguments) or {}).get("items", []))

    def apply(self, *documents: dict[str, Any]) -> None:
        """Apply objects."""
        self.output("apply", "-f", "-", text=yaml.safe_dump_all(documents))


class Cluster:
    """The programs of a cluster, started in a node's namespaces in two steps."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.files = config.write_files(node.folder, node.cgroup)
        self.kubectl = Kubectl(node, self.files.kubeconfig)
        self._proxy = node.folder / "api.socket"
        self.api = Api(self._proxy)

    def helm(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Helm as an administrator, in the default namespace; what came of it."""
        return self.node.run(program("helm"), *arguments, environ=self.kubectl.environ)

    def start_control_plane(self) -> None:
        """Etcd and the API server, with the operator's CustomResourceDefinition."""
        self._start("etcd", config.etcd_arguments(self.node.folder))
        self._start("kube-apiserver", config.apiserver_arguments(self.files))
        self._wait("kube-apiserver", self._ready, "the API server is ready")
        arguments = ["--kubeconfig", str(self.files.kubeconfig), "proxy"]
        self._start("kubectl", [*arguments, f"--unix-socket={self._proxy}"])
        self._wait("kubectl", lambda: self.api.get("/version"), "the API is there on its socket")
        self.kubectl.output("create", "-f", "-", text=crd().read_text(encoding="utf-8"))
        self._wait(
            "kube-apiserver",
            lambda: self.kubectl.run("get", "miniclusters").returncode == 0,
            "the API server knows MiniClusters",
        )

    def import_images(self, image: Path) -> None:
        """Start containerd, and give it an archive of the images that pods need; no registry is."""
        self._start("containerd", ["--config", str(self.node.folder / "containerd.toml")])
        self._wait("containerd", self.files.socket.exists, "containerd has its socket")
        self._ctr("images", "import", str(image))

    def start_node(self) -> None:
        """The rest: controllers, scheduler, kubelet, proxy, DNS, the operator."""
        self._start("kube-controller-manager", config.controller_manager_arguments(self.files))
        self._start("kube-scheduler", config.scheduler_arguments(self.files))
        self._start("kubelet", config.kubelet_arguments(self.files))
        self._start("kube-proxy", config.proxy_arguments(self.files))
        self._start("coredns", ["-conf", str(self.node.folder / "Corefile")])
        self._start(OPERATOR, ["--kubeconfig", str(self._operators_kubeconfig())])
        self._wait("kubelet", self._node_ready, "the node is ready")

    def restart_kubelet(self, **settings: object) -> None:
        """End the kubelet, and start it with other settings; pods go on meanwhile."""
        path = self.node.folder / "kubelet.yaml"
        changed = {**yaml.safe_load(path.read_text()), **settings}
        path.write_text(yaml.safe_dump(changed))
        self.node.end("kubelet")
        self._start("kubelet", config.kubelet_arguments(self.files))
        served = f"/api/v1/nodes/{config.NODE_NAME}/proxy/configz"
        self._wait("kubelet", lambda: self.api.get(served), "the kubelet answers")

    def tag_image(self, image: str, tag: str) -> None:
        """Another image of the node has a name from now on."""
        self._ctr("images", "tag", "--force", image, tag)

    def kill_container(self, container: str) -> None:
        """End all that runs in a container at once.

        Args:
            container: its ID, as a pod's status has it; one that has ended is no error.
        """
        arguments = ["task", "kill", "--all", "--signal", "SIGKILL", container.partition("://")[2]]
        self.node.run(program("ctr"), *self._containerd(), *arguments)

    def _operators_kubeconfig(self) -> Path:
        """With the operator's own role, where that is there; else an administrator's."""
        if not operator_role().is_file():
            return self.files.kubeconfig
        role = yaml.safe_load(operator_role().read_text(encoding="utf-8"))
        self.kubectl.apply(*config.service_account(OPERATOR, role))
        token = self.kubectl.output("create", "token", OPERATOR, "--duration=24h").strip()
        return config.write_kubeconfig(self.files, OPERATOR, token)

    def _start(self, name: str, arguments: Sequence[str]) -> None:
        self.node.start(name, program(name), *arguments)

    def _ctr(self, *arguments: str) -> None:
        done = self.node.run(program("ctr"), *self._containerd(), *arguments, seconds=1800.0)
        if done.returncode:
            said = f"{done.stderr}\n{self.node.log('containerd')}"
            raise AssertionError(f"ctr {' '.join(arguments)}: {said}")

    def _containerd(self) -> list[str]:
        return ["--address", str(self.files.socket), "--namespace", "k8s.io"]

    def _ready(self) -> bool:
        return self.kubectl.run("get", "--raw", "/readyz").stdout.strip() == "ok"

    def _node_ready(self) -> bool:
        return any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for node in self.kubectl.items("nodes")
            for condition in node["status"].get("conditions", [])
        )

    def _wait(self, name: str, holds: Callable[[], object], what: str) -> None:
        try:
            eventually(lambda: self.node.ended() or holds(), what, seconds=START_S)
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{self.node.log(name)}") from None
        for ended in self.node.ended():
            raise AssertionError(f"{ended} has ended:\n{self.node.log(ended)}")


@contextmanager
def running_control_plane() -> Iterator[Cluster]:
    """An API server for the length of a with block, in a node in which nothing else runs yet."""
    with running_node() as node:
        cluster = Cluster(node)
        cluster.start_control_plane()
        yield cluster
