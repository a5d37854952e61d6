"""The Helm chart on a real Kubernetes: what it installs is a cluster of the fleet."""

from __future__ import annotations

import json
import subprocess

import pytest

from support.kubernetes_fleet import Fleet
from support.kubernetes_minicluster import SMALL, MiniCluster
from support.kubernetes_programs import CHART, helm_missing

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(3600)]

NAME = "charted"


def helm(fleet: Fleet, verb: str, **fields: object) -> subprocess.CompletedProcess[str]:
    """Install or upgrade a release with this cluster alone; rainbow and its Secret are there."""
    clusters = {"blue": None, "pink": None, NAME: {"requests": SMALL, **fields}}
    options = ["--set", "rainbow.install=false", "--set-json", f"clusters={json.dumps(clusters)}"]
    return fleet.cluster.helm(verb, NAME, str(CHART), *options)


@pytest.mark.together
def test_a_release_is_a_cluster(fleet: Fleet) -> None:
    """Installed, upgraded to a smaller size, and uninstalled, which leaves its volumes."""
    if reason := helm_missing():
        pytest.skip(reason)
    cluster = MiniCluster(fleet.cluster, NAME)
    try:
        refused = helm(fleet, "install", settings={"poll_maxx": 2})
        assert refused.returncode
        assert "poll_maxx" in refused.stderr
        assert fleet.kubectl.get("minicluster", NAME) is None
        installed = helm(fleet, "install", size=3)
        assert installed.returncode == 0, installed.stderr
        cluster.wait_for_nodes(3)
        assert fleet.submit(NAME, "three", "hostname", nodes=3) == NAME
        cluster.wait_for("three")
        upgraded = helm(fleet, "upgrade", size=2)
        assert upgraded.returncode == 0, upgraded.stderr
        cluster.wait_for_nodes(2)
        uninstalled = fleet.cluster.helm("uninstall", NAME)
        assert uninstalled.returncode == 0, uninstalled.stderr
        cluster.wait(lambda: not cluster.pods(), "its pods are gone")
        assert fleet.kubectl.get("minicluster", NAME) is None
        for kind in ("pvc", "pv"):
            assert fleet.kubectl.get(kind, f"{NAME}-state") is not None
    finally:
        cluster.delete(volumes=True)
