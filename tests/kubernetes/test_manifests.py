"""A real API server takes every manifest, with the operator's own definition of a MiniCluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from rainbow_agent.cli.manifest.minicluster import MiniCluster, manifest
from support.kubernetes_cluster import Cluster
from support.kubernetes_programs import CHART, ROOT, helm_missing

pytestmark = pytest.mark.kubernetes

CRD = ROOT / "crd"
FILES = sorted(
    path
    for path in CRD.rglob("*.yaml")
    if path.name not in ("kind-config.yaml", "kustomization.yaml")
)
KUSTOMIZATIONS = sorted(path.parent for path in CRD.rglob("kustomization.yaml"))
WRITTEN = {
    "plain": MiniCluster(name="red", size=8, limits={"cpu": "16"}),
    "interactive": MiniCluster(name="red", interactive=True),
    "own Flux": MiniCluster(name="red", own_flux=True, image="a/b:c"),
    "GPUs": MiniCluster(name="red", gpus=2),
    "deregister": MiniCluster(name="red", deregister=True),
    "storage class": MiniCluster(name="red", storage_class="fast"),
    "variables": MiniCluster(name="red", environ={"RAINBOW_POLL_MAX": "2.5", "ON": "yes"}),
}
#: More of Helm's arguments, as strings of one line.
CHARTS = {
    "plain": "",
    "storage class": "--set volumes.storageClass=nfs",
    "GPUs": "--set clusters.blue.gpus=2",
    "own Flux": "--set defaults.ownFlux=true --set defaults.image=a/b:c",
    "interactive": "--set defaults.interactive=true",
    "clusters alone": "--set rainbow.install=false --set defaults.settings.poll_max=2.5",
}
DRY_RUN = ("apply", "--dry-run=server", "--validate=strict")


def relative(path: Path) -> str:
    """As a test's id."""
    return str(path.relative_to(CRD))


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_each_file_is_taken(cluster: Cluster, path: Path) -> None:
    """Word by word, and nothing in it is dropped."""
    keeps_all(cluster, path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: f"crd:{relative(path)}")
def test_each_kustomization_is_taken(cluster: Cluster, path: Path) -> None:
    """`kubectl apply -k`, as the walk-through has it."""
    said = cluster.kubectl.output(*DRY_RUN, "-k", str(path))
    assert all(line.endswith("created (server dry run)") for line in said.splitlines())


@pytest.mark.parametrize("made", WRITTEN.values(), ids=WRITTEN.keys())
def test_what_the_command_writes_is_taken(cluster: Cluster, made: MiniCluster) -> None:
    """Also where no file of crd/ has it."""
    keeps_all(cluster, manifest(made))


@pytest.mark.parametrize("options", CHARTS.values(), ids=CHARTS.keys())
def test_what_the_chart_makes_is_taken(cluster: Cluster, options: str) -> None:
    """By the API server that Helm would install it in."""
    if reason := helm_missing():
        pytest.skip(reason)
    secret = "--set secret.secret=x --set secret.token=y"
    made = cluster.helm("template", "rainbow", str(CHART), *secret.split(), *options.split())
    assert made.returncode == 0, made.stderr
    keeps_all(cluster, made.stdout)


def test_a_typo_is_refused(cluster: Cluster) -> None:
    """The tests above are strict: one letter too many, and the API server names it."""
    text = (CRD / "minicluster-blue.yaml").read_text(encoding="utf-8")
    done = cluster.kubectl.run(*DRY_RUN, "-f", "-", text=text.replace("launcher:", "lunacher:"))
    assert done.returncode
    assert "lunacher" in done.stderr


def keeps_all(cluster: Cluster, text: str) -> None:
    """The API server takes a manifest, and has all that is in it."""
    said = cluster.kubectl.output(*DRY_RUN, "-f", "-", "-o", "yaml", text=text)
    taken = yaml.safe_load(said)
    objects = taken["items"] if taken["kind"] == "List" else [taken]
    sent = [each for each in yaml.safe_load_all(text) if each]
    assert len(objects) == len(sent)
    for mine, theirs in zip(sent, objects, strict=True):
        if mine["kind"] != "Secret":  # its text comes back encoded
            assert lost(mine, theirs) == []


def lost(mine: Any, theirs: Any, where: str = "") -> list[str]:
    """Where something of mine is not in theirs. The API server adds; it drops what is empty."""
    if mine in ("", {}, []) and not theirs:
        return []
    if isinstance(mine, dict) and isinstance(theirs, dict):
        pairs = [(f"{where}.{key}", value, theirs.get(key)) for key, value in mine.items()]
    elif isinstance(mine, list) and isinstance(theirs, list) and len(mine) == len(theirs):
        both = enumerate(zip(mine, theirs, strict=True))
        pairs = [(f"{where}[{number}]", a, b) for number, (a, b) in both]
    else:
        return [] if mine == theirs else [f"{where}: {mine!r} is {theirs!r}"]
    return [each for place, a, b in pairs for each in lost(a, b, place)]
