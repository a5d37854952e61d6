"""docs/minicluster.md, step by step: every command is one of the page's, and does what it says."""

from __future__ import annotations

import pytest
import yaml

from rainbow_agent.cli.manifest.minicluster import MiniCluster as Manifest
from rainbow_agent.cli.manifest.minicluster import manifest
from support.kubernetes_fleet import Fleet
from support.kubernetes_minicluster import SMALL, MiniCluster, wait_for_pods
from support.kubernetes_programs import ROOT
from support.kubernetes_transcript import Transcript

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(3600)]


def test_the_page(fleet: Fleet) -> None:
    """By hand on teal, by itself on blue and pink, an upgrade, and a cluster is removed."""
    page = Transcript(fleet.cluster)
    assert "server listening: [::]:8080" in page.kubectl("kubectl logs deployment/scheduler")
    by_hand(fleet, page)
    by_itself(fleet, page)
    upgrade(fleet, page)
    removal(fleet, page)
    page.write_page()
    fleet.kubectl.output("delete", "minicluster", "blue", "teal", "--ignore-not-found")


def by_hand(fleet: Fleet, page: Transcript) -> None:
    """A lead broker that runs no program: every verb on its own."""
    text = (ROOT / "crd/minicluster-interactive.yaml").read_text(encoding="utf-8")
    documents = list(yaml.safe_load_all(text))
    (container,) = documents[0]["spec"]["containers"]
    del container["commands"]["brokerPre"]
    container["resources"]["requests"] = SMALL
    fleet.kubectl.apply(*documents)
    teal = MiniCluster(fleet.cluster, "teal")
    shell = ". /mnt/flux/flux-view.sh; FLUX_URI=$fluxsocket flux resource list -no {nnodes}"
    teal.wait(
        lambda: teal.execute("bash", "-c", f"{shell} -s free").stdout.strip() == "2",
        "both brokers are up",
    )
    assert "teal-[0-1]" in page.inside("teal", "flux resource list")
    assert "completed" in page.inside("teal", "rainbow-agent run /code/jobspec-spack.yaml")
    assert "Cluster teal is registered" in page.inside("teal", "rainbow-agent register")
    for command in (
        "rainbow-agent submit --nodes 1 --name hello -- echo hello",
        "rainbow-agent submit /code/jobspec-spack.yaml",
    ):
        assert "to cluster teal (1 of 1 clusters fit)" in page.inside("teal", command)
    assert "spack-ior" in page.inside("teal", "rainbow-agent receive")
    page.inside("teal", "rainbow-agent start --until-idle")
    assert page.inside("teal", "rainbow-agent jobs").count("completed") == 2
    teal.delete(volumes=True)


def by_itself(fleet: Fleet, page: Transcript) -> None:
    """Two MiniClusters that join when they are applied."""
    page.kubectl("kubectl apply -k crd/small")
    blue, pink = MiniCluster(fleet.cluster, "blue"), MiniCluster(fleet.cluster, "pink")
    blue.wait_for_nodes(4)
    pink.wait_for_nodes(2)
    blue.wait(lambda: has_looked(blue), "its agent has looked at Flux and at rainbow")
    said = page.kubectl("kubectl exec blue-0-xxxxx -- rainbow-agent status")
    assert "graph      full, 4 nodes" in said
    said = page.kubectl(
        "kubectl exec blue-0-xxxxx -- rainbow-agent submit --nodes 4 --name wide -- hostname"
    )
    assert "Submitted wide to cluster blue" in said
    blue.wait_for("wide")


def has_looked(cluster: MiniCluster) -> bool:
    """Whether `status` can say all that it says: some seconds after the agent's start it can."""
    view = cluster.status()
    counted = view and view["nodes"] and view["resources"]["nodes_free"]
    return bool(counted and view["rainbow"]["reachable"] and view["workload"]["reachable"])


def upgrade(fleet: Fleet, page: Transcript) -> None:
    """A drain by an operator lasts over the deletion of the MiniCluster."""
    pink = MiniCluster(fleet.cluster, "pink")
    verb = "kubectl exec pink-0-xxxxx -- rainbow-agent"
    said = page.kubectl(f'{verb} drain --reason "new image" --wait --timeout 60')
    assert "No job is running." in said
    page.kubectl("kubectl delete minicluster pink")
    wait_for_pods(lambda: not pink.pods(), "pink's pods are gone")
    page.kubectl("kubectl apply -f crd/small/minicluster-pink.yaml")
    pink.wait_for_nodes(2)
    pink.wait(lambda: has_looked(pink), "its agent has looked at Flux and at rainbow")
    assert page.kubectl(f"{verb} status").startswith("draining\n")
    assert "takes new jobs again" in page.kubectl(f"{verb} resume")


def removal(fleet: Fleet, page: Transcript) -> None:
    """It is no longer in rainbow, and its volumes can go."""
    pink = MiniCluster(fleet.cluster, "pink")
    page.kubectl("kubectl exec pink-0-xxxxx -- rainbow-agent drain --wait")
    page.kubectl("kubectl delete minicluster pink")
    wait_for_pods(lambda: not pink.pods(), "pink's pods are gone")
    made = Manifest(name="pink", deregister=True, requests=SMALL)
    fleet.kubectl.output("apply", "-f", "-", text=manifest(made))
    sentence = "Cluster pink is no longer registered with"
    wait_for_pods(
        lambda: sentence in fleet.kubectl.run("logs", "job/pink").stdout, "it is taken out"
    )
    assert sentence in page.kubectl("kubectl logs job/pink")
    page.kubectl("kubectl delete minicluster pink")
    wait_for_pods(lambda: not pink.pods(), "the pod is gone")
    page.kubectl("kubectl delete pvc/pink-state pvc/pink-spack pv/pink-state pv/pink-spack")
    assert fleet.kubectl.get("pv", "pink-state") is None
