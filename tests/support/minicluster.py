"""For tests: MiniClusters and rainbow in pods, started from the manifests as they stand.

Commands, environment, volumes and secrets are read out of crd/*.yaml; nothing of them is repeated
here. What stands in for images are the files that docker/ installs into them.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from support.minicluster_script import Orders, broker_toml, hostlist, start_script
from support.pods import Container, Network, Pod

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ENV: Final = re.compile(r"^ENV (\w+)=(\S+)$", re.MULTILINE)
_NAMESPACE: Final = "default"
#: Seconds until a worker starts its broker again. The operator's 15 would only be waited for.
RETRY: Final = 2.0


class Manifests:
    """The documents in a folder of manifests and in its folder `rainbow`, by kind and name."""

    def __init__(self, folder: Path) -> None:
        self._documents = [
            document
            for path in sorted([*folder.glob("*.yaml"), *folder.glob("rainbow/*.yaml")])
            for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
            if document and "metadata" in document
        ]

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """The one document of this kind and name."""
        (found,) = [
            document
            for document in self._documents
            if (document["kind"], document["metadata"]["name"]) == (kind, name)
        ]
        return dict(found)

    def secret(self, name: str) -> Mapping[str, str]:
        """What a Secret holds."""
        return dict(self.get("Secret", name)["stringData"])


@dataclass(frozen=True)
class Image:
    """What an image has that this machine has not."""

    environ: Mapping[str, str]
    files: Mapping[str, Path] = field(default_factory=dict)
    links: Mapping[str, Path] = field(default_factory=dict)


def image_environ(dockerfile: Path) -> dict[str, str]:
    """What the ENV lines of a Dockerfile set."""
    return {"PATH": _PATH, "HOME": "/root", **dict(_ENV.findall(dockerfile.read_text()))}


@dataclass
class Volumes:
    """Folders that outlive pods: claims by name, and secrets laid out as the kubelet does."""

    folder: Path
    manifests: Manifests

    def ownership(self, name: str) -> Path:
        """A claim's folder. There has to be such a claim in the manifests."""
        self.manifests.get("PersistentVolumeClaim", name)
        path = self.folder / "claims" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def drop(self, name: str) -> None:
        """Lose what is on a claim."""
        shutil.rmtree(self.ownership(name))

    def secret(self, name: str, owner: int = 0) -> Path:
        """A secret's folder, with one file for each key."""
        path = self.folder / "secrets" / f"{name}-{owner}"
        path.mkdir(parents=True, exist_ok=True)
        for key, value in self.manifests.secret(name).items():
            (path / key).write_text(value)
            (path / key).chmod(0o440 if owner else 0o644)
            shutil.chown(path / key, group=owner)
        return path


class MiniCluster:
    """The pods of one MiniCluster, which are started one by one.

    Args:
        document: the manifest.
        network: where its pods go.
        volumes: its claims and secrets.
        image: what its container's image has.
        view: a folder in the place of the flux view.
    """

    def __init__(
        self,
        document: Mapping[str, Any],
        network: Network,
        volumes: Volumes,
        image: Image,
        view: Path,
    ) -> None:
        self.name: str = document["metadata"]["name"]
        self.pods: dict[int, Pod] = {}
        self._spec = document["spec"]
        self._network = network
        self._volumes = volumes
        self._image = image
        self._view = view
        (self._container,) = self._spec["containers"]
        self._folder: Path = network.folder / self.name
        self._folder.mkdir(exist_ok=True)  # deleted, and applied again
        self._config_map()

    @property
    def orders(self) -> Orders:
        """What it says about its start."""
        spec, container = self._spec, self._container
        if not (spec.get("interactive") or container.get("launcher")):
            raise NotImplementedError("neither interactive nor a launcher")
        size = int(spec["size"])
        service = spec.get("network", {}).get("headlessName") or self.name
        return Orders(
            name=self.name,
            size=int(spec.get("maxSize") or size),
            quorum=spec.get("minSize"),
            domain=f"{service}.{_NAMESPACE}.svc.cluster.local",
            command=container.get("command", ""),
            commands=container.get("commands", {}),
            interactive=bool(spec.get("interactive")),
            quiet=bool(spec.get("logging", {}).get("quiet")),
            view=not spec.get("flux", {}).get("container", {}).get("disable", False),
        )

    @property
    def lead(self) -> Pod:
        """The pod of the lead broker."""
        return self.pods[0]

    @property
    def state(self) -> Path:
        """Where the agent's state folder really is."""
        return self._volumes.ownership(str(self._container["volumes"]["state"]["claimName"]))

    @property
    def pre_stop(self) -> str:
        """What the kubelet executes before it stops a pod."""
        return str(self._container["lifeCycle"]["preStopExec"])

    def start(self, *ordinals: int, **environ: str) -> None:
        """Start these pods, in this order: fresh ones, with the volumes that outlive pods.

        Args:
            ordinals: which; all when none is given.
            environ: variables over those of the manifest, for what a test needs to be quicker.
        """
        for ordinal in ordinals or range(self.orders.size):
            self.pods[ordinal] = self._start(ordinal, environ)

    def restart_container(self, ordinal: int) -> None:
        """Start a pod's container again as the kubelet does: its empty volumes are kept."""
        old = self.pods[ordinal]
        old.kill()
        domain = self.orders.domain
        self.pods[ordinal] = self._network.pod(old.name, old.container, f"{old.name}.{domain}")

    def agent(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a verb of rainbow-agent in the lead pod."""
        return self.lead.run("rainbow-agent", *arguments)

    def flux(self, *arguments: str) -> str:
        """Run `flux` over the lead broker's socket; what it prints."""
        socket = "local:///mnt/flux/config/run/flux/local"
        script = 'PATH=$PATH:/mnt/flux/view/bin; exec flux "$@"'
        return self.lead.output(
            "bash", "-c", script, "flux", *arguments, environ={"FLUX_URI": socket}
        )

    def _start(self, ordinal: int, environ: Mapping[str, str]) -> Pod:
        name = f"{self.name}-{ordinal}"
        mounts = {"/mnt/flux": self._empty(name), "/flux_operator": self._folder}
        for volume in self._container.get("volumes", {}).values():
            mounts[volume["path"]] = (
                self._volumes.ownership(volume["claimName"])
                if "claimName" in volume
                else self._volumes.secret(volume["secretName"])
            )
        secrets = {
            variable: self._volumes.manifests.secret(reference["name"])[reference["key"]]
            for variable, reference in self._container.get("secrets", {}).items()
        }
        container = Container(
            command=["/bin/bash", "/flux_operator/wait-0.sh"],
            environ={
                **self._image.environ,
                **self._container.get("environment", {}),
                **secrets,
                "HOSTNAME": name,
                **environ,
            },
            mounts=mounts,
            files=self._image.files,
            links=self._image.links,
            cwd=self._container.get("workingDir", "/"),
        )
        return self._network.pod(name, container, f"{name}.{self.orders.domain}")

    def _config_map(self) -> None:
        """What the operator's holds. The script is written once: bash reads it while it runs."""
        (self._folder / "wait-0.sh").write_text(start_script(self.orders, retry=RETRY))
        subprocess.run(
            ["flux", "keygen", str(self._folder / "curve.cert")], check=True, capture_output=True
        )

    def _empty(self, name: str) -> Path:
        """The empty volume of a new pod, after the view's container filled it."""
        # Of its own: the pod before it may still be stopping.
        flux = Path(tempfile.mkdtemp(prefix=f"{name}-flux-", dir=self._network.folder))
        flux.chmod(0o755)
        system = flux / "config/etc/flux/system"
        for folder in (system, flux / "config/etc/flux/config", flux / "config/run/flux"):
            folder.mkdir(parents=True)
        (system / "hostlist").write_text(hostlist(self.orders) + "\n")
        (flux / "config/etc/flux/config/broker.toml").write_text(broker_toml(self.orders))
        if self.orders.view:
            shutil.copytree(self._view, flux / "view", symlinks=True)
        return flux


def make_view(folder: Path, flux: str, python: str = "3.11") -> Path:
    """A folder as a flux view's, whose `flux` is this machine's.

    Args:
        folder: a new one.
        flux: path of the `flux` command.
        python: of the view; its site-packages stay empty.
    """
    (folder / "bin").mkdir(parents=True)
    (folder / f"lib/python{python}/site-packages").mkdir(parents=True)
    (folder / "bin/flux").symlink_to(flux)
    return folder


class Rainbow:
    """The scheduler's pod, from its Deployment; its Service's name leads to it.

    Args:
        manifests: with the Deployment `scheduler` and the Service `rainbow`.
        network: where it goes.
        volumes: its database and its secrets.
        image: what its container's image has.
    """

    def __init__(
        self, manifests: Manifests, network: Network, volumes: Volumes, image: Image
    ) -> None:
        self._network = network
        self._volumes = volumes
        self._image = image
        self._pod = manifests.get("Deployment", "scheduler")["spec"]["template"]["spec"]
        (self._container,) = self._pod["containers"]
        self._generation = 0
        service = manifests.get("Service", "rainbow")
        self._name = f"{service['metadata']['name']}.{_NAMESPACE}.svc.cluster.local"
        (port,) = service["spec"]["ports"]
        self.port = int(port["port"])
        self.pod: Pod

    @property
    def host(self) -> str:
        """Where it can be reached from this machine."""
        return f"{self.pod.address}:{self.port}"

    def start(self) -> None:
        """A new pod."""
        self._generation += 1
        name = f"scheduler-{self._generation}"
        user = int(self._pod["securityContext"]["runAsUser"])
        container = Container(
            command=self._image_command(),
            environ={
                **self._image.environ,
                **{each["name"]: each["value"] for each in self._container["env"]},
            },
            mounts={each["mountPath"]: self._mount(each, user) for each in self._mounts()},
            files=self._image.files,
            links=self._image.links,
            user=user,
        )
        self.pod = self._network.pod(name, container)
        self._network.service(self._name, name)

    def replace(self, *, keep_database: bool = True) -> None:
        """End the pod as the kubelet does, and start another."""
        self.pod.terminate(grace=float(self._pod["terminationGracePeriodSeconds"]))
        if not keep_database:
            for volume in self._pod["volumes"]:
                if "persistentVolumeClaim" in volume:
                    self._volumes.drop(volume["persistentVolumeClaim"]["claimName"])
        self.start()

    def _image_command(self) -> Sequence[str]:
        return [*self._container.get("command", ["rainbow-entrypoint"])]

    def _mounts(self) -> list[dict[str, str]]:
        return list(self._container["volumeMounts"])

    def _mount(self, mount: Mapping[str, str], user: int) -> Path:
        (volume,) = [each for each in self._pod["volumes"] if each["name"] == mount["name"]]
        if "secret" in volume:
            return self._volumes.secret(volume["secret"]["secretName"], user)
        if "persistentVolumeClaim" in volume:
            path: Path = self._volumes.ownership(volume["persistentVolumeClaim"]["claimName"])
        else:
            path = self._network.folder / f"scheduler-{self._generation}-{mount['name']}"
            path.mkdir()
        shutil.chown(path, user, user)
        return path
