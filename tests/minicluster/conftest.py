"""Rainbow and MiniClusters in pods, made from the manifests."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from rainbow_agent.cli.manifest.minicluster import MiniCluster as Manifest
from rainbow_agent.cli.manifest.minicluster import manifest
from support.common import eventually
from support.flux import NO_FLUX, flux_command
from support.minicluster import (
    Image,
    Manifests,
    MiniCluster,
    Rainbow,
    Volumes,
    image_environ,
    make_view,
)
from support.pods import Network, pods_missing, running_network
from support.servers import REAL_PROGRAM, SchedulerKind

ROOT = Path(__file__).parents[2]
SPACK = ROOT / "docker/spack"


def minicluster_image(agent: Path) -> Image:
    """What docker/spack puts into the image, with spack's stand-in in spack's place.

    Args:
        agent: the installed `rainbow-agent`.
    """
    stand_in = Path(__file__).with_name("spack")
    return Image(
        image_environ(SPACK / "Dockerfile"),
        files={
            "/usr/local/bin/rainbow-pod-start": SPACK / "rainbow-pod-start",
            "/usr/local/bin/rainbow-pod-stop": SPACK / "rainbow-pod-stop",
            "/code/jobspec-spack.yaml": SPACK / "jobspec-spack.yaml",
            "/opt/spack/bin/spack": stand_in / "spack",
            "/opt/spack/share/spack/setup-env.sh": stand_in / "setup-env.sh",
            "/opt/spack/etc/spack/site/config.yaml": stand_in / "config.yaml",
        },
        links={"/usr/local/bin/rainbow-agent": agent},
    )


@dataclass
class Fleet:
    """A rainbow that runs, and the clusters that a test starts."""

    network: Network
    manifests: Manifests
    volumes: Volumes
    rainbow: Rainbow
    view: Path
    clusters: dict[str, MiniCluster] = field(default_factory=dict)

    def cluster(
        self,
        name: str,
        *,
        agent: Path | None = None,
        view: Path | None = None,
        deregister: bool = False,
    ) -> MiniCluster:
        """A MiniCluster of the manifests; none of its pods is started.

        Args:
            name: its name.
            agent: the installed `rainbow-agent`; default: the one of these tests.
            view: a flux view.
            deregister: whether it is one that takes the cluster out of rainbow, and ends.
        """
        image = minicluster_image(agent or Path(sys.executable).with_name("rainbow-agent"))
        document = self.manifests.get("MiniCluster", name)
        if deregister:
            document = next(yaml.safe_load_all(manifest(Manifest(name=name, deregister=True))))
        made = MiniCluster(document, self.network, self.volumes, image, view or self.view)
        self.clusters[name] = made
        return made

    def said(self) -> str:
        """What the pods said last, for a test that fails."""
        return "\n".join(f"== {pod.name}\n{pod.log()[-3000:]}" for pod in self.network.pods)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Rainbow in a pod of its own, and a network for MiniClusters."""
    flux = flux_command()
    reason = pods_missing() or SchedulerKind.REAL.missing() or (NO_FLUX if flux is None else "")
    if reason:
        pytest.skip(reason)
    assert flux is not None
    folder = tmp_path / "network"
    folder.mkdir()
    manifests = Manifests(ROOT / "crd")
    volumes = Volumes(tmp_path / "volumes", manifests)
    with running_network(folder) as network:
        image = Image(
            image_environ(ROOT / "docker/rainbow/Dockerfile"),
            files={"/usr/local/bin/rainbow-entrypoint": ROOT / "docker/rainbow/entrypoint.sh"},
            links={"/usr/local/bin/rainbow-scheduler": Path(str(shutil.which(REAL_PROGRAM)))},
        )
        rainbow = Rainbow(manifests, network, volumes, image)
        rainbow.start()
        made = Fleet(network, manifests, volumes, rainbow, make_view(tmp_path / "view", flux))
        yield made


@pytest.fixture
def patiently(fleet: Fleet) -> Callable[[Callable[[], object], str], None]:
    """Wait for something; if it does not come, with what the pods said."""

    def wait(holds: Callable[[], object], what: str) -> None:
        try:
            eventually(holds, what, seconds=90)
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{fleet.said()}") from None

    return wait
