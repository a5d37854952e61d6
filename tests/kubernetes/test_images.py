"""Other images than those of the walk-through: all are built from the repository's Dockerfiles."""

from __future__ import annotations

import pytest

from support.flux import NO_FLUXION, fluxion_environ
from support.kubernetes_fleet import Fleet
from support.kubernetes_images import (
    AGENT_IMAGE,
    FLUXION_VIEW_IMAGE,
    NEXT_AGENT_IMAGE,
    NEXT_VERSION,
    OWN_FLUX_IMAGE,
)
from support.kubernetes_minicluster import FLUX, MiniCluster

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(3600)]


def flux(cluster: MiniCluster, command: str) -> str:
    """What a command of Flux says in the lead's container."""
    done = cluster.execute("bash", "-c", f"{FLUX} {command}")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.together
def test_the_image_is_upgraded_in_place(fleet: Fleet) -> None:
    """Its name means another image from now on, and the lead is deleted: all goes on in it.

    The worker keeps the image that it has, so that two versions describe the nodes.
    """
    image = f"{AGENT_IMAGE}-upgraded"  # of this test alone
    fleet.cluster.tag_image(AGENT_IMAGE, image)
    with fleet.minicluster("upgraded", image=image.rpartition("/")[2]) as cluster:
        before, version = cluster.status()["registration"], cluster.version()
        assert fleet.submit("upgraded", "old", "true") == "upgraded"
        cluster.wait_for("old")
        fleet.cluster.tag_image(NEXT_AGENT_IMAGE, image)
        cluster.delete_pod()
        assert fleet.submit("upgraded", "meanwhile", "true") == "upgraded"
        cluster.wait(lambda: cluster.version() not in ("", version), "another version runs")
        assert cluster.version() == NEXT_VERSION
        cluster.wait_for("meanwhile")
        cluster.wait_for_nodes(2)
        assert cluster.keeps(before)
        assert cluster.state("old") == "completed"
        assert fleet.submit("upgraded", "both", "true", nodes=2) == "upgraded"
        cluster.wait_for("both")


@pytest.mark.together
def test_the_view_has_fluxion(fleet: Fleet) -> None:
    """It is the scheduler of the instance; jobs on one node and on all of them run."""
    if fluxion_environ() is None:
        pytest.skip(NO_FLUXION)
    with fleet.minicluster("fluxion", view=FLUXION_VIEW_IMAGE) as cluster:
        assert "sched-fluxion-qmanager" in flux(cluster, "flux module list")
        for name, nodes in (("one", 1), ("two", 2)):
            assert fleet.submit("fluxion", name, "hostname", nodes=nodes) == "fluxion"
            cluster.wait_for(name)
        since = cluster.agent_since()
        cluster.delete_pod()
        cluster.wait(lambda: cluster.agent_since() not in ("", since), "another lead is there")
        assert fleet.submit("fluxion", "three", "hostname", nodes=2) == "fluxion"
        cluster.wait_for("three")


@pytest.mark.together
def test_the_image_has_its_own_flux(fleet: Fleet) -> None:
    """There is no view; the agent takes the bindings of the image's Flux."""
    image = OWN_FLUX_IMAGE.rpartition("/")[2]
    with fleet.minicluster("own", own_flux=True, image=image) as cluster:
        assert cluster.execute("test", "-e", "/mnt/flux/view/bin/flux").returncode
        assert "own-[0-1]" in flux(cluster, "flux resource list -no {nodelist}")
        for name, nodes in (("one", 1), ("two", 2)):
            assert fleet.submit("own", name, "hostname", nodes=nodes) == "own"
            cluster.wait_for(name)
